/* The broker's PUSH sockets, one a session, by lane number. */
#ifndef SLUICE_BROKER_NET_LANES_H
#define SLUICE_BROKER_NET_LANES_H

#include "base/curve.h"
#include "proto/link.h"

struct lanes;

/* `keys` (borrowed) are this broker's; used towards peers that have a key themselves. */
struct lanes *lanes_new(void *zmq_context, const struct curve_keys *keys);
void lanes_free(struct lanes *l);
/* Connects a lane to `peer`'s inbox; false with errno's text in *why when the endpoint is refused. Over ipc its handshake is
 * asked for under lanes_domain. */
bool lanes_open(struct lanes *l, uint32_t number, const char *endpoint, const char *peer, const char **why);
/* The lane a ZAP domain is of; 0: of none. */
uint32_t lanes_of_domain(const char *domain);
/* Whose inbox an open lane leads to; NULL when it is closed. */
const char *lanes_peer(const struct lanes *l, uint32_t number);
void lanes_close(struct lanes *l, uint32_t number);
/* Pushes the frame; its share passes to the lanes. Dropped when the lane is closed or cannot take it: the link sends
 * it again. */
void lanes_send(struct lanes *l, uint32_t number, struct frame *f);

#endif
