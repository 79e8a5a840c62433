/* CloudEvents in protobuf: validation and encoding. Decoding is event_decode.c.
 *
 * Attribute values are preserved exactly. So a timestamp is stored as a string if google.protobuf.Timestamp cannot
 * hold it, or if its text would differ after a round trip (another offset, other fraction digits); so are bytes that
 * are not in canonical base64. Integers are numbers, not text: -0 becomes 0. */
#include "proto/event.h"

#include "base/utf8.h"
#include "proto/wire.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define ATTRIBUTE_NAME_MAX 64u

static bool name_is(struct span name, const char *text)
{
    return span_equal(name, span_str(text));
}

struct span event_attribute(const struct event *e, const char *name)
{
    if (strcmp(name, "id") == 0)
        return e->id;
    if (strcmp(name, "source") == 0)
        return e->source;
    if (strcmp(name, "type") == 0)
        return e->type;
    if (strcmp(name, "specversion") == 0)
        return span_str("1.0");
    for (size_t i = 0; i < e->attribute_count; i++) {
        if (name_is(e->attributes[i].name, name))
            return e->attributes[i].text;
    }
    return (struct span){ 0 };
}

/* ------------------------------------------------------------------ validity */

/* Are all eight bytes printable ASCII? Each term sets the high bit of bytes that are not (below 0x20, 0x7f, above
 * 0x7f). */
static bool is_printable(const uint8_t *bytes)
{
    const uint64_t ones = UINT64_MAX / 255, high = ones * 0x80;
    uint64_t w;
    memcpy(&w, bytes, sizeof w);
    uint64_t control = (w - ones * 0x20) & ~w, last = w ^ ones * 0x7f, del = (last - ones) & ~last;
    return ((control | del | w) & high) == 0;
}

typedef int8_t sixteen __attribute__((vector_size(16)));

/* Not zero in each of the sixteen bytes that is not printable ASCII; bytes above 0x7f are negative. */
static sixteen unprintable(const uint8_t *bytes)
{
    sixteen v;
    memcpy(&v, bytes, sizeof v);
    return (v < ' ') | (v == 0x7f);
}

static bool is_none(sixteen v)
{
    uint64_t halves[2];
    memcpy(halves, &v, sizeof halves);
    return (halves[0] | halves[1]) == 0;
}

/* Only printable ASCII, as most text is. */
static bool is_plain(struct span s)
{
    if (s.size >= 16) {
        sixteen found = unprintable(s.data + s.size - 16);
        for (size_t i = 0; i + 16 < s.size; i += 16)
            found |= unprintable(s.data + i);
        return is_none(found);
    }
    if (s.size >= 8)
        return is_printable(s.data) && is_printable(s.data + s.size - 8);
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] < 0x20 || s.data[i] >= 0x7f)
            return false;
    }
    return true;
}

size_t event_banned(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at);
    if (left && (at[0] < 0x20 || at[0] == 0x7f))
        return 1;
    if (left >= 2 && at[0] == 0xc2 && at[1] < 0xa0)
        return 2;
    if (left >= 3 && at[0] == 0xef &&
        ((at[1] == 0xb7 && at[2] >= 0x90 && at[2] <= 0xaf) || (at[1] == 0xbf && at[2] >= 0xbe)))
        return 3;
    return left >= 4 && at[0] >= 0xf0 && (at[1] & 0x0f) == 0x0f && at[2] == 0xbf && at[3] >= 0xbe ? 4 : 0;
}

/* A function of its own, so that plain text does not pay for saving its registers. */
__attribute__((noinline)) static bool is_string_with_others(struct span s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (event_banned(s.data + i, s.data + s.size))
            return false;
    }
    return utf8_valid(s);
}

/* What the CloudEvents type system calls a String. */
static bool is_string(struct span s)
{
    return is_plain(s) || is_string_with_others(s);
}

bool event_text_valid(struct span text)
{
    return text.size && is_string(text);
}

/* An absolute URI begins with a scheme. */
static bool is_absolute_uri(struct span s)
{
    for (size_t i = 0; i < s.size; i++) {
        uint8_t c = s.data[i];
        bool alpha = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (c == ':')
            return i > 0;
        if (!alpha && (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
            return false;
    }
    return false;
}

static bool is_integer(struct span s)
{
    char text[13];
    if (s.size == 0 || s.size > 11)
        return false;
    memcpy(text, s.data, s.size);
    text[s.size] = '\0';
    size_t start = text[0] == '-';
    if (strspn(text + start, "0123456789") != s.size - start || s.size == start)
        return false;
    long long value = strtoll(text, NULL, 10);
    return value >= INT32_MIN && value <= INT32_MAX;
}

static bool check_required(struct span value, const char *name, struct error *why)
{
    if (value.size == 0)
        return error_set(why, "attribute '%s' is missing or empty", name);
    if (!is_string(value))
        return error_set(why, "attribute '%s' holds control characters or noncharacters, or is not UTF-8", name);
    return true;
}

static bool is_reserved(struct span name)
{
    return name_is(name, "data") || name_is(name, "id") || name_is(name, "source") || name_is(name, "type") ||
           name_is(name, "specversion") || name_is(name, "data_base64");
}

static bool check_name(struct span name, struct error *why)
{
    bool fine = name.size > 0 && name.size <= ATTRIBUTE_NAME_MAX && !is_reserved(name);
    for (size_t i = 0; fine && i < name.size; i++)
        fine = (name.data[i] >= 'a' && name.data[i] <= 'z') || (name.data[i] >= '0' && name.data[i] <= '9');
    return fine || error_set(why, "'%.*s' is not a valid attribute name: lower-case letters and digits only",
                             (int)(name.size < 80 ? name.size : 80), (const char *)name.data);
}

static bool is_text_only(struct span name)
{
    return span_equal(name, span_of("subject", 7)) || span_equal(name, span_of("datacontenttype", 15));
}

static bool check_value(const struct attribute *a, struct error *why)
{
    int64_t seconds;
    int32_t nanos;
    const char *wanted = NULL;
    bool time = name_is(a->name, "time") || a->type == ATTRIBUTE_TIMESTAMP;
    if (!is_string(a->text))
        wanted = "UTF-8 text without control characters and noncharacters";
    else if (a->text.size == 0 && a->type != ATTRIBUTE_STRING && a->type != ATTRIBUTE_BYTES)
        wanted = "a value";
    else if (a->text.size == 0 && (time || name_is(a->name, "dataschema") || is_text_only(a->name)))
        wanted = "a value";
    else if ((a->type == ATTRIBUTE_BOOLEAN || a->type == ATTRIBUTE_INTEGER) && is_text_only(a->name))
        wanted = "a string";
    else if (time && !timestamp_parse(a->text, &seconds, &nanos))
        wanted = "an RFC 3339 timestamp like 2024-05-01T12:00:00Z";
    else if (a->type == ATTRIBUTE_INTEGER && !is_integer(a->text))
        wanted = "an integer of 32 bits";
    else if (a->type == ATTRIBUTE_BOOLEAN && !name_is(a->text, "true") && !name_is(a->text, "false"))
        wanted = "true or false";
    else if ((a->type == ATTRIBUTE_URI || name_is(a->name, "dataschema")) && !is_absolute_uri(a->text))
        wanted = "an absolute URI";
    return !wanted ||
           error_set(why, "attribute '%.*s' must be %s", (int)a->name.size, (const char *)a->name.data, wanted);
}

bool event_check(const struct event *e, struct error *why)
{
    if (!check_required(e->id, "id", why) || !check_required(e->source, "source", why) ||
        !check_required(e->type, "type", why))
        return false;
    if (e->attribute_count > EVENT_ATTRIBUTES_MAX)
        return error_set(why, "an event may have at most %u attributes", EVENT_ATTRIBUTES_MAX);
    for (size_t i = 0; i < e->attribute_count; i++) {
        if (!check_name(e->attributes[i].name, why) || !check_value(&e->attributes[i], why))
            return false;
        for (size_t j = 0; j < i; j++) {
            if (span_equal(e->attributes[i].name, e->attributes[j].name))
                return error_set(why, "attribute '%.*s' is given twice", (int)e->attributes[i].name.size,
                                 (const char *)e->attributes[i].name.data);
        }
    }
    if (e->data_kind == DATA_TEXT && !utf8_valid(e->data))
        return error_set(why, "the data is not UTF-8");
    return true;
}

/* ------------------------------------------------------------------ encoding */

/* Is a valid timestamp written as timestamp_format would write it? In UTC, with capitals, no more fraction digits
 * than needed and at most nine, and no leap second. */
static bool is_canonical(struct span text)
{
    const uint8_t *t = text.data;
    return t[10] == 'T' && t[text.size - 1] == 'Z' && t[17] != '6' &&
           (text.size == 20 || (text.size <= 30 && t[text.size - 2] != '0'));
}

static void add_timestamp(struct buf *b, struct span text)
{
    int64_t seconds = 0;
    int32_t nanos = 0;
    if (!timestamp_parse(text, &seconds, &nanos) || !timestamp_fits_protobuf(seconds, nanos) || !is_canonical(text)) {
        wire_add_bytes(b, 3, text); /* as the string it is */
        return;
    }
    size_t mark = wire_begin(b, 7);
    wire_add_number(b, 1, (uint64_t)seconds);
    wire_add_number(b, 2, (uint64_t)(int64_t)nanos);
    wire_end(b, mark);
}

/* Do these bytes give the text back? Checked because sodium_base642bin accepts bytes from 0x80 up as digits. */
static bool is_base64_of(struct span text, struct span bytes)
{
    size_t size = sodium_base64_encoded_len(bytes.size, sodium_base64_VARIANT_ORIGINAL);
    if (size != text.size + 1)
        return false;
    struct buf again = { 0 };
    char *to = (char *)buf_reserve(&again, size);
    sodium_bin2base64(to, size, bytes.data, bytes.size, sodium_base64_VARIANT_ORIGINAL);
    bool same = memcmp(to, text.data, text.size) == 0;
    buf_free(&again);
    return same;
}

static void add_base64(struct buf *b, struct span text)
{
    struct buf bytes = { 0 };
    size_t size = 0;
    uint8_t *to = buf_reserve(&bytes, text.size + 1);
    bool exact = text.size == 0 || (sodium_base642bin(to, text.size + 1, (const char *)text.data, text.size, NULL,
                                                      &size, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
                                    is_base64_of(text, span_of(to, size)));
    if (exact)
        wire_add_bytes(b, 4, span_of(to, size));
    else
        wire_add_bytes(b, 3, text); /* as the string it is */
    buf_free(&bytes);
}

/* Room for a member besides its bytes. */
#define MEMBER_MOST 24u

/* A oneof's member is written even if it is zero: its presence tells which one it is. */
static void add_present(struct buf *b, uint32_t tag, uint64_t value)
{
    uint8_t *at = buf_reserve(b, 20);
    uint8_t *end = wire_put_varint(wire_put_varint(at, (uint64_t)tag << 3 | WIRE_VARINT), value);
    b->size += (size_t)(end - at);
}

static void add_value(struct buf *b, const struct attribute *a)
{
    char text[16] = "";
    switch (a->type) {
    case ATTRIBUTE_BOOLEAN: add_present(b, 1, name_is(a->text, "true")); return;
    case ATTRIBUTE_INTEGER:
        memcpy(text, a->text.data, a->text.size < 15 ? a->text.size : 15);
        add_present(b, 2, (uint64_t)(int64_t)strtol(text, NULL, 10));
        return;
    case ATTRIBUTE_BYTES: add_base64(b, a->text); return;
    case ATTRIBUTE_URI: wire_add_bytes(b, 5, a->text); return;
    case ATTRIBUTE_URI_REF: wire_add_bytes(b, 6, a->text); return;
    case ATTRIBUTE_TIMESTAMP: add_timestamp(b, a->text); return;
    case ATTRIBUTE_STRING: break;
    }
    wire_add_bytes(b, 3, a->text);
}

size_t event_encoded_most(const struct event *e)
{
    size_t most = e->id.size + e->source.size + e->type.size + e->data.size + 6 * MEMBER_MOST;
    for (size_t i = 0; i < e->attribute_count; i++)
        most += e->attributes[i].name.size + 2 * e->attributes[i].text.size + 4 * MEMBER_MOST;
    return most;
}

static uint8_t *put_span(uint8_t *to, uint32_t tag, struct span bytes)
{
    if (bytes.size == 0)
        return to;
    *to++ = (uint8_t)(tag << 3 | WIRE_BYTES);
    to = wire_put_varint(to, bytes.size);
    return (uint8_t *)mempcpy(to, bytes.data, bytes.size);
}

/* Writes the required fields, with one check of the buffer's room for all of them. */
static void put_required(const struct event *e, struct buf *out)
{
    uint8_t *at = buf_reserve(out, e->id.size + e->source.size + e->type.size + 4 * MEMBER_MOST), *to = at;
    to = put_span(to, 1, e->id);
    to = put_span(to, 2, e->source);
    to = put_span(to, 3, span_of("1.0", 3));
    to = put_span(to, 4, e->type);
    out->size += (size_t)(to - at);
}

void event_encode(const struct event *e, struct buf *out)
{
    put_required(e, out);
    for (size_t i = 0; i < e->attribute_count; i++) {
        size_t entry = wire_begin(out, 5);
        wire_add_bytes(out, 1, e->attributes[i].name);
        size_t value = wire_begin(out, 2);
        add_value(out, &e->attributes[i]);
        wire_end_inner(out, value);
        wire_end(out, entry);
    }
    static const uint32_t members[] = { [DATA_BINARY] = 6, [DATA_TEXT] = 7, [DATA_PROTO] = 8 };
    if (e->data_kind != DATA_NONE)
        wire_add_bytes(out, members[e->data_kind], e->data);
}

/* Four bytes (little-endian) as eight hex digits, in parallel: one nibble per byte of a word, the upper one first, then
 * each to its digit. */
static uint64_t hex_of(uint32_t bytes)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t w = bytes;
    w = (w | w << 16) & UINT64_C(0x0000ffff0000ffff);
    w = (w | w << 8) & UINT64_C(0x00ff00ff00ff00ff);
    w = (w >> 4 & UINT64_C(0x000f000f000f000f)) | (w & UINT64_C(0x000f000f000f000f)) << 8;
    uint64_t letters = (w + ones * 6) >> 4 & ones;
    return w + ones * '0' + letters * ('a' - '0' - 10);
}

/* Kept in registers: reading memory in another size than it was written in would stall. */
void uuid_format(const uint8_t r[16], char out[37])
{
    uint8_t *to = (uint8_t *)out;
    uint64_t second = hex_of((wire_load32(r + 4) & 0xff0fffff) | 0x00400000); /* version 4 */
    uint64_t third = hex_of((wire_load32(r + 8) & 0xffffff3f) | 0x00000080);
    wire_store64(to, hex_of(wire_load32(r)));
    wire_store32(to + 9, (uint32_t)second);
    wire_store32(to + 14, (uint32_t)(second >> 32));
    wire_store32(to + 19, (uint32_t)third);
    wire_store32(to + 24, (uint32_t)(third >> 32));
    wire_store64(to + 28, hex_of(wire_load32(r + 12)));
    to[8] = to[13] = to[18] = to[23] = '-';
    to[36] = '\0';
}
