/* Histories in the log, by the numbers in persist_fields.h. Private to persist_*.c. */
#ifndef SLUICE_BROKER_CORE_PERSIST_ATTEMPTS_H
#define SLUICE_BROKER_CORE_PERSIST_ATTEMPTS_H

#include "broker/core/deliver/trouble.h"

/* The newest attempt costs at most this. */
#define ATTEMPT_ROOM (TROUBLE_ERROR_MAX + CONSUMER_NAME_MAX + 60u)

/* Within a trouble. all: every attempt that is kept; else the newest. Without a history nothing. */
void persist_put_attempts(struct buf *b, const struct trouble *t, bool all);
/* From a trouble's bytes. */
void persist_take_attempts(struct core *c, struct queue *q, struct trouble *t, struct span trouble);

#endif
