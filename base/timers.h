/* A timer queue: an indexed binary heap of timers, each embedded in the object it belongs to. Equal deadlines come
 * out in the order they were set, so that a simulation replays exactly. */
#ifndef SLUICE_BASE_TIMERS_H
#define SLUICE_BASE_TIMERS_H

#include "base/mono.h"

#include <stddef.h>

/* Embed one; zeroed means "not set". Its address must not change while it is set. */
struct timer {
    mono_t due;
    uint64_t order; /* tie-breaker, owned by the heap */
    size_t slot;    /* position in the heap + 1; 0 when not set */
};

struct timers {
    struct timer **heap;
    size_t count;
    size_t capacity;
    uint64_t next_order;
};

/* Frees the heap's own memory, not the timers. */
void timers_free(struct timers *t);
/* Sets or moves a timer; due MONO_NEVER clears it. O(log n). */
void timers_set(struct timers *t, struct timer *timer, mono_t due);
/* Clears a timer; clearing one that is not set does nothing. O(log n). */
void timers_clear(struct timers *t, struct timer *timer);
/* The earliest deadline; MONO_NEVER when none is set. O(1). */
mono_t timers_next(const struct timers *t);
/* Removes and returns the earliest timer that is due at `now`; NULL when none is. */
struct timer *timers_pop(struct timers *t, mono_t now);
/* True when the heap property and every slot hold; for tests. */
bool timers_validate(const struct timers *t);

static inline bool timer_is_set(const struct timer *timer)
{
    return timer->slot != 0;
}

#endif
