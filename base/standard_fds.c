#include "base/standard_fds.h"

#include <errno.h>
#include <fcntl.h>

void standard_fds_hold(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        /* The lowest free number is this one. Opened for the other direction, it is of no use to a child either. */
        if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return;
    }
}
