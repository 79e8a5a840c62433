#include "sidecar/api/event_http.h"

#include "base/utf8.h"
#include "sidecar/api/event_json.h"
#include "sidecar/api/query.h"

#define ID_MAX_SIZE 512u

struct span header_find(const struct api_request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (header_name_is(r->headers[i].name, name))
            return r->headers[i].value.data ? r->headers[i].value : span_str("");
    }
    return (struct span){ 0 };
}

static bool is_ce(struct span name)
{
    return name.size > 3 && name.data[2] == '-' && strncasecmp((const char *)name.data, "ce-", 3) == 0;
}

bool event_http_is_binary(const struct api_request *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (is_ce(r->headers[i].name))
            return true;
    }
    return false;
}

/* Removes the quotes and escapes of a quoted-string (RFC 7230), before percent-decoding (section 3.1.3.2 of the
 * binding). */
static struct span unquote(struct span value, struct arena *a)
{
    if (value.size < 2 || value.data[0] != '"' || value.data[value.size - 1] != '"')
        return value;
    uint8_t *to = arena_alloc(a, value.size);
    size_t size = 0;
    for (size_t i = 1; to && i + 1 < value.size; i++) {
        if (value.data[i] == '\\' && i + 2 < value.size)
            i++;
        to[size++] = value.data[i];
    }
    return to ? span_of(to, size) : value;
}

static struct span lower(struct span name, struct arena *a)
{
    char *to = arena_strndup(a, (const char *)name.data, name.size);
    for (size_t i = 0; to && i < name.size; i++) {
        if (to[i] >= 'A' && to[i] <= 'Z')
            to[i] = (char)(to[i] + 32);
    }
    return span_of(to, to ? name.size : 0);
}

static bool read_header(struct span name, struct span raw, struct arena *a, struct event *e, struct span *version,
                        struct error *why)
{
    struct span value;
    if (!percent_decode(unquote(raw, a), false, a, &value) || !utf8_valid(value))
        return error_set(why, "header 'ce-%.*s' holds a broken percent-encoding or invalid UTF-8", (int)name.size,
                         (const char *)name.data);
    if (span_equal(name, span_str("datacontenttype")))
        return error_set(why, "header 'ce-datacontenttype' is not allowed: the data's type is the Content-Type");
    struct span *required = span_equal(name, span_str("id"))            ? &e->id
                            : span_equal(name, span_str("source"))      ? &e->source
                            : span_equal(name, span_str("type"))        ? &e->type
                            : span_equal(name, span_str("specversion")) ? version
                                                                        : NULL;
    if (required && required->data)
        return error_set(why, "header 'ce-%.*s' is given twice", (int)name.size, (const char *)name.data);
    if (required) {
        *required = value.data ? value : span_str("");
        return true;
    }
    struct attribute *to = &e->attributes[e->attribute_count++];
    to->name = name;
    to->text = value;
    to->type = span_equal(name, span_str("time"))         ? ATTRIBUTE_TIMESTAMP
               : span_equal(name, span_str("dataschema")) ? ATTRIBUTE_URI
                                                          : ATTRIBUTE_STRING;
    return true;
}

/* Stores the body as text if data_is_text, otherwise as bytes. */
static void keep_body(struct span body, struct span type, struct event *e)
{
    if (body.size == 0)
        return;
    e->data = body;
    e->data_kind = data_is_text(body, type) ? DATA_TEXT : DATA_BINARY;
}

/* `curl -d` declares a body as a form if no type is given. A JSON object or array cannot be a form, in which { and [
 * are written %7B and %5B. */
static bool is_json_as_form(struct span type, struct span body)
{
    struct scan_value value;
    return header_name_is(type, "application/x-www-form-urlencoded") && utf8_valid(body) && scan_text(body, &value) &&
           (value.kind == SCAN_OBJECT || value.kind == SCAN_ARRAY);
}

static void add_content_type(const struct api_request *r, struct event *e)
{
    struct span type = header_find(r, "Content-Type");
    if (is_json_as_form(type, r->body))
        type = span_str("application/json");
    if (type.size)
        e->attributes[e->attribute_count++] = (struct attribute){ span_str("datacontenttype"), ATTRIBUTE_STRING, type };
    keep_body(r->body, type, e);
}

static bool start_event(const struct api_request *r, struct arena *a, struct event *out, struct error *why)
{
    *out = (struct event){ 0 };
    out->attributes = arena_alloc(a, (r->header_count + 3) * sizeof *out->attributes);
    return out->attributes || error_set(why, "the event is too large");
}

bool event_http_read(const struct api_request *r, struct arena *a, struct event *out, struct error *why)
{
    struct span version = { 0 };
    if (!start_event(r, a, out, why))
        return false;
    for (size_t i = 0; i < r->header_count; i++) {
        struct span name = r->headers[i].name;
        if (!is_ce(name))
            continue;
        name = lower(span_of(name.data + 3, name.size - 3), a);
        if (!read_header(name, r->headers[i].value, a, out, &version, why))
            return false;
    }
    if (!version.data)
        return error_set(why, "header 'ce-specversion' is missing");
    if (!span_equal(version, span_str("1.0")))
        return error_set(why, "header 'ce-specversion' must be 1.0");
    add_content_type(r, out);
    return event_check(out, why);
}

static struct span made_up_id(const uint8_t random[16], struct arena *a)
{
    char *text = arena_alloc(a, 37);
    if (text)
        uuid_format(random, text);
    return span_str(text);
}

bool event_http_wrap(const struct api_request *r, const char *app, const uint8_t random[16], wall_t now,
                     struct arena *a, struct event *out, bool *id_generated, struct error *why)
{
    struct span key = header_find(r, "Idempotency-Key");
    if (!start_event(r, a, out, why))
        return false;
    if (key.data && key.size == 0) /* probably an unset variable; each retry would become a new event */
        return error_set(why, "Idempotency-Key is empty; leave it out to have an id generated");
    if (key.size > ID_MAX_SIZE)
        return error_set(why, "Idempotency-Key is longer than %u bytes", ID_MAX_SIZE);
    *id_generated = key.size == 0;
    out->id = key.size ? unquote(key, a) : made_up_id(random, a);
    char *source = arena_alloc(a, strlen(app) + 2);
    char *time = arena_alloc(a, 40);
    if (!source || !time)
        return error_set(why, "the event is too large");
    source[0] = '/';
    strcpy(source + 1, app);
    timestamp_format(now.ms / 1000, (int32_t)(now.ms % 1000) * 1000000, time);
    out->source = span_str(source);
    out->type = span_str("sluice.event");
    out->attributes[out->attribute_count++] =
        (struct attribute){ span_str("time"), ATTRIBUTE_TIMESTAMP, span_str(time) };
    add_content_type(r, out);
    return event_check(out, why);
}
