/* Writes a stored event in binary mode (cloudevents/bindings/http-protocol-binding.md 1.0.2, 3.1), as the sidecar POSTs
 * it. */
#include "sidecar/api/event_http.h"
#include "sidecar/api/event_json.h"

/* Must the binding percent-encode it? Everything but printable ASCII, and of that the space, '"' and '%'. */
static void add_encoded(struct buf *b, struct span text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c > ' ' && c < 0x7f && c != '"' && c != '%') {
            buf_add_byte(b, c);
            continue;
        }
        buf_add_byte(b, '%');
        buf_add_byte(b, (uint8_t)hex[c >> 4]);
        buf_add_byte(b, (uint8_t)hex[c & 15]);
    }
}

static void add_header(struct buf *b, struct span name, struct span value)
{
    buf_add_str(b, "ce-");
    buf_add(b, name.data, name.size);
    buf_add_str(b, ": ");
    add_encoded(b, value);
    buf_add_byte(b, '\0');
}

static void add_content_type(struct buf *b, struct span type)
{
    buf_add_str(b, "Content-Type: ");
    buf_add(b, type.data, type.size);
    buf_add_byte(b, '\0');
}

static void write_wrapped(struct span encoded, struct buf *headers, struct buf *body)
{
    add_header(headers, span_str("specversion"), span_str("1.0"));
    add_header(headers, span_str("id"), span_str("invalid"));
    add_header(headers, span_str("source"), span_str("/sluice"));
    add_header(headers, span_str("type"), span_str("sluice.invalid"));
    add_content_type(headers, span_str("application/octet-stream"));
    buf_add(body, encoded.data, encoded.size);
}

static void write_attributes(const struct event *e, struct buf *headers)
{
    add_header(headers, span_str("specversion"), span_str("1.0"));
    add_header(headers, span_str("id"), e->id);
    add_header(headers, span_str("source"), e->source);
    add_header(headers, span_str("type"), e->type);
    for (size_t i = 0; i < e->attribute_count; i++) {
        if (!span_equal(e->attributes[i].name, span_str("datacontenttype")))
            add_header(headers, e->attributes[i].name, e->attributes[i].text);
    }
}

void event_http_write(struct span encoded, struct buf *headers, struct buf *body)
{
    struct arena arena;
    struct event e;
    struct scan_value value;
    arena_init(&arena, 64 * 1024 + 2 * encoded.size);
    if (event_decode(encoded, &arena, &e, NULL)) {
        struct span type = event_attribute(&e, "datacontenttype");
        write_attributes(&e, headers);
        if (type.size)
            add_content_type(headers, type);
        else if (e.data_kind == DATA_TEXT &&
                 scan_text(e.data,
                           &value)) /* JSON data without a datacontenttype: this is implied (json-format.md, 2.4) */
            add_content_type(headers, span_str("application/json"));
        struct span data = e.data_kind == DATA_PROTO ? event_any_value(e.data) : e.data;
        buf_add(body, data.data, data.size);
    } else {
        write_wrapped(encoded, headers, body);
    }
    arena_free(&arena);
}
