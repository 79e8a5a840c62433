/* Filters on the attributes of events: the six dialects of the CloudEvents Subscriptions API that every implementation
 * has (subscriptions/spec.md, 3.2.4.1.1). Pure; filter.c never allocates.
 *
 *   {"exact": {"type": "order.placed", "subject": "7"}}     every attribute named has exactly that value
 *   {"prefix": {"type": "order."}}  {"suffix": {…}}         … begins, ends with it
 *   {"all": [F, …]}  {"any": [F, …]}  {"not": F}            of other filters
 *
 * Attributes are the context attributes (id, source, type, specversion, subject, time, …) and extensions, by their text:
 * booleans as true and false, integers in decimal, bytes in base64, timestamps in RFC 3339. Values are compared byte by
 * byte, case counts. An attribute that an event does not have fulfils nothing (so under `not` it does). Should bytes that no
 * sidecar made name one attribute twice, the first counts.
 *
 * A filter travels and is kept in its encoded form, whose shape is at the top of filter.c; empty, it matches every event. */
#ifndef SLUICE_PROTO_FILTER_H
#define SLUICE_PROTO_FILTER_H

#include "base/buf.h"
#include "base/error.h"

#define FILTER_SIZE_MAX  4096u /* bytes, encoded */
#define FILTER_DEPTH_MAX 8u    /* filters within filters, the outermost counted */
#define FILTER_TESTS_MAX 64u   /* attributes it compares, in all */

/* Is it one whole encoded filter within these bounds? So asked of whatever comes from outside; the empty one is. */
bool filter_valid(struct span filter);
/* Does the encoded CloudEvent pass? `filter` must be valid. The event is not checked: one that is no protobuf has the
 * attributes that stand before what is wrong with it. Stops as soon as the answer is known. */
bool filter_matches(struct span filter, struct span event);

struct json_t; /* jansson's */

/* Appends the encoded form of a filter's JSON, an object as above. False, with nothing appended and a sentence that names
 * the place and begins with `where` ("filter.all[1]: unknown operator 'sql'; …"), when it is none. */
bool filter_from_json(const struct json_t *json, const char *where, struct buf *out, struct error *why);
/* The same from text. */
bool filter_from_text(struct span text, const char *where, struct buf *out, struct error *why);
/* The JSON it was made from, members in their order: a new reference. NULL for the empty filter, which has none. */
struct json_t *filter_to_json(struct span filter);

#endif
