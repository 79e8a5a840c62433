#include "sidecar/api/routes.h"

#include <stdio.h>

static const struct api_route routes[] = {
    { "POST", "/v1/queues/{q}/events", ON_BOTH, API_PUBLISH, CALL_NONE, NULL },
    { "POST", "/v1/queues/{q}/take", ON_BOTH, API_TAKE, CALL_NONE, "max, wait" },
    { "GET", "/v1/queues/{q}/stream", ON_BOTH, API_STREAM, CALL_NONE, "window" },
    { "POST", "/v1/queues/{q}/acks", ON_BOTH, API_ACKS, CALL_NONE, NULL },
    { "GET", "/v1/queues/{q}", ON_BOTH, API_CALL, CALL_DESCRIBE, "" },
    { "PUT", "/v1/queues/{q}", ON_BOTH, API_CALL, CALL_DECLARE, NULL },
    { "DELETE", "/v1/queues/{q}", ON_OPERATIONS, API_CALL, CALL_DELETE, "force" },
    { "GET", "/v1/queues", ON_BOTH, API_CALL, CALL_LIST, "prefix, after, limit" },
    { "GET", "/v1/queues/{q}/peek", ON_BOTH, API_CALL, CALL_PEEK, "state, from, max" },
    { "GET", "/v1/queues/{q}/events/{n}", ON_BOTH, API_CALL, CALL_EXPLAIN, "" },
    { "DELETE", "/v1/queues/{q}/events/{n}", ON_BOTH, API_CALL, CALL_CANCEL, "" },
    { "GET", "/v1/queues/{q}/ledger", ON_BOTH, API_CALL, CALL_DESCRIBE, "" },
    { "POST", "/v1/queues/{q}/purge", ON_OPERATIONS, API_CALL, CALL_PURGE, "state" },
    { "POST", "/v1/queues/{q}/redrive", ON_OPERATIONS, API_CALL, CALL_REDRIVE, NULL },
    { "POST", "/v1/queues/{q}/pause", ON_OPERATIONS, API_CALL, CALL_PAUSE, "" },
    { "POST", "/v1/queues/{q}/resume", ON_OPERATIONS, API_CALL, CALL_RESUME, "" },
    { "POST", "/v1/queues/{q}/close", ON_OPERATIONS, API_CALL, CALL_CLOSE, "" },
    { "POST", "/v1/queues/{q}/open", ON_OPERATIONS, API_CALL, CALL_OPEN, "" },
    { "POST", "/v1/topics/{t}/events", ON_BOTH, API_PUBLISH, CALL_NONE, NULL },
    { "GET", "/v1/topics/{t}", ON_BOTH, API_CALL, CALL_DESCRIBE_TOPIC, "" },
    { "PUT", "/v1/topics/{t}", ON_BOTH, API_CALL, CALL_PUT_TOPIC, NULL },
    { "DELETE", "/v1/topics/{t}", ON_OPERATIONS, API_CALL, CALL_DELETE_TOPIC, "" },
    { "GET", "/v1/topics", ON_BOTH, API_CALL, CALL_LIST_TOPICS, "prefix, after, limit" },
    { "GET", "/v1/topics/{t}/bindings/{q}", ON_BOTH, API_CALL, CALL_DESCRIBE_TOPIC, "" },
    { "PUT", "/v1/topics/{t}/bindings/{q}", ON_BOTH, API_CALL, CALL_BIND, NULL },
    { "DELETE", "/v1/topics/{t}/bindings/{q}", ON_OPERATIONS, API_CALL, CALL_UNBIND, "" },
    { "GET", "/v1/subscriptions/{s}", ON_BOTH, API_SUBSCRIPTION, CALL_NONE, "" },
    { "PUT", "/v1/subscriptions/{s}", ON_BOTH, API_SUBSCRIBE, CALL_NONE, NULL },
    { "DELETE", "/v1/subscriptions/{s}", ON_BOTH, API_UNSUBSCRIBE, CALL_NONE, "" },
    { "GET", "/v1/subscriptions", ON_BOTH, API_SUBSCRIPTIONS, CALL_NONE, "after, limit" },
    { "POST", "/v1/drain", ON_OPERATIONS, API_DRAIN, CALL_NONE, "" },
    { "POST", "/v1.0/publish/{p}/{t}", ON_BOTH, API_PUBLISH_DAPR, CALL_NONE, NULL },
    { "POST", "/v1.0/publish/{p}/", ON_BOTH, API_PUBLISH_DAPR, CALL_NONE, NULL }, /* refused in Dapr's format */
    { "POST", "/v1.0/publish/{p}", ON_BOTH, API_PUBLISH_DAPR, CALL_NONE, NULL },
    { "GET", "/v1.0/metadata", ON_BOTH, API_METADATA_DAPR, CALL_NONE, NULL },
    { "GET", "/v1.0/healthz", ON_BOTH, API_HEALTH_DAPR, CALL_NONE, NULL },
    { "GET", "/v1.0/healthz/outbound", ON_BOTH, API_HEALTH_DAPR, CALL_NONE, NULL },
    { "GET", "/livez", ON_PROBES, API_LIVE, CALL_NONE, NULL },
    { "GET", "/readyz", ON_PROBES, API_READY, CALL_NONE, NULL },
    { "GET", "/startupz", ON_PROBES, API_STARTUP, CALL_NONE, NULL },
    { "GET", "/healthz", ON_PROBES, API_HEALTH, CALL_NONE, NULL },
    { "GET", "/metrics", ON_PROBES, API_METRICS, CALL_NONE, NULL },
    { "GET", "/openapi.json", ON_OPERATIONS, API_DESCRIPTION, CALL_NONE, NULL },
    { "GET", "/", ON_OPERATIONS, API_INDEX, CALL_NONE, NULL },
};

const struct api_route *routes_all(size_t *count)
{
    *count = sizeof routes / sizeof *routes;
    return routes;
}

/* Compares segment by segment; {q} and the like match any single segment that is not empty. */
static bool matches(const char *pattern, struct span path, struct span names[ROUTE_NAMES])
{
    unsigned taken = 0;
    const uint8_t *at = path.data, *end = path.data + path.size;
    names[0] = names[1] = span_str("");
    while (*pattern) {
        if (*pattern != '{') {
            if (at == end || *at++ != (uint8_t)*pattern++)
                return false;
            continue;
        }
        const uint8_t *from = at;
        while (at < end && *at != '/')
            at++;
        struct span *name = &names[taken++ % ROUTE_NAMES];
        *name = span_of(from, (size_t)(at - from));
        if (name->size == 0)
            return false;
        pattern += 3;
    }
    return at == end;
}

const struct api_route *routes_find(struct span method, struct span path, struct span names[ROUTE_NAMES], char *allow,
                                    enum reason *why)
{
    size_t used = 0;
    if (span_equal(method, span_str("HEAD")))
        method = span_str("GET");
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!matches(routes[i].pattern, path, names))
            continue;
        if (span_equal(method, span_str(routes[i].method)))
            return &routes[i];
        used += (size_t)snprintf(allow + used, ALLOW_SIZE - used, "%s%s", used ? ", " : "",
                                 strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD" : routes[i].method);
    }
    *why = used ? REASON_method : REASON_not_found;
    return NULL;
}

const char *routes_events(struct span path)
{
    struct span names[ROUTE_NAMES];
    char allow[ALLOW_SIZE];
    enum reason why;
    const struct api_route *here = routes_find(span_str("GET"), path, names, allow, &why);
    size_t size = here ? strlen(here->pattern) : 0;
    for (size_t i = 0; here && i < sizeof routes / sizeof *routes; i++) {
        const char *pattern = routes[i].pattern;
        if (routes[i].kind == API_PUBLISH && strncmp(pattern, here->pattern, size) == 0 &&
            strcmp(pattern + size, "/events") == 0)
            return pattern;
    }
    return NULL;
}

bool routes_slash_too_many(struct span path)
{
    struct span names[ROUTE_NAMES];
    char allow[ALLOW_SIZE];
    enum reason why = REASON_not_found;
    if (path.size < 2 || path.data[path.size - 1] != '/')
        return false;
    path.size--;
    routes_find(span_str(""), path, names, allow, &why);
    return why == REASON_method;
}

/* Wrong paths mostly have a wrong last part: /v1/queues/orders/publish. */
void routes_siblings(struct span path, char *out)
{
    size_t used = 0, parent = path.size, depth = 0;
    while (parent > 0 && path.data[parent - 1] != '/')
        parent--;
    for (size_t i = 0; i < parent; i++)
        depth += path.data[i] == '/';
    out[0] = '\0';
    for (size_t i = 0; depth > 1 && i < sizeof routes / sizeof *routes; i++) {
        char above[64], word[32];
        struct span names[ROUTE_NAMES];
        const char *at = routes[i].pattern;
        for (size_t n = 0; at && n < depth; n++)
            at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL;
        if (!at || *at == '{' || *at == '\0')
            continue;
        snprintf(above, sizeof above, "%.*s", (int)(at - routes[i].pattern), routes[i].pattern);
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, "/"), at);
        if (matches(above, span_of(path.data, parent), names) &&
            !strstr(out, word)) /* strstr will do: no word is part of another */
            used += (size_t)snprintf(out + used, SIBLINGS_SIZE - used, "%s%s", used ? ", " : "", word);
    }
}
