/* Attach: a client asks on the control socket; the broker dials the client's inbox, sends Hello there and waits for
 * the echo on the ingress, which proves that both directions work; then it answers. Attaching with the token of a
 * living session resumes that session under a new epoch and a new lane. */
#include "broker/core/topic/topic.h"

#include "base/utf8.h"
#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>

#define ECHO_WITHIN_MS 2000

static void answer(struct core *c, const struct route *route, struct token id, enum reason why, const char *detail)
{
    struct reply reply = { .id = id, .reason = why, .detail = detail };
    core_reply(c, route, &reply);
}

#define UNKNOWN_SESSION                                                                                                \
    "the broker does not know this session (it was restarted, or the session timed out); attach anew"

/* ------------------------------------------------------------------ where the inbox is */

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *address_of(const char *peer)
{
    const char *at = starts_with(peer, "key:") ? strrchr(peer, '@') : NULL;
    return at ? at + 1 : starts_with(peer, "ip:") ? peer + 3 : NULL;
}

/* The endpoint to dial (the caller frees it); NULL, with the reason in *why, if that peer may not name such an
 * inbox. A tcp inbox is dialled at the address of the control connection, so that a client cannot point the broker
 * at another host. */
static char *inbox_endpoint(const char *inbox, const char *peer, const char **why)
{
    char *endpoint = NULL;
    const char *address = address_of(peer);
    if (starts_with(inbox, "tcp://*:") && address) {
        char *end;
        unsigned long port = strtoul(inbox + 8, &end, 10);
        if (end != inbox + 8 && *end == '\0' && port > 0 && port < 65536) {
            const char *form = strchr(address, ':') ? "tcp://[%s]:%lu" : "tcp://%s:%lu";
            endpoint = xmalloc(strlen(peer) + 32);
            sprintf(endpoint, form, address, port);
        }
    } else if (starts_with(inbox, "ipc:///") && starts_with(peer, "uid:")) {
        endpoint = xstrdup(inbox);
    } else if (starts_with(inbox, "inproc://") && strcmp(peer, "inproc") == 0) {
        endpoint = xstrdup(inbox);
    }
    if (!endpoint)
        *why = "the inbox must be tcp://*:PORT over tcp, ipc:///PATH over ipc, inproc://NAME over inproc";
    return endpoint;
}

/* ------------------------------------------------------------------ lanes and Hello */

static void close_lane(struct core *c, struct session *s)
{
    if (s->lane)
        core_effect(c, EFFECT_LANE_CLOSE)->lane = s->lane;
    s->lane = 0;
}

static void open_lane(struct core *c, struct session *s)
{
    close_lane(c, s);
    s->lane = ++c->next_lane;
    struct effect *e = core_effect(c, EFFECT_LANE_OPEN);
    e->lane = s->lane;
    e->endpoint = xstrdup(s->endpoint);
    e->peer = xstrdup(s->peer);
}

static void say_hello(struct core *c, struct session *s)
{
    uint8_t id[16];
    wire_store64(id, s->pending.request.high);
    wire_store64(id + 8, s->pending.request.low);
    struct buf b = { 0 };
    frame_add_hello(&b, span_of(id, sizeof id), span_str(c->ingress));
    struct frame *f = frame_new(b.size);
    struct frame_header h = { .token = s->token, .epoch = s->link.epoch };
    frame_header_write(f->data, &h);
    memcpy(f->data + FRAME_HEADER_SIZE, b.data, b.size);
    buf_free(&b);
    session_send(c, s, f);
}

static void remember_destinations(struct session *s, const struct request *r)
{
    buf_clear(&s->pending.destinations);
    for (size_t i = 0; i < r->u.attach.destination_count; i++)
        buf_add(&s->pending.destinations, r->u.attach.destinations[i], strlen(r->u.attach.destinations[i]) + 1);
}

static void begin(struct core *c, struct session *s, const struct request *r, const struct route *route, bool fresh)
{
    s->pending.active = true;
    s->pending.fresh = fresh;
    s->pending.request = r->id;
    s->pending_epoch = r->u.attach.producer_epoch;
    s->pending.route = *route;
    s->pending.deadline = mono_add_ms(c->now.mono, ECHO_WITHIN_MS);
    remember_destinations(s, r);
    open_lane(c, s);
    say_hello(c, s);
    session_due(c, s);
}

/* ------------------------------------------------------------------ requests */

static struct link_limits limits_of(const struct core *c)
{
    return (struct link_limits){
        .frames = 4096,
        .bytes = 8u << 20,
        .heartbeat_ms = c->config.heartbeat_ms,
        .silence_ms = 0,
        .proof_ms = c->config.session_timeout_ms,
    };
}

static void set_inbox(struct session *s, char *endpoint)
{
    free(s->endpoint);
    s->endpoint = endpoint;
}

static void attach_new(struct core *c, const struct request *r, const struct route *route, const char *peer,
                       char *endpoint)
{
    struct session *s = xcalloc(1, sizeof *s);
    s->out.head = FRAME_HEAD;
    snprintf(s->peer, sizeof s->peer, "%s", peer);
    if (!guard_admit_attach(c, s)) {
        free(s);
        free(endpoint);
        answer(c, route, r->id, REASON_busy, "too many attaches from this address wait for their echo; try again");
        return;
    }
    s->token = core_random_token(c);
    struct span name = utf8_cut(span_str(r->u.attach.name), sizeof s->name - 1);
    memcpy(s->name, name.data, name.size); /* the rest is zeros */
    set_inbox(s, endpoint);
    link_init(&s->link, s->token, 1, limits_of(c), c->now.mono);
    s->told_events = c->config.window_events;
    s->told_bytes = c->config.window_bytes;
    HASH_ADD(hh, c->sessions, token, sizeof s->token, s);
    s->pending_producer = r->u.attach.producer;
    begin(c, s, r, route, true);
}

static void attach_again(struct core *c, struct session *s, const struct request *r, const struct route *route,
                         char *endpoint)
{
    if (!link_resume(&s->link, s->link.epoch + 1, r->u.attach.received, c->now.mono)) {
        free(endpoint);
        session_end(c, s, "it acknowledged what was never sent", false);
        answer(c, route, r->id, REASON_unknown_session, UNKNOWN_SESSION);
        return;
    }
    set_inbox(s, endpoint);
    s->link.last_heard = c->now.mono; /* the request itself is proof of life */
    s->link.last_progress = c->now.mono;
    begin(c, s, r, route, s->producer == NULL);
}

/* The client held the producer id before, and this broker does not know it: it forgot it, or runs on other data than
 * the broker that the client knew. The id must not begin anew here, because the numbers published under it would then be
 * given a second time, and the other data may come back. Told so before the Hello the client loses little time. */
static bool claims_unknown_id(const struct core *c, const struct request *r)
{
    struct producer *p = NULL;
    HASH_FIND(hh, c->producers, &r->u.attach.producer, sizeof r->u.attach.producer, p);
    return !p && r->u.attach.producer_epoch;
}

void attach_request(struct core *c, const struct request *r, const struct route *route, const char *peer)
{
    const char *why = NULL;
    if (r->u.attach.version < 1 || r->u.attach.least_version > PROTOCOL_VERSION) {
        answer(c, route, r->id, REASON_version, "this broker speaks protocol version 1 only");
        return;
    }
    if (c->stopping) {
        answer(c, route, r->id, REASON_draining, "the broker is stopping");
        return;
    }
    char *endpoint = inbox_endpoint(r->u.attach.inbox, peer, &why);
    if (!endpoint || token_is_zero(r->u.attach.producer)) {
        answer(c, route, r->id, endpoint ? REASON_invalid : REASON_denied, endpoint ? "a producer id is needed" : why);
        free(endpoint);
        return;
    }
    struct session *s = session_find(c, r->u.attach.token);
    if (token_is_zero(r->u.attach.token) && claims_unknown_id(c, r)) {
        answer(c, route, r->id, REASON_fenced, "the broker does not know this producer id; take another id");
    } else if (token_is_zero(r->u.attach.token)) {
        if (HASH_COUNT(c->sessions) < c->config.max_sessions) {
            attach_new(c, r, route, peer, endpoint);
            return;
        }
        answer(c, route, r->id, REASON_busy, "the broker's max_sessions is reached");
    } else if (!s || strcmp(s->peer, peer) != 0) {
        answer(c, route, r->id, REASON_unknown_session, UNKNOWN_SESSION);
    } else {
        attach_again(c, s, r, route, endpoint);
        return;
    }
    free(endpoint);
}

/* ------------------------------------------------------------------ the echo */

/* After a restart the broker can answer for destinations on disk, even for those that never accepted anything: lists
 * them with the producer's destinations. */
static void add_durable_destinations(struct core *c, struct session *s)
{
    const struct buf *names = &s->pending.destinations;
    for (size_t at = 0; at < names->size; at += strlen((const char *)names->data + at) + 1) {
        struct span name = span_str((const char *)names->data + at);
        const struct queue *q = name_valid(name) ? queue_find(c, name) : NULL;
        const struct topic *t = name_valid(name) ? topic_find(c, name) : NULL;
        if (s->producer->recovered && ((q && q->durable) || (t && topic_is_durable(t))))
            destination_of(s->producer, name);
    }
}

static void answer_attached(struct core *c, struct session *s, bool known)
{
    struct outcomes *outcomes = NULL;
    size_t count = 0;
    bool resumed = !s->pending.fresh;
    if (!resumed && known) {
        outcomes = xcalloc(HASH_COUNT(s->producer->destinations) + 1, sizeof *outcomes);
        count = session_list_outcomes(c, s, outcomes);
    }
    struct reply reply = { .id = s->pending.request, .detail = "", .result = RESULT_ATTACHED };
    reply.u.attached.version = PROTOCOL_VERSION;
    reply.u.attached.token = s->token;
    reply.u.attached.epoch = s->link.epoch;
    reply.u.attached.resumed = resumed;
    reply.u.attached.received = s->link.received;
    reply.u.attached.producer_known = known;
    reply.u.attached.outcomes = outcomes;
    reply.u.attached.outcome_count = count;
    reply.u.attached.window_events = s->told_events;
    reply.u.attached.window_bytes = s->told_bytes;
    reply.u.attached.heartbeat_ms = (uint32_t)c->config.heartbeat_ms;
    reply.u.attached.session_timeout_ms = (uint32_t)c->config.session_timeout_ms;
    reply.u.attached.rights = UINT64_MAX;
    reply.u.attached.incarnation = c->config.incarnation;
    reply.u.attached.max_event = c->config.max_event;
    reply.u.attached.producer_epoch = resumed ? 0 : s->producer->epoch;
    core_reply(c, &s->pending.route, &reply);
    if (!resumed)
        s->producer->ticket = persist_producer(c, s->producer);
    /* The answer is held back until the producer's record is durable, so that after a restart the broker knows the
     * producer and its epoch, or can be sure that it published nothing. */
    if (s->producer->ticket > c->on_disk)
        durable_hold_reply(c, c->disk->ops->settled_ticket(c->disk));
    free(outcomes);
}

void attach_echo(struct core *c, struct session *s, struct span request_id)
{
    if (request_id.size != 16 || wire_load64(request_id.data) != s->pending.request.high ||
        wire_load64(request_id.data + 8) != s->pending.request.low) {
        guard_rejected(c, s->peer, FRAME_HEADER_SIZE, REJECTED_LATE);
        return;
    }
    bool known = true;
    guard_attached(s);
    if (s->pending.fresh && !producer_attach(c, s, &known)) {
        attach_fail(
            c, s, REASON_fenced,
            "a newer holder of this producer id has attached, or it has been used for too many names; take another id");
        return;
    }
    if (s->pending.fresh) {
        add_durable_destinations(c, s);
        core_log(c, LOG_INFO, NULL, s, "attached from %s, inbox %s", s->peer, s->endpoint);
    }
    answer_attached(c, s, known);
    s->pending.active = false;
    s->pending.fresh = false;
    link_opened(&s->link, c->now.mono, c->now.mono);
    session_unstall(c, s);
    session_touch(c, s);
    session_due(c, s);
}

/* ------------------------------------------------------------------ the end */

void attach_fail(struct core *c, struct session *s, enum reason reason, const char *detail)
{
    answer(c, &s->pending.route, s->pending.request, reason, detail);
    s->pending.active = false;
    if (s->pending.fresh)
        session_end(c, s, detail, true);
}

void session_end(struct core *c, struct session *s, const char *why, bool clean)
{
    if (why) {
        c->sessions_ended++;
        core_log(c, LOG_WARN, NULL, s, "session ended: %s", why);
    }
    publish_drop_session(c, s);
    while (s->consumers)
        deliver_leave(c, s->consumers, clean);
    if (s->producer)
        producer_release(c, s->producer);
    close_lane(c, s);
    timers_clear(&c->timers, &s->timer);
    if (s->dirty)
        LL_DELETE2(c->dirty, s, dirty_next);
    session_drop_answers(s);
    HASH_DEL(c->sessions, s);
    guard_ended(c, s);
    link_free(&s->link);
    buf_free(&s->out);
    buf_free(&s->pending.destinations);
    free(s->endpoint);
    free(s);
}
