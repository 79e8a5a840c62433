/* Producers: their numbering, their entries that wait for room, and the outcomes of their entries. Private to
 * broker/core (and its tests). */
#ifndef SLUICE_BROKER_CORE_PRODUCER_H
#define SLUICE_BROKER_CORE_PRODUCER_H

#include "broker/core/queue/queue.h"

/* A waiting run: entries of one Publish, with the same deadline, that wait for room. Their bytes are kept as they
 * came. */
struct waiting {
    struct destination *destination;
    struct queue *queue;       /* that they were published to; NULL: … */
    struct topic *topic;       /* … to this topic */
    const struct queue *lacks; /* of the first run of a topic: the queue that has no room; NULL: not tried yet, or the
                                  broker has no room */
    uint64_t arrival;          /* order of arrival among all waiting runs of the broker */
    uint64_t first;            /* the producer's sequence of the first entry in `bytes` */
    uint32_t count;            /* entries in `bytes` */
    uint32_t next;             /* index of the first entry that was not taken in turn yet */
    uint32_t undecided;
    struct wire_reader rest; /* `bytes` from entry `next` on */
    uint64_t size;           /* event bytes of the undecided entries */
    struct timer deadline;
    uint32_t wait_ms;    /* as published */
    enum reason blocked; /* why it waits: full, disk or budget; it is refused with this at its deadline */
    uint8_t *decided;    /* by index: refused out of turn; NULL: none was */
    struct waiting *prev, *next_waiting;                 /* in the queue's or topic's line, by arrival */
    struct waiting *destination_prev, *destination_next; /* in the destination, by sequence */
    size_t byte_count;
    uint8_t bytes[]; /* the entries of a Publish body, encoded */
};

/* A run of outcomes on its way to the producer's session, and what a Refuse says besides. */
struct answer {
    struct outcome outcome;
    uint64_t depth, capacity;
    uint32_t retry_ms;
    uint32_t queue; /* id of the queue that refused entries to a topic; 0: published to a queue */
};

/* An answer for which the frame at hand had no room. */
struct answer_in_line {
    struct destination *destination;
    struct answer answer;
    bool counts; /* as unread; not what an attach would have listed */
    struct answer_in_line *next;
};
struct answer_line {
    struct answer_in_line *first, *last;
    size_t bytes; /* of memory, of those that count */
};

/* One producer's numbering of its entries to one name, a queue's or a topic's. */
struct destination {
    char name[NAME_MAX_SIZE + 1];
    struct producer *producer;
    uint64_t next;            /* the first sequence that never came */
    uint64_t seen;            /* the client has seen every outcome up to here */
    struct outcome *outcomes; /* runs of outcomes that the client has not seen, ascending by first */
    uint32_t outcome_count, outcome_capacity;
    struct answer unsent;   /* the newest run, not yet written to a frame; count 0: none */
    struct targets *newest; /* of a topic: the queues of the newest accepted events; see targets.h */
    bool listed;            /* in session->unsent */
    struct destination *listed_next;
    uint64_t refused_tail; /* the highest refused sequence … */
    enum reason refused_reason;
    enum reason seen_reason; /* why sequence `seen` was refused; REASON_ok: it was not, as far as is known */
    struct pending *first_pending, *last_pending; /* accepted entries whose confirm waits for the disk */
    bool persistent; /* its queue is on disk, or was when it was deleted: its outcomes survive a restart */
    bool transient;  /* it is in core->transient, because it is not persistent; see destinations.c */
    struct destination *transient_prev, *transient_next;
    struct waiting *waiters; /* utlist DL, by sequence */
    uint64_t waiting_events, waiting_bytes;
    UT_hash_handle hh;
};

/* How many producers without a session are remembered at most. */
#define PRODUCERS_REMEMBERED 65536u

struct producer {
    struct token id;
    uint64_t epoch;          /* producer epoch of its newest session */
    bool heard;              /* that session has sent a frame, so the client knows this epoch */
    uint64_t ticket;         /* of the record of its existence in the log; 0: already durable, or no log */
    bool recovered;          /* it was there before a restart: sequences may be missing, see destination_jump */
    struct session *session; /* that publishes as this producer; NULL: none */
    struct destination *destinations;
    struct timer expiry;
    UT_hash_handle hh;
};

/* producer.c */
/* Whether it has published to more names than allowed. Then its session ends, and the client must use another producer
 * id. */
bool producer_is_full(const struct producer *p);
/* Makes the session the holder of the producer that it claims, and ends the session of an older holder. *known: the
 * producer existed before. False: the session is itself an older holder (fenced), or the producer is full. */
bool producer_attach(struct core *c, struct session *s, bool *known);
void producer_release(struct core *c, struct producer *p); /* its session ended; it is remembered for a while */
void producer_free(struct core *c, struct producer *p);
/* Frees the producer that expires first, if it expires by `due`. False: none does. */
bool producer_expire(struct core *c, mono_t due);
struct producer *producer_add(struct core *c, struct token id);
/* Adds outcomes read from the log, as far as they are not known: the log of a repair may contain a part of a run
 * before the whole of it. */
void destination_restore(struct destination *d, const struct outcome *o);
/* After a restart: acceptances are in order, so a sequence without outcome below an accepted one was refused. */
void destination_close_holes(struct destination *d);
/* After a restart `sequence` may be beyond `next`: those between were refused, and the client had been told. No
 * effect on producers that were not recovered. */
void destination_jump(struct destination *d, uint64_t sequence);
struct destination *destination_of(struct producer *p, struct span name); /* creates it if there is none */
/* Frees a destination while the log is read, when nothing points to it. */
void destination_forget(struct core *c, struct producer *p, struct span name);
/* Records the outcome of o->count entries from o->first on, and has it sent to the producer's session. `q`: the
 * queue that refused them; NULL: none. `events` and `bytes` are given back to the session's window. */
void destination_decide(struct core *c, struct destination *d, const struct outcome *o, const struct queue *q,
                        uint64_t events, uint64_t bytes);
bool destination_decided(const struct destination *d, uint64_t sequence); /* whether its outcome is known or seen */
/* Why that entry was refused (an entry that continues it is refused too); REASON_ok: it was not. */
enum reason destination_refused(const struct destination *d, uint64_t sequence);
void destination_seen(struct destination *d, uint64_t through); /* the client has seen all outcomes up to there */
bool outcome_continues(const struct outcome *a, const struct outcome *b); /* whether `b` continues the run `a` */

/* answers.c */
/* Has an outcome sent to the session; `q` as above. */
void session_answer(struct core *c, struct session *s, struct destination *d, const struct outcome *o,
                    const struct queue *q);
/* Writes outcomes to s->out, as many as one frame takes. False: more are left. */
bool session_write_answers(struct core *c, struct session *s);
/* Sets `out`, of one element per destination of the session's producer, to what the answer to its attach lists; returns
 * how many. What is too much for that is sent in frames. */
size_t session_list_outcomes(struct core *c, struct session *s, struct outcomes *out);
void session_drop_answers(struct session *s); /* the session ends: forgets those in its line */
void destination_drop_unsent(struct destination *d);

/* destinations.c */
/* The queue or topic of this name is on disk (`persistent`) or in memory. A change is recorded in the log, because
 * after a restart the broker answers for destinations on disk, of which it must know everything that they accepted,
 * and for no others. */
void destination_set_persistent(struct core *c, struct destination *d, bool persistent);
/* The same for every producer's destination of that name, which is on disk now. */
void destinations_set_persistent(struct core *c, const char *name);
void destination_unlist(struct core *c, struct destination *d); /* before it is freed */
/* After a restart: forgets the destinations whose queue is in memory now, and closes the holes of the others. (The
 * log may have no record of what such a queue accepted, because it was confirmed and delivered before one could be
 * written.) */
void destinations_recovered(struct core *c, struct producer *p);

/* publish.c */
bool publish_body(struct core *c, struct session *s, struct body *b); /* false: a protocol violation */
bool publish_skip(struct core *c, struct session *s, const struct body *b);

/* duplicates.c. An empty hash is none: it is neither found nor entered. */
/* The sequence under which the queue accepted an event of that hash within its dedup window; 0: none. */
uint64_t duplicate_of(const struct core *c, const struct queue *q, struct span hash);
/* The address that duplicate_of will read first, for a prefetch; NULL: none. */
const void *duplicate_home(const struct queue *q, struct span hash);
void duplicate_enter(struct core *c, struct queue *q, struct span hash, uint64_t sequence);
/* Enters a hash read from the log; accepted_ms: wall clock. */
void duplicate_restore(struct core *c, struct queue *q, struct span hash, uint64_t sequence, int64_t accepted_ms);
void duplicates_forget(struct core *c, struct queue *q);
void duplicates_sweep(struct core *c); /* drops entries whose time is over; call often, it rarely does anything */

/* waiters.c */
void publish_admit(struct core *c, struct queue *q); /* admits waiting entries as far as there is room */
/* Refuses all entries that wait for the topic or, if that is NULL, for the queue. */
void publish_refuse_all(struct core *c, struct queue *q, struct topic *t, enum reason why);
void publish_expire(struct core *c, struct waiting *w);       /* its deadline has passed: refuses its entries */
void publish_drop_session(struct core *c, struct session *s); /* frees its waiting runs; their entries stay undecided */
void waiting_free(struct core *c, struct waiting *w);

#endif
