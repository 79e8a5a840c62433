/* The names of a log's queues, read from the core's data in it (persist_fields.h), for tools that look at a directory
 * which no broker has open. */
#ifndef SLUICE_BROKER_CORE_PERSIST_NAMES_H
#define SLUICE_BROKER_CORE_PERSIST_NAMES_H

#include "base/span.h"

struct queue_names;

struct queue_names *queue_names_new(void);
void queue_names_free(struct queue_names *n);
/* Reads a note or a snapshot; call it in the log's order. Ignores what is malformed. */
void queue_names_read(struct queue_names *n, struct span words);
/* The name of that queue, even if it was deleted since; "" if the log does not have it. Valid until
 * queue_names_free. */
const char *queue_names_of(const struct queue_names *n, uint32_t queue);

#endif
