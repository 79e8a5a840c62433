/* One directory of files, as the log uses it: the seam between the log's state machine and the disk. Implemented by
 * broker/disk (a real directory, two threads), by the simulator (tests/sim/disk.h: executes, tears, loses or fails
 * operations by its seed), and by --repair (executes at once).
 *
 * While the broker runs, the log only submits operations and later takes them back when they are done:
 *
 *   changes   Everything but FILE_READ. Executed one after the other, in the order of submission.
 *   reads     Executed in order among themselves; they may overtake changes.
 *   failure   After a FILE_WRITE or FILE_SYNC failed, every later change fails with ECANCELED: nothing may be written
 *             behind a hole.
 *   blocking  Submitting does not wait, except for a FILE_SYNC with `wait`.
 *
 * The blocking calls are for start-up, --check and --repair. They may not be used while submitted operations are not
 * done. */
#ifndef SLUICE_BROKER_FILES_H
#define SLUICE_BROKER_FILES_H

#include "base/buf.h"
#include "base/error.h"

#include <errno.h>

#define FILE_NAME_SIZE 40

enum file_kind {
    FILE_WRITE,   /* writes `data` at `offset`; the file exists */
    FILE_SYNC,    /* data and size of the file reach the disk */
    FILE_CREATE,  /* makes a new file with `size` bytes allocated, which read as zeros; syncs file and directory */
    FILE_READ,    /* reads `size` bytes at `offset` into `data`; fewer only at the end of the file */
    FILE_REMOVE,  /* unlinks the file and syncs the directory; a file that does not exist is fine */
    FILE_RENAME,  /* renames the file to `to`, which must not exist (EEXIST), and syncs the directory */
    FILE_REPLACE, /* makes `data` the content of the file, new or not: temporary file, sync, rename, directory sync */
};

/* True for the errors of a full disk. A FILE_CREATE, FILE_REPLACE, FILE_REMOVE or FILE_RENAME that failed with one of
 * these has changed nothing and may succeed later. Any other error is a failing disk, and so is every error of a
 * FILE_WRITE or FILE_SYNC, whose room was allocated before: what such an operation left behind is unknown. */
static inline bool file_lacks_room(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* One operation, with its `data`: the submitter's before `submit` and after `done`, the implementation's in between.
 * Allocated with malloc, because `close` frees what was not taken. */
struct file_op {
    enum file_kind kind;
    char name[FILE_NAME_SIZE]; /* without a slash */
    char to[FILE_NAME_SIZE];   /* FILE_RENAME: the new name */
    uint64_t offset, size;
    struct buf data;
    uint64_t tag; /* for the submitter's own use */
    bool more;    /* in: another change follows at once, and this one need not begin before it (a write and its sync) */
    /* In, FILE_SYNC: the submitter waits for this sync, and for the write right before it, if no other change is
     * under way. */
    bool wait;
    int error;        /* out: 0, or an errno */
    uint64_t took_ns; /* out, FILE_WRITE and FILE_SYNC: how long the disk took; 0: not measured */
    struct file_op *next;
};

struct files {
    const struct files_ops *ops;
};

struct files_ops {
    /* ---- while running */
    void (*submit)(struct files *f, struct file_op *op);
    /* Takes one operation that is done, in the order of completion; NULL: none. An operation for which `submit`
     * waited is there as soon as `submit` returns. Never blocks. */
    struct file_op *(*done)(struct files *f);
    /* A descriptor that is readable while an operation is done for which `submit` did not wait. -1: there is none;
     * call `done` to find out. */
    int (*fd)(const struct files *f);
    /* Bytes that can still be allocated in the directory's file system; 0 when that cannot be found out. */
    uint64_t (*room)(const struct files *f);

    /* ---- blocking; 0 or an errno */
    /* Calls `visit` with each file's name and size, in any order. Not the lock file, nor temporary files. */
    int (*list)(struct files *f, void (*visit)(void *context, const char *name, uint64_t size), void *context);
    /* Reads up to `size` bytes; *got < size only at the end of the file. */
    int (*read)(struct files *f, const char *name, uint64_t offset, void *to, size_t size, size_t *got);
    /* *size: the file's size. *data: an offset from which on the file reads as zeros; *size where the file system
     * does not know. */
    int (*extent)(struct files *f, const char *name, uint64_t *data, uint64_t *size);
    /* Executes one change at once. Not for a FILE_READ. The operation and its data stay the caller's. */
    int (*apply)(struct files *f, struct file_op *op);

    /* Waits for what was submitted, then frees everything, including operations that are done and were not taken. */
    void (*close)(struct files *f);
};

#endif
