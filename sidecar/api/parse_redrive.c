/* What a redrive is asked to do: {"sequences": [...], "to": "NAME", "dry_run": true}, each of them optional. */
#include "base/units.h"
#include "sidecar/api/parse.h"

#include <jansson.h>

/* An empty list is refused: where a program's own selection came out empty, "all" is the last thing it meant. */
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

static bool read_body(struct parsing *p, const json_t *body, struct request *r, struct error *why)
{
    static const char *const known[] = { "sequences", "to", "dry_run", NULL };
    const json_t *dry_run = json_object_get(body, "dry_run");
    if (dry_run && !json_is_boolean(dry_run))
        return error_set(why, "'dry_run' must be true or false");
    r->u.redrive.dry_run = json_is_true(dry_run);
    return parse_keys(body, known, "sequences, to, dry_run", why) &&
           read_sequences(p, json_object_get(body, "sequences"), r, why) &&
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
