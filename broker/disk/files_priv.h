/* The parts behind files_posix_open(): open files (files_handles.c), one operation at a time (files_execute.c), and
 * the two threads (files_threads.c). Functions that can fail return 0 or an errno. */
#ifndef SLUICE_BROKER_FILES_PRIV_H
#define SLUICE_BROKER_FILES_PRIV_H

#include "broker/disk/files_posix.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#define FILE_MODE 0640
/* Suffix of the temporary file in which content is prepared before it gets its name. The next start removes those
 * that a crash left. */
#define FILE_TEMP_SUFFIX ".new"
#define FILE_LOCK        "lock"

/* ---- open files: those used lately stay open, shared by all threads */

struct handle {
    int fd;
    char name[FILE_NAME_SIZE];
    unsigned users;
    /* It has unsynced writes, so it stays open: only a descriptor that was open when write-back failed is sure to be
     * told. */
    bool unsynced;
    bool dropped; /* the name leads elsewhere now; its last user closes it */
    struct handle *next;
};

struct handles {
    pthread_mutex_t mutex;
    int dir, flags;      /* the directory, and the flags for openat */
    struct handle *list; /* most recently used first */
    unsigned count;
};

void handles_init(struct handles *h, int dir, bool read_only);
int handles_take(struct handles *h, const char *name, struct handle **out);
/* Gives back a handle that was taken. */
int handles_give(struct handles *h, struct handle *one);
void handles_set_unsynced(struct handles *h, struct handle *one, bool unsynced);
/* From now on the name leads to another file, or to none: the handle is not handed out any more. */
int handles_drop(struct handles *h, const char *name);
/* Closes all. None may be in use. */
int handles_close(struct handles *h);
int file_close(int fd);

/* ---- one operation at a time */

struct directory {
    int fd;
    bool read_only;
    atomic_bool broken; /* a write or sync failed: no change may follow */
    struct handles handles;
};

bool file_name_is_valid(const char *name);
/* Changes may come from one thread at a time; reads from any. Sets op->error, and returns it. */
int file_execute(struct directory *d, struct file_op *op);
int file_read(struct directory *d, const char *name, uint64_t offset, void *to, size_t size, size_t *got);
int file_extent(struct directory *d, const char *name, uint64_t *data, uint64_t *size);

/* ---- the threads */

struct worker {
    struct workers *all;
    const char *name;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t more;
    struct file_op *first, *last;
    bool sleeps; /* it waits for work, and was not woken yet */
    bool stop;
};

struct workers {
    struct directory *directory;
    cpu_set_t allowed; /* CPUs that the threads may run on; empty: unknown */
    struct worker changes, reads;
    pthread_mutex_t mutex; /* guards first, last and event */
    struct file_op *first, *last;
    int event;                            /* eventfd: readable exactly while `first` is not NULL */
    struct file_op *waited, *last_waited; /* done by the submitter itself, and only used by it: no mutex */
};

int workers_init(struct workers *w, struct directory *d);
void workers_submit(struct workers *w, struct file_op *op);
struct file_op *workers_done(struct workers *w);
/* Waits for what was submitted, and frees all operations that were not taken. */
void workers_free(struct workers *w);

#endif
