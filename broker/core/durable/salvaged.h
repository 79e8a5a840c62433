/* Queues of a log that was repaired. Where what the log said of one is lost, its events are there all the same: they belong to a queue
 * "recovered-ID" then, of which whoever runs the broker takes them, or which he purges. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_SALVAGED_H
#define SLUICE_BROKER_CORE_SALVAGED_H

#include "broker/core/state.h"

/* The queue of that id, which is made where the log did not say that there is one: nobody else gets that id, or its events. */
struct queue *salvaged_queue(struct core *c, uint32_t id);
/* The queue of that id, which has that name from now on. Whatever had it before is gone, and the log does not say so. */
struct queue *salvaged_as(struct core *c, uint32_t id, struct span name, const struct queue_settings *settings);
/* The same for a name that is a topic's from now on. */
void salvaged_lose_name(struct core *c, struct span name);
/* Before anything is delivered: where dead letters go in a circle, or from the disk to memory, they stay beside their queue. */
void salvaged_check_dead_letters(struct core *c);

#endif
