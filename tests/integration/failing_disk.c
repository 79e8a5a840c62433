/* A preloaded library that simulates a failing disk in a broker. While the file named by FAILING_DISK_CUE exists, the
 * call named by FAILING_DISK_CALL fails with the errno in FAILING_DISK_ERROR, or with EIO if that is not set. Only
 * calls on a descriptor, or relative to a directory's, fail: those are the broker's own. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static bool fails(const char *call)
{
    const char *chosen = getenv("FAILING_DISK_CALL"), *cue = getenv("FAILING_DISK_CUE");
    int kept = errno;
    bool now = chosen && cue && strcmp(chosen, call) == 0 && access(cue, F_OK) == 0;
    const char *error = getenv("FAILING_DISK_ERROR");
    errno = !now ? kept : error ? (int)strtol(error, NULL, 10) : EIO;
    return now;
}

/* Finds the real function behind the wrapper. */
#define REAL(type) ((type)(intptr_t)dlsym(RTLD_NEXT, __func__))

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return fails("pwrite") ? -1 : REAL(ssize_t(*)(int, const void *, size_t, off_t))(fd, data, size, offset);
}

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
    return fails("pread") ? -1 : REAL(ssize_t(*)(int, void *, size_t, off_t))(fd, to, size, offset);
}

int fdatasync(int fd)
{
    return fails("fdatasync") ? -1 : REAL(int (*)(int))(fd);
}

int fsync(int fd)
{
    return fails("fsync") ? -1 : REAL(int (*)(int))(fd);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return fails("fallocate") ? -1 : REAL(int (*)(int, int, off_t, off_t))(fd, mode, offset, size);
}

int openat(int directory, const char *name, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (directory != AT_FDCWD && fails("openat"))
        return -1;
    return REAL(int (*)(int, const char *, int, ...))(directory, name, flags, mode);
}

int renameat(int from, const char *name, int to, const char *as)
{
    return fails("renameat") ? -1 : REAL(int (*)(int, const char *, int, const char *))(from, name, to, as);
}

int unlinkat(int directory, const char *name, int flags)
{
    return fails("unlinkat") ? -1 : REAL(int (*)(int, const char *, int))(directory, name, flags);
}
