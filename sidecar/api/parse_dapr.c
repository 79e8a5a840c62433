/* A publish in the format of Dapr's HTTP API. Data that is not a CloudEvent is wrapped into one, with the attributes
 * that Dapr's sidecar would set: type com.dapr.event.sent, topic, pubsubname, and the trace context from the
 * headers. */
#include "base/units.h"
#include "base/utf8.h"
#include "sidecar/api/dapr.h"
#include "sidecar/api/event_http.h"
#include "sidecar/api/event_json.h"
#include "sidecar/api/parse.h"
#include "sidecar/api/query.h"

#include <stdio.h>
#include <strings.h>

/* The metadata.* parameters of the query. */
struct metadata {
    struct span id, source, type, traceid, traceparent, tracestate; /* cloudevent.NAME */
    struct span ttl;
    bool raw;
};

static enum api_answer refuse(struct parsing *p, int status, const char *code, const char *message)
{
    dapr_refuse(status, code, message, p->out);
    return API_RESPONSE;
}

static bool take_name(struct parsing *p, struct span raw, const char **out)
{
    struct span name;
    if (!percent_decode(raw, false, p->arena, &name) || !name_valid(name))
        return false;
    *out = arena_strndup(p->arena, (const char *)name.data, name.size);
    return *out != NULL;
}

static bool is_ours(const struct setting_list *pubsubs, const char *name)
{
    for (size_t i = 0; pubsubs && i < pubsubs->count; i++) {
        if (strcmp(pubsubs->items[i], name) == 0)
            return true;
    }
    return (!pubsubs || pubsubs->count == 0) && strcmp(name, DAPR_PUBSUB) == 0;
}

/* ------------------------------------------------------------------ metadata */

static bool is_true(struct span value)
{
    static const char *const words[] = { "true", "1", "yes", "y", "on" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (header_name_is(value, words[i]))
            return true;
    }
    return false;
}

/* Names are compared without case, as in Dapr. Unknown ones are ignored: they are for other components. */
static void keep(struct metadata *m, struct span name, struct span value)
{
    struct {
        const char *name;
        struct span *to;
    } known[] = { { "ttlInSeconds", &m->ttl },
                  { "cloudevent.id", &m->id },
                  { "cloudevent.source", &m->source },
                  { "cloudevent.type", &m->type },
                  { "cloudevent.traceid", &m->traceid },
                  { "cloudevent.traceparent", &m->traceparent },
                  { "cloudevent.tracestate", &m->tracestate } };
    if (header_name_is(name, "rawPayload"))
        m->raw = is_true(value);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (header_name_is(name, known[i].name))
            *known[i].to = value;
    }
}

static bool read_metadata(struct parsing *p, struct metadata *m)
{
    const uint8_t *at = p->request->query.data, *end = at + p->request->query.size;
    *m = (struct metadata){ 0 };
    while (at < end) {
        const uint8_t *next = memchr(at, '&', (size_t)(end - at)), *stop = next ? next : end;
        const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
        struct span name = span_of(at, (size_t)((equals ? equals : stop) - at)), value = span_str("");
        if (!percent_decode(name, true, p->arena, &name) ||
            (equals && !percent_decode(span_of(equals + 1, (size_t)(stop - equals) - 1), true, p->arena, &value)))
            return false;
        if (name.size > 9 && memcmp(name.data, "metadata.", 9) == 0)
            keep(m, span_of(name.data + 9, name.size - 9), value);
        at = next ? next + 1 : end;
    }
    return true;
}

/* The time to live, from now on. An event's own expirytime takes precedence. */
static bool set_ttl(struct parsing *p, struct span text)
{
    uint64_t seconds = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        seconds = seconds * 10 + (uint64_t)(text.data[i] - '0');
        if (seconds > UINT32_MAX)
            return false;
    }
    p->command->u.publish.terms.expires_ms = p->now.wall.ms + (int64_t)seconds * 1000;
    return seconds > 0;
}

/* ------------------------------------------------------------------ the event */

/* Sets or replaces a text attribute; an empty `value` changes nothing. */
static void set(struct event *e, const char *name, struct span value)
{
    size_t i = 0;
    if (value.size == 0)
        return;
    while (i < e->attribute_count && !span_equal(e->attributes[i].name, span_str(name)))
        i++;
    e->attributes[i] = (struct attribute){ span_str(name), ATTRIBUTE_STRING, value };
    e->attribute_count += i == e->attribute_count;
}

#define SET_MOST 6u

static bool make_room(struct parsing *p, struct event *e)
{
    struct attribute *more = arena_alloc(p->arena, (e->attribute_count + SET_MOST) * sizeof *more);
    if (more && e->attribute_count)
        memcpy(more, e->attributes, e->attribute_count * sizeof *more);
    e->attributes = more;
    return more != NULL;
}

static struct span first_of(struct span one, struct span other)
{
    return one.size ? one : other;
}

static void describe(struct parsing *p, struct event *e, const struct metadata *m, const char *pubsub)
{
    struct span parent = first_of(m->traceparent, header_find(p->request, "traceparent"));
    set(e, "topic", span_str(p->command->queue));
    set(e, "pubsubname", span_str(pubsub));
    set(e, "traceparent", parent);
    set(e, "traceid", first_of(m->traceid, parent)); /* the whole traceparent, as in Dapr */
    set(e, "tracestate", first_of(m->tracestate, header_find(p->request, "tracestate")));
    e->id = first_of(m->id, e->id);
    e->source = first_of(m->source, e->source);
    e->type = first_of(m->type, e->type);
}

static bool wrap(struct parsing *p, struct event *e, bool *generated, struct error *why)
{
    if (!event_http_wrap(p->request, p->config->app_name, p->random, p->now.wall, p->arena, e, generated, why))
        return false;
    e->type = span_str("com.dapr.event.sent");
    e->source = span_str(p->config->app_name);
    if (header_find(p->request, "Content-Type").size || !make_room(p, e))
        return e->attributes || error_set(why, "the event is too large");
    set(e, "datacontenttype", span_str("text/plain"));
    e->data_kind = utf8_valid(e->data) ? DATA_TEXT : DATA_BINARY;
    return true;
}

static bool is_event(const struct api_request *r)
{
    static const char type[] = "application/cloudevents+json";
    struct span given = header_find(r, "Content-Type");
    return given.size >= sizeof type - 1 && strncasecmp((const char *)given.data, type, sizeof type - 1) == 0;
}

static bool read_event(struct parsing *p, struct event *e, struct error *why)
{
    struct scan_value value;
    if (!utf8_valid(p->request->body) || !scan_text(p->request->body, &value) || value.kind != SCAN_OBJECT)
        return error_set(why, "the body is not a JSON object in UTF-8");
    return event_json_read(value.raw, p->arena, e, why);
}

static bool make(struct parsing *p, const struct metadata *m, const char *pubsub, struct error *why)
{
    struct event e;
    bool generated = false;
    if (m->raw)
        return event_http_wrap(p->request, p->config->app_name, p->random, p->now.wall, p->arena, &e, &generated,
                               why) &&
               publish_add_event(p, &e, generated, why);
    if (!(is_event(p->request) ? read_event(p, &e, why) : wrap(p, &e, &generated, why)))
        return false;
    if (!make_room(p, &e))
        return error_set(why, "the event is too large");
    describe(p, &e, m, pubsub);
    return event_check(&e, why) && publish_add_event(p, &e, generated && m->id.size == 0, why);
}

enum api_answer parse_dapr(struct parsing *p, const struct span names[ROUTE_NAMES])
{
    struct api_command *c = p->command;
    struct metadata m;
    struct error why;
    const char *pubsub = NULL;
    c->kind = API_PUBLISH;
    c->u.publish.dapr = true;
    c->u.publish.wait_ms = (uint32_t)p->config->publish_wait_ms;
    if (!take_name(p, names[0], &pubsub) || !is_ours(p->config->pubsubs, pubsub))
        return refuse(p, 404, "ERR_PUBSUB_NOT_FOUND",
                      "this sidecar knows no such pubsub; list its name under dapr.pubsubs, or use 'sluice'");
    if (!take_name(p, names[1], &c->queue))
        return refuse(
            p, 404, "ERR_TOPIC_NAME_EMPTY",
            "a topic's name is 1 to 128 letters, digits, '.', '_' and '-', and begins with a letter or digit");
    if (!read_metadata(p, &m))
        return refuse(p, 400, "ERR_PUBSUB_REQUEST_METADATA", "the query has an invalid percent-escape");
    if (m.ttl.size && !set_ttl(p, m.ttl))
        return refuse(p, 400, "ERR_PUBSUB_REQUEST_METADATA",
                      "ttlInSeconds must be a whole number of seconds, from 1 to 4294967295");
    if (make(p, &m, pubsub, &why))
        return API_COMMAND;
    return refuse(p, p->too_large ? 413 : 400, "ERR_PUBSUB_CLOUD_EVENTS_SER", why.text);
}
