/* A binary heap of runs, ordered by time and sequence. */
#include "broker/core/queue/due.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define LEAST_CAPACITY 16u

void due_free(struct due *d)
{
    free(d->runs);
    *d = (struct due){ 0 };
}

static bool before(const struct due_run *a, const struct due_run *b)
{
    return a->at != b->at ? a->at < b->at : a->first < b->first;
}

void due_push(struct due *d, const struct due_run *run)
{
    if (d->count == d->capacity) {
        d->capacity = d->capacity ? d->capacity + d->capacity / 2 : LEAST_CAPACITY;
        d->runs = xrealloc(d->runs, d->capacity * sizeof *d->runs);
    }
    uint32_t i = d->count++;
    while (i && before(run, &d->runs[(i - 1) / 2])) {
        d->runs[i] = d->runs[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    d->runs[i] = *run;
}

/* Puts `run` into the free place `i`, or below it. */
static void sink(struct due *d, uint32_t i, struct due_run run)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= d->count)
            break;
        if (child + 1 < d->count && before(&d->runs[child + 1], &d->runs[child]))
            child++;
        if (!before(&d->runs[child], &run))
            break;
        d->runs[i] = d->runs[child];
        i = child;
    }
    d->runs[i] = run;
}

/* Frees the memory that a burst needed. */
static void shrink(struct due *d)
{
    if (d->capacity <= 1024 || d->count >= d->capacity / 4)
        return;
    d->capacity /= 2;
    d->runs = xrealloc(d->runs, d->capacity * sizeof *d->runs);
}

bool due_pop(struct due *d, int64_t now, struct due_run *out)
{
    if (d->count == 0 || d->runs[0].at > now)
        return false;
    *out = d->runs[0];
    struct due_run last = d->runs[--d->count];
    if (d->count)
        sink(d, 0, last);
    shrink(d);
    return true;
}

int64_t due_next(const struct due *d)
{
    return d->count ? d->runs[0].at : INT64_MAX;
}

void due_sweep(struct due *d, bool (*keep)(void *, const struct due_run *), void *context)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        if (keep(context, &d->runs[i]))
            d->runs[kept++] = d->runs[i];
    }
    d->count = kept;
    for (uint32_t i = kept / 2; i-- > 0;)
        sink(d, i, d->runs[i]);
    shrink(d);
}

bool due_validate(const struct due *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->runs[i].count == 0 || (i && before(&d->runs[i], &d->runs[(i - 1) / 2])))
            return false;
    }
    return d->count <= d->capacity;
}
