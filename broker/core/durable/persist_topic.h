/* Decoders of topics in the log, for persist_read.c and persist_producer.c. */
#ifndef SLUICE_BROKER_CORE_PERSIST_TOPIC_H
#define SLUICE_BROKER_CORE_PERSIST_TOPIC_H

#include "broker/core/state.h"

/* Creates or updates the topic that a note or a snapshot describes; false: malformed. */
bool persist_take_topic(struct core *c, struct span bytes);
/* Reads the targets that a note, or a run of a snapshot, has in fields `tag`, into the outcome `o` of a topic.
 * `newest` as in targets_share. */
struct targets;
void persist_take_targets(struct core *c, struct span bytes, uint32_t tag, struct targets **newest, struct outcome *o);
void persist_take_topic_deleted(struct core *c, uint64_t id);

#endif
