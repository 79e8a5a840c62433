#include "base/xalloc.h"
#include "sidecar/link/uplink_priv.h"

#include <stdlib.h>

#define PRUNE_MS 1000

static void drop(struct uplink *u, struct held *h)
{
    HASH_DEL(u->held, h);
    h->taking->held--;
    if (h->request && h->by->let_go)
        h->by->let_go(h->request, span_str(h->receipt));
    free(h);
}

void held_add(struct uplink *u, struct taking *t, const struct take *by, struct span receipt, uint32_t lease_ms)
{
    struct held *h = xmalloc(sizeof *h + receipt.size + 1);
    h->taking = t;
    h->by = by->by;
    h->request = by->by->let_go ? by->request : NULL;
    h->until = mono_add_ms(u->now.mono, lease_ms);
    memcpy(h->receipt, receipt.data, receipt.size);
    h->receipt[receipt.size] = '\0';
    HASH_ADD_KEYPTR(hh, u->held, h->receipt, (unsigned)receipt.size, h);
    t->held++;
}

static struct held *find(const struct uplink *u, struct span receipt)
{
    struct held *h = NULL;
    HASH_FIND(hh, u->held, receipt.data, receipt.size, h);
    return h;
}

bool held_has(const struct uplink *u, struct span receipt)
{
    return find(u, receipt) != NULL;
}

void uplink_disown(struct uplink *u, struct span receipt)
{
    struct held *h = find(u, receipt);
    if (h)
        h->request = NULL;
}

/* Its lease may go on: to leave the queue would give the event to somebody else meanwhile. */
void held_settled(struct uplink *u, struct span receipt, enum settle_result result, uint64_t ms)
{
    struct held *h = find(u, receipt);
    if (!h || result == SETTLED_UNKNOWN)
        return;
    if (result == SETTLED_EXTENDED)
        h->until = mono_add_ms(u->now.mono, (int64_t)ms);
    else
        drop(u, h);
}

void held_prune(struct uplink *u)
{
    struct held *h, *next;
    if (mono_before(u->now.mono, u->next_prune))
        return;
    u->next_prune = mono_add_ms(u->now.mono, PRUNE_MS);
    HASH_ITER (hh, u->held, h, next) {
        if (h->until.ns <= u->now.mono.ns)
            drop(u, h);
    }
}

void held_void(struct uplink *u, struct taking *t)
{
    struct held *h, *next;
    if (t->held == 0)
        return;
    HASH_ITER (hh, u->held, h, next) {
        if (h->taking == t)
            drop(u, h);
    }
}
