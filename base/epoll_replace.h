/* Replaces libc's epoll_wait and epoll_ctl, for the program and its libraries, by those of io_thread.h. */
#ifndef SLUICE_BASE_EPOLL_REPLACE_H
#define SLUICE_BASE_EPOLL_REPLACE_H

/* Has the linker take the replacements into a program that calls this; does nothing else. */
void epoll_replace(void);

#endif
