/* Runs of neighbours that are delivered or acked together, whose counts are updated once. The result is the same as
 * calling queue_taken or queue_settle for each event in order. */
#include "broker/core/queue/items.h"

#include <assert.h>

/* Whether a structure besides the items must be told of each event. */
static bool has_more_books(const struct queue *q)
{
    return q->partitions || q->schedule || q->troubles;
}

uint32_t queue_ready_run(const struct queue *q, uint64_t most, size_t bytes)
{
    uint32_t count = 0;
    uint16_t attempt = item_at(q, q->next_ready)->attempt;
    for (size_t size = 0; count < most && size < bytes && q->next_ready + count < q->loaded; count++) {
        const struct item *item = item_at(q, q->next_ready + count);
        if (item->state != ITEM_READY || item->attempt != attempt)
            break;
        size += item->size;
    }
    return count;
}

void queue_taken_run(struct queue *q, uint64_t first, uint32_t count, uint32_t lease)
{
    if (q->partitions || first != q->next_ready) {
        for (uint32_t i = 0; i < count; i++)
            queue_taken(q, first + i, queue_item(q, first + i), lease);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct item *item = item_at(q, first + i);
        assert(item->state == ITEM_READY);
        item->state = ITEM_IN_FLIGHT;
        q->redelivered += item->attempt != 0;
        if (item->attempt < UINT16_MAX)
            item->attempt++;
        item->lease = lease;
    }
    q->ready -= count;
    q->in_flight += count;
    q->next_ready = first + count;
}

uint32_t queue_ack_run(struct core *c, struct queue *q, uint64_t first, uint64_t most, uint32_t lease)
{
    struct store *store = queue_store(c, q);
    uint32_t count = 0;
    uint64_t bytes = 0;
    if (has_more_books(q) || first < q->base)
        return 0;
    for (uint64_t s = first; count < most && s < q->loaded; s++, count++) {
        struct item *item = item_at(q, s);
        if (item->state != ITEM_IN_FLIGHT || item->lease != lease)
            break;
        store->ops->settle(store, q->id, s, item->at, item->size, CAUSE_ACKED);
        item->state = ITEM_GONE;
        bytes += item->size;
    }
    if (count == 0)
        return 0;
    q->in_flight -= count;
    q->bytes -= bytes;
    q->ledger.acked += count;
    items_advance(q);
    if (q->waiters || q->topic_count)
        core_run_queue(c, q);
    return count;
}
