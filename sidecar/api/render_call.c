/* Renders the replies to control calls: describe, list, peek, ledger and the operations. */
#include "proto/event.h"
#include "sidecar/api/event_json.h"
#include "sidecar/api/json_write.h"
#include "sidecar/api/render_topic.h"
#include "sidecar/api/respond.h"

#include <jansson.h>
#include <stdio.h>

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
    case QUEUE_SETTING_NAME: {
        const char *name = queue_settings_text(s, which);
        json_object_set_new(o, info->name, *name ? json_string(name) : json_null());
        return;
    }
    case QUEUE_SETTING_BOOL: json_object_set_new(o, info->name, json_boolean(value != 0)); return;
    case QUEUE_SETTING_CHOICE_DURABILITY:
    case QUEUE_SETTING_CHOICE_ORDERED:
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

/* A number for people: rounded to three decimals, or to a whole number from 1,000 on, so that it never has an exponent.
 * `value` is not negative. */
static json_t *measured(double value)
{
    return value < 1000 ? json_real((double)(int64_t)(value * 1000 + 0.5) / 1000)
                        : json_integer((json_int_t)(value + 0.5));
}

/* Seconds until `amount` is reached at `speed` per second; null if never. */
static json_t *seconds_to(uint64_t amount, double speed)
{
    return speed > 0 ? measured((double)amount / speed) : json_null();
}

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

/* "shares": the queue's partitions, if it has more than one and was described by name. */
static void put_partitions(json_t *o, const struct queue_info *q)
{
    json_t *list = json_array();
    for (size_t i = 0; i < q->partition_count; i++) {
        const struct partition_info *p = &q->partitions[i];
        json_t *one = json_object();
        put_number(one, "partition", i);
        put_number(one, "ready", p->ready);
        put_number(one, "in_flight", p->in_flight);
        json_object_set_new(one, "consumer", text_or_null(p->consumer));
        json_object_set_new(one, "next_consumer", text_or_null(p->heir));
        json_array_append_new(list, one);
    }
    json_object_set_new(o, "shares", list);
}

/* The redrive that is running; null: none is. */
static json_t *redriving_json(const struct redriving_info *r)
{
    if (r->rate == 0)
        return json_null();
    json_t *o = json_object();
    put_number(o, "redriven", r->redriven);
    put_number(o, "left", r->left);
    put_number(o, "rate", r->rate);
    json_object_set_new(o, "to", json_string(r->to));
    json_object_set_new(o, "waits", json_boolean(r->waits));
    return o;
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
    json_object_set_new(o, "redrive", redriving_json(&q->redrive));
    put_number(o, "dead_letter_held", q->dead_letter_held);
    put_number(o, "backlog", q->ready + q->in_flight);
    put_number(o, "bytes", q->bytes);
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++)
        put_setting(o, &q->settings, i);
    json_object_set_new(o, "oldest_age_seconds", measured((double)q->oldest_age_ms / 1000));
    put_number(o, "waiting_publishers", q->waiting_publishers);
    json_object_set_new(o, "consumer", text_or_null(q->consumer));
    put_number(o, "standbys", q->standbys);
    put_number(o, "active_consumers", q->active_consumers);
    json_object_set_new(
        o, "parked",
        json_pack("{s:I, s:I}", "keys", (json_int_t)q->parked_keys, "events", (json_int_t)q->parked_events));
    if (q->partition_count)
        put_partitions(o, q);
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

static void add_time(struct buf *b, const char *name, int64_t ms)
{
    char text[40];
    timestamp_format(ms / 1000, (int32_t)(ms % 1000) * 1000000, text);
    json_add_text_member(b, name, span_str(text));
}

/* "trouble": the failures so far; left out if there are none. "reason" is why the event is dead, or why it could not be
 * made dead. */
static void add_trouble(struct buf *b, const struct trouble_info *t)
{
    if (!trouble_is(t))
        return;
    json_add_name(b, span_str("trouble"));
    buf_add_byte(b, '{');
    json_add_number_member(b, "failures", t->failures);
    json_add_number_member(b, "crashes", t->crashes);
    if (t->dead)
        json_add_text_member(b, "reason", span_str(dead_reason_name(t->dead)));
    else if (t->held)
        json_add_text_member(b, "reason", span_str(dead_hold_name(t->held)));
    add_time(b, "first", t->first_ms);
    add_time(b, "last", t->last_ms);
    if (t->status)
        json_add_number_member(b, "status", t->status);
    if (*t->error)
        json_add_text_member(b, "error", span_str(t->error));
    buf_add_byte(b, '}');
}

void peeked_write_members(const struct peeked *p, struct buf *b)
{
    static const char *const states[] = { "ready", "in_flight", "delayed", "dead" };
    json_add_number_member(b, "sequence", p->sequence);
    json_add_text_member(b, "state", span_str(states[p->state & 3]));
    json_add_number_member(b, "attempt", p->attempt);
    if (p->state == STATE_DELAYED && p->ready_ms && !p->trouble.held)
        add_time(b, "ready_at", p->ready_ms);
    if (p->expires_ms)
        add_time(b, "expires_at", p->expires_ms);
    if (p->parked_behind)
        json_add_number_member(b, "parked_behind", p->parked_behind);
    add_trouble(b, &p->trouble);
    json_add_name(b, span_str("event"));
    event_json_write(p->event, b);
}

static void render_peeked(const struct reply *r, struct api_response *out)
{
    respond_begin_json(out, 200);
    struct buf *b = &out->body;
    buf_add_str(b, "{\"events\":[");
    for (size_t i = 0; i < r->u.peeked.count; i++) {
        buf_add_str(b, i ? ",{" : "{");
        peeked_write_members(&r->u.peeked.events[i], b);
        buf_add_byte(b, '}');
    }
    buf_add_byte(b, ']');
    if (r->u.peeked.next)
        json_add_number_member(b, "next", r->u.peeked.next);
    else
        buf_add_str(b, ",\"next\":null");
    buf_add_str(b, "}\n");
}

static void render_redriven(const struct api_command *c, const struct reply *r, struct api_response *out)
{
    respond_begin_json(out, r->u.redriven.running ? 202 : 200);
    buf_add_byte(&out->body, '{');
    if (c->u.call.request.u.redrive.dry_run) {
        json_add_number_member(&out->body, "would_redrive", r->u.redriven.redriven);
    } else {
        json_add_number_member(&out->body, "redriven", r->u.redriven.redriven);
        json_add_number_member(&out->body, "left", r->u.redriven.left);
        buf_add_str(&out->body, r->u.redriven.running ? ",\"running\":true" : "");
    }
    buf_add_str(&out->body, "}\n");
}

/* A redrive may be refused for the queue in the path or the one in the body ("to"): answers the second case. False in
 * the first. */
static bool refuse_target(const struct api_command *c, const struct reply *r, struct arena *a, struct api_response *out)
{
    const struct request *asked = &c->u.call.request;
    char detail[2 * NAME_MAX_SIZE + 100];
    if (asked->call != CALL_REDRIVE || !*asked->u.redrive.to)
        return false;
    if (r->reason == REASON_closed)
        snprintf(detail, sizeof detail, "the queue '%s' to redrive to is closed; open it first", asked->u.redrive.to);
    else if (r->reason == REASON_unknown_queue && r->detail && *r->detail)
        snprintf(detail, sizeof detail, "there is no queue '%s' to redrive to; declare it first (PUT /v1/queues/%s)",
                 asked->u.redrive.to, asked->u.redrive.to);
    else
        return false;
    api_refuse(c, r->reason, detail, 1000, a, out);
    return true;
}

void api_render_reply(const struct api_command *c, const struct reply *r, struct arena *a, struct api_response *out)
{
    if (r->reason != REASON_ok) {
        bool event_missing = c->u.call.request.call == CALL_EXPLAIN && r->reason == REASON_not_found;
        if (!refuse_target(c, r, a, out))
            api_refuse(c, event_missing ? REASON_unknown_event : r->reason, r->detail, 1000, a, out);
        return;
    }
    switch (r->result) {
    case RESULT_QUEUE: render_queue(c, &r->u.queue, out); return;
    case RESULT_LIST: render_list(r, out); return;
    case RESULT_PEEKED: render_peeked(r, out); return;
    case RESULT_PURGED: render_document(200, json_pack("{s:I}", "purged", (json_int_t)r->u.purged.purged), out); return;
    case RESULT_EXPLAINED: render_explained(c->queue, &r->u.explained, out); return;
    case RESULT_REDRIVEN: render_redriven(c, r, out); return;
    case RESULT_TOPIC: render_topic(c, &r->u.topic, a, out); return;
    case RESULT_TOPICS: render_topics(r, out); return;
    default: *out = (struct api_response){ .status = 204 };
    }
}

bool api_call_changes(const struct api_command *c)
{
    const struct request *r = &c->u.call.request;
    bool counts_only = r->call == CALL_REDRIVE && r->u.redrive.dry_run;
    return !(r->call == CALL_DESCRIBE || r->call == CALL_EXPLAIN || r->call == CALL_LIST || r->call == CALL_PEEK ||
             counts_only || r->call == CALL_DESCRIBE_TOPIC || r->call == CALL_LIST_TOPICS);
}

void api_render_no_reply(const struct api_command *c, struct arena *a, struct api_response *out)
{
    if (!api_call_changes(c))
        api_problem(REASON_unavailable, "the broker did not answer in time", 1000, a, out);
    else
        api_problem(REASON_unknown,
                    "the broker did not answer in time; the call may have been carried out: check before you repeat it",
                    0, a, out);
}
