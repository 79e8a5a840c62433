/* What a queue holds. Items sit in a ring by sequence, so that publishing, delivering in order and acknowledging are an
 * index each, with no allocation and no hashing per event. Three things stand beside the ring:
 *   returned    sequences to deliver again, oldest first, ahead of what was never delivered;
 *   stragglers  items that stay while thousands behind them leave, moved out so that the ring stays short;
 *   delay timers of nacked events, in the core.
 * The books (ledger, counts, bytes) change here and nowhere else. */
#include "broker/core/state.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The ring may be this much longer than what is held before its head becomes a straggler. */
#define RING_SLACK   4096u
#define RATE_SECONDS 10.0

void rate_add(struct rate *r, uint64_t events, mono_t now)
{
    r->value = rate_read(r, now) + (double)events / RATE_SECONDS;
    r->at = now;
}

double rate_read(const struct rate *r, mono_t now)
{
    double seconds = (double)(now.ns - r->at.ns) / 1e9;
    return seconds <= 0 ? r->value : r->value * exp(-seconds / RATE_SECONDS);
}

/* ------------------------------------------------------------------ the ring */

static struct item *at(const struct queue *q, uint64_t sequence)
{
    return &q->ring[sequence & (q->ring_capacity - 1)];
}

static void resize_ring(struct queue *q, uint32_t capacity)
{
    struct item *ring = xmalloc(capacity * sizeof *ring);
    for (uint64_t s = q->base; s < q->next_sequence; s++)
        ring[s & (capacity - 1)] = *at(q, s);
    free(q->ring);
    q->ring = ring;
    q->ring_capacity = capacity;
}

static void make_room(struct queue *q, size_t more)
{
    uint64_t need = q->next_sequence - q->base + more;
    uint32_t capacity = q->ring_capacity ? q->ring_capacity : 16;
    while (capacity < need)
        capacity *= 2;
    if (capacity != q->ring_capacity)
        resize_ring(q, capacity);
}

static uint64_t held(const struct queue *q)
{
    return q->ready + q->in_flight + q->delayed;
}

static void straggle(struct queue *q, uint64_t sequence)
{
    struct straggler *s = xcalloc(1, sizeof *s);
    s->sequence = sequence;
    s->item = *at(q, sequence);
    HASH_ADD(hh, q->stragglers, sequence, sizeof s->sequence, s);
}

/* Moves the ring's start past what is gone, and past a head that holds up thousands. */
static void advance(struct queue *q)
{
    while (q->base < q->next_sequence) {
        bool gone = at(q, q->base)->state == ITEM_GONE;
        if (!gone) {
            if (q->base >= q->next_ready || q->next_ready - q->base <= RING_SLACK + 4 * held(q))
                break;
            straggle(q, q->base);
        }
        q->base++;
    }
    if (q->next_ready < q->base)
        q->next_ready = q->base;
    if (q->ring_capacity > 1024 && (q->next_sequence - q->base) * 8 < q->ring_capacity)
        resize_ring(q, q->ring_capacity / 2);
}

struct item *queue_item(struct queue *q, uint64_t sequence)
{
    if (sequence >= q->next_sequence)
        return NULL;
    if (sequence >= q->base) {
        struct item *item = at(q, sequence);
        return item->state == ITEM_GONE ? NULL : item;
    }
    struct straggler *s = NULL;
    HASH_FIND(hh, q->stragglers, &sequence, sizeof sequence, s);
    return s ? &s->item : NULL;
}

/* ------------------------------------------------------------------ returned: a min-heap of sequences */

static void heap_push(struct queue *q, uint64_t sequence)
{
    if (q->returned_count == q->returned_capacity) {
        q->returned_capacity = q->returned_capacity ? q->returned_capacity * 2 : 16;
        q->returned = xrealloc(q->returned, q->returned_capacity * sizeof *q->returned);
    }
    uint32_t i = q->returned_count++;
    while (i && q->returned[(i - 1) / 2] > sequence) {
        q->returned[i] = q->returned[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    q->returned[i] = sequence;
}

static void heap_pop(struct queue *q)
{
    uint64_t last = q->returned[--q->returned_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= q->returned_count)
            break;
        if (child + 1 < q->returned_count && q->returned[child + 1] < q->returned[child])
            child++;
        if (q->returned[child] >= last)
            break;
        q->returned[i] = q->returned[child];
        i = child;
    }
    if (q->returned_count)
        q->returned[i] = last;
}

/* ------------------------------------------------------------------ life of a queue */

struct queue *queue_find(struct core *c, struct span name)
{
    struct queue *q = NULL;
    HASH_FIND(hh, c->queues, name.data, (unsigned)name.size, q);
    return q;
}

static uint32_t place_by_name(const struct core *c, const char *name)
{
    uint32_t low = 0, high = c->queue_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (strcmp(c->by_name[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct queue *queue_create(struct core *c, struct span name, const struct queue_settings *settings)
{
    assert(name_valid(name));
    struct queue *q = xcalloc(1, sizeof *q);
    memcpy(q->name, name.data, name.size);
    q->id = ++c->next_queue_id;
    q->settings = *settings;
    q->next_sequence = q->base = q->next_ready = 1;
    HASH_ADD_KEYPTR(hh, c->queues, q->name, (unsigned)name.size, q);
    if (c->queue_count == c->by_name_capacity) {
        c->by_name_capacity = c->by_name_capacity ? c->by_name_capacity * 2 : 16;
        c->by_name = xrealloc(c->by_name, c->by_name_capacity * sizeof(struct queue *));
    }
    uint32_t place = place_by_name(c, q->name);
    memmove(c->by_name + place + 1, c->by_name + place, (c->queue_count - place) * sizeof(struct queue *));
    c->by_name[place] = q;
    c->queue_count++;
    return q;
}

static void forget_delays(struct core *c, struct queue *q)
{
    size_t count = c->delay_timers.count, found = 0;
    struct delayed **all = xmalloc((count + 1) * sizeof(struct delayed *));
    for (size_t i = 0; i < count; i++) {
        struct delayed *d = (struct delayed *)(void *)c->delay_timers.heap[i];
        if (d->queue == q)
            all[found++] = d;
    }
    for (size_t i = 0; i < found; i++) {
        timers_clear(&c->delay_timers, &all[i]->timer);
        free(all[i]);
    }
    free(all);
}

void queue_free(struct core *c, struct queue *q)
{
    assert(!q->waiters && !q->consumers && held(q) == 0);
    forget_delays(c, q);
    c->store->ops->forget(c->store, q->id);
    uint32_t place = place_by_name(c, q->name);
    memmove(c->by_name + place, c->by_name + place + 1, (c->queue_count - place - 1) * sizeof(struct queue *));
    c->queue_count--;
    HASH_DELETE(hh, c->queues, q);
    assert(!q->stragglers);
    free(q->ring);
    free(q->returned);
    free(q->settlements);
    free(q);
}

/* ------------------------------------------------------------------ events in */

static uint64_t left(uint64_t limit, uint64_t used)
{
    return limit > used ? limit - used : 0;
}

struct room queue_room(const struct core *c, const struct queue *q)
{
    return (struct room){
        .events = left(q->settings.capacity + (MUTATED(exceed_capacity) ? 3 : 0), held(q)),
        .bytes = left(q->settings.capacity_bytes, q->bytes),
        .budget = core_budget_left(c),
    };
}

enum reason room_take(struct room *r, uint64_t size)
{
    if (r->events == 0 || r->bytes < size)
        return REASON_full;
    if (r->budget < size)
        return REASON_budget;
    r->events--;
    r->bytes -= size;
    r->budget -= size;
    return REASON_ok;
}

void queue_accept(struct core *c, struct queue *q, struct store_event *events, size_t count)
{
    make_room(q, count);
    uint32_t tenths = core_tenths(c);
    for (size_t i = 0; i < count; i++) {
        events[i].queue = q->id;
        events[i].sequence = q->next_sequence + i;
    }
    uint64_t ticket = 0;
    enum store_status status = c->store->ops->append(c->store, events, count, 0, &ticket);
    assert(status == STORE_OK && ticket == 0); /* queues in memory */
    (void)status;
    for (size_t i = 0; i < count; i++) {
        *at(q, q->next_sequence++) = (struct item){
            .at = events[i].locator,
            .size = (uint32_t)events[i].event.size,
            .accepted = tenths,
            .state = ITEM_READY,
        };
        q->bytes += events[i].event.size;
    }
    q->ready += count;
    q->ledger.accepted += count;
    rate_add(&q->in_rate, count, c->now.mono);
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
    move(q, item, ITEM_READY);
    heap_push(q, sequence);
    core_run_queue(c, q);
}

void queue_delay(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms)
{
    assert(item->state == ITEM_IN_FLIGHT);
    move(q, item, ITEM_DELAYED);
    struct delayed *d = xcalloc(1, sizeof *d);
    d->queue = q;
    d->sequence = sequence;
    timers_set(&c->delay_timers, &d->timer, mono_add_ms(c->now.mono, (int64_t)ms));
}

void queue_delay_over(struct core *c, struct delayed *d)
{
    struct item *item = queue_item(d->queue, d->sequence);
    if (item && item->state == ITEM_DELAYED) /* else it was purged meanwhile */
        queue_return(c, d->queue, d->sequence, item);
    free(d);
}

struct item *queue_next(struct queue *q, uint64_t *sequence)
{
    while (q->returned_count) {
        struct item *item = queue_item(q, q->returned[0]);
        if (item && item->state == ITEM_READY) {
            *sequence = q->returned[0];
            return item;
        }
        heap_pop(q); /* left meanwhile */
    }
    while (q->next_ready < q->next_sequence && at(q, q->next_ready)->state == ITEM_GONE)
        q->next_ready++;
    if (q->next_ready == q->next_sequence)
        return NULL;
    *sequence = q->next_ready;
    return at(q, q->next_ready);
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
    if (q->returned_count && q->returned[0] == sequence)
        heap_pop(q);
    else
        q->next_ready = sequence + 1;
}

/* ------------------------------------------------------------------ events out */

static uint64_t *book_of(struct ledger *l, enum store_cause cause)
{
    switch (cause) {
    case CAUSE_ACKED: return &l->acked;
    case CAUSE_DEAD: return &l->dead_lettered;
    case CAUSE_EXPIRED: return &l->expired;
    case CAUSE_PURGED: return &l->purged;
    case CAUSE_DROPPED: break;
    }
    return &l->dropped;
}

void queue_settle(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum store_cause cause)
{
    assert(item->state != ITEM_GONE);
    c->store->ops->settle(c->store, q->id, sequence, item->at, cause);
    --*count_of(q, item->state);
    q->bytes -= item->size;
    ++*book_of(&q->ledger, cause);
    item->state = ITEM_GONE;
    if (sequence < q->base) {
        struct straggler *s = NULL;
        HASH_FIND(hh, q->stragglers, &sequence, sizeof sequence, s);
        assert(s && &s->item == item);
        HASH_DEL(q->stragglers, s);
        free(s);
    } else if (sequence == q->base || q->next_ready - q->base > RING_SLACK) {
        advance(q);
    }
    if (q->waiters)
        core_run_queue(c, q);
    core_freed(c);
}

bool queue_drop_oldest(struct core *c, struct queue *q)
{
    uint64_t sequence;
    struct item *item = queue_next(q, &sequence);
    if (!item)
        return false;
    queue_settle(c, q, sequence, item, CAUSE_DROPPED);
    return true;
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
    q->returned_count = 0; /* nothing is ready any more */
    advance(q);
    return w.count;
}

/* ------------------------------------------------------------------ looking */

static int by_sequence(const struct straggler *a, const struct straggler *b)
{
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

void queue_each(struct queue *q, uint64_t from, bool (*visit)(void *, uint64_t, struct item *), void *ctx)
{
    HASH_SORT(q->stragglers, by_sequence);
    for (struct straggler *s = q->stragglers, *next; s; s = next) {
        next = s->hh.next;
        if (s->sequence >= from && !visit(ctx, s->sequence, &s->item))
            return;
    }
    for (uint64_t s = from > q->base ? from : q->base; s < q->next_sequence; s++) {
        if (at(q, s)->state != ITEM_GONE && !visit(ctx, s, at(q, s)))
            return;
    }
}

static bool first_age(void *ctx, uint64_t sequence, struct item *item)
{
    (void)sequence;
    *(uint32_t *)ctx = item->accepted;
    return false;
}

uint32_t queue_oldest_ms(const struct core *c, struct queue *q)
{
    uint32_t accepted = core_tenths(c);
    queue_each(q, 0, first_age, &accepted);
    return (core_tenths(c) - accepted) * 100;
}

uint64_t queue_remaining(const struct queue *q)
{
    return held(q);
}

uint32_t queue_retry_ms(const struct core *c, const struct queue *q)
{
    double rate = rate_read(&q->out_rate, c->now.mono);
    if (rate < 0.01)
        return 0;
    double ms = 1000.0 * (double)(q->waiting + 1) / rate;
    return ms > 60000 ? 60000 : ms < 1 ? 1 : (uint32_t)ms;
}

struct tally {
    uint64_t ready, in_flight, delayed, bytes;
};

static bool tally(void *ctx, uint64_t sequence, struct item *item)
{
    (void)sequence;
    struct tally *t = ctx;
    t->bytes += item->size;
    t->ready += item->state == ITEM_READY;
    t->in_flight += item->state == ITEM_IN_FLIGHT;
    t->delayed += item->state == ITEM_DELAYED;
    return true;
}

/* Aborts with the name of what does not hold, in every build: asserts may be compiled out. */
#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "queue %s: does not hold: %s\n", q->name, #condition);                                     \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

void queue_validate(struct queue *q)
{
    struct tally t = { 0 };
    queue_each(q, 0, tally, &t);
    HOLDS(t.ready == q->ready && t.in_flight == q->in_flight && t.delayed == q->delayed && t.bytes == q->bytes);
    HOLDS(q->base <= q->next_ready && q->next_ready <= q->next_sequence);
    HOLDS(q->next_sequence - q->base <= q->ring_capacity || q->next_sequence == q->base);
    const struct ledger *l = &q->ledger;
    HOLDS(l->accepted == l->acked + l->dead_lettered + l->expired + l->purged + l->dropped + held(q));
}
