/* A set of sequences that may lie anywhere in a queue and leave in any order. It consists of ranges, in parts of
 * SPILL_PART sequences each, so that adding or removing one in the middle of a million ranges moves only those of
 * its part. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_SPILL_SET_H
#define SLUICE_BROKER_CORE_SPILL_SET_H

#include "broker/store/ranges.h"

#define SPILL_PART UINT64_C(16384)

/* Zeroed: empty. */
struct spill_set {
    struct ranges *parts; /* parts[i] is part first_part + i; those before `head` are empty */
    uint64_t first_part;
    size_t head, count, capacity;
    uint64_t events;
    uint64_t memory; /* bytes of all of it */
};

void spill_set_free(struct spill_set *s);
void spill_set_add(struct spill_set *s, uint64_t sequence);    /* must not be in the set */
void spill_set_remove(struct spill_set *s, uint64_t sequence); /* must be in the set */
bool spill_set_has(const struct spill_set *s, uint64_t sequence);
/* The lowest sequence >= from in the set; false: there is none. */
bool spill_set_next(const struct spill_set *s, uint64_t from, uint64_t *first);
/* How many sequences of [first, end) are in the set. */
uint64_t spill_set_count_in(const struct spill_set *s, uint64_t first, uint64_t end);
bool spill_set_validate(const struct spill_set *s); /* for tests */

#endif
