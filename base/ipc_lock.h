/* A lock file beside an ipc path, held by the process that binds the path. Without it a second bind would silently
 * steal a path in use, because libzmq unlinks first. The kernel releases the lock with the process, so a crash
 * leaves nothing locked. */
#ifndef SLUICE_BASE_IPC_LOCK_H
#define SLUICE_BASE_IPC_LOCK_H

#include "base/error.h"

struct ipc_lock {
    char *path; /* of the socket; owned; NULL when nothing is held */
    int fd;
};

/* Takes "PATH.lock". False with a sentence when another process holds it or the directory refuses it. */
bool ipc_lock_take(struct ipc_lock *lock, const char *path, struct error *e);
/* Removes the socket and the lock file and releases the lock. Does nothing if none is held, as in a zeroed struct. */
void ipc_lock_release(struct ipc_lock *lock);
/* Removes sockets and lock files that crashed holders of "PATH.XXXXXXXXXXXXXXXX" left behind. (Sixteen hex digits:
 * generated names, which nobody takes again.) Files younger than a minute stay: they may be about to be locked. */
void ipc_lock_sweep(const char *path);

#endif
