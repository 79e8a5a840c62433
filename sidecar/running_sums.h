/* Counters of many that come and go (queues, topics), as sums that never fall while the process lives: Prometheus takes a fall
 * for a counter that began anew, and adds all of it to its rate. What was counted before the first pass is not in them. */
#ifndef SLUICE_SIDECAR_RUNNING_SUMS_H
#define SLUICE_SIDECAR_RUNNING_SUMS_H

#include <stddef.h>
#include <stdint.h>

struct running_sums;

/* Each of the many has that many counters. */
struct running_sums *running_sums_new(size_t counters);
void running_sums_free(struct running_sums *s); /* NULL is allowed */

/* A pass over all there are begins; several may be under way at once. Its number. */
uint64_t running_sums_begin(struct running_sums *s);
/* One of them has these counters by now: adds what came since it was last seen, or all of it where it came after the first pass
 * or began anew. */
void running_sums_add(struct running_sums *s, const char *name, const uint64_t counters[]);
/* The pass saw all: who was not seen since it began has left, and is forgotten. One that does not get here is of no harm. */
void running_sums_end(struct running_sums *s, uint64_t pass);

/* The sums, in the order of the counters; valid until running_sums_free. */
const uint64_t *running_sums(const struct running_sums *s);

#endif
