/* A reader of JSON text (RFC 8259) that gives spans of the publisher's own bytes: what a DOM library would parse and
 * write again (number literals, escapes, order, duplicates) must come back exactly as it was sent. Validates what it
 * passes over; never allocates. Escaped strings are decoded by jansson. Expects UTF-8 already checked. */
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
    unsigned depth; /* brackets around, of those it knows of */
};

/* A value: its kind and its bytes without surrounding white space. */
struct scan_value {
    enum scan_kind kind;
    struct span raw;
};

/* The only value of a whole text; false when it is no valid JSON text. */
bool scan_text(struct span text, struct scan_value *out);
/* The same; *stopped is the offset of the first byte that could not be understood. */
bool scan_text_at(struct span text, struct scan_value *out, size_t *stopped);
/* Walks an object's or array's raw bytes (of a value that scan_text or an iterator gave: already valid). */
struct scan scan_open(struct span raw);

/* Walks a text that nobody has looked at yet, so that one pass both validates and reads it: scan_begin, into its object or
 * array by scan_enter, over that by scan_member, or scan_next and scan_enter or scan_element, back out by scan_leave when it
 * came to SCAN_END, and scan_ended at last. Whoever is told SCAN_BAD, or false, asks scan_text_at what is wrong. */
struct scan scan_begin(struct span text);
/* `bracket`: '{' or '['. False: the next value is none such, or it is nested too deep. */
bool scan_enter(struct scan *outer, char bracket, struct scan *inner);
void scan_leave(struct scan *outer, const struct scan *inner);
/* To where an array's next element begins. */
enum scan_status scan_next(struct scan *array);
/* Is there nothing but white space behind? */
bool scan_ended(struct scan *s);

/* The next member; `key` is the raw string with its quotes. */
enum scan_status scan_member(struct scan *s, struct span *key, struct scan_value *value);
enum scan_status scan_element(struct scan *s, struct scan_value *value);
/* The text of a raw string: a span into it when it has no escapes, else decoded into the arena. False when it cannot be
 * decoded (a lone surrogate) or the arena is used up. */
bool scan_string(struct span raw, struct arena *a, struct span *out);

/* The first byte from `at` on that does not mean itself inside a string: a quote, a backslash, a control character; or `end`. */
const uint8_t *scan_plain(const uint8_t *at, const uint8_t *end);

#endif
