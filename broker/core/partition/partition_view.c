/* Figures of partitions and keys, and the check that they agree with what the queue holds. */
#include "broker/core/partition/partition.h"

#include <stdio.h>
#include <stdlib.h>

void partitions_describe(struct queue *q, struct queue_info *out)
{
    struct parked parked = keys_parked(q);
    out->parked_keys = parked.keys;
    out->parked_events = parked.events;
}

struct counting {
    struct queue *queue;
    struct partition_info *partitions;
};

static bool count_ready(void *ctx, uint64_t sequence, struct item *item)
{
    struct counting *counting = ctx;
    (void)sequence;
    if (item->state == ITEM_READY && item->place)
        counting->partitions[item->place - 1].ready++;
    return true;
}

static const char *name_of(const struct consumer *k)
{
    return k ? k->session->name : "";
}

const struct partition_info *partitions_list(struct queue *q, struct arena *arena, size_t *count)
{
    struct partitions *p = q->partitions;
    *count = p->count > 1 ? p->count : 0;
    struct partition_info *out = arena_alloc(arena, *count * sizeof *out);
    for (uint32_t i = 0; i < *count; i++)
        out[i] = (struct partition_info){ 0, p->at[i].in_flight, name_of(p->at[i].owner), name_of(p->at[i].heir) };
    if (*count)
        queue_all(q, count_ready, &(struct counting){ q, out });
    for (uint32_t i = 0; i < *count; i++)
        out[i].ready += spill_count(p, &p->at[i].spill);
    for (struct key *k = *count ? p->keys : NULL; k; k = k->hh.next)
        out[k->hash % *count].ready += spill_count(p, &k->spill);
    return out;
}

/* ------------------------------------------------------------------ invariants */

struct checking {
    struct core *core;
    struct queue *queue;
    uint64_t sorted, bytes, in_flight, oldest;
};

#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "queue %s: does not hold: %s\n", q->name, #condition);                                     \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void check_in_flight(const struct checking *check, uint64_t sequence, const struct item *item)
{
    const struct queue *q = check->queue;
    const struct lease *l = check->core->leases[item->lease];
    uint64_t key = q->partitions->ordered ? partition_key(check->core, q, item) : 0;
    HOLDS(q->partitions->at[l->partition].owner == l->consumer);
    HOLDS(key_blocker(q, key, sequence) == 0);
}

static bool check_item(void *ctx, uint64_t sequence, struct item *item)
{
    struct checking *check = ctx;
    if (item->state == ITEM_READY && sequence < check->queue->next_ready) {
        check->oldest = check->oldest ? check->oldest : sequence;
        bool counts = partition_counts(check->queue, sequence, item);
        check->sorted += counts;
        check->bytes += counts ? item->size : 0;
    } else if (item->state == ITEM_IN_FLIGHT) {
        check->in_flight++;
        check_in_flight(check, sequence, item);
    }
    return true;
}

void partitions_validate(struct core *c, struct queue *q)
{
    const struct partitions *p = q->partitions;
    struct checking check = { .core = c, .queue = q };
    queue_each(q, 0, check_item, &check);
    HOLDS(check.sorted == p->sorted && check.bytes == p->sorted_bytes);
    for (uint32_t i = 0; i < p->count; i++) {
        HOLDS(!p->at[i].heir || p->moving);
        HOLDS(!p->at[i].owner == !q->consumers);
        check.in_flight -= p->at[i].in_flight;
    }
    HOLDS(check.in_flight == 0);
    HOLDS(!p->drops || !check.oldest || heap_has(&p->oldest, check.oldest));
    HOLDS(spill_set_validate(&p->spill.all));
    HOLDS(p->spill.counted == p->spill.all.memory + p->spill.lines);
    for (const struct key *k = p->keys; k; k = k->hh.next) {
        HOLDS(queue_item(q, k->current) || spill_set_has(&p->spill.all, k->current));
        HOLDS(!k->wanting || ranges_has(&k->spill.ranges, k->current));
    }
}
