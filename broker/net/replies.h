/* Replies of the control socket. Private to broker/net. */
#ifndef SLUICE_BROKER_NET_REPLIES_H
#define SLUICE_BROKER_NET_REPLIES_H

#include "broker/core/core.h"

struct replies;

/* `most`: how many bytes of replies all peers together may leave unread; a single peer half of that. */
struct replies *replies_new(uint64_t most);
/* Replies that libzmq still holds stay valid until it has sent or dropped them. */
void replies_free(struct replies *r);
/* Sends a reply, or drops it when its peer is gone or does not read; a client whose reply is missing asks again. */
void replies_send(struct replies *r, void *control, const struct route *to, struct span text);

#endif
