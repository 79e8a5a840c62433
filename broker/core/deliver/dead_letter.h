/* Dead letters: what a queue's dead events become when it names another queue for them. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_DEAD_LETTER_H
#define SLUICE_BROKER_CORE_DEAD_LETTER_H

#include "broker/core/deliver/trouble.h"

/* May the queue of that name have those settings (all present), as far as its dead letters go? Declares the target where queues are
 * declared by their first use. Else the reason, and the sentence. */
enum reason dead_letter_check(struct core *c, struct span name, const struct queue_settings *settings,
                              struct error *why);
/* A queue that dead-letters to the one of that name; NULL: none does. */
const struct queue *dead_letter_source(const struct core *c, const char *name);
/* Accepts the dying event at the tail of the queue that q's dead go to, and settles it in q by the same step; t, its trouble, says
 * why. What q's books say of it is the caller's. HOLD_NOT: done, and the item's bytes are gone. Else nothing changed. */
enum dead_hold dead_letter_send(struct core *c, struct queue *q, const struct item *item, const struct trouble *t,
                                enum store_cause cause);

#endif
