/* Settling by receipt: a text that names any session's delivery, whatever this client itself consumes. */
#include "clients/core/client_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

static struct span copy_text(uint8_t **to, struct span text)
{
    struct span copy = span_of(*to, text.size);
    if (text.size)
        memcpy(*to, text.data, text.size);
    *to += text.size;
    return copy;
}

uint64_t client_settle_receipt(struct client *c, const struct receipt_ack *ack, struct now now)
{
    struct receipt_settle *r = xcalloc(1, sizeof *r + ack->receipt.size + ack->error.size);
    uint8_t *texts = r->texts;
    r->request = ++c->next_request;
    r->ack = *ack;
    r->ack.request = r->request;
    r->ack.receipt = copy_text(&texts, ack->receipt);
    r->ack.error = copy_text(&texts, ack->error);
    r->deadline = mono_add_ms(now.mono, CLIENT_SETTLE_MS);
    HASH_ADD(hh, c->receipts, request, sizeof r->request, r);
    return r->request;
}

static void receipt_done(struct client *c, struct receipt_settle *r, enum settle_result result)
{
    uint64_t request = r->request;
    HASH_DEL(c->receipts, r);
    free(r);
    c->handler->receipt_settled(c->ctx, request, result);
}

void receipts_settled(struct client *c, const struct body *b)
{
    struct receipt_settle *r = NULL;
    uint64_t request = b->u.receipt_settled.request;
    HASH_FIND(hh, c->receipts, &request, sizeof request, r);
    if (r)
        receipt_done(c, r, b->u.receipt_settled.result);
}

bool receipts_write(struct client *c)
{
    for (struct receipt_settle *r = c->receipts; r; r = r->hh.next) {
        if (!r->sent && !client_next_frame(c))
            return false;
        if (!r->sent)
            frame_add_receipt_ack(&c->out, &r->ack);
        r->sent = true;
    }
    return true;
}

void receipts_tick(struct client *c)
{
    struct receipt_settle *r, *next;
    HASH_ITER (hh, c->receipts, r, next) {
        if (r->deadline.ns > c->now.mono.ns)
            break; /* all have the same timeout: the rest are younger */
        receipt_done(c, r, SETTLED_UNKNOWN);
    }
}

mono_t receipts_due(const struct client *c)
{
    return c->receipts ? c->receipts->deadline : MONO_NEVER;
}

void receipts_new_session(struct client *c)
{
    for (struct receipt_settle *r = c->receipts; r; r = r->hh.next)
        r->sent = false;
}

void receipts_free(struct client *c)
{
    struct receipt_settle *r, *next;
    HASH_ITER (hh, c->receipts, r, next) {
        HASH_DEL(c->receipts, r);
        free(r);
    }
}
