/* Doomed events: events that have to die (trouble.h) and are not dead yet. An event is doomed
 *
 *   - from its expiry, in a queue with `dead_letter_expired`;
 *   - from a restart, if it had been dropped by its application or had failed too often, and was not dead yet because
 *     there was no room. These are listed in `doomed_by_failure`, too; their trouble has the reason. Should one expire
 *     meanwhile, it is treated like every expired event.
 *
 * A doomed event is in the state delayed and is never delivered. If its bytes are in memory and there is room for it,
 * it dies in this or the next turn of the queue. If its bytes are on disk only, they are read first. If there is no
 * room, it is tried again every 5 s. Of a doomed event only the sequence is kept here. */
#ifndef SLUICE_BROKER_CORE_DOOMED_H
#define SLUICE_BROKER_CORE_DOOMED_H

#include "broker/core/queue/schedule.h"

/* The event expired and is not in flight; item: NULL when it is on disk only. */
void doomed_add(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
void doomed_remove(struct schedule *k, uint64_t sequence); /* it left the queue, or will be delivered again */
/* After a restart: finds the events doomed by failure in a queue on disk, whose contents are known by now. */
void doomed_recover(struct core *c, struct queue *q);
static inline bool doomed_has(const struct schedule *k, uint64_t sequence)
{
    return k->doomed_events && ranges_has(&k->doomed, sequence);
}
static inline bool doomed_by_failure(const struct schedule *k, uint64_t sequence)
{
    return k->doomed_by_failure.count && ranges_has(&k->doomed_by_failure, sequence);
}
/* When to try them next, monotonic, ns; INT64_MAX: only another event will cause it. */
int64_t doomed_due(const struct schedule *k);
/* Makes dead what can be, up to a bound for one turn, and starts reading what is on disk only. */
void doomed_run(struct core *c, struct queue *q);
/* Takes a completed load. */
void doomed_loaded(struct core *c, const struct store_completion *done);
/* How many are held back because there is no room for them. */
static inline uint64_t doomed_held(const struct schedule *k)
{
    return k->doomed_hold != HOLD_NOT ? k->doomed_events : 0;
}
/* Fills in the doomed among a page's events: what stands in the way, since when at least, and when it is tried
 * again. */
void doomed_describe(const struct core *c, const struct schedule *k, struct peeked *events, size_t count);

#endif
