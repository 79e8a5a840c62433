#include "proto/wire.h"
#include "sidecar/api/event_json.h"
#include "sidecar/api/json_write.h"

static void write_attribute(const struct attribute *a, struct buf *out)
{
    json_add_name(out, a->name);
    if (a->type == ATTRIBUTE_BOOLEAN || a->type == ATTRIBUTE_INTEGER)
        buf_add(out, a->text.data, a->text.size);
    else
        json_add_string(out, a->text);
}

struct span event_any_value(struct span any)
{
    struct wire_reader r = wire_open(any);
    struct wire_field f = { 0 };
    struct span value = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == 2 && f.type == WIRE_BYTES)
            value = f.bytes;
    }
    return value;
}

static void write_text(struct span data, struct span type, struct buf *out)
{
    struct scan_value value;
    json_add_name(out, span_str("data"));
    if (media_type_is_json(type) && scan_text(data, &value))
        buf_add(out, value.raw.data, value.raw.size);
    else
        json_add_string(out, data);
}

/* JSON is written as it is, other text as a string, bytes as base64. Producers like libsluice send all data as bytes;
 * if its content type says that it is JSON or text, it is written as such, so that consumers see no difference between
 * producers. */
static void write_data(const struct event *e, struct buf *out)
{
    struct span type = event_attribute(e, "datacontenttype");
    if (e->data_kind == DATA_NONE)
        return;
    if (e->data_kind == DATA_TEXT || (e->data_kind == DATA_BINARY && data_is_text(e->data, type))) {
        write_text(e->data, type, out);
        return;
    }
    json_add_name(out, span_str("data_base64"));
    json_add_base64(out, e->data_kind == DATA_PROTO ? event_any_value(e->data) : e->data);
}

static void write_wrapped(struct span encoded, struct buf *out)
{
    buf_add_str(out, "{\"specversion\":\"1.0\",\"id\":\"invalid\",\"source\":\"/sluice\",\"type\":\"sluice.invalid\",");
    buf_add_str(out, "\"datacontenttype\":\"application/octet-stream\",\"data_base64\":");
    json_add_base64(out, encoded);
    buf_add_byte(out, '}');
}

void event_json_write(struct span encoded, struct buf *out)
{
    struct arena arena;
    struct event e;
    arena_init(&arena, 64 * 1024 + 2 * encoded.size);
    if (!event_decode(encoded, &arena, &e, NULL)) {
        write_wrapped(encoded, out);
        arena_free(&arena);
        return;
    }
    buf_reserve(out, encoded.size + 128);
    buf_add_str(out, "{\"specversion\":\"1.0\"");
    json_add_text_member(out, "id", e.id);
    json_add_text_member(out, "source", e.source);
    json_add_text_member(out, "type", e.type);
    for (size_t i = 0; i < e.attribute_count; i++)
        write_attribute(&e.attributes[i], out);
    write_data(&e, out);
    buf_add_byte(out, '}');
    arena_free(&arena);
}
