#include "sidecar/api/query.h"

#include "base/units.h"
#include "base/utf8.h"

#include <stdio.h>

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool percent_decode(struct span text, bool plus, struct arena *a, struct span *out)
{
    if (text.size == 0 || (!memchr(text.data, '%', text.size) && !(plus && memchr(text.data, '+', text.size)))) {
        *out = text;
        return true;
    }
    uint8_t *to = arena_alloc(a, text.size + 1);
    size_t size = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.size ? hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0 || (high | low) == 0)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        to[size++] = c;
    }
    *out = span_of(to, size);
    return true;
}

static struct query_parameter *find(struct query_parameter *known, struct span name)
{
    for (; known->name; known++) {
        if (span_equal(span_str(known->name), name))
            return known;
    }
    return NULL;
}

static bool refuse_unknown(struct span name, const struct query_parameter *known, struct error *why)
{
    char list[200] = "none";
    size_t used = 0;
    for (; known->name && used < sizeof list; known++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", known->name);
    return error_set(why, "unknown query parameter '%.*s'; known here: %s", (int)(name.size < 60 ? name.size : 60),
                     (const char *)name.data, list);
}

bool query_parse(struct span query, struct query_parameter *known, struct arena *a, struct error *why)
{
    const uint8_t *at = query.data, *end = query.data + query.size;
    while (at < end) {
        const uint8_t *next = memchr(at, '&', (size_t)(end - at));
        struct span pair = span_of(at, (size_t)((next ? next : end) - at));
        at = next ? next + 1 : end;
        if (pair.size == 0)
            continue;
        const uint8_t *equals = memchr(pair.data, '=', pair.size);
        struct span name = span_of(pair.data, equals ? (size_t)(equals - pair.data) : pair.size);
        struct span value = equals ? span_of(equals + 1, pair.size - name.size - 1) : span_str("");
        if (!percent_decode(name, true, a, &name) || !percent_decode(value, true, a, &value) || !utf8_valid(name) ||
            !utf8_valid(value))
            return error_set(why, "the query string holds a broken percent-encoding");
        struct query_parameter *p = find(known, name);
        if (!p)
            return refuse_unknown(name, known, why);
        if (p->present)
            return error_set(why, "query parameter '%s' is given twice", p->name);
        p->value = value;
        p->present = true;
    }
    return true;
}

bool query_number(const struct query_parameter *p, uint64_t *out, struct error *why)
{
    uint64_t value = 0;
    if (!p->present)
        return true;
    bool fine = p->value.size > 0 && p->value.size <= 16;
    for (size_t i = 0; fine && i < p->value.size; i++) {
        fine = p->value.data[i] >= '0' && p->value.data[i] <= '9';
        value = value * 10 + (uint64_t)(p->value.data[i] - '0');
    }
    if (!fine)
        return error_set(why, "query parameter '%s' must be a whole number", p->name);
    *out = value;
    return true;
}

bool query_duration(const struct query_parameter *p, int64_t *ms, struct error *why)
{
    return !p->present || duration_parse(p->value, ms) ||
           error_set(why, "query parameter '%s' must be a duration like 250ms, 2s or 1m, at most " DURATION_MOST,
                     p->name);
}

bool query_bool(const struct query_parameter *p, bool *out, struct error *why)
{
    if (!p->present)
        return true;
    *out = span_equal(p->value, span_str("true"));
    return *out || span_equal(p->value, span_str("false")) ||
           error_set(why, "query parameter '%s' must be true or false", p->name);
}
