/* The table of the API's routes, used by begin.c, parse.c, the metrics and the tests of openapi.json. */
#ifndef SLUICE_SIDECAR_API_ROUTES_H
#define SLUICE_SIDECAR_API_ROUTES_H

#include "sidecar/api/api.h"

/* On which listeners a route is served. */
enum route_listeners {
    ON_BOTH = 1 << API_APPLICATION | 1 << API_OPERATIONS,
    ON_OPERATIONS = 1 << API_OPERATIONS, /* also on the application's if app.operate is set */
    ON_PROBES = 1 << API_OPERATIONS | 1 << API_PROBE,
};

struct api_route {
    const char *method;
    const char *pattern; /* "/v1/queues/{q}/take" */
    unsigned listeners;
    enum api_command_kind kind;
    enum call call; /* of API_CALL */
    /* Of a call that takes no body, and refuses one: its query parameters, "max, wait", or "". NULL: it has a body, or
     * it does not look whether there is one. */
    const char *parameters;
};

#define ALLOW_SIZE    64u
#define ROUTE_NAMES   2u
#define SIBLINGS_SIZE 160u

/* The table; it has *count rows. */
const struct api_route *routes_all(size_t *count);
/* The route for a method and path (HEAD counts as GET). `names`: the parts of the path for {q}, {s} or {t}, in their
 * order, still percent-encoded; empty if there are none. NULL with *why REASON_not_found or REASON_method; for the
 * latter `allow` (ALLOW_SIZE bytes) lists the methods that the path has. */
const struct api_route *routes_find(struct span method, struct span path, struct span names[ROUTE_NAMES], char *allow,
                                    enum reason *why);
/* The pattern of the address below this path at which events are published; NULL: there is none. */
const char *routes_events(struct span path);
/* Does the path end with a slash, and is it known without it? */
bool routes_slash_too_many(struct span path);
/* For a path that was not found: what its last part could be instead, "events, take, …"; or "". `out` has SIBLINGS_SIZE
 * bytes. */
void routes_siblings(struct span path, char *out);

#endif
