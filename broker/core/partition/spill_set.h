/* Sequences that are anywhere in a queue and leave in any order: ranges, in parts of so many sequences, so that what is added or
 * removed in the midst of a million ranges moves those of its part only. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_SPILL_SET_H
#define SLUICE_BROKER_CORE_SPILL_SET_H

#include "broker/store/ranges.h"

#define SPILL_PART UINT64_C(16384)

/* Zeroed: empty. */
struct spill_set {
    struct ranges *parts; /* from first_part on; those before `head` are empty */
    uint64_t first_part;
    size_t head, count, capacity;
    uint64_t events;
    uint64_t memory; /* bytes of all of it */
};

void spill_set_free(struct spill_set *s);
void spill_set_add(struct spill_set *s, uint64_t sequence);    /* it is not in it */
void spill_set_remove(struct spill_set *s, uint64_t sequence); /* it is in it */
bool spill_set_has(const struct spill_set *s, uint64_t sequence);
/* The least sequence >= from that is in it; false: there is none. */
bool spill_set_next(const struct spill_set *s, uint64_t from, uint64_t *first);
/* How many of [first, end) are in it. */
uint64_t spill_set_count_in(const struct spill_set *s, uint64_t first, uint64_t end);
bool spill_set_validate(const struct spill_set *s); /* for tests */

#endif
