/* Requests that become control calls: declare, describe, list, delete, peek and the operations. */
#include "base/settings.h"
#include "sidecar/api/event_http.h"
#include "sidecar/api/parse.h"
#include "sidecar/api/query.h"
#include "sidecar/api/respond.h"

#include <jansson.h>
#include <stdio.h>

#define LIST_MAX   1000u
#define PEEK_BYTES (1u << 20)

/* ------------------------------------------------------------------ declare */

static bool refuse_setting(const char *key, struct error *why)
{
    const char *names[QUEUE_SETTING_COUNT];
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++)
        names[i] = queue_setting_info(i)->name;
    const char *near = settings_closest(names, QUEUE_SETTING_COUNT, key);
    return error_set(why, near ? "unknown key '%.60s'; did you mean '%s'?" : "unknown key '%.60s'; see /openapi.json",
                     key, near);
}

static bool refuse_choice(const struct queue_setting_info *info, struct error *why)
{
    char list[100] = "";
    size_t used = 0;
    for (const char *const *choice = info->choices; *choice && used < sizeof list; choice++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", *choice);
    return error_set(why, "'%s' must be one of %s", info->name, list);
}

static bool refuse_type(const struct queue_setting_info *info, struct error *why)
{
    static const char *const wanted[] = {
        [QUEUE_SETTING_NUMBER] = "a whole number",
        [QUEUE_SETTING_SIZE] = "a whole number of bytes, or a string like \"64MiB\"",
        [QUEUE_SETTING_DURATION] = "a string, a duration like \"30s\"",
        [QUEUE_SETTING_BOOL] = "true or false",
        [QUEUE_SETTING_NAME] = "a string, a queue's name, or null",
    };
    return info->choices ? refuse_choice(info, why) : error_set(why, "'%s' must be %s", info->name, wanted[info->type]);
}

static bool put_number(struct queue_settings *s, enum queue_setting which, const json_t *value, struct error *why)
{
    const struct queue_setting_info *info = queue_setting_info(which);
    if (info->type != QUEUE_SETTING_NUMBER && info->type != QUEUE_SETTING_SIZE)
        return refuse_type(info, why);
    if (json_integer_value(value) < 0)
        return error_set(why, "'%s' must be at least %llu", info->name, (unsigned long long)info->min);
    queue_settings_put(s, which, (uint64_t)json_integer_value(value));
    return true;
}

static bool put_setting(struct queue_settings *s, const char *key, const json_t *value, struct error *why)
{
    enum queue_setting which;
    const struct queue_setting_info *info = queue_setting_find(span_str(key), &which);
    if (!info)
        return refuse_setting(key, why);
    if (json_is_integer(value))
        return put_number(s, which, value, why);
    if (json_is_boolean(value) && info->type == QUEUE_SETTING_BOOL) {
        queue_settings_put(s, which, json_is_true(value));
        return true;
    }
    if (json_is_null(value) && info->type == QUEUE_SETTING_NAME) {
        queue_settings_put_text(s, which, span_str(""));
        return true;
    }
    if (info->type == QUEUE_SETTING_BOOL || !json_is_string(value))
        return refuse_type(info, why);
    return queue_settings_parse(s, span_str(key), span_of(json_string_value(value), json_string_length(value)), why);
}

static bool read_settings(struct parsing *p, struct queue_settings *s, struct error *why)
{
    json_error_t where;
    const char *key;
    json_t *value;
    struct span body = p->request->body;
    if (body.size == 0)
        return true; /* all defaults, or nothing changes */
    json_t *object = json_loadb((const char *)body.data, body.size, JSON_REJECT_DUPLICATES, &where);
    bool fine = json_is_object(object) || error_set(why, "the body must be a JSON object of settings%s%s",
                                                    object ? "" : ": ", object ? "" : where.text);
    if (fine) {
        json_object_foreach (object, key, value) {
            fine = fine && put_setting(s, key, value, why);
        }
    }
    json_decref(object);
    return fine && queue_settings_check(s, why);
}

static bool parse_declare(struct parsing *p, struct request *r, struct error *why)
{
    struct span match = header_find(p->request, "If-None-Match");
    if (match.size && !span_equal(match, span_str("*")))
        return error_set(why, "If-None-Match must be * here");
    r->u.declare.only_create = match.size != 0;
    return read_settings(p, &r->u.declare.settings, why);
}

/* ------------------------------------------------------------------ the rest */

/* A parameter's text, copied to the arena as a string. */
static const char *text_of(struct parsing *p, const struct query_parameter *q)
{
    return q->present ? arena_strndup(p->arena, (const char *)q->value.data, q->value.size) : "";
}

static bool parse_list(struct parsing *p, struct request *r, struct error *why)
{
    struct query_parameter known[] = { { .name = "prefix" }, { .name = "after" }, { .name = "limit" }, { 0 } };
    uint64_t limit = 100;
    if (!query_parse(p->request->query, known, p->arena, why) || !query_number(&known[2], &limit, why))
        return false;
    if (limit == 0)
        return error_set(why, "query parameter 'limit' must be at least 1");
    r->u.list.prefix = text_of(p, &known[0]);
    r->u.list.after = text_of(p, &known[1]);
    r->u.list.limit = (uint32_t)(limit < LIST_MAX ? limit : LIST_MAX);
    return true;
}

static bool parse_state(struct parsing *p, const struct query_parameter *q, enum event_state *out, struct error *why)
{
    static const char *const names[] = { "ready", "in_flight", "delayed", "dead" };
    (void)p;
    *out = STATE_READY;
    if (!q->present)
        return true;
    for (unsigned i = 0; i < 4; i++) {
        if (span_equal(q->value, span_str(names[i]))) {
            *out = (enum event_state)i;
            return true;
        }
    }
    return error_set(why, "query parameter 'state' must be ready, in_flight, delayed or dead");
}

static bool parse_peek(struct parsing *p, struct request *r, struct error *why)
{
    struct query_parameter known[] = { { .name = "state" }, { .name = "from" }, { .name = "max" }, { 0 } };
    uint64_t max = 10;
    r->u.peek.max_bytes = PEEK_BYTES;
    if (!query_parse(p->request->query, known, p->arena, why) || !parse_state(p, &known[0], &r->u.peek.state, why) ||
        !query_number(&known[1], &r->u.peek.from, why) || !query_number(&known[2], &max, why))
        return false;
    if (max == 0)
        return error_set(why, "query parameter 'max' must be at least 1");
    r->u.peek.max = (uint32_t)(max < p->config->take_max ? max : p->config->take_max);
    return true;
}

static bool parse_purge(struct parsing *p, struct request *r, struct error *why)
{
    struct query_parameter known[] = { { .name = "state" }, { 0 } };
    if (!query_parse(p->request->query, known, p->arena, why))
        return false;
    r->u.purge.dead = known[0].present;
    return !known[0].present || span_equal(known[0].value, span_str("dead")) ||
           error_set(why, "query parameter 'state' must be dead; without it, ready and delayed events are purged");
}

static bool parse_delete(struct parsing *p, struct request *r, struct error *why)
{
    struct query_parameter known[] = { { .name = "force" }, { 0 } };
    return query_parse(p->request->query, known, p->arena, why) && query_bool(&known[0], &r->u.delete_.force, why);
}

static bool parse_by_call(struct parsing *p, struct request *r, struct error *why)
{
    struct query_parameter none[] = { { 0 } };
    switch (r->call) {
    case CALL_LIST: return parse_list(p, r, why);
    case CALL_PEEK: return parse_peek(p, r, why);
    case CALL_DELETE: return parse_delete(p, r, why);
    case CALL_PURGE: return parse_purge(p, r, why);
    case CALL_REDRIVE: return query_parse(p->request->query, none, p->arena, why) && parse_redrive(p, r, why);
    case CALL_LIST_TOPICS: return parse_list(p, r, why);
    case CALL_PUT_TOPIC: return query_parse(p->request->query, none, p->arena, why) && parse_put_topic(p, r, why);
    case CALL_BIND: return query_parse(p->request->query, none, p->arena, why) && parse_bind(p, r, why);
    case CALL_DECLARE: return query_parse(p->request->query, none, p->arena, why) && parse_declare(p, r, why);
    default: return query_parse(p->request->query, none, p->arena, why);
    }
}

enum api_answer parse_call(struct parsing *p, const struct api_route *route)
{
    struct error why;
    struct request *r = &p->command->u.call.request;
    r->call = route->call;
    r->queue = p->command->queue;
    r->topic = p->command->topic ? p->command->topic : "";
    if (r->call == CALL_EXPLAIN)
        r->u.explain.sequence = p->command->sequence;
    if (r->call == CALL_CANCEL)
        r->u.cancel.sequence = p->command->sequence;
    p->command->u.call.ledger_only = strstr(route->pattern, "/ledger") != NULL;
    return parse_by_call(p, r, &why) ? API_COMMAND : respond_invalid(&why, p->arena, p->out);
}
