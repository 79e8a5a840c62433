/* Keeps the signals that libzmq's I/O thread sends to itself out of the kernel.
 *
 * libzmq's threads wake each other by eventfds, which they write, poll and read; each time they also ask for their
 * process's number, to see whether it forked. While an event loop is a guest of the I/O thread (io_thread.h), both ends
 * of nearly every such signal are the same thread. Where events come one by one, nine of the thirteen system calls per
 * event were these. So we link a copy of libzmq's archive whose getpid, poll, read and write are the functions below
 * (archives.cmake). libzmq's other calls of them have no descriptor that is watched here.
 *
 * A signal of the I/O thread to itself is noted, and reported by its next epoll_wait. A descriptor that epoll has not
 * reported is taken for not readable: if it is, epoll will report it before the thread sleeps. Signals from and to other
 * threads go through the kernel as ever. */
#ifndef SLUICE_BASE_IO_SIGNAL_H
#define SLUICE_BASE_IO_SIGNAL_H

#include <poll.h>
#include <sys/types.h>

struct epoll_event;

/* The calling thread is the I/O thread, and `epoll_fd` is what it waits with: before its first wait. */
void io_signal_begin(int epoll_fd);
/* The thread no longer waits. Signals that it has not seen are passed on to the kernel. */
void io_signal_end(void);
/* Epoll reports the descriptor by this `data`; at most IO_GUEST_FDS at a time. */
void io_signal_watch(int fd, void *data);
/* No longer. A signal that was not seen is passed on to the kernel, so that whoever reads the descriptor next hears of
 * it. A socket may have been closed in the same turn: while it has a signal to read, its owner keeps it open. */
void io_signal_unwatch(int fd);
/* What epoll has reported. */
void io_signal_reported(const struct epoll_event *events, int count);
/* Call before the thread sleeps. Returns how many descriptors have signals of this thread, at most `most`; if any, they
 * are to be handled first. */
int io_signal_report(struct epoll_event *events, int most);

/* libzmq's. Those that are not about a signal of this thread to itself do what libc's do. */
pid_t io_signal_getpid(void);
int io_signal_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
ssize_t io_signal_read(int fd, void *to, size_t size);
ssize_t io_signal_write(int fd, const void *from, size_t size);

#endif
