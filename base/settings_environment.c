/* Settings from the environment, and warnings about variables that look like settings. */
#include "base/settings_priv.h"

#include "base/log.h"
#include "base/units.h"
#include "base/xalloc.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_SIZE 80u

static void environment_name(const char *key, char out[NAME_SIZE])
{
    size_t size = (size_t)snprintf(out, NAME_SIZE, "SLUICE_%s", key);
    for (size_t i = 7; i < size && i < NAME_SIZE - 1; i++)
        out[i] = out[i] == '.' || out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static bool set_from(const struct setting *row, void *options, const char *value, struct error *e)
{
    if (row->type != SETTING_STRINGS)
        return settings_apply(row, options, value, e);
    char *copy = xstrdup(value), *rest = copy, *item;
    settings_list_clear(row, options);
    while ((item = strsep(&rest, ",")) != NULL) {
        item += strspn(item, " ");
        for (size_t size = strlen(item); size && item[size - 1] == ' ';)
            item[--size] = '\0';
        if (*item)
            settings_list_add(row, options, item);
    }
    free(copy);
    return true;
}

bool settings_read_environment(const struct settings *s, void *options, char *const *environment, struct error *e)
{
    for (size_t i = 0; i < s->count; i++) {
        char name[NAME_SIZE];
        environment_name(s->rows[i].key, name);
        size_t size = strlen(name);
        for (char *const *at = environment; at && *at; at++) {
            if (strncmp(*at, name, size) != 0 || (*at)[size] != '=')
                continue;
            struct error inner;
            if (!set_from(&s->rows[i], options, *at + size + 1, &inner))
                return error_set(e, "%s in the environment: %.400s", name, inner.text);
        }
    }
    return true;
}

/* ------------------------------------------------------------------ unknown variables */

/* Up to this distance a name is a typo; farther away it may belong to another program. */
#define SLIP_MOST 2u

/* Variables that Kubernetes injects for a Service named sluice, and those of the `sluice` command. */
static bool is_foreign(const char *name)
{
    static const char *const own[] = { "SLUICE_CONFIG", "SLUICE_URL", "SLUICE_OPS_URL", "SLUICE_TOKEN",
                                       "SLUICE_BROKER" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (strcmp(name, own[i]) == 0)
            return true;
    }
    return strstr(name, "_PORT") || strstr(name, "_SERVICE_");
}

/* The least distance to a setting's name, which goes to `closest`. */
static size_t nearest(const struct settings *s, const char *name, char closest[NAME_SIZE])
{
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < s->count && least; i++) {
        char known[NAME_SIZE];
        environment_name(s->rows[i].key, known);
        size_t distance = settings_distance(name, known);
        if (distance < least) {
            least = distance;
            memcpy(closest, known, NAME_SIZE);
        }
    }
    return least;
}

bool settings_check_environment(const struct settings *s, char *const *environment, struct error *e)
{
    bool meant = false;
    for (char *const *at = environment; at && *at; at++) {
        char name[NAME_SIZE], closest[NAME_SIZE] = "";
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*at, "="), *at);
        if (strncmp(name, "SLUICE_", 7) != 0 || is_foreign(name))
            continue;
        size_t distance = nearest(s, name, closest);
        if (distance == 0)
            continue;
        bool slip = distance <= SLIP_MOST;
        if (slip && !meant)
            error_set(e, "%s in the environment is not known; did you mean '%s'?", name, closest);
        meant |= slip;
        log_write(LOG_WARN, "config", "the environment variable %s is not known and has no effect%s%s%s", name,
                  slip ? "; did you mean '" : "", slip ? closest : "", slip ? "'?" : "");
    }
    return meant;
}
