#include "sidecar/api/accept.h"

#include "sidecar/api/event_http.h"

#include <strings.h>

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
    while (s.size && is_space(s.data[0]))
        s = span_of(s.data + 1, s.size - 1);
    while (s.size && is_space(s.data[s.size - 1]))
        s.size--;
    return s;
}

/* The part before the first `by`, without white space around it; *rest becomes what follows. */
static struct span next_part(struct span *rest, uint8_t by)
{
    const uint8_t *at = rest->size ? memchr(rest->data, by, rest->size) : NULL;
    struct span part = at ? span_of(rest->data, (size_t)(at - rest->data)) : *rest;
    *rest = at ? span_of(at + 1, rest->size - part.size - 1) : span_of(NULL, 0);
    return trim(part);
}

/* "0.25" is 250. Anything that is not a number counts as 1 (1,000): the range was listed to be accepted. */
static unsigned parse_quality(struct span text)
{
    unsigned value = 0, digit = 1000;
    if (text.size == 0 || text.data[0] != '0')
        return 1000;
    for (size_t i = 2; i < text.size && digit > 1; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            break;
        digit /= 10;
        value += (unsigned)(text.data[i] - '0') * digit;
    }
    return value;
}

/* The precision with which the range covers the type; 0: not at all. */
static unsigned precision_of(struct span range, const char *type)
{
    size_t main = (size_t)(strchr(type, '/') - type) + 1;
    if (header_name_is(range, type))
        return 3;
    if (range.size == main + 1 && strncasecmp((const char *)range.data, type, main) == 0 && range.data[main] == '*')
        return 2;
    return span_equal(range, span_str("*/*"));
}

static void weigh(struct span item, const char *type, struct preference *best)
{
    struct span range = next_part(&item, ';');
    unsigned precision = precision_of(range, type);
    if (precision == 0 || precision < best->precision)
        return;
    *best = (struct preference){ 1000, precision };
    while (item.size) {
        struct span parameter = next_part(&item, ';');
        if (parameter.size > 2 && (parameter.data[0] | 0x20) == 'q' && parameter.data[1] == '=')
            best->quality = parse_quality(span_of(parameter.data + 2, parameter.size - 2));
    }
}

struct preference accept_preference(const struct api_request *r, const char *type)
{
    struct preference best = { 0 };
    bool any = false;
    for (size_t i = 0; i < r->header_count; i++) {
        struct span rest = r->headers[i].value;
        if (!header_name_is(r->headers[i].name, "Accept"))
            continue;
        while (rest.size) {
            struct span item = next_part(&rest, ',');
            any |= item.size != 0;
            if (item.size)
                weigh(item, type, &best);
        }
    }
    if (!any)
        best.quality = 1000;
    return best;
}

bool preference_above(struct preference first, struct preference second)
{
    return first.quality != second.quality ? first.quality > second.quality : first.precision > second.precision;
}
