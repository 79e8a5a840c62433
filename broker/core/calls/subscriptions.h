/* Subscriptions that are kept for the sidecars of an application: which there are, and what they are about, as bytes that only
 * sidecars read. Sidecars ask for the list every few seconds; a revision tells them that it is the one they have.
 * Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_SUBSCRIPTIONS_H
#define SLUICE_BROKER_CORE_SUBSCRIPTIONS_H

#include "broker/core/state.h"

#define SUBSCRIPTIONS_OF_APP 256u
#define SUBSCRIPTIONS_MOST   4096u

/* One of the three calls; what the reply points to is the core's, until the next call. */
void subscription_request(struct core *c, const struct request *r, struct reply *reply, struct arena *a,
                          struct error *why);
/* From the log. False: malformed. */
bool subscription_restore(struct core *c, struct span bytes, bool deleted);
/* Into a snapshot. */
void subscriptions_put(const struct core *c, struct buf *out);
void subscriptions_free(struct core *c);

#endif
