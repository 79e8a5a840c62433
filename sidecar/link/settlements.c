/* Acks by receipt: each is sent to the broker under a number, and its result comes back with that number.
 *
 * If no result comes, a caller that waits is told so and may ack again. An ack that nobody waits for is sent again from
 * here, for as long as the event's lease lasts: the application's answer to a push is given only once, and a restarted
 * broker still accepts the ack. */
#include "base/xalloc.h"
#include "sidecar/link/uplink_priv.h"

#include <stdlib.h>

static void ask(struct uplink *u, struct settle_wait *w)
{
    w->asked = u->now.mono;
    w->number = client_settle_receipt(u->client, &w->ack, u->now);
    HASH_ADD(hh, u->settlements, number, sizeof w->number, w);
}

static struct span copy(uint8_t *to, struct span text)
{
    if (text.size)
        memcpy(to, text.data, text.size);
    return span_of(to, text.size);
}

static void send(struct uplink *u, const struct receipt_ack *ack, struct settling *of, size_t index)
{
    struct settle_wait *w = xmalloc(sizeof *w + ack->receipt.size + ack->error.size);
    *w = (struct settle_wait){ .settling = of, .index = index, .ack = *ack };
    w->ack.receipt = copy(w->texts, ack->receipt);
    w->ack.error = copy(w->texts + ack->receipt.size, ack->error);
    ask(u, w);
}

static struct settling *settling_new(void *request, size_t count)
{
    struct settling *s = xcalloc(1, sizeof *s + count * sizeof *s->results);
    s->request = request;
    s->count = s->left = count;
    for (size_t i = 0; i < count; i++)
        s->results[i] = SETTLED_UNKNOWN; /* until a result comes */
    return s;
}

void uplink_settle(struct uplink *u, const struct receipt_ack *acks, size_t count, void *request, struct now now)
{
    struct settling *s = request ? settling_new(request, count) : NULL;
    u->now = now;
    for (size_t i = 0; i < count; i++)
        send(u, &acks[i], s, i);
    if (s && count == 0) {
        u->handler.settled(request, s->results);
        free(s);
    }
}

void uplink_release(struct uplink *u, struct span receipt, struct now now)
{
    u->now = now;
    send(u, &(struct receipt_ack){ .kind = SETTLE_RELEASE, .receipt = receipt }, NULL, 0);
}

/* Was this "unknown" made by the client because no answer came? The broker's own "unknown" arrives at once. */
static bool is_silence(const struct uplink *u, const struct settle_wait *w, enum settle_result result)
{
    return result == SETTLED_UNKNOWN && mono_since_ms(u->now.mono, w->asked) >= CLIENT_SETTLE_MS;
}

void settlements_decided(struct uplink *u, uint64_t number, enum settle_result result)
{
    struct settle_wait *w = NULL;
    HASH_FIND(hh, u->settlements, &number, sizeof number, w);
    if (!w)
        return;
    struct settling *s = w->settling;
    HASH_DEL(u->settlements, w);
    if (!s && is_silence(u, w, result) && leases_has(u, w->ack.receipt)) {
        ask(u, w);
        return;
    }
    leases_settled(u, w->ack.receipt, result, w->ack.ms);
    if (s) {
        s->results[w->index] = result;
        s->left--;
    }
    free(w);
    if (s && s->left == 0) {
        if (s->request)
            u->handler.settled(s->request, s->results);
        free(s);
    }
}

bool settlements_abandon(struct uplink *u, void *request)
{
    for (struct settle_wait *w = u->settlements; w; w = w->hh.next) {
        struct settling *s = w->settling;
        if (!s || s->request != request)
            continue;
        s->request = NULL;
        u->handler.settled(request, s->results);
        return true;
    }
    return false;
}

void settlements_forget(struct uplink *u, void *request)
{
    for (struct settle_wait *w = u->settlements; w; w = w->hh.next) {
        if (w->settling && w->settling->request == request)
            w->settling->request = NULL;
    }
}

void settlements_free(struct uplink *u)
{
    struct settle_wait *w, *next;
    HASH_ITER (hh, u->settlements, w, next) {
        HASH_DEL(u->settlements, w);
        if (w->settling && --w->settling->left == 0)
            free(w->settling);
        free(w);
    }
}
