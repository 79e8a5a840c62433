/* When events may be delivered: a publish says it for all its events, by Sluice-Delay or Sluice-Not-Before; when one expires
 * is in the event, for its consumers to see. */
#include "base/units.h"
#include "sidecar/api/event_http.h"
#include "sidecar/api/parse.h"

#define TIME_LIKE "an RFC 3339 time like 2030-01-02T03:04:05Z"

bool parse_terms(struct parsing *p, struct error *why)
{
    struct client_terms *t = &p->command->u.publish.terms;
    struct span delay = header_find(p->request, "Sluice-Delay");
    struct span not_before = header_find(p->request, "Sluice-Not-Before");
    int64_t ms = 0;
    if (delay.data && not_before.data)
        return error_set(why, "headers 'Sluice-Delay' and 'Sluice-Not-Before' exclude each other; give one of them");
    if (delay.data && !duration_parse(delay, &ms))
        return error_set(why, "header 'Sluice-Delay' must be a duration like 1500ms, 30s or 2h");
    t->delay_ms = (uint64_t)ms;
    return !not_before.data || timestamp_parse_ms(not_before, &t->not_before_ms) ||
           error_set(why, "header 'Sluice-Not-Before' must be " TIME_LIKE);
}

bool parse_expiry(const struct event *e, struct client_terms *t, struct error *why)
{
    for (size_t i = 0; i < e->attribute_count; i++) {
        const struct attribute *a = &e->attributes[i];
        if (span_equal(a->name, span_str("expirytime")))
            return timestamp_parse_ms(a->text, &t->expires_ms) ||
                   error_set(why, "attribute 'expirytime' must be " TIME_LIKE);
    }
    return true;
}
