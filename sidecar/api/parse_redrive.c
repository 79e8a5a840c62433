/* The body of a redrive: {"sequences": [...], "filter": {...}, "reason": "WHY", "to": "NAME", "rate": N, "dry_run":
 * true, "stop": true}, all optional. */
#include "base/units.h"
#include "proto/filter.h"
#include "sidecar/api/parse.h"

#include <jansson.h>
#include <stdio.h>

/* An empty list is refused: a program whose selection came out empty does not mean "all". */
static bool read_sequences(struct parsing *p, const json_t *list, struct request *r, struct error *why)
{
    size_t count = json_array_size(list);
    if (!list)
        return true;
    if (!json_is_array(list) || count == 0 || count > REDRIVE_SEQUENCES_MAX)
        return error_set(why, "'sequences' must be a list of 1 to %u sequences; leave it out to redrive all",
                         REDRIVE_SEQUENCES_MAX);
    uint64_t *sequences = arena_alloc(p->arena, count * sizeof *sequences);
    if (!sequences)
        return error_set(why, "too many sequences at once");
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_integer(item) || json_integer_value(item) < 1)
            return error_set(why, "sequences[%zu]: a sequence is a whole number above 0, as peek shows it", i);
        sequences[i] = (uint64_t)json_integer_value(item);
    }
    r->u.redrive.sequences = sequences;
    r->u.redrive.count = count;
    return true;
}

static bool read_target(struct parsing *p, const json_t *to, struct request *r, struct error *why)
{
    struct span name = span_of(json_string_value(to), json_string_length(to));
    if (!to)
        return true;
    if (!json_is_string(to) || !name_valid(name))
        return error_set(why, "'to' must be the name of a queue; leave it out for the queue itself");
    r->u.redrive.to = arena_strndup(p->arena, (const char *)name.data, name.size);
    return r->u.redrive.to || error_set(why, "too much text at once");
}

static bool read_filter(struct parsing *p, const json_t *filter, struct request *r, struct error *why)
{
    struct buf encoded = { 0 };
    if (!filter)
        return true;
    bool fine = filter_from_json(filter, "filter", &encoded, why);
    uint8_t *kept = fine ? arena_alloc(p->arena, encoded.size) : NULL;
    if (kept) {
        memcpy(kept, encoded.data, encoded.size);
        r->u.redrive.filter = span_of(kept, encoded.size);
    }
    buf_free(&encoded);
    return kept || !fine ? fine : error_set(why, "too much text at once");
}

static bool refuse_reason(struct error *why)
{
    char list[200] = "";
    size_t used = 0;
    for (unsigned i = DEAD_NOT + 1; i <= DEAD_LAST && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                 i == DEAD_NOT + 1 ? ""
                                 : i == DEAD_LAST  ? " or "
                                                   : ", ",
                                 dead_reason_name(i));
    return error_set(why, "'reason' must be why they are dead, as peek shows it: %s", list);
}

static bool read_reason(const json_t *reason, struct request *r, struct error *why)
{
    if (!reason)
        return true;
    for (unsigned i = DEAD_NOT + 1; json_is_string(reason) && i <= DEAD_LAST; i++) {
        if (strcmp(dead_reason_name((enum dead_reason)i), json_string_value(reason)) == 0)
            r->u.redrive.reason = i;
    }
    return r->u.redrive.reason || refuse_reason(why);
}

static bool read_rate(const json_t *rate, struct request *r, struct error *why)
{
    json_int_t n = json_integer_value(rate);
    r->u.redrive.rate = (uint32_t)(n > 0 && n <= REDRIVE_RATE_MAX ? n : 0);
    return !rate || r->u.redrive.rate ||
           error_set(why, "'rate' must be a whole number of events a second, 1 to %u; leave it out to redrive at once",
                     REDRIVE_RATE_MAX);
}

static bool read_switch(const json_t *body, const char *key, bool *out, struct error *why)
{
    const json_t *value = json_object_get(body, key);
    *out = json_is_true(value);
    return !value || json_is_boolean(value) || error_set(why, "'%s' must be true or false", key);
}

static bool read_stop(const json_t *body, struct request *r, struct error *why)
{
    return read_switch(body, "stop", &r->u.redrive.stop, why) &&
           (!r->u.redrive.stop || json_object_size(body) == 1 ||
            error_set(why, "'stop' ends the redrive that is under way, and nothing else: leave the other keys out"));
}

static bool read_body(struct parsing *p, const json_t *body, struct request *r, struct error *why)
{
    static const char *const known[] = { "sequences", "filter", "reason", "to", "rate", "dry_run", "stop", NULL };
    return parse_keys(body, known, "sequences, filter, reason, to, rate, dry_run, stop", why) &&
           read_switch(body, "dry_run", &r->u.redrive.dry_run, why) && read_stop(body, r, why) &&
           read_sequences(p, json_object_get(body, "sequences"), r, why) &&
           read_filter(p, json_object_get(body, "filter"), r, why) &&
           read_reason(json_object_get(body, "reason"), r, why) && read_rate(json_object_get(body, "rate"), r, why) &&
           read_target(p, json_object_get(body, "to"), r, why);
}

bool parse_redrive(struct parsing *p, struct request *r, struct error *why)
{
    json_error_t where;
    struct span body = p->request->body;
    r->u.redrive.to = "";
    if (body.size == 0)
        return true;
    json_t *object = json_loadb((const char *)body.data, body.size, JSON_REJECT_DUPLICATES, &where);
    bool fine = json_is_object(object)
                    ? read_body(p, object, r, why)
                    : error_set(why, "the body must be {\"sequences\": [N, …]}, or empty for all%s%s",
                                object ? "" : ": ", object ? "" : where.text);
    json_decref(object);
    return fine;
}
