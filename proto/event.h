/* CloudEvents in their protobuf form, which is what travels and is stored: building, checking and taking apart.
 * The rules are CloudEvents 1.0.2's (spec.md, protobuf-format.md). Pure. */
#ifndef SLUICE_PROTO_EVENT_H
#define SLUICE_PROTO_EVENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum attribute_type {
    ATTRIBUTE_STRING,
    ATTRIBUTE_BOOLEAN,
    ATTRIBUTE_INTEGER,
    ATTRIBUTE_BYTES,
    ATTRIBUTE_URI,
    ATTRIBUTE_URI_REF,
    ATTRIBUTE_TIMESTAMP
};

/* One optional or extension attribute. `text` is its canonical string form (booleans "true"/"false", integers in
 * decimal, bytes in base64, timestamps in RFC 3339, exactly as published where they came as text). */
struct attribute {
    struct span name;
    enum attribute_type type;
    struct span text;
};

/* An event may have so many of them: what is accepted must be readable at the other end. */
#define EVENT_ATTRIBUTES_MAX 256u

enum data_kind { DATA_NONE, DATA_BINARY, DATA_TEXT, DATA_PROTO };

/* A CloudEvent as spans: into the encoded bytes or the caller's memory. */
struct event {
    struct span id, source, type; /* required; specversion is always 1.0 */
    struct attribute *attributes; /* datacontenttype, dataschema, subject, time and extensions, in order */
    size_t attribute_count;
    enum data_kind data_kind;
    struct span data; /* DATA_PROTO: the encoded google.protobuf.Any */
};

/* Appends the event's protobuf bytes. The event must be valid (event_check). */
void event_encode(const struct event *e, struct buf *out);
/* event_encode reserves no more than that, in all. */
size_t event_encoded_most(const struct event *e);
/* Takes an encoded event apart (spans into `bytes`, attributes in the arena) and checks it as event_check does. False
 * with a sentence when it is malformed or not a valid CloudEvent: "attribute 'source' is missing". */
bool event_decode(struct span bytes, struct arena *arena, struct event *out, struct error *why);
/* CloudEvents' rules: id, source and type non-empty; attribute names of [a-z0-9]+ (1 to 20 is a SHOULD; up to 64 taken),
 * no "data" or repeated names; values well-formed UTF-8 without control characters and noncharacters; integers in int32;
 * timestamps RFC 3339; URIs absolute where the type says so; subject and datacontenttype no numbers or booleans. */
bool event_check(const struct event *e, struct error *why);
/* How many bytes the character has that well-formed UTF-8 begins with, if it is one that no attribute's value may hold: a
 * control character of C0 or C1, or one of Unicode's noncharacters (U+FDD0 to U+FDEF and the last two of each plane); else 0. */
size_t event_banned(const uint8_t *at, const uint8_t *end);
/* What id, source and type must be: some text, as above. */
bool event_text_valid(struct span text);
/* The attribute's text; an empty span with NULL data when absent. Knows id, source, type and specversion too. */
struct span event_attribute(const struct event *e, const char *name);

/* What makes an event the same as another (docs/protocol.md, B.7): BLAKE2b-128 of source, NUL, id. Attribute values hold no
 * NUL, so no two pairs run together. */
#define EVENT_HASH_SIZE 16u
void event_hash(struct span source, struct span id, uint8_t out[EVENT_HASH_SIZE]);
/* Not all zeros, which stand for none where there must be something. */
static inline bool event_hash_is_set(const uint8_t hash[EVENT_HASH_SIZE])
{
    uint64_t half[2];
    memcpy(half, hash, sizeof half);
    return (half[0] | half[1]) != 0;
}
/* Finds source and id of an encoded event, which is not checked otherwise. False when one is missing. */
bool event_identity(struct span bytes, struct span *source, struct span *id);

/* An encoded event's attribute: its name, and its value still encoded, in whichever order; of what comes twice the last one.
 * Empty: it has none. False: the bytes are no entry of the map. */
bool event_entry(struct span entry, struct span *name, struct span *value);
/* The key by which an event is ordered and finds its partition: its `partitionkey`, else its `subject`; empty when it has neither,
 * or is malformed. An integer is taken in decimal, into `number`. */
#define EVENT_KEY_NUMBER 12u
struct span event_key(struct span bytes, char number[EVENT_KEY_NUMBER]);
/* XXH3-64 (seed 0) of a key's bytes, never 0; 0 for none. A key's partition is this modulo `partitions`: it never changes. */
uint64_t event_key_hash(struct span key);

/* RFC 3339 date-time <-> seconds and nanoseconds; the years 0 to 9999 are written. */
bool timestamp_parse(struct span text, int64_t *seconds, int32_t *nanos);
/* The same in ms since 1970, at least 1: what is earlier has passed, too, and 0 means no time where times are optional. */
bool timestamp_parse_ms(struct span text, int64_t *ms);
void timestamp_format(int64_t seconds, int32_t nanos, char out[40]);
/* Within google.protobuf.Timestamp's range: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z. */
bool timestamp_fits_protobuf(int64_t seconds, int64_t nanos);

/* A random version-4 UUID in its text form from 16 random bytes. */
void uuid_format(const uint8_t random[16], char out[37]);

#endif
