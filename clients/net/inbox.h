/* A client's inbox: its default address, binding it, and the address the broker is given. */
#ifndef SLUICE_INBOX_H
#define SLUICE_INBOX_H

#include "base/error.h"
#include "base/ipc_lock.h"

#include <stdbool.h>

/* Does the address begin with this scheme, "tcp://" and the like? */
bool address_is(const char *address, const char *scheme);
/* The default address: a free tcp port, on loopback if the broker is there and else open to the network; or a unique
 * ipc or inproc name (a second bind of an ipc path would steal it silently). The caller frees it. */
char *inbox_default(const char *broker);
/* Binds the socket, and locks the path of an ipc inbox. Returns the address as libzmq shows it, which the caller
 * frees, or NULL with a sentence. */
char *inbox_bind(void *socket, const char *endpoint, struct ipc_lock *lock, struct error *e);
/* The address given to the broker. It dials a tcp inbox at the address it sees the client at, so only the port
 * matters. The caller frees it. */
char *inbox_advertised(const char *bound);

#endif
