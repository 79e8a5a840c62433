/* Neighbours that leave together: acks come as runs, and a run's books are made once. What it does is what queue_settle does for
 * each of them, in the same order. */
#include "broker/core/items.h"

/* Something beside the items keeps word of single events, and wants to hear of each. */
static bool has_more_books(const struct queue *q)
{
    return q->partitions || q->calendar || q->troubles;
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
    core_freed(c);
    return count;
}
