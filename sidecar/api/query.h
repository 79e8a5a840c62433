/* Percent-encoding and query parameters. */
#ifndef SLUICE_SIDECAR_API_QUERY_H
#define SLUICE_SIDECAR_API_QUERY_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

/* Decodes %XX (and, with `plus`, + as a space) into the arena. False if there is a broken escape or a NUL. */
bool percent_decode(struct span text, bool plus, struct arena *a, struct span *out);

struct query_parameter {
    const char *name;
    struct span value;
    bool present;
};

/* Fills in the parameters listed in `known` (terminated by a NULL name). False with a message for an unknown or
 * repeated name, or a broken escape. */
bool query_parse(struct span query, struct query_parameter *known, struct arena *a, struct error *why);
/* Parse a value; an absent one leaves *out unchanged. False with a message that names the parameter. */
bool query_number(const struct query_parameter *p, uint64_t *out, struct error *why);
bool query_duration(const struct query_parameter *p, int64_t *ms, struct error *why);
bool query_bool(const struct query_parameter *p, bool *out, struct error *why);

#endif
