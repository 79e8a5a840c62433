/* A simulated disk: implements the log's files (broker/store/files.h) for the simulator and the log's unit tests.
 *
 * Each file has two layers. What was written is what reads return, and what the death of the process leaves behind.
 * What is durable is what a crash of the machine leaves behind. Everything but FILE_WRITE is durable when it is
 * executed.
 *
 * Nothing happens by itself: disk_step() executes an operation, and done() hands it back. All chance comes from the
 * caller's random state, so the same calls give the same disk. */
#ifndef SLUICE_SIM_DISK_H
#define SLUICE_SIM_DISK_H

#include "broker/store/files.h"

#define DISK_SECTOR 512u

enum disk_fault {
    DISK_NO_SPACE,        /* the next FILE_CREATE, FILE_REPLACE or FILE_RENAME fails with ENOSPC */
    DISK_REMOVE_NO_SPACE, /* the next FILE_REMOVE fails with ENOSPC, and the file stays */
    DISK_WRITE_FAILS,     /* the next FILE_WRITE fails with EIO and writes nothing */
    DISK_WRITE_SHORT,     /* the next FILE_WRITE writes a part of it, and fails with EIO */
    DISK_SYNC_FAILS,      /* the next FILE_SYNC fails with EIO; what it left volatile, no later sync makes durable */
    DISK_READ_FAILS,      /* the next FILE_READ or read() fails with EIO */
    DISK_CREATE_FAILS,    /* the next FILE_CREATE fails with EIO; the file may be there or not */
    DISK_REPLACE_FAILS,   /* the next FILE_REPLACE fails with EIO; the content is the old or the new */
    DISK_REMOVE_FAILS,    /* the next FILE_REMOVE fails with EIO; the file may be there or not */
    DISK_RENAME_FAILS,    /* the next FILE_RENAME fails with EIO; the file has one of the names */
    DISK_FAULTS,
};

struct disk;

/* An empty disk without a limit. */
struct disk *disk_new(void);
/* Its view must be closed or cut off before. */
void disk_free(struct disk *d);

/* Opens the view of a broker that starts. There is one at a time: the one before was closed, or cut off by
 * disk_crash() or disk_kill(). close() frees it, cut off or not. A view that was cut off changes nothing any more and
 * answers ECANCELED. */
struct files *disk_open(struct disk *d);

/* ---- while it runs */

/* The number of operations that were submitted and not executed. */
size_t disk_pending(const struct disk *d);
/* Executes one of them: the oldest change or the oldest read. False: there is none. */
bool disk_step(struct disk *d, uint64_t *random);
/* Executes all. */
void disk_settle(struct disk *d, uint64_t *random);

/* The machine stops. Operations that are pending or not taken vanish. Of the writes to a file since its last
 * FILE_SYNC, chance decides which survive: none; all; those up to some moment, the last of them torn; or in each
 * sector those before a moment of its own. */
void disk_crash(struct disk *d, uint64_t *random);
/* The process ends: operations that are pending or not taken vanish, what was written stays. */
void disk_kill(struct disk *d);

/* ---- faults */

/* Limits the bytes of all files together. Beyond it FILE_CREATE and FILE_REPLACE (whose old and new content exist at
 * once) fail with ENOSPC, and so does a FILE_WRITE that makes its file longer. */
void disk_set_capacity(struct disk *d, uint64_t bytes);
uint64_t disk_used(const struct disk *d);
/* The time that each FILE_WRITE, or FILE_SYNC, reports from now on; initially 0. */
void disk_set_write_ns(struct disk *d, uint64_t ns);
void disk_set_sync_ns(struct disk *d, uint64_t ns);
/* Arms or disarms a fault; it happens once. */
void disk_set_fault(struct disk *d, enum disk_fault fault, bool armed);
bool disk_fault_is_armed(const struct disk *d, enum disk_fault fault);

/* ---- inspecting and damaging it; damage is to both layers */

/* A digest of the durable layer: names, sizes, content. */
uint64_t disk_digest(const struct disk *d);
/* Visits the files in the order of names, with their durable content, which is valid during the call. */
void disk_each(const struct disk *d, void (*visit)(void *context, const char *name, struct span content),
               void *context);
/* A file's durable content, valid until the next change; false: there is no such file. */
bool disk_content(const struct disk *d, const char *name, struct span *content);
/* Creates or replaces a file. */
void disk_put(struct disk *d, const char *name, struct span content);
/* Changes every byte of a range, as far as the file has it; false: it has none of it. */
bool disk_damage(struct disk *d, const char *name, uint64_t offset, uint64_t size, uint64_t *random);
/* Shortens a file, or lengthens it with zeros; false: there is no such file. */
bool disk_truncate(struct disk *d, const char *name, uint64_t size);

#endif
