/* Incoming connections when file descriptors run out. libzmq (4.3.4) aborts the process when a connection arrives
 * over ipc and accept fails with EMFILE, an error its ipc_listener.cpp does not expect. Over tcp it leaves the
 * connection waiting, spins, and takes the next descriptor that becomes free; then the log cannot open a file
 * either, which counts as a failed disk. So the copy of libzmq's archive that we link calls accept_connection for
 * accept4 (archives.cmake), and a program that reserves descriptors has accept4 replaced for all its libraries. */
#ifndef SLUICE_BASE_ACCEPT_H
#define SLUICE_BASE_ACCEPT_H

#include <stdint.h>
#include <sys/socket.h>

/* From here on a connection that gets one of the last descriptors is closed at once, and the other side tries again. A
 * sixteenth of all descriptors, at most 64, is reserved for everything but connections. */
void accept_reserve_fds(void);

/* accept4 by these rules; without descriptors it fails with ENFILE instead of EMFILE. */
int accept_connection(int listener, struct sockaddr *address, socklen_t *size, int flags);

/* How many are reserved with a limit of that many descriptors. */
uint64_t accept_reserved_fds(uint64_t descriptors);

#endif
