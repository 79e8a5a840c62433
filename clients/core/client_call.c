/* Control calls: sent when they are made and again every second under the same id, so that the broker answers a
 * repeated mutation with its first result.
 *
 * They are held while the client is not attached: a broker that comes up later would carry out a call left in the
 * socket, although its caller was told that nobody answered. */
#include "clients/core/client_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define RESEND_MS 1000

static void finish(struct client *c, struct pending_call *o, const struct reply *reply)
{
    DL_DELETE(c->calls, o);
    void *cookie = o->cookie;
    buf_free(&o->packed);
    free(o);
    if (cookie)
        c->handler->replied(c->ctx, cookie, reply);
}

static void send_call(struct client *c, struct pending_call *o)
{
    o->resend = mono_add_ms(c->now.mono, RESEND_MS);
    c->handler->control_send(c->ctx, buf_span(&o->packed));
}

void client_call(struct client *c, const struct request *r, void *cookie, int64_t timeout_ms, struct now now)
{
    struct request copy = *r;
    struct pending_call *o = xcalloc(1, sizeof *o);
    c->now = now;
    o->id = copy.id = client_random(c);
    o->cookie = cookie;
    o->deadline = mono_add_ms(now.mono, timeout_ms);
    request_pack(&copy, &o->packed);
    DL_APPEND(c->calls, o);
    if (c->state == CLIENT_ATTACHED)
        send_call(c, o);
}

void call_attached(struct client *c)
{
    struct pending_call *o;
    DL_FOREACH (c->calls, o)
        send_call(c, o);
}

void call_away(struct client *c)
{
    if (c->calls)
        c->handler->control_open(c->ctx); /* drops what the socket still holds */
}

void client_call_forget(struct client *c, void *cookie)
{
    struct pending_call *o;
    DL_FOREACH (c->calls, o) {
        if (o->cookie == cookie)
            o->cookie = NULL;
    }
}

bool call_reply(struct client *c, const struct reply *reply)
{
    struct pending_call *o;
    DL_FOREACH (c->calls, o) {
        if (token_equal(o->id, reply->id)) {
            finish(c, o, reply);
            return true;
        }
    }
    return false;
}

void call_tick(struct client *c)
{
    struct pending_call *o, *next;
    DL_FOREACH_SAFE (c->calls, o, next) {
        if (o->deadline.ns <= c->now.mono.ns) {
            struct reply reply = { .id = o->id, .reason = REASON_unavailable, .detail = "" };
            finish(c, o, &reply);
        } else if (c->state == CLIENT_ATTACHED && o->resend.ns <= c->now.mono.ns) {
            send_call(c, o);
        }
    }
}

mono_t call_due(const struct client *c)
{
    mono_t due = MONO_NEVER;
    const struct pending_call *o;
    DL_FOREACH (c->calls, o)
        due = mono_min(due, c->state == CLIENT_ATTACHED ? mono_min(o->deadline, o->resend) : o->deadline);
    return due;
}

void call_free(struct client *c)
{
    while (c->calls) {
        struct pending_call *o = c->calls;
        DL_DELETE(c->calls, o);
        buf_free(&o->packed);
        free(o);
    }
}
