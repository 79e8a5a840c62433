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

#define ALLOW_SIZE    64u
#define ROUTE_NAMES   2u
#define SIBLINGS_SIZE 160u

/* All of them; *count rows. */
const struct api_route *routes_all(size_t *count);
/* The route of method and path (HEAD counts as GET). names: the parts of the path that stand for {q}, {s} or {t}, in their
 * order, still percent-encoded, empty where there are none. NULL with REASON_not_found or REASON_method; then `allow` (ALLOW_SIZE bytes) lists what the path does answer. */
const struct api_route *routes_find(struct span method, struct span path, struct span names[ROUTE_NAMES], char *allow,
                                    enum reason *why);
/* What there is where a path that was not found looked for its last part: "events, take, …", or nothing. SIBLINGS_SIZE bytes. */
void routes_siblings(struct span path, char *out);

#endif
