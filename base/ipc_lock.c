#include "base/ipc_lock.h"

#include "base/xalloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MADE_UP_DIGITS 16u
#define SWEEP_SECONDS  60

static char *lock_name(const char *path)
{
    char *name = xmalloc(strlen(path) + sizeof ".lock");
    sprintf(name, "%s.lock", path);
    return name;
}

/* A holder removes the file when it ends, so the file just locked may have been unlinked: check that the path still
 * leads to it. */
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
        return error_set(e, "%s exists and is not a socket; choose another path", path);
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

/* ------------------------------------------------------------------ leftovers of crashes */

/* Is it "BASE.XXXXXXXXXXXXXXXX.lock"? */
static bool is_made_up(const char *name, const char *base)
{
    size_t size = strlen(base);
    if (strncmp(name, base, size) != 0 || name[size] != '.')
        return false;
    name += size + 1;
    return strspn(name, "0123456789abcdef") == MADE_UP_DIGITS && strcmp(name + MADE_UP_DIGITS, ".lock") == 0;
}

static void sweep(const char *path)
{
    struct stat st;
    char *name = lock_name(path);
    int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat(fd, &st) == 0 && time(NULL) - st.st_mtime >= SWEEP_SECONDS &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 && is_current(fd, name)) {
        unlink(path);
        unlink(name);
    }
    if (fd >= 0)
        close(fd);
    free(name);
}

void ipc_lock_sweep(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *folder = xstrdup(slash ? path : "."), *name = xmalloc(strlen(path) + MADE_UP_DIGITS + 2);
    if (slash)
        folder[slash - path + 1] = '\0';
    DIR *d = opendir(folder);
    for (const struct dirent *entry; d && (entry = readdir(d)) != NULL;) {
        if (!is_made_up(entry->d_name, base))
            continue;
        sprintf(name, "%s%.*s", path, (int)MADE_UP_DIGITS + 1, entry->d_name + strlen(base));
        sweep(name);
    }
    if (d)
        closedir(d);
    free(folder);
    free(name);
}
