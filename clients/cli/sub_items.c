/* Parses the answer of a take. The events' own bytes are printed, so they are scanned in place: a JSON document
 * would change numbers and drop what it cannot hold. */
#include "clients/cli/sub.h"

#include <sodium.h>

static struct span text_of(const struct scan_value *v, struct arena *a)
{
    struct span text = v->raw;
    return v->kind == SCAN_STRING && !scan_string(v->raw, a, &text) ? v->raw : text;
}

static struct span decode(struct span base64, struct arena *a)
{
    size_t size = 0, most = base64.size / 4 * 3;
    uint8_t *out = arena_alloc(a, most + 1);
    if (!out || sodium_base642bin(out, most, (const char *)base64.data, base64.size, NULL, &size, NULL,
                                  sodium_base64_VARIANT_ORIGINAL) != 0)
        return base64;
    return span_of(out, size);
}

static void read_event(struct sub_item *item, struct arena *a)
{
    struct scan s = scan_open(item->event);
    struct span key;
    struct scan_value v;
    while (scan_member(&s, &key, &v) == SCAN_OK) {
        struct span *to = span_equal(key, span_str("\"id\""))                ? &item->id
                          : span_equal(key, span_str("\"source\""))          ? &item->source
                          : span_equal(key, span_str("\"type\""))            ? &item->type
                          : span_equal(key, span_str("\"subject\""))         ? &item->subject
                          : span_equal(key, span_str("\"datacontenttype\"")) ? &item->content_type
                          : span_equal(key, span_str("\"data\""))            ? &item->data
                                                                             : NULL;
        if (to)
            *to = text_of(&v, a);
        else if (span_equal(key, span_str("\"data_base64\"")))
            item->data = decode(text_of(&v, a), a);
    }
}

static void read_item(struct span raw, struct arena *a, struct sub_item *item)
{
    struct scan s = scan_open(raw);
    struct span key;
    struct scan_value v;
    *item = (struct sub_item){ .raw = raw };
    while (scan_member(&s, &key, &v) == SCAN_OK) {
        struct span *to = span_equal(key, span_str("\"receipt\""))    ? &item->receipt
                          : span_equal(key, span_str("\"sequence\"")) ? &item->sequence
                          : span_equal(key, span_str("\"attempt\""))  ? &item->attempt
                          : span_equal(key, span_str("\"event\""))    ? &item->event
                                                                      : NULL;
        if (to)
            *to = text_of(&v, a);
    }
    read_event(item, a);
}

int sub_read_items(struct span text, struct arena *a, struct sub_item *items, size_t most)
{
    struct scan_value all, list = { .raw = { 0 } }, v;
    struct span key;
    size_t count = 0;
    if (!scan_text(text, &all) || all.kind != SCAN_OBJECT)
        return -1;
    struct scan s = scan_open(all.raw);
    while (scan_member(&s, &key, &v) == SCAN_OK)
        list = span_equal(key, span_str("\"events\"")) ? v : list;
    if (!list.raw.data || list.kind != SCAN_ARRAY)
        return -1;
    s = scan_open(list.raw);
    while (count < most && scan_element(&s, &v) == SCAN_OK)
        read_item(v.raw, a, &items[count++]);
    return (int)count;
}
