/* What becomes due when: runs of neighbouring sequences by time, the earliest first and the lower sequence first where times are
 * equal. A binary heap of 24 bytes a run that needs no place in what it is about: an event that leaves before its time
 * leaves its run behind, which is stale then and is found to be when it is due, or swept out. Pure. */
#ifndef SLUICE_BROKER_CORE_DUE_H
#define SLUICE_BROKER_CORE_DUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct due_run {
    int64_t at; /* of the clock that the heap's owner means */
    uint64_t first;
    uint32_t count; /* 0: no run */
};

/* Zeroed: empty. */
struct due {
    struct due_run *runs;
    uint32_t count, capacity;
};

void due_free(struct due *d);
void due_push(struct due *d, const struct due_run *run); /* O(log n); O(1) where times ascend */
/* Takes out the earliest when it is due at `now`. O(log n). */
bool due_pop(struct due *d, int64_t now, struct due_run *out);
/* The earliest time; INT64_MAX when there is none. O(1). */
int64_t due_next(const struct due *d);
/* Drops every run of which `keep` says no. O(n). */
void due_sweep(struct due *d, bool (*keep)(void *context, const struct due_run *run), void *context);
/* Bytes of memory it holds. */
static inline uint64_t due_memory(const struct due *d)
{
    return d->capacity * sizeof *d->runs;
}
bool due_validate(const struct due *d); /* for tests */

#endif
