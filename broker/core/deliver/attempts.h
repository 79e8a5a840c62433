/* Attempt histories: how the earlier deliveries of an event ended, for people who ask why it does not get through
 * (explain). A history begins with the first delivery that did not settle its event, and goes when the event is
 * settled; an event whose first delivery settles it never has one. Private to broker/core.
 *
 * Bounds; all of it counts in the broker's memory:
 *   an event    the newest ATTEMPTS_KEPT attempts
 *   a queue     HISTORY_BYTES. Beyond that the event whose history began first loses its whole history
 *   all queues  a HISTORY_PARTth of the memory budget, at most HISTORY_BYTES_ALL. Beyond that the queue that adds an
 *               attempt gives up its own histories, in the same order
 *
 * A queue on disk writes each attempt to the log, in the note of the failure (persist_trouble); snapshots contain the
 * histories.
 *
 * Ownership: a history belongs to its struct trouble (trouble.h) and goes with it. */
#ifndef SLUICE_BROKER_CORE_ATTEMPTS_H
#define SLUICE_BROKER_CORE_ATTEMPTS_H

#include "broker/core/deliver/trouble.h"

#define HISTORY_BYTES     (UINT64_C(1) << 20)
#define HISTORY_BYTES_ALL (UINT64_C(64) << 20)
#define HISTORY_PART      16u

struct attempt {
    struct attempt *next; /* newer */
    int64_t delivered_ms; /* wall clock */
    uint32_t latency_ms;  /* from delivery to outcome; saturating */
    uint16_t number;      /* as the consumer saw it */
    uint16_t status;      /* from its nack; 0: none given */
    uint8_t outcome;      /* enum attempt_outcome */
    uint8_t error_at;     /* offset in text */
    char text[];          /* the consumer's name and the error, both NUL-terminated */
};

struct history {
    struct trouble *trouble;
    struct attempt *oldest, *newest;
    uint32_t count;
    uint64_t older;              /* number of attempts no longer kept */
    uint64_t bytes, *total;      /* its memory, and the counter of all queues' histories */
    struct history *prev, *next; /* in the queue, by when they began */
};

/* Records that the delivery of an item in flight ended and the event may be redelivered. Call it before the lease is
 * released. Creates the event's trouble if there is none, with one exception: a delivery that was only handed back
 * (ATTEMPT_RETURNED) of an event without trouble is not recorded once the queue's histories take a 16th of
 * HISTORY_BYTES, or all histories their bound. */
void attempts_add(struct core *c, struct queue *q, uint64_t sequence, const struct item *item,
                  enum attempt_outcome outcome, uint32_t status, struct span error);
/* Adds an attempt from the log to `t`. An attempt that `t` has already is ignored. A `consumer` that is too long is
 * cut. */
void attempts_restore(struct core *c, struct queue *q, struct trouble *t, const struct attempt_info *a,
                      struct span consumer, struct span error);
/* The number of deliveries that `t` knows of. */
uint16_t attempts_known(const struct trouble *t);
void attempts_free(struct queue *q, struct trouble *t);
/* Fills e's attempts: those kept, oldest first, then the current delivery if `item` is in flight. The texts are
 * borrowed. */
void attempts_describe(struct core *c, const struct queue *q, const struct item *item, struct explained *e);
/* The attempt as the API shows it; the texts are borrowed from `a`. */
struct attempt_info attempt_info(const struct attempt *a);
void attempts_validate(const struct core *c); /* aborts if a counter is wrong */

#endif
