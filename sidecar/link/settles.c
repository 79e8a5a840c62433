/* Acks by receipt: each goes to the broker under a number and comes back with its result. */
#include "base/xalloc.h"
#include "sidecar/link/uplink_priv.h"

#include <stdlib.h>

static void send(struct uplink *u, const struct receipt_ack *ack, struct settling *of, size_t index)
{
    struct settle_wait *w = xmalloc(sizeof *w + ack->receipt.size + 1);
    *w = (struct settle_wait){ .of = of, .index = index, .kind = ack->kind, .ms = ack->ms };
    memcpy(w->receipt, ack->receipt.data, ack->receipt.size);
    w->receipt[ack->receipt.size] = '\0';
    w->number = client_settle_receipt(u->client, ack, u->now);
    HASH_ADD(hh, u->settles, number, sizeof w->number, w);
}

void uplink_settle(struct uplink *u, const struct receipt_ack *settles, size_t count, void *request, struct now now)
{
    struct settling *s = xcalloc(1, sizeof *s + count * sizeof *s->results);
    u->now = now;
    s->request = request;
    s->count = s->left = count;
    if (count == 0) {
        u->handler.settled(request, s->results);
        free(s);
        return;
    }
    for (size_t i = 0; i < count; i++)
        send(u, &settles[i], s, i);
}

void uplink_release(struct uplink *u, struct span receipt, struct now now)
{
    u->now = now;
    send(u, &(struct receipt_ack){ .kind = SETTLE_RELEASE, .receipt = receipt }, NULL, 0);
}

void settles_settled(struct uplink *u, uint64_t number, enum settle_result result)
{
    struct settle_wait *w = NULL;
    HASH_FIND(hh, u->settles, &number, sizeof number, w);
    if (!w)
        return;
    struct settling *s = w->of;
    held_settled(u, w->receipt, result, w->ms);
    if (s) {
        s->results[w->index] = result;
        s->left--;
    }
    HASH_DEL(u->settles, w);
    free(w);
    if (s && s->left == 0) {
        if (s->request)
            u->handler.settled(s->request, s->results);
        free(s);
    }
}

void settles_forget(struct uplink *u, void *request)
{
    for (struct settle_wait *w = u->settles; w; w = w->hh.next) {
        if (w->of && w->of->request == request)
            w->of->request = NULL;
    }
}

void settles_free(struct uplink *u)
{
    struct settle_wait *w, *next;
    HASH_ITER (hh, u->settles, w, next) {
        HASH_DEL(u->settles, w);
        if (w->of && --w->of->left == 0)
            free(w->of);
        free(w);
    }
}
