/* A session's frames, in and out. A frame is accepted only if token, epoch and sender agree; then its bodies are
 * applied in order. Output is collected as bodies and sealed into frames once a loop turn. */
#include "broker/core/partition/partition.h"

#include <stdio.h>

struct session *session_find(struct core *c, struct token token)
{
    struct session *s = NULL;
    HASH_FIND(hh, c->sessions, &token, sizeof token, s);
    return s;
}

/* ------------------------------------------------------------------ out */

void session_touch(struct core *c, struct session *s)
{
    if (s->dirty)
        return;
    s->dirty = true;
    s->dirty_next = c->dirty;
    c->dirty = s;
}

void session_send(struct core *c, struct session *s, struct frame *f)
{
    struct effect *e = core_effect(c, EFFECT_SEND);
    e->lane = s->lane;
    e->frame = f;
    c->frames_out++;
}

static void send_heartbeat(struct core *c, struct session *s)
{
    struct frame *f = frame_new(0);
    link_heartbeat(&s->link, c->now.mono, f->data);
    session_send(c, s, f);
}

static void resend(struct core *c, struct session *s)
{
    struct frame *f;
    while ((f = link_resend(&s->link, c->now.mono)) != NULL) {
        c->resent++;
        session_send(c, s, f);
    }
}

/* Sends a new window once a quarter of the window was decided. */
static void send_window(struct core *c, struct session *s)
{
    uint64_t events = s->decided_events + c->config.window_events;
    uint64_t bytes = s->decided_bytes + c->config.window_bytes;
    if (events - s->told_events < c->config.window_events / 4 && bytes - s->told_bytes < c->config.window_bytes / 4)
        return;
    s->told_events = events;
    s->told_bytes = bytes;
    frame_add_window(&s->out, events, bytes);
}

/* Deliveries and outcomes wait for room on the link, but other answers do not: a peer may send much, read little, and
 * acknowledge just enough to count as alive. The windows and deliveries of a correct client allow only a fraction of
 * this. It must fit into a frame. */
#define UNSENT_MOST (FRAME_MAX_SIZE - FRAME_HEADER_SIZE)

/* Seals all of `out`, because whoever added to it may have noted which frame will carry that (partition_take). */
static bool seal(struct core *c, struct session *s)
{
    if (s->out.size == 0 || s->out.size > UNSENT_MOST || !link_room(&s->link))
        return false;
    struct frame *f = link_seal(&s->link, &s->out, c->now.mono);
    if (f)
        session_send(c, s, f);
    return true;
}

void session_flush(struct core *c, struct session *s)
{
    bool last = session_write_answers(c, s);
    if (s->link.open && s->link.resend_from)
        resend(c, s);
    while (!last && seal(c, s))
        last = session_write_answers(c, s);
    if (last) {
        send_window(c, s); /* not before: else outcomes could be decided faster than they are read */
        if (s->bye)
            frame_add_bye(&s->out);
        s->bye = false;
        seal(c, s);
    }
    session_due(c, s);
}

void session_flush_full(struct core *c, struct session *s)
{
    if (s->out.size >= c->config.deliver_frame)
        seal(c, s);
}

bool session_takes(const struct session *s)
{
    return s->link.open && link_room(&s->link) && s->out.size <= UNSENT_MOST;
}

void session_bound(struct core *c, struct session *s)
{
    if (s->out.size + s->line.bytes > UNSENT_MOST)
        session_end(c, s, "it leaves too many answers unread", false);
}

/* ------------------------------------------------------------------ timers */

static mono_t end_due(const struct core *c, const struct session *s)
{
    mono_t silent = mono_add_ms(s->link.last_heard, c->config.session_timeout_ms);
    if (s->link.ring_count == 0)
        return silent; /* nothing is unacknowledged, so no progress is expected */
    return mono_min(silent, mono_add_ms(s->link.last_progress, c->config.session_timeout_ms));
}

void session_due(struct core *c, struct session *s)
{
    mono_t due = mono_min(end_due(c, s), link_due(&s->link));
    if (s->pending.active)
        due = mono_min(due, s->pending.deadline);
    if (!timer_is_set(&s->timer) || mono_before(due, s->timer.due))
        timers_set(&c->timers, &s->timer, due);
}

static void attach_timed_out(struct core *c, struct session *s)
{
    char detail[256];
    snprintf(
        detail, sizeof detail,
        "the broker cannot reach this client's inbox at %s; open that port towards the broker, or use the HTTP API "
        "of the sidecar in the broker's pod",
        s->endpoint);
    attach_fail(c, s, REASON_inbox_unreachable, detail);
}

/* Moves a time from which the peer's silence is counted. */
static void put_off(mono_t *from, int64_t ms, mono_t now)
{
    *from = mono_min(mono_add_ms(*from, ms), now);
}

void session_tick(struct core *c, struct session *s)
{
    mono_t now = c->now.mono;
    int64_t stood_still = core_stood_still_ms(c, &s->timer);
    put_off(&s->link.last_heard, stood_still, now);
    put_off(&s->link.last_progress, stood_still, now);
    if (s->pending.active && s->pending.deadline.ns <= now.ns) {
        bool fresh = s->pending.fresh;
        attach_timed_out(c, s);
        if (fresh)
            return;
    }
    if (end_due(c, s).ns <= now.ns) {
        session_end(c, s, "it was silent, or did not read, for the session timeout", false);
        return;
    }
    unsigned actions = link_tick(&s->link, now);
    if (actions & LINK_RESEND)
        resend(c, s);
    if (actions & LINK_SEND_HEARTBEAT)
        send_heartbeat(c, s);
    session_due(c, s);
}

/* ------------------------------------------------------------------ in */

static void consumer_left(struct core *c, struct session *s, struct span queue)
{
    struct consumer *k = consumer_find(s, queue);
    if (k)
        deliver_leave(c, k, true);
}

static bool outcomes_seen(struct session *s, const struct body *b)
{
    struct destination *d = NULL;
    HASH_FIND(hh, s->producer->destinations, b->name.data, (unsigned)b->name.size, d);
    if (d && s->producer->recovered)
        destination_jump(d, b->u.seen.through + 1);
    if (!d || b->u.seen.through >= d->next)
        return s->producer->recovered && !d;
    destination_seen(d, b->u.seen.through);
    return true;
}

static void credit(struct core *c, struct session *s, const struct body *b)
{
    struct consumer *k = consumer_find(s, b->name);
    if (k) /* else it crossed the Turn that ended this consumption */
        deliver_credit(c, k, b->u.credit.generation, b->u.credit.limit);
}

/* Applies one body. False: a protocol violation. Never ends the session itself. */
static bool apply(struct core *c, struct session *s, struct body *b, bool *bye)
{
    switch (b->kind) {
    case BODY_PUBLISH: return publish_body(c, s, b);
    case BODY_SKIP: return publish_skip(c, s, b);
    case BODY_SEEN: return outcomes_seen(s, b);
    case BODY_ACK: return settle_body(c, s, b);
    case BODY_RECEIPT_ACK: settle_receipt(c, s, b); return true;
    case BODY_CREDIT: credit(c, s, b); return true;
    case BODY_CONSUME:
        if (!name_valid(b->name))
            return false;
        deliver_consume(c, s, b->name, b->u.consume.number);
        return true;
    case BODY_LEAVE: consumer_left(c, s, b->name); return true;
    case BODY_BYE: *bye = true; return true;
    default: return false; /* a body that only the broker sends */
    }
}

static const char *violation(const struct session *s)
{
    return producer_is_full(s->producer) ? "its producer id was used for too many names"
                                         : "it sent a malformed or forbidden frame";
}

/* Applies all bodies of a frame. False: a protocol violation. `s` may be gone afterwards. */
static bool apply_all(struct core *c, struct session *s, struct wire_reader *bodies)
{
    bool bye = false;
    struct body b;
    enum frame_status status;
    while ((status = frame_next(bodies, &b)) == FRAME_OK) {
        if (!apply(c, s, &b, &bye)) {
            status = FRAME_BAD;
            break;
        }
        session_flush_full(c, s);
    }
    if (status == FRAME_BAD)
        session_end(c, s, violation(s), true);
    else if (bye)
        session_end(c, s, NULL, true);
    else
        session_touch(c, s);
    return status != FRAME_BAD;
}

/* Whether the frame is the client's echo of Hello, which has sequence 0; if so it is handled. */
static bool is_echo(struct core *c, struct session *s, const struct frame_header *h, struct wire_reader bodies)
{
    struct body b;
    if (h->sequence != 0 || !s->pending.active || h->epoch != s->link.epoch || frame_next(&bodies, &b) != FRAME_OK ||
        b.kind != BODY_HELLO)
        return false;
    attach_echo(c, s, b.u.hello.request_id);
    return true;
}

/* Partitions that are about to change hands may have waited for what the session has just acknowledged. */
static void move_partitions(struct core *c, const struct session *s)
{
    for (const struct consumer *k = s->consumers; k; k = k->session_next) {
        if (k->queue->partitions && k->queue->partitions->moving)
            core_run_queue(c, k->queue);
    }
}

void session_unstall(struct core *c, struct session *s)
{
    move_partitions(c, s);
    if (!s->stalled || !session_takes(s))
        return;
    s->stalled = false;
    struct consumer *k;
    DL_FOREACH2(s->consumers, k, session_next)
    core_run_queue(c, k->queue);
    session_touch(c, s);
}

void session_frame(struct core *c, struct span frame, const char *peer)
{
    struct frame_header h;
    struct wire_reader bodies;
    struct session *s;
    c->frames_in++;
    if (frame.size > FRAME_MAX_SIZE || frame_open(frame, &h, &bodies) != FRAME_OK) {
        guard_rejected(c, peer, frame.size, REJECTED_GARBAGE);
        return;
    }
    s = session_find(c, h.token);
    if (!s || strcmp(s->peer, peer) != 0) {
        guard_rejected(c, peer, frame.size, s ? REJECTED_GARBAGE : REJECTED_LATE);
        return;
    }
    if (is_echo(c, s, &h, bodies))
        return;
    switch (link_receive(&s->link, &h, !wire_done(&bodies), c->now.mono)) {
    case LINK_STALE: guard_rejected(c, peer, frame.size, REJECTED_LATE); return;
    case LINK_BROKEN:
        session_end(c, s, "it acknowledged what was never sent", false);
        guard_rejected(c, peer, frame.size, REJECTED_GARBAGE);
        return;
    case LINK_REPEAT:
    case LINK_HEARTBEAT:
        s->producer->heard = true;
        session_unstall(c, s);
        if (s->out.size || s->line.first || s->link.resend_from)
            session_touch(c, s);
        break;
    case LINK_FRESH:
        s->producer->heard = true;
        session_unstall(c, s);
        if (!apply_all(c, s, &bodies))
            guard_rejected(c, peer, frame.size, REJECTED_GARBAGE);
        return; /* the session may be gone */
    }
    session_due(c, s);
}
