/* What sluice.h tells a program to do that wants the library on libzmq's I/O thread. */
#include "clients/c/include/sluice.h"

#include <sys/epoll.h>

__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int most, int timeout_ms)
{
    return sluice_epoll_wait(fd, events, most, timeout_ms);
}
