/* The life of a request: received by HTTP, parsed by the API, carried out by the uplink, and answered. */
#include "sidecar/sidecar_priv.h"

#include "base/clock.h"

#include <sodium.h>
#include <stdlib.h>

#define CALL_TIMEOUT_MS 5000
/* Longer, because a redrive first reads dead events from disk. */
#define REDRIVE_TIMEOUT_MS 20000

void job_answer(struct job *j, struct api_response *response)
{
    struct sidecar *s = j->sidecar;
    j->waiting = false;
    /* Not s->now, which would leave out time spent within the turn. */
    metrics_request(s->metrics, j->command.route, response->status, clock_now().mono.ns - j->started.ns);
    http_answer(j->exchange, response);
}

void job_stream(struct job *j, struct api_response *head)
{
    struct sidecar *s = j->sidecar;
    metrics_request(s->metrics, j->command.route, head->status, clock_now().mono.ns - j->started.ns);
    http_stream(j->exchange, head);
}

void job_explain_refusal(struct job *j, enum reason reason)
{
    const struct sidecar *s = j->sidecar;
    struct error sentence;
    if (reason != REASON_unavailable || uplink_is_attached(s->uplink))
        return;
    const char *why = uplink_trouble(s->uplink);
    error_set(&sentence, "no broker answers at %s, so nothing was done: %s", s->options->broker,
              *why ? why : "is it up, and is that its address?");
    j->command.away = arena_strndup(j->arena, sentence.text, strlen(sentence.text));
}

static void answer_problem(struct job *j, enum reason reason)
{
    struct api_response r;
    api_refuse(&j->command, reason, NULL, 1000, j->arena, &r);
    job_answer(j, &r);
}

/* Likewise, in the format of the API that was called (Dapr's has its own). */
static void answer_refusal(struct job *j, enum reason reason)
{
    const struct api_outcome outcome = { .reason = reason, .retry_after_ms = 1000 };
    struct api_response r;
    api_render_publish(&j->command, &outcome, j->arena, &r);
    job_answer(j, &r);
}

/* ------------------------------------------------------------------ from HTTP */

static enum api_answer begin(void *ctx, const struct api_request *r, struct arena *a, uint64_t *body_limit,
                             struct api_response *out, bool *close)
{
    const struct sidecar *s = ctx;
    return api_begin(&s->api, r, a, body_limit, out, close);
}

static void finish(void *ctx, const struct api_request *r, struct arena *a, struct api_response *out)
{
    const struct sidecar *s = ctx;
    api_finish(&s->api, r, a, out);
}

static void on_refused(void *ctx, int status)
{
    const struct sidecar *s = ctx;
    metrics_request(s->metrics, NULL, status, 0);
}

/* Random bytes from a stream cipher with a random key: asking the kernel would be a system call for each request. */
static void draw(struct sidecar *s, uint8_t out[16])
{
    uint8_t nonce[crypto_stream_chacha20_NONCEBYTES] = { 0 };
    memcpy(nonce, &s->random_counter, sizeof s->random_counter);
    s->random_counter++;
    crypto_stream_chacha20(out, 16, nonce, s->random_key);
}

static void publish(struct job *j)
{
    struct sidecar *s = j->sidecar;
    const struct api_command *c = &j->command;
    j->waiting = true;
    http_hold(j->exchange);
    enum reason why = (c->topic ? uplink_publish_topic : uplink_publish)(s->uplink, c->topic ? c->topic : c->queue,
                                                                         c->u.publish.events, c->u.publish.count,
                                                                         c->u.publish.wait_ms, j, s->now);
    if (why == REASON_ok)
        return;
    metrics_published(s->metrics, why, c->u.publish.count);
    if (c->u.publish.dapr)
        answer_refusal(j, why);
    else
        answer_problem(j, why);
}

static void make_call(struct job *j)
{
    struct sidecar *s = j->sidecar;
    const struct request *r = &j->command.u.call.request;
    j->waiting = true;
    j->attached = uplink_is_attached(s->uplink);
    int64_t timeout = r->call == CALL_REDRIVE ? REDRIVE_TIMEOUT_MS : CALL_TIMEOUT_MS;
    uplink_call(s->uplink, r, j, j->attached ? timeout : AWAY_TIMEOUT_MS, s->now);
}

static void carry_out(struct job *j)
{
    struct sidecar *s = j->sidecar;
    const struct api_command *c = &j->command;
    s->busy = true;
    switch (c->kind) {
    case API_PUBLISH: publish(j); return;
    case API_TAKE:
        j->waiting = true;
        uplink_take(s->uplink, c->queue, c->u.take.max, c->u.take.wait_ms, j, s->now);
        return;
    case API_STREAM: stream_open(j); return;
    case API_ACKS:
        j->waiting = true;
        uplink_settle(s->uplink, c->u.acks.items, c->u.acks.count, j, s->now);
        return;
    case API_CALL: make_call(j); return;
    case API_SUBSCRIBE:
    case API_UNSUBSCRIBE:
    case API_SUBSCRIPTION:
    case API_SUBSCRIPTIONS: subscriptions_answer(j); return;
    case API_DRAIN: drain_join(j); return;
    default: state_answer(j);
    }
}

static void on_request(void *ctx, struct exchange *x, const struct api_request *r, struct arena *a)
{
    struct sidecar *s = ctx;
    struct api_response response;
    uint8_t random[16];
    struct job *j = arena_alloc(a, sizeof *j);
    if (!j) {
        api_problem(REASON_headers_too_large, NULL, 0, a, &response);
        http_answer(x, &response);
        return;
    }
    *j = (struct job){ .sidecar = s, .exchange = x, .arena = a, .started = s->now.mono };
    *http_slot(x) = j;
    draw(s, random);
    if (api_parse(&s->api, r, random, s->now, a, &j->command, &response) == API_COMMAND)
        carry_out(j);
    else
        job_answer(j, &response);
}

static void release_taken(struct job *j)
{
    const char *at = (const char *)j->receipts.data, *end = at + j->receipts.size;
    for (; at < end; at += strlen(at) + 1)
        uplink_release(j->sidecar->uplink, span_str(at), j->sidecar->now);
    buf_clear(&j->receipts);
}

static void on_done(void *ctx, struct exchange *x, bool sent)
{
    struct sidecar *s = ctx;
    struct job *j = *http_slot(x);
    if (!j)
        return;
    s->busy |= j->stream || j->waiting || j->receipts.size;
    if (j->stream)
        stream_closed(j, sent);
    if (j->waiting) {
        uplink_forget(s->uplink, j);
        drain_leave(s, j);
    }
    if (!sent)
        release_taken(j);
    buf_free(&j->receipts);
    buf_free(&j->text);
    queue_collection_free(j->queues);
    topic_collection_free(j->topics);
}

static int64_t on_fill(void *ctx, struct exchange *x, uint8_t *to, size_t room)
{
    (void)ctx;
    return stream_fill(*http_slot(x), to, room);
}

/* Does the job have a call that changes something and that the broker may have received, or may still receive? Calls
 * that are held while there is no session are sent when one comes up. */
static bool may_change(const struct job *j)
{
    switch (j->command.kind) {
    case API_CALL: return api_call_changes(&j->command);
    case API_SUBSCRIBE: return j->changing;
    case API_UNSUBSCRIBE: return true;
    default: return false;
    }
}

static void answer_abandoned(struct job *j, enum reason why)
{
    const char *half =
        "the client shut down its side of the connection, which ends the wait: keep it open until the answer is there";
    struct api_response r;
    if (j->command.kind == API_STREAM) {
        stream_refuse(j, why);
    } else if (may_change(j)) {
        api_problem(REASON_unknown, "the call may have been carried out: check before you repeat it", 0, j->arena, &r);
        job_answer(j, &r);
    } else if (j->command.kind == API_DRAIN && why == REASON_draining) {
        drain_give_up(j);
    } else if (j->command.kind == API_METRICS) {
        state_replied(j, &(struct reply){ .reason = why });
    } else {
        api_refuse(&j->command, why, why == REASON_timeout ? half : NULL, 1000, j->arena, &r);
        job_answer(j, &r);
    }
}

/* The result of a publish, of acks, or of a call that changes something is not known yet. A 503 would claim that
 * nothing was done, so these are answered as unknown. */
static void on_abandon(void *ctx, struct exchange *x, enum reason why)
{
    struct sidecar *s = ctx;
    struct job *j = *http_slot(x);
    if ((j->command.kind == API_PUBLISH || j->command.kind == API_ACKS) && uplink_abandon(s->uplink, j))
        return;
    if (j->stream && stream_end(j, REASON_draining))
        return;
    if (j->stream)
        stream_closed(j, false);
    uplink_forget(s->uplink, j);
    drain_leave(s, j);
    answer_abandoned(j, why);
}

static bool publishes(void *ctx, const struct api_request *r)
{
    (void)ctx;
    return api_is_publish(r);
}

const struct http_handler jobs_http = {
    begin, on_request, finish, on_refused, on_abandon, on_done, on_fill, publishes
};

/* ------------------------------------------------------------------ from the broker */

static void published(void *request, const struct api_outcome *outcomes)
{
    struct job *j = request;
    struct api_response r;
    for (size_t i = 0; i < j->command.u.publish.count; i++)
        metrics_published(j->sidecar->metrics, outcomes[i].reason, 1);
    job_explain_refusal(j,
                        outcomes[j->command.u.publish.count - 1].reason); /* after a refusal all later events have it */
    api_render_publish(&j->command, outcomes, j->arena, &r);
    job_answer(j, &r);
}

static void taken(void *request, const struct uplink_taken *t)
{
    struct job *j = request;
    struct api_response r;
    if (t->reason != REASON_ok) {
        job_explain_refusal(j, t->reason);
        api_refuse(&j->command, t->reason, NULL, 1000, j->arena, &r);
        job_answer(j, &r);
        return;
    }
    bool gone = t->count && !http_is_alive(j->exchange); /* a write could still succeed, although nobody reads it */
    for (size_t i = 0; i < t->count; i++) {
        buf_add(&j->receipts, t->events[i].receipt.data, t->events[i].receipt.size);
        buf_add_byte(&j->receipts, '\0');
    }
    if (gone)
        release_taken(j);
    api_render_take(&j->command, t->events, gone ? 0 : t->count, t->standby, t->consumer_epoch, j->arena, &r);
    job_answer(j, &r);
}

static bool alive(void *request)
{
    const struct job *j = request;
    return http_is_alive(j->exchange);
}

static void settled(void *request, const enum settle_result *results)
{
    struct job *j = request;
    struct api_response r;
    api_render_acks(&j->command, results, j->arena, &r);
    job_answer(j, &r);
}

void job_refuse_away(struct job *j, struct api_response *r)
{
    job_explain_refusal(j, REASON_unavailable);
    api_refuse(&j->command, REASON_unavailable, NULL, 1000, j->arena, r);
}

bool job_may_have_reached(const struct job *j)
{
    return j->attached || uplink_is_attached(j->sidecar->uplink);
}

static void replied(void *request, const struct reply *reply)
{
    struct job *j = request;
    struct api_response r;
    if (j->command.kind == API_SUBSCRIBE || j->command.kind == API_UNSUBSCRIBE ||
        j->command.kind == API_SUBSCRIPTIONS) {
        subscriptions_replied(j, reply);
        return;
    }
    if (j->command.kind != API_CALL) {
        state_replied(j, reply);
        return;
    }
    if (reply->reason == REASON_unavailable && job_may_have_reached(j))
        api_render_no_reply(&j->command, j->arena, &r);
    else if (reply->reason == REASON_unavailable)
        job_refuse_away(j, &r);
    else
        api_render_reply(&j->command, reply, j->arena, &r);
    job_answer(j, &r);
}

const struct uplink_handler jobs_uplink = { published, taken, alive, settled, replied, NULL };
