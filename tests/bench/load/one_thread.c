/* libsluice and libzmq on one thread, as docs/c-api.md shows it. */
#include <sluice.h>
#include <sys/epoll.h>

__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int most, int timeout_ms)
{
    return sluice_epoll_wait(fd, events, most, timeout_ms);
}
