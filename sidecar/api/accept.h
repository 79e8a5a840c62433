/* Content negotiation (RFC 9110, 12.5.1). */
#ifndef SLUICE_SIDECAR_API_ACCEPT_H
#define SLUICE_SIDECAR_API_ACCEPT_H

#include "sidecar/api/api.h"

/* How much a request prefers a media type. */
struct preference {
    unsigned quality; /* 0 (not acceptable) to 1,000 */
    /* of the range that decided: 3: the type itself; 2: TYPE/ and *; 1: all types; 0: there is no Accept header */
    unsigned precision;
};

/* The request's preference for `type` ("application/json"), by all its Accept headers: the most precise range
 * decides. */
struct preference accept_preference(const struct api_request *r, const char *type);
/* Is the first preferred to the second? At equal quality the more precise range wins. */
bool preference_above(struct preference first, struct preference second);

#endif
