#include "clients/cli/cli.h"

#include <stdio.h>

long long json_number_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) ? (long long)json_integer_value(v) : (long long)json_number_value(v);
}

const char *json_text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

const char *cli_size(long long bytes, char out[16])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double n = (double)bytes;
    unsigned unit = 0;
    for (; n >= 1024 && unit < 4; unit++)
        n /= 1024;
    snprintf(out, 16, unit && n < 10 ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return out;
}

void cli_print_plain(struct span text, size_t most)
{
    for (size_t i = 0; i < text.size && i < most; i++)
        putchar(text.data[i] < 0x20 || text.data[i] == 0x7f ? '.' : text.data[i]);
    if (text.size > most)
        fputs("...", stdout);
}
