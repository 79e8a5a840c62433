/* Encoders that notes (persist_write.c) and snapshots (persist_snapshot.c) share; field numbers are in
 * persist_fields.h, and persist_read.c decodes both. All append to `b`. Those with a `tag` append a field of the
 * enclosing message. */
#ifndef SLUICE_BROKER_CORE_PERSIST_PUT_H
#define SLUICE_BROKER_CORE_PERSIST_PUT_H

#include "broker/core/deliver/trouble.h"
#include "broker/core/state.h"
#include "broker/core/topic/topic.h"

/* Fields of a queue's message: id, name, settings, paused, closed. */
void persist_put_declared(struct buf *b, const struct queue *q);
/* The whole message of a topic. */
void persist_put_topic(struct buf *b, const struct topic *t);
/* Fields of a producer's message: id and epoch. */
void persist_put_holder(struct buf *b, const struct producer *p);
/* Which attempts are written with a trouble. */
enum attempts_written { ATTEMPTS_NONE, ATTEMPTS_NEWEST, ATTEMPTS_ALL };
void persist_put_trouble(struct buf *b, uint32_t tag, uint32_t queue, const struct trouble *t,
                         enum attempts_written attempts);
void persist_put_run(struct buf *b, uint32_t tag, const struct outcome *o);

#endif
