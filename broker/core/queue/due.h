/* A heap of times: runs of neighbouring sequences, the earliest first, and at equal times the lower sequence first.
 * 24 bytes a run. Events do not know their run: if an event leaves before its time, its run stays and is stale. The
 * owner finds that out when the run is due, or sweeps stale runs out. Pure. */
#ifndef SLUICE_BROKER_CORE_DUE_H
#define SLUICE_BROKER_CORE_DUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct due_run {
    int64_t at; /* in the unit and clock of the heap's owner */
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
/* Takes out the earliest run if it is due at `now`. O(log n). */
bool due_pop(struct due *d, int64_t now, struct due_run *out);
/* The earliest time; INT64_MAX: the heap is empty. O(1). */
int64_t due_next(const struct due *d);
/* Drops every run for which `keep` returns false. O(n). */
void due_sweep(struct due *d, bool (*keep)(void *context, const struct due_run *run), void *context);
/* Its memory in bytes. */
static inline uint64_t due_memory(const struct due *d)
{
    return d->capacity * sizeof *d->runs;
}
bool due_validate(const struct due *d); /* for tests */

#endif
