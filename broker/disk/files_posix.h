/* The seam broker/store/files.h over a real directory. Two threads carry out what is submitted: one changes, in
 * order, the other reads. */
#ifndef SLUICE_BROKER_FILES_POSIX_H
#define SLUICE_BROKER_FILES_POSIX_H

#include "broker/store/files.h"

/* Opens the directory `path`, which is made when it is missing, and locks it (file "lock") so that a second broker
 * cannot use it. NULL with an error when that fails. Each thread starts with the first operation for it.
 *
 * `read_only`, for --check and --repair's source: makes no directory, takes no lock, and refuses changes with EROFS. */
struct files *files_posix_open(const char *path, bool read_only, struct error *e);
/* False with an error while a broker holds the directory: what is read then may mix states of different moments. */
bool files_posix_is_free(const char *path, struct error *e);

#endif
