/* Partitions: which one an event is in, and which event comes next there. Events are sorted on demand: when a
 * partition needs its next event, all events before that are looked at and go to the partitions that they belong to. */
#include "broker/core/partition/partition.h"
#include "broker/core/queue/items.h"
#include "broker/core/queue/schedule.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <stdlib.h>

#define OLDEST_LEAST 1024u

void partitions_set(struct queue *q)
{
    bool ordered = q->settings.ordered == ORDERED_KEY;
    uint32_t count = (uint32_t)q->settings.partitions;
    partitions_free(q);
    if (count == 1 && !ordered)
        return;
    q->partitions = xcalloc(1, sizeof *q->partitions + count * sizeof q->partitions->at[0]);
    q->partitions->count = count;
    q->partitions->ordered = ordered;
}

void partitions_free(struct queue *q)
{
    struct partitions *p = q->partitions;
    if (!p)
        return;
    keys_free(q);
    for (uint32_t i = 0; i < p->count; i++) {
        heap_free(&p->at[i].ready);
        spill_line_free(p, &p->at[i].spill);
    }
    heap_free(&p->oldest);
    spill_free(p);
    free(p);
    q->partitions = NULL;
}

uint64_t partition_key(const struct core *c, const struct queue *q, const struct item *item)
{
    char number[EVENT_KEY_NUMBER];
    return event_key_hash(event_key(queue_event(c, q, item->at), number));
}

/* ------------------------------------------------------------------ sorting */

bool partition_is_full(const struct core *c, const struct queue *q)
{
    const struct partitions *p = q->partitions;
    return p && q->durable && (p->sorted >= c->config.look_ahead || p->sorted_bytes >= c->config.look_ahead_bytes);
}

bool partition_awaits_mark(const struct queue *q)
{
    const struct partitions *p = q->partitions;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->at[i].ready.count && p->at[i].ready.at[0] >= q->durable->mark)
            return true;
    }
    return false;
}

bool partition_wants(const struct partition *p)
{
    return p->owner && !p->heir && p->owner->next_delivery <= p->owner->limit;
}

bool partition_is_reached(const struct queue *q, const struct partition *p)
{
    return partition_wants(p) && !q->paused && p->owner->session->link.open && link_room(&p->owner->session->link);
}

static uint64_t load_of(const struct partition *p)
{
    return p->ready.count + p->in_flight + p->spill.events;
}

static bool has_nothing(const struct partition *p)
{
    return partition_wants(p) && p->spill.events == 0;
}

/* The partition for an event without a key: the one with the least to do, preferably among those whose consumer
 * wants more. */
static uint32_t least_loaded(const struct partitions *p)
{
    uint32_t least = 0;
    for (uint32_t i = 1; i < p->count; i++) {
        bool wants = has_nothing(&p->at[i]), less = load_of(&p->at[i]) < load_of(&p->at[least]);
        if (wants != has_nothing(&p->at[least]) ? wants : less)
            least = i;
    }
    return least;
}

/* The event's partition. It keeps it as long as it is in memory: an event without a key that is redelivered must not
 * go to another consumer while the former one may still have it before it. */
static struct partition *place(const struct core *c, const struct queue *q, struct item *item)
{
    struct partitions *p = q->partitions;
    if (item->place == 0) {
        uint64_t hash = p->count > 1 ? partition_key(c, q, item) : 0;
        uint32_t partition = hash ? (uint32_t)(hash % p->count) : least_loaded(p);
        item->place = (uint8_t)(partition + 1);
    }
    return &p->at[item->place - 1];
}

bool partition_counts(const struct queue *q, uint64_t sequence, const struct item *item)
{
    return q->durable && item->attempt == backlog_attempt_by_mark(q, sequence);
}

void partition_count(struct queue *q, uint64_t sequence, const struct item *item)
{
    bool counts = partition_counts(q, sequence, item);
    q->partitions->sorted += counts;
    q->partitions->sorted_bytes += counts ? item->size : 0;
}

void partition_uncount(struct queue *q, uint64_t sequence, const struct item *item)
{
    bool counts = partition_counts(q, sequence, item);
    q->partitions->sorted -= counts;
    q->partitions->sorted_bytes -= counts ? item->size : 0;
}

/* Puts a ready event into its partition's heap or spills it. `item` must not be used afterwards. */
static void put(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    struct partition *at = place(c, q, item);
    if (spill_join(c, q, &at->spill, sequence, item))
        return;
    heap_push(&at->ready, sequence);
    partition_is_ready(q, sequence);
    partition_count(q, sequence, item);
}

/* After a restart, for an event that failed before: delays it for the rest of its back-off, during which it blocks
 * its key as it did before. */
static bool resume_backoff(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    uint64_t rest = q->durable && q->partitions->ordered ? schedule_backoff_left(c, q, sequence) : 0;
    uint64_t key = rest ? partition_key(c, q, item) : 0;
    if (rest == 0 || key_blocker(q, key, sequence))
        return false;
    key_claim(q, key, sequence);
    queue_hold_back(c, q, sequence, item, rest);
    return true;
}

/* Whether more ready events have to be loaded: backlog, or unparked ones. */
static bool more_comes(const struct queue *q)
{
    return q->durable && (q->durable->backlog_events || (q->schedule && q->schedule->unparked_events));
}

bool partition_has_room(struct core *c, struct queue *q)
{
    if (!partition_is_full(c, q) || (!q->partitions->starved && spill_make_room(c, q)))
        return true;
    q->partitions->starved = true;
    return false;
}

/* Sorts until that partition, which has no event in memory or spilled, has one. False: there is nothing more to
 * sort, or the look-ahead is full. */
static bool sort_for(struct core *c, struct queue *q, uint32_t partition)
{
    uint64_t end = queue_deliverable_end(q);
    end = end < q->loaded ? end : q->loaded;
    if (q->next_ready >= end && more_comes(q))
        partition_has_room(c, q); /* makes room for what is loaded next */
    while (q->next_ready < end && partition_has_room(c, q)) {
        if (q->next_ready >= end)
            break; /* making room has moved next_ready, past events that had left */
        struct item *item = item_at(q, q->next_ready);
        uint64_t sequence = q->next_ready++;
        if (item->state == ITEM_READY && !resume_backoff(c, q, sequence, item))
            put(c, q, sequence, item);
        if (q->partitions->at[partition].ready.count)
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------ what comes next */

bool partition_awaits_disk(struct partitions *p, struct partition *at)
{
    if (at->spill.events == 0)
        return false;
    if (at->ready.count && MUTATED(pass_spilled))
        return false;
    return spill_has_before(p, &at->spill, at->ready.count ? at->ready.at[0] : UINT64_MAX);
}

/* Takes the partition's next event out of its heap; NULL: there is none. Events that must wait for their key are put
 * behind it. */
static struct item *pop_next(struct core *c, struct queue *q, uint32_t partition, uint64_t *sequence)
{
    struct partitions *p = q->partitions;
    struct heap *ready = &p->at[partition].ready;
    while (!partition_awaits_disk(p, &p->at[partition]) && (ready->count || sort_for(c, q, partition))) {
        if (ready->at[0] >= queue_deliverable_end(q))
            return NULL; /* it was delayed, and the mark has not reached it yet */
        struct item *item = queue_item(q, *sequence = ready->at[0]);
        heap_pop(ready);
        if (!item || item->state != ITEM_READY)
            continue; /* it has left */
        uint64_t hash = p->ordered ? partition_key(c, q, item) : 0;
        if (!p->ordered || key_claim(q, hash, *sequence))
            return item;
        key_wait(c, q, hash, *sequence, item);
    }
    return NULL;
}

static void take(struct queue *q, struct partition *from, uint64_t sequence, const struct item *item)
{
    partition_uncount(q, sequence, item);
    from->in_flight++;
}

/* Takes the neighbour into the batch if it is the partition's next event and its key is free. */
static bool goes_along(struct core *c, struct queue *q, uint32_t partition, uint64_t sequence)
{
    struct partitions *p = q->partitions;
    struct heap *ready = &p->at[partition].ready;
    const struct item *item = queue_item(q, sequence);
    if (!item || item->state != ITEM_READY || item->attempt || sequence >= queue_deliverable_end(q))
        return false;
    if (partition_awaits_disk(p, &p->at[partition]) || (!ready->count && !sort_for(c, q, partition)) ||
        ready->at[0] != sequence)
        return false;
    item = queue_item(q, sequence); /* sorting may have moved it */
    if (p->ordered && key_blocker(q, partition_key(c, q, item), sequence))
        return false;
    heap_pop(ready);
    return !p->ordered || key_claim(q, partition_key(c, q, item), sequence);
}

/* The batch that begins with the partition's next event. */
static struct selection take_batch(struct core *c, struct queue *q, uint32_t partition, uint64_t credit, size_t bytes)
{
    struct partitions *p = q->partitions;
    struct selection s = { .partition = partition };
    struct item *item = pop_next(c, q, partition, &s.first);
    if (!item)
        return s;
    size_t size = item->size;
    take(q, &p->at[partition], s.first, item);
    s.count = 1;
    if (item->attempt)
        return s; /* a redelivered event goes alone: its neighbours have other attempt counts */
    while (s.count < credit && size < bytes) {
        if (!goes_along(c, q, partition, s.first + s.count))
            break;
        item = queue_item(q, s.first + s.count);
        size += item->size;
        take(q, &p->at[partition], s.first + s.count, item);
        s.count++;
    }
    return s;
}

struct selection partition_take(struct core *c, struct consumer *k, uint64_t credit, size_t bytes)
{
    struct partitions *p = k->queue->partitions;
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t partition = (k->served + i) % p->count;
        if (p->at[partition].owner != k || p->at[partition].heir)
            continue;
        struct selection s = take_batch(c, k->queue, partition, credit, bytes);
        if (s.count) {
            uint64_t end = s.first + s.count;
            p->delivered_end = end > p->delivered_end ? end : p->delivered_end;
            p->at[partition].frame = k->session->link.next_sequence;
            k->served = partition + 1; /* its other partitions are served before this one is again */
            return s;
        }
    }
    return (struct selection){ 0 };
}

bool partition_has_more(struct core *c, struct queue *q)
{
    if (!q->partitions->starved)
        return false;
    q->partitions->starved = false;
    return partition_has_room(c, q);
}

/* ------------------------------------------------------------------ items that change */

void partition_ended(struct core *c, struct queue *q, const struct item *item)
{
    struct partition *p = &q->partitions->at[c->leases[item->lease]->partition];
    if (--p->in_flight == 0 && p->heir)
        core_run_queue(c, q);
}

static void unsort(struct queue *q, uint64_t sequence, const struct item *item)
{
    if (item->state == ITEM_READY && sequence < q->next_ready)
        partition_uncount(q, sequence, item);
}

void partition_left(struct core *c, struct queue *q, uint64_t sequence, const struct item *item)
{
    unsort(q, sequence, item);
    if (item->state == ITEM_IN_FLIGHT)
        partition_ended(c, q, item);
    partition_release_key(c, q, sequence);
}

void partition_release_key(struct core *c, struct queue *q, uint64_t sequence)
{
    struct partitions *p = q->partitions;
    uint64_t next = p->ordered ? key_release(q, sequence) : 0;
    if (next)
        heap_push(&place(c, q, queue_item(q, next))->ready, next);
    if (next || p->spill.wanting)
        core_run_queue(c, q);
}

void partition_returned(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    if (sequence < q->next_ready) /* else it has not been sorted yet */
        put(c, q, sequence, item);
}

void partition_purged(struct queue *q)
{
    struct partitions *p = q->partitions;
    for (uint32_t i = 0; i < p->count; i++) {
        p->at[i].ready.count = 0;
        spill_line_free(p, &p->at[i].spill);
    }
    heap_free(&p->oldest);
    p->drops = false;
    keys_clear_waiting(q);
}

/* ------------------------------------------------------------------ the oldest */

/* A queue that drops its oldest event asks for it with every event that is published; to look for it in every
 * partition and behind every key would cost time in proportion to the keys. So once it was asked for, one heap has
 * all ready events. The heap is given up when it is more than twice as large as the number of items; the next
 * question builds it again. */
void partition_is_ready(struct queue *q, uint64_t sequence)
{
    struct partitions *p = q->partitions;
    if (!p->drops)
        return;
    heap_push(&p->oldest, sequence);
    p->drops = p->oldest.count <= 2 * items_held(q) + OLDEST_LEAST;
    if (!p->drops)
        heap_free(&p->oldest);
}

static bool add_ready(void *queue, uint64_t sequence, struct item *item)
{
    struct queue *q = queue;
    if (item->state == ITEM_READY && sequence < q->next_ready)
        heap_push(&q->partitions->oldest, sequence);
    return true;
}

struct item *partition_oldest(struct queue *q, uint64_t *sequence)
{
    struct partitions *p = q->partitions;
    if (!p->drops)
        queue_all(q, add_ready, q);
    p->drops = true;
    for (; p->oldest.count; heap_pop(&p->oldest)) {
        struct item *item = queue_item(q, *sequence = p->oldest.at[0]);
        if (item && item->state == ITEM_READY)
            return item;
    }
    while (q->next_ready < q->loaded && item_at(q, q->next_ready)->state != ITEM_READY)
        q->next_ready++; /* gone; or delayed, and sorted when it is due */
    *sequence = q->next_ready;
    return q->next_ready < q->loaded ? item_at(q, q->next_ready) : NULL;
}
