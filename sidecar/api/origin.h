/* Web pages: which of them may send requests, and what their browsers must be told before a page may read the answers (WHATWG
 * Fetch, 3.3, "CORS"). What begin.c refuses for its Origin is refused whatever a browser would have done. */
#ifndef SLUICE_SIDECAR_API_ORIGIN_H
#define SLUICE_SIDECAR_API_ORIGIN_H

#include "sidecar/api/api.h"

/* Hosts and origins are listed alike; case does not count. */
bool origin_is_listed(const struct setting_list *list, struct span value);
/* Is it listed, or a page of this very host and port? */
bool origin_is_allowed(const struct api_config *c, struct span origin, struct span host);
/* Does a browser ask, by itself and without the page's credentials, whether the page may send its request (a preflight)? */
bool origin_is_preflight(const struct api_request *r);
/* It may, with these methods ("GET, HEAD") and the headers it asks for. */
void origin_allow_preflight(const struct api_request *r, const char *methods, struct arena *a,
                            struct api_response *out);

#endif
