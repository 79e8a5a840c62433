/* core_validate: invariants that hold between any two inputs, whatever they were. For tests, the simulator and the
 * fuzzers. */
#include "broker/core/deliver/attempts.h"
#include "broker/core/partition/partition.h"
#include "broker/core/topic/topic.h"

#include <stdio.h>
#include <stdlib.h>

static void fail(const char *what)
{
    fprintf(stderr, "core: does not hold: %s\n", what);
    abort();
}

static void validate_waiters(const struct queue *q)
{
    uint64_t waiting = 0;
    const struct waiting *w;
    DL_FOREACH2(q->waiters, w, next_waiting)
    waiting += w->undecided;
    if (waiting != q->waiting)
        fail("a queue counts its waiters");
}

static void validate_consumers(const struct queue *q)
{
    uint64_t outstanding = 0;
    const struct consumer *k;
    DL_FOREACH2(q->consumers, k, queue_next)
    {
        outstanding += k->outstanding;
        if (!k->epoch && k->outstanding)
            fail("only an active consumer has deliveries");
    }
    if (outstanding != q->in_flight)
        fail("what is in flight is a consumer's");
}

static void validate_schedules(const struct core *c)
{
    if (!timers_validate(&c->delay_timers) || !timers_validate(&c->wall_timers) || !timers_validate(&c->spill_timers))
        fail("the schedules' timers are heaps");
    for (uint32_t i = 0; i < c->queue_count; i++) {
        const struct queue *q = c->by_name[i];
        if (q->schedule && !schedule_validate(q->schedule))
            fail("a queue's schedule is in order");
    }
}

static void validate_duplicates(const struct core *c)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < c->queue_count; i++) {
        bytes += dedup_memory(&c->by_name[i]->dedup);
        if (!dedup_validate(&c->by_name[i]->dedup))
            fail("a queue's dedup window is in order");
    }
    if (bytes != c->dedup_bytes)
        fail("the dedup windows' memory is counted");
}

void core_validate(const struct core *c)
{
    validate_duplicates(c);
    topics_validate(c);
    validate_schedules(c);
    attempts_validate(c);
    if (!timers_validate(&c->timers) || !timers_validate(&c->lease_timers) || !timers_validate(&c->wait_timers))
        fail("timers are a heap");
    for (uint32_t i = 0; i < c->queue_count; i++) {
        queue_validate(c->by_name[i]);
        validate_waiters(c->by_name[i]);
        validate_consumers(c->by_name[i]);
        if (c->by_name[i]->partitions)
            partitions_validate((struct core *)(uintptr_t)c, c->by_name[i]);
    }
}
