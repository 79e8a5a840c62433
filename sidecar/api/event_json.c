#include "sidecar/api/event_json.h"

#include "base/utf8.h"

#include <sodium.h>
#include <strings.h>

static bool key_is(struct span key, const char *name)
{
    return span_equal(key, span_str(name));
}

bool media_type_is_json(struct span type)
{
    size_t size = 0;
    while (size < type.size && type.data[size] != ';' && type.data[size] != ' ')
        size++;
    if (size == 0)
        return true;
    const char *text = (const char *)type.data;
    return (size > 5 && strncasecmp(text + size - 5, "/json", 5) == 0) ||
           (size > 5 && strncasecmp(text + size - 5, "+json", 5) == 0);
}

static bool begins(struct span type, const char *with)
{
    size_t size = strlen(with);
    return type.size >= size && strncasecmp((const char *)type.data, with, size) == 0;
}

bool data_is_text(struct span data, struct span type)
{
    struct scan_value value;
    if (type.size == 0)
        return false;
    if (media_type_is_json(type))
        return utf8_valid(data) && scan_text(data, &value);
    return (begins(type, "text/") || begins(type, "application/x-www-form-urlencoded")) && utf8_valid(data);
}

/* State of reading one object. */
struct reading {
    struct arena *arena;
    struct event *event;
    struct scan_value data;
    struct span version, base64;
    bool has_data, has_base64;
};

static bool twice(struct span name, struct error *why)
{
    return error_set(why, "attribute '%.*s' is given twice", (int)(name.size < 80 ? name.size : 80),
                     (const char *)name.data);
}

/* An attribute's value as text, and its type, from its JSON value. */
static bool attribute_value(struct arena *a, const struct scan_value *v, struct attribute *out, struct error *why)
{
    switch (v->kind) {
    case SCAN_STRING:
        if (!scan_string(v->raw, a, &out->text))
            return error_set(why, "attribute '%.*s' holds an escape that stands for no character", (int)out->name.size,
                             (const char *)out->name.data);
        out->type = key_is(out->name, "time")         ? ATTRIBUTE_TIMESTAMP
                    : key_is(out->name, "dataschema") ? ATTRIBUTE_URI
                                                      : ATTRIBUTE_STRING;
        return true;
    case SCAN_NUMBER:
        out->type = ATTRIBUTE_INTEGER;
        out->text = v->raw;
        return true;
    case SCAN_TRUE:
    case SCAN_FALSE:
        out->type = ATTRIBUTE_BOOLEAN;
        out->text = v->raw;
        return true;
    default:
        return error_set(why, "attribute '%.*s' must be a string, an integer or a boolean", (int)out->name.size,
                         (const char *)out->name.data);
    }
}

static bool is_text_only(struct span name)
{
    return key_is(name, "datacontenttype") || key_is(name, "dataschema") || key_is(name, "subject") ||
           key_is(name, "time");
}

static bool read_required(struct reading *r, struct span name, const struct scan_value *v, struct span *to,
                          struct error *why)
{
    struct attribute a = { .name = name };
    if (to->data)
        return twice(name, why);
    if (v->kind != SCAN_STRING)
        return error_set(why, "attribute '%.*s' must be a string", (int)name.size, (const char *)name.data);
    if (!attribute_value(r->arena, v, &a, why))
        return false;
    *to = a.text;
    return true;
}

static bool read_member(struct reading *r, struct span name, const struct scan_value *v, struct error *why)
{
    struct event *e = r->event;
    if (key_is(name, "data")) {
        r->data = *v;
        return !r->has_data ? (r->has_data = true) : twice(name, why);
    }
    if (v->kind == SCAN_NULL)
        return true; /* null: as if absent */
    if (key_is(name, "data_base64")) {
        r->has_base64 = true;
        return read_required(r, name, v, &r->base64, why);
    }
    struct span *required = key_is(name, "id")            ? &e->id
                            : key_is(name, "source")      ? &e->source
                            : key_is(name, "type")        ? &e->type
                            : key_is(name, "specversion") ? &r->version
                                                          : NULL;
    if (required)
        return read_required(r, name, v, required, why);
    if (is_text_only(name) && v->kind != SCAN_STRING)
        return error_set(why, "attribute '%.*s' must be a string", (int)name.size, (const char *)name.data);
    if (e->attribute_count == EVENT_ATTRIBUTES_MAX)
        return error_set(why, "an event may have at most %u attributes", EVENT_ATTRIBUTES_MAX);
    struct attribute *a = &e->attributes[e->attribute_count++];
    a->name = name;
    return attribute_value(r->arena, v, a, why);
}

static bool decode_base64(struct reading *r, struct error *why)
{
    uint8_t *bytes = arena_alloc(r->arena, r->base64.size + 1);
    size_t size = 0;
    const char *end = NULL;
    if (!bytes)
        return error_set(why, "the event is too large");
    if (sodium_base642bin(bytes, r->base64.size + 1, (const char *)r->base64.data, r->base64.size, NULL, &size, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        end != (const char *)r->base64.data + r->base64.size)
        return error_set(why, "'data_base64' is not base64");
    r->event->data = span_of(bytes, size);
    r->event->data_kind = DATA_BINARY;
    return true;
}

/* If the content type is not JSON, a string is decoded to its text. Every other value is JSON and kept as written. */
static bool keep_data(struct reading *r, struct error *why)
{
    if (r->has_data && r->has_base64)
        return error_set(why, "'data' and 'data_base64' exclude each other");
    if (r->has_base64)
        return decode_base64(r, why);
    if (!r->has_data)
        return true;
    r->event->data_kind = DATA_TEXT;
    r->event->data = r->data.raw;
    if (r->data.kind != SCAN_STRING || media_type_is_json(event_attribute(r->event, "datacontenttype")))
        return true;
    return scan_string(r->data.raw, r->arena, &r->event->data) ||
           error_set(why, "'data' holds an escape that stands for no character");
}

static bool read_members(struct reading *r, struct scan *object, struct error *why)
{
    enum scan_status status;
    struct span key, name;
    struct scan_value value;
    while ((status = scan_member(object, &key, &value)) == SCAN_OK) {
        if (!scan_string(key, r->arena, &name))
            return error_set(why, "an attribute name is not valid text");
        if (!read_member(r, name, &value, why))
            return false;
    }
    return status == SCAN_END || error_set(why, "the event is not valid JSON");
}

bool event_json_scan(struct scan *object, struct attribute attributes[EVENT_ATTRIBUTES_MAX], struct arena *a,
                     struct event *out, struct error *why)
{
    struct reading r = { .arena = a, .event = out };
    *out = (struct event){ .attributes = attributes };
    if (!read_members(&r, object, why))
        return false;
    if (!r.version.data)
        return error_set(why, "attribute 'specversion' is missing");
    if (!key_is(r.version, "1.0"))
        return error_set(why, "attribute 'specversion' must be \"1.0\"");
    return keep_data(&r, why) && event_check(out, why);
}

bool event_json_read(struct span object, struct arena *a, struct event *out, struct error *why)
{
    struct attribute attributes[EVENT_ATTRIBUTES_MAX];
    struct scan s = scan_open(object);
    if (!event_json_scan(&s, attributes, a, out, why))
        return false;
    size_t size = out->attribute_count * sizeof *attributes;
    if (!(out->attributes = arena_alloc(a, size)))
        return error_set(why, "the event is too large");
    memcpy(out->attributes, attributes, size);
    return true;
}
