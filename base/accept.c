#include "base/accept.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEFT_MOST 64u

static atomic_bool reserves; /* read by libzmq's I/O thread */

void accept_reserve_fds(void)
{
    atomic_store(&reserves, true);
}

uint64_t accept_reserved_fds(uint64_t descriptors)
{
    return descriptors / 16 < LEFT_MOST ? descriptors / 16 : LEFT_MOST;
}

/* The kernel returns the lowest free number, so a high one means that few are left. */
static bool is_one_of_the_last(int fd)
{
    struct rlimit files;
    return atomic_load(&reserves) && getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY &&
           (uint64_t)fd >= files.rlim_cur - accept_reserved_fds(files.rlim_cur);
}

int accept_connection(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    int fd = (int)syscall(SYS_accept4, listener, address, size, flags);
    if (fd < 0 && errno == EMFILE)
        errno = ENFILE; /* libzmq handles this one everywhere, and as EMFILE where it handles both */
    if (fd < 0 || !is_one_of_the_last(fd))
        return fd;
    close(fd);
    errno = ECONNABORTED; /* as if the peer had disconnected already */
    return -1;
}

int accept4(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    return accept_connection(listener, address, size, flags);
}
