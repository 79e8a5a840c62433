/* How earlier deliveries of an event ended, for people who ask why it does not get through (explain). Nothing is kept of an event that
 * was delivered and settled: a history begins with the first delivery that ended otherwise. Private to broker/core.
 *
 * Bounds: the newest ATTEMPTS_KEPT of an event; HISTORY_BYTES a queue, beyond which its event whose history began first loses
 * all of it; a HISTORY_PARTth of the memory budget and HISTORY_BYTES_ALL for all queues, beyond which the queue that adds to it
 * gives up its own. Counted in the broker's memory. A queue on disk notes each attempt with what it says of the failure
 * (persist_trouble), and histories are part of the snapshot.
 *
 * Ownership: a history belongs to its trouble (trouble.h) and goes with it. */
#ifndef SLUICE_BROKER_CORE_ATTEMPTS_H
#define SLUICE_BROKER_CORE_ATTEMPTS_H

#include "broker/core/deliver/trouble.h"

#define HISTORY_BYTES     (UINT64_C(1) << 20)
#define HISTORY_BYTES_ALL (UINT64_C(64) << 20)
#define HISTORY_PART      16u

struct attempt {
    struct attempt *next; /* the one after it */
    int64_t delivered_ms; /* wall clock */
    uint32_t latency_ms;  /* until its outcome; saturating */
    uint16_t number;      /* as the consumer saw it */
    uint16_t status;      /* as its nack said; 0: it did not */
    uint8_t outcome;      /* enum attempt_outcome */
    uint8_t error_at;     /* in text */
    char text[];          /* the consumer's name and the error, each with its terminator */
};

struct history {
    struct trouble *trouble;
    struct attempt *oldest, *newest;
    uint32_t count;
    uint64_t older;              /* that are not kept any more */
    uint64_t bytes, *total;      /* its memory, and where that of all is counted */
    struct history *prev, *next; /* in the queue: that began first, first */
};

/* The delivery of an item in flight is over, and the event may come again: adds it to the event's trouble, which there is after it
 * unless the event was delivered for want of nothing but a consumer (ATTEMPT_RETURNED) and the queue has much to remember
 * already. The lease still knows it. */
void attempts_add(struct core *c, struct queue *q, uint64_t sequence, const struct item *item,
                  enum attempt_outcome outcome, uint32_t status, struct span error);
/* The same of one from the log, with the times and texts that it says. `consumer` may be cut. */
void attempts_restore(struct core *c, struct queue *q, struct trouble *t, const struct attempt_info *a,
                      struct span consumer, struct span error);
/* How many deliveries it had, as far as its trouble tells. */
uint16_t attempts_known(const struct trouble *t);
void attempts_free(struct queue *q, struct trouble *t);
/* Its attempts, oldest first, and one that goes on where it is in flight; the texts are borrowed. */
void attempts_describe(struct core *c, const struct queue *q, const struct item *item, struct explained *e);
/* For people; the texts are the attempt's. */
struct attempt_info attempt_info(const struct attempt *a);
void attempts_validate(const struct core *c); /* aborts where the counts are not what they count */

#endif
