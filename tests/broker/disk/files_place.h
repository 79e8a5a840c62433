/* A real directory with the log's files, for a test. */
#ifndef SLUICE_TESTS_BROKER_DISK_FILES_PLACE_H
#define SLUICE_TESTS_BROKER_DISK_FILES_PLACE_H

#include "tests/broker/disk/file_ops.h"

struct place {
    char top[64], data[80]; /* a directory of the test's own, and the files' below it */
    struct files *files;
};

/* For cmocka: *state is a struct place. */
int place_set_up(void **state);
int place_tear_down(void **state);

struct files *open_at(const char *path, bool read_only);
void reopen(struct place *p);
void submit(struct place *p, struct file_op *op, uint64_t tag);
/* Waits for the next operation that is done; the caller frees it. */
struct file_op *await_done(struct place *p);
/* Submits an operation, waits for it, frees it, and returns its error. */
int perform(struct place *p, struct file_op *op);
/* The same with the blocking `apply`. */
int apply(struct place *p, struct file_op *op);
void assert_content(struct place *p, const char *name, uint64_t offset, uint8_t byte, size_t size);

#endif
