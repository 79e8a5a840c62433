/* Whom an inbox with CURVE admits: the broker's key only. A thread answers libzmq's question at each handshake, so that
 * it is answered whatever the owner of the binding does. */
#ifndef SLUICE_CLIENT_ADMIT_H
#define SLUICE_CLIENT_ADMIT_H

#include "base/curve.h"

/* The ZAP domain of the inbox. */
#define ADMIT_DOMAIN "sluice.inbox"

struct admit;

/* One a context. NULL with a sentence. */
struct admit *admit_open(void *zmq_context, const char *broker_key, struct error *e);
/* Ends the thread; NULL is allowed. */
void admit_close(struct admit *a);

#endif
