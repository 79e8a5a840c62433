/* One directory of files, as the log uses it: the seam between the log's state machine and the disk.
 *
 * While the broker runs, the log only submits operations and later takes back what is done; whoever implements the
 * seam executes them (broker/disk: threads; the simulator: whenever its seed says so, torn, lost or failed). Changes
 * (everything but FILE_READ) are executed in the order of submission, one after the other; reads are executed in
 * order among themselves and may overtake changes. After a FILE_WRITE or FILE_SYNC failed, every later change fails
 * with ECANCELED: nothing may be written behind a hole. Submitting does not wait, but for a FILE_SYNC with `wait`.
 *
 * The blocking calls are for start-up, --check and --repair; they may not be mixed with submitted operations that are
 * not done yet. */
#ifndef SLUICE_BROKER_FILES_H
#define SLUICE_BROKER_FILES_H

#include "base/buf.h"
#include "base/error.h"

#include <errno.h>

#define FILE_NAME_SIZE 40

enum file_kind {
    FILE_WRITE,   /* `data` at `offset`; the file exists */
    FILE_SYNC,    /* data and size of the file reach the disk */
    FILE_CREATE,  /* makes the file with `size` bytes allocated, which read as zeros; file and directory are synced */
    FILE_READ,    /* `size` bytes at `offset` into `data`; shorter at the end of the file */
    FILE_REMOVE,  /* unlinks, and syncs the directory; a file that is not there is fine */
    FILE_RENAME,  /* the file is called `to` from now on, as no other one is; the directory is synced */
    FILE_REPLACE, /* the file's content becomes `data`: written aside, synced, renamed, directory synced */
};

/* A FILE_CREATE, FILE_REPLACE, FILE_REMOVE or FILE_RENAME that failed so has changed nothing, and may succeed later. Every other error, and any of a
 * FILE_WRITE or FILE_SYNC, which need no room that was not allocated before, is a disk that fails: what it left is not known. */
static inline bool file_lacks_room(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* Owned by the submitter before submit and after done, by the implementation in between. */
struct file_op {
    enum file_kind kind;
    char name[FILE_NAME_SIZE]; /* without a slash */
    char to[FILE_NAME_SIZE];   /* of a FILE_RENAME */
    uint64_t offset, size;
    struct buf data;
    uint64_t tag; /* the submitter's */
    bool more;    /* in: another change is submitted at once, and this one need not begin before it is */
    bool wait; /* in, of a FILE_SYNC: the submitter waits, also for the write before it, if nothing else is under way */
    int error; /* an errno; 0: done */
    uint64_t took_ns; /* out, of a FILE_WRITE or FILE_SYNC: how long the disk took; 0: it was not measured */
    struct file_op *next;
};

struct files {
    const struct files_ops *ops;
};

struct files_ops {
    /* ---- while running */
    void (*submit)(struct files *f, struct file_op *op);
    /* One that is done, in the order in which they were done; NULL: none. At once after `submit` those for which it waited. */
    struct file_op *(*done)(struct files *f);
    /* A descriptor that is readable while something is done for which `submit` did not wait; -1: there is none, ask. */
    int (*fd)(const struct files *f);
    /* Bytes that may still be allocated in the directory's file system. */
    uint64_t (*room)(const struct files *f);

    /* ---- blocking; 0 or an errno */
    /* Calls `visit` with each file's name and size, in any order. */
    int (*list)(struct files *f, void (*visit)(void *context, const char *name, uint64_t size), void *context);
    /* Reads up to `size` bytes; *got < size only at the end of the file. */
    int (*read)(struct files *f, const char *name, uint64_t offset, void *to, size_t size, size_t *got);
    /* The file's size, and where its last data ends at the latest: from there on it reads as zeros. */
    int (*extent)(struct files *f, const char *name, uint64_t *data, uint64_t *size);
    /* Executes one change at once. */
    int (*apply)(struct files *f, struct file_op *op);

    /* Waits for what was submitted, frees everything; operations that are done and not taken are freed, too. */
    void (*close)(struct files *f);
};

#endif
