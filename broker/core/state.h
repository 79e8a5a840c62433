/* The core's state and the functions that its files offer each other. Private to broker/core (and its tests).
 *
 * A turn of the broker's loop: inputs (core.h) reach a session, a queue or a call and mark what they changed with
 * core_run_queue, topic_wake or session_touch. core_flush then works through these lists until they are empty: it
 * admits waiting publishers, delivers to consumers, and seals each session's output into frames.
 *
 * The life of an event, by function:
 *   published   session_frame -> publish_body -> admission_accept -> queue_accept_on;
 *               without room: waiting_start; to a topic: fanout_take -> queue_enter for each queue
 *   confirmed   durable_outcome -> destination_decide -> session_answer -> session_write_answers
 *   delivered   deliver_run -> queue_taken_run, under a lease
 *   settled     settle_body or settle_receipt -> queue_settle, or queue_ack_run for neighbours; or a retry_* function,
 *               which returns the event to the queue, delays it or makes it dead
 *
 * docs/architecture.md, "The core", says what each file is for.
 *
 * Ownership: the core owns sessions, producers, queues and topics; a session owns its consumers; a destination owns
 * its waiting runs; a consumer owns its leases. Every other pointer is borrowed, and its target's owner clears it
 * before the target is freed. */
#ifndef SLUICE_BROKER_CORE_STATE_H
#define SLUICE_BROKER_CORE_STATE_H

#include "broker/core/durable/persist_write.h"
#include "broker/core/publish/producer.h"
#include "broker/core/queue/queue.h"
#include "proto/control.h"

#include <uthash.h>
#include <utlist.h>

/* ------------------------------------------------------------------ consumers */

/* Neighbouring events that were delivered together, under one lease and one receipt. Extending the lease of one
 * event moves that event to a lease of its own, a child. The child keeps its parent alive, because a delivery number
 * is looked up through the parent. */
struct lease {
    uint64_t first_delivery, first_sequence;
    uint32_t count;
    uint32_t outstanding; /* unsettled deliveries under this lease, without those of its children */
    uint32_t children;
    uint64_t consumer_epoch;
    uint32_t slot;   /* index in core->leases */
    uint32_t listed; /* index in consumer->leases; a child is not listed there */
    uint32_t partition;
    struct lease *parent;
    struct consumer *consumer;
    mono_t delivered;
    struct timer timer;
};

/* One session's consumption of one queue. */
struct consumer {
    struct session *session;
    struct queue *queue;
    uint32_t number;            /* of this consumption, given by the client */
    uint64_t epoch;             /* consumer epoch of its turn; 0: standby */
    uint64_t fence;             /* fencing token: the epoch, or higher if it has gained partitions since */
    uint32_t served;            /* the partition to look at first */
    uint32_t share;             /* partitions it has or will get; see share.c */
    uint64_t next_delivery;     /* number of the next delivery, from 1 */
    uint64_t generation, limit; /* credit */
    uint64_t most_granted;      /* the highest limit ever granted: nothing is delivered beyond it */
    uint64_t idle_told;         /* the generation for which Idle was sent */
    uint64_t outstanding;       /* unsettled deliveries */
    struct lease **leases;      /* by first_delivery; freed ones are NULL until the array is compacted */
    uint32_t lease_count, lease_capacity, lease_holes;
    bool contended_told; /* whether the last Turn said that others stand by */
    struct consumer *queue_prev, *queue_next, *session_prev, *session_next;
};

/* ------------------------------------------------------------------ sessions */

/* An attach that waits for the client's echo of Hello. */
struct pending_attach {
    bool active;
    bool fresh; /* of a new session, which ends if the attach fails */
    struct token request;
    struct route route;
    mono_t deadline;
    struct buf destinations; /* names whose outcomes the client asked for, each NUL-terminated */
};

/* A peer, by its name as the transport authenticated it. Kept while it has sessions or has recently misbehaved. */
struct origin {
    char name[PEER_MAX_SIZE];
    uint32_t sessions, pending; /* its sessions; those of them that have not echoed a Hello yet */
    uint64_t garbage;           /* bytes of garbage within the window that began at `since` */
    mono_t since, denied_until;
    UT_hash_handle hh;
};

/* Bytes rejected on the ingress, of all origins together. */
struct flood {
    uint64_t bytes; /* within the window that began at `since` */
    mono_t since, rebound;
    int64_t pause_ms; /* minimum time from `rebound` to the next rebind; 0: no rebind recently */
};

struct session {
    struct token token;
    char name[65];
    char peer[PEER_MAX_SIZE];
    struct origin *origin; /* of `peer` */
    bool proven;           /* it has echoed a Hello: its inbox belongs to it and can be reached */
    char *endpoint;        /* of its inbox */
    uint32_t lane;         /* to its inbox; 0: none */
    struct link link;
    struct buf out; /* bodies not yet sealed into a frame */
    struct pending_attach pending;
    struct token pending_producer; /* the producer id it claims, until its echo arrives … */
    uint64_t pending_epoch;        /* … and the producer epoch it claims for that id */
    struct producer *producer;
    struct consumer *consumers;       /* utlist DL (session_prev/next) */
    struct destination *unsent;       /* list of destinations with an unsent outcome */
    struct answer_line line;          /* outcomes that `out` has no room for */
    uint64_t sent_events, sent_bytes; /* totals that it published */
    uint64_t decided_events, decided_bytes;
    uint64_t told_events, told_bytes; /* totals up to which it may publish, as last sent to it */
    struct timer timer;
    bool dirty, stalled; /* dirty: in core->dirty. stalled: the link had no room for deliveries */
    bool bye;            /* Bye is to be sent behind the last outcome */
    struct session *dirty_next;
    UT_hash_handle hh;
};

/* ------------------------------------------------------------------ the core */

/* The answer to a mutating call, kept in case the client repeats the call. */
struct cached_reply {
    struct token id;
    struct buf request, reply;
    struct cached_reply *prev, *next;
    UT_hash_handle hh;
};
#define REPLY_CACHE_MOST  4096u
#define REPLY_CACHE_BYTES (16u << 20) /* requests and replies together */

/* Something that waits until a ticket of the log is durable. core->pending lists them in the order of tickets. */
struct pending {
    uint64_t ticket;
    struct pending *next;
    enum {
        PENDING_OUTCOME, /* the outcome of accepted entries is told, and they become deliverable */
        PENDING_REPLY,   /* a control call is answered */
        PENDING_BODY,    /* bodies are sent to a session */
        PENDING_MARK,    /* a queue's delivery mark moves */
    } kind;
    struct token session;            /* OUTCOME: the publisher; BODY: the recipient */
    struct destination *destination; /* OUTCOME; NULL: nobody is told, or the destination was forgotten */
    struct pending *destination_next;
    struct queue *queue; /* OUTCOME, MARK; NULL: deleted, or the outcome is of no single queue */
    struct outcome outcome;
    uint64_t events, bytes; /* OUTCOME: what it gives back to the session's window */
    struct route route;     /* REPLY */
    struct buf text;        /* REPLY: packed; BODY: encoded */
};

struct core {
    struct core_config config;
    struct store *store; /* in memory */
    struct store *disk;  /* the log; NULL: the broker has no data directory */
    struct pending *pending, *last_pending, *spare_pending;
    uint64_t on_disk;                   /* the newest ticket that is durable */
    struct pending_peek *pending_peeks; /* peeks whose page is being read from the disk; see peek.c */
    uint32_t pending_peek_count;
    uint32_t load_counter;
    mono_t stood_still;               /* when it was last seen that the process had stood still */
    struct explanation *explanations; /* whose event is being read from the disk; see explain.c */
    struct redrive *redrives;         /* in progress; see redrive.h */
    struct timers redrive_timers;
    bool disk_starved;        /* somebody waits for room on the disk … */
    uint64_t disk_starved_at; /* … and found only this many bytes */
    mono_t disk_full_told;    /* when a full disk was last logged; 0: there has been room since */
    mono_t disk_lacked;       /* when somebody last waited for room on it */
    bool failed;              /* the log failed: nothing more is confirmed */
    mono_t started;
    int64_t start_ms; /* `started` by the wall clock, as explain.c last computed it; 0: not yet */
    uint64_t random_counter;
    uint8_t receipt_key[16];
    char *ingress;
    bool stopping, bye_said;
    struct {
        bool orderly, unsynced;
    } before;       /* what the recovered snapshot says of the run that wrote it: persist_fields.h, STATE_* */
    struct now now; /* the time of the input being handled */

    struct timers timers; /* of sessions */
    struct timers lease_timers;
    struct timers delay_timers;    /* of schedules, by the monotonic clock */
    struct timers wall_timers;     /* of schedules, by the wall clock: `due` holds milliseconds */
    struct timers spill_timers;    /* see spill.h */
    struct timers wait_timers;     /* deadlines of waiting publishers */
    struct timers producer_timers; /* when producers without a session are forgotten */

    struct session *sessions;
    struct origin *origins;
    mono_t origins_swept;
    struct flood flood;
    struct producer *producers;
    struct transient *transient; /* destinations that do not survive a restart, by name; see destinations.c */
    struct queue *queues;        /* hash by name */
    struct queue *by_id;         /* the same queues, hash by id through hh_id */
    struct queue **by_name;      /* the same queues, sorted by name */
    uint32_t queue_count, by_name_capacity;
    uint32_t next_queue_id;                 /* the newest id of a queue or topic */
    uint64_t epoch_floor;                   /* a new queue's consumer epochs begin above it */
    struct queue *runnable, *runnable_last; /* queues to run at the next flush */
    struct session *dirty;                  /* sessions with output to seal */
    struct lease **leases;                  /* by slot */
    uint32_t lease_count, lease_capacity;
    uint32_t *free_leases;
    uint32_t free_lease_count;
    uint64_t waiting_bytes;        /* memory of all waiting entries */
    uint64_t arrivals;             /* number of waiting runs so far: the newest value of waiting.arrival */
    struct topic *topics;          /* hash by name */
    struct topic **topics_by_name; /* the same topics, sorted by name */
    uint32_t topic_count, topics_capacity;
    struct topic *woken;   /* topics whose waiters are tried at the next flush */
    uint8_t dedup_key[16]; /* hash key of every queue's dedup window */
    uint64_t dedup_bytes;  /* memory of all dedup windows */
    mono_t dedup_swept;
    uint64_t schedule_bytes; /* memory of all schedules */
    uint64_t history_bytes;  /* memory of all histories (attempts.h) */
    uint64_t spill_bytes;    /* memory of the indexes of spilled events (spill.h) */
    struct cached_reply *reply_cache, *reply_cache_list;
    uint32_t reply_cache_count;
    uint64_t reply_cache_bytes;
    struct ledger closed_ledger;        /* sum over deleted queues */
    struct subscription *subscriptions; /* see subscriptions.h */
    uint32_t subscription_count;
    uint64_t subscription_revision;
    uint32_t next_lane;
    uint64_t frames_in, frames_out, resent, rejected, rejected_bytes, sessions_ended, rebinds, denied;

    struct effect *effects;
    size_t effect_count, effect_capacity;
};

/* What an event is read from the disk for. A load's tag is its kind, and below that the number of a call, or the queue's
 * id. core_disk hands each completed load to its kind's function, which settles or releases every event of it. */
enum load_kind {
    LOAD_BACKLOG,
    LOAD_PEEK,
    LOAD_REDRIVE,
    LOAD_EXPLAIN,
    LOAD_UNPARKED,
    LOAD_DOOMED,
    LOAD_SPILLED,
    LOAD_DROP
};

static inline uint64_t load_tag(enum load_kind kind, uint32_t of)
{
    return (uint64_t)kind << 32 | of;
}

/* effects.c */
/* Appends an effect; valid until the next is appended. */
struct effect *core_effect(struct core *c, enum effect_kind kind);
/* Appends a log line; `q` and `s`, either of which may be NULL, are what it is about. */
void core_log(struct core *c, enum log_level level, const struct queue *q, const struct session *s, const char *format,
              ...) __attribute__((format(printf, 5, 6)));
/* Appends the reply to a control call. */
void core_reply(struct core *c, const struct route *route, const struct reply *reply);

/* core.c */
/* Milliseconds by which a timer of a peer's fired late; 0 if that is little. The process then stood still (a disk, a
 * debugger, the kernel), or got no processor, and what the peer sent meanwhile may not have been read yet. So this time
 * is not counted against the peer. Logs it once a turn. */
int64_t core_stood_still_ms(struct core *c, const struct timer *fired);
struct token core_random_token(struct core *c);
int32_t core_tenths(const struct core *c);       /* tenths of a second since the start, as in item.accepted */
uint64_t core_budget_left(const struct core *c); /* bytes of the memory budget that are free */
/* Has the queue run at the next flush: admits waiting publishers, fires what is due, delivers. */
void core_run_queue(struct core *c, struct queue *q);
void core_stop_queue(struct core *c, struct queue *q); /* undoes core_run_queue */

/* attach.c */
/* Handles an Attach; the answer follows when the client has echoed Hello. */
void attach_request(struct core *c, const struct request *r, const struct route *route, const char *peer);
/* Answers the pending attach with an error. A session that was never attached ends: `s` may be gone afterwards. */
void attach_fail(struct core *c, struct session *s, enum reason reason, const char *detail);
/* The client echoed a Hello; `request_id` must be that of the pending attach. */
void attach_echo(struct core *c, struct session *s, struct span request_id);
/* Ends and frees the session. `why`: for the log; NULL: an orderly end, not logged. `clean`: what was in flight is
 * returned to its queue without counting a crash. */
void session_end(struct core *c, struct session *s, const char *why, bool clean);
/* NULL: no session has this token. In session.c. */
struct session *session_find(struct core *c, struct token token);

/* guard.c */
enum rejection {
    REJECTED_GARBAGE, /* on the ingress: no client of this protocol sends it */
    REJECTED_LATE,    /* on the ingress: of an older epoch, or of a session that is gone */
    REJECTED_CONTROL, /* garbage on the control socket, whose buffer its high-water mark bounds */
};
/* Counts a rejected message of `size` bytes against `peer`. May end sessions of `peer`. */
void guard_rejected(struct core *c, const char *peer, size_t size, enum rejection kind);
/* Counts a new session of s->peer. False, and nothing is counted, when too many attaches of that peer are pending. */
bool guard_admit_attach(struct core *c, struct session *s);
void guard_attached(struct session *s);              /* the session has echoed a Hello */
void guard_ended(struct core *c, struct session *s); /* the session ends */
void guard_free(struct core *c);

/* session.c */
/* A frame from the ingress. */
void session_frame(struct core *c, struct span frame, const char *peer);
void session_touch(struct core *c, struct session *s); /* has the session flushed at the next flush */
void session_flush(struct core *c, struct session *s); /* seals `out` into frames, as far as the link has room */
/* The same for what is in `out` already, if that is enough for a frame. */
void session_flush_full(struct core *c, struct session *s);
bool session_takes(const struct session *s);                           /* whether deliveries may be added to `out` */
void session_send(struct core *c, struct session *s, struct frame *f); /* takes over `f` */
/* Ends the session if it leaves too many answers unread: `s` may be gone afterwards. */
void session_bound(struct core *c, struct session *s);
void session_due(struct core *c, struct session *s);  /* sets the session's timer to what is due first */
void session_tick(struct core *c, struct session *s); /* its timer fired; `s` may be gone afterwards */
/* Resumes deliveries that waited for the link, once it is open and has room. */
void session_unstall(struct core *c, struct session *s);

/* topic.c; its other functions are in topic.h */
void topics_wake_all(struct core *c); /* the waiters of all topics are tried at the next flush */

/* deliver.c */
/* The session begins to consume `queue`; `number` is the client's number of this consumption. */
void deliver_consume(struct core *c, struct session *s, struct span queue, uint32_t number);
/* The consumer leaves and is freed. `clean` as in session_end. */
void deliver_leave(struct core *c, struct consumer *k, bool clean);
void deliver_credit(struct core *c, struct consumer *k, uint64_t generation, uint64_t limit);
void deliver_run(struct core *c, struct queue *q); /* delivers as far as credit and links have room */
/* The queue is deleted: its consumers go and are told `why`. */
void deliver_queue_deleted(struct core *c, struct queue *q, enum reason why);
struct consumer *consumer_find(struct session *s, struct span queue); /* NULL: the session does not consume it */
void deliver_send_turn(struct core *c, struct consumer *k, enum turn_state state);
/* The partitions of the queue, which is empty, have changed: sets them up and gives its consumers new turns. */
void deliver_set_partitions(struct core *c, struct queue *q);

/* settle.c */
bool settle_body(struct core *c, struct session *s, struct body *b); /* false: a protocol violation */
void settle_receipt(struct core *c, struct session *s, const struct body *b);
void settle_lease_expired(struct core *c, struct lease *l);
/* Returns to the queue what the consumer has in flight. `clean` as in session_end. */
void settle_consumer_left(struct core *c, struct consumer *k, bool clean);

/* acked.c */
void acked_remember(struct queue *q, uint64_t epoch, uint64_t first, uint64_t count);
/* Whether this delivery is remembered as acked. The answer holds for all deliveries before *end. */
bool acked_before(const struct queue *q, uint64_t epoch, uint64_t delivery, uint64_t *end);

/* lease.c */
struct lease *lease_new(struct core *c, struct consumer *k, uint64_t sequence, uint64_t delivery);
struct lease *lease_find(struct consumer *k, uint64_t delivery);
struct lease *lease_last(struct consumer *k); /* its newest that is not wholly settled; NULL: none */
/* The lease that an item is in flight under; NULL: it is not in flight. */
struct lease *lease_of(struct core *c, const struct queue *q, const struct item *item);
/* One delivery under the lease has ended, or `count` have. The last one frees the lease. */
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
/* Handles every control call but Attach. */
void operate_request(struct core *c, const struct request *r, const struct route *route);
/* declare.c */
/* Declares or changes a queue. Settings that are not in `given` get their defaults in a new queue and stay as they
 * are in an existing one; NULL: none are given. `only_create`: refuses if the queue exists. `by_config`: on behalf
 * of the configuration file. *out: the queue, or NULL. `created` and `why` may be NULL. */
enum reason operate_declare(struct core *c, struct span name, const struct queue_settings *given, bool only_create,
                            bool by_config, struct queue **out, bool *created, struct error *why);
/* Deletes the queue with all it holds; its waiting publishers and consumers are told `why`. */
void queue_delete(struct core *c, struct queue *q, enum reason why);

/* peek.c */
/* Fills `reply`. False: the page has to be read from the disk first, and the answer is sent when that is done. */
bool peek_request(struct core *c, struct queue *q, const struct request *r, const struct route *route,
                  struct reply *reply, struct arena *arena);
void peek_loaded(struct core *c, const struct store_completion *done);
void peek_free(struct core *c);

/* redrive.c: as peek_request and peek_loaded */
bool redrive_request(struct core *c, struct queue *q, const struct request *r, const struct route *route,
                     struct reply *reply, struct error *why);
void redrive_loaded(struct core *c, const struct store_completion *done);
void redrive_due(struct core *c, struct redrive *r); /* its timer fired: does the next step */
void redrive_describe(const struct core *c, const struct queue *q, struct redriving_info *out);
void redrive_free(struct core *c);

/* retry.c. The first five take an item in flight whose delivery has ended without an ack. */
struct failure {
    uint64_t delay_ms; /* until it is redelivered; 0: the queue's back-off */
    uint32_t status;
    struct span error;
    bool lease_ended; /* the lease ran out: there is neither status nor error */
};
/* A nack, or the end of the lease: the event is delayed, or dies of too many failures. */
void retry_failed(struct core *c, struct queue *q, uint64_t sequence, struct item *item, const struct failure *f);
/* The application rejects the event for good: it dies at once, or as soon as there is room among the dead. */
void retry_dropped(struct core *c, struct queue *q, uint64_t sequence, struct item *item, const struct failure *f);
/* The application cannot handle the event now: it is redelivered after delay_ms; 0: at once. No failure is counted. */
void retry_deferred(struct core *c, struct queue *q, uint64_t sequence, struct item *item, const struct failure *f);
/* The consumer vanished: the event is redelivered at once, or dies of too many crashes. */
void retry_crashed(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* The consumer left in order: the event is redelivered at once, and nothing is counted. */
void retry_returned(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* The reason for which the event should be dead; DEAD_NOT: none. */
enum dead_reason retry_verdict(const struct queue *q, const struct trouble *t);
/* The item's delay has ended. */
void retry_due(struct core *c, struct queue *q, uint64_t sequence, struct item *item);

/* reply_cache.c */
/* Repeats the answer to a request that was answered before. False: it was not, or its answer is no longer kept. */
bool reply_cache_repeat(struct core *c, const struct request *r, const struct route *route);
void reply_cache_add(struct core *c, struct token id, struct span packed_request, const struct effect *reply);
void reply_cache_free(struct core *c);

#endif
