/* Replaces libc's epoll_wait and epoll_ctl, for a program and its libraries, by those of io_thread.h. For programs of a
 * build in which libzmq is a shared library; the copy of its archive calls io_thread.h anyway (archives.cmake). */
#include "base/io_thread.h"

#include <sys/epoll.h>

int epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout)
{
    return io_thread_epoll_wait(epoll_fd, events, most, timeout);
}

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    return io_thread_epoll_ctl(epoll_fd, op, fd, event);
}
