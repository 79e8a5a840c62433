/* A directory of a real file system: opens, locks and lists it. files_priv.h says where the rest is. */
#include "broker/disk/files_priv.h"

#include "base/log.h"
#include "base/xalloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DIRECTORY_MODE 0750

struct posix_files {
    struct files base;
    struct directory directory;
    struct workers workers;
    int lock; /* descriptor of the lock file; -1: read_only */
};

static struct posix_files *self(const struct files *f)
{
    return (struct posix_files *)(uintptr_t)f;
}

/* ---- opening */

static int sync_parent(int dir)
{
    int parent = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return errno;
    int error = fsync(parent) == 0 ? 0 : errno, closed = file_close(parent);
    return error ? error : closed;
}

static int open_directory(const char *path, bool read_only, struct error *e)
{
    bool made = !read_only && mkdir(path, DIRECTORY_MODE) == 0;
    if (!read_only && !made && errno != EEXIST) {
        error_set(e, "cannot create the data directory %s: %s", path, strerror(errno));
        return -1;
    }
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        error_set(e, "cannot open the data directory %s: %s", path, strerror(errno));
        return -1;
    }
    int error = made ? sync_parent(dir) : 0;
    if (error) {
        error_set(e, "cannot sync the directory that holds %s: %s", path, strerror(error));
        close(dir);
        return -1;
    }
    return dir;
}

/* ---- the lock
 *
 * The lock file is never removed: otherwise somebody could lock a file that has no name any more. The kernel drops
 * the lock with the process. */

static void set_lock_held_error(int lock, const char *path, struct error *e)
{
    char text[32] = "";
    ssize_t n = pread(lock, text, sizeof text - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0)
        error_set(e, "another broker (process %ld) uses the data directory %s: stop it or choose another directory",
                  pid, path);
    else
        error_set(e, "another broker uses the data directory %s: stop it or choose another directory", path);
}

static bool write_pid(int lock)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    return ftruncate(lock, 0) == 0 && pwrite(lock, text, (size_t)size, 0) == size;
}

static int take_lock(int dir, const char *path, struct error *e)
{
    int lock = openat(dir, FILE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (lock < 0) {
        error_set(e, "cannot open %s/" FILE_LOCK ": %s", path, strerror(errno));
        return -1;
    }
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        if (!write_pid(lock)) /* only a warning: a broker must start on a full disk, so that events can be consumed */
            log_write(LOG_WARN, "store", "cannot write the process id into %s/" FILE_LOCK ": %s", path,
                      strerror(errno));
        return lock;
    }
    if (errno == EWOULDBLOCK)
        set_lock_held_error(lock, path, e);
    else
        error_set(e, "cannot lock %s/" FILE_LOCK ": %s", path, strerror(errno));
    close(lock);
    return -1;
}

bool files_posix_is_free(const char *path, struct error *e)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int lock = dir < 0 ? -1 : openat(dir, FILE_LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool held = lock >= 0 && flock(lock, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (held)
        set_lock_held_error(lock, path, e);
    if (lock >= 0)
        close(lock);
    if (dir >= 0)
        close(dir);
    return !held;
}

/* ---- listing */

static int visit_entry(int dir, const char *name, void (*visit)(void *context, const char *name, uint64_t size),
                       void *context)
{
    struct stat st;
    if (!file_name_is_valid(name))
        return 0;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : errno;
    if (S_ISREG(st.st_mode))
        visit(context, name, (uint64_t)st.st_size);
    return 0;
}

static int each_entry(int dir, DIR *entries, void (*visit)(void *context, const char *name, uint64_t size),
                      void *context)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(entries);
        if (!entry)
            return errno;
        int error = visit_entry(dir, entry->d_name, visit, context);
        if (error)
            return error;
    }
}

/* Uses a descriptor of its own, because reading the directory moves the descriptor's position. */
static DIR *open_entries(int dir)
{
    int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = own < 0 ? NULL : fdopendir(own);
    if (own >= 0 && !entries) {
        int error = errno;
        close(own);
        errno = error;
    }
    return entries;
}

static int list(struct files *f, void (*visit)(void *context, const char *name, uint64_t size), void *context)
{
    int dir = self(f)->directory.fd;
    DIR *entries = open_entries(dir);
    if (!entries)
        return errno;
    int error = each_entry(dir, entries, visit, context);
    closedir(entries);
    return error;
}

/* Removes temporary files that a crash left. */
static int remove_temporary_files(int dir)
{
    DIR *entries = open_entries(dir);
    if (!entries)
        return errno;
    int error = 0;
    const struct dirent *entry;
    while (!error && (errno = 0, entry = readdir(entries)) != NULL) {
        size_t size = strlen(entry->d_name), temp = sizeof FILE_TEMP_SUFFIX - 1;
        if (size > temp && strcmp(entry->d_name + size - temp, FILE_TEMP_SUFFIX) == 0 &&
            unlinkat(dir, entry->d_name, 0) != 0)
            error = errno;
    }
    error = error ? error : errno;
    closedir(entries);
    return error;
}

/* ---- the other slots */

static void submit(struct files *f, struct file_op *op)
{
    workers_submit(&self(f)->workers, op);
}

static struct file_op *done(struct files *f)
{
    return workers_done(&self(f)->workers);
}

static int event_fd(const struct files *f)
{
    return self(f)->workers.event;
}

static uint64_t room(const struct files *f)
{
    struct statvfs st;
    if (fstatvfs(self(f)->directory.fd, &st) != 0)
        return 0; /* unknown: assume that nothing is free */
    uint64_t bytes;
    return __builtin_mul_overflow((uint64_t)st.f_bavail, (uint64_t)st.f_frsize, &bytes) ? UINT64_MAX : bytes;
}

static int read_now(struct files *f, const char *name, uint64_t offset, void *to, size_t size, size_t *got)
{
    return file_read(&self(f)->directory, name, offset, to, size, got);
}

static int extent(struct files *f, const char *name, uint64_t *data, uint64_t *size)
{
    return file_extent(&self(f)->directory, name, data, size);
}

static int apply(struct files *f, struct file_op *op)
{
    return op->kind == FILE_READ ? EINVAL : file_execute(&self(f)->directory, op);
}

static void close_files(struct files *f)
{
    struct posix_files *p = self(f);
    workers_free(&p->workers);
    int error = handles_close(&p->directory.handles);
    if (error) /* what was confirmed was synced before; this concerns only what was not */
        log_write(LOG_ERROR, "store", "cannot close the log's files: %s", strerror(error));
    if (p->lock >= 0) {
        if (ftruncate(p->lock, 0) != 0)
            log_write(LOG_WARN, "store", "cannot empty the lock file: %s", strerror(errno));
        close(p->lock);
    }
    close(p->directory.fd);
    free(p);
}

static bool make_ready(struct posix_files *p, const char *path, struct error *e)
{
    if (!p->directory.read_only && (p->lock = take_lock(p->directory.fd, path, e)) < 0)
        return false;
    int error = p->directory.read_only ? 0 : remove_temporary_files(p->directory.fd);
    if (error)
        return error_set(e, "cannot remove the temporary files in %s: %s", path, strerror(error));
    error = workers_init(&p->workers, &p->directory);
    return !error || error_set(e, "cannot create an eventfd: %s", strerror(error));
}

struct files *files_posix_open(const char *path, bool read_only, struct error *e)
{
    static const struct files_ops ops = {
        .submit = submit,
        .done = done,
        .fd = event_fd,
        .room = room,
        .list = list,
        .read = read_now,
        .extent = extent,
        .apply = apply,
        .close = close_files,
    };
    int dir = open_directory(path, read_only, e);
    if (dir < 0)
        return NULL;
    struct posix_files *p = xcalloc(1, sizeof *p);
    p->base.ops = &ops;
    p->lock = -1;
    p->directory.fd = dir;
    p->directory.read_only = read_only;
    atomic_init(&p->directory.broken, false);
    if (!make_ready(p, path, e)) {
        if (p->lock >= 0)
            close(p->lock);
        close(dir);
        free(p);
        return NULL;
    }
    handles_init(&p->directory.handles, dir, read_only);
    return &p->base;
}
