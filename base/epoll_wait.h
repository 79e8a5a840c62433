/* Replaces libc's epoll_wait, for the program and its libraries, by one that can run an event loop on libzmq's I/O
 * thread (io_thread.h). */
#ifndef SLUICE_BASE_EPOLL_WAIT_H
#define SLUICE_BASE_EPOLL_WAIT_H

/* Has the linker take the replacement into a program that calls this; does nothing else. */
void epoll_wait_replace(void);

#endif
