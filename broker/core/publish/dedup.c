/* A ring of entries in order of acceptance, which is also the order of expiry, and an open-addressed hash table of
 * indexes into it. If a hash is entered again after its time, the slot refers to the newer entry; the older one
 * stays in the ring, without a slot, until it is the oldest. */
#include "broker/core/publish/dedup.h"

#include "base/xalloc.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_LEAST 64u
/* Each new entry removes up to so many expired ones: more than come in, so the ring does not fill with them. */
#define EXPIRE_AT_ONCE 4u
/* A slot is prefetched so many entries before it is freed. */
#define DROP_AHEAD 4u

/* ------------------------------------------------------------------ slots */

static uint32_t slot_mask(const struct dedup *d)
{
    return 2 * d->capacity - 1;
}

static struct dedup_entry *entry_in(const struct dedup *d, uint64_t place)
{
    return &d->ring[place & (d->capacity - 1)];
}

/* The product of both halves of the hash, each xored with a secret: without the secret nobody can choose hashes that
 * collide. (With a SipHash instead, hashing took a fifth of the broker's time for events with ids.) */
static uint32_t tag_of(const struct dedup *d, const uint8_t hash[DEDUP_HASH_SIZE])
{
    uint64_t half[2], key[2];
    memcpy(half, hash, sizeof half);
    memcpy(key, d->key, sizeof key);
    __extension__ unsigned __int128 product = (unsigned __int128)(half[0] ^ key[0]) * (half[1] ^ key[1]);
    return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64));
}

/* The slot of that hash, or the free slot where it would be entered. */
static struct dedup_slot *slot_of(const struct dedup *d, uint32_t tag, const uint8_t hash[DEDUP_HASH_SIZE])
{
    uint32_t s = tag & slot_mask(d);
    while (d->slots[s].place &&
           !(d->slots[s].tag == tag && memcmp(entry_in(d, d->slots[s].place - 1)->hash, hash, DEDUP_HASH_SIZE) == 0))
        s = (s + 1) & slot_mask(d);
    return &d->slots[s];
}

/* Frees a slot, and moves slots behind it that probing would no longer reach. */
static void free_slot(struct dedup *d, uint32_t s)
{
    uint32_t mask = slot_mask(d);
    for (uint32_t next = (s + 1) & mask; d->slots[next].place; next = (next + 1) & mask) {
        if (((next - d->slots[next].tag) & mask) < ((next - s) & mask))
            continue; /* its home is after the hole: probing still reaches it */
        d->slots[s] = d->slots[next];
        s = next;
    }
    d->slots[s].place = 0;
}

static uint32_t place_of(const struct dedup *d, uint64_t at)
{
    return ((uint32_t)at & (d->capacity - 1)) + 1;
}

/* Makes the slot of an entry's hash refer to the entry at `at` in the ring. */
static void link_entry(struct dedup *d, uint64_t at)
{
    const uint8_t *hash = entry_in(d, at)->hash;
    uint32_t tag = tag_of(d, hash);
    *slot_of(d, tag, hash) = (struct dedup_slot){ place_of(d, at), tag };
}

/* ------------------------------------------------------------------ memory */

static uint64_t memory_of(uint32_t capacity)
{
    return (uint64_t)capacity * (sizeof(struct dedup_entry) + 2 * sizeof(struct dedup_slot));
}

static void resize(struct dedup *d, uint32_t capacity)
{
    struct dedup old = *d;
    d->ring = xmalloc(capacity * sizeof *d->ring);
    d->slots = xcalloc(2 * (size_t)capacity, sizeof *d->slots);
    d->capacity = capacity;
    for (uint64_t at = d->head; at < d->tail; at++) {
        *entry_in(d, at) = *entry_in(&old, at);
        link_entry(d, at);
    }
    free(old.ring);
    free(old.slots);
}

void dedup_free(struct dedup *d)
{
    free(d->ring);
    free(d->slots);
    d->ring = NULL;
    d->slots = NULL;
    d->capacity = 0;
    d->head = d->tail = 0;
}

uint64_t dedup_growth(const struct dedup *d)
{
    if (d->tail - d->head < d->capacity)
        return 0;
    return d->capacity ? memory_of(d->capacity) : memory_of(CAPACITY_LEAST);
}

uint64_t dedup_memory(const struct dedup *d)
{
    return memory_of(d->capacity);
}

/* ------------------------------------------------------------------ leaving */

static bool is_over(const struct dedup_entry *e, mono_t now, const struct dedup_limits *limits)
{
    return mono_since_ms(now, e->at) >= limits->window_ms;
}

const void *dedup_home(const struct dedup *d, const uint8_t hash[DEDUP_HASH_SIZE])
{
    return d->capacity ? &d->slots[tag_of(d, hash) & slot_mask(d)] : NULL;
}

/* Removes the oldest entry. True: it had a slot, as its hash was not entered again since. Prefetches the slot of a
 * later one, as many usually leave at a time. */
static bool drop_oldest(struct dedup *d)
{
    uint32_t place = place_of(d, d->head), s = tag_of(d, entry_in(d, d->head)->hash) & slot_mask(d);
    if (d->tail - d->head > DROP_AHEAD)
        __builtin_prefetch(dedup_home(d, entry_in(d, d->head + DROP_AHEAD)->hash), 1);
    while (d->slots[s].place && d->slots[s].place != place)
        s = (s + 1) & slot_mask(d);
    bool own = d->slots[s].place != 0;
    if (own)
        free_slot(d, s);
    d->head++;
    return own;
}

static void evict_oldest(struct dedup *d, mono_t now, const struct dedup_limits *limits)
{
    bool early = !is_over(entry_in(d, d->head), now, limits);
    if (drop_oldest(d) && early)
        d->evicted++;
}

static void expire_some(struct dedup *d, mono_t now, const struct dedup_limits *limits, uint64_t most)
{
    while (most-- > 0 && d->head < d->tail && is_over(entry_in(d, d->head), now, limits))
        drop_oldest(d);
}

void dedup_expire(struct dedup *d, mono_t now, const struct dedup_limits *limits)
{
    expire_some(d, now, limits, UINT64_MAX);
    uint64_t count = d->tail - d->head;
    uint32_t capacity = d->capacity;
    if (count == 0) {
        dedup_free(d);
        return;
    }
    while (capacity > CAPACITY_LEAST && count <= capacity / 8)
        capacity /= 2;
    if (capacity != d->capacity)
        resize(d, capacity);
}

/* ------------------------------------------------------------------ finding and entering */

uint64_t dedup_find(const struct dedup *d, const uint8_t hash[DEDUP_HASH_SIZE], mono_t now,
                    const struct dedup_limits *limits)
{
    if (d->head == d->tail)
        return 0;
    uint32_t place = slot_of(d, tag_of(d, hash), hash)->place;
    if (!place)
        return 0;
    const struct dedup_entry *e = entry_in(d, place - 1);
    return is_over(e, now, limits) ? 0 : e->sequence;
}

/* Makes room for one more entry. False: there is no memory, and none may be allocated. */
static bool make_room(struct dedup *d, mono_t now, const struct dedup_limits *limits, bool may_grow)
{
    expire_some(d, now, limits, EXPIRE_AT_ONCE);
    while (d->tail - d->head >= limits->entries)
        evict_oldest(d, now, limits);
    if (dedup_growth(d) == 0)
        return true;
    if (may_grow)
        resize(d, d->capacity ? 2 * d->capacity : CAPACITY_LEAST);
    else if (d->capacity)
        evict_oldest(d, now, limits);
    return d->capacity != 0;
}

void dedup_enter(struct dedup *d, const struct dedup_entry *e, mono_t now, const struct dedup_limits *limits,
                 bool may_grow)
{
    if (is_over(e, now, limits))
        return;
    if (!make_room(d, now, limits, may_grow)) {
        d->evicted++;
        return;
    }
    struct dedup_entry *to = entry_in(d, d->tail);
    *to = *e;
    if (d->tail > d->head && mono_before(to->at, entry_in(d, d->tail - 1)->at))
        to->at = entry_in(d, d->tail - 1)->at; /* the wall clock was set back between two starts of the broker */
    link_entry(d, d->tail);
    d->tail++;
}

/* ------------------------------------------------------------------ looking */

uint64_t dedup_count(const struct dedup *d)
{
    return d->tail - d->head;
}

const struct dedup_entry *dedup_at(const struct dedup *d, uint64_t index)
{
    return entry_in(d, d->head + index);
}

bool dedup_validate(const struct dedup *d)
{
    uint64_t owned = 0, used = 0;
    for (uint64_t at = d->head; at < d->tail; at++) {
        const struct dedup_entry *e = entry_in(d, at);
        uint32_t place = slot_of(d, tag_of(d, e->hash), e->hash)->place;
        if (place == 0 || (at > d->head && mono_before(e->at, entry_in(d, at - 1)->at)))
            return false;
        owned += place == place_of(d, at);
    }
    for (uint32_t s = 0; s < 2 * d->capacity; s++)
        used += d->slots[s].place != 0;
    return owned == used && d->tail - d->head <= d->capacity;
}
