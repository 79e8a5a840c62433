/* What is read from the log of one queue or one producer, for persist_read.c; persist_fields.h has the numbers. */
#ifndef SLUICE_BROKER_CORE_PERSIST_READ_H
#define SLUICE_BROKER_CORE_PERSIST_READ_H

#include "broker/core/state.h"

/* persist_queue.c. False: the words are malformed. */
bool persist_take_queue(struct core *c, struct span bytes);
void persist_take_ledger(struct ledger *l, struct span bytes);
void persist_take_trouble(struct core *c, struct span note); /* one that dies by it is counted */
void persist_take_mark(struct core *c, struct span bytes);
void persist_take_deleted(struct core *c, uint64_t id);

/* persist_producer.c */
bool persist_take_producer(struct core *c, struct span bytes);
void persist_take_outcome(struct core *c, struct span bytes);
struct producer *persist_producer_of(struct core *c, struct token id); /* makes it where there is none */
struct destination *persist_destination(struct producer *p, struct span name);
/* What became of entries that went to the one name is told of the other from now on. */
void persist_move_outcomes(struct core *c, struct span from, struct span to);

#endif
