#include "base/epoll_replace.h"

#include "base/io_thread.h"

#include <sys/epoll.h>

void epoll_replace(void)
{
}

int epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout)
{
    return io_thread_epoll_wait(epoll_fd, events, most, timeout);
}

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    return io_thread_epoll_ctl(epoll_fd, op, fd, event);
}
