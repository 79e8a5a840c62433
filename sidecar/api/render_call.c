/* Answers of control calls: describe, list, peek, ledger and the operations. */
#include "sidecar/api/event_json.h"
#include "sidecar/api/json_write.h"
#include "sidecar/api/respond.h"

#include <jansson.h>

static void put_number(json_t *o, const char *name, uint64_t value)
{
    json_object_set_new(o, name, json_integer((json_int_t)value));
}

static void put_setting(json_t *o, const struct queue_settings *s, enum queue_setting which)
{
    const struct queue_setting_info *info = queue_setting_info(which);
    uint64_t value = queue_settings_get(s, which);
    char text[24];
    switch (info->type) {
    case QUEUE_SETTING_NUMBER:
    case QUEUE_SETTING_SIZE: put_number(o, info->name, value); return;
    case QUEUE_SETTING_DURATION:
        duration_format((int64_t)value, text);
        json_object_set_new(o, info->name, json_string(text));
        return;
    case QUEUE_SETTING_BOOL: json_object_set_new(o, info->name, json_boolean(value != 0)); return;
    case QUEUE_SETTING_CHOICE_DURABILITY:
    case QUEUE_SETTING_CHOICE_OVERFLOW: json_object_set_new(o, info->name, json_string(info->choices[value])); return;
    }
}

static json_t *ledger_json(const struct ledger *l)
{
    json_t *o = json_object();
    put_number(o, "accepted", l->accepted);
    put_number(o, "acked", l->acked);
    put_number(o, "dead_lettered", l->dead_lettered);
    put_number(o, "expired", l->expired);
    put_number(o, "purged", l->purged);
    put_number(o, "dropped", l->dropped);
    put_number(o, "remaining", l->remaining);
    return o;
}

static double rate(uint64_t milli)
{
    return (double)milli / 1000;
}

/* Three digits behind the point, none when it is large: people read it, and never as an exponent. Not negative. */
static json_t *measured(double value)
{
    return value < 1000 ? json_real((double)(int64_t)(value * 1000 + 0.5) / 1000)
                        : json_integer((json_int_t)(value + 0.5));
}

/* Seconds until `amount` is reached at `speed` per second; null when it never is. */
static json_t *seconds_to(uint64_t amount, double speed)
{
    return speed > 0 ? measured((double)amount / speed) : json_null();
}

static json_t *queue_json(const struct queue_info *q)
{
    json_t *o = json_object();
    uint64_t held = q->ready + q->in_flight + q->delayed;
    double in = rate(q->in_rate_milli), out = rate(q->out_rate_milli);
    json_object_set_new(o, "queue", json_string(q->queue));
    put_number(o, "ready", q->ready);
    put_number(o, "in_flight", q->in_flight);
    put_number(o, "delayed", q->delayed);
    put_number(o, "dead", q->dead);
    put_number(o, "backlog", q->ready + q->in_flight);
    put_number(o, "bytes", q->bytes);
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++)
        put_setting(o, &q->settings, i);
    json_object_set_new(o, "oldest_age_seconds", measured((double)q->oldest_age_ms / 1000));
    put_number(o, "waiting_publishers", q->waiting_publishers);
    json_object_set_new(o, "consumer", *q->consumer ? json_string(q->consumer) : json_null());
    put_number(o, "standbys", q->standbys);
    json_object_set_new(o, "rates", json_pack("{s:o, s:o}", "in", measured(in), "out", measured(out)));
    json_object_set_new(o, "time_to_full_seconds",
                        held < q->settings.capacity ? seconds_to(q->settings.capacity - held, in - out) : json_real(0));
    json_object_set_new(o, "time_to_drain_seconds", held ? seconds_to(held, out - in) : json_real(0));
    json_object_set_new(o, "managed", q->managed ? json_string("config") : json_null());
    json_object_set_new(o, "paused", json_boolean(q->paused));
    json_object_set_new(o, "closed", json_boolean(q->closed));
    put_number(o, "next_sequence", q->next_sequence);
    put_number(o, "refused", q->refused);
    put_number(o, "redelivered", q->redelivered);
    put_number(o, "duplicates", q->duplicates);
    put_number(o, "dedup_evicted", q->dedup_evicted);
    json_object_set_new(o, "ledger", ledger_json(&q->ledger));
    return o;
}

static void render_document(int status, json_t *document, struct api_response *out)
{
    respond_begin_json(out, status);
    json_add_document(&out->body, document);
    buf_add_byte(&out->body, '\n');
}

static void render_queue(const struct api_command *c, const struct queue_info *q, struct api_response *out)
{
    if (!c->u.call.ledger_only) {
        bool created = c->u.call.request.call == CALL_DECLARE && q->created;
        render_document(created ? 201 : 200, queue_json(q), out);
        return;
    }
    json_t *o = ledger_json(&q->ledger);
    json_object_set_new(o, "queue", json_string(q->queue));
    render_document(200, o, out);
}

static void render_list(const struct reply *r, struct api_response *out)
{
    json_t *queues = json_object(), *o = json_object();
    for (size_t i = 0; i < r->u.list.count; i++)
        json_object_set_new(queues, r->u.list.queues[i].queue, queue_json(&r->u.list.queues[i]));
    json_object_set_new(o, "queues", queues);
    json_object_set_new(o, "next", *r->u.list.next ? json_string(r->u.list.next) : json_null());
    render_document(200, o, out);
}

static void render_peeked(const struct reply *r, struct api_response *out)
{
    static const char *const states[] = { "ready", "in_flight", "delayed", "dead" };
    respond_begin_json(out, 200);
    struct buf *b = &out->body;
    buf_add_str(b, "{\"events\":[");
    for (size_t i = 0; i < r->u.peeked.count; i++) {
        const struct peeked *p = &r->u.peeked.events[i];
        buf_add_str(b, i ? ",{" : "{");
        json_add_number_member(b, "sequence", p->sequence);
        json_add_text_member(b, "state", span_str(states[p->state & 3]));
        json_add_number_member(b, "attempt", p->attempt);
        json_add_name(b, span_str("event"));
        event_json_write(p->event, b);
        buf_add_byte(b, '}');
    }
    buf_add_byte(b, ']');
    if (r->u.peeked.next)
        json_add_number_member(b, "next", r->u.peeked.next);
    else
        buf_add_str(b, ",\"next\":null");
    buf_add_str(b, "}\n");
}

void api_render_reply(const struct api_command *c, const struct reply *r, struct arena *a, struct api_response *out)
{
    if (r->reason != REASON_ok) {
        api_refuse(c, r->reason, r->detail, 1000, a, out);
        return;
    }
    switch (r->result) {
    case RESULT_QUEUE: render_queue(c, &r->u.queue, out); return;
    case RESULT_LIST: render_list(r, out); return;
    case RESULT_PEEKED: render_peeked(r, out); return;
    case RESULT_PURGED: render_document(200, json_pack("{s:I}", "purged", (json_int_t)r->u.purged.purged), out); return;
    default: *out = (struct api_response){ .status = 204 };
    }
}

void api_render_silence(const struct api_command *c, struct arena *a, struct api_response *out)
{
    enum call call = c->u.call.request.call;
    if (call == CALL_DESCRIBE || call == CALL_LIST || call == CALL_PEEK)
        api_problem(REASON_unavailable, "the broker did not answer in time", 1000, a, out);
    else
        api_problem(REASON_unknown,
                    "the broker did not answer in time; the call may have been carried out: look, then repeat it", 0, a,
                    out);
}
