/* Queues of a repaired log. Where the log lost what it said of a queue, the queue's events may still be there. They
 * are then in a queue named "recovered-ID", from which the operator can take or purge them. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_SALVAGED_H
#define SLUICE_BROKER_CORE_SALVAGED_H

#include "broker/core/state.h"

/* The queue of that id. Creates it if the log does not have it, so that no other queue gets that id and its events. */
struct queue *salvaged_queue(struct core *c, uint32_t id);
/* The queue of that id, which is called `name` from now on. If another queue or topic has that name, the log lost what
 * became of it: see salvaged_lose_name. */
struct queue *salvaged_as(struct core *c, uint32_t id, struct span name, const struct queue_settings *settings);
/* Frees `name` for another owner: a topic of that name goes, a queue gets a made-up name. */
void salvaged_lose_name(struct core *c, struct span name);
/* Call it before anything is delivered. Clears `dead_letter` of queues whose dead letters would go in a circle, or
 * from the disk to memory: their dead stay in the dead store. */
void salvaged_check_dead_letters(struct core *c);

#endif
