#include "sidecar/api/origin.h"

#include "sidecar/api/event_http.h"
#include "sidecar/api/respond.h"

#include <strings.h>

/* How long a browser may cache the answer to a preflight. */
#define PREFLIGHT_AGE_S 600u
/* The response headers that a page may read in addition to those that are always readable. */
#define READABLE "Retry-After, Sluice-Consumer, Sluice-Consumer-Epoch, Sluice-Refused"

bool origin_is_listed(const struct setting_list *list, struct span value)
{
    for (size_t i = 0; list && i < list->count; i++) {
        if (header_name_is(value, list->items[i]))
            return true;
    }
    return false;
}

bool origin_is_allowed(const struct api_config *c, struct span origin, struct span host)
{
    if (origin_is_listed(c->origins, origin))
        return true;
    size_t scheme = origin.size > 8 && memcmp(origin.data, "https://", 8) == 0  ? 8
                    : origin.size > 7 && memcmp(origin.data, "http://", 7) == 0 ? 7
                                                                                : 0;
    return scheme && origin.size - scheme == host.size &&
           strncasecmp((const char *)origin.data + scheme, (const char *)host.data, host.size) == 0;
}

bool origin_is_preflight(const struct api_request *r)
{
    return span_equal(r->method, span_str("OPTIONS")) && header_find(r, "Origin").size &&
           header_find(r, "Access-Control-Request-Method").size;
}

static void repeat(struct api_response *out, struct arena *a, const char *name, struct span value)
{
    const char *text = value.size ? arena_strndup(a, (const char *)value.data, value.size) : NULL;
    if (text)
        respond_header(out, a, name, text);
}

static bool is_list_of_names(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') && !(c && strchr("-_., ", c)))
            return false;
    }
    return true;
}

/* Any header is allowed, because an event's attributes are headers, and their names are not known here. */
void origin_allow_preflight(const struct api_request *r, const char *methods, struct arena *a, struct api_response *out)
{
    struct span asked = header_find(r, "Access-Control-Request-Headers");
    *out = (struct api_response){ .status = 204 };
    respond_header(out, a, "Access-Control-Allow-Methods", methods);
    if (is_list_of_names(asked))
        repeat(out, a, "Access-Control-Allow-Headers", asked);
    respond_number_header(out, a, "Access-Control-Max-Age", PREFLIGHT_AGE_S);
}

void api_finish(const struct api_config *c, const struct api_request *r, struct arena *a, struct api_response *out)
{
    if (!c->origins || c->origins->count == 0)
        return;
    /* A cache must not use a response to one origin for another. */
    respond_header(out, a, "Vary", "Origin");
    struct span origin = header_find(r, "Origin");
    if (!origin_is_listed(c->origins, origin))
        return;
    repeat(out, a, "Access-Control-Allow-Origin", origin);
    respond_header(out, a, "Access-Control-Expose-Headers", READABLE);
}
