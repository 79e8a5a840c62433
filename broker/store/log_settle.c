/* How events leave: settled one by one or all at once, released from memory, or forgotten with their queue.
 * Settlements gather by queue until the next group takes them (group_gather_settled). */
#include "broker/store/log_parts.h"

#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

static void list_fresh(struct log *l, struct log_queue *q)
{
    if (!q->listed) {
        q->listed = true;
        q->fresh_next = l->fresh;
        l->fresh = q;
    }
    if (l->lazy_since.ns == INT64_MAX)
        l->lazy_since = l->now;
}

void log_uncache(struct log *l, struct log_queue *q, uint32_t queue, store_locator at, uint32_t size)
{
    if (!at)
        return;
    l->cache->ops->release(l->cache, queue, at);
    if (q)
        q->cached_bytes -= size < q->cached_bytes ? size : q->cached_bytes;
}

/* Without the header of its lane form: as cached_bytes counts it. */
static uint32_t event_size(struct log *l, uint32_t queue, store_locator at)
{
    struct span lane;
    struct wire_field f = { 0 };
    l->cache->ops->read(l->cache, queue, at, &lane);
    struct wire_reader r = wire_open(lane);
    wire_next(&r, &f);
    return (uint32_t)f.bytes.size;
}

void log_release(struct store *store, uint32_t queue, store_locator at)
{
    struct log *l = log_self(store);
    log_uncache(l, log_queue_of(l, queue, false), queue, at, event_size(l, queue, at));
}

static void add_fresh(struct log *l, struct log_queue *q, const struct settled_range *r)
{
    struct unwritten *u = &q->fresh;
    struct settled_range *last = u->count ? &u->ranges[u->count - 1] : NULL;
    list_fresh(l, q);
    u->events += (uint32_t)(r->end - r->first);
    q->unsettled += (uint32_t)(r->end - r->first);
    if (last && last->end == r->first && last->cause == r->cause) {
        last->end = r->end;
        last->bytes += r->bytes;
        return;
    }
    if (u->count == u->capacity) {
        u->capacity = u->capacity ? u->capacity * 2 : 8;
        u->ranges = xrealloc(u->ranges, u->capacity * sizeof *u->ranges);
    }
    u->ranges[u->count++] = *r;
}

void log_settle(struct store *store, uint32_t queue, uint64_t sequence, store_locator at, uint32_t size,
                enum store_cause cause)
{
    struct log *l = log_self(store);
    struct log_queue *q = log_queue_of(l, queue, false);
    assert(q);
    log_uncache(l, q, queue, at, size);
    extent_settle(l, q, sequence, sequence + 1, size);
    add_fresh(l, q, &(struct settled_range){ sequence, sequence + 1, size, cause });
}

void log_settle_in_group(struct log *l, struct group *g, const struct store_leaving *e)
{
    struct log_queue *q = log_queue_of(l, e->queue, false);
    assert(q);
    struct settled_range range = { e->sequence, e->sequence + 1, e->size, e->cause };
    log_uncache(l, q, e->queue, e->at, e->size);
    extent_settle(l, q, e->sequence, e->sequence + 1, e->size);
    settled_write(&g->records, e->queue, &range, 1);
    group_add_settled(g, e->queue, 1);
    q->unsettled++;
}

struct rest {
    struct settled_range *ranges;
    size_t count, capacity;
};

/* Adds the live ranges of [first, end), each with its share of the bytes: `events` events have `bytes`. */
static void add_stretches(struct rest *s, const struct log_queue *q, uint64_t first, uint64_t end, uint64_t bytes,
                          uint64_t events)
{
    uint64_t at = first, gap, gap_end;
    while ((at = ranges_next_gap(&q->settled, at)) < end) {
        uint64_t to = ranges_next(&q->settled, at, &gap, &gap_end) && gap < end ? gap : end;
        if (s->count == s->capacity) {
            s->capacity = s->capacity ? s->capacity * 2 : 16;
            s->ranges = xrealloc(s->ranges, s->capacity * sizeof *s->ranges);
        }
        s->ranges[s->count++] = (struct settled_range){ .first = at, .end = to, .bytes = bytes * (to - at) / events };
        at = to;
    }
}

/* The sequence of the run's first event in that queue; 0: the queue does not have the run. */
static uint64_t first_of(const struct group *g, const struct group_run *run, uint32_t queue)
{
    struct target_reader targets = group_targets(g, run);
    struct run_target t;
    if (run->target_count == 0)
        return run->entry.queue == queue ? run->entry.first : 0;
    while (target_next(&targets, &t)) {
        if (t.queue == queue)
            return t.first;
    }
    return 0;
}

static void add_unplaced(struct rest *s, const struct log_queue *q, const struct group *g, uint64_t from)
{
    for (size_t i = 0; g && i < g->run_count; i++) {
        const struct group_run *run = &g->runs[i];
        uint64_t first = run->moved ? 0 : first_of(g, run, q->id);
        if (first)
            add_stretches(s, q, first > from ? first : from, first + run->entry.count, run->bytes, run->entry.count);
    }
}

/* Each live range becomes a settled range of its own, so that replay never settles an event twice. */
void log_settle_rest(struct store *store, uint32_t queue, uint64_t from, uint64_t bytes, enum store_cause cause)
{
    struct log *l = log_self(store);
    struct log_queue *q = log_queue_of(l, queue, false);
    struct rest s = { 0 };
    if (!q)
        return;
    for (const struct extent *x = extent_at(q, from); x && x < q->extents + q->extent_count; x++)
        add_stretches(&s, q, x->first > from ? x->first : from, x->end, x->live_bytes, x->live);
    for (const struct group *g = l->first_closed; g; g = g->next)
        add_unplaced(&s, q, g, from);
    add_unplaced(&s, q, l->open, from);
    for (size_t i = 0; i < s.count; i++) {
        struct settled_range *r = &s.ranges[i];
        if (i + 1 == s.count || r->bytes > bytes)
            r->bytes = bytes; /* the shares are approximate, their sum is exact */
        bytes -= r->bytes;
        r->cause = cause;
        extent_settle(l, q, r->first, r->end, r->bytes);
        add_fresh(l, q, r);
    }
    free(s.ranges);
}

void log_forget(struct store *store, uint32_t queue)
{
    struct log *l = log_self(store);
    struct log_queue *q = log_queue_of(l, queue, false);
    l->cache->ops->forget(l->cache, queue); /* also of a topic, which owns what is shared in memory */
    if (!q)
        return;
    group_gather_settled(l);
    struct group *g = group_open_behind(l, 0);
    forgotten_write(&g->records, queue);
    g->urgent = true;
    log_queue_drop(l, q);
}
