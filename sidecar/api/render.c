/* Renders the outcomes of publishes and of acks. */
#include "sidecar/api/dapr.h"
#include "sidecar/api/json_scan.h"
#include "sidecar/api/json_write.h"
#include "sidecar/api/render_topic.h"
#include "sidecar/api/respond.h"

#include <stdio.h>

/* If the outcome is unknown and the id was generated here, a retry is not safe: it could be a second event. */
bool publish_is_retryable(const struct api_event *e, enum reason reason)
{
    return reason_info(reason)->retryable && !(reason == REASON_unknown && e->id_generated);
}

/* The detail of an unknown outcome: what to do. */
static const char *advice(const struct api_command *c, const struct api_event *e, char out[DETAIL_SIZE])
{
    if (!e->id_generated)
        return "the broker did not answer in time and may have accepted the event; send it again with the same "
               "source and id: within its dedup_window the queue takes it once";
    snprintf(out, DETAIL_SIZE,
             "the broker did not answer in time and may have accepted the event; its id was generated here, so "
             "sending it again would make a second event: send an id of your own (%s) to be able to retry",
             c->u.publish.dapr ? "metadata.cloudevent.id" : "ce-id or Idempotency-Key");
    return out;
}

/* The detail where nothing that the topic is bound to takes the event. Its name may have come by the path of a queue. */
static const char *unrouted(const struct api_command *c, char out[DETAIL_SIZE])
{
    const char *topic = c->topic ? c->topic : c->queue;
    snprintf(out, DETAIL_SIZE,
             "no queue bound to topic '%s' matches the event, so it was not accepted: bind one with a filter that does "
             "(PUT /v1/topics/%s/bindings/QUEUE), or set the topic's unrouted to drop or {queue: NAME}",
             topic, topic);
    return out;
}

const char *publish_detail(const struct api_command *c, const struct api_event *e, const struct api_outcome *o,
                           char out[DETAIL_SIZE])
{
    if (o->reason == REASON_unknown)
        return advice(c, e, out);
    if (o->reason == REASON_too_large) /* from the broker; the sidecar's own limit is answered elsewhere */
        return "the event is larger than the broker's max_event, or than the queue's capacity_bytes";
    if (o->reason == REASON_disk) /* it may be full, or only behind */
        return "the broker's disk took no more events within the wait, so nothing was accepted: send it again later; "
               "if this lasts, ack, redrive or purge events that are stored there, or enlarge disk_budget, or the disk";
    if (o->reason == REASON_unrouted)
        return unrouted(c, out);
    if (o->reason == REASON_unavailable && !c->away)
        return "the connection to the broker was lost, and was not back in time; nothing was accepted: send it again";
    if (o->reason != REASON_full || !o->capacity)
        return respond_detail(c, o->reason, NULL, out);
    bool by_count = o->depth >= o->capacity;
    snprintf(out, DETAIL_SIZE, "queue '%s' %s %llu of %llu events%s", o->queue ? o->queue : c->queue,
             by_count ? "is full: it holds" : "has no room, though it holds", (unsigned long long)o->depth,
             (unsigned long long)o->capacity,
             by_count ? "" : ": its capacity_bytes are used up, or others wait for room there already");
    return out;
}

static void render_refusal(const struct api_command *c, const struct api_event *e, const struct api_outcome *o,
                           struct arena *a, struct api_response *out)
{
    char room[DETAIL_SIZE];
    struct api_command about = *c;
    if (o->queue) /* the topic's queue that refused; c->queue may be the topic's name */
        about.queue = o->queue;
    problem_open_of(&about, o->reason, publish_detail(c, e, o, room), publish_is_retryable(e, o->reason), out);
    if (!c->u.publish.batch)
        json_add_text_member(&out->body, "id", e->id);
    if (o->reason == REASON_full && o->capacity) {
        json_add_number_member(&out->body, "depth", o->depth);
        json_add_number_member(&out->body, "capacity", o->capacity);
    }
    problem_close(o->reason, o->retry_after_ms, a, out);
}

static void mark_duplicate(struct buf *b, const struct api_outcome *o)
{
    if (!o->duplicate)
        return;
    json_add_name(b, span_str("duplicate"));
    buf_add_str(b, "true");
}

static void render_one(const struct api_command *c, const struct api_outcome *o, struct api_response *out)
{
    respond_begin_json(out, 202);
    buf_add_byte(&out->body, '{');
    if (o->is_topic) {
        json_add_text_member(&out->body, "topic", span_str(c->topic ? c->topic : c->queue));
        json_add_text_member(&out->body, "id", c->u.publish.events[0].id);
        render_targets(&out->body, o);
    } else {
        json_add_text_member(&out->body, "queue", span_str(c->queue));
        json_add_number_member(&out->body, "sequence", o->sequence);
        json_add_text_member(&out->body, "id", c->u.publish.events[0].id);
    }
    mark_duplicate(&out->body, o);
    buf_add_str(&out->body, "}\n");
}

/* The fast path for nearly all items: accepted by a queue, with an id that needs no escapes. False if it has some. */
static bool render_accepted(struct buf *b, struct span id, uint64_t sequence)
{
    static const char before[] = "{\"id\":\"", between[] = "\",\"sequence\":";
    if (scan_plain(id.data, id.data + id.size) != id.data + id.size)
        return false;
    uint8_t *at = buf_reserve(b, id.size + sizeof before + sizeof between + JSON_NUMBER_MOST + 2);
    const uint8_t *start = at;
    if (at[-1] != '[')
        *at++ = ',';
    at = mempcpy(at, before, sizeof before - 1);
    at = mempcpy(at, id.data, id.size);
    at = mempcpy(at, between, sizeof between - 1);
    at = json_put_number(at, sequence);
    *at++ = '}';
    b->size += (size_t)(at - start);
    return true;
}

/* Items have no "title" member; if there is no detail, the title is written there. */
static void render_refused(struct buf *b, const struct api_command *c, const struct api_event *e,
                           const struct api_outcome *o)
{
    const struct reason_info *info = reason_info(o->reason);
    char room[DETAIL_SIZE];
    const char *detail = publish_detail(c, e, o, room);
    json_add_number_member(b, "status", (uint64_t)info->status);
    json_add_text_member(b, "reason", span_str(info->name));
    respond_add_sentence(b, "detail", detail ? detail : info->title);
    if (o->queue)
        json_add_text_member(b, "queue", span_str(o->queue));
}

static void render_item(struct buf *b, const struct api_command *c, const struct api_event *e,
                        const struct api_outcome *o)
{
    if (o->reason == REASON_ok && !o->is_topic && !o->duplicate && render_accepted(b, e->id, o->sequence))
        return;
    if (b->data[b->size - 1] != '[')
        buf_add_byte(b, ',');
    buf_add_byte(b, '{');
    json_add_text_member(b, "id", e->id);
    if (o->reason == REASON_ok && o->is_topic) {
        render_targets(b, o);
    } else if (o->reason == REASON_ok) {
        json_add_number_member(b, "sequence", o->sequence);
    } else {
        render_refused(b, c, e, o);
    }
    mark_duplicate(b, o);
    buf_add_byte(b, '}');
}

static void render_batch(const struct api_command *c, const struct api_outcome *outcomes, size_t refused,
                         struct arena *a, struct api_response *out)
{
    respond_begin_json(out, refused ? 207 : 202);
    buf_add_str(&out->body, "{\"events\":[");
    for (size_t i = 0; i < c->u.publish.count; i++)
        render_item(&out->body, c, &c->u.publish.events[i], &outcomes[i]);
    buf_add_str(&out->body, "]}\n");
    if (refused)
        respond_number_header(out, a, "Sluice-Refused", refused);
}

void api_render_publish(const struct api_command *c, const struct api_outcome *outcomes, struct arena *a,
                        struct api_response *out)
{
    size_t refused = 0;
    bool common = true;
    if (c->u.publish.dapr) {
        dapr_render_publish(c, &outcomes[0], a, out);
        return;
    }
    for (size_t i = 0; i < c->u.publish.count; i++) {
        refused += outcomes[i].reason != REASON_ok;
        common &= outcomes[i].reason == outcomes[0].reason;
    }
    if (refused == c->u.publish.count && common)
        render_refusal(c, &c->u.publish.events[0], &outcomes[0], a, out);
    else if (c->u.publish.batch)
        render_batch(c, outcomes, refused, a, out);
    else
        render_one(c, &outcomes[0], out);
}

/* ------------------------------------------------------------------ acks */

static bool is_good(enum settle_kind kind, enum settle_result result)
{
    static const enum settle_result good[] = {
        [SETTLE_ACK] = SETTLED_ACKED,        [SETTLE_NACK] = SETTLED_NACKED,    [SETTLE_EXTEND] = SETTLED_EXTENDED,
        [SETTLE_RELEASE] = SETTLED_RELEASED, [SETTLE_DEFER] = SETTLED_DEFERRED, [SETTLE_DROP] = SETTLED_DROPPED,
    };
    return result == good[kind];
}

void api_render_acks(const struct api_command *c, const enum settle_result *results, struct arena *a,
                     struct api_response *out)
{
    static const char *const names[] = { "acked",   "nacked",  "extended", "released",
                                         "expired", "unknown", "deferred", "dropped" };
    bool good = true;
    (void)a;
    respond_begin_json(out, 200);
    struct buf *b = &out->body;
    buf_add_str(b, "{\"results\":[");
    for (size_t i = 0; i < c->u.acks.count; i++) {
        buf_add_str(b, i ? ",{" : "{");
        json_add_text_member(b, "receipt", c->u.acks.items[i].receipt);
        json_add_text_member(b, "result", span_str(names[results[i]]));
        buf_add_byte(b, '}');
        good &= is_good(c->u.acks.items[i].kind, results[i]);
    }
    buf_add_str(b, "]}\n");
    out->status = good ? 200 : 207;
}
