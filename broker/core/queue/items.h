/* Where a queue keeps its items. Private to queue.c, which keeps the books beside it: these functions place and find
 * items and change no count. */
#ifndef SLUICE_BROKER_CORE_ITEMS_H
#define SLUICE_BROKER_CORE_ITEMS_H

#include "broker/core/state.h"

/* The place of a sequence in the ring: base <= sequence < loaded, or the next ones after items_make_room. */
static inline struct item *item_at(const struct queue *q, uint64_t sequence)
{
    return &q->ring[sequence & (q->ring_capacity - 1)];
}

uint64_t items_held(const struct queue *q);         /* how many there are */
void items_make_room(struct queue *q, size_t more); /* for so many at the tail */
/* Nothing is live in [loaded, sequence): the ring goes on there. A wide gap leaves what is held behind as stragglers. */
bool items_may_skip_to(struct queue *q, uint64_t sequence); /* not while something before a wide gap awaits its turn */
void items_skip_to(struct queue *q, uint64_t sequence);
/* Moves the ring's start past what is gone, and past a head that holds up thousands. */
void items_advance(struct queue *q);
/* An item comes where nothing was, before `loaded`. */
void items_place(struct queue *q, uint64_t sequence, const struct item *item);
/* The item's state became ITEM_GONE: its place goes. `item` is not to be used after it. */
void items_gone(struct queue *q, uint64_t sequence, const struct item *item);
void items_free(struct queue *q); /* the ring and what stands beside it; nothing is held any more */

/* Sequences to deliver again: a min-heap that may hold stale ones. */
void returned_push(struct queue *q, uint64_t sequence);
void returned_pop(struct queue *q);

#endif
