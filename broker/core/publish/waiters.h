/* What waits, for those that let it in: waiters.c and fanout.c. Private to these two. */
#ifndef SLUICE_BROKER_CORE_WAITERS_H
#define SLUICE_BROKER_CORE_WAITERS_H

#include "broker/core/state.h"

/* Is the entry of that index decided? */
bool waiting_is_decided(const struct waiting *w, uint32_t index);
/* The next entry; it was whole when it arrived. */
void waiting_take_entry(struct wire_reader *rest, uint32_t wait_ms, struct entry *e);
/* One is decided, which the caller tells. */
void waiting_entry_leaves(struct waiting *w, uint64_t size);
/* Refuses one, and what continues it. `by`: the queue whose fault it is, or NULL. */
void waiting_refuse(struct core *c, struct waiting *w, uint32_t index, uint64_t size, enum reason why,
                    const struct queue *by);

#endif
