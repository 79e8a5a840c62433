/* How entries get in, shared by publish.c (as they arrive) and waiters.c (those that wait). Private to these two. */
#ifndef SLUICE_BROKER_CORE_ADMISSION_H
#define SLUICE_BROKER_CORE_ADMISSION_H

#include "broker/core/state.h"

#define APPEND_AT_ONCE 64u

/* Entries accepted and not yet appended: neighbours go to the store together. */
struct admission {
    struct core *core;
    struct destination *destination;
    struct queue *queue;
    struct room room;
    uint64_t own; /* of the memory's budget: what it gives back itself */
    struct store_event events[APPEND_AT_ONCE];
    uint8_t hashes[APPEND_AT_ONCE][DEDUP_HASH_SIZE]; /* of zeros: it has none */
    size_t count;
    bool hashed;           /* one of them has */
    bool on_terms;         /* `terms` says something */
    uint64_t first, bytes; /* of the pending ones */
    struct terms terms;    /* of all of them */
};

/* What an entry says of when it may be delivered. */
struct terms admission_terms(const struct core *c, const struct entry *e);
static inline bool admission_has_terms(const struct entry *e)
{
    return e->not_before_ms || e->delay_ms || e->expires_ms;
}
/* Why an entry can never be accepted as things are; REASON_ok when it can, maybe later. */
static inline enum reason admission_hopeless(const struct core *c, const struct queue *q, const struct entry *e)
{
    if (q->closed)
        return REASON_closed;
    if (e->event.size > c->config.max_event || e->event.size > q->settings.capacity_bytes)
        return REASON_too_large;
    if (q->settings.require_consumer && !q->active)
        return REASON_no_consumer;
    return REASON_ok;
}
/* Decides an entry that the queue accepted before, within its dedup window: it gets the first one's sequence, and takes no room.
 * False: it is none. */
bool admission_hashed_duplicate(struct admission *a, uint64_t sequence, const struct entry *e);
static inline bool admission_duplicate(struct admission *a, uint64_t sequence, const struct entry *e)
{
    return e->dedup.size && admission_hashed_duplicate(a, sequence, e);
}
/* Looks anew at what room there is. */
void admission_refresh(struct admission *a);
/* Takes the room for it, of which there is too little: the oldest make some. */
enum reason admission_make_room(struct admission *a, uint64_t size);
/* Takes the room for it; the oldest make some, where the queue says so. */
static inline enum reason admission_take_room(struct admission *a, uint64_t size)
{
    enum reason why = room_take(&a->room, size);
    bool drops = why == REASON_full && a->queue->settings.overflow == OVERFLOW_DROP_OLDEST;
    return drops ? admission_make_room(a, size) : why;
}
/* The room for it was taken. Its bytes are borrowed until the flush. */
void admission_accept(struct admission *a, uint64_t sequence, const struct entry *e);
/* Appends what was accepted and decides its outcomes. */
void admission_flush(struct admission *a);
/* Decides one entry; `events` and `bytes` are what it gives back of the session's window. */
void admission_refuse(struct core *c, struct destination *d, const struct queue *q, uint64_t sequence, enum reason why,
                      uint64_t events, uint64_t bytes);

/* Neighbouring entries of one frame that will wait with the same deadline; their bytes are still the frame's. */
struct group {
    uint64_t first, size;
    uint32_t count, wait_ms;
    enum reason blocked;
    const struct queue *lacks; /* of a topic's: the queue that had no room */
    const uint8_t *start, *end;
};

/* Copies the group out of the frame and puts it behind those that wait for the queue or, where it is NULL, the topic; the
 * group is empty then. */
void waiting_start(struct core *c, struct destination *d, struct queue *q, struct topic *t, struct group *g);
/* The run that holds this sequence; NULL when none does. */
struct waiting *waiting_of(struct destination *d, uint64_t sequence);
/* Its publisher gave up on a run's entries from `sequence` on and before `end`, and so on what continues them. The first
 * sequence that was not looked at. */
uint64_t waiting_skip(struct core *c, struct waiting *w, uint64_t sequence, uint64_t end);
/* Runs with nothing undecided go. */
void waiting_free_decided(struct core *c, struct destination *d);

#endif
