/* Parses one setting from text, from any source: defaults, YAML, the environment or a flag. */
#include "base/settings_priv.h"

#include "base/units.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void *field(const struct setting *row, void *options)
{
    return (char *)options + row->offset;
}

static void set_number(const struct setting *row, void *options, int64_t value)
{
    switch (row->type) {
    case SETTING_BOOL: *(bool *)field(row, options) = value != 0; break;
    case SETTING_DURATION: *(int64_t *)field(row, options) = value; break;
    case SETTING_NUMBER:
    case SETTING_SIZE: *(uint64_t *)field(row, options) = (uint64_t)value; break;
    case SETTING_STRING:
    case SETTING_STRINGS: break;
    }
}

static void list_free(struct setting_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct setting_list){ 0 };
}

void settings_defaults(const struct settings *s, void *options)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct setting *row = &s->rows[i];
        if (row->type == SETTING_STRING)
            *(char **)field(row, options) = row->text ? xstrdup(row->text) : NULL;
        else if (row->type == SETTING_STRINGS)
            *(struct setting_list *)field(row, options) = (struct setting_list){ 0 };
        else
            set_number(row, options, row->number);
    }
}

void settings_free(const struct settings *s, void *options)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct setting *row = &s->rows[i];
        if (row->type == SETTING_STRING) {
            free(*(char **)field(row, options));
            *(char **)field(row, options) = NULL;
        } else if (row->type == SETTING_STRINGS) {
            list_free(field(row, options));
        }
    }
}

const struct setting *settings_find(const struct settings *s, const char *key)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->rows[i].key, key) == 0)
            return &s->rows[i];
    }
    return NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_list(const struct setting_list *a, const struct setting_list *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; i < a->count && same; i++)
        same = strcmp(a->items[i], b->items[i]) == 0;
    return same;
}

static bool same_value(const struct setting *row, const void *a, const void *b)
{
    const char *at = (const char *)a + row->offset, *other = (const char *)b + row->offset;
    switch (row->type) {
    case SETTING_STRING: return same_text(*(char *const *)(const void *)at, *(char *const *)(const void *)other);
    case SETTING_STRINGS: return same_list((const void *)at, (const void *)other);
    case SETTING_BOOL: return *(const bool *)at == *(const bool *)other;
    case SETTING_DURATION:
    case SETTING_NUMBER:
    case SETTING_SIZE: break;
    }
    return memcmp(at, other, sizeof(uint64_t)) == 0;
}

bool settings_differ(const struct settings *s, const void *a, const void *b, char *out, size_t size)
{
    size_t used = 0;
    *out = '\0';
    for (size_t i = 0; i < s->count; i++) {
        const char *key = s->rows[i].key;
        if (same_value(&s->rows[i], a, b) || used + strlen(key) + 3 > size)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", key);
    }
    return used > 0;
}

/* ------------------------------------------------------------------ values */

static bool parse_bool(const char *text, int64_t *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static bool parse_value(const struct setting *row, const char *text, int64_t *out)
{
    uint64_t bytes;
    switch (row->type) {
    case SETTING_BOOL: return parse_bool(text, out);
    case SETTING_DURATION: return duration_parse(span_str(text), out);
    case SETTING_NUMBER:
    case SETTING_SIZE:
        if (!size_parse(span_str(text), &bytes) || bytes > INT64_MAX)
            return false;
        if (row->type == SETTING_NUMBER && strspn(text, "0123456789") != strlen(text))
            return false;
        *out = (int64_t)bytes;
        return true;
    case SETTING_STRING:
    case SETTING_STRINGS: break;
    }
    return true;
}

static bool refuse_value(const struct setting *row, const char *text, struct error *e)
{
    static const char *const wanted[] = {
        [SETTING_STRING] = "text",
        [SETTING_BOOL] = "true or false",
        [SETTING_NUMBER] = "a whole number",
        [SETTING_DURATION] = "a duration like 250ms, 30s or 2m",
        [SETTING_SIZE] = "a size like 65536, 64MiB or 1GB",
        [SETTING_STRINGS] = "a list",
    };
    return error_set(e, "'%s' must be %s, not '%s'", row->key, wanted[row->type], text);
}

static void format_bound(const struct setting *row, int64_t value, char out[32])
{
    if (row->type == SETTING_DURATION)
        duration_format(value, out);
    else if (row->type == SETTING_SIZE)
        size_format((uint64_t)value, out);
    else
        snprintf(out, 32, "%lld", (long long)value);
}

void settings_list_add(const struct setting *row, void *options, const char *value)
{
    struct setting_list *list = field(row, options);
    list->items = xrealloc(list->items, (list->count + 1) * sizeof(char *));
    list->items[list->count++] = xstrdup(value);
}

void settings_list_clear(const struct setting *row, void *options)
{
    list_free(field(row, options));
}

bool settings_apply(const struct setting *row, void *options, const char *value, struct error *e)
{
    int64_t number = 0;
    if (row->type == SETTING_STRING) {
        char **text = field(row, options);
        free(*text);
        *text = xstrdup(value);
        return true;
    }
    if (row->type == SETTING_STRINGS) {
        settings_list_add(row, options, value);
        return true;
    }
    if (!parse_value(row, value, &number))
        return refuse_value(row, value, e);
    if ((row->min || row->max) && (number < row->min || number > row->max)) {
        char least[32], most[32];
        format_bound(row, row->min, least);
        format_bound(row, row->max, most);
        return error_set(e, "'%s' must be between %s and %s, not %s", row->key, least, most, value);
    }
    set_number(row, options, number);
    return true;
}

/* ------------------------------------------------------------------ suggestions for unknown keys */

size_t settings_distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (n >= 64 || strlen(a) >= 64)
        return 64;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t least = row[j - 1] < row[j] ? row[j - 1] + 1 : row[j] + 1;
            row[j] = change < least ? change : least;
        }
    }
    return row[n];
}

/* A typo changes only a few letters, however long the name is. */
#define NEAR_MOST 6u

const char *settings_closest(const char *const *names, size_t count, const char *wrong)
{
    const char *best = NULL;
    size_t least = strlen(wrong) / 2 + 1;
    least = least < NEAR_MOST ? least : NEAR_MOST;
    for (size_t i = 0; i < count; i++) {
        size_t distance = settings_distance(wrong, names[i]);
        if (distance < least) {
            least = distance;
            best = names[i];
        }
    }
    return best;
}

#define NAMES_MOST 192u
#define GROUP_SIZE 24u

/* The top-level part of a key: "app" of "app.name". */
static bool group_of(const char *key, char out[GROUP_SIZE])
{
    size_t size = strcspn(key, ".");
    snprintf(out, GROUP_SIZE, "%.*s", (int)size, key);
    return key[size] != '\0';
}

bool settings_refuse_key(const struct settings *s, const char *key, struct error *e)
{
    const char *names[NAMES_MOST];
    char groups[NAMES_MOST / 2][GROUP_SIZE];
    size_t count = 0;
    for (size_t i = 0; i < s->section_count; i++)
        names[count++] = s->sections[i].key;
    for (size_t i = 0; i < s->count && i < NAMES_MOST / 2 && count + 2 <= NAMES_MOST; i++) {
        names[count++] = s->rows[i].key;
        if (group_of(s->rows[i].key, groups[i]))
            names[count++] = groups[i];
    }
    const char *closest = settings_closest(names, count, key);
    if (closest && strcmp(closest, key) == 0)
        return error_set(e, "'%s' has no value of its own, but keys below it", key);
    if (closest)
        return error_set(e, "unknown key '%s'; did you mean '%s'?", key, closest);
    return error_set(e, "unknown key '%s'", key);
}

bool settings_set(const struct settings *s, void *options, const char *key, const char *value, struct error *e)
{
    const struct setting *row = settings_find(s, key);
    return row ? settings_apply(row, options, value, e) : settings_refuse_key(s, key, e);
}
