/* Between the log's files and the C library: a test lets one system call fail. Linking this replaces the calls for the whole program.
 * Any thread may make them; only calls that reach the C library through these names count. */
#ifndef SLUICE_TESTS_SYSTEM_CALLS_H
#define SLUICE_TESTS_SYSTEM_CALLS_H

#include <stdbool.h>

enum call {
    PWRITE,
    PREAD,
    FDATASYNC,
    FSYNC,
    SYNC_DIRECTORY,
    FALLOCATE,
    RENAME,
    UNLINK,
    CREATE,
    OPEN,
    CLOSE,
    CALLS
}; /* CREATE: an open that may make the file */

/* The call fails once, after `after` of it succeeded, with `error`; -1: half of it is done (pwrite, pread). */
void arm(enum call call, unsigned after, int error);
/* From now on it fails every time. */
void arm_for_good(enum call call, int error);
/* True: it has failed since it was armed. */
bool disarm(void);
bool fault_struck(void);

/* The names of the calls made, each with a space behind it. */
const char *fault_trace(void);
void fault_trace_clear(void);

#endif
