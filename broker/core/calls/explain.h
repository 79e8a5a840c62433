/* Explains one event: its state, and why it is not delivered. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_EXPLAIN_H
#define SLUICE_BROKER_CORE_EXPLAIN_H

#include "broker/core/state.h"

/* Fills `reply` and returns true; or returns false when the event's bytes must be read from the disk first, and
 * replies later. If the queue does not hold the event: REASON_not_found, and `why` says what is known of it. */
bool explain_request(struct core *c, struct queue *q, const struct request *r, const struct route *route,
                     struct reply *reply, struct error *why);
/* Says in `why` whether the queue, which does not hold the event, ever had one of that sequence. */
void explain_absence(const struct queue *q, uint64_t sequence, struct error *why);
void explain_loaded(struct core *c, const struct store_completion *done);
void explain_free(struct core *c);

#endif
