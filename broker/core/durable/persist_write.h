/* The core's words in the log; persist_read.h is for reading them. Private to broker/core (and its tests). */
#ifndef SLUICE_BROKER_CORE_PERSIST_WRITE_H
#define SLUICE_BROKER_CORE_PERSIST_WRITE_H

#include "broker/core/publish/producer.h"

uint64_t persist_note(struct core *c, struct buf *b); /* its bytes pass */
uint64_t persist_queue(struct core *c,
                       const struct queue *q); /* its settings and switches; returns the ticket, 0: none */
uint64_t persist_deleted(struct core *c, const struct queue *q);
uint64_t persist_topic(struct core *c, const struct topic *t);
uint64_t persist_topic_deleted(struct core *c, const struct topic *t);
uint64_t persist_producer(struct core *c, const struct producer *p);
/* What went wrong with an event, as far as there is room for it; that it is dead, always. Nothing waits for it. */
void persist_trouble(struct core *c, const struct queue *q, const struct trouble *t);
uint64_t persist_mark(struct core *c, const struct queue *q, uint64_t end);
/* The origin of a run; hashes: one for each of its events, of zeros where it has none; count 0: none has. */
#define ORIGIN_MAX(count) (64u + (count)*DEDUP_HASH_SIZE)
/* To be put behind it. */
void persist_terms(struct buf *note, const struct terms *terms);
size_t persist_origin(uint8_t *out, const struct destination *d, uint64_t first,
                      const uint8_t (*hashes)[DEDUP_HASH_SIZE], size_t count);
/* An outcome that no run tells of; q: NULL where the destination is a topic. */
uint64_t persist_outcome(struct core *c, const struct destination *d, const struct queue *q, const struct outcome *o);
/* Whether the destination lasts has changed: all that was accepted and is not seen, or that nothing more of it will be said. */
void persist_destination_state(struct core *c, const struct destination *d);

#endif
