/* A log with as little disk as it can work with, for tests of carried groups and of scarce room. */
#ifndef SLUICE_TESTS_CRAMPED_LOG_H
#define SLUICE_TESTS_CRAMPED_LOG_H

#include "broker/store/log_parts.h"
#include "tests/broker/store/log_model.h"

#define SEGMENT (8u << 10)
#define QUEUES  3u

extern struct model m;

struct log *log_now(void);
/* The budget is so many segments, and what a checkpoint needs. */
void open_log(uint64_t seed, enum log_sync sync, unsigned segments);
/* No budget, but a disk of so many bytes. */
void open_log_on_small_disk(uint64_t seed, enum log_sync sync, uint64_t bytes);
int cramped_end(void **state); /* a test's teardown */

/* Appends until there is no room; every queue has events in each segment. */
void fill(void);
/* The disk stands still for so many turns, with a note in each. */
void stall(unsigned notes);
/* Goes on until a checkpoint that carries the waiting groups was submitted. */
void begin_carry(void);
/* Checks that the log recovers: notes became durable though nothing could be freed, and acks free segments again. */
void goes_on(void);
/* Does the log want a turn at once? */
bool wants_a_turn(void);

#endif
