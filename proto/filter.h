/* Filters on the attributes of events: the six dialects that the CloudEvents Subscriptions API requires of every
 * implementation (subscriptions/spec.md, 3.2.4.1.1). Pure; filter.c never allocates.
 *
 *   {"exact": {"type": "order.placed", "subject": "7"}}     every attribute named has exactly that value
 *   {"prefix": {"type": "order."}}  {"suffix": {…}}         … begins, ends with it
 *   {"all": [F, …]}  {"any": [F, …]}  {"not": F}            of other filters
 *
 * Attributes are the context attributes (id, source, type, specversion, subject, time, …) and extensions, compared by
 * their text: booleans as true and false, integers in decimal, bytes in base64, timestamps in RFC 3339. Values are
 * compared byte by byte, with case. A test of an attribute that the event does not have fails (so under `not` it
 * passes). If a malformed event has an attribute twice, the first counts.
 *
 * A filter is sent and stored in its encoded form (filter_priv.h). The empty one matches every event. */
#ifndef SLUICE_PROTO_FILTER_H
#define SLUICE_PROTO_FILTER_H

#include "base/buf.h"
#include "base/error.h"

#define FILTER_SIZE_MAX  4096u /* bytes, encoded */
#define FILTER_DEPTH_MAX 8u    /* nesting, including the outermost filter */
#define FILTER_TESTS_MAX 64u   /* tests in total */

/* Is it one complete encoded filter within these limits, or empty? Check everything that comes from outside. */
bool filter_valid(struct span filter);
/* Does the encoded CloudEvent pass? `filter` must be valid. The event is not checked: of malformed bytes, the
 * attributes before the mistake count. Stops as soon as the answer is known. */
bool filter_matches(struct span filter, struct span event);

struct json_t; /* jansson's */

/* Appends the encoded form of a filter in JSON, an object as above. False if it is not a filter: then nothing is
 * appended, and the sentence names the place, beginning with `where` ("filter.all[1]: unknown operator 'sql'; …"). */
bool filter_from_json(const struct json_t *json, const char *where, struct buf *out, struct error *why);
/* The same from text. */
bool filter_from_text(struct span text, const char *where, struct buf *out, struct error *why);
/* The JSON it was made from, with members in the same order: a new reference. NULL for the empty filter. */
struct json_t *filter_to_json(struct span filter);

#endif
