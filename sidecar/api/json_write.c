#include "sidecar/api/json_write.h"
#include "sidecar/api/json_scan.h"

#include <jansson.h>
#include <sodium.h>

/* Six significant digits: rates and ages are not more exact. */
#define FORMAT (JSON_COMPACT | JSON_REAL_PRECISION(6))

static void add_escaped(struct buf *b, uint8_t c)
{
    static const char named[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'
    };
    if (c < sizeof named && named[c])
        buf_printf(b, "\\%c", named[c]);
    else
        buf_printf(b, "\\u%04x", c);
}

void json_add_string(struct buf *b, struct span text)
{
    const uint8_t *at = text.data, *end = text.size ? text.data + text.size : at;
    buf_reserve(b, text.size + 2);
    buf_add_byte(b, '"');
    while (at < end) {
        const uint8_t *special = scan_plain(at, end);
        buf_add(b, at, (size_t)(special - at));
        if (special < end)
            add_escaped(b, *special++);
        at = special;
    }
    buf_add_byte(b, '"');
}

void json_add_name(struct buf *b, struct span name)
{
    uint8_t last = b->size ? b->data[b->size - 1] : '{';
    if (last != '{' && last != '[')
        buf_add_byte(b, ',');
    json_add_string(b, name);
    buf_add_byte(b, ':');
}

void json_add_text_member(struct buf *b, const char *name, struct span text)
{
    json_add_name(b, span_str(name));
    json_add_string(b, text);
}

uint8_t *json_put_number(uint8_t *to, uint64_t value)
{
    uint8_t digits[JSON_NUMBER_MOST];
    size_t at = sizeof digits;
    do
        digits[--at] = (uint8_t)('0' + value % 10);
    while ((value /= 10) > 0);
    return mempcpy(to, digits + at, sizeof digits - at);
}

void json_add_number_member(struct buf *b, const char *name, uint64_t value)
{
    json_add_name(b, span_str(name));
    const uint8_t *start = buf_reserve(b, JSON_NUMBER_MOST);
    b->size += (size_t)(json_put_number(b->data + b->size, value) - start);
}

void json_add_base64(struct buf *b, struct span bytes)
{
    size_t size = sodium_base64_encoded_len(bytes.size, sodium_base64_VARIANT_ORIGINAL);
    buf_add_byte(b, '"');
    char *to = (char *)buf_reserve(b, size);
    sodium_bin2base64(to, size, bytes.data, bytes.size, sodium_base64_VARIANT_ORIGINAL);
    b->size += size - 1;
    buf_add_byte(b, '"');
}

void json_add_document(struct buf *b, json_t *document)
{
    size_t size = json_dumpb(document, NULL, 0, FORMAT);
    json_dumpb(document, (char *)buf_reserve(b, size), size, FORMAT);
    b->size += size;
    json_decref(document);
}
