/* A reader for JSON text (RFC 8259) that returns spans of the publisher's own bytes. A DOM library would rewrite number
 * literals, escapes, order and duplicate keys, but events must be returned exactly as they were sent. Validates what it
 * passes over; never allocates. Escaped strings are decoded by jansson. The text must already be checked to be
 * UTF-8. */
#ifndef SLUICE_SIDECAR_API_JSON_SCAN_H
#define SLUICE_SIDECAR_API_JSON_SCAN_H

#include "base/arena.h"
#include "base/span.h"

enum scan_kind { SCAN_OBJECT, SCAN_ARRAY, SCAN_STRING, SCAN_NUMBER, SCAN_TRUE, SCAN_FALSE, SCAN_NULL };
enum scan_status { SCAN_BAD = -1, SCAN_END = 0, SCAN_OK = 1 };

/* Nesting beyond this is refused. */
#define SCAN_DEPTH_MAX 64u

struct scan {
    const uint8_t *at, *start, *end;
    bool first;
    unsigned depth; /* how many brackets were entered by scan_enter */
};

/* A value: its kind and its bytes without surrounding white space. */
struct scan_value {
    enum scan_kind kind;
    struct span raw;
};

/* The value of a JSON text; false if the text is not valid. */
bool scan_text(struct span text, struct scan_value *out);
/* Likewise; on failure *stopped is the offset of the first byte that is not valid. */
bool scan_text_at(struct span text, struct scan_value *out, size_t *stopped);
/* Iterates over an object or array, given its raw bytes from scan_text or from another iterator, which are valid
 * already. */
struct scan scan_open(struct span raw);

/* Reads and validates a text in a single pass:
 * - scan_begin, then scan_enter into its object or array;
 * - scan_member for each member of an object; for each element of an array scan_element, or scan_next and scan_enter;
 * - at SCAN_END scan_leave, back to the outer level; at the end of the text scan_ended.
 * After SCAN_BAD or false, scan_text_at says what is wrong. */
struct scan scan_begin(struct span text);
/* `bracket`: '{' or '['. False if the next value is another one, or nested too deep. */
bool scan_enter(struct scan *outer, char bracket, struct scan *inner);
void scan_leave(struct scan *outer, const struct scan *inner);
/* Moves to the beginning of the array's next element. */
enum scan_status scan_next(struct scan *array);
/* Is there nothing left but white space? */
bool scan_ended(struct scan *s);

/* The next member; `key` is the raw string with its quotes. */
enum scan_status scan_member(struct scan *s, struct span *key, struct scan_value *value);
enum scan_status scan_element(struct scan *s, struct scan_value *value);
/* The text of a raw string: a span into it if it has no escapes, otherwise decoded into the arena. False if it cannot
 * be decoded (a lone surrogate) or the arena is full. */
bool scan_string(struct span raw, struct arena *a, struct span *out);

/* The first byte from `at` on that is special inside a string (a quote, a backslash, a control character); or `end`. */
const uint8_t *scan_plain(const uint8_t *at, const uint8_t *end);

#endif
