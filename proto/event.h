/* CloudEvents in their protobuf form, in which they are sent and stored: encoding, checking and decoding.
 * The rules are those of CloudEvents 1.0.2 (spec.md, protobuf-format.md). Pure. */
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

/* Most attributes of an event: what one end accepts, the other must be able to read. */
#define EVENT_ATTRIBUTES_MAX 256u
/* More than any event has that is published. */
#define EVENT_ATTRIBUTE_SIZE_MAX (128u << 20)

enum data_kind { DATA_NONE, DATA_BINARY, DATA_TEXT, DATA_PROTO };

/* A CloudEvent as spans: into the encoded bytes or the caller's memory. */
struct event {
    struct span id, source, type; /* required; specversion is always 1.0 */
    struct attribute *attributes; /* datacontenttype, dataschema, subject, time and extensions, in order */
    size_t attribute_count;
    enum data_kind data_kind;
    struct span data; /* DATA_PROTO: the encoded google.protobuf.Any */
};

/* Appends the event's protobuf bytes. The event must be valid (event_check), and no attribute may be larger than
 * EVENT_ATTRIBUTE_SIZE_MAX. */
void event_encode(const struct event *e, struct buf *out);
/* An upper bound for what event_encode reserves in total. */
size_t event_encoded_most(const struct event *e);
/* Decodes an event (spans into `bytes`, attributes in the arena) and checks it as event_check does. False with a
 * sentence when it is malformed or not a valid CloudEvent: "attribute 'source' is missing". */
bool event_decode(struct span bytes, struct arena *arena, struct event *out, struct error *why);
/* Checks the rules of CloudEvents; false with a sentence:
 *   - id, source and type are not empty
 *   - attribute names are [a-z0-9]{1,64} (the specification recommends at most 20), not "data", and not repeated
 *   - values are well-formed UTF-8 without control characters and noncharacters
 *   - integers fit int32, timestamps are RFC 3339, URIs are absolute where the type requires it
 *   - subject and datacontenttype are no numbers or booleans */
bool event_check(const struct event *e, struct error *why);
/* If the well-formed UTF-8 at `at` begins with a character that attribute values must not contain, its size in
 * bytes; else 0. Those are the control characters C0 and C1 and Unicode's noncharacters (U+FDD0 to U+FDEF and the
 * last two of each plane). */
size_t event_banned(const uint8_t *at, const uint8_t *end);
/* Is it a valid id, source or type: a non-empty text without those characters? */
bool event_text_valid(struct span text);
/* The attribute's text; an empty span with NULL data when absent. Includes id, source, type and specversion. */
struct span event_attribute(const struct event *e, const char *name);

/* The identity of an event for deduplication (docs/protocol.md, B.7): BLAKE2b-128 of source, NUL, id. Attribute
 * values have no NUL, so different pairs are different inputs. */
#define EVENT_HASH_SIZE 16u
void event_hash(struct span source, struct span id, uint8_t out[EVENT_HASH_SIZE]);
/* False for all zeros, which mean "no hash". */
static inline bool event_hash_is_set(const uint8_t hash[EVENT_HASH_SIZE])
{
    uint64_t half[2];
    memcpy(half, hash, sizeof half);
    return (half[0] | half[1]) != 0;
}
/* Finds source and id of an encoded event without checking anything else. False when one is missing. */
bool event_identity(struct span bytes, struct span *source, struct span *id);

/* Reads one entry of an encoded event's attribute map: the name, and the value still encoded. Accepts either order;
 * if one is repeated, the last counts; a missing one is empty. False: the bytes are not such an entry. */
bool event_entry(struct span entry, struct span *name, struct span *value);
/* The key that orders an event and selects its partition: its `partitionkey`, else its `subject`; empty if it has
 * neither or is malformed. An integer is formatted in decimal into `number`. */
#define EVENT_KEY_NUMBER 12u
struct span event_key(struct span bytes, char number[EVENT_KEY_NUMBER]);
/* XXH3-64 (seed 0) of a key's bytes, never 0; 0 for none. A key's partition is this modulo `partitions`: it never
 * changes. */
uint64_t event_key_hash(struct span key);

/* RFC 3339 date-time <-> seconds and nanoseconds since 1970; years 0 to 9999. */
bool timestamp_parse(struct span text, int64_t *seconds, int32_t *nanos);
/* The same in ms since 1970, and at least 1: an earlier time has passed anyway, and 0 means "no time". */
bool timestamp_parse_ms(struct span text, int64_t *ms);
void timestamp_format(int64_t seconds, int32_t nanos, char out[40]);
/* Within google.protobuf.Timestamp's range: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z. */
bool timestamp_fits_protobuf(int64_t seconds, int64_t nanos);

/* A random version-4 UUID in its text form from 16 random bytes. */
void uuid_format(const uint8_t random[16], char out[37]);

#endif
