/* Carries out one operation. A new file, or new content, is prepared in a temporary file, synced and then renamed, so
 * a crash leaves either all of it or a temporary file that the next start removes. */
#include "broker/disk/files_priv.h"

#include "base/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZEROS_AT_ONCE (64u * 1024u)

bool file_name_is_valid(const char *name)
{
    size_t size = strnlen(name, FILE_NAME_SIZE), temp = sizeof FILE_TEMP_SUFFIX - 1;
    if (size == 0 || size == FILE_NAME_SIZE || name[0] == '.' || strchr(name, '/') || strcmp(name, FILE_LOCK) == 0)
        return false;
    return size < temp || strcmp(name + size - temp, FILE_TEMP_SUFFIX) != 0;
}

static int sync_data(int fd)
{
    while (fdatasync(fd) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* Everything: data, size and allocation. */
static int sync_whole(int fd)
{
    while (fsync(fd) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, data, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        data += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int read_all(int fd, uint8_t *to, size_t size, uint64_t offset, size_t *got)
{
    for (*got = 0; *got < size;) {
        ssize_t n = pread(fd, to + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return 0;
}

static int write_zeros(int fd, uint64_t size)
{
    uint8_t *zeros = xcalloc(1, ZEROS_AT_ONCE);
    int error = 0;
    for (uint64_t at = 0; at < size && !error; at += ZEROS_AT_ONCE)
        error = write_all(fd, zeros, size - at < ZEROS_AT_ONCE ? (size_t)(size - at) : ZEROS_AT_ONCE, at);
    free(zeros);
    return error;
}

/* Like posix_fallocate, except on file systems that cannot allocate: there the C library would write one byte per
 * block, which is slower than writing all of it and no more reliable. */
static int allocate(int fd, uint64_t size)
{
    if (size > INT64_MAX)
        return EFBIG;
    int error = 0;
    do
        error = size == 0 || fallocate(fd, 0, 0, (off_t)size) == 0 ? 0 : errno;
    while (error == EINTR);
    return error == EOPNOTSUPP || error == ENOSYS ? write_zeros(fd, size) : error;
}

static int fill(int fd, const struct file_op *op)
{
    int error = op->kind == FILE_CREATE ? allocate(fd, op->size) : write_all(fd, op->data.data, op->data.size, 0);
    return error ? error : sync_whole(fd);
}

static int remove_name(struct directory *d, const char *name)
{
    return unlinkat(d->fd, name, 0) != 0 && errno != ENOENT ? errno : 0;
}

/* Makes the new file under the temporary name, or leaves nothing. */
static int prepare(struct directory *d, const struct file_op *op, const char *temp)
{
    int fd = openat(d->fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0)
        return errno;
    int error = fill(fd, op), closed = file_close(fd);
    error = error ? error : closed;
    if (error && remove_name(d, temp) != 0)
        return EIO; /* the file that is left takes room that nobody accounts for */
    return error;
}

static int put_in_place(struct directory *d, const struct file_op *op)
{
    char temp[FILE_NAME_SIZE + sizeof FILE_TEMP_SUFFIX];
    snprintf(temp, sizeof temp, "%s" FILE_TEMP_SUFFIX, op->name);
    int error = prepare(d, op, temp);
    if (error)
        return error;
    if (renameat(d->fd, temp, d->fd, op->name) != 0) {
        error = errno;
        return remove_name(d, temp) != 0 ? EIO : error;
    }
    /* On failure it is unknown whether the old or the new file is there after a crash. So it is EIO even if the cause
     * was a lack of space. */
    return handles_drop(&d->handles, op->name) != 0 || sync_whole(d->fd) != 0 ? EIO : 0;
}

static int create(struct directory *d, const struct file_op *op)
{
    struct stat st;
    if (fstatat(d->fd, op->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    return errno == ENOENT ? put_in_place(d, op) : errno;
}

static int remove_file(struct directory *d, const struct file_op *op)
{
    int error = handles_drop(&d->handles, op->name);
    if (!error)
        error = remove_name(d, op->name);
    if (error)
        return error;
    return sync_whole(d->fd) != 0 ? EIO : 0; /* as in put_in_place: the file is gone, but may be back after a crash */
}

/* Reads under way go on reading the renamed file; later ones get whatever has the name then. */
static int rename_file(struct directory *d, const struct file_op *op)
{
    struct stat st;
    if (!file_name_is_valid(op->to))
        return EINVAL;
    if (fstatat(d->fd, op->to, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    int error = errno == ENOENT ? handles_drop(&d->handles, op->name) : errno;
    if (error)
        return error;
    if (renameat(d->fd, op->name, d->fd, op->to) != 0)
        return errno;
    return sync_whole(d->fd) != 0 ? EIO : 0;
}

static int write_or_sync(struct directory *d, const struct file_op *op)
{
    struct handle *h;
    int error = handles_take(&d->handles, op->name, &h);
    if (error)
        return error;
    if (op->kind == FILE_WRITE) {
        handles_set_unsynced(&d->handles, h, true);
        error = write_all(h->fd, op->data.data, op->data.size, op->offset);
    } else {
        error = sync_data(h->fd);
        if (!error)
            handles_set_unsynced(&d->handles, h, false);
    }
    int given = handles_give(&d->handles, h);
    return error ? error : given;
}

int file_read(struct directory *d, const char *name, uint64_t offset, void *to, size_t size, size_t *got)
{
    struct handle *h;
    *got = 0;
    int error = file_name_is_valid(name) ? handles_take(&d->handles, name, &h) : EINVAL;
    if (error)
        return error;
    error = read_all(h->fd, to, size, offset, got);
    int given = handles_give(&d->handles, h);
    return error ? error : given;
}

/* The end of the file's last data: file systems that support it do not count space that was allocated and never
 * written as data. -1: this one does not support it. */
static off_t data_end(int fd)
{
    off_t at = 0, from;
    while ((from = lseek(fd, at, SEEK_DATA)) >= 0) {
        if ((at = lseek(fd, from, SEEK_HOLE)) < 0)
            return -1;
    }
    return errno == ENXIO ? at : -1;
}

/* Syncs first, because some file systems reported data that was not on disk yet as a hole. */
static int extent_of(int fd, bool read_only, uint64_t *data, uint64_t *size)
{
    struct stat st;
    bool synced = fdatasync(fd) == 0;
    if ((!synced && !read_only) || fstat(fd, &st) != 0)
        return errno;
    off_t end = synced ? data_end(fd) : -1;
    *size = (uint64_t)st.st_size;
    *data = end >= 0 ? (uint64_t)end : *size;
    return 0;
}

int file_extent(struct directory *d, const char *name, uint64_t *data, uint64_t *size)
{
    struct handle *h;
    int error = file_name_is_valid(name) ? handles_take(&d->handles, name, &h) : EINVAL;
    if (error)
        return error;
    error = extent_of(h->fd, d->read_only, data, size);
    int given = handles_give(&d->handles, h);
    return error ? error : given;
}

static int read_into(struct directory *d, struct file_op *op)
{
    buf_clear(&op->data);
    return file_read(d, op->name, op->offset, buf_reserve(&op->data, op->size), op->size, &op->data.size);
}

static int change(struct directory *d, struct file_op *op)
{
    switch (op->kind) {
    case FILE_WRITE:
    case FILE_SYNC: {
        int error = write_or_sync(d, op);
        if (error)
            atomic_store(&d->broken, true);
        return error;
    }
    case FILE_CREATE: return create(d, op);
    case FILE_REPLACE: return put_in_place(d, op);
    case FILE_REMOVE: return remove_file(d, op);
    case FILE_RENAME: return rename_file(d, op);
    case FILE_READ: break;
    }
    return EINVAL;
}

int file_execute(struct directory *d, struct file_op *op)
{
    if (!file_name_is_valid(op->name))
        op->error = EINVAL;
    else if (op->kind == FILE_READ)
        op->error = read_into(d, op);
    else if (d->read_only)
        op->error = EROFS;
    else if (atomic_load(&d->broken))
        op->error = ECANCELED;
    else
        op->error = change(d, op);
    return op->error;
}
