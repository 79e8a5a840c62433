/* Admission of entries to a queue: for publish.c (entries as they arrive), waiters.c (entries that waited), and
 * fanout.c, which admits to the queues of a topic and shares some of this. */
#ifndef SLUICE_BROKER_CORE_ADMISSION_H
#define SLUICE_BROKER_CORE_ADMISSION_H

#include "broker/core/state.h"

#define APPEND_AT_ONCE 64u

/* Entries that were accepted and not appended yet: neighbours go to the store together. */
struct admission {
    struct core *core;
    struct destination *destination;
    struct queue *queue;
    struct room room; /* left, the pending entries deducted */
    uint64_t own;     /* bytes of the memory budget that the entries free themselves: those of the waiting run */
    struct store_event events[APPEND_AT_ONCE];
    uint8_t hashes[APPEND_AT_ONCE][DEDUP_HASH_SIZE]; /* all zero: the entry has none */
    size_t count;
    bool hashed;           /* at least one has a hash */
    bool on_terms;         /* `terms` is not empty */
    uint64_t first, bytes; /* of the pending entries: the first sequence, and event bytes in all */
    struct terms terms;    /* of all pending entries */
};

/* The terms that an entry asks for. */
struct terms admission_terms(const struct core *c, const struct entry *e);
static inline bool admission_has_terms(const struct entry *e)
{
    return e->not_before_ms || e->delay_ms || e->expires_ms;
}
/* Why an entry cannot be accepted however long it waits, as the queue is now; REASON_ok: it can, now or later. */
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
/* Decides an entry that the queue has accepted before, within its dedup window: the outcome names the first one's
 * sequence, and no room is taken. False: it is not a duplicate. */
bool admission_hashed_duplicate(struct admission *a, uint64_t sequence, const struct entry *e);
static inline bool admission_duplicate(struct admission *a, uint64_t sequence, const struct entry *e)
{
    return e->dedup.size && admission_hashed_duplicate(a, sequence, e);
}
/* Recomputes `room`. */
void admission_refresh(struct admission *a);
/* Takes the room for an event, after dropping the oldest ones to make it. REASON_ok, or why there is none. */
enum reason admission_make_room(struct admission *a, uint64_t size);
/* Takes the room for an event of `size` bytes; if the queue's overflow is drop_oldest, older ones are dropped for
 * it. */
static inline enum reason admission_take_room(struct admission *a, uint64_t size)
{
    enum reason why = room_take(&a->room, size);
    bool drops = why == REASON_full && a->queue->settings.overflow == OVERFLOW_DROP_OLDEST;
    return drops ? admission_make_room(a, size) : why;
}
/* Accepts an entry whose room was taken. Its bytes are borrowed until the flush. */
void admission_accept(struct admission *a, uint64_t sequence, const struct entry *e);
/* Appends the pending entries to the store and decides their outcomes. */
void admission_flush(struct admission *a);
/* Refuses one entry. `q`: the queue that is the reason; NULL: none. `events` and `bytes` are given back to the
 * session's window. */
void admission_refuse(struct core *c, struct destination *d, const struct queue *q, uint64_t sequence, enum reason why,
                      uint64_t events, uint64_t bytes);

/* Neighbouring entries of one frame that are going to wait with the same deadline. Their bytes are still in the
 * frame. */
struct group {
    uint64_t first, size; /* first sequence; event bytes */
    uint32_t count, wait_ms;
    enum reason blocked;
    const struct queue *lacks; /* published to a topic: the queue that had no room; NULL: none in particular */
    const uint8_t *start, *end;
};

/* waiters.c */
/* Copies the group out of the frame to the end of the line of `q` or, if that is NULL, of `t`. Empties the group. */
void waiting_start(struct core *c, struct destination *d, struct queue *q, struct topic *t, struct group *g);
/* What the first of those who wait in the line of `q` or, if that is NULL, of `t` waits for, and so all behind it;
 * REASON_full: nobody waits. */
enum reason waiting_reason(const struct queue *q, const struct topic *t);
/* The run of a destination that contains this sequence; NULL: none does. */
struct waiting *waiting_of(struct destination *d, uint64_t sequence);
/* The publisher gave up the entries [sequence, end) of a run: refuses them and what continues them. Returns the first
 * sequence that it did not look at. */
uint64_t waiting_skip(struct core *c, struct waiting *w, uint64_t sequence, uint64_t end);
/* Frees the runs of which every entry is decided. */
void waiting_free_decided(struct core *c, struct destination *d);

#endif
