/* Subscriptions that the broker keeps for an application's sidecars. Their settings are bytes that only sidecars read.
 * Sidecars ask for the list every few seconds; its revision tells them whether it has changed. Private to
 * broker/core. */
#ifndef SLUICE_BROKER_CORE_SUBSCRIPTIONS_H
#define SLUICE_BROKER_CORE_SUBSCRIPTIONS_H

#include "broker/core/state.h"

#define SUBSCRIPTIONS_OF_APP 256u
#define SUBSCRIPTIONS_MOST   4096u

/* Handles one of the three calls. What the reply points to belongs to the core or to `a`, and is valid until the next
 * call. */
void subscription_request(struct core *c, const struct request *r, struct reply *reply, struct arena *a,
                          struct error *why);
/* Applies a note or a snapshot's field from the log. False: malformed. */
bool subscription_restore(struct core *c, struct span bytes, bool deleted);
/* Appends all of them to a snapshot. */
void subscriptions_put(const struct core *c, struct buf *out);
void subscriptions_free(struct core *c);

#endif
