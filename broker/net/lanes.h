/* The broker's PUSH sockets: one per session, by lane number. */
#ifndef SLUICE_BROKER_NET_LANES_H
#define SLUICE_BROKER_NET_LANES_H

#include "base/curve.h"
#include "proto/link.h"

struct lanes;

/* `keys` (borrowed): this broker's CURVE keys, used towards peers that have a key themselves. */
struct lanes *lanes_new(void *zmq_context, const struct curve_keys *keys);
void lanes_free(struct lanes *l);
/* Connects a lane to `peer`'s inbox. False when libzmq refuses the endpoint; *why: its error text. Over ipc the
 * handshake's ZAP request has a domain of the lane's own (lanes_of_domain). */
bool lanes_open(struct lanes *l, uint32_t number, const char *endpoint, const char *peer, const char **why);
/* The lane that a ZAP domain belongs to; 0: none. */
uint32_t lanes_of_domain(const char *domain);
/* The peer whose inbox an open lane leads to; NULL: the lane is not open. */
const char *lanes_peer(const struct lanes *l, uint32_t number);
void lanes_close(struct lanes *l, uint32_t number);
/* Pushes a frame, whose share passes. The frame is dropped when the lane is not open or cannot take it: the link
 * sends it again. */
void lanes_send(struct lanes *l, uint32_t number, struct frame *f);

#endif
