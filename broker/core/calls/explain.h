/* One event, and why it is where it is. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_EXPLAIN_H
#define SLUICE_BROKER_CORE_EXPLAIN_H

#include "broker/core/state.h"

/* As peek_request: false when the event's bytes are on disk; the answer follows. Of an event that is not there REASON_not_found, with
 * what is known of it in `why`. */
bool explain_request(struct core *c, struct queue *q, const struct request *r, const struct route *route,
                     struct reply *reply, struct error *why);
/* What is known of an event that the queue does not hold: whether there ever was one of that sequence. */
void explain_absence(const struct queue *q, uint64_t sequence, struct error *why);
bool explain_loaded(struct core *c, const struct store_completion *done); /* false: it is not for an explanation */
void explain_free(struct core *c);

#endif
