#include "base/utf8.h"
#include "clients/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

bool cli_draws(int fd)
{
    const char *kind = getenv("TERM");
    return isatty(fd) && !(kind && strcmp(kind, "dumb") == 0);
}

void cli_add_plain(struct buf *out, struct span text, size_t most)
{
    for (struct span rest = utf8_cut(text, most), character; rest.size;) {
        if (utf8_next(&rest, &character) && !utf8_is_control(character))
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
