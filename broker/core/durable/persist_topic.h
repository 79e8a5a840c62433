/* Topics from the log, for persist_read.c and persist_producer.c. */
#ifndef SLUICE_BROKER_CORE_PERSIST_TOPIC_H
#define SLUICE_BROKER_CORE_PERSIST_TOPIC_H

#include "broker/core/state.h"

/* The topic as a note or a snapshot has it; false: the words are malformed. */
bool persist_take_topic(struct core *c, struct span bytes);
/* The targets that a note, or a run of a snapshot, has in fields of that tag, into an outcome of a topic; see targets_share. */
struct targets;
void persist_take_targets(struct core *c, struct span bytes, uint32_t tag, struct targets **newest, struct outcome *o);
void persist_take_topic_deleted(struct core *c, uint64_t id);

#endif
