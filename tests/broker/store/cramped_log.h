/* A log with the least that it can do with on disk, for the tests of what is carried by a checkpoint. */
#ifndef SLUICE_TESTS_CRAMPED_LOG_H
#define SLUICE_TESTS_CRAMPED_LOG_H

#include "broker/store/log_parts.h"
#include "tests/broker/store/log_model.h"

#define SEGMENT (8u << 10)
#define QUEUES  3u

extern struct model m;

struct log *log_now(void);
/* With a budget of so many segments, and what a checkpoint needs. */
void open_log(uint64_t seed, enum log_sync sync, unsigned segments);
/* No budget, but a disk of so many bytes. */
void open_log_on_small_disk(uint64_t seed, enum log_sync sync, uint64_t bytes);
int cramped_end(void **state); /* a test's teardown */

/* Until there is no room; every queue has some in each segment. */
void fill(void);
/* The disk stands still; in each turn a note comes. */
void stall(unsigned notes);
/* Up to where a checkpoint that carries what waits was given to the disk. */
void begin_carry(void);
/* What was noted is durable though nothing could be freed, and acks are, which free segments. */
void goes_on(void);
/* Does the log ask for one at once? */
bool wants_a_turn(void);

#endif
