#include "base/accept.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEFT_MOST 64u

static atomic_bool leaves_some; /* libzmq's I/O thread asks */

void accept_reserve_fds(void)
{
    atomic_store(&leaves_some, true);
}

uint64_t accept_reserved_fds(uint64_t descriptors)
{
    return descriptors / 16 < LEFT_MOST ? descriptors / 16 : LEFT_MOST;
}

/* The kernel gives the lowest number that is free. */
static bool is_one_of_the_last(int fd)
{
    struct rlimit files;
    return atomic_load(&leaves_some) && getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY &&
           (uint64_t)fd >= files.rlim_cur - accept_reserved_fds(files.rlim_cur);
}

int accept4(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    int fd = (int)syscall(SYS_accept4, listener, address, size, flags);
    if (fd < 0 && errno == EMFILE)
        errno = ENFILE; /* which libzmq knows everywhere, and takes alike where it knows both */
    if (fd < 0 || !is_one_of_the_last(fd))
        return fd;
    close(fd);
    errno = ECONNABORTED; /* as when the other side had gone before */
    return -1;
}
