/* Order by key: at most one delivery of a key is unsettled.
 *
 * A key is known here from the first delivery of one of its events until none of its sorted events is left. One of
 * its events is current; the others wait behind it whatever happens to it: while it is in flight, and while it has
 * failed and waits for its back-off (the key is then *parked*). When it has left the queue, the next one becomes
 * current and goes back to its partition's heap. Until that is delivered, an earlier event that was delayed and is
 * due now may take its place. Two keys of the same hash count as one. */
#include "broker/core/partition/partition.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <stdlib.h>

struct key *key_find(const struct queue *q, uint64_t hash)
{
    struct key *k = NULL;
    HASH_FIND(hh, q->partitions->keys, &hash, sizeof hash, k);
    return k;
}

static struct key *find_current(const struct queue *q, uint64_t sequence)
{
    struct key *k = NULL;
    HASH_FIND(hh_current, q->partitions->by_current, &sequence, sizeof sequence, k);
    return k;
}

static void set_current(struct partitions *p, struct key *k, uint64_t sequence)
{
    k->current = sequence;
    k->begun = false;
    HASH_ADD(hh_current, p->by_current, current, sizeof k->current, k);
}

static struct key *make_key(struct partitions *p, uint64_t hash, uint64_t sequence)
{
    struct key *k = xcalloc(1, sizeof *k);
    k->hash = hash;
    HASH_ADD(hh, p->keys, hash, sizeof k->hash, k);
    set_current(p, k, sequence);
    return k;
}

/* Whether the current event goes before this one: it is earlier, or was delivered already. */
static bool stands_before(const struct key *k, uint64_t sequence)
{
    return k->current != sequence && (k->begun || k->current < sequence);
}

void key_unwant(struct partitions *p, struct key *k)
{
    if (k->wanting)
        DL_DELETE2(p->spill.wanting, k, wanting_prev, wanting_next);
    k->wanting = false;
}

/* An event that is no longer current stays in its partition's heap; when it is its turn there, it is put behind the
 * new one. */
bool key_claim(struct queue *q, uint64_t hash, uint64_t sequence)
{
    struct partitions *p = q->partitions;
    struct key *k = hash ? key_find(q, hash) : NULL;
    if (hash == 0 || MUTATED(deliver_parked) || (k && MUTATED(due_beside) && sequence < k->current))
        return true;
    if (!k)
        k = make_key(p, hash, sequence);
    if (stands_before(k, sequence))
        return false;
    if (k->current != sequence) {
        key_unwant(p, k);
        HASH_DELETE(hh_current, p->by_current, k);
        set_current(p, k, sequence);
    }
    k->begun = true;
    return true;
}

void key_wait(struct core *c, struct queue *q, uint64_t hash, uint64_t sequence, struct item *item)
{
    struct key *k = key_find(q, hash);
    bool counted = partition_counts(q, sequence, item);
    uint32_t size = item->size;
    if (!spill_join(c, q, &k->spill, sequence, item)) {
        heap_push(&k->waiting, sequence);
        return;
    }
    q->partitions->sorted -= counted;
    q->partitions->sorted_bytes -= counted ? size : 0;
}

static void free_key(struct partitions *p, struct key *k)
{
    HASH_DELETE(hh, p->keys, k);
    key_unwant(p, k);
    heap_free(&k->waiting);
    spill_line_free(p, &k->spill);
    free(k);
}

/* The first waiting event in memory; 0: none. Drops those that have left. */
static uint64_t first_waiting(struct queue *q, struct key *k)
{
    for (; k->waiting.count; heap_pop(&k->waiting)) {
        const struct item *item = queue_item(q, k->waiting.at[0]);
        if (item && item->state == ITEM_READY)
            return k->waiting.at[0];
    }
    return 0;
}

static void want(struct partitions *p, struct key *k)
{
    k->wanting = true;
    DL_APPEND2(p->spill.wanting, k, wanting_prev, wanting_next);
}

uint64_t key_release(struct queue *q, uint64_t sequence)
{
    struct partitions *p = q->partitions;
    struct key *k = find_current(q, sequence);
    if (!k)
        return 0;
    HASH_DELETE(hh_current, p->by_current, k);
    key_unwant(p, k);
    uint64_t next = first_waiting(q, k), spilled;
    if (spill_first(p, &k->spill, &spilled) && (next == 0 || spilled < next) && !MUTATED(forget_spilled)) {
        set_current(p, k, spilled);
        want(p, k);
        return 0;
    }
    if (next == 0) {
        free_key(p, k);
        return 0;
    }
    heap_pop(&k->waiting);
    set_current(p, k, next);
    return next;
}

uint64_t key_blocker(const struct queue *q, uint64_t hash, uint64_t sequence)
{
    const struct key *k = hash ? key_find(q, hash) : NULL;
    return k && stands_before(k, sequence) ? k->current : 0;
}

static uint64_t count_waiting(struct queue *q, const struct key *k)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < k->waiting.count; i++) {
        const struct item *item = queue_item(q, k->waiting.at[i]);
        count += item && item->state == ITEM_READY;
    }
    return count;
}

struct parked keys_parked(struct queue *q)
{
    struct parked parked = { 0 };
    for (struct key *k = q->partitions->keys; k; k = k->hh.next) {
        const struct item *item = queue_item(q, k->current);
        if (!item || item->state != ITEM_DELAYED)
            continue;
        parked.keys++;
        parked.events += count_waiting(q, k) + spill_count(q->partitions, &k->spill);
    }
    return parked;
}

void keys_clear_waiting(struct queue *q)
{
    for (struct key *k = q->partitions->keys; k; k = k->hh.next) {
        k->waiting.count = 0;
        spill_line_free(q->partitions, &k->spill);
    }
}

/* Not only keys in spill.wanting: a current event may also have been spilled with its partition. */
void keys_purge_spilled(struct queue *q)
{
    struct key *k, *next;
    HASH_ITER (hh, q->partitions->keys, k, next) {
        if (spill_set_has(&q->partitions->spill.all, k->current))
            key_release(q, k->current);
    }
}

void keys_free(struct queue *q)
{
    struct partitions *p = q->partitions;
    HASH_CLEAR(hh_current, p->by_current);
    while (p->keys)
        free_key(p, p->keys);
}
