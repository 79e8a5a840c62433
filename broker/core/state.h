/* The core's state and what its files offer each other. Private to broker/core (and its tests).
 *
 *   core.c        the public calls, timers, flush; effects.c what a turn leaves to be done
 *   session/      who is there: attach.c attach, Hello, resume, the end; session.c frames in, bodies out, links;
 *                 guard.c what was refused, by whom: denial, and the ingress bound again;
 *                 recover.c what was there before a restart
 *   publish/      entries as they arrive: publish.c in order, admission.c lets them in, duplicates.c those that came before
 *                 (dedup.c remembers them), waiters.c those that wait for room, producer.c who sent them, their outcomes
 *   queue/        what a queue holds: queue.c its books (queue_view.c tells of them; queue_name.c finds it), items.c where
 *                 its items are, drop.c what makes room for others, backlog.c what is on disk alone, schedule.c what waits
 *                 for a time and what runs out (schedule.h)
 *   partition/    which go to whom, where a queue has partitions (partition.c, share.c) or an order by key (keys.c, spill.c)
 *   topic/        topics and what is bound to them: fanout.c lets their entries in (fanout_room.c: where there
 *                 is room), targets.c which queues have an event
 *   deliver/      deliver.c consumers, turns, credit; settle.c acks, by number and by receipt; lease.c leases, receipt.c
 *                 a receipt's text; acked.c acks that are remembered; retry.c deliveries that failed (attempts.c remembers
 *                 them); trouble.c what went wrong, and the dead; dead_letter.c and doomed.c those that go to another queue
 *   calls/        control calls: declare.c and operate.c on queues, explain.c, peek.c, redrive.c, subscriptions.c; reply_cache.c
 *                 remembers what they were answered
 *   durable/      what outlives a restart: durable.c outcomes that wait for the disk, destinations.c which of them are kept,
 *                 persist_*.c the core's words in the log, salvaged.c queues that a repair found nameless
 *
 * Ownership: the core owns sessions, producers and queues; a session its consumers; a destination its waiting runs; a
 * consumer its leases. Everything else is a borrowed pointer that the owner clears when it goes. */
#ifndef SLUICE_BROKER_CORE_STATE_H
#define SLUICE_BROKER_CORE_STATE_H

#include "broker/core/durable/persist_write.h"
#include "broker/core/publish/producer.h"
#include "broker/core/queue/queue.h"
#include "proto/control.h"

#include <uthash.h>
#include <utlist.h>

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
    struct destination *unsent;       /* destinations with an unsent outcome */
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
struct cached_reply {
    struct token id;
    struct buf request, reply;
    struct cached_reply *prev, *next;
    UT_hash_handle hh;
};
#define REPLY_CACHE_MOST  4096u
#define REPLY_CACHE_BYTES (16u << 20) /* … of at most so much, requests and replies */

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
    uint64_t on_disk;                   /* the newest ticket that is durable */
    struct pending_peek *pending_peeks; /* pages of peeks that are being read from the disk; see peek.c */
    uint32_t pending_peek_count;
    uint64_t load_counter;
    struct explanation *explanations; /* that are being read from the disk, see explain.c */
    struct redrive *redrives;         /* under way, see redrive.h */
    struct timers redrive_timers;
    bool disk_starved;        /* somebody waits for room on the disk: … */
    uint64_t disk_starved_at; /* … for more than this */
    mono_t disk_full_told;    /* when the log said so; 0: never */
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
    struct timers delay_timers; /* of schedules: what follows the monotonic clock … */
    struct timers wall_timers;  /* … and the wall clock: `due` holds its milliseconds */
    struct timers spill_timers; /* see spill.h */
    struct timers wait_timers;
    struct timers producer_timers;

    struct session *sessions;
    struct origin *origins;
    mono_t origins_swept;
    struct flood flood;
    struct producer *producers;
    struct transient *transient; /* names that are in memory, beside a disk: destinations.c */
    struct queue *queues;        /* by name */
    struct queue *by_id;         /* the same, through hh_id */
    struct queue **by_name;      /* sorted, for lists */
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
    uint64_t schedule_bytes; /* memory of all schedules */
    uint64_t history_bytes;  /* memory of all histories */
    uint64_t spill_bytes;    /* memory of what is known of events spilled, see spill.h */
    struct cached_reply *reply_cache, *reply_cache_list;
    uint32_t reply_cache_count;
    uint64_t reply_cache_bytes;
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
void core_log(struct core *c, enum log_level level, const struct queue *q, const struct session *s, const char *format,
              ...) __attribute__((format(printf, 5, 6)));
void core_reply(struct core *c, const struct route *route, const struct reply *reply);
struct token core_random_token(struct core *c);
int32_t core_tenths(const struct core *c); /* since the start: what item.accepted holds */
uint64_t core_budget_left(const struct core *c);
void core_run_queue(struct core *c, struct queue *q);  /* admit and deliver at the next flush */
void core_stop_queue(struct core *c, struct queue *q); /* not, whoever asked for it */

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

/* topic.c, further of whose calls are in topic.h */
void topics_wake_all(struct core *c); /* who waits there is tried at the next flush */

/* deliver.c */
void deliver_consume(struct core *c, struct session *s, struct span queue, uint32_t number);
void deliver_leave(struct core *c, struct consumer *k, bool clean);
void deliver_credit(struct core *c, struct consumer *k, uint64_t generation, uint64_t limit);
void deliver_run(struct core *c, struct queue *q); /* as far as credit and the link have room */
void deliver_queue_deleted(struct core *c, struct queue *q, enum reason why); /* the queue is deleted */
struct consumer *consumer_find(struct session *s, struct span queue);
void deliver_send_turn(struct core *c, struct consumer *k, enum turn_state state);
/* The queue, which is empty, has other partitions now: its consumers get their turns anew. */
void deliver_set_partitions(struct core *c, struct queue *q);

/* settle.c */
bool settle_body(struct core *c, struct session *s, struct body *b); /* false: a violation */
void settle_receipt(struct core *c, struct session *s, const struct body *b);
void settle_lease_expired(struct core *c, struct lease *l);
/* Gives back what the consumer had in flight. */
void settle_consumer_left(struct core *c, struct consumer *k, bool clean);

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

/* reply_cache.c */
/* Answers a request that was answered before; false when it was not. */
bool reply_cache_repeat(struct core *c, const struct request *r, const struct route *route);
void reply_cache_add(struct core *c, struct token id, struct span packed_request, const struct effect *reply);
void reply_cache_free(struct core *c);

#endif
