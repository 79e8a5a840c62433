/* The broker's PUSH sockets, one a session, by lane number. */
#ifndef SLUICE_BROKER_NET_LANES_H
#define SLUICE_BROKER_NET_LANES_H

#include "proto/link.h"

struct lanes;

struct lanes *lanes_new(void *zmq_context);
void lanes_free(struct lanes *l);
/* Connects a lane; false with errno's text in *why when the endpoint is refused. */
bool lanes_open(struct lanes *l, uint32_t number, const char *endpoint, const char **why);
void lanes_close(struct lanes *l, uint32_t number);
/* Pushes the frame; its share passes to the lanes. Dropped when the lane is closed or cannot take it: the link sends
 * it again. */
void lanes_send(struct lanes *l, uint32_t number, struct frame *f);

#endif
