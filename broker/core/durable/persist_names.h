/* What the queues of a log are called, told by the core's words in it alone (persist_fields.h): for people who look at a directory
 * that no broker has open. */
#ifndef SLUICE_BROKER_CORE_PERSIST_NAMES_H
#define SLUICE_BROKER_CORE_PERSIST_NAMES_H

#include "base/span.h"

struct queue_names;

struct queue_names *queue_names_new(void);
void queue_names_free(struct queue_names *n);
/* A note or a snapshot, in the log's order; what is malformed says nothing. */
void queue_names_read(struct queue_names *n, struct span words);
/* Also of one that was deleted since; "" when nothing was said of it. */
const char *queue_names_of(const struct queue_names *n, uint32_t queue);

#endif
