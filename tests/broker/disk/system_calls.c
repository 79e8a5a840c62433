#include "tests/broker/disk/system_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    pthread_mutex_t mutex;
    bool on, for_good;
    enum call call;
    unsigned after; /* so many succeed first */
    int error;      /* -1: half of it is done (pwrite, pread) */
    bool struck;
    char trace[400];
} fault = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static bool counts(enum call call)
{
    static const char *const names[CALLS] = { "write",  "read",   "datasync", "sync", "sync-dir", "allocate",
                                              "rename", "unlink", "create",   "open", "close" };
    size_t used = strlen(fault.trace);
    snprintf(fault.trace + used, sizeof fault.trace - used, "%s ", names[call]);
    if (!fault.on || call != fault.call || (fault.struck && !fault.for_good))
        return false;
    return fault.after == 0 || fault.after-- == 0;
}

static bool strikes(enum call call)
{
    pthread_mutex_lock(&fault.mutex);
    bool now = counts(call);
    fault.struck |= now;
    int error = fault.error;
    pthread_mutex_unlock(&fault.mutex);
    if (now && error > 0)
        errno = error;
    return now;
}

/* The definition of a function behind this program's own: the C library's. */
#define NEXT(name) ((__typeof__(&(name)))(uintptr_t)dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (strikes(PWRITE)) {
        if (fault.error > 0)
            return -1;
        size = (size + 1) / 2;
    }
    return NEXT(pwrite)(fd, data, size, offset);
}

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
    if (strikes(PREAD)) {
        if (fault.error > 0)
            return -1;
        size = (size + 1) / 2;
    }
    return NEXT(pread)(fd, to, size, offset);
}

int fdatasync(int fd)
{
    return strikes(FDATASYNC) ? -1 : NEXT(fdatasync)(fd);
}

int fsync(int fd)
{
    struct stat st;
    bool directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return strikes(directory ? SYNC_DIRECTORY : FSYNC) ? -1 : NEXT(fsync)(fd);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return strikes(FALLOCATE) ? -1 : NEXT(fallocate)(fd, mode, offset, size);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return strikes(RENAME) ? -1 : NEXT(renameat)(from_dir, from, to_dir, to);
}

int unlinkat(int dir, const char *name, int flags)
{
    return strikes(UNLINK) ? -1 : NEXT(unlinkat)(dir, name, flags);
}

int openat(int dir, const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return strikes(flags & O_CREAT ? CREATE : OPEN) ? -1 : NEXT(openat)(dir, name, flags, mode);
}

/* The descriptor is closed even so, as on Linux. */
int close(int fd)
{
    bool fails = strikes(CLOSE);
    int result = NEXT(close)(fd);
    if (fails)
        errno = fault.error;
    return fails ? -1 : result;
}

/* ---- what fails */

static void set(enum call call, unsigned after, int error, bool for_good)
{
    pthread_mutex_lock(&fault.mutex);
    fault.on = true;
    fault.for_good = for_good;
    fault.call = call;
    fault.after = after;
    fault.error = error;
    fault.struck = false;
    pthread_mutex_unlock(&fault.mutex);
}

void arm(enum call call, unsigned after, int error)
{
    set(call, after, error, false);
}

void arm_for_good(enum call call, int error)
{
    set(call, 0, error, true);
}

bool fault_struck(void)
{
    pthread_mutex_lock(&fault.mutex);
    bool struck = fault.struck;
    pthread_mutex_unlock(&fault.mutex);
    return struck;
}

bool disarm(void)
{
    pthread_mutex_lock(&fault.mutex);
    fault.on = false;
    pthread_mutex_unlock(&fault.mutex);
    return fault_struck();
}

const char *fault_trace(void)
{
    return fault.trace;
}

void fault_trace_clear(void)
{
    fault.trace[0] = 0;
}
