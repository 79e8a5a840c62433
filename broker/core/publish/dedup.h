/* A queue's dedup window: maps the hash of an event's source and id to the sequence under which the event was
 * accepted recently. Pure.
 *
 * The window is bounded by time and by number of entries. An entry leaves when its time is over. It leaves early,
 * oldest first, when there are too many; such evictions are counted. Zeroed, the window is empty and owns no memory;
 * it allocates with the first entry, doubles as needed, and frees its memory when it is empty. Every call is O(1),
 * except growing and dedup_expire, which are O(1) amortised over the entries. */
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

/* A slot of the hash table. Comparing tags avoids most look-ups in the ring; the tag also gives the slot's home. */
struct dedup_slot {
    uint32_t place; /* index in the ring + 1; 0: the slot is free */
    uint32_t tag;   /* keyed hash of the entry's hash */
};

struct dedup {
    uint8_t key[16];          /* secret, so that a peer cannot choose hashes that collide; set while empty */
    struct dedup_entry *ring; /* entries [head, tail) by & (capacity - 1), in order of acceptance */
    struct dedup_slot *slots; /* 2 * capacity, by tag, linear probing */
    uint32_t capacity;        /* of the ring: a power of two, or 0 */
    uint64_t head, tail;
    uint64_t evicted; /* number of entries that left early */
};

struct dedup_limits {
    uint64_t entries;  /* maximum; at least 1 */
    int64_t window_ms; /* 0: nothing is entered or found */
};

void dedup_free(struct dedup *d);
/* The sequence under which an event of that hash was accepted; 0: none within the window. */
uint64_t dedup_find(const struct dedup *d, const uint8_t hash[DEDUP_HASH_SIZE], mono_t now,
                    const struct dedup_limits *limits);
/* The address that dedup_find will read first, for a prefetch; NULL: none. (The caller prefetches: gcc takes a
 * function that does only that to have no effect, and drops the call.) */
const void *dedup_home(const struct dedup *d, const uint8_t hash[DEDUP_HASH_SIZE]);
/* Enters a hash that dedup_find does not find. e->at may be in the past, but is raised to that of the newest entry.
 * Without `may_grow` the oldest entry is evicted where memory would be needed; an entry to an empty window is then
 * not taken. */
void dedup_enter(struct dedup *d, const struct dedup_entry *e, mono_t now, const struct dedup_limits *limits,
                 bool may_grow);
/* Bytes of memory that the next dedup_enter would allocate; 0: none. */
uint64_t dedup_growth(const struct dedup *d);
/* Drops entries whose time is over, and frees memory that is no longer needed. */
void dedup_expire(struct dedup *d, mono_t now, const struct dedup_limits *limits);
/* Its memory in bytes. */
uint64_t dedup_memory(const struct dedup *d);
/* The entries by index: 0 is the oldest, dedup_count - 1 the newest. */
uint64_t dedup_count(const struct dedup *d);
const struct dedup_entry *dedup_at(const struct dedup *d, uint64_t index);
/* True when ring and slots agree. For tests. */
bool dedup_validate(const struct dedup *d);

#endif
