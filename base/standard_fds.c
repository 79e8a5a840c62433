#include "base/standard_fds.h"

#include <errno.h>
#include <fcntl.h>

void standard_fds_reserve(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        /* open returns the lowest free number, this one. The wrong direction makes it useless to child processes,
         * too. */
        if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return;
    }
}
