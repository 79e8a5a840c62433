/* The ZeroMQ side of a client: DEALER, inbox PULL and ingress PUSH around a struct client. One thread owns it. What the
 * library's own thread and the sidecar's loop both stand on. */
#ifndef SLUICE_BINDING_H
#define SLUICE_BINDING_H

#include "base/error.h"
#include "clients/core/client.h"

struct binding;

/* `config->inbox` is what to bind: tcp://HOST:PORT (0: any; tcp://[*]:0 when NULL and the broker is tcp), ipc://PATH or
 * inproc://NAME (made up when NULL and the broker is ipc or inproc). The effect members of `handler` are ignored, for
 * the binding has its own, and an event whose member is NULL is told to nobody. `zmq_context` is borrowed. NULL with a
 * sentence when the inbox cannot be bound. */
struct binding *binding_open(void *zmq_context, const char *broker, const struct client_config *config,
                             const struct client_handler *handler, void *ctx, struct error *e);
/* Closes the sockets without a goodbye (client_bye and binding_run first for an orderly end). */
void binding_close(struct binding *b);
struct client *binding_client(struct binding *b);
/* File descriptors to poll for reading, edge-triggered as ZMQ_FD is: after any wake-up, and after any command, call
 * binding_run until it returns false before sleeping again. */
void binding_fds(const struct binding *b, int *control_fd, int *inbox_fd);
/* For an owner who polls nothing else: sleeps until something came, other_fd (< 0: none) is readable, or it is `until`.
 * Returns true when other_fd is readable; binding_receive then knows what came without asking again. */
bool binding_wait(struct binding *b, int other_fd, mono_t until);
/* For an owner who polls the two descriptors himself: which were readable. To be said after every look at them; binding_run
 * then does not look again. */
void binding_heard(struct binding *b, bool control, bool inbox);
/* Takes what arrived (at most a bounded share), ticks, flushes. True when there is more to do at once. */
bool binding_run(struct binding *b, struct now now);
/* Its two halves, for an owner who has something to add to what is flushed: receive, then send. */
void binding_receive(struct binding *b, struct now now);
bool binding_send(struct binding *b, struct now now);
/* When to call binding_run at the latest. */
mono_t binding_due(const struct binding *b);
/* The inbox as bound. */
const char *binding_inbox(const struct binding *b);

#endif
