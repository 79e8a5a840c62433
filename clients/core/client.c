/* Entry points of the client: inputs set the time and are passed to the part they concern. A flush writes what the
 * parts have to send, consuming before publishing, into as few frames as possible. (A lent block stands in front of
 * what was written before it, where the order does not matter: client_block.h.) */
#include "clients/core/client_block.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

struct token client_random(struct client *c)
{
    uint8_t seed[32], bytes[16];
    memcpy(seed, c->config.seed, sizeof seed);
    for (unsigned i = 0; i < 8; i++)
        seed[i] ^= (uint8_t)(c->random_counter >> 8 * i);
    c->random_counter++;
    randombytes_buf_deterministic(bytes, sizeof bytes, seed);
    return (struct token){ wire_load64(bytes), wire_load64(bytes + 8) };
}

struct client *client_new(const struct client_config *config, const struct client_handler *handler, void *ctx,
                          struct now now)
{
    struct client *c = xcalloc(1, sizeof *c);
    c->config = *config;
    if (!c->config.buffer_bytes)
        c->config.buffer_bytes = 16u << 20;
    if (!c->config.frame_bytes)
        c->config.frame_bytes = 64u << 10;
    c->name = xstrdup(config->name ? config->name : "client");
    c->inbox = xstrdup(config->inbox ? config->inbox : "");
    c->no_answer = xstrdup(config->no_answer ? config->no_answer : "");
    c->handler = handler;
    c->ctx = ctx;
    c->now = now;
    c->producer = client_random(c);
    c->out.head = FRAME_HEAD;
    c->max_event = 1u << 20;
    c->session_timeout_ms = 10000;
    c->linger_due = MONO_NEVER;
    c->limits = (struct link_limits){ 1024, 16u << 20, 3000, 6500, 6000 };
    struct token none = { 0, 0 };
    link_init(&c->link, none, 0, c->limits, now.mono);
    snprintf(c->attach_error, sizeof c->attach_error, "not attached yet");
    attach_start(c);
    return c;
}

void client_free(struct client *c)
{
    publish_free(c);
    consume_free(c);
    receipts_free(c);
    call_free(c);
    link_free(&c->link);
    buf_free(&c->out);
    free(c->name);
    free(c->inbox);
    free(c->no_answer);
    free(c);
}

/* ------------------------------------------------------------------ lingering */

/* Lingers until the next multiple of linger_ms on the clock that all processes of a machine share, not for linger_ms
 * from now: then all lingering processes send together, and the broker needs fewer wake-ups to take their frames. */
void client_linger(struct client *c)
{
    if (!c->config.linger_ms || c->linger_due.ns != MONO_NEVER.ns)
        return;
    int64_t linger = mono_add_ms((mono_t){ 0 }, c->config.linger_ms).ns;
    c->linger_due = mono_add_ms((mono_t){ c->now.mono.ns - c->now.mono.ns % linger }, c->config.linger_ms);
}

void client_end_linger(struct client *c)
{
    c->linger_due = mono_min(c->linger_due, c->now.mono);
}

void client_disable_linger(struct client *c)
{
    client_end_linger(c);
    c->config.linger_ms = 0;
}

bool client_lingers(const struct client *c)
{
    return c->linger_due.ns != MONO_NEVER.ns && mono_before(c->now.mono, c->linger_due);
}

/* ------------------------------------------------------------------ frames */

void client_seal(struct client *c)
{
    if (c->out.size == 0)
        return;
    struct frame *f = c->lent_block ? link_seal_frame(&c->link, block_take_frame(c), c->now.mono)
                                    : link_seal(&c->link, &c->out, c->now.mono);
    c->out_comes_first = false;
    if (!f)
        return;
    c->stats.frames_out++;
    c->handler->ingress_send(c->ctx, f);
}

bool client_next_frame(struct client *c)
{
    if (!client_frame_is_full(c))
        return true;
    client_seal(c);
    return link_room(&c->link);
}

static void resend(struct client *c)
{
    struct frame *f;
    while ((f = link_resend(&c->link, c->now.mono)) != NULL) {
        c->stats.resent++;
        c->handler->ingress_send(c->ctx, f);
    }
}

static void heartbeat(struct client *c)
{
    struct frame *f = frame_new(0);
    link_heartbeat(&c->link, c->now.mono, f->data);
    c->handler->ingress_send(c->ctx, f);
}

static bool apply(struct client *c, struct body *b)
{
    switch (b->kind) {
    case BODY_CONFIRM: return publish_confirm(c, b);
    case BODY_REFUSE: return publish_refuse(c, b);
    case BODY_DELIVER: return consume_deliver(c, b);
    case BODY_SETTLED: return consume_settled(c, b);
    case BODY_TURN: return consume_turn(c, b);
    case BODY_IDLE: consume_idle(c, b); return true;
    case BODY_RECEIPT_SETTLED: receipts_settled(c, b); return true;
    case BODY_WINDOW:
        if (b->u.window.events > c->window_events)
            c->window_events = b->u.window.events;
        if (b->u.window.bytes > c->window_bytes)
            c->window_bytes = b->u.window.bytes;
        return true;
    case BODY_BYE: attach_doubt(c, "the broker is stopping", false); return true;
    default: return false;
    }
}

static bool holds_deliveries(struct wire_reader bodies)
{
    struct body b;
    while (frame_next(&bodies, &b) == FRAME_OK) {
        if (b.kind == BODY_DELIVER)
            return true;
    }
    return false;
}

static void apply_all(struct client *c, struct wire_reader bodies)
{
    struct body b;
    enum frame_status status;
    while (c->state == CLIENT_ATTACHED && (status = frame_next(&bodies, &b)) != FRAME_END) {
        if (status == FRAME_BAD || !apply(c, &b)) {
            attach_doubt(c, "the broker sent a malformed frame", false);
            return;
        }
    }
}

void client_frame_in(struct client *c, struct span frame, struct now now)
{
    struct frame_header h;
    struct wire_reader bodies;
    c->now = now;
    if (frame.size > FRAME_MAX_SIZE || frame_open(frame, &h, &bodies) != FRAME_OK)
        return;
    if (h.sequence == 0 && attach_hello(c, &h, bodies))
        return;
    if (c->state != CLIENT_ATTACHED)
        return; /* sent again once both ends agree on the epoch */
    /* Receiving does not prove being heard: the broker may already have given our deliveries to another session. So
     * without proof no deliveries are taken; they will be sent again, and the echo of the heartbeat sent here will
     * be the proof. The header is processed first, because its echo may be the proof already. */
    enum link_verdict verdict = link_receive(&c->link, &h, false, now.mono);
    if (verdict == LINK_HEARTBEAT && !wire_done(&bodies)) {
        if (!MUTATED(ignore_proof) && !link_proven(&c->link, now.mono) && holds_deliveries(bodies)) {
            heartbeat(c);
            return;
        }
        verdict = link_receive(&c->link, &h, true, now.mono);
    }
    switch (verdict) {
    case LINK_FRESH:
        c->stats.frames_in++;
        apply_all(c, bodies);
        break;
    case LINK_BROKEN: attach_doubt(c, "the broker acknowledged what was never sent", false); break;
    case LINK_STALE:
    case LINK_REPEAT:
    case LINK_HEARTBEAT: break;
    }
}

void client_control_in(struct client *c, struct span message, struct now now)
{
    struct arena arena;
    struct reply reply;
    c->now = now;
    arena_init(&arena, CLIENT_REPLY_MAX);
    if (reply_unpack(message, &arena, &reply) && !call_reply(c, &reply) && c->state == CLIENT_ATTACHING &&
        token_equal(reply.id, c->attach_id))
        attach_reply(c, &reply);
    arena_free(&arena);
}

/* ------------------------------------------------------------------ time */

void client_tick(struct client *c, struct now now)
{
    c->now = now;
    attach_tick(c);
    publish_tick(c);
    receipts_tick(c);
    call_tick(c);
    if (c->state != CLIENT_ATTACHED)
        return;
    unsigned actions = link_tick(&c->link, now.mono);
    if (actions & LINK_DOUBT) {
        attach_doubt(c, "the broker is silent", true);
        return;
    }
    if (actions & LINK_RESEND)
        resend(c);
    if (actions & LINK_SEND_HEARTBEAT)
        heartbeat(c);
}

/* Not while older frames wait to be sent again: a new frame would wait behind them, count as sent, and be "unknown"
 * if the session were lost meanwhile. */
bool client_may_write(const struct client *c)
{
    return c->state == CLIENT_ATTACHED && !c->link.resend_from && link_room(&c->link);
}

void client_flush(struct client *c, struct now now)
{
    c->now = now;
    if (c->state == CLIENT_ATTACHED && c->link.resend_from)
        resend(c);
    if (!client_may_write(c))
        return;
    bool wait = client_lingers(c) && c->unsent_bytes < c->config.frame_bytes;
    if (!consume_write(c, wait) || !receipts_write(c))
        return; /* the order must hold: the rest is sent once the link has room */
    publish_write(c, wait);
    if (c->bye == BYE_ASKED) {
        frame_add_bye(&c->out);
        c->bye = BYE_SENT;
    }
    client_seal(c);
}

mono_t client_due(const struct client *c)
{
    mono_t due = c->attach_due;
    if (c->state == CLIENT_ATTACHED)
        due = link_due(&c->link);
    due = mono_min(due, publish_due(c));
    due = mono_min(due, receipts_due(c));
    return mono_min(due, call_due(c));
}

void client_bye(struct client *c, struct now now)
{
    c->now = now;
    for (struct consumption *k = c->consumptions; k; k = k->hh.next)
        client_leave(c, span_str(k->name));
    if (c->bye == BYE_NOT_ASKED)
        c->bye = BYE_ASKED;
}

bool client_has_said_bye(const struct client *c)
{
    return c->bye == BYE_SENT || c->state != CLIENT_ATTACHED;
}

/* ------------------------------------------------------------------ looking */

bool client_is_attached(const struct client *c)
{
    return c->state == CLIENT_ATTACHED;
}

const char *client_attach_error(const struct client *c)
{
    return c->state == CLIENT_ATTACHED ? "" : c->attach_error;
}

void client_stats(const struct client *c, struct client_stats *out)
{
    *out = c->stats;
    out->undecided_events = c->undecided_events;
    out->undecided_bytes = c->undecided_bytes;
    out->rtt_ms = c->link.rtt_ms;
    out->incarnation = c->incarnation;
}

bool client_is_quiet(const struct client *c)
{
    return c->undecided_events == 0;
}
