/* Makes CloudEvents in JSON of the user's data. Written by appending, not through a JSON document: a million lines
 * should cost little more than reading them, and a JSON value's own bytes must be preserved. */
#include "base/clock.h"
#include "base/units.h"
#include "base/utf8.h"
#include "clients/cli/pub.h"
#include "proto/event.h"
#include "sidecar/api/event_json.h"
#include "sidecar/api/json_write.h"

#include <sodium.h>
#include <stdio.h>

#define NOT_BEFORE_MAX 40u /* bytes, of a time with all its digits */
#define SHOWN_MAX      60u /* bytes shown of input that is not JSON */
/* Text has at most this many control characters, plus one per this many bytes. */
#define CONTROLS_FEW  16u
#define CONTROLS_PART 8u

static bool add_attribute(struct buf *b, const char *given)
{
    const char *equals = strchr(given, '=');
    struct span name = span_of(given, equals ? (size_t)(equals - given) : 0);
    for (size_t i = 0; i < name.size; i++) {
        if (!((given[i] >= 'a' && given[i] <= 'z') || (given[i] >= '0' && given[i] <= '9')))
            name.size = 0;
    }
    if (name.size == 0 || !utf8_valid(span_str(equals + 1)))
        return cli_usage("'%s' is not an attribute: write name=value, the name in lower case letters and digits",
                         given),
               false;
    json_add_name(b, name);
    json_add_string(b, span_str(equals + 1));
    return true;
}

/* Is --ttl above 0, and longer than --delay? Otherwise the broker would accept events that can never be delivered. */
static bool lasts(const struct pub *p)
{
    int64_t delay = 0, ttl = 0;
    if (!p->options.ttl || !duration_parse(span_str(p->options.ttl), &ttl))
        return true;
    if (ttl == 0)
        return cli_usage("--ttl must be a duration above 0 like 1500ms, 30s or 2h, at most " DURATION_MOST), false;
    if (!p->options.delay || !duration_parse(span_str(p->options.delay), &delay) || ttl > delay)
        return true;
    cli_usage("--ttl %s includes --delay %s and must be longer: these events would expire undelivered", p->options.ttl,
              p->options.delay);
    return false;
}

bool pub_event_begin(struct pub *p)
{
    const struct pub_options *o = &p->options;
    const char *const texts[] = { o->type, o->source, o->subject, o->id, o->content_type };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i] && (!*texts[i] || !utf8_valid(span_str(texts[i]))))
            return cli_usage("an attribute must be UTF-8 and not empty"), false;
    }
    int64_t ms;
    if (o->not_before && (strlen(o->not_before) > NOT_BEFORE_MAX || !timestamp_parse_ms(span_str(o->not_before), &ms)))
        return cli_usage("--not-before: '%s' is not a time like 2030-01-02T03:04:05Z", o->not_before), false;
    if (!lasts(p))
        return false;
    uint64_t run;
    randombytes_buf(&run, sizeof run);
    buf_add_str(&p->head, "{\"specversion\":\"1.0\",\"id\":");
    if (o->id) {
        json_add_string(&p->head, span_str(o->id));
    } else {
        buf_printf(&p->head, "\"%016llx-", (unsigned long long)run);
    }
    json_add_text_member(&p->tail, "source", span_str(o->source));
    json_add_text_member(&p->tail, "type", span_str(o->type));
    if (o->subject)
        json_add_text_member(&p->tail, "subject", span_str(o->subject));
    for (size_t i = 0; i < o->attributes.count; i++) {
        if (!add_attribute(&p->tail, o->attributes.items[i]))
            return false;
        p->time_given |= strncmp(o->attributes.items[i], "time=", 5) == 0;
    }
    return true;
}

static bool is_event(struct span object)
{
    struct scan s = scan_open(object);
    struct span key;
    struct scan_value value;
    unsigned seen = 0;
    while (scan_member(&s, &key, &value) == SCAN_OK) {
        seen |= span_equal(key, span_str("\"specversion\"")) ? 1u : 0;
        seen |= span_equal(key, span_str("\"id\"")) ? 2u : 0;
    }
    return seen == 3;
}

static void add_content(struct buf *b, const char *type, const char *member)
{
    json_add_text_member(b, "datacontenttype", span_str(type));
    json_add_name(b, span_str(member));
}

static void add_time(struct buf *b, const char *name, int64_t ms)
{
    char text[40];
    timestamp_format(ms / 1000, (int32_t)(ms % 1000) * 1000000, text);
    json_add_text_member(b, name, span_str(text));
}

/* The times of each event; lines may arrive for hours. */
static void add_times(struct buf *b, const struct pub *p)
{
    int64_t now = clock_now().wall.ms, ttl = 0;
    if (!p->time_given)
        add_time(b, "time", now);
    if (p->options.ttl && duration_parse(span_str(p->options.ttl), &ttl))
        add_time(b, "expirytime", now + ttl);
}

/* UTF-8 with few control characters. With many it is binary data; and as each takes six bytes in JSON, it might
 * exceed the limit of a request that its base64 would fit into. */
static bool is_text(struct span data)
{
    size_t controls = 0;
    for (size_t i = 0; i < data.size; i++)
        controls += data.data[i] < 0x20 && !(data.data[i] >= '\b' && data.data[i] <= '\r' && data.data[i] != '\v');
    return controls <= CONTROLS_FEW + data.size / CONTROLS_PART && utf8_valid(data);
}

/* Wraps one value in an event. json: `data` is a JSON value, used as it is. */
static void wrap(struct pub *p, struct span data, bool json)
{
    const char *given = p->options.content_type;
    struct buf *b = &p->batch;
    buf_add(b, p->head.data, p->head.size);
    if (!p->options.id)
        buf_printf(b, "%llu\"", (unsigned long long)++p->made);
    buf_add_byte(b, ',');
    buf_add(b, p->tail.data, p->tail.size);
    add_times(b, p);
    if (json) {
        add_content(b, given ? given : "application/json", "data");
        buf_add(b, data.data, data.size);
    } else if (is_text(data)) {
        add_content(b, given ? given : "text/plain", "data");
        json_add_string(b, data);
    } else {
        add_content(b, given ? given : "application/octet-stream", "data_base64");
        json_add_base64(b, data);
    }
    buf_add_byte(b, '}');
}

static void say_no_json(const struct pub *p, struct span data)
{
    struct buf shown = { 0 };
    cli_add_plain(&shown, data, SHOWN_MAX);
    cli_fail("%s %llu is not JSON: '%.*s'", p->unit, (unsigned long long)p->position, (int)shown.size,
             (const char *)shown.data);
    buf_free(&shown);
}

bool pub_event_add(struct pub *p, struct span data)
{
    struct scan_value value;
    bool json = p->options.ndjson || (p->options.content_type && media_type_is_json(span_str(p->options.content_type)));
    if (json && (!utf8_valid(data) || !scan_text(data, &value)))
        return say_no_json(p, data), false;
    buf_add_byte(&p->batch, p->count ? ',' : '[');
    if (p->options.ndjson && value.kind == SCAN_OBJECT && is_event(value.raw))
        buf_add(&p->batch, value.raw.data, value.raw.size);
    else
        wrap(p, json ? value.raw : data, json);
    p->events[p->count].end = p->batch.size;
    p->events[p->count].unknown = false;
    p->events[p->count++].position = p->position;
    return true;
}
