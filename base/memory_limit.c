#include "base/memory_limit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 4096

static uint64_t read_number(const char *path)
{
    FILE *f = fopen(path, "re");
    char text[32] = "";
    if (!f)
        return 0;
    if (!fgets(text, sizeof text, f))
        text[0] = '\0';
    fclose(f);
    return strtoull(text, NULL, 10); /* "max" is 0: no limit */
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

/* The lowest limit of the group at `path`, which begins with a slash, and of all above it. A missing file means no
 * limit. */
static uint64_t least_from(const char *mounts, const char *folder, const char *path, const char *file)
{
    char group[PATH_SIZE], whole[2 * PATH_SIZE];
    uint64_t least = 0;
    snprintf(group, sizeof group, "%s", path);
    for (char *slash = group + strlen(group); slash; slash = strrchr(group, '/')) {
        *slash = '\0';
        snprintf(whole, sizeof whole, "%s%s%s/%s", mounts, folder, group, file);
        least = lesser(least, read_number(whole));
    }
    return least;
}

/* Finds "memory" in "cpu,memory". */
static bool has_memory(const char *controllers)
{
    const char *at = strstr(controllers, "memory");
    return at && (at == controllers || at[-1] == ',') && (at[6] == '\0' || at[6] == ',');
}

/* A line is NUMBER:CONTROLLERS:PATH; version 2's has no controllers. */
static uint64_t limit_of_line(char *line, const char *mounts)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path || path[1] != '/')
        return 0;
    *path++ = '\0';
    if (controllers[1] == '\0')
        return least_from(mounts, "", path, "memory.max");
    return has_memory(controllers + 1) ? least_from(mounts, "/memory", path, "memory.limit_in_bytes") : 0;
}

uint64_t memory_limit(const char *own, const char *mounts)
{
    FILE *f = fopen(own, "re");
    char line[PATH_SIZE];
    uint64_t least = 0;
    while (f && fgets(line, sizeof line, f))
        least = lesser(least, limit_of_line(line, mounts));
    if (f)
        fclose(f);
    return least;
}
