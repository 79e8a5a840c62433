/* Whether an entry can enter all the queues that its topic sends it to. */
#include "broker/core/publish/admission.h"
#include "broker/core/publish/waiters.h"
#include "broker/core/topic/topic.h"

#include <string.h>

static enum reason blame(struct fanout *f, const struct queue *q, enum reason why)
{
    f->lacks = q;
    return why;
}

enum reason fanout_hopeless(struct fanout *f, const struct entry *e)
{
    if (f->next.count == 0 && f->topic->unrouted == UNROUTED_REFUSE)
        return REASON_unrouted;
    if (e->event.size > f->core->config.max_event)
        return REASON_too_large;
    for (size_t i = 0; i < f->next.count; i++) {
        const struct queue *q = f->next.items[i].queue;
        if (f->next.items[i].has)
            continue;
        if (q->closed)
            return blame(f, q, REASON_closed);
        if (e->event.size > q->settings.capacity_bytes)
            return blame(f, q, REASON_too_large);
        if (q->settings.require_consumer && !q->active)
            return blame(f, q, REASON_no_consumer);
    }
    return REASON_ok;
}

/* Whether an earlier arrival waits for that queue. */
static bool is_behind(const struct fanout *f, const struct queue *q)
{
    if (q->waiters && q->waiters->arrival < f->arrival)
        return true;
    const struct topic *t = q->topic_count > 1 ? topic_oldest(q) : NULL;
    return t && t != f->topic && t->waiters->arrival < f->arrival;
}

static bool is_pending(const struct fanout *f, const struct queue *q)
{
    for (size_t i = 0; f->count && i < f->set.count; i++) {
        if (f->set.items[i].queue == q)
            return true;
    }
    return false;
}

/* Bytes on disk for each queue that a shared run goes to: its entries in the run's list of queues, in the note, and
 * in the segment's table. The events themselves are stored once. */
#define TARGET_OVERHEAD 64u

static uint64_t disk_overhead(const struct fanout *f)
{
    return (f->next.count - f->next.had) * TARGET_OVERHEAD;
}

static void subtract(uint64_t *room, uint64_t bytes)
{
    *room -= bytes < *room ? bytes : *room;
}

/* Takes the room for an entry in one queue, after that of the pending entries. */
static enum reason look_for_room(struct fanout *f, const struct queue *q, uint64_t size)
{
    struct room room = queue_room(f->core, q);
    if (room.short_of == REASON_budget)
        room.budget += f->own; /* memory of the waiting run may be replaced by its events */
    else
        subtract(&room.budget, disk_overhead(f) + (f->count ? f->set.count * TARGET_OVERHEAD : 0));
    room_subtract(&room, f->count, f->bytes, is_pending(f, q));
    enum reason why = room_take(&room, size);
    if (why == REASON_disk) /* its own overhead added again: durable_has_room compares with all the room there is */
        durable_starved(f->core, room.budget + disk_overhead(f));
    return why;
}

/* Whether dropping an event of `q` would dead-letter it to another of these queues, and take the room that was found
 * there. Then nothing is dropped. */
static bool drops_among(const struct fanout *f, const struct queue *q)
{
    for (size_t i = 0; q->settings.dead_letter_dropped && i < f->next.count; i++) {
        if (strcmp(f->next.items[i].queue->name, q->settings.dead_letter) == 0)
            return true;
    }
    return false;
}

static enum reason drop_for_room(struct fanout *f, struct queue *q, uint64_t size)
{
    enum reason why;
    fanout_flush(f);
    while ((why = look_for_room(f, q, size)) == REASON_full) {
        if (drops_among(f, q))
            break;
        if (!queue_drop_oldest(f->core, q)) {
            drop_for_retry(q);
            break;
        }
    }
    return why;
}

/* Whether one queue has room. */
static enum reason find_room_in(struct fanout *f, struct queue *q, uint64_t size)
{
    enum reason why = is_behind(f, q) ? REASON_full : look_for_room(f, q, size);
    if (why == REASON_full && q->settings.overflow == OVERFLOW_DROP_OLDEST)
        why = drop_for_room(f, q, size);
    if (why == REASON_full)
        f->may_wait &= q->settings.overflow == OVERFLOW_WAIT;
    return why;
}

/* Queues that would drop an event for it are asked only after all others have room. If any queue refuses what does
 * not fit, the entry is refused and does not wait for the others. */
enum reason fanout_room(struct fanout *f, const struct entry *e)
{
    enum reason found = REASON_ok;
    f->may_wait = true;
    for (unsigned dropping = 0; dropping < 2 && found == REASON_ok; dropping++) {
        for (size_t i = 0; i < f->next.count; i++) {
            struct queue *q = f->next.items[i].queue;
            if (f->next.items[i].has || (q->settings.overflow == OVERFLOW_DROP_OLDEST) != dropping)
                continue;
            bool before = f->may_wait;
            enum reason why = find_room_in(f, q, e->event.size);
            if (why == REASON_ok || (found != REASON_ok && before == f->may_wait))
                continue;
            found = blame(f, why == REASON_full ? q : NULL, why);
        }
    }
    return found;
}
