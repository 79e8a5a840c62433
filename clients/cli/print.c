#include "base/units.h"
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

/* A lead byte, and the bytes behind it that can only go on from it. */
static struct span next_character(const uint8_t *at, const uint8_t *end)
{
    size_t size = 1;
    while (at + size < end && (at[size] & 0xc0) == 0x80)
        size++;
    return span_of(at, size);
}

static bool is_plain(struct span character)
{
    uint8_t c = character.data[0];
    bool c1 = c == 0xc2 && character.size == 2 && character.data[1] < 0xa0; /* U+0080 to U+009F */
    return c >= 0x20 && c != 0x7f && !c1 && utf8_valid(character);
}

void cli_add_plain(struct buf *out, struct span text, size_t most)
{
    struct span shown = utf8_cut(text, most), character;
    for (const uint8_t *at = shown.data, *end = at + shown.size; at < end; at += character.size) {
        character = next_character(at, end);
        if (is_plain(character))
            buf_add(out, character.data, character.size);
        else
            buf_add_byte(out, '.');
    }
    if (text.size > most)
        buf_add_str(out, "...");
}

void cli_print_plain(struct span text, size_t most)
{
    struct buf plain = { 0 };
    cli_add_plain(&plain, text, most);
    if (plain.size) /* else there may be no data at all */
        fwrite(plain.data, 1, plain.size, stdout);
    buf_free(&plain);
}
