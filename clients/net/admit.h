/* Access control of an inbox with CURVE: only the broker's key is admitted. A thread of its own answers libzmq's ZAP
 * request at each handshake, so that handshakes do not depend on the binding's owner. */
#ifndef SLUICE_CLIENT_ADMIT_H
#define SLUICE_CLIENT_ADMIT_H

#include "base/curve.h"

/* The ZAP domain of the inbox. */
#define ADMIT_DOMAIN "sluice.inbox"

struct admit;

/* Starts the thread; one per context. NULL with a sentence on failure. */
struct admit *admit_open(void *zmq_context, const char *broker_key, struct error *e);
/* Ends the thread; NULL is allowed. */
void admit_close(struct admit *a);

#endif
