/* The key of an encoded event, by a bounds-checked scan: attributes are looked at and nothing is unpacked. What is malformed
 * has no key. */
#include "proto/event.h"

#include "proto/wire.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdio.h>

/* The text of a CloudEventAttributeValue that can be a key. */
static struct span text_of(struct span value, char number[EVENT_KEY_NUMBER])
{
    struct wire_reader r = wire_open(value);
    struct wire_field f;
    struct span text = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.type == WIRE_BYTES && f.tag >= 3 && f.tag <= 6)
            text = f.bytes;
        else if (f.type == WIRE_VARINT && f.tag == 2)
            text = span_of(number, (size_t)snprintf(number, EVENT_KEY_NUMBER, "%d", (int)(int32_t)(uint32_t)f.number));
    }
    return text;
}

struct span event_key(struct span bytes, char number[EVENT_KEY_NUMBER])
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f, name, value;
    struct span subject = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        struct wire_reader entry;
        if (f.tag != 5 || f.type != WIRE_BYTES)
            continue;
        entry = wire_open(f.bytes);
        if (wire_done(&entry) || !wire_next(&entry, &name) || name.tag != 1 || name.type != WIRE_BYTES ||
            wire_done(&entry) || !wire_next(&entry, &value) || value.tag != 2 || value.type != WIRE_BYTES)
            continue;
        if (span_equal(name.bytes, span_str("partitionkey"))) {
            struct span key = text_of(value.bytes, number);
            if (key.size)
                return key;
        } else if (span_equal(name.bytes, span_str("subject"))) {
            subject = text_of(value.bytes, number);
        }
    }
    return subject;
}

uint64_t event_key_hash(struct span key)
{
    uint64_t hash = key.size ? XXH3_64bits(key.data, key.size) : 0;
    return hash || !key.size ? hash : 1;
}
