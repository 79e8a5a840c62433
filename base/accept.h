/* Connections, when descriptors run out. libzmq (4.3.4) ends the process when one comes over ipc and there is none for it: EMFILE
 * is not among the errors that its ipc_listener.cpp knows. Over tcp it lets the connection wait, spins, and takes the next one that
 * becomes free: then there is none for a file of the log either, which is a disk that failed. So a program that calls
 * accept_reserve_fds has its own accept4, in place of libc's also for its libraries. */
#ifndef SLUICE_BASE_ACCEPT_H
#define SLUICE_BASE_ACCEPT_H

#include <stdint.h>

/* From here on a connection that gets one of the last descriptors is closed at once, and the other side tries again: a sixteenth
 * of all, and 64 at most, are for what is no connection. */
void accept_reserve_fds(void);

/* That of so many. */
uint64_t accept_reserved_fds(uint64_t descriptors);

#endif
