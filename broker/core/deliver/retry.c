/* What happens to an event whose delivery did not settle it. The broker alone decides:
 *
 *   - A failure (a nack, an expired lease) delays the event by a back-off that doubles, with full jitter. Too many
 *     failures make it dead.
 *   - A crash (its consumer vanished with the event in flight) counts apart from failures, so that an event that kills
 *     its consumers is not redelivered for ever.
 *   - A drop makes it dead at once; a deferral only delays it.
 *
 * An event that was only handed back (by a consumer that left in order) comes again at once and uncounted. A release
 * is not handled here: nothing failed. */
#include "broker/core/deliver/attempts.h"

/* How long an event that cannot be dead yet waits in its queue before another try. */
#define DEAD_FULL_MS 5000u

static void count(struct core *c, struct trouble *t, uint8_t *what)
{
    if (*what < UINT8_MAX)
        ++*what;
    t->last_ms = c->now.wall.ms;
    if (t->first_ms == 0)
        t->first_ms = t->last_ms;
}

/* Full jitter: any value up to the cap, so that events that failed together are not redelivered together. */
static uint64_t backoff_ms(struct core *c, const struct queue *q, unsigned failures)
{
    uint64_t cap = q->settings.backoff_ms, most = q->settings.backoff_max_ms;
    for (unsigned i = 1; i < failures && cap < most; i++)
        cap *= 2;
    cap = cap < most ? cap : most;
    return cap ? 1 + core_random_token(c).low % cap : 0;
}

enum dead_reason retry_verdict(const struct queue *q, const struct trouble *t)
{
    if (t->dropped)
        return DEAD_DROPPED_BY_APP;
    if (t->failures >= q->settings.max_deliveries)
        return DEAD_MAX_DELIVERIES;
    return t->crashes >= q->settings.max_crashes ? DEAD_CRASH_LOOP : DEAD_NOT;
}

static void come_again(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms)
{
    if (ms)
        queue_delay(c, q, sequence, item, ms);
    else
        queue_return(c, q, sequence, item);
}

/* Makes the event dead, or has it delivered again after `ms`. */
static void decide(struct core *c, struct queue *q, struct trouble *t, struct item *item, uint64_t ms)
{
    uint64_t sequence = t->sequence;
    enum dead_reason why = retry_verdict(q, t);
    if (why != DEAD_NOT && dead_bury(c, q, sequence, item, why))
        return;
    t->delay_ms = why != DEAD_NOT ? 0 : ms;
    t->since_ms = c->now.wall.ms;
    persist_trouble(c, q, t);
    come_again(c, q, sequence, item, why != DEAD_NOT ? DEAD_FULL_MS : ms);
}

static enum attempt_outcome outcome_of(const struct trouble *t, const struct failure *f)
{
    return f->lease_ended ? ATTEMPT_LEASE_EXPIRED : t->dropped ? ATTEMPT_DROPPED : ATTEMPT_NACKED;
}

void retry_failed(struct core *c, struct queue *q, uint64_t sequence, struct item *item, const struct failure *f)
{
    struct trouble *t = trouble_of(q, sequence);
    count(c, t, &t->failures);
    trouble_set_error(t, f->status, f->error);
    attempts_add(c, q, sequence, item, outcome_of(t, f), f->status, f->error);
    decide(c, q, t, item, f->delay_ms ? f->delay_ms : backoff_ms(c, q, t->failures));
}

void retry_dropped(struct core *c, struct queue *q, uint64_t sequence, struct item *item, const struct failure *f)
{
    trouble_of(q, sequence)->dropped = true;
    retry_failed(c, q, sequence, item, f);
}

void retry_deferred(struct core *c, struct queue *q, uint64_t sequence, struct item *item, const struct failure *f)
{
    uint64_t ms = f->delay_ms;
    attempts_add(c, q, sequence, item, ms ? ATTEMPT_DEFERRED : ATTEMPT_RETURNED, f->status, f->error);
    if (ms && q->durable) { /* its delay outlives a restart, as a back-off does */
        struct trouble *t = trouble_of(q, sequence);
        t->delay_ms = ms;
        t->since_ms = c->now.wall.ms;
        persist_trouble(c, q, t);
    }
    come_again(c, q, sequence, item, ms);
}

void retry_returned(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    attempts_add(c, q, sequence, item, ATTEMPT_RETURNED, 0, (struct span){ 0 });
    queue_return(c, q, sequence, item);
}

void retry_crashed(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    struct trouble *t = trouble_of(q, sequence);
    count(c, t, &t->crashes);
    attempts_add(c, q, sequence, item, ATTEMPT_CONNECTION_LOST, 0, (struct span){ 0 });
    decide(c, q, t, item, 0);
}

void retry_due(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    struct trouble *t = q->troubles ? trouble_find(q, sequence) : NULL;
    enum dead_reason why = t ? retry_verdict(q, t) : DEAD_NOT;
    if (t)
        trouble_unhold(q, t);
    if (why == DEAD_NOT)
        queue_return(c, q, sequence, item);
    else if (!dead_bury(c, q, sequence, item, why))
        queue_delay(c, q, sequence, item, DEAD_FULL_MS);
}
