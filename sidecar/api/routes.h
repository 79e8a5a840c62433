/* The addresses of the API, once: what begin, parse, metrics and the tests of openapi.json go by. */
#ifndef SLUICE_SIDECAR_API_ROUTES_H
#define SLUICE_SIDECAR_API_ROUTES_H

#include "sidecar/api/api.h"

/* What a route's answer needs. */
enum route_listeners {
    ON_BOTH = 1 << API_APPLICATION | 1 << API_OPERATIONS,
    ON_OPERATIONS = 1 << API_OPERATIONS, /* and on the application's with app.operate */
    ON_PROBES = 1 << API_OPERATIONS | 1 << API_PROBE,
};

struct api_route {
    const char *method;
    const char *pattern; /* "/v1/queues/{q}/take" */
    unsigned listeners;
    enum api_command_kind kind;
    enum call call; /* of API_CALL */
};

#define ALLOW_SIZE 64u

/* All of them; *count rows. */
const struct api_route *routes_all(size_t *count);
/* The route of method and path (HEAD counts as GET). *name: the {q} or {s} part, still percent-encoded, empty when there is
 * none. NULL with REASON_not_found or REASON_method; then `allow` (ALLOW_SIZE bytes) lists what the path does answer. */
const struct api_route *routes_find(struct span method, struct span path, struct span *name, char *allow,
                                    enum reason *why);
/* A sentence about an address that the API's design has and this version does not; else NULL. */
const char *routes_later(struct span path);

#endif
