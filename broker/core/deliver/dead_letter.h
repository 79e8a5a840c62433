/* Dead-letter queues: a queue whose setting `dead_letter` names another queue moves its dead events there. Private to
 * broker/core. */
#ifndef SLUICE_BROKER_CORE_DEAD_LETTER_H
#define SLUICE_BROKER_CORE_DEAD_LETTER_H

#include "broker/core/deliver/trouble.h"

/* Checks the dead-letter settings of queue `name`, which may not exist yet (`settings`: all present). Declares the
 * target if it is missing and queues are declared by their first use. Returns REASON_ok, or the reason with a message
 * for the caller in `why`. */
enum reason dead_letter_check(struct core *c, struct span name, const struct queue_settings *settings,
                              struct error *why);
/* A queue whose dead letters go to queue `name`; NULL: there is none. */
const struct queue *dead_letter_source(const struct core *c, const char *name);
/* Moves the event to the tail of q's dead-letter queue: accepts it there and settles it in q's store, in one step
 * where both use the same store. `t`, its trouble, has the reason of its death. The caller updates q's own counts.
 * Returns HOLD_NOT when it is done, and item->at is no longer valid; otherwise what stood in the way, and nothing
 * changed. */
enum dead_hold dead_letter_send(struct core *c, struct queue *q, const struct item *item, const struct trouble *t,
                                enum store_cause cause);

#endif
