/* Publishing: determines which of the six forms the body has, and encodes its events as they are stored. */
#include "base/units.h"
#include "proto/wire.h"
#include "sidecar/api/event_http.h"
#include "sidecar/api/parse.h"
#include "sidecar/api/query.h"
#include "sidecar/api/respond.h"

#include <stdio.h>
#include <strings.h>

/* Room for an event's attributes; most need less. */
#define ATTRIBUTES_SIZE 512u

enum form { FORM_BINARY, FORM_JSON, FORM_PROTOBUF, FORM_BATCH_JSON, FORM_BATCH_PROTOBUF, FORM_OTHER, FORM_UNKNOWN };

static bool type_is(struct span type, const char *wanted)
{
    size_t size = 0;
    while (size < type.size && type.data[size] != ';' && type.data[size] != ' ')
        size++;
    return header_name_is(span_of(type.data, size), wanted);
}

static bool charset_is_utf8(struct span type)
{
    for (size_t i = 0; i + 8 <= type.size; i++) {
        if (strncasecmp((const char *)type.data + i, "charset=", 8) != 0)
            continue;
        struct span value = span_of(type.data + i + 8, type.size - i - 8);
        if (value.size && value.data[0] == '"')
            value = span_of(value.data + 1, value.size - 1);
        return value.size >= 5 && strncasecmp((const char *)value.data, "utf-8", 5) == 0;
    }
    return true;
}

/* A CloudEvents content type decides. Otherwise the form is binary if there is any ce- header (section 3 of the HTTP
 * binding). */
static enum form form_of(const struct api_request *r)
{
    struct span type = header_find(r, "Content-Type");
    bool batch = type.size >= 29 && strncasecmp((const char *)type.data, "application/cloudevents-batch", 29) == 0;
    if (!batch && !(type.size >= 23 && strncasecmp((const char *)type.data, "application/cloudevents", 23) == 0))
        return event_http_is_binary(r) ? FORM_BINARY : FORM_OTHER;
    if (type_is(type, "application/cloudevents-batch+json"))
        return charset_is_utf8(type) ? FORM_BATCH_JSON : FORM_UNKNOWN;
    if (type_is(type, "application/cloudevents+json"))
        return charset_is_utf8(type) ? FORM_JSON : FORM_UNKNOWN;
    if (type_is(type, "application/cloudevents-batch+protobuf"))
        return FORM_BATCH_PROTOBUF;
    return type_is(type, "application/cloudevents+protobuf") ? FORM_PROTOBUF : FORM_UNKNOWN;
}

/* ------------------------------------------------------------------ one event */

/* Makes room for `count` more events; the first time for exactly that many. */
static bool make_room(struct parsing *p, size_t count, struct error *why)
{
    struct api_command *c = p->command;
    size_t held = c->u.publish.count, room = held ? 2 * (held + count) : count;
    if (held + count <= p->room)
        return true;
    struct api_event *more = arena_alloc(p->arena, room * sizeof *more);
    if (!more)
        return error_set(why, "the batch is too large");
    if (held)
        memcpy(more, c->u.publish.events, held * sizeof *more);
    c->u.publish.events = more;
    p->room = room;
    return true;
}

static bool keep(struct parsing *p, const struct event *e, struct span encoded, bool generated, struct error *why)
{
    struct api_command *c = p->command;
    if (!make_room(p, 1, why))
        return false;
    p->too_large = encoded.size > p->config->event_max;
    if (p->too_large)
        return error_set(why, "the event has %zu bytes, more than the limit of %llu (the sidecar's event_max)",
                         encoded.size, (unsigned long long)p->config->event_max);
    struct api_event *to = &c->u.publish.events[c->u.publish.count++];
    *to = (struct api_event){ .encoded = encoded, .id = e->id, .id_generated = generated };
    to->terms = c->u.publish.terms;
    if (!generated)
        event_hash(e->source, e->id, to->hash);
    return parse_expiry(p, e, &to->terms, why);
}

bool publish_add_event(struct parsing *p, const struct event *e, bool id_generated, struct error *why)
{
    buf_clear(&p->scratch); /* reused for all events: the size of one is known only after it was encoded */
    buf_reserve(&p->scratch, e->data.size + ATTRIBUTES_SIZE);
    event_encode(e, &p->scratch);
    uint8_t *bytes = arena_alloc(p->arena, p->scratch.size);
    if (!bytes)
        return error_set(why, "the batch is too large");
    memcpy(bytes, p->scratch.data, p->scratch.size);
    return keep(p, e, span_of(bytes, p->scratch.size), id_generated, why);
}

/* Keeps the bytes as sent: they are valid, and encoding them again would at most change the order of fields. */
static bool add_protobuf(struct parsing *p, struct span bytes, struct error *why)
{
    struct event e;
    return event_decode(bytes, p->arena, &e, why) && keep(p, &e, bytes, false, why);
}

static bool add_binary(struct parsing *p, struct error *why)
{
    struct event e;
    return event_http_read(p->request, p->arena, &e, why) && publish_add_event(p, &e, false, why);
}

static bool add_other(struct parsing *p, struct error *why)
{
    struct event e;
    bool generated;
    return event_http_wrap(p->request, p->config->app_name, p->random, p->now.wall, p->arena, &e, &generated, why) &&
           publish_add_event(p, &e, generated, why);
}

/* ------------------------------------------------------------------ batches */

bool publish_error_at(size_t index, struct error *why)
{
    struct error inner = *why;
    return error_set(why, "events[%zu]: %.400s", index, inner.text);
}

bool publish_count(struct parsing *p, size_t count, struct error *why)
{
    p->too_large = count > p->config->batch_max_events;
    if (p->too_large)
        return error_set(why, "a batch may hold at most %u events (the sidecar's batch.max_events); send several",
                         p->config->batch_max_events);
    return count > 0 || error_set(why, "the batch holds no events");
}

static bool count_protobuf(struct span body, size_t *count)
{
    struct wire_reader r = wire_open(body);
    struct wire_field f;
    for (*count = 0; wire_next_bytes(&r, 1, &f.bytes);)
        ++*count;
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f))
            return false;
        *count += f.tag == 1 && f.type == WIRE_BYTES;
    }
    return true;
}

static bool add_protobuf_batch(struct parsing *p, struct error *why)
{
    size_t count, i = 0;
    struct wire_field f;
    if (!count_protobuf(p->request->body, &count))
        return error_set(why, "the body is not a protobuf CloudEventBatch");
    if (!publish_count(p, count, why) || !make_room(p, count, why))
        return false;
    for (struct wire_reader r = wire_open(p->request->body); !wire_done(&r) && wire_next(&r, &f);) {
        if (f.tag != 1 || f.type != WIRE_BYTES)
            continue;
        if (!add_protobuf(p, f.bytes, why))
            return publish_error_at(i, why);
        i++;
    }
    return true;
}

/* ------------------------------------------------------------------ the request */

static bool read_events(struct parsing *p, enum form form, struct error *why)
{
    switch (form) {
    case FORM_JSON: return publish_json(p, why);
    case FORM_BATCH_JSON: return publish_json_batch(p, why);
    case FORM_PROTOBUF: return add_protobuf(p, p->request->body, why);
    case FORM_BATCH_PROTOBUF: return add_protobuf_batch(p, why);
    case FORM_BINARY: return add_binary(p, why);
    default: return add_other(p, why);
    }
}

static bool read_options(struct parsing *p, struct error *why)
{
    struct query_parameter known[] = { { .name = "wait" }, { 0 } };
    struct span header = header_find(p->request, "Sluice-Wait");
    int64_t wait = p->config->publish_wait_ms;
    if (!query_parse(p->request->query, known, p->arena, why) || !query_duration(&known[0], &wait, why))
        return false;
    if (!known[0].present && header.data && !duration_parse(header, &wait))
        return error_set(why, "header 'Sluice-Wait' must be a duration like 250ms, 2s or 1m, at most " DURATION_MOST);
    if (wait > p->config->publish_wait_max_ms)
        wait = p->config->publish_wait_max_ms;
    p->command->u.publish.wait_ms = (uint32_t)wait;
    return parse_terms(p, why);
}

static enum api_answer refuse_type(struct parsing *p, const char *sentence)
{
    api_problem(REASON_media_type, sentence, 0, p->arena, p->out);
    return API_RESPONSE;
}

enum api_answer parse_publish(struct parsing *p)
{
    struct error why;
    enum form form = form_of(p->request);
    if (!read_options(p, &why))
        return respond_invalid(&why, p->arena, p->out);
    if (form == FORM_UNKNOWN)
        return refuse_type(p, "CloudEvents come as application/cloudevents+json, +protobuf, "
                              "application/cloudevents-batch+json or -batch+protobuf, in UTF-8");
    p->command->u.publish.batch = form == FORM_BATCH_JSON || form == FORM_BATCH_PROTOBUF;
    if (read_events(p, form, &why))
        return API_COMMAND;
    api_problem(p->too_large ? REASON_too_large : REASON_invalid, why.text, 0, p->arena, p->out);
    return API_RESPONSE;
}
