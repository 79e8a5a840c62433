/* Sequences that are anywhere in a queue and leave in any order: ranges, in parts of so many sequences, so that what is added or
 * removed in the midst of a million ranges moves those of its part only. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_ASIDE_SET_H
#define SLUICE_BROKER_CORE_ASIDE_SET_H

#include "broker/store/ranges.h"

#define ASIDE_PART UINT64_C(16384)

/* Zeroed: empty. */
struct aside_set {
    struct ranges *parts; /* from first_part on; those before `head` are empty */
    uint64_t first_part;
    size_t head, count, capacity;
    uint64_t events;
    uint64_t memory; /* bytes of all of it */
};

void aside_set_free(struct aside_set *s);
void aside_set_add(struct aside_set *s, uint64_t sequence);    /* it is not in it */
void aside_set_remove(struct aside_set *s, uint64_t sequence); /* it is in it */
bool aside_set_has(const struct aside_set *s, uint64_t sequence);
/* The least sequence >= from that is in it; false: there is none. */
bool aside_set_next(const struct aside_set *s, uint64_t from, uint64_t *first);
/* How many of [first, end) are in it. */
uint64_t aside_set_count_in(const struct aside_set *s, uint64_t first, uint64_t end);
bool aside_set_validate(const struct aside_set *s); /* for tests */

#endif
