/* Replies of the control socket. Private to broker/net. */
#ifndef SLUICE_BROKER_NET_REPLIES_H
#define SLUICE_BROKER_NET_REPLIES_H

#include "broker/core/core.h"

struct replies;

/* `most`: bytes of replies that all peers together may leave unread; half of it one of them. */
struct replies *replies_new(uint64_t most);
/* What is on its way still keeps what it needs until it has left, or is dropped. */
void replies_free(struct replies *r);
/* Sends it at once or drops it, where its peer is gone or does not read: it asks again. */
void replies_send(struct replies *r, void *control, const struct route *to, struct span text);

#endif
