/* Backlog: events of a queue on disk whose bytes are not in memory. They are the live sequences from `loaded` on,
 * kept as ranges, so a hundred million cost as much as one. They are loaded in order, ahead of need, and become
 * items at the ring's tail; until then all that is known of them is that they are ready.
 *
 * After a restart everything is backlog. A new event becomes an item directly only while there is no backlog before
 * it and the store could keep its bytes in memory.
 *
 * This file also counts all events that are on disk only: backlog, parked, unparked and spilled ones. */
#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/items.h"
#include "broker/core/queue/schedule.h"

#include "base/mutation.h"

#include <assert.h>

#define LOAD_BYTES (1u << 20)
#define LEAST_LOW  16u

void backlog_add(struct queue *q, uint64_t first, uint64_t count, uint64_t bytes)
{
    struct durable *d = q->durable;
    assert(d && first >= q->loaded);
    ranges_add(&d->backlog, first, first + count);
    d->backlog_events += count;
    d->backlog_bytes += bytes;
}

void backlog_want(struct core *c, struct queue *q)
{
    struct durable *d = q->durable;
    uint64_t first, end;
    if (!d || d->loading || d->backlog_events == 0 || q->loaded - q->next_ready > d->low || c->failed ||
        partition_is_full(c, q))
        return;
    if (!ranges_next(&d->backlog, 0, &first, &end) || first >= d->end)
        return; /* not durable yet */
    if (!items_may_skip_to(q, first))
        return; /* until the items before the gap are delivered */
    d->loading = true;
    c->disk->ops->load(c->disk, q->id, first, LOAD_BYTES, load_tag(LOAD_BACKLOG, q->id));
}

/* item.accepted of an event accepted at this wall time: tenths of a second since the core started, possibly
 * negative. */
static int32_t tenths_at(const struct core *c, int64_t wall_ms)
{
    int64_t most = (int64_t)(INT32_MAX / 2) * 100, ago = c->now.wall.ms - wall_ms;
    ago = ago < 0 ? 0 : ago > most ? most : ago;
    int64_t ms = mono_since_ms(c->now.mono, c->started) - ago;
    return (int32_t)(ms >= 0 ? ms / 100 : -((99 - ms) / 100)); /* rounded down, as for events accepted since */
}

uint16_t backlog_attempt_by_mark(const struct queue *q, uint64_t sequence)
{
    const struct durable *d = q->durable;
    return sequence < d->recovered_mark && sequence < d->recovered_end && !ranges_has(&d->fresh, sequence);
}

uint16_t backlog_attempt(const struct queue *q, uint64_t sequence)
{
    const struct trouble *t = q->troubles && sequence < q->durable->recovered_end ? trouble_find(q, sequence) : NULL;
    if (t && t->recovered && !MUTATED(recount_attempts))
        return t->recovered;
    return backlog_attempt_by_mark(q, sequence);
}

enum backlog_place backlog_where(const struct queue *q, uint64_t sequence)
{
    const struct schedule *k = q->schedule;
    if (q->durable && ranges_has(&q->durable->backlog, sequence))
        return BACKLOG_LINE;
    if (q->partitions && spill_set_has(&q->partitions->spill.all, sequence))
        return BACKLOG_SPILLED;
    if (k && ranges_has(&k->unparked, sequence))
        return BACKLOG_UNPARKED;
    return k && ranges_has(&k->parked, sequence) ? BACKLOG_PARKED : BACKLOG_NOWHERE;
}

uint64_t backlog_on_disk(const struct queue *q)
{
    const struct schedule *k = q->schedule;
    return q->durable->backlog_events + (k ? k->parked_events + k->unparked_events : 0) +
           (q->partitions ? q->partitions->spill.all.events : 0);
}

static void take_from(struct ranges *r, uint64_t *count, uint64_t sequence)
{
    ranges_remove(r, sequence, sequence + 1);
    --*count;
}

/* Takes one event out of its place on disk. Its size may not have been known before: here the estimate is corrected,
 * in the queue's bytes as well, so that the parts always add up to the whole. */
static void take_out(struct queue *q, enum backlog_place from, uint64_t sequence, uint64_t size)
{
    struct durable *d = q->durable;
    struct schedule *k = q->schedule;
    if (from == BACKLOG_LINE)
        take_from(&d->backlog, &d->backlog_events, sequence);
    else if (from == BACKLOG_SPILLED)
        spill_leave_set(q->partitions, sequence);
    else if (from == BACKLOG_UNPARKED)
        take_from(&k->unparked, &k->unparked_events, sequence);
    else
        take_from(&k->parked, &k->parked_events, sequence);
    if (size > d->backlog_bytes)
        q->bytes += size - d->backlog_bytes;
    d->backlog_bytes -= size < d->backlog_bytes ? size : d->backlog_bytes;
    if (backlog_on_disk(q) == 0) {
        q->bytes -= d->backlog_bytes;
        d->backlog_bytes = 0;
    }
}

void backlog_left(struct core *c, struct queue *q, uint64_t sequence, uint64_t size)
{
    enum backlog_place from = backlog_where(q, sequence);
    take_out(q, from, sequence, size);
    q->bytes -= size < q->bytes ? size : q->bytes;
    --*(from == BACKLOG_PARKED ? &q->delayed : &q->ready);
    if (q->schedule)
        schedule_gone(q, sequence);
    if (from == BACKLOG_SPILLED)
        partition_release_key(c, q, sequence);
    if (q->waiters || q->topic_count)
        core_run_queue(c, q);
}

bool backlog_settle(struct core *c, struct queue *q, uint64_t sequence, enum store_cause cause)
{
    if (backlog_where(q, sequence) == BACKLOG_NOWHERE)
        return false;
    uint64_t size = q->durable->backlog_bytes / backlog_on_disk(q); /* an estimate, as it was not read */
    c->disk->ops->settle(c->disk, q->id, sequence, 0, (uint32_t)size, cause);
    backlog_left(c, q, sequence, size);
    ++*ledger_of(&q->ledger, cause);
    trouble_settled(q, sequence);
    return true;
}

static struct item item_of(const struct core *c, const struct queue *q, const struct store_loaded *e)
{
    return (struct item){
        .at = e->locator,
        .size = e->size,
        .accepted = tenths_at(c, e->accepted_ms),
        .state = ITEM_READY,
        .attempt = backlog_attempt(q, e->sequence),
    };
}

static void add_item(struct core *c, struct queue *q, const struct store_loaded *e)
{
    items_skip_to(q, e->sequence);
    items_make_room(q, 1);
    *item_at(q, q->loaded++) = item_of(c, q, e);
    take_out(q, BACKLOG_LINE, e->sequence, e->size);
}

struct item *backlog_item(struct core *c, struct queue *q, const struct store_loaded *e, enum backlog_place from)
{
    struct item item = item_of(c, q, e);
    items_place(q, e->sequence, &item);
    take_out(q, from, e->sequence, e->size);
    return queue_item(q, e->sequence);
}

void backlog_place(struct core *c, struct queue *q, const struct store_loaded *e)
{
    struct item *item = backlog_item(c, q, e, BACKLOG_UNPARKED);
    if (q->partitions)
        partition_returned(c, q, e->sequence, item);
    else if (e->sequence < q->next_ready)
        returned_push(q, e->sequence);
}

/* False if a delayed event joined the backlog before this one while it was being read. */
static bool is_first(const struct queue *q, uint64_t sequence)
{
    uint64_t first, end;
    return !q->schedule || (ranges_next(&q->durable->backlog, 0, &first, &end) && first == sequence);
}

/* Whether a loaded event can become an item now. If not, its bytes are released and it is loaded again later. */
static bool takes(struct queue *q, const struct store_loaded *e)
{
    struct durable *d = q->durable;
    return e->sequence >= q->loaded && e->sequence < d->end && is_first(q, e->sequence) &&
           items_may_skip_to(q, e->sequence);
}

void backlog_loaded(struct core *c, const struct store_completion *done)
{
    struct queue *q = queue_by_id(c, done->queue);
    bool in_turn = true;
    uint64_t taken = 0;
    if (q)
        q->durable->loading = false;
    for (size_t i = 0; i < done->count; i++) {
        if (q && !ranges_has(&q->durable->backlog, done->events[i].sequence)) { /* it died or was settled meanwhile */
            c->disk->ops->release(c->disk, done->queue, done->events[i].locator);
            continue;
        }
        in_turn = in_turn && q && takes(q, &done->events[i]);
        if (in_turn)
            add_item(c, q, &done->events[i]);
        else
            c->disk->ops->release(c->disk, done->queue, done->events[i].locator);
        taken += in_turn;
    }
    if (!q)
        return;
    q->durable->low = taken / 2 > LEAST_LOW ? taken / 2 : LEAST_LOW;
    core_run_queue(c, q);
}

static bool dead_lie_behind(const struct queue *q, uint64_t from)
{
    for (const struct trouble *t = q->troubles; t; t = t->hh.next) {
        if (t->dead && t->sequence >= from)
            return true;
    }
    return false;
}

/* In one operation of the store; one by one only if dead events lie among them, which happens after a restart before
 * their neighbours are read. */
static void settle_backlog(struct core *c, struct queue *q)
{
    struct durable *d = q->durable;
    uint64_t first, end, size = d->backlog_bytes / d->backlog_events; /* it is all that is on disk only */
    if (!dead_lie_behind(q, q->loaded)) {
        c->disk->ops->settle_rest(c->disk, q->id, q->loaded, d->backlog_bytes, CAUSE_PURGED);
        return;
    }
    for (uint64_t at = 0; ranges_next(&d->backlog, at, &first, &end); at = end) {
        for (; first < end; first++)
            c->disk->ops->settle(c->disk, q->id, first, 0, (uint32_t)size, CAUSE_PURGED);
    }
}

/* Failures of backlog events are known before the events are read: forgets them. */
static void forget_troubles(struct queue *q, uint64_t from)
{
    struct trouble *t, *next;
    HASH_ITER (hh, q->troubles, t, next) {
        if (!t->dead && t->sequence >= from)
            trouble_forget(q, t);
    }
}

/* All events from `from` on were settled; none is left that is on disk only. */
static void purged(struct core *c, struct queue *q, uint64_t from, uint64_t count)
{
    struct durable *d = q->durable;
    forget_troubles(q, from);
    q->ready -= count;
    q->bytes -= d->backlog_bytes;
    q->ledger.purged += count;
    ranges_free(&d->backlog);
    d->backlog_events = d->backlog_bytes = 0;
    items_skip_to(q, q->next_sequence);
    core_run_queue(c, q); /* publishers may wait for the room */
}

uint64_t backlog_purge(struct core *c, struct queue *q)
{
    uint64_t count = q->durable->backlog_events;
    if (count == 0)
        return 0;
    settle_backlog(c, q);
    purged(c, q, q->loaded, count);
    return count;
}

static bool note_item(void *found, uint64_t sequence, struct item *item)
{
    (void)sequence;
    (void)item;
    *(bool *)found = true;
    return false;
}

uint64_t backlog_purge_from(struct core *c, struct queue *q, uint64_t from)
{
    uint64_t count = backlog_on_disk(q);
    bool stays = dead_lie_behind(q, from);
    queue_each(q, from, note_item, &stays);
    if (stays)
        return 0;
    c->disk->ops->settle_rest(c->disk, q->id, from, q->durable->backlog_bytes, CAUSE_PURGED);
    purged(c, q, from, count);
    return count;
}
