/* Writes the core's state into the log; persist_read.h reads it. Private to broker/core (and its tests). */
#ifndef SLUICE_BROKER_CORE_PERSIST_WRITE_H
#define SLUICE_BROKER_CORE_PERSIST_WRITE_H

#include "broker/core/publish/producer.h"

/* These write a note each and return its ticket; 0: there is no log. */
uint64_t persist_note(struct core *c, struct buf *b);          /* any note; b's bytes pass */
uint64_t persist_queue(struct core *c, const struct queue *q); /* its settings, paused, closed */
uint64_t persist_deleted(struct core *c, const struct queue *q);
uint64_t persist_topic(struct core *c, const struct topic *t);
uint64_t persist_topic_deleted(struct core *c, const struct topic *t);
uint64_t persist_producer(struct core *c, const struct producer *p);
uint64_t persist_mark(struct core *c, const struct queue *q, uint64_t end);
/* An outcome that no run in the log implies; q: NULL where the destination is a topic. */
uint64_t persist_outcome(struct core *c, const struct destination *d, const struct queue *q, const struct outcome *o);

/* The trouble of an event of a queue on disk. A failure is written only if the disk has room for it, a death or a drop
 * always. No ticket: the answer to a drop waits for the log's settled_ticket, which covers the note. */
void persist_trouble(struct core *c, const struct queue *q, const struct trouble *t);
/* The destination became persistent: writes all that was accepted and is not seen yet; or it ceased to be: writes that
 * its outcomes are to be forgotten. */
void persist_destination_state(struct core *c, const struct destination *d);

/* The origin of a run, which goes into the run's record. `out` has room for ORIGIN_MAX(count) bytes; returns the size.
 * hashes: one for each event of the run, all zero for an event without one; count 0: no event has one. */
#define ORIGIN_MAX(count) (64u + (count)*DEDUP_HASH_SIZE)
size_t persist_origin(uint8_t *out, const struct destination *d, uint64_t first,
                      const uint8_t (*hashes)[DEDUP_HASH_SIZE], size_t count);
/* The publisher's terms, appended to an origin. */
void persist_terms(struct buf *note, const struct terms *terms);

#endif
