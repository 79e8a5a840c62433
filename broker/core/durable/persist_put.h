/* The words that notes (persist_write.c) and snapshots (persist_snapshot.c) have in common, by the numbers in persist_fields.h; both
 * are read by persist_read.c. Appended to `b`. */
#ifndef SLUICE_BROKER_CORE_PERSIST_PUT_H
#define SLUICE_BROKER_CORE_PERSIST_PUT_H

#include "broker/core/deliver/trouble.h"
#include "broker/core/state.h"
#include "broker/core/topic/topic.h"

/* What a queue was declared with, within a message of it. */
void persist_put_declared(struct buf *b, const struct queue *q);
/* The others are messages, those under a tag fields of one. */
void persist_put_topic(struct buf *b, const struct topic *t);
/* Who a producer is, within a message of it. */
void persist_put_holder(struct buf *b, const struct producer *p);
/* Which attempts go with it. */
enum tried { TRIED_NONE, TRIED_NEWEST, TRIED_ALL };
void persist_put_trouble(struct buf *b, uint32_t tag, uint32_t queue, const struct trouble *t, enum tried tried);
void persist_put_run(struct buf *b, uint32_t tag, const struct outcome *o);

#endif
