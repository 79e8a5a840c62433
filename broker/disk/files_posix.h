/* The log's files in a real directory: what broker/store/files.h asks for, carried out by two threads, one for changes, in order, and
 * one for reads. */
#ifndef SLUICE_BROKER_FILES_POSIX_H
#define SLUICE_BROKER_FILES_POSIX_H

#include "broker/store/files.h"

/* The directory `path` (made when it is missing, unless `read_only`), held under a lock file ("lock") so that a second broker is
 * kept out; NULL with a sentence when it cannot be had. Starts two threads with the first submit. `read_only` takes no lock,
 * refuses changes with EROFS, and is for --check. */
struct files *files_posix_open(const char *path, bool read_only, struct error *e);
/* False with a sentence while somebody holds it: what is read of it then is of no one moment. */
bool files_posix_is_free(const char *path, struct error *e);

#endif
