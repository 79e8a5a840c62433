/* The bodies of topics, {"unrouted": "refuse" | "drop" | {"queue": NAME}}, and of bindings, {"filter": {...}}; both
 * members are optional. */
#include "base/units.h"
#include "proto/filter.h"
#include "sidecar/api/event_http.h"
#include "sidecar/api/parse.h"

#include <jansson.h>

static bool read_unrouted(struct parsing *p, const json_t *value, struct request *r, struct error *why)
{
    const json_t *queue = json_object_get(value, "queue");
    struct span name = span_of(json_string_value(queue), json_string_length(queue));
    r->u.put_topic.has_unrouted = value != NULL;
    r->u.put_topic.catch_all = "";
    if (!value)
        return true;
    for (unsigned u = UNROUTED_REFUSE; u <= UNROUTED_DROP; u++) {
        r->u.put_topic.unrouted = (enum unrouted)u;
        if (json_is_string(value) && strcmp(json_string_value(value), unrouted_name(u)) == 0)
            return true;
    }
    r->u.put_topic.unrouted = UNROUTED_QUEUE;
    if (json_object_size(value) != 1 || !name_valid(name))
        return error_set(why, "'unrouted' must be \"refuse\", \"drop\" or {\"queue\": NAME}, where NAME is a queue's");
    r->u.put_topic.catch_all = arena_strndup(p->arena, (const char *)name.data, name.size);
    return r->u.put_topic.catch_all || error_set(why, "too much text at once");
}

/* Parses the body, an object that passes to the caller. NULL with *fine if the body is empty; NULL without *fine, and a
 * message in *why, if it is not an object. */
static json_t *open_object(struct parsing *p, const char *what, bool *fine, struct error *why)
{
    json_error_t where;
    struct span body = p->request->body;
    *fine = true;
    if (body.size == 0)
        return NULL;
    json_t *object = json_loadb((const char *)body.data, body.size, JSON_REJECT_DUPLICATES, &where);
    if (json_is_object(object))
        return object;
    *fine = error_set(why, "the body must be %s, or empty%s%s", what, object ? "" : ": ", object ? "" : where.text);
    json_decref(object);
    return NULL;
}

/* Answers and the configuration file have a topic's bindings inside it, so people try that here as well. */
static bool has_no_bindings(const json_t *object, struct error *why)
{
    return !json_object_get(object, "bindings") ||
           error_set(why, "unknown key 'bindings'; queues are bound one by one, with "
                          "PUT /v1/topics/NAME/bindings/QUEUE");
}

bool parse_put_topic(struct parsing *p, struct request *r, struct error *why)
{
    static const char *const known[] = { "unrouted", NULL };
    struct span match = header_find(p->request, "If-None-Match");
    bool fine;
    if (match.size && !span_equal(match, span_str("*")))
        return error_set(why, "If-None-Match must be * here");
    json_t *object = open_object(p, "{\"unrouted\": \"refuse\"}", &fine, why);
    fine = fine && has_no_bindings(object, why) && (!object || parse_keys(object, known, "unrouted", why)) &&
           read_unrouted(p, json_object_get(object, "unrouted"), r, why);
    r->u.put_topic.only_create = match.size != 0;
    json_decref(object);
    return fine;
}

static bool read_filter(struct parsing *p, const json_t *filter, struct request *r, struct error *why)
{
    struct buf encoded = { 0 };
    if (!filter)
        return true; /* every event */
    bool fine = filter_from_json(filter, "filter", &encoded, why);
    uint8_t *copy = fine ? arena_alloc(p->arena, encoded.size) : NULL;
    if (copy)
        memcpy(copy, encoded.data, encoded.size);
    r->u.bind.filter = span_of(copy, copy ? encoded.size : 0);
    buf_free(&encoded);
    return fine && (copy || error_set(why, "too much text at once"));
}

bool parse_bind(struct parsing *p, struct request *r, struct error *why)
{
    static const char *const known[] = { "filter", NULL };
    bool fine;
    json_t *object = open_object(p, "{\"filter\": {\"exact\": {\"type\": \"order.placed\"}}}", &fine, why);
    fine = fine && (!object || parse_keys(object, known, "filter", why)) &&
           read_filter(p, json_object_get(object, "filter"), r, why);
    json_decref(object);
    return fine;
}
