/* Taking and settling. */
#include "base/units.h"
#include "sidecar/api/accept.h"
#include "sidecar/api/parse.h"
#include "sidecar/api/query.h"
#include "sidecar/api/respond.h"

#include <jansson.h>

#define RECEIPT_MAX 200u
#define SETTLES_MAX 1000u

/* JSON, unless the client prefers protobuf. False if it accepts neither. */
static bool choose_format(const struct api_request *r, enum api_format *out)
{
    struct preference json = accept_preference(r, "application/json");
    struct preference protobuf = accept_preference(r, "application/cloudevents-batch+protobuf");
    *out = preference_above(protobuf, json) ? API_PROTOBUF : API_JSON;
    return json.quality || protobuf.quality;
}

enum api_answer parse_take(struct parsing *p)
{
    struct query_parameter known[] = { { .name = "max" }, { .name = "wait" }, { 0 } };
    struct error why;
    uint64_t max = 1;
    int64_t wait = 0;
    if (!query_parse(p->request->query, known, p->arena, &why) || !query_number(&known[0], &max, &why) ||
        !query_duration(&known[1], &wait, &why))
        return respond_invalid(&why, p->arena, p->out);
    if (max == 0) {
        error_set(&why, "query parameter 'max' must be at least 1");
        return respond_invalid(&why, p->arena, p->out);
    }
    if (!choose_format(p->request, &p->command->u.take.format)) {
        api_problem(REASON_not_acceptable, "take answers application/json or application/cloudevents-batch+protobuf", 0,
                    p->arena, p->out);
        return API_RESPONSE;
    }
    p->command->u.take.max = (uint32_t)(max < p->config->take_max ? max : p->config->take_max);
    p->command->u.take.wait_ms = wait < p->config->take_wait_max_ms ? wait : p->config->take_wait_max_ms;
    return API_COMMAND;
}

/* ------------------------------------------------------------------ acks */

/* Adds an ack, with this receipt, to the command. */
static bool add_settle(struct parsing *p, const struct receipt_ack *ack, const json_t *receipt, struct error *why)
{
    const char *text = json_string_value(receipt);
    size_t size = json_string_length(receipt);
    if (!text || size == 0 || size > RECEIPT_MAX)
        return error_set(why, "a receipt is a string of 1 to %u characters, as take gave it", RECEIPT_MAX);
    char *copy = arena_strndup(p->arena, text, size);
    if (!copy)
        return error_set(why, "too many receipts at once");
    struct receipt_ack *to = &p->command->u.acks.items[p->command->u.acks.count++];
    *to = *ack;
    to->receipt = span_of(copy, size);
    return true;
}

/* A duration of an item; if it is absent, `fallback`; a negative fallback makes it mandatory. */
static bool read_duration(const json_t *item, const char *name, int64_t fallback, int64_t *ms, struct error *why)
{
    const json_t *value = json_object_get(item, name);
    *ms = fallback;
    if (!value && fallback >= 0)
        return true;
    if (!json_is_string(value) || !duration_parse(span_of(json_string_value(value), json_string_length(value)), ms) ||
        *ms > LEASE_MAX_MS)
        return error_set(why, "'%s' must be a duration like \"30s\", at most 12h", name);
    return true;
}

/* The failure as the application describes it: a status of its own, and a text. */
static bool read_failure(struct parsing *p, const json_t *item, struct receipt_ack *ack, struct error *why)
{
    const json_t *status = json_object_get(item, "status"), *error = json_object_get(item, "error");
    if (status && (!json_is_integer(status) || json_integer_value(status) < 1 || json_integer_value(status) > 65535))
        return error_set(why, "'status' must be a whole number from 1 to 65535");
    if (error && !json_is_string(error))
        return error_set(why, "'error' must be a string");
    ack->status = (uint32_t)json_integer_value(status);
    if (!error)
        return true;
    size_t size = json_string_length(error);
    const char *copy = arena_strndup(p->arena, json_string_value(error), size);
    ack->error = span_of(copy, size);
    return copy || error_set(why, "too much text at once");
}

static bool add_ack(struct parsing *p, const json_t *item, struct error *why)
{
    return add_settle(p, &(struct receipt_ack){ .kind = SETTLE_ACK }, item, why);
}

/* Without a delay, a nacked event waits for the queue's back-off (ms 0); with a delay of "0s" it is redelivered at once
 * (ms 1). */
static bool add_nack(struct parsing *p, const json_t *item, struct error *why)
{
    static const char *const known[] = { "receipt", "delay", "status", "error", NULL };
    struct receipt_ack ack = { .kind = SETTLE_NACK };
    int64_t ms;
    if (json_is_string(item))
        return add_settle(p, &ack, item, why);
    if (!json_is_object(item))
        return error_set(why, "each item is a receipt, or an object {\"receipt\", \"delay\"}");
    if (!parse_keys(item, known, "receipt, delay, status, error", why) || !read_duration(item, "delay", 0, &ms, why) ||
        !read_failure(p, item, &ack, why))
        return false;
    ack.ms = json_object_get(item, "delay") && ms == 0 ? 1 : (uint64_t)ms;
    return add_settle(p, &ack, json_object_get(item, "receipt"), why);
}

/* A drop makes the event dead at once: it may have a status and an error, but no delay. */
static bool add_drop(struct parsing *p, const json_t *item, struct error *why)
{
    static const char *const known[] = { "receipt", "status", "error", NULL };
    struct receipt_ack ack = { .kind = SETTLE_DROP };
    if (json_is_string(item))
        return add_settle(p, &ack, item, why);
    if (!json_is_object(item))
        return error_set(why, "each item is a receipt, or an object {\"receipt\", \"status\", \"error\"}");
    return parse_keys(item, known, "receipt, status, error", why) && read_failure(p, item, &ack, why) &&
           add_settle(p, &ack, json_object_get(item, "receipt"), why);
}

static bool add_defer(struct parsing *p, const json_t *item, struct error *why)
{
    static const char *const known[] = { "receipt", "delay", NULL };
    struct receipt_ack ack = { .kind = SETTLE_DEFER };
    int64_t ms;
    if (!json_is_object(item))
        return error_set(why, "each item is an object {\"receipt\", \"delay\"}");
    if (!parse_keys(item, known, "receipt, delay", why) || !read_duration(item, "delay", -1, &ms, why))
        return false;
    ack.ms = (uint64_t)ms;
    return add_settle(p, &ack, json_object_get(item, "receipt"), why);
}

static bool add_extend(struct parsing *p, const json_t *item, struct error *why)
{
    static const char *const known[] = { "receipt", "by", NULL };
    struct receipt_ack ack = { .kind = SETTLE_EXTEND };
    int64_t ms;
    if (!json_is_object(item))
        return error_set(why, "each item is an object {\"receipt\", \"by\"}");
    if (!parse_keys(item, known, "receipt, by", why) || !read_duration(item, "by", -1, &ms, why))
        return false;
    ack.ms = (uint64_t)ms;
    return add_settle(p, &ack, json_object_get(item, "receipt"), why);
}

static bool add_release(struct parsing *p, const json_t *item, struct error *why)
{
    return add_settle(p, &(struct receipt_ack){ .kind = SETTLE_RELEASE }, item, why);
}

typedef bool add_fn(struct parsing *p, const json_t *item, struct error *why);

static bool read_list(struct parsing *p, const char *name, const json_t *list, add_fn *add, struct error *why)
{
    if (list && !json_is_array(list))
        return error_set(why, "'%s' must be a list", name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!add(p, json_array_get(list, i), why)) {
            struct error inner = *why;
            return error_set(why, "%s[%zu]: %.400s", name, i, inner.text);
        }
    }
    return true;
}

static bool read_acks(struct parsing *p, const json_t *body, struct error *why)
{
    static const char *const known[] = { "ack", "nack", "extend", "release", "defer", "drop", NULL };
    static add_fn *const add[] = { add_ack, add_nack, add_extend, add_release, add_defer, add_drop };
    size_t count = 0;
    if (!parse_keys(body, known, "ack, nack, extend, release, defer, drop", why))
        return false;
    for (size_t i = 0; known[i]; i++)
        count += json_array_size(json_object_get(body, known[i]));
    if (count > SETTLES_MAX)
        return error_set(why, "at most %u receipts at once", SETTLES_MAX);
    p->command->u.acks.items = arena_alloc(p->arena, (count + 1) * sizeof *p->command->u.acks.items);
    if (!p->command->u.acks.items)
        return error_set(why, "too many receipts at once");
    bool fine = true;
    for (size_t i = 0; known[i] && fine; i++)
        fine = read_list(p, known[i], json_object_get(body, known[i]), add[i], why);
    return fine;
}

enum api_answer parse_acks(struct parsing *p)
{
    struct error why;
    json_error_t where;
    if (!parse_no_query(p))
        return API_RESPONSE;
    if (p->request->body.size == 0) {
        error_set(&why, "the body is empty; it must be {\"ack\": [\"RECEIPT\", …]}");
        return respond_invalid(&why, p->arena, p->out);
    }
    json_t *body =
        json_loadb((const char *)p->request->body.data, p->request->body.size, JSON_REJECT_DUPLICATES, &where);
    bool fine = json_is_object(body) ? read_acks(p, body, &why)
                                     : error_set(&why, "the body must be {\"ack\": [\"RECEIPT\", …]}%s%s",
                                                 body ? "" : ": ", body ? "" : where.text);
    json_decref(body);
    return fine ? API_COMMAND : respond_invalid(&why, p->arena, p->out);
}
