/* Web pages: which of them may send requests, and the headers that let them read the answers (CORS: WHATWG Fetch, 3.3).
 * begin.c refuses a request for its Origin by itself, and does not rely on the browser to enforce CORS. */
#ifndef SLUICE_SIDECAR_API_ORIGIN_H
#define SLUICE_SIDECAR_API_ORIGIN_H

#include "sidecar/api/api.h"

/* For lists of hosts and of origins; compares without case. */
bool origin_is_listed(const struct setting_list *list, struct span value);
/* Is the origin listed, or is it a page of the host and port that the request went to? */
bool origin_is_allowed(const struct api_config *c, struct span origin, struct span host);
/* Is it a CORS preflight: a browser asking, without credentials, whether a page may send its request? */
bool origin_is_preflight(const struct api_request *r);
/* Answers a preflight: allows `methods` ("GET, HEAD") and the headers that it asks for. */
void origin_allow_preflight(const struct api_request *r, const char *methods, struct arena *a,
                            struct api_response *out);

#endif
