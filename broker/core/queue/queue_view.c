/* Figures of a queue (rates, ages, estimates), and the check that its counts agree with what it holds. */
#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define RATE_SECONDS 10.0

void rate_add(struct rate *r, uint64_t events, mono_t now)
{
    r->value = rate_read(r, now) + (double)events / RATE_SECONDS;
    r->at = now;
}

double rate_read(const struct rate *r, mono_t now)
{
    double seconds = (double)(now.ns - r->at.ns) / 1e9;
    return seconds <= 0 ? r->value : r->value * exp(-seconds / RATE_SECONDS);
}

uint64_t queue_oldest_ms(const struct core *c, struct queue *q)
{
    const struct item *oldest = queue_oldest(q);
    return oldest ? ((uint64_t)core_tenths(c) - (uint64_t)oldest->accepted) * 100 : 0;
}

uint32_t queue_retry_ms(const struct core *c, const struct queue *q)
{
    double rate = rate_read(&q->out_rate, c->now.mono);
    if (rate < 0.01)
        return 0;
    double ms = 1000.0 * (double)(q->waiting + 1) / rate;
    return ms > 60000 ? 60000 : ms < 1 ? 1 : (uint32_t)ms;
}

struct tally {
    uint64_t ready, in_flight, delayed, bytes;
};

static bool tally(void *ctx, uint64_t sequence, struct item *item)
{
    (void)sequence;
    struct tally *t = ctx;
    t->bytes += item->size;
    t->ready += item->state == ITEM_READY;
    t->in_flight += item->state == ITEM_IN_FLIGHT;
    t->delayed += item->state == ITEM_DELAYED;
    return true;
}

/* Aborts with the condition that does not hold, in every build: asserts may be compiled out. */
#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "queue %s: does not hold: %s\n", q->name, #condition);                                     \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static uint64_t count_dead(const struct queue *q, uint64_t *bytes)
{
    uint64_t count = 0;
    *bytes = 0;
    for (const struct trouble *t = q->troubles; t; t = t->hh.next) {
        count += t->dead != DEAD_NOT;
        *bytes += t->dead ? t->size : 0;
    }
    return count;
}

static uint64_t count_held(const struct queue *q)
{
    uint64_t count = 0;
    for (const struct trouble *t = q->troubles; t; t = t->hh.next)
        count += t->held != HOLD_NOT;
    return count;
}

void queue_validate(struct queue *q)
{
    struct tally t = { 0 };
    uint64_t dead_bytes;
    queue_each(q, 0, tally, &t);
    if (q->durable) {
        t.ready += q->durable->backlog_events;
        t.bytes += q->durable->backlog_bytes;
        HOLDS(ranges_count_in(&q->durable->backlog, 0, UINT64_MAX) == q->durable->backlog_events);
        HOLDS(ranges_count_in(&q->durable->backlog, q->loaded, q->next_sequence) == q->durable->backlog_events);
        HOLDS(q->durable->end <= q->next_sequence);
        t.ready += q->schedule ? q->schedule->unparked_events : 0;
        t.ready += q->partitions ? q->partitions->spill.all.events : 0;
        t.delayed += q->schedule ? q->schedule->parked_events : 0;
    } else {
        HOLDS(q->loaded == q->next_sequence);
    }
    HOLDS(t.ready == q->ready && t.in_flight == q->in_flight && t.delayed == q->delayed && t.bytes == q->bytes);
    HOLDS(count_held(q) == q->held && q->held <= q->delayed);
    HOLDS(count_dead(q, &dead_bytes) == q->dead && dead_bytes == q->dead_bytes);
    HOLDS(q->base <= q->next_ready && q->next_ready <= q->loaded && q->loaded <= q->next_sequence);
    HOLDS(q->loaded - q->base <= q->ring_capacity || q->loaded == q->base);
    const struct ledger *l = &q->ledger;
    HOLDS(l->accepted == l->acked + l->dead_lettered + l->expired + l->purged + l->dropped + queue_remaining(q));
}
