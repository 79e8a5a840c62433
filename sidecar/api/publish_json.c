/* The body of a publish in JSON. A single pass validates it and reads its events, because another pass over a long
 * batch would cost as much as all the rest. Only if something is wrong it is read again, so that a syntax error
 * anywhere in the body is reported before any other error. */
#include "base/utf8.h"
#include "sidecar/api/event_json.h"
#include "sidecar/api/parse.h"

static bool read_event(struct parsing *p, struct scan *outer, struct error *why)
{
    struct attribute attributes[EVENT_ATTRIBUTES_MAX]; /* until the event is encoded */
    struct event e;
    struct scan object;
    if (!scan_enter(outer, '{', &object))
        return error_set(why, "a CloudEvent is a JSON object");
    if (!event_json_scan(&object, attributes, p->arena, &e, why) || !publish_add_event(p, &e, false, why))
        return false;
    scan_leave(outer, &object);
    return true;
}

/* Is the body valid JSON? *out is its value. */
static bool check_syntax(struct parsing *p, struct scan_value *out, struct error *why)
{
    size_t stopped;
    if (!utf8_valid(p->request->body))
        return error_set(why, "the body is not UTF-8");
    if (scan_text_at(p->request->body, out, &stopped))
        return true;
    if (stopped == p->request->body.size)
        return error_set(why, "the body is not valid JSON: it ends too early, after %zu bytes", stopped);
    return error_set(why, "the body is not valid JSON, or nested more than %u deep: see byte %zu", SCAN_DEPTH_MAX,
                     stopped);
}

bool publish_json(struct parsing *p, struct error *why)
{
    struct error found;
    struct scan_value value;
    struct scan text = scan_begin(p->request->body);
    if (utf8_valid(p->request->body) && read_event(p, &text, &found) && scan_ended(&text))
        return true;
    if (check_syntax(p, &value, why))
        *why = found;
    return false;
}

/* ------------------------------------------------------------------ batches */

static bool read_batch(struct parsing *p, struct error *why)
{
    enum scan_status status;
    struct scan array, text = scan_begin(p->request->body);
    size_t i = 0;
    if (!scan_enter(&text, '[', &array))
        return error_set(why, "a batch is a JSON array of CloudEvents");
    for (; (status = scan_next(&array)) == SCAN_OK; i++) {
        if (!publish_count(p, i + 1, why))
            return false;
        if (!read_event(p, &array, why))
            return publish_error_at(i, why);
    }
    scan_leave(&text, &array);
    return status == SCAN_END && scan_ended(&text) && publish_count(p, i, why);
}

static bool explain(struct parsing *p, struct error *why)
{
    struct error found = *why;
    struct scan_value value, element;
    bool too_large = p->too_large;
    size_t count = 0;
    if (!check_syntax(p, &value, why))
        return false;
    if (value.kind == SCAN_ARRAY) {
        for (struct scan s = scan_open(value.raw); scan_element(&s, &element) == SCAN_OK;)
            count++;
        if (!publish_count(p, count, why))
            return false;
    }
    *why = found;
    p->too_large = too_large;
    return false;
}

bool publish_json_batch(struct parsing *p, struct error *why)
{
    error_set(why, "the body is not a batch of CloudEvents");
    return (utf8_valid(p->request->body) && read_batch(p, why)) || explain(p, why);
}
