/* The ring of a queue's items and its stragglers. These functions place and find items; they change neither counts nor
 * ledger, which is the callers' business. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_ITEMS_H
#define SLUICE_BROKER_CORE_ITEMS_H

#include "broker/core/state.h"

/* The place of a sequence in the ring: base <= sequence < loaded, or beyond `loaded` after items_make_room. */
static inline struct item *item_at(const struct queue *q, uint64_t sequence)
{
    return &q->ring[sequence & (q->ring_capacity - 1)];
}

uint64_t items_held(const struct queue *q);         /* number of items */
void items_make_room(struct queue *q, size_t more); /* for `more` items at the tail */
/* Continues the ring at `sequence`, as nothing is live in [loaded, sequence). If the gap is wide, the items before
 * it become stragglers. items_may_skip_to is false while an item before a wide gap has yet to be delivered for the
 * first time. */
bool items_may_skip_to(struct queue *q, uint64_t sequence);
void items_skip_to(struct queue *q, uint64_t sequence);
/* Moves `base` past items that are gone, and turns the head into a straggler if thousands behind it have left. */
void items_advance(struct queue *q);
/* Adds an item below `loaded`, at a sequence that has none. */
void items_place(struct queue *q, uint64_t sequence, const struct item *item);
/* Frees the place of an item whose state became ITEM_GONE. `item` must not be used afterwards. */
void items_gone(struct queue *q, uint64_t sequence, const struct item *item);
void items_free(struct queue *q); /* frees the ring and `returned`; no stragglers are left */

/* q->returned, the sequences to deliver again: a min-heap, some of whose entries may be stale. */
void returned_push(struct queue *q, uint64_t sequence);
void returned_pop(struct queue *q);

#endif
