/* Internals of sluice bench, shared by its processes. Every producer is a process of its own, as publishing programs
 * are. The consumer is the process that was started. They share mapped memory. */
#ifndef SLUICE_CLI_BENCH_H
#define SLUICE_CLI_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Every event's data begins with its number. NUMBER % producers is its producer; each publishes in ascending order. */
struct bench {
    const char *broker, *queue;
    unsigned long events, size, producers, window, rate, linger_ms;
    unsigned long stride; /* every stride-th event of a producer is timed */
    bool json;
    const char *key, *broker_key; /* files; NULL: none */
};

struct bench_producer {
    pid_t pid;
    unsigned long confirmed, refused;
    unsigned long disordered; /* confirms whose sequence did not grow */
    int error;                /* the last refusal, or why it could not connect */
    int64_t ended;            /* when its last confirm came */
};

/* Times are nanoseconds of CLOCK_MONOTONIC; 0: not (yet) set. */
struct bench_shared {
    atomic_ulong ready; /* producers that are attached, or failed to */
    int go[2];          /* a pipe: producers begin when the consumer closes its end */
    int64_t start;
    struct bench_producer *producers;
    int64_t *intended, *confirmed, *delivered; /* by timed event: bench_slot */
    unsigned long slots;
};

/* How long to wait without any event arriving. */
#define BENCH_GIVE_UP_SECONDS 10
#define BENCH_GIVE_UP_NS      (BENCH_GIVE_UP_SECONDS * INT64_C(1000000000))

/* What the consumer saw. */
struct bench_result {
    unsigned long consumed, disordered, repeated;
    int64_t ended;
    bool gave_up; /* before everything came */
    bool away;    /* the broker did not answer any more at the end */
};

int64_t bench_now(void);

/* ---- bench_figures.c: computing the results */

struct bench_times {
    double p50, p99, p999; /* microseconds */
};
/* Of events with both times; all 0 if there are none. */
struct bench_times bench_times_of(const int64_t *intended, const int64_t *came, unsigned long slots);
/* Checks an event's order and counts repeats and gaps. `next`: each producer's next expected number. */
void bench_check(const struct bench *b, unsigned long *next, unsigned long event, struct bench_result *r);
/* When an event is due at the configured rate. */
int64_t bench_due(const struct bench *b, int64_t start, unsigned long event);
/* All producers together: sums, the last error, the latest end. */
struct bench_producer bench_sum(const struct bench_producer *producers, unsigned long count);
/* Seconds from the start until everything was consumed and confirmed; 0 if nothing was. */
double bench_seconds(int64_t start, const struct bench_producer *sum, const struct bench_result *r);

/* Most events that are timed. */
unsigned long bench_slots(const struct bench *b);
/* The index of an event's times; `slots` if it is not timed. */
static inline unsigned long bench_slot(const struct bench *b, const struct bench_shared *s, unsigned long event)
{
    unsigned long nth = event / b->producers;
    return nth % b->stride ? s->slots : nth / b->stride * b->producers + event % b->producers;
}

/* The whole life of a producer's process. */
void bench_produce(const struct bench *b, struct bench_shared *s, unsigned long number);
/* Starts the producers when all are ready and consumes until everything came, or gives up. False with a sentence in
 * error (256 bytes) when there is no broker: then no producer is started. */
bool bench_consume(const struct bench *b, struct bench_shared *s, struct bench_result *result, char *error);

#endif
