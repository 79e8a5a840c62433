/* Taking an encoded CloudEvent apart by a scan: spans into its bytes, attributes in an arena. */
#include "proto/event.h"

#include "base/units.h"
#include "proto/wire.h"

#include <sodium.h>
#include <stdio.h>

/* An event with more attributes than this is refused before anything is allocated for them. */
#define ATTRIBUTES_MAX 256u

static const char malformed[] = "the bytes are no protobuf CloudEvent";

static struct span keep_text(struct arena *arena, const char *text)
{
    size_t size = strlen(text);
    char *copy = arena_strndup(arena, text, size);
    return span_of(copy ? copy : "", copy ? size : 0);
}

static struct span base64_text(struct arena *arena, struct span bytes)
{
    size_t size = sodium_base64_encoded_len(bytes.size, sodium_base64_VARIANT_ORIGINAL);
    char *text = arena_alloc(arena, size);
    if (!text)
        return span_str("");
    sodium_bin2base64(text, size, bytes.data, bytes.size, sodium_base64_VARIANT_ORIGINAL);
    return span_str(text);
}

static bool read_timestamp(struct span bytes, struct arena *arena, struct span *text)
{
    struct wire_reader r = wire_open(bytes);
    int64_t seconds = 0;
    int64_t nanos = 0;
    while (!wire_done(&r)) {
        struct wire_field f;
        if (!wire_next(&r, &f))
            return false;
        if (f.tag == 1 && f.type == WIRE_VARINT)
            seconds = (int64_t)f.number;
        else if (f.tag == 2 && f.type == WIRE_VARINT)
            nanos = (int64_t)f.number;
    }
    /* 0001-01-01 to 9999-12-31, as google.protobuf.Timestamp says */
    if (seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos > 999999999)
        return false;
    char out[40];
    timestamp_format(seconds, (int32_t)nanos, out);
    *text = keep_text(arena, out);
    return true;
}

static bool read_value(struct span bytes, struct arena *arena, struct attribute *a)
{
    static const enum attribute_type types[] = { 0,
                                                 ATTRIBUTE_BOOLEAN,
                                                 ATTRIBUTE_INTEGER,
                                                 ATTRIBUTE_STRING,
                                                 ATTRIBUTE_BYTES,
                                                 ATTRIBUTE_URI,
                                                 ATTRIBUTE_URI_REF,
                                                 ATTRIBUTE_TIMESTAMP };
    struct wire_reader r = wire_open(bytes);
    bool found = false;
    while (!wire_done(&r)) {
        struct wire_field f;
        char text[16];
        if (!wire_next(&r, &f))
            return false;
        if (f.tag < 1 || f.tag > 7 || f.type != (f.tag <= 2 ? WIRE_VARINT : WIRE_BYTES))
            continue;
        found = true;
        a->type = types[f.tag];
        a->text = f.bytes;
        if (f.tag == 1) {
            a->text = span_str(f.number ? "true" : "false");
        } else if (f.tag == 2) {
            snprintf(text, sizeof text, "%d", (int)(int32_t)f.number);
            a->text = keep_text(arena, text);
        } else if (f.tag == 4) {
            a->text = base64_text(arena, f.bytes);
        } else if (f.tag == 7 && !read_timestamp(f.bytes, arena, &a->text)) {
            return false;
        }
    }
    return found;
}

static bool read_attribute(struct span bytes, struct arena *arena, struct attribute *a)
{
    struct wire_reader r = wire_open(bytes);
    bool found = false;
    while (!wire_done(&r)) {
        struct wire_field f;
        if (!wire_next(&r, &f))
            return false;
        if (f.type != WIRE_BYTES)
            continue;
        if (f.tag == 1)
            a->name = f.bytes;
        else if (f.tag == 2 && !read_value(f.bytes, arena, a))
            return false;
        else
            found |= f.tag == 2;
    }
    return found;
}

/* Room for the attributes that `rest` holds beside the one just met. */
static bool make_room(struct wire_reader rest, struct arena *arena, struct event *out, struct error *why)
{
    size_t count = 1;
    while (!wire_done(&rest)) {
        struct wire_field f;
        if (!wire_next(&rest, &f))
            return error_set(why, "%s", malformed);
        count += f.tag == 5;
    }
    if (count > ATTRIBUTES_MAX)
        return error_set(why, "an event may have at most %u attributes", ATTRIBUTES_MAX);
    out->attributes = arena_alloc(arena, count * sizeof *out->attributes);
    return out->attributes || error_set(why, "the event is too large to take apart");
}

static bool read_field(const struct wire_field *f, struct arena *arena, struct event *out, struct span *version)
{
    if (f->type != WIRE_BYTES)
        return true;
    switch (f->tag) {
    case 1: out->id = f->bytes; break;
    case 2: out->source = f->bytes; break;
    case 3: *version = f->bytes; break;
    case 4: out->type = f->bytes; break;
    case 5: return read_attribute(f->bytes, arena, &out->attributes[out->attribute_count++]);
    case 6:
    case 7:
    case 8:
        out->data = f->bytes;
        out->data_kind = f->tag == 6 ? DATA_BINARY : f->tag == 7 ? DATA_TEXT : DATA_PROTO;
        break;
    default: break;
    }
    return true;
}

bool event_decode(struct span bytes, struct arena *arena, struct event *out, struct error *why)
{
    *out = (struct event){ 0 };
    struct span version = { 0 };
    struct wire_reader r = wire_open(bytes);
    while (!wire_done(&r)) {
        struct wire_field f;
        if (!wire_next(&r, &f))
            return error_set(why, "%s", malformed);
        if (f.tag == 5 && f.type == WIRE_BYTES && !out->attributes && !make_room(r, arena, out, why))
            return false;
        if (!read_field(&f, arena, out, &version))
            return error_set(why, "%s", malformed);
    }
    if (!span_equal(version, span_str("1.0")))
        return error_set(why, "attribute 'specversion' must be 1.0");
    return event_check(out, why);
}
