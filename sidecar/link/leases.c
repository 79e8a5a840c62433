#include "base/xalloc.h"
#include "sidecar/link/uplink_priv.h"

#include <stdlib.h>

#define PRUNE_MS 1000

static void drop(struct uplink *u, struct lease *h)
{
    HASH_DEL(u->leases, h);
    h->queue->leases--;
    if (h->request && h->by->lease_ended)
        h->by->lease_ended(h->request, span_str(h->receipt));
    free(h);
}

void leases_add(struct uplink *u, struct consumed_queue *q, const struct take *by, struct span receipt,
                uint32_t lease_ms)
{
    struct lease *h = xmalloc(sizeof *h + receipt.size + 1);
    h->queue = q;
    h->by = by->by;
    h->request = by->by->lease_ended ? by->request : NULL;
    h->until = mono_add_ms(u->now.mono, lease_ms);
    memcpy(h->receipt, receipt.data, receipt.size);
    h->receipt[receipt.size] = '\0';
    HASH_ADD_KEYPTR(hh, u->leases, h->receipt, (unsigned)receipt.size, h);
    q->leases++;
}

static struct lease *find(const struct uplink *u, struct span receipt)
{
    struct lease *h = NULL;
    HASH_FIND(hh, u->leases, receipt.data, receipt.size, h);
    return h;
}

bool leases_has(const struct uplink *u, struct span receipt)
{
    return find(u, receipt) != NULL;
}

void uplink_disown(struct uplink *u, struct span receipt)
{
    struct lease *h = find(u, receipt);
    if (h)
        h->request = NULL;
}

/* Once an ack's result is unknown the lease may still be running: leaving the queue now would hand the event to another
 * consumer. */
void leases_settled(struct uplink *u, struct span receipt, enum settle_result result, uint64_t ms)
{
    struct lease *h = find(u, receipt);
    if (!h || result == SETTLED_UNKNOWN)
        return;
    if (result == SETTLED_EXTENDED)
        h->until = mono_add_ms(u->now.mono, (int64_t)ms);
    else
        drop(u, h);
}

void leases_prune(struct uplink *u)
{
    struct lease *h, *next;
    if (mono_before(u->now.mono, u->next_prune))
        return;
    u->next_prune = mono_add_ms(u->now.mono, PRUNE_MS);
    HASH_ITER (hh, u->leases, h, next) {
        if (h->until.ns <= u->now.mono.ns)
            drop(u, h);
    }
}

void leases_void(struct uplink *u, struct consumed_queue *q)
{
    struct lease *h, *next;
    if (q->leases == 0)
        return;
    HASH_ITER (hh, u->leases, h, next) {
        if (h->queue == q)
            drop(u, h);
    }
}
