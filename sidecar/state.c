/* What the sidecar reports about itself: probes, health, metrics, the index page. */
#include "sidecar/sidecar_priv.h"

#include "sidecar/api/json_write.h"

#include <jansson.h>

#define CALL_TIMEOUT_MS 2000
#define PAGE            1000u

static void answer_text(struct job *j, int status, const char *text)
{
    struct api_response r;
    api_text(status, "text/plain; charset=utf-8", span_str(text), &r);
    job_answer(j, &r);
}

static void answer_ready(struct job *j)
{
    struct api_response r;
    const struct uplink *u = j->sidecar->uplink;
    if (uplink_is_attached(u)) {
        answer_text(j, 200, "attached\n");
        return;
    }
    api_problem(REASON_unavailable, uplink_trouble(u), 1000, j->arena, &r);
    job_answer(j, &r);
}

static void answer_health(struct job *j)
{
    struct sidecar *s = j->sidecar;
    struct uplink_stats stats;
    struct api_response r;
    bool attached = uplink_is_attached(s->uplink);
    uplink_stats(s->uplink, &stats);
    json_t *o = json_pack(
        "{s:s, s:s, s:f, s:s, s:b, s:s, s:s, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "status",
        s->api.draining ? "draining"
        : attached      ? "ok"
                        : "away",
        "version", SLUICE_VERSION, "uptime_seconds", (double)mono_since_ms(s->now.mono, s->started) / 1000, "broker",
        s->options->broker, "attached", attached, "trouble", uplink_trouble(s->uplink), "inbox",
        uplink_inbox(s->uplink), "incarnation", (json_int_t)stats.client.incarnation, "connections",
        (int)http_connections(s->http), "waiting_takes", (json_int_t)stats.waiting_takes, "held_events",
        (json_int_t)stats.held_events, "undecided_events", (json_int_t)stats.client.undecided_events, "undecided_bytes",
        (json_int_t)stats.client.undecided_bytes, "round_trip_ms", (json_int_t)stats.client.rtt_ms, "subscriptions",
        (json_int_t)push_count(s->push), "streams", (json_int_t)streams_count(s));
    api_text(200, "application/json", span_str(""), &r);
    json_add_document(&r.body, o);
    buf_add_byte(&r.body, '\n');
    job_answer(j, &r);
}

static void answer_dapr(struct job *j)
{
    const struct uplink *u = j->sidecar->uplink;
    struct api_response r;
    if (j->command.kind == API_METADATA_DAPR)
        api_render_dapr_metadata(&j->sidecar->api, SLUICE_VERSION, &r);
    else
        api_render_dapr_health(&j->command, uplink_is_attached(u), uplink_trouble(u), &r);
    job_answer(j, &r);
}

static void answer_index(struct job *j)
{
    answer_text(j, 200,
                "Sluice: bounded queues over HTTP. Try, on this listener:\n\n"
                "  GET  /v1/queues                     list the queues\n"
                "  PUT  /v1/queues/orders              declare a queue\n"
                "  POST /v1/queues/orders/events       publish\n"
                "  POST /v1/queues/orders/take?wait=5s take\n"
                "  GET  /v1/queues/orders/stream       take, as a stream of Server-Sent Events\n"
                "  GET  /v1/queues/orders/peek         look at events without taking them\n"
                "  GET  /v1/queues/orders/ledger       how many events were accepted, acked, dead-lettered, ...\n"
                "  GET  /v1/topics                     list the topics, which fan out to queues\n"
                "  GET  /v1/subscriptions              list the subscriptions, by which events are pushed\n"
                "  GET  /metrics                       metrics for Prometheus\n"
                "  GET  /healthz                       the state of this sidecar\n"
                "  GET  /openapi.json                  the description of the API\n");
}

/* ------------------------------------------------------------------ metrics */

static void send_metrics(struct job *j)
{
    struct api_response r = { .status = 200, .content_type = "text/plain; version=0.0.4; charset=utf-8" };
    r.body = j->text;
    j->text = (struct buf){ 0 };
    job_answer(j, &r);
}

static void ask_list(struct job *j, enum call call, const char *after)
{
    struct request list = { .call = call, .queue = "", .topic = "" };
    list.u.list.prefix = "";
    list.u.list.after = after;
    list.u.list.limit = PAGE;
    uplink_call(j->sidecar->uplink, &list, j, CALL_TIMEOUT_MS, j->sidecar->now);
}

/* The broker's part is collected by calls: its own metrics, then its queues and its topics, page by page. */
static void answer_metrics(struct job *j)
{
    struct sidecar *s = j->sidecar;
    metrics_write(s->metrics, s->uplink, http_connections(s->http), &j->text);
    push_write_metrics(s->push, s->now.mono, &j->text);
    streams_write_metrics(s, &j->text);
    if (!s->options->operations || !uplink_is_attached(s->uplink)) {
        send_metrics(j);
        return;
    }
    struct request broker = { .call = CALL_BROKER, .queue = "" };
    j->waiting = true;
    uplink_call(s->uplink, &broker, j, CALL_TIMEOUT_MS, s->now);
}

static void add_queues(struct job *j, const struct reply *reply)
{
    for (size_t i = 0; i < reply->u.list.count; i++)
        queue_collection_add(j->queues, &reply->u.list.queues[i]);
    if (*reply->u.list.next) {
        ask_list(j, CALL_LIST, arena_strndup(j->arena, reply->u.list.next, strlen(reply->u.list.next)));
        return;
    }
    queue_collection_write(j->queues, &j->text);
    j->topics = topic_collection_new(j->sidecar->queue_metrics);
    ask_list(j, CALL_LIST_TOPICS, "");
}

static void add_topics(struct job *j, const struct reply *reply)
{
    for (size_t i = 0; i < reply->u.topics.count; i++)
        topic_collection_add(j->topics, &reply->u.topics.topics[i]);
    if (*reply->u.topics.next) {
        ask_list(j, CALL_LIST_TOPICS, arena_strndup(j->arena, reply->u.topics.next, strlen(reply->u.topics.next)));
        return;
    }
    topic_collection_write(j->topics, &j->text);
    send_metrics(j);
}

void state_replied(struct job *j, const struct reply *reply)
{
    if (reply->reason == REASON_ok && reply->result == RESULT_BROKER) {
        metrics_write_broker(&reply->u.broker, &j->text);
        j->queues = queue_collection_new(j->sidecar->queue_metrics);
        ask_list(j, CALL_LIST, "");
    } else if (reply->reason == REASON_ok && reply->result == RESULT_LIST) {
        add_queues(j, reply);
    } else if (reply->reason == REASON_ok && reply->result == RESULT_TOPICS) {
        add_topics(j, reply);
    } else {
        send_metrics(j); /* the broker did not answer: at least the sidecar's own */
    }
}

void state_answer(struct job *j)
{
    struct api_response r;
    switch (j->command.kind) {
    case API_READY: answer_ready(j); return;
    case API_HEALTH: answer_health(j); return;
    case API_METADATA_DAPR:
    case API_HEALTH_DAPR: answer_dapr(j); return;
    case API_METRICS: answer_metrics(j); return;
    case API_INDEX: answer_index(j); return;
    case API_DESCRIPTION:
        api_text(200, "application/json", api_openapi(), &r);
        job_answer(j, &r);
        return;
    case API_STARTUP: answer_text(j, 200, "started\n"); return;
    default: answer_text(j, 200, "alive\n");
    }
}
