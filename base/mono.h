/* Time, in two types that cannot be mixed up by accident.
 *
 * Monotonic time measures durations (leases, timeouts, heartbeats); wall time is what people and
 * CloudEvents attributes mean. Pure layers never read a clock: they are handed a `struct now`. */
#ifndef SLUICE_BASE_MONO_H
#define SLUICE_BASE_MONO_H

#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds since an arbitrary start; 0 is a valid time. */
typedef struct mono {
    int64_t ns;
} mono_t;

/* Milliseconds since the Unix epoch; may step in both directions. */
typedef struct wall {
    int64_t ms;
} wall_t;

/* Both clocks as one input. */
struct now {
    mono_t mono;
    wall_t wall;
};

/* Later than every time that can come: "no deadline". */
#define MONO_NEVER ((mono_t){ INT64_MAX })

/* Earlier than every time that comes: "due already". */
#define MONO_AT_ONCE ((mono_t){ 0 })

#define MONO_MS      INT64_C(1000000)

/* t + ms, saturating at MONO_NEVER; ms may be 0 but not negative. */
static inline mono_t mono_add_ms(mono_t t, int64_t ms)
{
    if (ms >= (INT64_MAX - t.ns) / MONO_MS)
        return MONO_NEVER;
    return (mono_t){ t.ns + ms * MONO_MS };
}

/* a - b in milliseconds, rounded down. */
static inline int64_t mono_since_ms(mono_t a, mono_t b)
{
    return (a.ns - b.ns) / MONO_MS;
}

static inline bool mono_before(mono_t a, mono_t b)
{
    return a.ns < b.ns;
}

static inline mono_t mono_min(mono_t a, mono_t b)
{
    return a.ns < b.ns ? a : b;
}

/* Milliseconds from `now` until `due`, rounded up (so that a poll never wakes early and spins);
 * 0 when it is past, -1 for MONO_NEVER. The form zmq_poll and epoll_wait want. */
static inline int64_t mono_wait_ms(mono_t due, mono_t now)
{
    if (due.ns == INT64_MAX)
        return -1;
    if (due.ns <= now.ns)
        return 0;
    return (due.ns - now.ns + MONO_MS - 1) / MONO_MS;
}

#endif
