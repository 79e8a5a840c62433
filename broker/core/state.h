/* The core's state and what its files offer each other. Private to broker/core (and its tests).
 *
 *   core.c      the public calls, timers, flush, effects
 *   attach.c    attach, Hello, resume, the end of a session
 *   guard.c     what was refused, by whom: denial, and the ingress bound again
 *   session.c   frames in, bodies out, links
 *   producer.c  producers, their destinations, outcomes
 *   publish.c   entries as they arrive (admission.c lets them in)
 *   duplicates.c  those that came before (dedup.c remembers them)
 *   waiters.c   entries that wait for room
 *   queue.c     what a queue holds, its books (queue_view.c tells of them)
 *   drop.c      what of it makes room for others
 *   items.c     where its items are
 *   partition.c which go to whom, where a queue has partitions or an order by key (keys.c, share.c, aside.c)
 *   topic.c     topics and what is bound to them; fanout.c lets their entries in, topic_call.c answers calls on them
 *   targets.c   which queues have an event of a topic
 *   calendar.c  what of it waits for a time, and what runs out (calendar.h)
 *   deliver.c   consumers, turns, credit, Deliver
 *   settle.c    acks, by number and by receipt; the end of leases
 *   acked.c     acks that are remembered
 *   retry.c     deliveries that failed (attempts.c remembers them); trouble.c what went wrong, and the dead; letters.c those that go to another queue
 *   lease.c     the bookkeeping of leases
 *   receipt.c   the text of a receipt
 *   operate.c   control calls on queues (answers.c remembers what they were answered)
 *
 * Ownership: the core owns sessions, producers and queues; a session its consumers; a destination its waiting runs; a
 * consumer its leases. Everything else is a borrowed pointer that the owner clears when it goes. */
#ifndef SLUICE_BROKER_CORE_STATE_H
#define SLUICE_BROKER_CORE_STATE_H

#include "base/timers.h"
#include "broker/core/core.h"
#include "broker/core/dedup.h"
#include "broker/core/heap.h"
#include "broker/store/ranges.h"

#include <uthash.h>
#include <utlist.h>

/* ------------------------------------------------------------------ queues */

struct trouble;
struct history;
struct redrive;
struct partitions;
struct topic; /* topic.h */
struct calendar;

enum item_state { ITEM_GONE, ITEM_READY, ITEM_IN_FLIGHT, ITEM_DELAYED };

/* One event as its queue sees it; the bytes are the store's. 24 bytes. */
struct item {
    store_locator at;
    uint32_t size;    /* of the event */
    uint32_t lease;   /* in flight: the slot of its lease */
    int32_t accepted; /* tenths of a second since the core started; before it: negative */
    uint16_t attempt; /* deliveries so far, saturating */
    uint8_t state;    /* enum item_state */
    uint8_t place;    /* its partition + 1, once it has one that it keeps; 0: none yet */
};

/* An item that stayed while thousands behind it left: moved out of the ring, so that the ring's length follows what is
 * held and not how far apart it is. */
struct straggler {
    uint64_t sequence;
    struct item item;
    UT_hash_handle hh;
};

/* When accepted events may be delivered: wall clock, ms; 0: from at once, for ever. */
struct terms {
    int64_t not_before_ms, expires_ms;
};

/* A smoothed rate per second over about ten seconds. */
struct rate {
    double value;
    mono_t at;
};

/* Deliveries whose ack is remembered; see acked.c. */
struct acked {
    uint64_t consumer_epoch; /* 0: an empty place */
    uint64_t first, count;   /* delivery numbers */
};
#define ACKED_RUNS 256u

struct queue {
    char name[NAME_MAX_SIZE + 1];
    uint32_t id; /* never reused within an incarnation */
    struct queue_settings settings;
    bool managed, paused, closed;

    uint64_t next_sequence;
    struct item *ring; /* items [base, loaded), by sequence & (capacity - 1) */
    uint32_t ring_capacity;
    uint64_t base;
    uint64_t next_ready;     /* the first never delivered; >= base */
    uint64_t loaded;         /* from here to next_sequence what is live is backlog, on disk only; see backlog.c */
    struct durable *durable; /* of a queue on disk; NULL: in memory */
    struct straggler *stragglers;
    struct heap returned;          /* sequences to deliver again; may hold stale ones */
    struct partitions *partitions; /* NULL: it is one FIFO; see partition.h */
    struct calendar *calendar;     /* NULL: nothing of it was ever delayed, or expires */

    uint64_t ready, in_flight, delayed; /* events in each state */
    uint64_t bytes;                     /* of all of them */
    struct trouble *troubles;           /* of events that failed, and the dead; see trouble.h */
    uint64_t dead, dead_bytes;          /* the dead, beside all of this */
    struct history *histories;          /* of its troubles, utlist DL; see attempts.h */
    uint64_t history_bytes;             /* memory of them */
    uint64_t held;                      /* of the delayed: what stands in the way of their death, see trouble.h */
    struct ledger ledger;               /* remaining is derived */
    uint64_t refused, redelivered, duplicates;
    struct dedup dedup; /* what was accepted of late */
    struct rate in_rate, out_rate;

    struct waiting *waiters; /* utlist DL, in order of arrival */
    uint64_t waiting;        /* entries in it */
    struct topic **topics;   /* that may send events here, each once */
    uint32_t topic_count;
    struct consumer *consumers; /* utlist DL (queue_prev/next), the active one first when there is one */
    struct consumer *active;
    uint32_t consumer_count;
    uint64_t consumer_epoch; /* of the newest activation */
    struct acked *acked;     /* ring of ACKED_RUNS, allocated with the first */
    uint32_t acked_next;
    uint64_t died[DEAD_REASONS]; /* since the start */

    bool runnable; /* in core->runnable */
    struct queue *runnable_next;
    UT_hash_handle hh, hh_id;
};

/* What a queue on disk needs beside the rest. */
struct durable {
    uint64_t end;          /* events before it are on disk; see durable.c */
    uint64_t mark;         /* events before it may be delivered: the mark is on disk … */
    uint64_t mark_written; /* … or on its way there, while mark_comes */
    bool mark_comes;
    uint64_t mark_ahead;     /* how far the next mark goes beyond what is delivered */
    uint64_t recovered_mark; /* events before it may have been delivered before a restart */
    uint64_t recovered_end;  /* events before it were accepted before the restart */
    struct ranges backlog;   /* live sequences >= loaded */
    uint64_t backlog_events;
    uint64_t backlog_bytes; /* of everything that is on disk only: the calendar's, too */
    uint64_t low;           /* load more once fewer than this are loaded and not delivered */
    bool loading;
    /* drop.c */
    bool drop_waits;   /* who asked for room last waits for what is read … */
    bool drop_reading; /* … by this load */
    bool drop_owed;    /* somebody could not wait, and comes again */
    mono_t drop_again; /* there was no room for the dead: not before */
};

/* ------------------------------------------------------------------ consumers */

/* Neighbouring events delivered together under one lease and one receipt. An event whose lease is extended gets one of
 * its own, a child, which keeps its parent: the parent is how its delivery number is found. */
struct lease {
    uint64_t first_delivery, first_sequence;
    uint32_t count;
    uint32_t outstanding; /* deliveries under this lease itself */
    uint32_t children;
    uint64_t consumer_epoch;
    uint32_t slot;   /* in core->leases */
    uint32_t listed; /* in consumer->leases; a child is not */
    uint32_t partition;
    struct lease *parent;
    struct consumer *consumer;
    mono_t delivered;
    struct timer timer;
};

/* A session's consumption of a queue. */
struct consumer {
    struct session *session;
    struct queue *queue;
    uint32_t number;            /* the client's, of this consumption */
    uint64_t epoch;             /* of its turn; 0: it stands by */
    uint64_t fence;             /* the fencing token: the epoch, or more where partitions were gained since */
    uint32_t served;            /* the partition to look at first */
    uint32_t share;             /* partitions it has or will have; see share.c */
    uint64_t next_delivery;     /* number of the next delivery, from 1 */
    uint64_t generation, limit; /* credit */
    uint64_t most_granted;      /* the highest limit ever: nothing is delivered beyond it */
    uint64_t idle_told;         /* the generation Idle was sent for */
    uint64_t outstanding;       /* deliveries not settled */
    struct lease **leases;      /* by first_delivery; closed ones are NULL until compacted */
    uint32_t lease_count, lease_capacity, lease_holes;
    bool contended_told;
    struct consumer *queue_prev, *queue_next, *session_prev, *session_next;
};

/* ------------------------------------------------------------------ producers */

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
    enum reason blocked;                 /* what it waits for: full or budget */
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
    struct outcome untold; /* the newest run, not yet in a frame; count 0: none */
    uint64_t untold_depth, untold_capacity;
    uint32_t untold_retry_ms;
    uint32_t untold_queue;  /* id: that refused what was sent to a topic; 0: it was sent to a queue */
    struct targets *newest; /* of a topic: where the newest accepted events went; see targets.h */
    bool listed;            /* in the session's list of destinations with something untold */
    struct destination *listed_next;
    uint64_t refused_tail; /* the highest refused sequence … */
    enum reason refused_reason;
    enum reason seen_reason; /* of sequence `seen`; REASON_ok: it was not refused, as far as is known */
    uint64_t pending;        /* accepted entries whose confirm waits for the disk */
    bool lasts;              /* its queue is on disk, or was when it was deleted: its outcomes outlive a restart */
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

/* ------------------------------------------------------------------ sessions */

struct pending_attach {
    bool active;
    bool fresh; /* a new session, which ends when this fails */
    struct token request;
    struct route route;
    mono_t deadline;
    struct buf destinations; /* names the client wants to know of, each with its terminator */
};

/* Where messages come from, as the transport vouches: kept while it has sessions, or misbehaved of late. */
struct origin {
    char name[PEER_MAX_SIZE];
    uint32_t sessions, pending; /* its sessions; those of them that never echoed a Hello */
    uint64_t garbage;           /* bytes within the window that began at `since` */
    mono_t since, denied_until;
    UT_hash_handle hh;
};

/* What was refused on the ingress, of all origins. */
struct flood {
    uint64_t bytes; /* within the window that began at `since` */
    mono_t since, rebound;
    int64_t pause_ms; /* the least time to the next rebinding; 0: none of late */
};

struct session {
    struct token token;
    char name[65];
    char peer[PEER_MAX_SIZE];
    struct origin *origin; /* of `peer` */
    bool proven;           /* it echoed a Hello: its inbox is its own and can be reached */
    char *endpoint;        /* of its inbox */
    uint32_t lane;         /* 0: none */
    struct link link;
    struct buf out; /* bodies not yet sealed */
    struct pending_attach pending;
    struct token pending_producer; /* who it says it is, until the echo proves it can be reached … */
    uint64_t pending_epoch;        /* … and under which epoch it holds that id */
    struct producer *producer;
    struct consumer *consumers;       /* utlist DL (session_prev/next) */
    struct destination *untold;       /* destinations with an untold outcome */
    uint64_t sent_events, sent_bytes; /* published under this session */
    uint64_t decided_events, decided_bytes;
    uint64_t told_events, told_bytes; /* window totals told last */
    struct timer timer;
    bool dirty, stalled, ending; /* dirty: in core->dirty. stalled: the link had no room for deliveries */
    struct session *dirty_next;
    UT_hash_handle hh;
};

/* ------------------------------------------------------------------ the core */

/* The answer to a mutation, kept for its repetition. */
struct answered {
    struct token id;
    struct buf request, reply;
    struct answered *prev, *next;
    UT_hash_handle hh;
};
#define ANSWERS_REMEMBERED 4096u

/* What waits for a ticket of the log: the outcome of accepted entries, or something to be said. In the order of tickets. */
struct pending {
    uint64_t ticket;
    struct pending *next;
    enum { PENDING_OUTCOME, PENDING_REPLY, PENDING_BODY, PENDING_MARK } kind;
    struct token session;            /* OUTCOME: that sent them; BODY: that is told */
    struct destination *destination; /* OUTCOME; NULL: forgotten meanwhile */
    struct queue *queue;             /* OUTCOME, MARK; NULL: deleted meanwhile */
    struct outcome outcome;
    uint64_t events, bytes; /* of the session's window */
    struct route route;     /* REPLY */
    struct buf text;        /* REPLY: packed; BODY: encoded */
};

struct core {
    struct core_config config;
    struct store *store; /* in memory */
    struct store *disk;  /* the log; NULL: there is none */
    struct pending *pending, *last_pending, *spare_pending;
    uint64_t on_disk;   /* the newest ticket that is durable */
    struct look *looks; /* pages of peeks that are being read from the disk; see peek.c */
    uint32_t look_count;
    uint64_t look_counter;
    struct explanation *explanations; /* that are being read from the disk, see explain.c */
    struct redrive *redrives;         /* under way, see redrive.h */
    struct timers redrive_timers;
    bool disk_starved;        /* somebody waits for room on the disk: … */
    uint64_t disk_starved_at; /* … for more than this */
    bool failed;              /* the log failed: nothing is confirmed any more */
    mono_t started;
    int64_t start_ms; /* the same by the wall clock, as explain last saw it; 0: it did not look */
    uint64_t random_counter;
    uint8_t receipt_key[16];
    char *ingress;
    bool stopping, bye_said;
    struct now now; /* of the input being handled */

    struct timers timers; /* of sessions */
    struct timers lease_timers;
    struct timers delay_timers; /* of calendars: what follows the monotonic clock … */
    struct timers wall_timers;  /* … and the wall clock: `due` holds its milliseconds */
    struct timers aside_timers; /* see aside.h */
    struct timers wait_timers;
    struct timers producer_timers;

    struct session *sessions;
    struct origin *origins;
    mono_t origins_swept;
    struct flood flood;
    struct producer *producers;
    struct queue *queues;   /* by name */
    struct queue *by_id;    /* the same, through hh_id */
    struct queue **by_name; /* sorted, for lists */
    uint32_t queue_count, by_name_capacity;
    uint32_t next_queue_id;
    uint64_t epoch_floor; /* a new queue's consumer epochs begin above it */
    struct queue *runnable, *runnable_last;
    struct session *dirty;
    struct lease **leases; /* by slot */
    uint32_t lease_count, lease_capacity;
    uint32_t *free_leases;
    uint32_t free_lease_count;
    uint64_t waiting_bytes;        /* of all waiters */
    uint64_t arrivals;             /* ever */
    struct topic *topics;          /* by name */
    struct topic **topics_by_name; /* sorted, for lists */
    uint32_t topic_count, topics_capacity;
    struct topic *woken;   /* their waiters are to be tried */
    uint8_t dedup_key[16]; /* of every queue's dedup window … */
    uint64_t dedup_bytes;  /* … and the memory of all of them */
    mono_t dedup_swept;
    uint64_t calendar_bytes; /* memory of all calendars */
    uint64_t history_bytes;  /* memory of all histories */
    uint64_t aside_bytes;    /* memory of what is known of events set aside, see aside.h */
    bool starved;            /* somebody waits for the broker's budget */
    struct answered *answers, *answer_list;
    uint32_t answer_count;
    struct ledger closed_ledger;        /* of deleted queues */
    struct subscription *subscriptions; /* subscriptions.h */
    uint32_t subscription_count;
    uint64_t subscription_revision;
    uint32_t next_lane;
    uint64_t frames_in, frames_out, resent, rejected, rejected_bytes, sessions_ended, rebinds, denied;

    struct effect *effects;
    size_t effect_count, effect_capacity;
};

/* core.c */
struct effect *core_effect(struct core *c, enum effect_kind kind);
void core_note(struct core *c, enum log_level level, const struct queue *q, const struct session *s, const char *format,
               ...) __attribute__((format(printf, 5, 6)));
void core_reply(struct core *c, const struct route *route, const struct reply *reply);
struct token core_random_token(struct core *c);
int32_t core_tenths(const struct core *c); /* since the start: what item.accepted holds */
uint64_t core_budget_left(const struct core *c);
/* Bytes were freed: whoever waits for the broker's budget may try again. */
void core_freed(struct core *c);
void core_run_queue(struct core *c, struct queue *q); /* admit and deliver at the next flush */

/* attach.c */
void attach_request(struct core *c, const struct request *r, const struct route *route, const char *peer);
/* Answers the pending attach; a session that was never attached ends. */
void attach_fail(struct core *c, struct session *s, enum reason reason, const char *detail);
void attach_echo(struct core *c, struct session *s, struct span request_id);
/* `clean`: an orderly goodbye, which counts as no crash of what was in flight. */
void session_end(struct core *c, struct session *s, const char *why, bool clean);
struct session *session_find(struct core *c, struct token token);

/* guard.c */
enum rejection {
    REJECTED_GARBAGE, /* no client of this protocol sends it */
    REJECTED_LATE,    /* an older epoch, or a session that is gone */
    REJECTED_CONTROL, /* garbage on the control socket, which is bounded by its high-water mark */
};
/* Counts what was refused. May end sessions of `peer`. */
void guard_rejected(struct core *c, const char *peer, size_t size, enum rejection kind);
/* A new session of s->peer begins; false when too many of that peer's attaches are pending already. */
bool guard_admit_attach(struct core *c, struct session *s);
void guard_attached(struct session *s); /* it echoed */
void guard_ended(struct core *c, struct session *s);
void guard_free(struct core *c);

/* session.c */
void session_frame(struct core *c, struct span frame, const char *peer);
void session_touch(struct core *c, struct session *s); /* has output: flush it */
void session_flush(struct core *c, struct session *s); /* seals what is in `out` */
void session_send(struct core *c, struct session *s, struct frame *f);
/* Ends a session whose unread answers have become too many. */
void session_bound(struct core *c, struct session *s);
void session_due(struct core *c, struct session *s); /* sets the timer to what comes first */
void session_tick(struct core *c, struct session *s);
/* Deliveries wait for an open link with room: starts them again once there is one. */
void session_unstall(struct core *c, struct session *s);

/* producer.c */
/* The session becomes the holder of its pending producer, which ends an older holder's. False: it is itself an older one. */
bool producer_attach(struct core *c, struct session *s, bool *known);
void producer_release(struct core *c, struct producer *p); /* its session ended; remembered for a while */
void producer_free(struct core *c, struct producer *p);
/* Forgets the one that is without a session for longest, if that is to be by `due`. */
bool producer_expire(struct core *c, mono_t due);
struct producer *producer_add(struct core *c, struct token id);
/* An outcome from before a restart. */
void destination_restore(struct destination *d, const struct outcome *o);
/* Acceptances are in order: what lies below one and was not accepted was refused. */
void destination_close_holes(struct destination *d);
/* After a restart numbers may be missing that were refused and known to be: `sequence` is the next one. */
void destination_jump(struct destination *d, uint64_t sequence);
struct destination *destination_of(struct producer *p, struct span name);
/* Records the outcome of `count` entries from `first` and has it told. */
void destination_decide(struct core *c, struct destination *d, const struct outcome *o, const struct queue *q,
                        uint64_t events, uint64_t bytes);
bool destination_decided(const struct destination *d, uint64_t sequence);
/* Why that one was refused: a continued entry behind it is refused too. REASON_ok: it was not. */
enum reason destination_refused(const struct destination *d, uint64_t sequence);
void destination_seen(struct destination *d, uint64_t through);
void session_tell_outcomes(struct core *c, struct session *s); /* writes what is untold into `out` */

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

/* topic.c, further of whose calls are in topic.h */
void topics_wake_all(struct core *c); /* who waits there is tried at the next flush */

/* queue.c */
struct queue *queue_find(struct core *c, struct span name);
struct queue *queue_by_id(struct core *c, uint64_t id);
/* Where in by_name the first name at or behind this one is: queue_count when there is none. */
uint32_t queue_place(const struct core *c, const char *name);
struct queue *queue_create(struct core *c, struct span name, const struct queue_settings *settings);
void queue_free(struct core *c, struct queue *q);
struct item *queue_item(struct queue *q, uint64_t sequence); /* NULL when it is gone */
/* How much more may be accepted now. */
struct room {
    uint64_t events, bytes; /* of the queue */
    uint64_t budget;        /* bytes of the broker: memory, or the disk's … */
    enum reason short_of;   /* … as this says: REASON_budget or REASON_disk */
};
struct room queue_room(const struct core *c, const struct queue *q);
/* Takes the room of a word in the log, which an entry may cost that is not accepted; false when there is none. */
bool room_take_word(struct room *r);
/* Without what `events` of `bytes` in all take; of the broker's part only, unless they are the queue's. */
void room_less(struct room *r, uint64_t events, uint64_t bytes, bool are_queues);
/* Takes the room of one event: REASON_ok, or REASON_full or REASON_budget and nothing is taken. */
enum reason room_take(struct room *r, uint64_t size);
/* Events that the store has taken under the next sequences become the queue's, `bytes` in all. kept: their bytes are in
 * memory. */
void queue_enter(struct core *c, struct queue *q, const struct store_event *events, size_t count, uint64_t bytes,
                 bool kept, const struct terms *terms);
/* May what comes next be delivered without being read from the disk? `terms`: what holds of it. */
bool queue_keeps(const struct core *c, const struct queue *q, const struct terms *terms);
/* Accepts `count` events (their sequences set here) at the tail. */
void queue_accept(struct core *c, struct queue *q, struct store_event *events, size_t count, struct span note,
                  uint64_t *ticket); /* 0: it is accepted for good */
/* Accepts one event, which left another queue of the same store by the same step; NULL: it did not. */
void queue_accept_from(struct core *c, struct queue *q, struct store_event *event, const struct store_leaving *leaving,
                       uint64_t *ticket);
/* The same on terms of their own; the queue's settings count beside them. */
void queue_accept_on(struct core *c, struct queue *q, struct store_event *events, size_t count, struct span note,
                     const struct terms *terms, uint64_t *ticket);
/* Takes an item out of the queue and its books; the store keeps the event. */
void queue_remove(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* Takes an item out for good. */
void queue_settle(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum store_cause cause);
/* queue_run.c: the same for the acks of neighbours, at most `most` from `first` on, as long as they are in flight under that lease.
 * Returns how many; 0 also where they must be settled one by one. */
uint32_t queue_ack_run(struct core *c, struct queue *q, uint64_t first, uint64_t most, uint32_t lease);
/* In flight or delayed back to ready; or out, where it expired meanwhile: `item` is not to be used after it. */
void queue_return(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* In flight or delayed: to be delivered again after `ms`; or out, as above. */
void queue_delay(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms);
/* Ready, and to be delivered after `ms`. */
void queue_hold_back(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms);
/* Delayed, and never delivered again: for its partition and its key it has left. */
void queue_set_aside(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* The next to deliver; NULL when nothing is ready. */
struct item *queue_next(struct queue *q, uint64_t *sequence);
/* Marks it taken by a lease. */
void queue_taken(struct queue *q, uint64_t sequence, struct item *item, uint32_t lease);
uint64_t queue_purge(struct core *c, struct queue *q, bool everything);
uint32_t queue_oldest_ms(const struct core *c, struct queue *q);
uint64_t queue_remaining(const struct queue *q);
/* Calls `visit` for the items from `from` on, in order, until it returns false. */
void queue_each(struct queue *q, uint64_t from, bool (*visit)(void *, uint64_t, struct item *), void *ctx);
/* The same for all of them, in no order: it costs no sorting. */
void queue_all(struct queue *q, bool (*visit)(void *, uint64_t, struct item *), void *ctx);
const struct item *queue_oldest(struct queue *q);                     /* NULL: there is none in memory */
uint32_t queue_retry_ms(const struct core *c, const struct queue *q); /* a guess when there is room again; 0: none */
void queue_validate(struct queue *q);
uint64_t *ledger_of(struct ledger *l, enum store_cause cause); /* the book of that cause */
void ledger_add(struct ledger *sum, const struct ledger *l);   /* all but remaining */
struct store *queue_store(const struct core *c, const struct queue *q);
/* One that is ready, deliverable or not: what drop_oldest takes. */
struct item *queue_oldest_ready(struct queue *q, uint64_t *sequence);

/* drop.c */
/* Makes room by the oldest that is ready. False: there is none, it cannot be dead, or it has to be read first: then drop_is_awaited. */
bool queue_drop_oldest(struct core *c, struct queue *q);
/* Is that so, or does somebody wait for it already? */
bool drop_is_awaited(const struct queue *q);
/* Somebody is refused although it is so: there will be room for the next attempt. */
void drop_for_next(struct queue *q);
bool drop_loaded(struct core *c, const struct store_completion *done); /* false: it is not for this */

/* backlog.c */
void backlog_add(struct queue *q, uint64_t first, uint64_t count, uint64_t bytes);
/* Asks the disk for more when little that is loaded is left to deliver. */
void backlog_want(struct core *c, struct queue *q);
void backlog_loaded(struct core *c, const struct store_completion *done);
uint64_t backlog_purge(struct core *c, struct queue *q);
/* The same with what is aside, of which the first is `from`, all at once: 0, and nothing changed, where others behind it stay. There
 * are no items but in flight; the set of those aside is the caller's to clear. */
uint64_t backlog_purge_from(struct core *c, struct queue *q, uint64_t from);
/* Where an event is that is on disk only. */
enum backlog_place { BACKLOG_NOWHERE, BACKLOG_LINE, BACKLOG_ASIDE, BACKLOG_CALLED, BACKLOG_PARKED };
enum backlog_place backlog_where(const struct queue *q, uint64_t sequence);
uint64_t backlog_on_disk(const struct queue *q); /* how many there are in all places */
/* One that was read becomes an item, before `loaded`. */
struct item *backlog_item(struct core *c, struct queue *q, const struct store_loaded *e, enum backlog_place from);
/* One that was called becomes an item at its place. */
void backlog_place(struct core *c, struct queue *q, const struct store_loaded *e);
/* One that is on disk only left its queue, for whatever cause. */
void backlog_left(struct core *c, struct queue *q, uint64_t sequence, uint64_t size);
/* Settles one that is on disk only; false when it is not there. */
bool backlog_settle(struct core *c, struct queue *q, uint64_t sequence, enum store_cause cause);
/* The attempts an event starts with when it comes from the disk. */
uint16_t backlog_attempt(const struct queue *q, uint64_t sequence);
/* The same of one of which no failure is known: it never changes. */
uint16_t backlog_attempt_by_mark(const struct queue *q, uint64_t sequence);

/* calendar.c, calendar_disk.c; those that take a queue only where it has a calendar */
/* What holds of events that are accepted now: what they said, and the queue's settings. */
struct terms calendar_terms(const struct queue *q, const struct terms *given, int64_t now_ms);
void calendar_wake(struct core *c);                  /* queues of which something is due get a turn */
mono_t calendar_due(const struct core *c);           /* when that is to be called next */
void calendar_turn(struct core *c, struct queue *q); /* what is due becomes ready, or expires */
/* Comes back from its delivery: true when its time is up, and then it is gone. */
bool calendar_ends(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
void calendar_gone(struct queue *q, uint64_t sequence);                          /* the event left the queue */
enum reason calendar_cancel(struct core *c, struct queue *q, uint64_t sequence); /* of any queue */
uint64_t calendar_purge(struct core *c, struct queue *q);                        /* what is on disk only */
/* Says of delayed events when they become ready. One walk over all that is delayed. */
void calendar_tell(const struct core *c, const struct queue *q, struct peeked *events, size_t count);
/* Says of events when they expire. One walk over all that expire. */
void calendar_tell_expiry(const struct queue *q, struct peeked *events, size_t count);
void calendar_want(struct core *c, struct queue *q);                       /* asks the disk for what is due */
bool calendar_comes(const struct queue *q);                                /* is something due on its way from there? */
bool calendar_loaded(struct core *c, const struct store_completion *done); /* false: it is not for a calendar */
/* After a restart, of any queue; `clean`: the log ends with its checkpoint. */
void calendar_take_over(struct core *c, struct queue *q, bool clean);
bool calendar_validate(const struct calendar *k);

/* durable.c */
/* What follows from accepting is held until the ticket is durable; 0: at once. */
void durable_outcome(struct core *c, struct destination *d, struct queue *q, uint64_t ticket, const struct outcome *o,
                     uint64_t events, uint64_t bytes);
/* The same of an event that no publisher waits for: it is deliverable then. */
void durable_accepted(struct core *c, struct queue *q, uint64_t ticket, uint64_t sequence);
bool durable_is_pending(const struct core *c, const struct destination *d, uint64_t sequence);
/* Holds the reply that was put into the effects last. */
void durable_hold_reply(struct core *c, uint64_t ticket);
/* Holds the bodies of s->out from `start` on. */
void durable_hold_bodies(struct core *c, struct session *s, size_t start, uint64_t ticket);
/* Nothing may point to what goes. */
void durable_forget_destinations(struct core *c, const struct producer *p);
void durable_forget_queue(struct core *c, const struct queue *q);
/* The ticket that covers all that waits for one; 0: nothing does. */
uint64_t durable_newest(const struct core *c);
void durable_free(struct core *c);
/* Moves the mark ahead of need: events beyond it may not be delivered before it is on disk. */
void durable_move_mark(struct core *c, struct queue *q);
/* Somebody finds too little room on the disk: `left` bytes. */
void durable_starved(struct core *c, uint64_t left);
/* Is there more room than they found? */
bool durable_has_room(const struct core *c);
/* Is something on disk about to be deliverable? */
bool durable_comes(const struct queue *q);
/* The first sequence that may not be delivered yet; UINT64_MAX in memory. */
uint64_t queue_deliverable_end(const struct queue *q);

/* persist_write.c, persist_read.c: the core's words in the log */
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
void rate_add(struct rate *r, uint64_t events, mono_t now);
double rate_read(const struct rate *r, mono_t now);

/* deliver.c */
void deliver_consume(struct core *c, struct session *s, struct span queue, uint32_t number);
void deliver_leave(struct core *c, struct consumer *k, bool clean);
void deliver_credit(struct core *c, struct consumer *k, uint64_t generation, uint64_t limit);
void deliver_run(struct core *c, struct queue *q);                   /* as far as credit and the link have room */
void deliver_gone(struct core *c, struct queue *q, enum reason why); /* the queue is deleted */
struct consumer *consumer_find(struct session *s, struct span queue);
void deliver_tell_turn(struct core *c, struct consumer *k, enum turn_state state);
/* The queue, which is empty, has other partitions now: its consumers get their turns anew. */
void deliver_set_partitions(struct core *c, struct queue *q);

/* settle.c */
bool settle_body(struct core *c, struct session *s, struct body *b); /* false: a violation */
void settle_receipt(struct core *c, struct session *s, const struct body *b);
void settle_lease_expired(struct core *c, struct lease *l);
/* Gives back what the consumer had in flight. */
void settle_void(struct core *c, struct consumer *k, bool clean);

/* acked.c */
void acked_remember(struct queue *q, uint64_t epoch, uint64_t first, uint64_t count);
/* Was this delivery acked, as far as is remembered? The answer is the same for all before *end. */
bool acked_before(const struct queue *q, uint64_t epoch, uint64_t delivery, uint64_t *end);

/* lease.c */
struct lease *lease_new(struct core *c, struct consumer *k, uint64_t sequence, uint64_t delivery);
struct lease *lease_find(struct consumer *k, uint64_t delivery);
struct lease *lease_last(struct consumer *k); /* its newest that is not settled whole; NULL when there is none */
/* The lease an item is in flight under; NULL when it is not in flight. */
struct lease *lease_of(struct core *c, const struct queue *q, const struct item *item);
/* One delivery under it is over; frees the lease with the last. */
void lease_delivery_ended(struct core *c, struct lease *l);
void lease_deliveries_ended(struct core *c, struct lease *l, uint32_t count);
void lease_extend(struct core *c, struct lease *l, uint64_t sequence, struct item *item, uint64_t ms);

/* receipt.c */
#define RECEIPT_MAX_SIZE 160
struct receipt {
    uint32_t queue_id;
    uint64_t incarnation;
    uint64_t consumer_epoch;
    uint64_t first_delivery, first_sequence;
    uint32_t count;
};
size_t receipt_write(const uint8_t key[16], const struct receipt *r, char out[RECEIPT_MAX_SIZE]);
bool receipt_read(const uint8_t key[16], struct span text, struct receipt *r);

/* operate.c */
void operate_request(struct core *c, const struct request *r, const struct route *route);
enum reason operate_declare(struct core *c, struct span name, const struct queue_settings *given, bool only_create,
                            bool by_config, struct queue **out, bool *created, struct error *why);
void queue_delete(struct core *c, struct queue *q, enum reason why);

/* peek.c */
/* False: the page lies on disk; its answer follows by itself. */
bool peek_request(struct core *c, struct queue *q, const struct request *r, const struct route *route,
                  struct reply *reply, struct arena *arena);
bool peek_loaded(struct core *c, const struct store_completion *done); /* false: it is no page's */
void peek_free(struct core *c);
/* The event's bytes without the lane's tag and size. */
struct span event_of_lane(struct span lane);

/* redrive.c: as peek_request and peek_loaded */
bool redrive_request(struct core *c, struct queue *q, const struct request *r, const struct route *route,
                     struct reply *reply);
bool redrive_loaded(struct core *c, const struct store_completion *done);
void redrive_due(struct core *c, struct redrive *r); /* its next step */
void redrive_describe(const struct core *c, const struct queue *q, struct redriving_info *out);
void redrive_free(struct core *c);

/* retry.c. The item is in flight, and its delivery is over. */
struct failure {
    uint64_t delay_ms; /* 0: the queue's back-off */
    uint32_t status;
    struct span error;
    bool lease_ended; /* nobody said anything */
};
void retry_failed(struct core *c, struct queue *q, uint64_t sequence, struct item *item, const struct failure *f);
/* The application will not have it: dead at once, or as soon as there is room for it. */
void retry_dropped(struct core *c, struct queue *q, uint64_t sequence, struct item *item, const struct failure *f);
/* Not now: it comes again after delay_ms; 0: it was only handed back, and comes again at once. Nothing failed. */
void retry_deferred(struct core *c, struct queue *q, uint64_t sequence, struct item *item, const struct failure *f);
void retry_crashed(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* Its consumer left in order: it comes again at once, and nothing is counted. */
void retry_returned(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* What it should be dead for; DEAD_NOT: nothing. */
enum dead_reason retry_verdict(const struct queue *q, const struct trouble *t);
/* The item's delay is over. */
void retry_due(struct core *c, struct queue *q, uint64_t sequence, struct item *item);

/* answers.c */
/* Answers a request that was answered before; false when it was not. */
bool answers_again(struct core *c, const struct request *r, const struct route *route);
void answers_remember(struct core *c, struct token id, struct span packed_request, const struct effect *reply);
void answers_free(struct core *c);

#endif
