/* A set of sequences, kept as sorted, disjoint, non-adjacent ranges: what was settled out of order, what is live.
 * Adding at the end and removing from the front cost O(1); in the middle a binary search, and moving the ranges on
 * the shorter side. */
#ifndef SLUICE_BROKER_RANGES_H
#define SLUICE_BROKER_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
    uint64_t first, end; /* [first, end), never empty */
};

/* Zeroed: empty. Ranges live in items[head .. head + count). */
struct ranges {
    struct range *items;
    size_t head, count, capacity;
};

void ranges_free(struct ranges *r);
/* Adds [first, end). Returns how many of the sequences were not in the set before. */
uint64_t ranges_add(struct ranges *r, uint64_t first, uint64_t end);
/* Removes [first, end). Returns how many of the sequences were in the set. */
uint64_t ranges_remove(struct ranges *r, uint64_t first, uint64_t end);
bool ranges_has(const struct ranges *r, uint64_t sequence);
/* How many sequences of [first, end) are in the set. */
uint64_t ranges_count_in(const struct ranges *r, uint64_t first, uint64_t end);
/* *first: the least sequence >= from that is in the set; *end: the end of its range. False: there is none. */
bool ranges_next(const struct ranges *r, uint64_t from, uint64_t *first, uint64_t *end);
/* The least sequence >= from that is NOT in the set. */
uint64_t ranges_next_gap(const struct ranges *r, uint64_t from);
/* The range number `index` (below count), in order. Valid until the set changes. */
static inline const struct range *ranges_at(const struct ranges *r, size_t index)
{
    return &r->items[r->head + index];
}
/* True when sorted, disjoint, not adjacent and within capacity; for tests. */
bool ranges_validate(const struct ranges *r);

#endif
