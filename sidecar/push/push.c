/* Pushes: each slot takes an event from the queue, sends it, and settles it by the outcome. */
#include "sidecar/push/push.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "sidecar/api/event_http.h"
#include "sidecar/api/event_json.h"
#include "sidecar/push/push_priv.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

/* ------------------------------------------------------------------ slots */

static struct slot *slot_new(struct subscription *s, enum slot_kind kind)
{
    struct slot *x = xcalloc(1, sizeof *x);
    x->subscription = s;
    x->kind = kind;
    DL_APPEND(s->slots, x);
    s->waiting += kind == SLOT_WAITING;
    return x;
}

static void slot_free(struct slot *x)
{
    struct subscription *s = x->subscription;
    s->waiting -= x->kind == SLOT_WAITING;
    s->pushing -= x->kind == SLOT_PUSHING;
    DL_DELETE(s->slots, x);
    buf_free(&x->receipt);
    buf_free(&x->headers);
    buf_free(&x->body);
    free(x);
}

void push_cancel_takes(struct subscription *s, uint32_t keep)
{
    struct slot *x, *next;
    DL_FOREACH_SAFE (s->slots, x, next) {
        if (x->kind != SLOT_WAITING || s->waiting <= keep)
            continue;
        uplink_forget(s->push->uplink, x);
        slot_free(x);
        s->push->busy = true;
    }
}

void push_cancel_handshake(struct subscription *s)
{
    struct slot *x, *next;
    DL_FOREACH_SAFE (s->slots, x, next) {
        if (x->kind != SLOT_HANDSHAKE)
            continue;
        sender_cancel(s->push->sender, x->transfer);
        slot_free(x);
        s->lifecycle.handshaking = false;
    }
}

/* ------------------------------------------------------------------ messages for people */

static const char *sentence_of(const struct push_outcome *o, const char *word, char out[256])
{
    char said[PUSH_EXCERPT_MAX + 1];
    push_excerpt(o->body, said);
    if (o->end == PUSH_ANSWERED && word)
        snprintf(out, 256, "the application answered %d, status %s", o->status, word);
    else if (o->end == PUSH_ANSWERED)
        snprintf(out, 256, "the application answered %d%s%s", o->status, *said ? ": " : "", said);
    else
        snprintf(out, 256, "%s%s", o->end == PUSH_TIMED_OUT ? "no answer in time: " : "", o->error);
    return out;
}

static void log_recovery(struct subscription *s)
{
    s->logged[0] = s->detail[0] = '\0';
    log_write(LOG_INFO, "push", "subscription %s is %s", s->name, subscription_state_name(SUBSCRIPTION_ACTIVE));
}

/* A queue is looked for, and a handshake sent, again and again: the same trouble is a warning only once until it is
 * over. */
static void log_state_change(struct subscription *s, enum subscription_state before)
{
    enum subscription_state state = s->lifecycle.state;
    char line[sizeof s->logged];
    if (state == before)
        return;
    if (state == SUBSCRIPTION_ACTIVE) {
        log_recovery(s);
        return;
    }
    snprintf(line, sizeof line, "%s%s%s", subscription_state_name(state), *s->detail ? ": " : "", s->detail);
    log_write(strcmp(line, s->logged) == 0 ? LOG_DEBUG : LOG_WARN, "push", "subscription %s is %s", s->name, line);
    snprintf(s->logged, sizeof s->logged, "%s", line);
}

/* ------------------------------------------------------------------ the end of a push */

static void settle(struct slot *x, struct receipt_ack ack)
{
    struct push *p = x->subscription->push;
    ack.receipt = buf_span(&x->receipt);
    if (ack.kind == SETTLE_RELEASE)
        uplink_release(p->uplink, ack.receipt, p->now);
    else
        uplink_settle(p->uplink, &ack, 1, NULL, p->now);
    p->busy = true;
}

/* When a failed event is redelivered is up to the broker; the application's answer is recorded with the nack. */
static void settle_by(struct slot *x, const struct push_outcome *o, const struct push_verdict *v)
{
    struct receipt_ack failure = {
        /* or a deferral, see below */
        .kind = v->result == PUSH_DROPPED ? SETTLE_DROP : SETTLE_NACK,
        .status = o->end == PUSH_ANSWERED ? (uint32_t)o->status : 0,
        .error = span_str(x->subscription->last_error),
    };
    switch (v->result) {
    case PUSH_ACKED: settle(x, (struct receipt_ack){ .kind = SETTLE_ACK }); return;
    case PUSH_DROPPED:
    case PUSH_FAILED: settle(x, failure); return;
    case PUSH_THROTTLED:
        failure.kind = SETTLE_DEFER;
        failure.ms = (uint64_t)v->pause_ms;
        settle(x, failure);
        return;
    case PUSH_GONE:
    case PUSH_UNREACHABLE:
    case PUSH_RESULTS: settle(x, (struct receipt_ack){ .kind = SETTLE_RELEASE }); return;
    }
}

static void count(struct slot *x, const struct push_outcome *o, const struct push_verdict *v)
{
    static const int64_t bounds_ms[PUSH_BOUNDS] = PUSH_BOUNDS_MS;
    struct subscription *s = x->subscription;
    int64_t took =
        clock_now().mono.ns - x->started.ns; /* not p->now, which would leave out time spent within the turn */
    unsigned bucket = 0;
    while (bucket < PUSH_BOUNDS && took > bounds_ms[bucket] * MONO_MS)
        bucket++;
    s->results[v->result]++;
    s->buckets[bucket]++;
    s->took_ns += took;
    if (o->end == PUSH_ANSWERED)
        s->last_status = o->status;
    if (v->result != PUSH_ACKED)
        sentence_of(o, v->word, s->last_error);
}

/* The answer settles its event. It changes the subscription's state only if that was not put since the event was sent:
 * its URL may be another one by now. */
static void push_done(struct slot *x, const struct push_outcome *o)
{
    struct subscription *s = x->subscription;
    struct push *p = s->push;
    bool dapr = x->dialect == DIALECT_DAPR;
    struct push_verdict v = dapr ? push_judge_dapr(o, p->now.wall) : push_judge(o, p->now.wall);
    enum subscription_state before = s->lifecycle.state;
    count(x, o, &v);
    settle_by(x, o, &v);
    if (x->life == s->life)
        lifecycle_push_ended(&s->lifecycle, &v, p->now.mono, randombytes_random());
    if (s->lifecycle.state != before)
        snprintf(s->detail, sizeof s->detail, "%s", s->last_error);
    log_state_change(s, before);
    slot_free(x);
    push_end(s);
}

static void handshake_done(struct slot *x, const struct sender_answer *answer)
{
    struct subscription *s = x->subscription;
    struct push *p = s->push;
    const struct push_outcome *o = &answer->outcome;
    bool reached = o->end == PUSH_ANSWERED;
    enum subscription_state before = s->lifecycle.state;
    lifecycle_handshake_ended(&s->lifecycle, reached, push_is_allowed(answer->allowed_origin, p->app), p->now.mono,
                              randombytes_random());
    if (reached)
        snprintf(s->detail, sizeof s->detail,
                 "the application answered the handshake %d without 'WebHook-Allowed-Origin: %s'", o->status, p->app);
    else
        sentence_of(o, NULL, s->detail);
    log_state_change(s, before);
    slot_free(x);
    push_end(s);
}

static void on_done(void *cookie, const struct sender_answer *answer)
{
    struct slot *x = cookie;
    if (x->kind == SLOT_HANDSHAKE)
        handshake_done(x, answer);
    else
        push_done(x, &answer->outcome);
}

static void start(struct slot *x, const char *method, int64_t limit_ms)
{
    struct subscription *s = x->subscription;
    bool keep = s->settings.dialect == DIALECT_DAPR;
    struct sender_request r = { method, &s->target, &x->headers, buf_span(&x->body), limit_ms, keep };
    x->life = s->life;
    x->dialect = s->settings.dialect;
    x->started = s->push->now.mono;
    x->transfer = sender_start(s->push->sender, &r, x);
    if (x->transfer)
        return;
    struct sender_answer none = { .outcome = { .end = PUSH_NOT_SENT, .error = "no request could be made" } };
    on_done(x, &none);
}

/* ------------------------------------------------------------------ from the queue */

static void add_header(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, "%s: %s", name, value);
    buf_add_byte(b, '\0');
}

static void add_number(struct buf *b, const char *name, uint64_t value)
{
    buf_printf(b, "%s: %" PRIu64, name, value);
    buf_add_byte(b, '\0');
}

static void write_event(struct slot *x, struct span event)
{
    if (x->subscription->settings.dialect == DIALECT_CLOUDEVENTS) {
        event_http_write(event, &x->headers, &x->body);
        return;
    }
    add_header(&x->headers, "Content-Type", "application/cloudevents+json");
    event_json_write(event, &x->body);
}

static void write_request(struct slot *x, const struct api_taken *t, uint64_t consumer_epoch)
{
    const struct subscription *s = x->subscription;
    buf_add(&x->receipt, t->receipt.data, t->receipt.size);
    write_event(x, t->event);
    add_header(&x->headers, "Sluice-Queue", s->settings.queue);
    add_number(&x->headers, "Sluice-Sequence", t->sequence);
    add_number(&x->headers, "Sluice-Attempt", t->attempt);
    add_number(&x->headers, "Sluice-Consumer-Epoch", consumer_epoch);
    if (s->settings.handshake)
        add_header(&x->headers, "WebHook-Request-Origin", s->push->app);
    x->attempt = t->attempt;
}

/* Must not call the uplink, which is iterating over its takes. */
static void on_taken(void *request, const struct uplink_taken *t)
{
    struct slot *x = request;
    struct subscription *s = x->subscription;
    enum subscription_state before = s->lifecycle.state;
    s->push->now = clock_now(); /* the last push_run may be long ago */
    if (t->count) {
        if (s->lifecycle.state == SUBSCRIPTION_ACTIVE && *s->logged)
            log_recovery(s); /* the queue is there again */
        s->waiting--;
        s->pushing++;
        x->kind = SLOT_PUSHING;
        write_request(x, &t->events[0], t->consumer_epoch);
        start(x, "POST", push_time_limit_ms(s->settings.timeout_ms, t->events[0].lease_ms));
        return;
    }
    slot_free(x);
    if (t->reason == REASON_ok || t->reason == REASON_draining)
        return;
    lifecycle_no_queue(&s->lifecycle, s->push->now.mono, randombytes_random());
    if (s->lifecycle.state != before && t->reason == REASON_unknown_queue)
        snprintf(s->detail, sizeof s->detail,
                 "there is no queue '%s'; declare it first; if that is a topic, name a queue bound to it",
                 s->settings.queue);
    else if (s->lifecycle.state != before)
        snprintf(s->detail, sizeof s->detail, "queue '%s': %s", s->settings.queue, reason_info(t->reason)->title);
    log_state_change(s, before);
}

static bool on_alive(void *request)
{
    (void)request;
    return true;
}

static const struct uplink_handler takes = { .taken = on_taken, .alive = on_alive };

/* ------------------------------------------------------------------ for the event loop */

static void send_handshake(struct subscription *s)
{
    struct slot *x = slot_new(s, SLOT_HANDSHAKE);
    lifecycle_handshake_sent(&s->lifecycle);
    add_header(&x->headers, "WebHook-Request-Origin", s->push->app);
    start(x, "OPTIONS", s->settings.timeout_ms);
}

static void start_takes(struct subscription *s, uint32_t slots)
{
    struct push *p = s->push;
    while (s->waiting + s->pushing < slots) {
        uplink_take_by(p->uplink, &takes, s->settings.queue, 1, INT64_MAX / 2, slot_new(s, SLOT_WAITING), p->now);
        p->busy = true;
    }
}

static void tick(struct subscription *s)
{
    enum subscription_state before = s->lifecycle.state;
    lifecycle_tick(&s->lifecycle, s->push->now.mono);
    if (before == SUBSCRIPTION_THROTTLED) /* whether a missing queue is there now is not known yet */
        log_state_change(s, before);
    if (lifecycle_needs_handshake(&s->lifecycle))
        send_handshake(s);
    uint32_t slots = lifecycle_slots(&s->lifecycle, s->settings.concurrency);
    push_cancel_takes(s, slots > s->pushing ? slots - s->pushing : 0);
    start_takes(s, slots);
}

bool push_run(struct push *p, struct now now)
{
    p->now = now;
    sender_run(p->sender, now.mono);
    for (struct subscription *s = p->subscriptions; s; s = s->next)
        tick(s);
    bool busy = p->busy;
    p->busy = false;
    return busy;
}

mono_t push_due(const struct push *p)
{
    mono_t due = sender_due(p->sender);
    for (const struct subscription *s = p->subscriptions; s; s = s->next)
        due = mono_min(due, s->lifecycle.until);
    return due;
}

int push_fd(const struct push *p)
{
    return sender_fd(p->sender);
}

void push_drain(struct push *p)
{
    p->draining = true;
    for (struct subscription *s = p->subscriptions; s; s = s->next) {
        lifecycle_drain(&s->lifecycle);
        s->detail[0] = '\0'; /* it belonged to the state before */
        push_cancel_takes(s, 0);
    }
}

struct push *push_open(struct uplink *uplink, const char *app, struct error *e)
{
    struct sender *sender = sender_open(on_done, e);
    if (!sender)
        return NULL;
    struct push *p = xcalloc(1, sizeof *p);
    p->uplink = uplink;
    p->sender = sender;
    p->app = app;
    return p;
}

static void free_all(struct subscription *s)
{
    while (s) {
        struct subscription *next = s->next;
        while (s->slots)
            slot_free(s->slots);
        free(s);
        s = next;
    }
}

void push_close(struct push *p)
{
    if (!p)
        return;
    sender_close(p->sender);
    free_all(p->subscriptions);
    free_all(p->ending);
    free(p);
}
