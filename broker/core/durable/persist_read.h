/* Decoders of what the log has of queues and producers, for persist_read.c; field numbers are in persist_fields.h. */
#ifndef SLUICE_BROKER_CORE_PERSIST_READ_H
#define SLUICE_BROKER_CORE_PERSIST_READ_H

#include "broker/core/state.h"

/* persist_queue.c. False: malformed. */
bool persist_take_queue(struct core *c, struct span bytes);
void persist_take_ledger(struct ledger *l, struct span bytes);
void persist_take_trouble(struct core *c, struct span note); /* counts the event as dead if this note made it so */
void persist_take_mark(struct core *c, struct span bytes);
void persist_take_deleted(struct core *c, uint64_t id);

/* persist_producer.c */
bool persist_take_producer(struct core *c, struct span bytes);
void persist_take_outcome(struct core *c, struct span bytes);
struct producer *persist_producer_of(struct core *c, struct token id); /* creates it if there is none */
struct destination *persist_destination(struct producer *p, struct span name);
/* Moves the outcomes of all producers' entries to destination `from` to destination `to`. */
void persist_move_outcomes(struct core *c, struct span from, struct span to);

#endif
