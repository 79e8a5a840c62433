/* Waiting runs, for the two files that admit their entries: waiters.c (queues) and fanout.c (topics). */
#ifndef SLUICE_BROKER_CORE_WAITERS_H
#define SLUICE_BROKER_CORE_WAITERS_H

#include "broker/core/state.h"

/* Whether the entry of that index is decided. */
bool waiting_is_decided(const struct waiting *w, uint32_t index);
/* Reads the next entry of a run. It is well-formed, as it was checked on arrival. */
void waiting_take_entry(struct wire_reader *rest, uint32_t wait_ms, struct entry *e);
/* An entry of event size `size` is decided: updates the counts. The caller decides the outcome. */
void waiting_entry_leaves(struct waiting *w, uint64_t size);
/* Refuses an entry, and those that continue it. `by`: the queue that is the reason; NULL: none. */
void waiting_refuse(struct core *c, struct waiting *w, uint32_t index, uint64_t size, enum reason why,
                    const struct queue *by);

#endif
