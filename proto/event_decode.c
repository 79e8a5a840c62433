/* Decodes a CloudEvent in one scan: spans into its bytes, attributes in an arena. */
#include "proto/event.h"

#include "base/units.h"
#include "proto/wire.h"

#include <sodium.h>
#include <stdio.h>

static const char malformed[] = "the bytes are not a protobuf CloudEvent";
static const char too_large[] = "the event is too large to take apart";

struct decoding {
    struct arena *arena;
    bool full; /* the arena had no room for a value */
};

/* Allocates a value's text. Without room it records that, so that decoding fails instead of returning a shortened
 * event. */
static bool take(struct decoding *d, size_t size, char **text)
{
    *text = arena_alloc(d->arena, size);
    d->full |= !*text;
    return *text != NULL;
}

static bool keep_text(struct decoding *d, const char *text, struct span *out)
{
    size_t size = strlen(text);
    char *copy;
    if (!take(d, size + 1, &copy))
        return false;
    memcpy(copy, text, size + 1);
    *out = span_of(copy, size);
    return true;
}

static bool base64_text(struct decoding *d, struct span bytes, struct span *out)
{
    size_t size = sodium_base64_encoded_len(bytes.size, sodium_base64_VARIANT_ORIGINAL);
    char *text;
    if (!take(d, size, &text))
        return false;
    sodium_bin2base64(text, size, bytes.data, bytes.size, sodium_base64_VARIANT_ORIGINAL);
    *out = span_of(text, size - 1);
    return true;
}

static bool read_timestamp(struct decoding *d, struct span bytes, struct span *text)
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
    if (!timestamp_fits_protobuf(seconds, nanos))
        return false;
    char out[40];
    timestamp_format(seconds, (int32_t)nanos, out);
    return keep_text(d, out, text);
}

static bool integer_text(struct decoding *d, uint64_t number, struct span *out)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)(int32_t)number);
    return keep_text(d, text, out);
}

/* Fast path for a value that is only a string, as most are. */
static bool is_usual_value(struct span bytes, struct attribute *a)
{
    struct wire_reader r = wire_open(bytes);
    a->type = ATTRIBUTE_STRING;
    return wire_next_bytes(&r, 3, &a->text) && wire_done(&r);
}

static bool read_value(struct decoding *d, struct span bytes, struct attribute *a)
{
    if (is_usual_value(bytes, a))
        return true;
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
        if (!wire_next(&r, &f))
            return false;
        if (f.tag < 1 || f.tag > 7 || f.type != (f.tag <= 2 ? WIRE_VARINT : WIRE_BYTES))
            continue;
        a->type = types[f.tag];
        found = true;
        switch (f.tag) {
        case 1: a->text = span_str(f.number ? "true" : "false"); break;
        case 2: found = integer_text(d, f.number, &a->text); break;
        case 4: found = base64_text(d, f.bytes, &a->text); break;
        case 7: found = read_timestamp(d, f.bytes, &a->text); break;
        default: a->text = f.bytes;
        }
        if (!found)
            return false;
    }
    return found;
}

static bool read_attribute(struct decoding *d, struct span bytes, struct attribute *a)
{
    struct wire_reader r = wire_open(bytes);
    struct span value;
    bool found = false;
    if (wire_next_bytes(&r, 1, &a->name) && wire_next_bytes(&r, 2, &value)) { /* the usual order */
        if (!read_value(d, value, a))
            return false;
        found = true;
    }
    while (!wire_done(&r)) {
        struct wire_field f;
        if (!wire_next(&r, &f))
            return false;
        if (f.type != WIRE_BYTES)
            continue;
        if (f.tag == 1)
            a->name = f.bytes;
        else if (f.tag == 2 && !read_value(d, f.bytes, a))
            return false;
        else
            found |= f.tag == 2;
    }
    return found;
}

/* Allocates room for the attribute just read and all those in `rest`. */
static bool make_room(struct wire_reader rest, struct arena *arena, struct event *out, struct error *why)
{
    size_t count = 1;
    struct span attribute;
    while (wire_next_bytes(&rest, 5, &attribute))
        count++;
    while (!wire_done(&rest)) {
        struct wire_field f;
        if (!wire_next(&rest, &f))
            return error_set(why, "%s", malformed);
        count += f.tag == 5;
    }
    if (count > EVENT_ATTRIBUTES_MAX)
        return error_set(why, "an event may have at most %u attributes", EVENT_ATTRIBUTES_MAX);
    out->attributes = arena_alloc(arena, count * sizeof *out->attributes);
    return out->attributes || error_set(why, "%s", too_large);
}

static bool read_field(struct decoding *d, const struct wire_field *f, struct event *out, struct span *version)
{
    if (f->type != WIRE_BYTES)
        return true;
    switch (f->tag) {
    case 1: out->id = f->bytes; break;
    case 2: out->source = f->bytes; break;
    case 3: *version = f->bytes; break;
    case 4: out->type = f->bytes; break;
    case 5: return read_attribute(d, f->bytes, &out->attributes[out->attribute_count++]);
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

/* Fast path for the leading fields, as far as they come in the usual order. */
static void read_required(struct wire_reader *r, struct event *out, struct span *version)
{
    if (wire_next_bytes(r, 1, &out->id) && wire_next_bytes(r, 2, &out->source) && wire_next_bytes(r, 3, version))
        wire_next_bytes(r, 4, &out->type);
}

bool event_decode(struct span bytes, struct arena *arena, struct event *out, struct error *why)
{
    struct decoding d = { .arena = arena };
    *out = (struct event){ 0 };
    struct span version = { 0 };
    struct wire_reader r = wire_open(bytes);
    read_required(&r, out, &version);
    while (!wire_done(&r)) {
        struct wire_field f;
        if (!wire_next(&r, &f))
            return error_set(why, "%s", malformed);
        if (f.tag == 5 && f.type == WIRE_BYTES && !out->attributes && !make_room(r, arena, out, why))
            return false;
        if (!read_field(&d, &f, out, &version))
            return error_set(why, "%s", d.full ? too_large : malformed);
    }
    if (!span_equal(version, span_str("1.0")))
        return error_set(why, "attribute 'specversion' must be 1.0");
    return event_check(out, why);
}

/* ------------------------------------------------------------------ identity */

bool event_identity(struct span bytes, struct span *source, struct span *id)
{
    return event_entry(bytes, id, source) && source->size && id->size; /* fields 1 and 2, as an entry has them */
}
