/* Finds the key of an encoded event with a bounds-checked scan, without unpacking it. A malformed event has no key. */
#include "proto/event.h"

#include "proto/wire.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdio.h>

/* The text of a CloudEventAttributeValue that can be a key. */
static struct span text_of(struct span value, char number[EVENT_KEY_NUMBER])
{
    struct span text = { 0 };
    struct wire_field f;
    if (value.size == 0)
        return text;
    struct wire_reader r = wire_open(value);
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.type == WIRE_BYTES && f.tag >= 3 && f.tag <= 6)
            text = f.bytes;
        else if (f.type == WIRE_VARINT && f.tag == 2)
            text = span_of(number, (size_t)snprintf(number, EVENT_KEY_NUMBER, "%d", (int)(int32_t)(uint32_t)f.number));
        else if ((f.type == WIRE_VARINT && f.tag == 1) || (f.type == WIRE_BYTES && f.tag == 7))
            text = (struct span){ 0 }; /* the last value counts, as everywhere */
    }
    return text;
}

struct span event_key(struct span bytes, char number[EVENT_KEY_NUMBER])
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct span name, value, subject = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag != 5 || f.type != WIRE_BYTES || !event_entry(f.bytes, &name, &value))
            continue;
        if (span_equal(name, span_str("partitionkey"))) {
            struct span key = text_of(value, number);
            if (key.size)
                return key;
        } else if (span_equal(name, span_str("subject"))) {
            subject = value;
        }
    }
    return text_of(subject, number);
}

uint64_t event_key_hash(struct span key)
{
    uint64_t hash = key.size ? XXH3_64bits(key.data, key.size) : 0;
    return hash || !key.size ? hash : 1;
}
