/* Percent-encoding and query parameters. */
#ifndef SLUICE_SIDECAR_API_QUERY_H
#define SLUICE_SIDECAR_API_QUERY_H

#include "base/arena.h"
#include "base/error.h"
#include "base/span.h"

/* Decodes %XX (and + as a space with `plus`) into the arena. False at a broken escape or a NUL. */
bool percent_decode(struct span text, bool plus, struct arena *a, struct span *out);

struct query_parameter {
    const char *name;
    struct span value;
    bool present;
};

/* Fills the parameters named in `known` (terminated by a NULL name). False with a sentence: an unknown name, a repeated
 * one, a broken escape. */
bool query_parse(struct span query, struct query_parameter *known, struct arena *a, struct error *why);
/* Values; absent ones leave *out alone. False with a sentence naming the parameter. */
bool query_number(const struct query_parameter *p, uint64_t *out, struct error *why);
bool query_duration(const struct query_parameter *p, int64_t *ms, struct error *why);
bool query_bool(const struct query_parameter *p, bool *out, struct error *why);

#endif
