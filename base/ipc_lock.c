#include "base/ipc_lock.h"

#include "base/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char *lock_name(const char *path)
{
    char *name = xmalloc(strlen(path) + sizeof ".lock");
    sprintf(name, "%s.lock", path);
    return name;
}

/* A holder that ends removes the file: whoever opened it before locked a file that no path leads to any more. */
static bool is_current(int fd, const char *name)
{
    struct stat held, named;
    return fstat(fd, &held) == 0 && stat(name, &named) == 0 && held.st_ino == named.st_ino;
}

static int open_locked(const char *name)
{
    for (;;) {
        int fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0660);
        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int why = errno;
            close(fd);
            errno = why;
            return -1;
        }
        if (is_current(fd, name))
            return fd;
        close(fd);
    }
}

bool ipc_lock_take(struct ipc_lock *lock, const char *path, struct error *e)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return error_set(e, "%s exists and is no socket; choose another path", path);
    char *name = lock_name(path);
    int fd = open_locked(name);
    if (fd < 0 && errno == EWOULDBLOCK)
        error_set(e, "%s is in use by another process; stop it or choose another path", path);
    else if (fd < 0)
        error_set(e, "cannot lock %s: %s", name, strerror(errno));
    free(name);
    if (fd < 0)
        return false;
    lock->fd = fd;
    lock->path = xstrdup(path);
    return true;
}

void ipc_lock_release(struct ipc_lock *lock)
{
    if (!lock->path)
        return;
    char *name = lock_name(lock->path);
    unlink(lock->path);
    unlink(name);
    close(lock->fd);
    free(name);
    free(lock->path);
    lock->path = NULL;
}
