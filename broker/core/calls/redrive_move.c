/* How a redrive moves events. It takes those that are still dead and pass its filter, in the order of their sequences.
 * Each is accepted as a new event at the target's tail and removed from the dead store by the same step of the store.
 * Publishers that wait for room at the target come first: dead events can wait. */
#include "broker/core/calls/redrive.h"
#include "broker/core/topic/topic.h"

#include "proto/filter.h"

#define LOAD_BYTES (1u << 20)
/* What a run adds to an event's own bytes on the disk, about. */
#define LOAD_EACH 64u
/* The shortest time between two steps, whatever the rate. */
#define STEP_MS 20

/* ------------------------------------------------------------------ one event */

/* Has the target room, and does no publisher wait for it (by the queue's name or a topic's)? Between two queues in
 * memory the event's bytes only move, so `size` is added to what is left of the memory budget: otherwise a broker
 * whose memory is full of dead events could not redrive them. */
static bool has_room(struct core *c, const struct queue *q, const struct queue *to, size_t size)
{
    struct room room = queue_room(c, to);
    if (!q->durable && !to->durable)
        room.budget += size;
    return !to->waiters && !topic_oldest(to) && !to->closed && room_take(&room, size) == REASON_ok;
}

/* `event`: its bytes, without the lane's tag and size. */
static void move_one(struct core *c, struct queue *q, struct queue *to, struct trouble *t, struct span event)
{
    uint64_t sequence = to->next_sequence, ticket;
    struct store_event new = { .event = event };
    struct store_leaving leaving = { q->id, t->sequence, t->at, t->size, CAUSE_REMOVED };
    bool same = queue_store(c, q) == queue_store(c, to);
    queue_accept_from(c, to, &new, same ? &leaving : NULL, &ticket);
    durable_accepted(c, to, ticket, sequence);
    core_run_queue(c, to);
    if (same)
        dead_forget(q, t);
    else
        dead_remove(c, q, t);
}

/* Handles the next event, which is dead. REDRIVE_DONE: it was moved or passed over. */
static enum redrive_step take(struct core *c, struct redrive *r, struct queue *q, struct queue *to, struct trouble *t,
                              struct span event)
{
    bool wanted = r->filter.size == 0 || filter_matches(buf_span(&r->filter), event);
    if (wanted && !r->dry_run) {
        if (r->rate && r->allowance < 1000)
            return REDRIVE_ENOUGH;
        if (!has_room(c, q, to, event.size))
            return REDRIVE_FULL;
        move_one(c, q, to, t, event);
        r->allowance -= r->rate ? 1000 : 0;
    }
    r->redriven += wanted;
    r->at++;
    return REDRIVE_DONE;
}

/* Skips to the next event that is still dead; NULL: there is none. */
static struct trouble *next_dead(struct redrive *r, const struct queue *q)
{
    for (; r->at < r->count; r->at++) {
        struct trouble *t = trouble_find(q, r->sequences[r->at]);
        if (t && t->dead)
            return t;
    }
    return NULL;
}

/* ------------------------------------------------------------------ many events */

enum redrive_step redrive_move(struct core *c, struct redrive *r, struct queue *q, struct queue *to)
{
    struct trouble *t;
    while ((t = next_dead(r, q)) != NULL) {
        if (t->at == 0)
            return REDRIVE_LOAD;
        enum redrive_step step = take(c, r, q, to, t, queue_event(c, q, t->at));
        if (step != REDRIVE_DONE)
            return step;
    }
    return REDRIVE_DONE;
}

enum redrive_step redrive_move_loaded(struct core *c, struct redrive *r, struct queue *q, struct queue *to,
                                      const struct store_completion *done)
{
    size_t before = r->at;
    struct trouble *t = next_dead(r, q);
    for (size_t i = 0; i < done->count && t; i++) {
        if (done->events[i].sequence != t->sequence)
            continue; /* not asked for, but between those that are */
        enum redrive_step step = take(c, r, q, to, t, queue_event(c, q, done->events[i].locator));
        if (step != REDRIVE_DONE)
            return step;
        t = next_dead(r, q);
    }
    r->at += t && r->at == before; /* it was not found on the disk: skip it */
    return r->at == r->count ? REDRIVE_DONE : REDRIVE_LOAD;
}

void redrive_load(struct core *c, const struct redrive *r, const struct queue *q)
{
    uint64_t bytes = LOAD_BYTES;
    if (r->rate && r->filter.size == 0) { /* no more than may be moved now */
        bytes = 0;
        for (uint64_t i = 0; i * 1000 < r->allowance + 1000 && r->at + i < r->count && bytes < LOAD_BYTES; i++) {
            const struct trouble *t = trouble_find(q, r->sequences[r->at + i]);
            bytes += t ? t->size + LOAD_EACH : 0;
        }
    }
    c->disk->ops->load(c->disk, q->id, r->sequences[r->at], bytes, r->tag);
}

/* ------------------------------------------------------------------ the rate */

void redrive_allow(struct redrive *r, mono_t now)
{
    uint64_t most = (uint64_t)r->rate * 200, ns = (uint64_t)(now.ns - r->allowed_at.ns);
    r->allowance += (ns < 1000000000 ? ns : 1000000000) * r->rate / 1000000;
    if (r->allowance > (most > 1000 ? most : 1000))
        r->allowance = most > 1000 ? most : 1000;
    r->allowed_at = now;
}

mono_t redrive_allowed_next(const struct redrive *r, mono_t now)
{
    uint64_t lacks = r->allowance < 1000 ? 1000 - r->allowance : 0;
    int64_t ms = (int64_t)((lacks + r->rate - 1) / r->rate);
    return mono_add_ms(now, ms > STEP_MS ? ms : STEP_MS);
}
