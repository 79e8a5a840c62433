/* Attempt histories in the log; field numbers are in persist_fields.h. Private to persist_*.c. */
#ifndef SLUICE_BROKER_CORE_PERSIST_ATTEMPTS_H
#define SLUICE_BROKER_CORE_PERSIST_ATTEMPTS_H

#include "broker/core/deliver/trouble.h"

/* The encoded size of one attempt is at most this. */
#define ATTEMPT_ROOM (TROUBLE_ERROR_MAX + CONSUMER_NAME_MAX + 60u)

/* Fields of a trouble's message: all attempts that are kept, or only the newest; nothing without a history. */
void persist_put_attempts(struct buf *b, const struct trouble *t, bool all);
/* Reads the attempts from a trouble's encoded message into `t`. */
void persist_take_attempts(struct core *c, struct queue *q, struct trouble *t, struct span trouble);

#endif
