/* From a whole request to a command. */
#include "sidecar/api/parse.h"

#include "base/units.h"
#include "sidecar/api/event_http.h"
#include "sidecar/api/query.h"
#include "sidecar/api/respond.h"

#include <jansson.h>
#include <stdio.h>

bool parse_no_query(struct parsing *p)
{
    struct query_parameter none[] = { { 0 } };
    struct error e;
    if (query_parse(p->request->query, none, p->arena, &e))
        return true;
    respond_invalid(&e, p->arena, p->out);
    return false;
}

bool parse_keys(const json_t *object, const char *const *known, const char *list, struct error *why)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)object, key, value) {
        size_t i = 0;
        while (known[i] && strcmp(key, known[i]) != 0)
            i++;
        if (!known[i])
            return error_set(why, "unknown key '%.60s'; known here: %s", key, list);
    }
    return true;
}

/* Decodes and checks a {q}, {s} or {t} of the path. */
static bool take_name(struct parsing *p, struct span raw, const char **out)
{
    struct span name;
    if (!percent_decode(raw, false, p->arena, &name) || !name_valid(name)) {
        api_problem(REASON_invalid, "a name is " NAME_RULE, 0, p->arena, p->out);
        return false;
    }
    *out = arena_strndup(p->arena, (const char *)name.data, name.size);
    return *out != NULL;
}

/* Parses {n}: the sequence of an event. */
static bool take_sequence(struct parsing *p, struct span raw)
{
    struct query_parameter number = { .name = "sequence", .present = true, .value = raw };
    struct error e = { "" };
    if (query_number(&number, &p->command->sequence, &e) && p->command->sequence)
        return true;
    api_problem(REASON_invalid, "the address of an event ends with its sequence, a whole number above 0", 0, p->arena,
                p->out);
    return false;
}

static bool take_names(struct parsing *p, const struct api_route *route, const struct span names[ROUTE_NAMES])
{
    const char *at = route->pattern;
    for (unsigned i = 0; i < ROUTE_NAMES && (at = strchr(at, '{')) != NULL; i++, at++) {
        if (at[1] == 'n') {
            if (!take_sequence(p, names[i]))
                return false;
            continue;
        }
        const char **to = at[1] == 'q'   ? &p->command->queue
                          : at[1] == 't' ? &p->command->topic
                                         : &p->command->subscription;
        if (!take_name(p, names[i], to))
            return false;
    }
    return true;
}

/* Is a body that stands for none: empty, {} or null? Some clients always send one. */
static bool is_blank(struct span body)
{
    char text[5] = "";
    size_t used = 0;
    for (size_t i = 0; i < body.size; i++) {
        if (memchr(" \t\r\n", body.data[i], 4))
            continue;
        if (used == sizeof text - 1)
            return false;
        text[used++] = (char)body.data[i];
    }
    return used == 0 || strcmp(text, "{}") == 0 || strcmp(text, "null") == 0;
}

/* What is in the body of a call that takes none would be ignored, and a purge with {"state":"dead"} would remove the
 * live events. */
static bool has_no_body(struct parsing *p, const struct api_route *route)
{
    char sentence[128];
    if (!route->parameters || is_blank(p->request->body))
        return true;
    snprintf(sentence, sizeof sentence, "this call takes no body; %s%s",
             *route->parameters ? "its parameters are in the query: " : "it has no parameters", route->parameters);
    api_problem(REASON_invalid, sentence, 0, p->arena, p->out);
    return false;
}

/* A request with a precondition that cannot be evaluated must not be carried out without it (RFC 9110, 13.2): there are
 * no entity tags here. */
static bool is_unconditional(struct parsing *p, const struct api_route *route)
{
    bool creates = route->call == CALL_DECLARE || route->call == CALL_PUT_TOPIC; /* support If-None-Match: * */
    bool changes = strcmp(route->method, "PUT") == 0 || strcmp(route->method, "DELETE") == 0;
    const char *refused = !changes                                        ? NULL
                          : header_find(p->request, "If-Match").data      ? "If-Match is not understood here"
                          : creates                                       ? NULL
                          : header_find(p->request, "If-None-Match").data ? "If-None-Match is not understood here"
                                                                          : NULL;
    if (refused)
        api_problem(REASON_invalid, refused, 0, p->arena, p->out);
    return !refused;
}

static enum api_answer dispatch(struct parsing *p, const struct api_route *route)
{
    switch (route->kind) {
    case API_PUBLISH: return parse_publish(p);
    case API_TAKE: return parse_take(p);
    case API_STREAM: return parse_stream(p);
    case API_ACKS: return parse_acks(p);
    case API_CALL: return is_unconditional(p, route) ? parse_call(p, route) : API_RESPONSE;
    case API_SUBSCRIBE:
    case API_UNSUBSCRIBE:
    case API_SUBSCRIPTION:
    case API_SUBSCRIPTIONS: return is_unconditional(p, route) ? parse_subscription(p) : API_RESPONSE;
    case API_METADATA_DAPR:
    case API_HEALTH_DAPR: return API_COMMAND; /* Dapr ignores unknown parameters */
    default: return parse_no_query(p) ? API_COMMAND : API_RESPONSE;
    }
}

enum api_answer api_parse(const struct api_config *c, const struct api_request *r, const uint8_t random[16],
                          struct now now, struct arena *a, struct api_command *command, struct api_response *out)
{
    struct parsing p = {
        .config = c, .request = r, .random = random, .now = now, .arena = a, .command = command, .out = out
    };
    struct span names[ROUTE_NAMES];
    char allow[ALLOW_SIZE];
    enum reason why = REASON_ok;
    enum api_answer answer = API_RESPONSE;
    const struct api_route *route = routes_find(r->method, r->path, names, allow, &why);
    *command = (struct api_command){ .queue = "" };
    if (!route) {
        api_problem(why, NULL, 0, a, out);
        return API_RESPONSE;
    }
    command->kind = route->kind;
    command->route = route;
    if (route->kind == API_PUBLISH_DAPR)
        answer = parse_dapr(&p, names);
    else if (has_no_body(&p, route) && take_names(&p, route, names))
        answer = dispatch(&p, route);
    buf_free(&p.scratch);
    return answer;
}
