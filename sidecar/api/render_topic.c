/* Renders topics, and the outcomes of events published to them. */
#include "sidecar/api/render_topic.h"

#include "proto/filter.h"
#include "sidecar/api/json_write.h"
#include "sidecar/api/respond.h"

#include <jansson.h>

static void put_number(json_t *o, const char *name, uint64_t value)
{
    json_object_set_new(o, name, json_integer((json_int_t)value));
}

static json_t *unrouted_json(const struct topic_info *t)
{
    return t->unrouted == UNROUTED_QUEUE ? json_pack("{s:s}", "queue", t->catch_all)
                                         : json_string(unrouted_name(t->unrouted));
}

/* "filter" is null if this sidecar does not understand it: the broker may be of another version. */
static json_t *binding_json(const struct binding_info *b)
{
    json_t *o = json_object();
    if (b->filter.size)
        json_object_set_new(o, "filter", filter_valid(b->filter) ? filter_to_json(b->filter) : json_null());
    put_number(o, "matched", b->matched);
    return o;
}

static json_t *topic_json(const struct topic_info *t)
{
    json_t *o = json_object(), *bindings = json_object();
    double rate = (double)t->in_rate_milli / 1000;
    for (size_t i = 0; i < t->binding_count; i++)
        json_object_set_new(bindings, t->bindings[i].queue, binding_json(&t->bindings[i]));
    json_object_set_new(o, "topic", json_string(t->topic));
    json_object_set_new(o, "unrouted", unrouted_json(t));
    json_object_set_new(o, "bindings", bindings);
    json_object_set_new(o, "managed", t->managed ? json_string("config") : json_null());
    put_number(o, "accepted", t->accepted);
    put_number(o, "dropped", t->dropped);
    put_number(o, "refused", t->refused);
    put_number(o, "duplicates", t->duplicates);
    put_number(o, "waiting_publishers", t->waiting_publishers);
    json_object_set_new(o, "rate", json_real(rate));
    return o;
}

static void render_document(int status, json_t *document, struct api_response *out)
{
    respond_begin_json(out, status);
    json_add_document(&out->body, document);
    buf_add_byte(&out->body, '\n');
}

static const struct binding_info *find_binding(const struct topic_info *t, const char *queue)
{
    for (size_t i = 0; i < t->binding_count; i++) {
        if (strcmp(t->bindings[i].queue, queue) == 0)
            return &t->bindings[i];
    }
    return NULL;
}

void render_topic(const struct api_command *c, const struct topic_info *t, struct arena *a, struct api_response *out)
{
    const struct binding_info *b =
        *c->queue && c->u.call.request.call != CALL_UNBIND ? find_binding(t, c->queue) : NULL;
    if (c->u.call.request.call == CALL_UNBIND) {
        *out = (struct api_response){ .status = 204 };
    } else if (b) {
        json_t *o = binding_json(b);
        json_object_set_new(o, "topic", json_string(t->topic));
        json_object_set_new(o, "queue", json_string(b->queue));
        render_document(200, o, out);
    } else if (*c->queue) {
        api_refuse(c, REASON_unknown_queue, "that queue is not bound to the topic", 0, a, out);
    } else {
        bool created = c->u.call.request.call == CALL_PUT_TOPIC && t->created;
        render_document(created ? 201 : 200, topic_json(t), out);
    }
}

void render_topics(const struct reply *r, struct api_response *out)
{
    json_t *topics = json_object(), *o = json_object();
    for (size_t i = 0; i < r->u.topics.count; i++)
        json_object_set_new(topics, r->u.topics.topics[i].topic, topic_json(&r->u.topics.topics[i]));
    json_object_set_new(o, "topics", topics);
    json_object_set_new(o, "next", *r->u.topics.next ? json_string(r->u.topics.next) : json_null());
    render_document(200, o, out);
}

void render_targets(struct buf *b, const struct api_outcome *o)
{
    json_add_name(b, span_str("queues"));
    buf_add_byte(b, '{');
    for (size_t i = 0; i < o->target_count; i++)
        json_add_number_member(b, o->targets[i].queue, o->targets[i].sequence);
    buf_add_byte(b, '}');
}
