/* Where a client's inbox is: what to bind when nobody said, how it is bound, and what the broker is told of it. */
#ifndef SLUICE_INBOX_H
#define SLUICE_INBOX_H

#include "base/error.h"
#include "base/ipc_lock.h"

#include <stdbool.h>

/* Does it begin so? */
bool address_is(const char *address, const char *scheme);
/* Where to bind when nobody said: a free port, open to the network only if the broker is not on this machine; else a
 * name nobody else has (a second bind of an ipc path would steal it silently). The caller frees it. */
char *inbox_make_up(const char *broker);
/* Binds the socket; an ipc inbox's path is locked. Returns the address as libzmq shows it, which the caller frees, or NULL with a
 * sentence. */
char *inbox_bind(void *socket, const char *endpoint, struct ipc_lock *lock, struct error *e);
/* What the broker is told: a tcp inbox is dialled at the address it sees us at, so only the port counts. The caller frees it. */
char *inbox_told(const char *bound);

#endif
