/* A queue's dedup window: under which sequence events were accepted of late, by a hash of their source and id. Pure.
 *
 * Bounded by time and by entries. An entry leaves when its time is over, or early, oldest first and counted, when there are more
 * than may be. Zero-initialised it is empty and has no memory; memory comes with the first entry, doubles with need, and
 * goes when the window is empty. Every call is O(1), growing and dedup_expire apart, which are O(1) an entry ever entered. */
#ifndef SLUICE_BROKER_CORE_DEDUP_H
#define SLUICE_BROKER_CORE_DEDUP_H

#include "base/mono.h"

#include <stddef.h>

#define DEDUP_HASH_SIZE 16u

struct dedup_entry {
    uint8_t hash[DEDUP_HASH_SIZE];
    uint64_t sequence; /* never 0 */
    mono_t at;         /* accepted */
};

/* The tag tells what is not meant without a look at the ring, and where its home is. */
struct dedup_slot {
    uint32_t place; /* in the ring + 1; 0: free */
    uint32_t tag;   /* of its hash, under the key */
};

struct dedup {
    uint8_t key[16];          /* keeps a peer from choosing hashes that fall onto each other; set it while empty */
    struct dedup_entry *ring; /* entries [head, tail) by & (capacity - 1), in order of acceptance */
    struct dedup_slot *slots; /* 2 * capacity, by tag, linear probing */
    uint32_t capacity;        /* of the ring: a power of two, or 0 */
    uint64_t head, tail;
    uint64_t evicted; /* entries that left early */
};

struct dedup_limits {
    uint64_t entries;  /* at most; at least 1 */
    int64_t window_ms; /* 0: nothing is entered or found */
};

void dedup_free(struct dedup *d);
/* The sequence under which that hash was accepted; 0: not within the window. */
uint64_t dedup_find(const struct dedup *d, const uint8_t hash[DEDUP_HASH_SIZE], mono_t now,
                    const struct dedup_limits *limits);
/* Where dedup_find will look first, or NULL: for a prefetch. (By the caller: gcc takes a function that does nothing but that for
 * one that does nothing, and leaves the call out.) */
const void *dedup_home(const struct dedup *d, const uint8_t hash[DEDUP_HASH_SIZE]);
/* Enters a hash that dedup_find does not find. `at` may be in the past; what came before counts as no later. Without
 * `may_grow` the oldest leaves where memory would be needed (the very first entry is then not taken). */
void dedup_enter(struct dedup *d, const struct dedup_entry *e, mono_t now, const struct dedup_limits *limits,
                 bool may_grow);
/* Bytes of memory that the next dedup_enter would ask for; 0: none. */
uint64_t dedup_growth(const struct dedup *d);
/* Drops what is over and gives memory back that is no longer needed. */
void dedup_expire(struct dedup *d, mono_t now, const struct dedup_limits *limits);
/* Bytes held. */
uint64_t dedup_memory(const struct dedup *d);
/* The entries from the oldest on: those with index 0 to dedup_count - 1. */
uint64_t dedup_count(const struct dedup *d);
const struct dedup_entry *dedup_at(const struct dedup *d, uint64_t index);
/* True when ring and slots agree. For tests. */
bool dedup_validate(const struct dedup *d);

#endif
