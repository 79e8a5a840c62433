/* Makes and finishes operations on the log's files, for tests. */
#ifndef SLUICE_TESTS_BROKER_DISK_FILE_OPS_H
#define SLUICE_TESTS_BROKER_DISK_FILE_OPS_H

#include "broker/store/files.h"

/* The operation is the caller's, until finish_op. */
struct file_op *new_op(enum file_kind kind, const char *name, uint64_t offset, uint64_t size);
/* Its data is `size` times `byte`. */
struct file_op *new_change(enum file_kind kind, const char *name, uint64_t offset, uint8_t byte, size_t size);
struct file_op *new_rename(const char *name, const char *to);
/* Frees the operation and returns its error; 0: none. */
int finish_op(struct file_op *op);
/* "name:size " of each file, in the directory's order. */
void assert_names(struct files *files, const char *expected);

#endif
