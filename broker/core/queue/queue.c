/* A queue's life, and how events enter it, change state and leave. The counts, bytes and ledger change only here,
 * for runs of acks in queue_run.c, and for events on disk only in backlog.c. items.c keeps the items; schedule.c
 * knows when delayed ones are due. */
#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/items.h"
#include "broker/core/queue/schedule.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

#define CACHE_SHARE 2u /* of the memory budget: a half, for new events of queues on disk */

/* ------------------------------------------------------------------ life of a queue */

struct queue *queue_by_id(struct core *c, uint64_t id)
{
    struct queue *q = NULL;
    uint32_t key = (uint32_t)id;
    if (key == id)
        HASH_FIND(hh_id, c->by_id, &key, sizeof key, q);
    return q;
}

struct queue *queue_create(struct core *c, struct span name, const struct queue_settings *settings)
{
    assert(name_valid(name));
    struct queue *q = xcalloc(1, sizeof *q);
    memcpy(q->name, name.data, name.size);
    q->id = ++c->next_queue_id;
    q->consumer_epoch = c->epoch_floor;
    q->settings = *settings;
    memcpy(q->dedup.key, c->dedup_key, sizeof q->dedup.key);
    q->next_sequence = q->base = q->next_ready = q->loaded = 1;
    if (settings->durability == DURABILITY_DISK) {
        q->durable = xcalloc(1, sizeof *q->durable);
        q->durable->end = q->durable->mark = q->durable->mark_written = 1;
    }
    partitions_set(q);
    HASH_ADD(hh_id, c->by_id, id, sizeof q->id, q);
    queue_list_name(c, q);
    return q;
}

void queue_free(struct core *c, struct queue *q)
{
    assert(!q->waiters && !q->topic_count && !q->consumers && queue_remaining(q) == 0);
    if (q->consumer_epoch > c->epoch_floor) /* a later queue of the same name continues above it */
        c->epoch_floor = q->consumer_epoch;
    core_stop_queue(c, q);
    durable_forget_queue(c, q);
    struct store *store = queue_store(c, q);
    if (store) /* NULL: the log could not be opened, and the queue that was replayed from it is freed */
        store->ops->forget(store, q->id);
    queue_unlist_name(c, q);
    HASH_DELETE(hh_id, c->by_id, q);
    trouble_free(q);
    spill_forget(c, q);
    partitions_free(q);
    schedule_free(c, q);
    items_free(q);
    duplicates_forget(c, q);
    if (q->durable) {
        ranges_free(&q->durable->backlog);
        ranges_free(&q->durable->fresh);
    }
    free(q->durable);
    free(q->topics);
    free(q->acked);
    free(q);
}

struct store *queue_store(const struct core *c, const struct queue *q)
{
    return q->durable ? c->disk : c->store;
}

/* The store has it in lane form (store.h): a tag and the size stand before the event. */
struct span queue_event(const struct core *c, const struct queue *q, store_locator at)
{
    struct span lane;
    struct store *store = queue_store(c, q);
    store->ops->read(store, q->id, at, &lane);
    struct wire_reader r = { lane.data + 1, lane.data + lane.size };
    uint64_t size = 0;
    wire_varint(&r, &size);
    return span_of(r.at, (size_t)size);
}

uint64_t queue_remaining(const struct queue *q)
{
    return q->ready + q->in_flight + q->delayed;
}

/* ------------------------------------------------------------------ events in */

static uint64_t left(uint64_t limit, uint64_t used)
{
    return limit > used ? limit - used : 0;
}

struct room queue_room(const struct core *c, const struct queue *q)
{
    return (struct room){
        .events = left(q->settings.capacity + (MUTATED(exceed_capacity) ? 3 : 0), queue_remaining(q)),
        .bytes = left(q->settings.capacity_bytes, q->bytes),
        .budget = q->durable ? c->disk->ops->room(c->disk) : core_budget_left(c),
        .short_of = q->durable ? REASON_disk : REASON_budget,
    };
}

bool room_take_record(struct room *r)
{
    if (r->short_of != REASON_disk || r->budget < DISK_OVERHEAD)
        return false;
    r->budget -= DISK_OVERHEAD;
    return true;
}

void room_subtract(struct room *r, uint64_t events, uint64_t bytes, bool are_queues)
{
    r->budget = left(r->budget, bytes + (r->short_of == REASON_disk ? events * DISK_OVERHEAD : 0));
    if (!are_queues)
        return;
    r->events = left(r->events, events);
    r->bytes = left(r->bytes, bytes);
}

/* Adds items for the newest events, whose bytes are in memory. */
static void add_items(struct core *c, struct queue *q, const struct store_event *events, size_t count,
                      enum item_state state)
{
    int32_t accepted = core_tenths(c);
    items_make_room(q, count);
    for (size_t i = 0; i < count; i++) {
        *item_at(q, q->loaded++) = (struct item){
            .at = events[i].locator,
            .size = (uint32_t)events[i].event.size,
            .accepted = accepted,
            .state = (uint8_t)state,
        };
    }
}

/* Events on disk have only part of the memory budget, so that a backlog of them, which can be read back, leaves room to
 * events of queues in memory, which have no other place. */
static bool may_cache(const struct core *c)
{
    return c->disk->ops->memory(c->disk) < c->config.memory_budget / CACHE_SHARE && core_budget_left(c) > 0;
}

bool queue_keeps(const struct core *c, const struct queue *q, const struct terms *terms)
{
    if (q->loaded != q->next_sequence)
        return false;
    return !q->durable || (terms->not_before_ms == 0 && may_cache(c));
}

/* Delayed events of a queue on disk are read when they are due; the ring skips them. */
static void park(struct core *c, struct queue *q, size_t count, uint64_t bytes)
{
    schedule_of(c, q);
    schedule_park(q, q->next_sequence, count);
    q->durable->backlog_bytes += bytes;
    if (q->loaded != q->next_sequence)
        return;
    items_skip_to(q, q->next_sequence + count);
    items_advance(q);
}

void queue_enter(struct core *c, struct queue *q, const struct store_event *events, size_t count, uint64_t bytes,
                 bool kept, const struct terms *terms)
{
    bool delayed = terms->not_before_ms != 0;
    uint64_t first = q->next_sequence;
    if (kept)
        add_items(c, q, events, count, delayed ? ITEM_DELAYED : ITEM_READY);
    else if (delayed)
        park(c, q, count, bytes);
    else
        backlog_add(q, first, count, bytes);
    q->next_sequence += count;
    q->bytes += bytes;
    *(delayed ? &q->delayed : &q->ready) += count;
    q->ledger.accepted += count;
    if (delayed || terms->expires_ms)
        schedule_accepted(c, q, first, count, terms);
    rate_add(&q->in_rate, count, c->now.mono);
}

/* The note, followed by the terms if there are any. `b` is the buffer for that. */
static struct span with_terms(const struct queue *q, struct span note, const struct terms *terms, struct buf *b)
{
    if (!q->durable || (terms->not_before_ms == 0 && terms->expires_ms == 0))
        return note;
    buf_add(b, note.data, note.size);
    persist_terms(b, terms);
    return buf_span(b);
}

static void accept(struct core *c, struct queue *q, struct store_event *events, size_t count, struct span note,
                   const struct terms *given, const struct store_leaving *leaving, uint64_t *ticket)
{
    struct buf words = { 0 };
    struct terms terms = schedule_terms(q, given, c->now.wall.ms);
    struct store *store = queue_store(c, q);
    struct store_run run = {
        .queue = q->id,
        .first = q->next_sequence,
        .events = events,
        .count = count,
        .accepted_ms = c->now.wall.ms,
        .note = with_terms(q, note, given, &words),
        .keep = queue_keeps(c, q, &terms),
        .leaving = leaving,
    };
    uint64_t bytes = 0;
    *ticket = 0;
    enum store_status status = store->ops->append(store, &run, ticket);
    assert(status == STORE_OK || status == STORE_LATER || status == STORE_FAILED); /* its room was taken */
    c->failed |= status == STORE_FAILED;
    buf_free(&words);
    for (size_t i = 0; i < count; i++)
        bytes += events[i].event.size;
    queue_enter(c, q, events, count, bytes, run.keep && events[0].locator, &terms);
}

void queue_accept(struct core *c, struct queue *q, struct store_event *events, size_t count, struct span note,
                  uint64_t *ticket)
{
    accept(c, q, events, count, note, &(struct terms){ 0 }, NULL, ticket);
}

void queue_accept_on(struct core *c, struct queue *q, struct store_event *events, size_t count, struct span note,
                     const struct terms *terms, uint64_t *ticket)
{
    accept(c, q, events, count, note, terms, NULL, ticket);
}

void queue_accept_from(struct core *c, struct queue *q, struct store_event *event, const struct store_leaving *leaving,
                       uint64_t *ticket)
{
    accept(c, q, event, 1, (struct span){ 0 }, &(struct terms){ 0 }, leaving, ticket);
}

/* ------------------------------------------------------------------ events between states */

static uint64_t *count_of(struct queue *q, uint8_t state)
{
    return state == ITEM_READY ? &q->ready : state == ITEM_IN_FLIGHT ? &q->in_flight : &q->delayed;
}

static void move(struct queue *q, struct item *item, enum item_state to)
{
    --*count_of(q, item->state);
    item->state = (uint8_t)to;
    ++*count_of(q, item->state);
}

void queue_return(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    assert(item->state == ITEM_IN_FLIGHT || item->state == ITEM_DELAYED);
    if (q->schedule && schedule_expire_overdue(c, q, sequence, item))
        return;
    if (q->partitions && item->state == ITEM_IN_FLIGHT)
        partition_ended(c, q, item);
    move(q, item, ITEM_READY);
    if (q->partitions) {
        partition_returned(c, q, sequence, item);
        spill_delivery_failed(c, q);
    } else if (sequence < q->next_ready) { /* else it is delivered from the ring */
        returned_push(q, sequence);
    }
    core_run_queue(c, q);
}

void queue_delay(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms)
{
    assert(item->state == ITEM_IN_FLIGHT || item->state == ITEM_DELAYED);
    if (q->schedule && schedule_expire_overdue(c, q, sequence, item))
        return;
    if (q->partitions && item->state == ITEM_IN_FLIGHT)
        partition_ended(c, q, item);
    move(q, item, ITEM_DELAYED);
    schedule_delay(c, q, sequence, ms);
    if (q->partitions)
        spill_delivery_failed(c, q);
}

void queue_hold_back(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms)
{
    assert(item->state == ITEM_READY);
    move(q, item, ITEM_DELAYED);
    schedule_delay(c, q, sequence, ms);
}

void queue_withdraw(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    if (q->partitions) /* it no longer blocks its partition or key */
        partition_left(c, q, sequence, item);
    move(q, item, ITEM_DELAYED);
}

void queue_taken(struct queue *q, uint64_t sequence, struct item *item, uint32_t lease)
{
    assert(item->state == ITEM_READY);
    move(q, item, ITEM_IN_FLIGHT);
    if (item->attempt)
        q->redelivered++;
    if (item->attempt < UINT16_MAX)
        item->attempt++;
    item->lease = lease;
    if (q->partitions)
        return; /* partition_take has taken it out */
    /* First deliveries go by queue_taken_run. */
    assert(q->returned.count && q->returned.at[0] == sequence);
    returned_pop(q);
}

/* ------------------------------------------------------------------ events out */

uint64_t *ledger_of(struct ledger *l, enum store_cause cause)
{
    switch (cause) {
    case CAUSE_ACKED: return &l->acked;
    case CAUSE_DEAD: return &l->dead_lettered;
    case CAUSE_EXPIRED: return &l->expired;
    case CAUSE_PURGED: return &l->purged;
    case CAUSE_DROPPED:
    case CAUSE_REMOVED: break;
    }
    return &l->dropped;
}

void ledger_add(struct ledger *sum, const struct ledger *l)
{
    sum->accepted += l->accepted;
    sum->acked += l->acked;
    sum->dead_lettered += l->dead_lettered;
    sum->expired += l->expired;
    sum->purged += l->purged;
    sum->dropped += l->dropped;
}

void queue_remove(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    assert(item->state != ITEM_GONE);
    if (q->partitions)
        partition_left(c, q, sequence, item);
    --*count_of(q, item->state);
    q->bytes -= item->size;
    item->state = ITEM_GONE;
    items_gone(q, sequence, item);
    if (q->schedule)
        schedule_gone(q, sequence);
    if (q->waiters || q->topic_count)
        core_run_queue(c, q);
}

void queue_settle(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum store_cause cause)
{
    struct store *store = queue_store(c, q);
    store->ops->settle(store, q->id, sequence, item->at, item->size, cause);
    ++*ledger_of(&q->ledger, cause);
    queue_remove(c, q, sequence, item);
    trouble_settled(q, sequence);
}

struct sweep {
    uint64_t *sequences;
    size_t count, capacity;
    bool everything;
};

static bool collect(void *ctx, uint64_t sequence, struct item *item)
{
    struct sweep *w = ctx;
    if (!w->everything && item->state == ITEM_IN_FLIGHT)
        return true;
    if (w->count == w->capacity) {
        w->capacity = w->capacity ? w->capacity * 2 : 256;
        w->sequences = xrealloc(w->sequences, w->capacity * sizeof *w->sequences);
    }
    w->sequences[w->count++] = sequence;
    return true;
}

uint64_t queue_purge(struct core *c, struct queue *q, bool everything)
{
    struct sweep w = { .everything = everything };
    queue_each(q, 0, collect, &w);
    for (size_t i = 0; i < w.count; i++)
        queue_settle(c, q, w.sequences[i], queue_item(q, w.sequences[i]), CAUSE_PURGED);
    free(w.sequences);
    q->returned.count = 0; /* no item is ready any more */
    if (q->partitions)
        partition_purged(q);
    items_advance(q);
    uint64_t parked = q->schedule ? schedule_purge(c, q) : 0;
    uint64_t spilled = q->partitions ? spill_purge(c, q) : 0;
    return w.count + parked + spilled + (q->durable ? backlog_purge(c, q) : 0);
}
