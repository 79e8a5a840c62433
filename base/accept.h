/* Incoming connections when file descriptors run out. libzmq (4.3.4) aborts the process when a connection arrives
 * over ipc and accept fails with EMFILE, an error its ipc_listener.cpp does not expect. Over tcp it leaves the
 * connection waiting, spins, and takes the next descriptor that becomes free; then the log cannot open a file
 * either, which counts as a failed disk. So this accept4, which replaces libc's for the program and its libraries,
 * keeps some descriptors free. */
#ifndef SLUICE_BASE_ACCEPT_H
#define SLUICE_BASE_ACCEPT_H

#include <stdint.h>

/* From here on a connection that gets one of the last descriptors is closed at once, and the other side tries again. A
 * sixteenth of all descriptors, at most 64, is reserved for everything but connections. */
void accept_reserve_fds(void);

/* How many are reserved with a limit of that many descriptors. */
uint64_t accept_reserved_fds(uint64_t descriptors);

#endif
