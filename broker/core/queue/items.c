/* The items of a queue: a ring indexed by sequence, so that publishing, delivering in order and acknowledging take
 * one index operation each, without allocation or hashing per event. Two structures complement the ring:
 *   returned    sequences to deliver again, oldest first, before anything that was never delivered;
 *   stragglers  items that stayed while thousands behind them left, moved out so that the ring stays short. */
#include "broker/core/queue/items.h"
#include "broker/core/partition/partition.h"

#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

/* How much longer than the number of items the ring may be before its head becomes a straggler. */
#define RING_SLACK 4096u

/* ------------------------------------------------------------------ the ring */

static void resize_ring(struct queue *q, uint32_t capacity)
{
    struct item *ring = xmalloc(capacity * sizeof *ring);
    for (uint64_t s = q->base; s < q->loaded; s++)
        ring[s & (capacity - 1)] = *item_at(q, s);
    free(q->ring);
    q->ring = ring;
    q->ring_capacity = capacity;
}

void items_make_room(struct queue *q, size_t more)
{
    uint64_t need = q->loaded - q->base + more;
    uint32_t capacity = q->ring_capacity ? q->ring_capacity : 4;
    while (capacity < need)
        capacity *= 2;
    if (capacity != q->ring_capacity)
        resize_ring(q, capacity);
}

static void add_straggler(struct queue *q, uint64_t sequence, const struct item *item)
{
    struct straggler *s = xcalloc(1, sizeof *s);
    s->sequence = sequence;
    s->item = *item;
    HASH_ADD(hh, q->stragglers, sequence, sizeof s->sequence, s);
}

static void straggle(struct queue *q, uint64_t sequence)
{
    add_straggler(q, sequence, item_at(q, sequence));
}

void items_place(struct queue *q, uint64_t sequence, const struct item *item)
{
    assert(sequence < q->loaded && !queue_item(q, sequence));
    if (sequence >= q->base)
        *item_at(q, sequence) = *item;
    else
        add_straggler(q, sequence, item);
}

uint64_t items_held(const struct queue *q)
{
    uint64_t all = queue_remaining(q), on_disk = q->durable ? backlog_on_disk(q) : 0;
    return all > on_disk ? all - on_disk : 0;
}

void items_advance(struct queue *q)
{
    while (q->base < q->loaded) {
        bool gone = item_at(q, q->base)->state == ITEM_GONE;
        if (!gone) {
            if (q->base >= q->next_ready || q->next_ready - q->base <= RING_SLACK + 4 * items_held(q))
                break;
            straggle(q, q->base);
        }
        q->base++;
    }
    if (q->next_ready < q->base)
        q->next_ready = q->base;
    if (q->ring_capacity > 1024 && (q->loaded - q->base) * 8 < q->ring_capacity)
        resize_ring(q, q->ring_capacity / 2);
}

/* Delayed items are passed, too: when they are due they go to `returned`. */
static void pass_what_is_not_ready(struct queue *q)
{
    while (q->next_ready < q->loaded && item_at(q, q->next_ready)->state != ITEM_READY)
        q->next_ready++;
}

/* Items before a wide gap may only become stragglers if none is still to be delivered for the first time: that goes by
 * next_ready, redelivery by sequence. */
bool items_may_skip_to(struct queue *q, uint64_t sequence)
{
    if (sequence - q->loaded <= RING_SLACK)
        return true;
    pass_what_is_not_ready(q);
    return q->next_ready == q->loaded;
}

void items_skip_to(struct queue *q, uint64_t sequence)
{
    assert(sequence >= q->loaded);
    if (sequence - q->loaded <= RING_SLACK) {
        items_make_room(q, (size_t)(sequence - q->loaded));
        for (; q->loaded < sequence; q->loaded++)
            *item_at(q, q->loaded) = (struct item){ .state = ITEM_GONE };
        return;
    }
    for (uint64_t s = q->base; s < q->loaded; s++) {
        assert(s < q->next_ready || item_at(q, s)->state != ITEM_READY); /* it would never be delivered */
        if (item_at(q, s)->state != ITEM_GONE)
            straggle(q, s);
    }
    q->base = q->loaded = q->next_ready = sequence;
}

struct item *queue_item(struct queue *q, uint64_t sequence)
{
    if (sequence >= q->loaded)
        return NULL;
    if (sequence >= q->base) {
        struct item *item = item_at(q, sequence);
        return item->state == ITEM_GONE ? NULL : item;
    }
    struct straggler *s = NULL;
    HASH_FIND(hh, q->stragglers, &sequence, sizeof sequence, s);
    return s ? &s->item : NULL;
}

void items_gone(struct queue *q, uint64_t sequence, const struct item *item)
{
    if (sequence < q->base) {
        struct straggler *s = NULL;
        HASH_FIND(hh, q->stragglers, &sequence, sizeof sequence, s);
        assert(s && &s->item == item);
        (void)item;
        HASH_DEL(q->stragglers, s);
        free(s);
    } else if (sequence == q->base || q->next_ready - q->base > RING_SLACK) {
        items_advance(q);
    }
}

void items_free(struct queue *q)
{
    assert(!q->stragglers);
    free(q->ring);
    heap_free(&q->returned);
}

/* ------------------------------------------------------------------ what comes next */

void returned_push(struct queue *q, uint64_t sequence)
{
    heap_push(&q->returned, sequence);
}

void returned_pop(struct queue *q)
{
    heap_pop(&q->returned);
}

static struct item *next_before(struct queue *q, uint64_t end, uint64_t *sequence)
{
    while (q->returned.count) {
        struct item *item = queue_item(q, q->returned.at[0]);
        if (item && item->state == ITEM_READY && q->returned.at[0] >= end)
            break;
        if (item && item->state == ITEM_READY) {
            *sequence = q->returned.at[0];
            return item;
        }
        returned_pop(q); /* stale */
    }
    pass_what_is_not_ready(q);
    if (q->next_ready >= q->loaded || q->next_ready >= end)
        return NULL;
    *sequence = q->next_ready;
    return item_at(q, q->next_ready);
}

struct item *queue_next(struct queue *q, uint64_t *sequence)
{
    return next_before(q, queue_deliverable_end(q), sequence);
}

struct item *queue_oldest_ready(struct queue *q, uint64_t *sequence)
{
    if (q->partitions)
        return partition_oldest(q, sequence);
    return next_before(q, UINT64_MAX, sequence);
}

/* ------------------------------------------------------------------ all of them */

static int by_sequence(const struct straggler *a, const struct straggler *b)
{
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

static void each_in_ring(struct queue *q, uint64_t from, bool (*visit)(void *, uint64_t, struct item *), void *ctx)
{
    for (uint64_t s = from > q->base ? from : q->base; s < q->loaded; s++) {
        if (item_at(q, s)->state != ITEM_GONE && !visit(ctx, s, item_at(q, s)))
            return;
    }
}

void queue_each(struct queue *q, uint64_t from, bool (*visit)(void *, uint64_t, struct item *), void *ctx)
{
    HASH_SORT(q->stragglers, by_sequence);
    for (struct straggler *s = q->stragglers, *next; s; s = next) {
        next = s->hh.next;
        if (s->sequence >= from && !visit(ctx, s->sequence, &s->item))
            return;
    }
    each_in_ring(q, from, visit, ctx);
}

void queue_all(struct queue *q, bool (*visit)(void *, uint64_t, struct item *), void *ctx)
{
    for (struct straggler *s = q->stragglers; s; s = s->hh.next) {
        if (!visit(ctx, s->sequence, &s->item))
            return;
    }
    each_in_ring(q, 0, visit, ctx);
}

static bool take_first(void *first, uint64_t sequence, struct item *item)
{
    (void)sequence;
    *(const struct item **)first = item;
    return false;
}

const struct item *queue_oldest(struct queue *q)
{
    const struct straggler *least = q->stragglers;
    for (const struct straggler *s = least; s; s = s->hh.next)
        least = s->sequence < least->sequence ? s : least;
    const struct item *first = least ? &least->item : NULL;
    if (!first)
        each_in_ring(q, 0, take_first, &first);
    return first;
}
