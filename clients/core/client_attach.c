/* Attaches, and attaches again whenever the session is lost. Every attempt first waits a random time up to a bound
 * that doubles (full jitter), so that a thousand clients of one broker come back spread out. A lost link is resumed
 * with the session's token; if the broker no longer knows that, a new session begins. */
#include "clients/core/client_priv.h"

#include "base/mutation.h"

#include <stdio.h>

#define ATTEMPT_MS       2500
#define BACKOFF_LEAST_MS 50
#define BACKOFF_MOST_MS  5000

static void wait_for_next(struct client *c)
{
    int64_t bound = BACKOFF_LEAST_MS;
    for (uint32_t i = 1; i < c->attempts && bound < BACKOFF_MOST_MS; i++)
        bound *= 2;
    if (bound > BACKOFF_MOST_MS)
        bound = BACKOFF_MOST_MS;
    int64_t pause = c->attempts ? (int64_t)(client_random(c).high % (uint64_t)(bound + 1)) : 0;
    c->state = CLIENT_WAITING;
    c->attach_due = mono_add_ms(c->now.mono, pause);
}

void attach_start(struct client *c)
{
    wait_for_next(c);
}

static void lost(struct client *c, const char *why)
{
    snprintf(c->attach_error, sizeof c->attach_error, "%s", why);
    c->attempts++;
    wait_for_next(c);
    call_away(c);
    c->handler->away(c->ctx, c->attach_error);
}

void attach_doubt(struct client *c, const char *why, bool keep_session)
{
    c->link.open = false;
    if (!keep_session)
        c->session = (struct token){ 0, 0 };
    lost(c, why);
}

static void request(struct client *c)
{
    struct request r = { .call = CALL_ATTACH, .queue = "" };
    struct buf packed = { 0 };
    c->state = CLIENT_ATTACHING;
    c->attach_id = r.id = client_random(c);
    c->attach_epoch = 0;
    c->attach_due = mono_add_ms(c->now.mono, ATTEMPT_MS);
    r.u.attach.version = r.u.attach.least_version = PROTOCOL_VERSION;
    r.u.attach.name = c->name;
    r.u.attach.token = c->session;
    r.u.attach.received = c->link.received;
    r.u.attach.producer = c->producer;
    r.u.attach.producer_epoch = c->producer_epoch;
    r.u.attach.inbox = c->inbox;
    const char *names[ATTACH_DESTINATIONS_MAX];
    r.u.attach.destinations = names;
    r.u.attach.destination_count = publish_undecided(c, names, ATTACH_DESTINATIONS_MAX);
    request_pack(&r, &packed);
    if (!c->control_opened || c->attempts > 0)
        c->handler->control_open(c->ctx);
    c->control_opened = true;
    c->handler->control_send(c->ctx, buf_span(&packed));
    buf_free(&packed);
}

static void no_reply(struct client *c)
{
    char why[sizeof c->attach_error];
    snprintf(why, sizeof why, "the broker does not answer%s", c->no_answer);
    lost(c, c->attach_epoch ? "the broker did not finish the attach" : why);
}

void attach_tick(struct client *c)
{
    if (c->state == CLIENT_ATTACHED || c->now.mono.ns < c->attach_due.ns)
        return;
    if (c->state == CLIENT_WAITING)
        request(c);
    else
        no_reply(c);
}

bool attach_hello(struct client *c, const struct frame_header *h, struct wire_reader bodies)
{
    struct body b;
    if (frame_next(&bodies, &b) != FRAME_OK || b.kind != BODY_HELLO)
        return false;
    if (c->state != CLIENT_ATTACHING || b.u.hello.request_id.size != 16 || b.u.hello.ingress.size > 200 ||
        wire_load64(b.u.hello.request_id.data) != c->attach_id.high ||
        wire_load64(b.u.hello.request_id.data + 8) != c->attach_id.low)
        return true; /* of an earlier attempt */
    c->attach_epoch = h->epoch;
    c->attach_token = h->token;
    char ingress[201];
    snprintf(ingress, sizeof ingress, "%.*s", (int)b.u.hello.ingress.size, (const char *)b.u.hello.ingress.data);
    c->handler->ingress_open(c->ctx, ingress);
    struct buf echo = { 0 };
    frame_add_hello(&echo, b.u.hello.request_id, (struct span){ 0 });
    struct frame *f = frame_new(echo.size);
    struct frame_header header = { .token = h->token, .epoch = h->epoch };
    frame_header_write(f->data, &header);
    memcpy(f->data + FRAME_HEADER_SIZE, echo.data, echo.size);
    buf_free(&echo);
    c->handler->ingress_send(c->ctx, f);
    c->echoed = c->now.mono;
    return true;
}

static void begin_session(struct client *c, const struct reply *r)
{
    link_free(&c->link);
    link_init(&c->link, r->u.attached.token, r->u.attached.epoch, c->limits, c->now.mono);
    c->session = r->u.attached.token;
    c->window_events = r->u.attached.window_events;
    c->window_bytes = r->u.attached.window_bytes;
    c->sent_events = c->sent_bytes = 0;
}

static void learn(struct client *c, const struct reply *r)
{
    c->max_event = r->u.attached.max_event;
    c->incarnation = r->u.attached.incarnation;
    c->session_timeout_ms = r->u.attached.session_timeout_ms;
    c->limits.heartbeat_ms = r->u.attached.heartbeat_ms;
    c->limits.silence_ms = 2 * c->limits.heartbeat_ms + 500;
    c->limits.proof_ms = c->session_timeout_ms * 6 / 10;
}

/* Our producer id is of no use at this broker: a newer holder of it has attached (a copy of this process, say), or the
 * broker does not know it. The outcomes of what we sent under it are lost, and it is never sent again; we continue
 * under a new id. */
static void take_another_id(struct client *c)
{
    c->session = (struct token){ 0, 0 };
    if (!MUTATED(number_anew))
        c->producer = client_random(c);
    c->producer_epoch = 0;
    publish_new_producer(c);
}

/* Nothing is wrong: the broker answers, and a new id is never refused. So there is no pause, and nobody is told. */
static void attach_under_another_id(struct client *c)
{
    take_another_id(c);
    c->attempts = 0;
    wait_for_next(c);
}

static void refused(struct client *c, const struct reply *r)
{
    bool unknown_id = r->reason == REASON_fenced && c->producer_epoch && !c->attach_epoch;
    if (unknown_id) { /* else the refusal comes after the Hello */
        attach_under_another_id(c);
        return;
    }
    if (r->reason == REASON_unknown_session)
        c->session = (struct token){ 0, 0 };
    if (r->reason == REASON_fenced)
        take_another_id(c);
    const struct reason_info *info = reason_info(r->reason);
    lost(c, r->detail[0] ? r->detail : info->title);
}

/* Ends the session that has just begun, before anything is published in it. */
static void leave_at_once(struct client *c, const struct reply *r)
{
    begin_session(c, r);
    link_opened(&c->link, c->echoed, c->now.mono);
    frame_add_bye(&c->out);
    client_seal(c);
    c->link.open = false;
    attach_under_another_id(c);
}

void attach_reply(struct client *c, const struct reply *r)
{
    if (r->reason != REASON_ok || r->result != RESULT_ATTACHED) {
        refused(c, r);
        return;
    }
    bool resumed = r->u.attached.resumed;
    bool restarted = c->incarnation && c->incarnation != r->u.attached.incarnation;
    learn(c, r);
    if (!token_equal(r->u.attached.token, c->attach_token) ||
        (resumed && !link_resume(&c->link, r->u.attached.epoch, r->u.attached.received, c->now.mono))) {
        attach_doubt(c, "the broker's word about the session does not fit", false);
        return;
    }
    if (!resumed && publish_is_forgotten(c, r->u.attached.producer_known, restarted, r->u.attached.outcome_count)) {
        leave_at_once(c, r);
        return;
    }
    c->state = CLIENT_ATTACHED;
    c->attempts = 0;
    c->attach_due = MONO_NEVER;
    c->stats.attaches++;
    c->stats.resumes += resumed;
    c->link.limits = c->limits;
    if (!resumed) {
        c->producer_epoch = r->u.attached.producer_epoch;
        begin_session(c, r);
        publish_new_session(c, restarted, r->u.attached.outcomes, r->u.attached.outcome_count);
        receipts_new_session(c);
        consume_new_session(c);
    }
    link_opened(&c->link, c->echoed, c->now.mono); /* not now: the reply may have waited here for long */
    call_attached(c);
    c->handler->attached(c->ctx, resumed);
}
