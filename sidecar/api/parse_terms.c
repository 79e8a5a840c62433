/* The terms of a publish: when its events may be delivered, and when they expire. Sluice-Delay or Sluice-Not-Before set
 * the first for all its events. Sluice-TTL sets the second for all of them; or each event has its own attribute, which
 * consumers see, too. */
#include "base/settings.h"
#include "base/units.h"
#include "sidecar/api/event_http.h"
#include "sidecar/api/parse.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define PREFIX    "Sluice-"
#define TIME_LIKE "an RFC 3339 time like 2030-01-02T03:04:05Z"

static const char *const known[] = { "wait", "delay", "not-before", "ttl" };
static const char *const names[] = { "Sluice-Wait", "Sluice-Delay", "Sluice-Not-Before", "Sluice-TTL" };
/* The headers of a push, which are ignored: an application that forwards a push may forward its headers as well. */
static const char *const of_pushes[] = { "Sluice-Queue", "Sluice-Sequence", "Sluice-Attempt", "Sluice-Consumer-Epoch" };

#define COUNT(list) (sizeof(list) / sizeof *(list))

static bool is_among(struct span name, const char *const *list, size_t count)
{
    size_t i = 0;
    while (i < count && !header_name_is(name, list[i]))
        i++;
    return i < count;
}

/* How much of the request's text a message quotes. */
static int shown(struct span text)
{
    return (int)(text.size < 60 ? text.size : 60);
}

/* Searches the closest known name without the common prefix, which would make any two names look similar. */
static bool refuse_header(struct span name, struct error *why)
{
    char wrong[40] = "";
    size_t prefix = sizeof PREFIX - 1;
    for (size_t i = 0; prefix + i < name.size && i < sizeof wrong - 1; i++)
        wrong[i] = (char)tolower(name.data[prefix + i]);
    const char *near = settings_closest(known, COUNT(known), wrong);
    for (size_t i = 0; near && i < COUNT(known); i++) {
        if (near == known[i])
            return error_set(why, "unknown header '%.*s'; did you mean '%s'?", shown(name), (const char *)name.data,
                             names[i]);
    }
    return error_set(why, "unknown header '%.*s'; known here: %s, %s, %s, %s", shown(name), (const char *)name.data,
                     names[0], names[1], names[2], names[3]);
}

/* Repeated headers are refused, because either value could be the one that was meant. */
static bool is_once(const struct api_request *r, const char *name, struct error *why)
{
    unsigned times = 0;
    for (size_t i = 0; i < r->header_count; i++)
        times += header_name_is(r->headers[i].name, name);
    return times <= 1 || error_set(why, "header '%s' is given twice", name);
}

static bool check_names(const struct api_request *r, struct error *why)
{
    bool any = false;
    for (size_t i = 0; i < r->header_count; i++) {
        struct span name = r->headers[i].name;
        bool ours =
            name.size >= sizeof PREFIX - 1 && strncasecmp((const char *)name.data, PREFIX, sizeof PREFIX - 1) == 0;
        if (ours && !is_among(name, names, COUNT(names)) && !is_among(name, of_pushes, COUNT(of_pushes)))
            return refuse_header(name, why);
        any |= ours;
    }
    for (size_t i = 0; i < COUNT(names) && any; i++) {
        if (!is_once(r, names[i], why))
            return false;
    }
    return is_once(r, "Idempotency-Key", why);
}

static bool parse_ttl(struct parsing *p, struct error *why)
{
    struct span ttl = header_find(p->request, "Sluice-TTL");
    int64_t ms = 0;
    if (!ttl.data)
        return true;
    if (!duration_parse(ttl, &ms) || ms == 0)
        return error_set(
            why, "header 'Sluice-TTL' must be a duration above 0 like 1500ms, 30s or 2h, at most " DURATION_MOST);
    p->ttl = true;
    p->command->u.publish.terms.expires_ms = p->now.wall.ms + ms;
    return true;
}

/* Is the TTL longer than the delay? Otherwise the broker would accept events that can never be delivered. */
static bool lasts(const struct parsing *p, struct span delay, int64_t delay_ms, struct error *why)
{
    if (!p->ttl || !delay.data)
        return true;
    struct span ttl = header_find(p->request, "Sluice-TTL");
    return p->command->u.publish.terms.expires_ms - p->now.wall.ms > delay_ms ||
           error_set(why,
                     "Sluice-TTL %.*s includes Sluice-Delay %.*s and must be longer: these events would expire "
                     "undelivered",
                     shown(ttl), (const char *)ttl.data, shown(delay), (const char *)delay.data);
}

bool parse_terms(struct parsing *p, struct error *why)
{
    struct client_terms *t = &p->command->u.publish.terms;
    if (!check_names(p->request, why) || !parse_ttl(p, why))
        return false;
    struct span delay = header_find(p->request, "Sluice-Delay");
    struct span not_before = header_find(p->request, "Sluice-Not-Before");
    int64_t ms = 0;
    if (delay.data && not_before.data)
        return error_set(why, "headers 'Sluice-Delay' and 'Sluice-Not-Before' exclude each other; give one of them");
    if (delay.data && !duration_parse(delay, &ms))
        return error_set(why,
                         "header 'Sluice-Delay' must be a duration like 1500ms, 30s or 2h, at most " DURATION_MOST);
    t->delay_ms = (uint64_t)ms;
    if (!lasts(p, delay, ms, why))
        return false;
    return !not_before.data || timestamp_parse_ms(not_before, &t->not_before_ms) ||
           error_set(why, "header 'Sluice-Not-Before' must be " TIME_LIKE);
}

bool parse_expiry(const struct parsing *p, const struct event *e, struct client_terms *t, struct error *why)
{
    for (size_t i = 0; i < e->attribute_count; i++) {
        const struct attribute *a = &e->attributes[i];
        if (!span_equal(a->name, span_str("expirytime")))
            continue;
        if (p->ttl)
            return error_set(why,
                             "header 'Sluice-TTL' and attribute 'expirytime' exclude each other; give one of them");
        return timestamp_parse_ms(a->text, &t->expires_ms) ||
               error_set(why, "attribute 'expirytime' must be " TIME_LIKE);
    }
    return true;
}
