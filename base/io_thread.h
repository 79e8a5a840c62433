/* Runs an event loop on libzmq's I/O thread. With two threads each message that comes and each that leaves wakes the
 * other one: a descriptor written, polled and read, and a switch between threads, which together are a third of the work
 * for a message of one event.
 *
 * libzmq has no call for this. But the copy of its archive that we link calls io_thread_epoll_wait for epoll_wait
 * (archives.cmake); where it is a shared library, a program may replace libc's (epoll_replace.c). This runs the loop's
 * turns when the I/O thread has nothing else to do and would sleep. That is safe: libzmq's sockets
 * may move to another thread between two calls, and while the I/O thread is in epoll_wait it holds no lock and has no
 * work half done. But nothing in a turn may wait for the I/O thread: no zmq call that blocks, no zmq_ctx_term. */
#ifndef SLUICE_BASE_IO_THREAD_H
#define SLUICE_BASE_IO_THREAD_H

#include "base/mono.h"

#include <stdbool.h>

#define IO_GUEST_FDS 7
/* The name of an I/O thread, by its number. */
#define IO_THREAD_NAME "%d/ZMQbg/IO/0"

struct epoll_event;

/* An event loop, as a guest of the I/O thread. */
struct io_guest {
    void *of;
    /* One turn. Bit i of `ready`: fds[i] is readable. Sets when the next turn is due at the latest. False: the loop
     * leaves the I/O thread. */
    bool (*turn)(void *of, unsigned ready, mono_t *due);
    /* Waited for; negative: none. A turn may change them. One that it closes must be negative for at least a turn: the
     * next to be opened may have the same number. */
    int fds[IO_GUEST_FDS];
};

/* A guest that waits for nothing yet. */
static inline struct io_guest io_guest(void *of, bool (*turn)(void *of, unsigned ready, mono_t *due))
{
    struct io_guest g = { .of = of, .turn = turn };
    for (unsigned i = 0; i < IO_GUEST_FDS; i++)
        g.fds[i] = -1;
    return g;
}

/* A number for a ZeroMQ context whose I/O thread is to take a guest. Set it as the context's ZMQ_THREAD_NAME_PREFIX
 * before its first socket: the thread is recognised by its name. 0, which takes none, if 9,999 are in use. */
int io_thread_number(void);
/* Gives a number back, after its context was terminated; 0 is allowed. */
void io_thread_forget(int number);
/* Runs turns on the I/O thread of that number until one returns false; the calling thread waits that long. Also returns
 * when the context is terminated. False: no turn was run, because that I/O thread does not call io_thread_epoll_wait, or
 * not yet, or another one of the process takes guests. One at a time does. */
bool io_thread_host(int number, struct io_guest *g);
/* epoll_ctl; for an I/O thread that takes guests with fewer system calls (epoll_output.h). */
int io_thread_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event);
/* epoll_wait, by the same rules. May return 0 before the timeout. */
int io_thread_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout_ms);

#endif
