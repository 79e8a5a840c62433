/* The ZeroMQ side of a client: DEALER, inbox PULL and ingress PUSH around a struct client. One thread owns it. Used
 * by the library's thread and by the sidecar's loop. */
#ifndef SLUICE_BINDING_H
#define SLUICE_BINDING_H

#include "base/error.h"
#include "base/one_thread.h"
#include "clients/core/client.h"

struct binding;

/* Opens the sockets and a client. `zmq_context` is borrowed. config->inbox: what to bind: tcp://HOST:PORT (port 0:
 * any), ipc://PATH or inproc://NAME. NULL: inbox_default (inbox.h). handler: its effect members are ignored, because
 * the binding has its own; event members may be NULL. Returns NULL with a sentence if the address or keys are
 * unusable or the inbox cannot be bound. */
struct binding *binding_open(void *zmq_context, const char *broker, const struct client_config *config,
                             const struct client_handler *handler, void *ctx, struct error *e);
/* Closes the sockets without a goodbye (client_bye and binding_run first for an orderly end). */
void binding_close(struct binding *b);
struct client *binding_client(struct binding *b);
/* File descriptors to poll for reading. They are edge-triggered, as ZMQ_FD is: after any wake-up, and after any
 * command, call binding_run until it returns false before sleeping again. */
void binding_fds(const struct binding *b, int *control_fd, int *inbox_fd);
/* For an owner who polls nothing else: sleeps until something arrives, other_fd (< 0: none) is readable, or `until`.
 * Returns true when other_fd is readable. The binding_receive that follows need not poll again. */
bool binding_wait(struct binding *b, int other_fd, mono_t until);
/* For an owner who polls the two descriptors himself: which of them were readable. Call it after every poll;
 * binding_run then does not poll again. */
void binding_polled(struct binding *b, bool control, bool inbox);
/* Receives (a bounded amount), ticks and flushes. True when there is more to do at once. */
bool binding_run(struct binding *b, struct now now);
/* The two halves of binding_run, for an owner who adds something between them: receive, then send. */
void binding_receive(struct binding *b, struct now now);
bool binding_send(struct binding *b, struct now now);
/* When to call binding_run at the latest. */
mono_t binding_due(const struct binding *b);
/* What was received and sent since the start. */
struct traffic binding_traffic(const struct binding *b);
/* The inbox as bound. */
const char *binding_inbox(const struct binding *b);

#endif
