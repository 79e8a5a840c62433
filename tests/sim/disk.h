/* A simulated disk: what the log's files (broker/store/files.h) are in the simulator and in the log's unit tests.
 *
 * Each file has two layers: what was written, which reads return and which a process that dies leaves behind, and what is
 * durable, which a crash of the machine leaves behind. Everything but FILE_WRITE is durable when it is executed. Nothing
 * happens by itself: disk_step() executes, done() hands over. All chance comes from the caller's random state, so the same
 * calls give the same disk. */
#ifndef SLUICE_SIM_DISK_H
#define SLUICE_SIM_DISK_H

#include "broker/store/files.h"

#define DISK_SECTOR 512u

enum disk_fault {
    DISK_NO_SPACE,        /* the next FILE_CREATE, FILE_REPLACE or FILE_RENAME fails with ENOSPC */
    DISK_REMOVE_NO_SPACE, /* the next FILE_REMOVE fails with ENOSPC, and the file stays */
    DISK_WRITE_FAILS,     /* the next FILE_WRITE fails with EIO and writes nothing */
    DISK_WRITE_SHORT,     /* the next FILE_WRITE writes a part of it, and fails with EIO */
    DISK_SYNC_FAILS,      /* the next FILE_SYNC fails with EIO; what stays volatile then no later sync makes durable */
    DISK_READ_FAILS,      /* the next FILE_READ or read() fails with EIO */
    DISK_CREATE_FAILS,    /* the next FILE_CREATE fails with EIO; the file may be there or not */
    DISK_REPLACE_FAILS,   /* the next FILE_REPLACE fails with EIO; the content is the old or the new */
    DISK_REMOVE_FAILS,    /* the next FILE_REMOVE fails with EIO; the file may be there or not */
    DISK_RENAME_FAILS,    /* the next FILE_RENAME fails with EIO; the file has one of the names */
    DISK_FAULTS,
};

struct disk;

/* Empty, and without a limit. */
struct disk *disk_new(void);
/* Any view is closed or cut off before. */
void disk_free(struct disk *d);

/* What a broker that starts sees. One at a time: the one before was closed, or cut off by disk_crash() or disk_kill().
 * Freed by its close(), cut off or not; one that was cut off changes nothing any more and answers ECANCELED. */
struct files *disk_open(struct disk *d);

/* ---- while it runs */

/* Operations that were submitted and not executed. */
size_t disk_pending(const struct disk *d);
/* Executes one of them: the first change or the first read. False: there is none. */
bool disk_step(struct disk *d, uint64_t *random);
/* Executes all. */
void disk_settle(struct disk *d, uint64_t *random);

/* The machine stops. What is pending or not taken vanishes. Of the writes to a file since its last FILE_SYNC there survive,
 * by chance: none, all, those before some moment with the last of them torn, or in each sector those before a moment of its
 * own. */
void disk_crash(struct disk *d, uint64_t *random);
/* The process ends: what is pending or not taken vanishes, what was written stays. */
void disk_kill(struct disk *d);

/* ---- faults */

/* Bytes of all files together, beyond which FILE_CREATE and FILE_REPLACE (whose old and new content are there at once) fail
 * with ENOSPC, and so does a FILE_WRITE that makes its file longer. */
void disk_set_capacity(struct disk *d, uint64_t bytes);
uint64_t disk_used(const struct disk *d);
/* How long each FILE_WRITE, or FILE_SYNC, says from now on that it took; 0 before. */
void disk_set_write_ns(struct disk *d, uint64_t ns);
void disk_set_sync_ns(struct disk *d, uint64_t ns);
/* Arms a fault, until it happened or is taken back. */
void disk_set_fault(struct disk *d, enum disk_fault fault, bool armed);
bool disk_fault_is_armed(const struct disk *d, enum disk_fault fault);

/* ---- looking at it, and damaging it; both layers */

/* A digest of what is durable: names, sizes, content. */
uint64_t disk_digest(const struct disk *d);
/* Each file in the order of names, with what is durable of it; `content` is valid during the call. */
void disk_each(const struct disk *d, void (*visit)(void *context, const char *name, struct span content),
               void *context);
/* What is durable; false: there is no such file. Valid until the next change. */
bool disk_content(const struct disk *d, const char *name, struct span *content);
/* Makes or replaces a file. */
void disk_put(struct disk *d, const char *name, struct span content);
/* Changes every byte of a range, as far as the file has them; false: it has none of them. */
bool disk_damage(struct disk *d, const char *name, uint64_t offset, uint64_t size, uint64_t *random);
/* Makes it shorter, or longer by zeros; false: there is no such file. */
bool disk_truncate(struct disk *d, const char *name, uint64_t size);

#endif
