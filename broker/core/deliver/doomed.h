/* Expired events that are kept: with `dead_letter_expired` what runs out goes where the queue's dead go. From its expiry until it
 * is dead an event is doomed: it is delayed, and nobody gets it. That is no time at all where its bytes are in memory and there
 * is room for the dead. What lies on disk only is read first, and where there is no room it is tried again every 5 s.
 * Nothing is kept of a doomed event but its sequence.
 *
 * So is what a restart finds that was dropped, or failed too often, and was not dead yet for want of room: it is doomed, too, and
 * its trouble says what for. Should it expire meanwhile, it is as every expired one. */
#ifndef SLUICE_BROKER_CORE_DOOMED_H
#define SLUICE_BROKER_CORE_DOOMED_H

#include "broker/core/queue/schedule.h"

/* It expired and is in nobody's hands; item: NULL, it is on disk only. */
void doomed_add(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
void doomed_remove(struct schedule *k, uint64_t sequence); /* it left, or comes again */
/* After a restart, of a queue on disk, once its books say what it holds. */
void doomed_recover(struct core *c, struct queue *q);
static inline bool doomed_has(const struct schedule *k, uint64_t sequence)
{
    return k->doomed_events && ranges_has(&k->doomed, sequence);
}
static inline bool doomed_by_failure(const struct schedule *k, uint64_t sequence)
{
    return k->doomed_by_failure.count && ranges_has(&k->doomed_by_failure, sequence);
}
/* When something is to be done for them, monotonic, ns; INT64_MAX: not by itself. */
int64_t doomed_due(const struct schedule *k);
/* Buries those that can be, and reads those that must be. */
void doomed_run(struct core *c, struct queue *q);
/* False: it was not loaded for them. */
bool doomed_loaded(struct core *c, const struct store_completion *done);
/* How many stay for want of room. */
static inline uint64_t doomed_held(const struct schedule *k)
{
    return k->doomed_why != HOLD_NOT ? k->doomed_events : 0;
}
/* Says of those of a page what stands in the way, since when at least, and when it is tried again. */
void doomed_describe(const struct core *c, const struct schedule *k, struct peeked *events, size_t count);

#endif
