/* Content negotiation (RFC 9110, 12.5.1). */
#ifndef SLUICE_SIDECAR_API_ACCEPT_H
#define SLUICE_SIDECAR_API_ACCEPT_H

#include "sidecar/api/api.h"

/* How much a request wants a media type. */
struct preference {
    unsigned quality; /* 0 (not acceptable) to 1,000 */
    unsigned
        precision; /* of the range that says so: 3 the type itself, 2 its subtypes' *, 1 everything, 0 no Accept at all */
};

/* What all Accept headers of the request say of `type` ("application/json"); the most precise range decides. */
struct preference accept_preference(const struct api_request *r, const char *type);
/* Is the first wanted more than the second? At the same quality the more precise range wins. */
bool preference_above(struct preference first, struct preference second);

#endif
