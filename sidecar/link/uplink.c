/* The session itself, publishes and control calls. */
#include "base/log.h"
#include "base/xalloc.h"
#include "sidecar/link/uplink_priv.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ publishing */

static enum reason publish(struct uplink *u, const char *name, bool to_topic, const struct api_event *events,
                           size_t count, uint32_t wait_ms, void *request, struct now now)
{
    struct span few[16];
    uint8_t few_hashes[16][EVENT_HASH_SIZE];
    struct span *spans = count <= 16 ? few : xmalloc(count * sizeof *spans);
    uint8_t(*hashes)[EVENT_HASH_SIZE] = count <= 16 ? few_hashes : xmalloc(count * sizeof *hashes);
    struct client_terms few_terms[16];
    struct client_terms *terms = count <= 16 ? few_terms : xmalloc(count * sizeof *terms);
    struct publishing *p = xcalloc(1, sizeof *p + count * sizeof *p->outcomes);
    enum reason why = REASON_ok;
    for (size_t i = 0; i < count; i++) {
        spans[i] = events[i].encoded;
        memcpy(hashes[i], events[i].hash, EVENT_HASH_SIZE);
        terms[i] = events[i].terms;
        p->outcomes[i].reason = REASON_unknown; /* until decided */
    }
    p->request = request;
    p->count = p->left = count;
    DL_APPEND(u->publishing, p);
    bool taken = (to_topic ? client_publish_topic : client_publish_on)(u->client, span_str(name), spans,
                                                                       (const uint8_t(*)[EVENT_HASH_SIZE])hashes, terms,
                                                                       (uint32_t)count, wait_ms, p, now, &why);
    if (!taken) {
        DL_DELETE(u->publishing, p);
        free(p);
    }
    if (spans != few) {
        free(spans);
        free(hashes);
        free(terms);
    }
    return taken ? REASON_ok : why;
}

enum reason uplink_publish(struct uplink *u, const char *queue, const struct api_event *events, size_t count,
                           uint32_t wait_ms, void *request, struct now now)
{
    return publish(u, queue, false, events, count, wait_ms, request, now);
}

enum reason uplink_publish_topic(struct uplink *u, const char *topic, const struct api_event *events, size_t count,
                                 uint32_t wait_ms, void *request, struct now now)
{
    return publish(u, topic, true, events, count, wait_ms, request, now);
}

/* The strings and targets of the outcome belong to the client: copies them for one event; the copy lives as long as
 * `p`. */
static void keep_names(struct publishing *p, struct api_outcome *to, const struct client_outcome *o, uint32_t offset)
{
    size_t size = o->target_count * sizeof(struct target) + strlen(o->queue) + 1;
    for (size_t i = 0; i < o->target_count; i++)
        size += strlen(o->targets[i].queue) + 1;
    struct kept_names *kept = xmalloc(sizeof *kept + size);
    struct target *targets = (struct target *)(void *)kept->bytes;
    char *at = (char *)&targets[o->target_count];
    for (size_t i = 0; i < o->target_count; i++) {
        targets[i] = (struct target){ at, o->targets[i].sequence + o->sequence + offset };
        at = stpcpy(at, o->targets[i].queue) + 1;
    }
    strcpy(at, o->queue);
    LL_PREPEND(p->kept, kept);
    to->is_topic = o->reason == REASON_ok;
    to->queue = *at ? at : NULL;
    to->targets = targets;
    to->target_count = o->target_count;
}

static void free_publishing(struct uplink *u, struct publishing *p)
{
    struct kept_names *k, *next;
    DL_DELETE(u->publishing, p);
    LL_FOREACH_SAFE (p->kept, k, next)
        free(k);
    free(p);
}

static void on_outcome(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o)
{
    struct uplink *u = ctx;
    struct publishing *p = cookie;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t sequence = o->reason == REASON_ok ? o->sequence + i : 0;
        p->outcomes[index + i] = (struct api_outcome){ .reason = o->reason,
                                                       .sequence = sequence,
                                                       .duplicate = (o->flags & RUN_DUPLICATE) != 0,
                                                       .depth = o->depth,
                                                       .capacity = o->capacity,
                                                       .retry_after_ms = o->retry_after_ms };
        if (*o->queue || o->flags & RUN_TOPIC)
            keep_names(p, &p->outcomes[index + i], o, i);
    }
    p->left -= count;
    if (p->left)
        return;
    if (p->request)
        u->handler.published(p->request, p->outcomes);
    free_publishing(u, p);
}

/* ------------------------------------------------------------------ calls */

void uplink_call(struct uplink *u, const struct request *call, void *request, int64_t timeout_ms, struct now now)
{
    client_call(u->client, call, request, timeout_ms, now);
}

static void on_replied(void *ctx, void *cookie, const struct reply *reply)
{
    struct uplink *u = ctx;
    u->handler.replied(cookie, reply);
}

/* ------------------------------------------------------------------ the session */

static void on_attached(void *ctx, bool resumed)
{
    struct uplink *u = ctx;
    u->logged_failure[0] = '\0';
    log_write(LOG_INFO, "link", "%s to the broker at %s", resumed ? "attached again" : "attached", u->broker);
}

/* An attach is retried every few seconds: a failure is a warning only if its reason has changed. */
static void on_away(void *ctx, const char *why)
{
    struct uplink *u = ctx;
    bool again = strncmp(u->logged_failure, why, sizeof u->logged_failure - 1) == 0;
    log_write(again ? LOG_DEBUG : LOG_WARN, "link", "not attached to the broker at %s: %s", u->broker, why);
    snprintf(u->logged_failure, sizeof u->logged_failure, "%s", why);
}

static void on_turn(void *ctx, const char *queue, enum turn_state state, uint64_t consumer_epoch, bool contended,
                    enum reason reason)
{
    takes_turn(ctx, queue, state, consumer_epoch, contended, reason);
}

static void on_delivery(void *ctx, const struct client_delivery *d)
{
    takes_delivery(ctx, d);
}

static void on_idle(void *ctx, const char *queue, uint64_t generation)
{
    takes_idle(ctx, queue, generation);
}

/* Only releases are settled by delivery number, and nobody waits for their results. */
static void on_settled(void *ctx, const char *queue, uint64_t consumer_epoch, uint64_t first, uint64_t count,
                       enum settle_result result)
{
    (void)ctx, (void)queue, (void)consumer_epoch, (void)first, (void)count, (void)result;
}

static void on_receipt_settled(void *ctx, uint64_t request, enum settle_result result)
{
    settlements_decided(ctx, request, result);
}

static const struct client_handler events = {
    .attached = on_attached,
    .away = on_away,
    .outcome = on_outcome,
    .turn = on_turn,
    .delivery = on_delivery,
    .idle = on_idle,
    .settled = on_settled,
    .receipt_settled = on_receipt_settled,
    .replied = on_replied,
};

struct uplink *uplink_open(void *zmq, const struct uplink_config *config, const struct uplink_handler *handler,
                           struct error *e)
{
    struct uplink *u = xcalloc(1, sizeof *u);
    struct client_config client = {
        .name = config->name,
        .inbox = config->inbox,
        .buffer_bytes = config->buffer_bytes,
        .frame_bytes = 64 << 10,
        .secret_key_file = config->secret_key_file,
        .broker_key_file = config->broker_key_file,
    };
    u->config = *config;
    u->handler = *handler;
    u->broker = xstrdup(config->broker);
    randombytes_buf(client.seed, sizeof client.seed);
    u->binding = binding_open(zmq, config->broker, &client, &events, u, e);
    if (!u->binding) {
        free(u->broker);
        free(u);
        return NULL;
    }
    u->client = binding_client(u->binding);
    return u;
}

void uplink_close(struct uplink *u)
{
    if (!u)
        return;
    settlements_free(u);
    takes_free(u);
    binding_close(u->binding);
    while (u->publishing)
        free_publishing(u, u->publishing);
    free(u->broker);
    free(u);
}

bool uplink_abandon(struct uplink *u, void *request)
{
    struct publishing *p;
    DL_FOREACH (u->publishing, p) {
        if (p->request != request)
            continue;
        p->request = NULL;
        client_publish_end_wait(u->client, p);
        u->handler.published(request, p->outcomes);
        return true;
    }
    return settlements_abandon(u, request);
}

void uplink_forget(struct uplink *u, void *request)
{
    struct publishing *p;
    DL_FOREACH (u->publishing, p) {
        if (p->request == request)
            p->request = NULL;
    }
    takes_forget(u, request);
    settlements_forget(u, request);
    client_call_forget(u->client, request);
}

/* ------------------------------------------------------------------ for the event loop */

void uplink_fds(const struct uplink *u, int *control_fd, int *inbox_fd)
{
    binding_fds(u->binding, control_fd, inbox_fd);
}

void uplink_heard(struct uplink *u, bool control, bool inbox)
{
    binding_polled(u->binding, control, inbox);
}

struct traffic uplink_traffic(const struct uplink *u)
{
    return binding_traffic(u->binding);
}

bool uplink_run(struct uplink *u, struct now now)
{
    u->now = now;
    takes_tick(u); /* credit for takes that arrived since the last run */
    bool more = binding_run(u->binding, now);
    takes_tick(u);
    client_flush(u->client, now);
    return more;
}

mono_t uplink_due(const struct uplink *u)
{
    return mono_min(binding_due(u->binding), takes_due(u));
}

void uplink_drain(struct uplink *u, struct now now)
{
    u->now = now;
    u->draining = true;
    takes_drain(u);
}

bool uplink_is_drained(const struct uplink *u)
{
    return takes_are_drained(u);
}

bool uplink_is_quiet(const struct uplink *u)
{
    return client_is_quiet(u->client);
}

void uplink_bye(struct uplink *u, struct now now)
{
    client_bye(u->client, now);
}

bool uplink_has_said_bye(const struct uplink *u)
{
    return client_has_said_bye(u->client);
}

/* ------------------------------------------------------------------ status */

bool uplink_is_attached(const struct uplink *u)
{
    return client_is_attached(u->client);
}

const char *uplink_trouble(const struct uplink *u)
{
    return client_attach_error(u->client);
}

const char *uplink_inbox(const struct uplink *u)
{
    return binding_inbox(u->binding);
}

void uplink_stats(const struct uplink *u, struct uplink_stats *out)
{
    *out = (struct uplink_stats){ .taken_events = u->taken_events,
                                  .held_events = HASH_COUNT(u->leases),
                                  .queues = HASH_COUNT(u->queues) };
    client_stats(u->client, &out->client);
    for (const struct consumed_queue *q = u->queues; q; q = q->hh.next) {
        const struct take *k;
        DL_FOREACH (q->waiting, k)
            out->waiting_takes++;
    }
}
