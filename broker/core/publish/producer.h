/* Producers: their numbering, what of it waits for room, and what is known of outcomes. Private to broker/core (and its tests). */
#ifndef SLUICE_BROKER_CORE_PRODUCER_H
#define SLUICE_BROKER_CORE_PRODUCER_H

#include "broker/core/queue/queue.h"

/* Entries of one Publish that wait for room: their bytes as they came, and how far they got. */
struct waiting {
    struct destination *destination;
    struct queue *queue; /* they were sent to; NULL: … */
    struct topic *topic; /* … this one */
    const struct queue
        *lacks;       /* of a topic's first: the queue that it waits for; NULL: to be tried, or for the broker's room */
    uint64_t arrival; /* of all that wait: the order they came in */
    uint64_t first;   /* the producer's sequence of the first entry in `bytes` */
    uint32_t count;   /* entries in `bytes` */
    uint32_t next;    /* index of the first not decided */
    uint32_t undecided;
    struct wire_reader rest;             /* from entry `next` on */
    uint64_t size;                       /* event bytes of the undecided ones */
    struct timer deadline;               /* one for all: a Publish with several waits makes several of these */
    uint32_t wait_ms;                    /* as published */
    enum reason blocked;                 /* what it waits for: full, disk, or budget until its turn has come */
    uint8_t *decided;                    /* by index: refused out of turn; NULL while none was */
    struct waiting *prev, *next_waiting; /* in the queue, by arrival */
    struct waiting *destination_prev, *destination_next; /* in the destination, by sequence */
    size_t byte_count;
    uint8_t bytes[]; /* a Publish body's entries, encoded */
};

/* One producer's numbering towards one name. */
struct destination {
    char name[NAME_MAX_SIZE + 1];
    struct producer *producer;
    uint64_t next;            /* the next sequence never seen */
    uint64_t seen;            /* the client knows every outcome up to here */
    struct outcome *outcomes; /* decided and not yet seen, ascending by first */
    uint32_t outcome_count, outcome_capacity;
    struct outcome unsent; /* the newest run, not yet in a frame; count 0: none */
    uint64_t unsent_depth, unsent_capacity;
    uint32_t unsent_retry_ms;
    uint32_t unsent_queue;  /* id: that refused what was sent to a topic; 0: it was sent to a queue */
    struct targets *newest; /* of a topic: where the newest accepted events went; see targets.h */
    bool listed;            /* in the session's list of destinations with something unsent */
    struct destination *listed_next;
    uint64_t refused_tail; /* the highest refused sequence … */
    enum reason refused_reason;
    enum reason seen_reason; /* of sequence `seen`; REASON_ok: it was not refused, as far as is known */
    uint64_t pending;        /* accepted entries whose confirm waits for the disk */
    bool persistent;         /* its queue is on disk, or was when it was deleted: its outcomes outlive a restart */
    bool transient;          /* listed in core->transient, as it does not last: see destinations.c */
    struct destination *transient_prev, *transient_next;
    struct waiting *waiters; /* utlist DL */
    uint64_t waiting_events, waiting_bytes;
    UT_hash_handle hh;
};

/* So many without a session are remembered at most. */
#define PRODUCERS_REMEMBERED 65536u

struct producer {
    struct token id;
    uint64_t epoch;  /* of its newest holder */
    bool heard;      /* by that holder, so it knows its epoch */
    uint64_t ticket; /* of the note that says it exists; 0: it is on disk, or there is none */
    bool recovered;  /* from before a restart: its numbers may go on beyond what is known, see destination_jump */
    struct session *session; /* who holds it now; NULL: nobody */
    struct destination *destinations;
    struct timer expiry;
    UT_hash_handle hh;
};

/* producer.c */
/* Did it publish to as many names as one may? Then its sessions end, and its holder goes on under another id. */
bool producer_is_full(const struct producer *p);
/* The session becomes the holder of its pending producer, which ends an older holder's. False: it is itself an older one, or the
 * producer has its fill. */
bool producer_attach(struct core *c, struct session *s, bool *known);
void producer_release(struct core *c, struct producer *p); /* its session ended; remembered for a while */
void producer_free(struct core *c, struct producer *p);
/* Forgets the one that is without a session for longest, if that is to be by `due`. */
bool producer_expire(struct core *c, mono_t due);
struct producer *producer_add(struct core *c, struct token id);
/* Outcomes from before a restart, as far as they are not known: what a repair found may tell of a part before it tells of the whole. */
void destination_restore(struct destination *d, const struct outcome *o);
/* Acceptances are in order: what lies below one and was not accepted was refused. */
void destination_close_holes(struct destination *d);
/* After a restart numbers may be missing that were refused and known to be: `sequence` is the next one. */
void destination_jump(struct destination *d, uint64_t sequence);
struct destination *destination_of(struct producer *p, struct span name);
/* From before a restart, where nobody has it in hand. */
void destination_forget(struct core *c, struct producer *p, struct span name);
/* Records the outcome of `count` entries from `first` and has it told. */
void destination_decide(struct core *c, struct destination *d, const struct outcome *o, const struct queue *q,
                        uint64_t events, uint64_t bytes);
bool destination_decided(const struct destination *d, uint64_t sequence);
/* Why that one was refused: a continued entry behind it is refused too. REASON_ok: it was not. */
enum reason destination_refused(const struct destination *d, uint64_t sequence);
void destination_seen(struct destination *d, uint64_t through);
void session_write_outcomes(struct core *c, struct session *s); /* writes what is unsent into `out` */

/* destinations.c */
/* Its queue, or its topic's, is on disk now, or in memory. The log hears of a change: after a restart the broker speaks for those on
 * disk, and must know all that they ever accepted; it must not speak for others. */
void destination_set_persistent(struct core *c, struct destination *d, bool persistent);
/* All of that name last: there is something on disk now. */
void destinations_set_persistent(struct core *c, const char *name);
void destination_unlist(struct core *c, struct destination *d); /* it goes */
/* After a restart. Those whose queue is in memory by now are forgotten, also where the log has no word on what that accepted: it was told,
 * and delivered, before there could be one. */
void destinations_recovered(struct core *c, struct producer *p);

/* publish.c */
bool publish_body(struct core *c, struct session *s, struct body *b); /* false: a violation */
bool publish_skip(struct core *c, struct session *s, const struct body *b);

/* duplicates.c. A hash of no bytes is none: neither found nor entered. */
/* The sequence under which the queue accepted that hash within its window; 0: it did not. */
uint64_t duplicate_of(const struct core *c, const struct queue *q, struct span hash);
/* Where duplicate_of will look first, or NULL: for a prefetch. */
const void *duplicate_home(const struct queue *q, struct span hash);
void duplicate_enter(struct core *c, struct queue *q, struct span hash, uint64_t sequence);
/* From before a restart; accepted_ms is wall time. */
void duplicate_restore(struct core *c, struct queue *q, struct span hash, uint64_t sequence, int64_t accepted_ms);
void duplicates_forget(struct core *c, struct queue *q);
void duplicates_sweep(struct core *c); /* as time passes */

/* waiters.c */
void publish_admit(struct core *c, struct queue *q); /* waiters, as far as there is room */
void publish_refuse_all(struct core *c, struct queue *q, struct topic *t, enum reason why); /* of either */
void publish_expire(struct core *c, struct waiting *w);
void publish_drop_session(struct core *c, struct session *s); /* its waiters stay undecided and go */
void waiting_free(struct core *c, struct waiting *w);

#endif
