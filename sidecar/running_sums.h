/* Sums of the counters of many objects that come and go (queues, topics). The sums never decrease while the process
 * runs, because Prometheus takes a decrease for a counter reset and adds the whole new value to the rate. What the
 * objects counted before the first pass is left out. */
#ifndef SLUICE_SIDECAR_RUNNING_SUMS_H
#define SLUICE_SIDECAR_RUNNING_SUMS_H

#include <stddef.h>
#include <stdint.h>

struct running_sums;

/* `counters`: how many counters each object has. */
struct running_sums *running_sums_new(size_t counters);
void running_sums_free(struct running_sums *s); /* NULL is allowed */

/* Begins a pass over all objects and returns its number. Several may be under way at once. */
uint64_t running_sums_begin(struct running_sums *s);
/* Object `name` now has these counters. Adds their increase since it was last seen; or the whole value, if the object
 * first appeared after the first complete pass, or the counter fell below the value last seen. */
void running_sums_add(struct running_sums *s, const char *name, const uint64_t counters[]);
/* The pass is complete: objects that were not seen since it began are forgotten. A pass may also be dropped without
 * this call. */
void running_sums_end(struct running_sums *s, uint64_t pass);

/* The sums, in the order of the counters; valid until running_sums_free. */
const uint64_t *running_sums(const struct running_sums *s);

#endif
