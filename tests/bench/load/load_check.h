/* What the processes of a load share: counts, errors, times. Mapped by all of them. */
#ifndef SLUICE_BENCH_LOAD_CHECK_H
#define SLUICE_BENCH_LOAD_CHECK_H

#include "tests/bench/load/load.h"

#include <stdatomic.h>

/* Durations in nanoseconds, in buckets of less than 1 % of their value. */
#define TIMES_FINE    7u
#define TIMES_BUCKETS ((64u - TIMES_FINE + 1) << TIMES_FINE)
struct times {
    uint32_t count[TIMES_BUCKETS];
};
void times_add(struct times *t, int64_t ns);
void times_merge(struct times *t, const struct times *other);
/* In microseconds; 0 when there are none. part: 0.5, 0.99, … */
double times_at(const struct times *t, double part);

/* What an event's data begins with. */
struct load_head {
    uint32_t magic, producer;
    uint64_t nth;     /* of its producer */
    int64_t intended; /* 0: not timed */
};
#define LOAD_MAGIC 0x65636975u

/* Of one process. */
struct load_side {
    atomic_ulong published, confirmed;
    atomic_bool done;
    char error[256];
    struct times times; /* until the confirm; end to end, of the consumer */
};

/* What the consumer saw. `next`: by producer. */
struct load_seen {
    unsigned long consumed, repeated, disordered, foreign;
    uint64_t *next;
};
/* Counts an event; its head, or NULL when it is none of this load's. */
const struct load_head *load_check(struct load_seen *seen, const struct load_options *o, const void *data, size_t size);

/* Prints the result, or says what is wrong with it. Returns the exit status. */
int load_report(const struct load_options *o, const struct load_side *sides, const struct load_seen *seen,
                double seconds);

#endif
