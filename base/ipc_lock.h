/* A lock beside an ipc path, held by the process that binds it: a second bind of a living path would steal it silently
 * (libzmq unlinks first). The kernel drops the lock with the process, so a crash leaves nothing to clean up. */
#ifndef SLUICE_BASE_IPC_LOCK_H
#define SLUICE_BASE_IPC_LOCK_H

#include "base/error.h"

struct ipc_lock {
    char *path; /* of the socket; owned; NULL when nothing is held */
    int fd;
};

/* Takes "PATH.lock". False with a sentence when another process holds it or the directory refuses it. */
bool ipc_lock_take(struct ipc_lock *lock, const char *path, struct error *e);
/* Removes the socket and the lock's file and lets go; nothing when nothing is held. A zeroed struct holds nothing. */
void ipc_lock_release(struct ipc_lock *lock);
/* Removes what holders of "PATH.XXXXXXXXXXXXXXXX" (sixteen hex digits: names that are made up, once each, and so taken by nobody
 * again) have left that crashed. What is younger than a minute may be about to be locked, and stays. */
void ipc_lock_sweep(const char *path);

#endif
