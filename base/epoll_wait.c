#include "base/epoll_wait.h"

#include "base/io_thread.h"

#include <sys/epoll.h>

void epoll_wait_replace(void)
{
}

int epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout)
{
    return io_thread_epoll_wait(epoll_fd, events, most, timeout);
}
