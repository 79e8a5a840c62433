/* Requests about subscriptions. */
#include "sidecar/api/parse.h"
#include "sidecar/api/query.h"
#include "sidecar/api/respond.h"

#include <jansson.h>

#define LIST_MAX 1000u

static bool put_member(struct subscription_settings *s, const char *key, const json_t *value, struct error *why)
{
    struct span name = span_str(key);
    if (json_is_integer(value))
        return subscription_put_number(s, name, json_integer_value(value), why);
    if (json_is_boolean(value))
        return subscription_put_bool(s, name, json_is_true(value), why);
    if (json_is_string(value))
        return subscription_parse(s, name, span_of(json_string_value(value), json_string_length(value)), why);
    return subscription_find_key(name, &(enum subscription_key){ 0 }, why) &&
           error_set(why, "'%s' must not be null, a fraction, a list or an object", key);
}

#define BODY_LIKE "must be a JSON object like {\"queue\":\"orders\",\"url\":\"http://127.0.0.1:8080/\"}"

static bool read_members(struct parsing *p, struct subscription_settings *s, struct error *why)
{
    json_error_t where;
    const char *key;
    json_t *value;
    struct span body = p->request->body;
    if (body.size == 0)
        return error_set(why, "the body is empty; it " BODY_LIKE);
    json_t *object = json_loadb((const char *)body.data, body.size, JSON_REJECT_DUPLICATES, &where);
    bool fine = json_is_object(object) ||
                error_set(why, "the body " BODY_LIKE "%s%s", object ? "" : ": ", object ? "" : where.text);
    if (fine) {
        json_object_foreach (object, key, value) {
            fine = fine && put_member(s, key, value, why);
        }
    }
    json_decref(object);
    return fine;
}

static bool parse_put(struct parsing *p, struct error *why)
{
    struct subscription_settings *s = arena_alloc(p->arena, sizeof *s);
    if (!s)
        return error_set(why, "the request is too large");
    p->command->u.subscription.change = s;
    if (!p->config->app_named)
        return error_set(
            why, "subscriptions belong to an application: give this sidecar its name (--app-name, or app.name in its "
                 "YAML)");
    return read_members(p, s, why);
}

static bool parse_list(struct parsing *p, struct error *why)
{
    struct query_parameter known[] = { { .name = "after" }, { .name = "limit" }, { 0 } };
    uint64_t limit = 100;
    if (!query_parse(p->request->query, known, p->arena, why) || !query_number(&known[1], &limit, why))
        return false;
    if (limit == 0)
        return error_set(why, "query parameter 'limit' must be at least 1");
    p->command->u.subscription.limit = (uint32_t)(limit < LIST_MAX ? limit : LIST_MAX);
    p->command->u.subscription.after =
        known[0].present ? arena_strndup(p->arena, (const char *)known[0].value.data, known[0].value.size) : "";
    return true;
}

enum api_answer parse_subscription(struct parsing *p)
{
    struct error why;
    enum api_command_kind kind = p->command->kind;
    if (kind != API_SUBSCRIPTIONS && !parse_no_query(p))
        return API_RESPONSE;
    bool fine = kind == API_SUBSCRIBE ? parse_put(p, &why) : kind == API_SUBSCRIPTIONS ? parse_list(p, &why) : true;
    return fine ? API_COMMAND : respond_invalid(&why, p->arena, p->out);
}
