/* Dead events become new ones: at the tail of their queue, or of another, as far as that has room. Those on disk are read first, some
 * at a time, and the answer follows when all are through. Each becomes a new event and leaves the dead store by the
 * same step of the store. */
#include "broker/core/trouble.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* Redrives that read from the disk at a time: what more ask is refused. */
#define REDRIVES_MOST 4u
/* Tags of loads that are for a redrive; see peek.c for the others. */
#define REDRIVE_TAG (UINT64_C(2) << 32)
#define LOAD_BYTES  (1u << 20)

struct redrive {
    uint64_t tag;
    struct route route;
    struct token id;
    struct buf request;  /* packed, to remember its answer under */
    uint32_t queue, to;  /* ids: either may be deleted meanwhile */
    uint64_t *sequences; /* ascending */
    size_t count, at;
    uint64_t redriven;
    struct redrive *next;
};

/* ------------------------------------------------------------------ what is asked for */

static int ascending(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static bool is_dead(const struct queue *q, uint64_t sequence)
{
    const struct trouble *t = trouble_find(q, sequence);
    return t && t->dead;
}

/* The dead ones among those named, once each; all where none is named. Owned by the caller. */
static uint64_t *select_dead(struct queue *q, const uint64_t *named, size_t named_count, size_t *count)
{
    uint64_t *out = xmalloc((named_count ? named_count : q->dead + 1) * sizeof *out);
    *count = 0;
    for (struct trouble *t = named_count ? NULL : dead_next(q, NULL); t; t = dead_next(q, t))
        out[(*count)++] = t->sequence;
    for (size_t i = 0; i < named_count; i++) {
        if (is_dead(q, named[i]))
            out[(*count)++] = named[i];
    }
    qsort(out, *count, sizeof *out, ascending);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (kept == 0 || out[kept - 1] != out[i])
            out[kept++] = out[i];
    }
    *count = kept;
    return out;
}

/* ------------------------------------------------------------------ moving */

/* False when the target has no room. `event`: its bare bytes. */
static bool move_one(struct core *c, struct queue *q, struct queue *to, struct trouble *t, struct span event)
{
    struct room room = queue_room(c, to);
    uint64_t sequence = to->next_sequence, ticket;
    if (room_take(&room, event.size) != REASON_ok)
        return false;
    struct store_event new = { .event = event };
    struct store_leaving leaving = { q->id, t->sequence, t->at, t->size, CAUSE_REMOVED };
    bool same = queue_store(c, q) == queue_store(c, to);
    queue_accept_from(c, to, &new, same ? &leaving : NULL, &ticket);
    durable_accepted(c, to, ticket, sequence);
    core_run_queue(c, to);
    if (same)
        dead_left(c, q, t);
    else
        dead_remove(c, q, t);
    return true;
}

static struct span bytes_at(const struct core *c, const struct queue *q, store_locator at)
{
    struct span lane;
    struct store *store = queue_store(c, q);
    store->ops->read(store, q->id, at, &lane);
    return event_of_lane(lane);
}

/* Those whose bytes are in memory, from the present one on. False: the target is full. */
static bool move_from_memory(struct core *c, struct redrive *r, struct queue *q, struct queue *to)
{
    for (; r->at < r->count; r->at++) {
        struct trouble *t = trouble_find(q, r->sequences[r->at]);
        if (!t || !t->dead)
            continue;
        if (t->at == 0)
            return true;
        if (!move_one(c, q, to, t, bytes_at(c, q, t->at)))
            return false;
        r->redriven++;
    }
    return true;
}

static bool move_loaded(struct core *c, struct redrive *r, struct queue *q, struct queue *to,
                        const struct store_completion *done)
{
    size_t before = r->at;
    for (size_t i = 0; i < done->count && r->at < r->count; i++) {
        const struct store_loaded *e = &done->events[i];
        while (r->at < r->count && r->sequences[r->at] < e->sequence)
            r->at++; /* it is gone */
        if (r->at == r->count || r->sequences[r->at] != e->sequence)
            continue;
        struct trouble *t = trouble_find(q, e->sequence);
        if (t && t->dead && !move_one(c, q, to, t, bytes_at(c, q, e->locator)))
            return false;
        r->redriven += t != NULL;
        r->at++;
    }
    r->at += r->at == before; /* nothing there: not again */
    return true;
}

/* ------------------------------------------------------------------ one redrive */

static void answer(const struct redrive *r, struct reply *reply)
{
    reply->result = RESULT_REDRIVEN;
    reply->u.redriven.redriven = r->redriven;
    reply->u.redriven.left = r->count - r->redriven;
}

/* Asks for what is on disk; false when nothing is left to do. */
static bool load_next(struct core *c, struct redrive *r, struct queue *q)
{
    while (r->at < r->count && !is_dead(q, r->sequences[r->at]))
        r->at++;
    if (r->at == r->count)
        return false;
    c->disk->ops->load(c->disk, q->id, r->sequences[r->at], LOAD_BYTES, r->tag);
    return true;
}

static void free_redrive(struct redrive *r)
{
    buf_free(&r->request);
    free(r->sequences);
    free(r);
}

static bool is_running(const struct core *c, struct token id)
{
    const struct redrive *r = c->redrives;
    while (r && !token_equal(r->id, id))
        r = r->next;
    return r != NULL;
}

static bool may_run(struct core *c, const struct request *r, struct queue *to, struct reply *reply)
{
    unsigned running = 0;
    for (const struct redrive *other = c->redrives; other; other = other->next)
        running++;
    if (!to)
        reply->reason = REASON_unknown_queue,
        reply->detail = "the queue to redrive to does not exist; declare it first";
    else if (to->closed && !r->u.redrive.dry_run)
        reply->reason = REASON_closed;
    else if (running >= REDRIVES_MOST)
        reply->reason = REASON_busy, reply->detail = "too many redrives are under way already; retry in a moment";
    else
        return true;
    return false;
}

bool redrive_request(struct core *c, struct queue *q, const struct request *r, const struct route *route,
                     struct reply *reply)
{
    struct queue *to = r->u.redrive.to[0] ? queue_find(c, span_str(r->u.redrive.to)) : q;
    if (is_running(c, r->id))
        return false; /* asked again for want of an answer, which comes */
    if (!may_run(c, r, to, reply))
        return true;
    struct redrive *new = xcalloc(1, sizeof *new);
    *new = (struct redrive){ .tag = REDRIVE_TAG + ++c->look_counter, .route = *route, .id = r->id };
    new->queue = q->id;
    new->to = to->id;
    new->sequences = select_dead(q, r->u.redrive.sequences, r->u.redrive.count, &new->count);
    if (r->u.redrive.dry_run)
        new->redriven = new->count;
    else if (move_from_memory(c, new, q, to) && new->at < new->count && load_next(c, new, q)) {
        request_pack(r, &new->request);
        new->next = c->redrives;
        c->redrives = new;
        return false;
    }
    answer(new, reply);
    free_redrive(new);
    return true;
}

static struct redrive *find_running(struct core *c, uint64_t tag)
{
    struct redrive *r = c->redrives;
    while (r && r->tag != tag)
        r = r->next;
    return r;
}

static void finish(struct core *c, struct redrive *r)
{
    struct reply reply = { .id = r->id, .detail = "" };
    answer(r, &reply);
    core_reply(c, &r->route, &reply);
    if (!token_is_zero(r->id))
        answers_remember(c, r->id, buf_span(&r->request), &c->effects[c->effect_count - 1]);
    durable_hold_reply(c, c->disk->ops->settled_ticket(c->disk));
    LL_DELETE(c->redrives, r);
    free_redrive(r);
}

bool redrive_loaded(struct core *c, const struct store_completion *done)
{
    struct redrive *r = done->tag >= REDRIVE_TAG ? find_running(c, done->tag) : NULL;
    if (!r)
        return false;
    struct queue *q = queue_by_id(c, r->queue), *to = queue_by_id(c, r->to);
    bool on = q && to && !to->closed && move_loaded(c, r, q, to, done);
    for (size_t i = 0; i < done->count; i++)
        c->disk->ops->release(c->disk, done->queue, done->events[i].locator);
    if (!on || !load_next(c, r, q))
        finish(c, r);
    return true;
}

void redrive_free(struct core *c)
{
    while (c->redrives) {
        struct redrive *r = c->redrives;
        c->redrives = r->next;
        free_redrive(r);
    }
}
