/* Counts, errors and times of a load, in memory that all its processes share, and the checks of what was consumed. */
#ifndef SLUICE_BENCH_LOAD_CHECK_H
#define SLUICE_BENCH_LOAD_CHECK_H

#include "tests/bench/load/load.h"

#include <stdatomic.h>

/* A histogram of durations in nanoseconds. A bucket is less than 1 % of its value wide. */
#define TIMES_FINE    7u
#define TIMES_BUCKETS ((64u - TIMES_FINE + 1) << TIMES_FINE)
struct times {
    uint32_t count[TIMES_BUCKETS];
};
void times_add(struct times *t, int64_t ns);
void times_merge(struct times *t, const struct times *other);
/* Returns a percentile in microseconds, or 0 if there are no durations. part: 0.5, 0.99, … */
double times_at(const struct times *t, double part);

/* The beginning of an event's data. */
struct load_head {
    uint32_t magic, producer;
    uint64_t nth;     /* number within its producer */
    int64_t intended; /* 0: not timed */
};
#define LOAD_MAGIC 0x65636975u

/* State of one process. */
struct load_side {
    atomic_ulong published, confirmed;
    atomic_bool done;
    char error[256];
    struct times times; /* of a producer: until the confirm; of the consumer: end to end */
};

/* What the consumer received. `next`: the number expected next, by producer. */
struct load_seen {
    unsigned long consumed, repeated, disordered, foreign;
    uint64_t *next;
};
/* Counts an event. Returns its head, or NULL if it is not from this load. */
const struct load_head *load_check(struct load_seen *seen, const struct load_options *o, const void *data, size_t size);

/* Prints the result, or what is wrong with it. Returns the exit status. */
int load_report(const struct load_options *o, const struct load_side *sides, const struct load_seen *seen,
                double seconds);

#endif
