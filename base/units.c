#include "base/units.h"

#include <stdio.h>

#define DURATION_MAX_MS (INT64_C(10) * 366 * 86400 * 1000)

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Parses a decimal number with up to nine digits after the point, times `scale`. */
static bool scan_number(struct span *text, uint64_t *whole, uint64_t *billionths)
{
    size_t i = 0;
    *whole = *billionths = 0;
    while (i < text->size && is_digit(text->data[i])) {
        if (*whole > UINT64_MAX / 100)
            return false;
        *whole = *whole * 10 + (uint64_t)(text->data[i++] - '0');
    }
    if (i == 0)
        return false;
    if (i < text->size && text->data[i] == '.') {
        size_t start = ++i;
        uint64_t scale = 100000000;
        for (; i < text->size && is_digit(text->data[i]); i++, scale /= 10)
            *billionths += (uint64_t)(text->data[i] - '0') * scale;
        if (i == start)
            return false;
    }
    *text = span_of(text->data + i, text->size - i);
    return true;
}

static bool unit_is(struct span text, const char *unit)
{
    return span_equal(text, span_str(unit));
}

bool duration_parse(struct span text, int64_t *ms)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = { { "ns", 1 },          { "us", 1000 },         { "ms", 1000000 },      { "s", 1000000000 },
                  { "m", 60000000000 }, { "h", 3600000000000 }, { "d", 86400000000000 } };
    uint64_t whole, billionths;
    if (!scan_number(&text, &whole, &billionths))
        return false;
    if (text.size == 0 && whole == 0 && billionths == 0) {
        *ms = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!unit_is(text, units[i].name))
            continue;
        long double ns = ((long double)whole + (long double)billionths / 1e9L) * (long double)units[i].ns;
        if (ns > (long double)DURATION_MAX_MS * 1e6L)
            return false;
        *ms = (int64_t)(ns / 1e6L + 0.0000005L);
        return true;
    }
    return false;
}

void duration_format(int64_t ms, char *out)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
    for (size_t i = 0;; i++) {
        if (units[i].ms == 1 || (ms != 0 && ms % units[i].ms == 0) || (ms == 0 && units[i].ms == 1000)) {
            snprintf(out, 24, "%lld%s", (long long)(ms / units[i].ms), units[i].name);
            return;
        }
    }
}

void size_format(uint64_t bytes, char *out)
{
    static const char *const units[] = { "", "KiB", "MiB", "GiB", "TiB" };
    size_t i = 0;
    for (; bytes && bytes % 1024 == 0 && i + 1 < sizeof units / sizeof *units; i++)
        bytes /= 1024;
    snprintf(out, 24, "%llu%s", (unsigned long long)bytes, units[i]);
}

bool size_parse(struct span text, uint64_t *bytes)
{
    static const struct {
        const char *name;
        uint64_t factor;
    } units[] = { { "", 1 },
                  { "B", 1 },
                  { "k", 1000 },
                  { "kB", 1000 },
                  { "M", 1000000 },
                  { "MB", 1000000 },
                  { "G", 1000000000 },
                  { "GB", 1000000000 },
                  { "Ki", UINT64_C(1) << 10 },
                  { "KiB", UINT64_C(1) << 10 },
                  { "Mi", UINT64_C(1) << 20 },
                  { "MiB", UINT64_C(1) << 20 },
                  { "Gi", UINT64_C(1) << 30 },
                  { "GiB", UINT64_C(1) << 30 },
                  { "Ti", UINT64_C(1) << 40 },
                  { "TiB", UINT64_C(1) << 40 } };
    uint64_t whole, billionths;
    if (!scan_number(&text, &whole, &billionths))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!unit_is(text, units[i].name))
            continue;
        if (whole > UINT64_MAX / units[i].factor / 2 || (units[i].factor == 1 && billionths))
            return false; /* a fraction of a byte */
        *bytes = whole * units[i].factor + (uint64_t)((long double)billionths / 1e9L * (long double)units[i].factor);
        return true;
    }
    return false;
}

static bool is_alphanumeric(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool name_valid(struct span name)
{
    if (name.size == 0 || name.size > NAME_MAX_SIZE || !is_alphanumeric(name.data[0]))
        return false;
    for (size_t i = 1; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!is_alphanumeric(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}
