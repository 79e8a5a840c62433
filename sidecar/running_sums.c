#include "sidecar/running_sums.h"

#include "base/xalloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct seen {
    UT_hash_handle hh;
    uint64_t pass; /* the newest pass when it was last seen */
    char *name;
    uint64_t counters[];
};

struct running_sums {
    size_t count;
    uint64_t passes; /* how many were begun */
    bool whole;      /* a pass was completed */
    struct seen *seen;
    uint64_t sums[];
};

struct running_sums *running_sums_new(size_t counters)
{
    struct running_sums *s = xcalloc(1, sizeof *s + counters * sizeof *s->sums);
    s->count = counters;
    return s;
}

static void forget(struct running_sums *s, struct seen *seen)
{
    HASH_DEL(s->seen, seen);
    free(seen->name);
    free(seen);
}

void running_sums_free(struct running_sums *s)
{
    struct seen *seen, *next;
    if (!s)
        return;
    HASH_ITER (hh, s->seen, seen, next)
        forget(s, seen);
    free(s);
}

uint64_t running_sums_begin(struct running_sums *s)
{
    return ++s->passes;
}

/* A new object counts from zero. During the first pass it may be older than this process, so only later increases
 * count. */
static struct seen *add_seen(struct running_sums *s, const char *name, const uint64_t counters[])
{
    struct seen *seen = xcalloc(1, sizeof *seen + s->count * sizeof *seen->counters);
    seen->name = xstrdup(name);
    if (!s->whole)
        memcpy(seen->counters, counters, s->count * sizeof *counters);
    HASH_ADD_KEYPTR(hh, s->seen, seen->name, strlen(seen->name), seen);
    return seen;
}

void running_sums_add(struct running_sums *s, const char *name, const uint64_t counters[])
{
    struct seen *seen = NULL;
    HASH_FIND_STR(s->seen, name, seen);
    if (!seen)
        seen = add_seen(s, name, counters);
    seen->pass = s->passes;
    for (size_t i = 0; i < s->count; i++) {
        uint64_t before =
            counters[i] < seen->counters[i] ? 0 : seen->counters[i]; /* fell: recreated, or the broker restarted */
        s->sums[i] += counters[i] - before;
        seen->counters[i] = counters[i];
    }
}

void running_sums_end(struct running_sums *s, uint64_t pass)
{
    struct seen *seen, *next;
    HASH_ITER (hh, s->seen, seen, next) {
        if (seen->pass < pass)
            forget(s, seen);
    }
    s->whole = true;
}

const uint64_t *running_sums(const struct running_sums *s)
{
    return s->sums;
}
