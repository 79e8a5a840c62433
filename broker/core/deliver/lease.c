/* Lease bookkeeping: slots, each consumer's list by delivery number, and the child leases of extended events. */
#include "broker/core/state.h"

#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

static uint32_t take_slot(struct core *c)
{
    if (c->free_lease_count)
        return c->free_leases[--c->free_lease_count];
    if (c->lease_count == c->lease_capacity) {
        c->lease_capacity = c->lease_capacity ? c->lease_capacity * 2 : 64;
        c->leases = xrealloc(c->leases, c->lease_capacity * sizeof(struct lease *));
        c->free_leases = xrealloc(c->free_leases, c->lease_capacity * sizeof(uint32_t));
    }
    return c->lease_count++;
}

static struct lease *new_lease(struct core *c, struct consumer *k, uint64_t sequence, uint64_t delivery)
{
    struct lease *l = xcalloc(1, sizeof *l);
    l->first_delivery = delivery;
    l->first_sequence = sequence;
    l->consumer_epoch = k->epoch;
    l->consumer = k;
    l->delivered = c->now.mono;
    l->slot = take_slot(c);
    c->leases[l->slot] = l;
    return l;
}

static void free_lease(struct core *c, struct lease *l)
{
    timers_clear(&c->lease_timers, &l->timer);
    c->leases[l->slot] = NULL;
    c->free_leases[c->free_lease_count++] = l->slot;
    free(l);
}

/* ------------------------------------------------------------------ a consumer's list */

static void compact(struct consumer *k)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < k->lease_count; i++) {
        if (!k->leases[i])
            continue;
        k->leases[kept] = k->leases[i];
        k->leases[kept]->listed = kept;
        kept++;
    }
    k->lease_count = kept;
    k->lease_holes = 0;
}

struct lease *lease_new(struct core *c, struct consumer *k, uint64_t sequence, uint64_t delivery)
{
    struct lease *l = new_lease(c, k, sequence, delivery);
    timers_set(&c->lease_timers, &l->timer, mono_add_ms(c->now.mono, (int64_t)k->queue->settings.lease_ms));
    if (k->lease_count == k->lease_capacity) {
        k->lease_capacity = k->lease_capacity ? k->lease_capacity * 2 : 8;
        k->leases = xrealloc(k->leases, k->lease_capacity * sizeof(struct lease *));
    }
    l->listed = k->lease_count;
    k->leases[k->lease_count++] = l;
    return l;
}

static void unlist(struct lease *l)
{
    struct consumer *k = l->consumer;
    assert(k->leases[l->listed] == l);
    k->leases[l->listed] = NULL;
    if (++k->lease_holes * 2 > k->lease_count)
        compact(k);
}

struct lease *lease_last(struct consumer *k)
{
    while (k->lease_count && !k->leases[k->lease_count - 1]) {
        k->lease_count--;
        k->lease_holes--;
    }
    return k->lease_count ? k->leases[k->lease_count - 1] : NULL;
}

/* The lease that was made for that delivery, while any of its deliveries is unsettled; else NULL. */
struct lease *lease_find(struct consumer *k, uint64_t delivery)
{
    struct lease *found = NULL;
    uint32_t low = 0, high = k->lease_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, probe = middle;
        while (probe < high && !k->leases[probe])
            probe++;
        if (probe == high || k->leases[probe]->first_delivery > delivery) {
            high = middle;
        } else {
            found = k->leases[probe];
            low = probe + 1;
        }
    }
    return found && delivery < found->first_delivery + found->count ? found : NULL;
}

/* ------------------------------------------------------------------ deliveries under a lease */

struct lease *lease_of(struct core *c, const struct queue *q, const struct item *item)
{
    if (item->state != ITEM_IN_FLIGHT)
        return NULL;
    struct lease *l = c->leases[item->lease];
    assert(l && l->consumer->queue == q);
    (void)q;
    return l;
}

void lease_deliveries_ended(struct core *c, struct lease *l, uint32_t count)
{
    assert(l->outstanding >= count);
    l->consumer->outstanding -= count;
    l->outstanding -= count;
    while (l && l->outstanding == 0 && l->children == 0) {
        struct lease *parent = l->parent;
        if (parent)
            parent->children--;
        else
            unlist(l);
        free_lease(c, l);
        l = parent;
    }
}

void lease_delivery_ended(struct core *c, struct lease *l)
{
    lease_deliveries_ended(c, l, 1);
}

void lease_extend(struct core *c, struct lease *l, uint64_t sequence, struct item *item, uint64_t ms)
{
    mono_t due = mono_add_ms(c->now.mono, (int64_t)ms);
    if (l->outstanding == 1) {
        timers_set(&c->lease_timers, &l->timer, due);
        return;
    }
    struct lease *child = new_lease(c, l->consumer, sequence, l->first_delivery + (sequence - l->first_sequence));
    child->consumer_epoch = l->consumer_epoch;
    child->partition = l->partition;
    child->delivered = l->delivered;
    child->count = child->outstanding = 1;
    child->parent = l;
    l->children++;
    l->outstanding--;
    item->lease = child->slot;
    timers_set(&c->lease_timers, &child->timer, due);
}
