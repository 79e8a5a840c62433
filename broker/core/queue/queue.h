/* A queue: what it holds, its books, and what of it is on disk only. Private to broker/core (and its tests). */
#ifndef SLUICE_BROKER_CORE_QUEUE_H
#define SLUICE_BROKER_CORE_QUEUE_H

#include "base/timers.h"
#include "broker/core/core.h"
#include "broker/core/publish/dedup.h"
#include "broker/core/queue/heap.h"
#include "broker/store/ranges.h"

#include <uthash.h>

struct consumer;
struct destination;
struct outcome;
struct producer;
struct session;
struct waiting;
struct trouble;
struct history;
struct redrive;
struct partitions;
struct topic; /* topic.h */
struct schedule;

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
    struct schedule *schedule;     /* NULL: nothing of it was ever delayed, or expires */

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
    uint64_t mark_written; /* … or on its way there, while mark_pending */
    bool mark_pending;
    uint64_t mark_ahead;     /* how far the next mark goes beyond what is delivered */
    uint64_t recovered_mark; /* events before it may have been delivered before a restart */
    uint64_t recovered_end;  /* events before it were accepted before the restart */
    struct ranges backlog;   /* live sequences >= loaded */
    uint64_t backlog_events;
    uint64_t backlog_bytes; /* of everything that is on disk only: the schedule's, too */
    uint64_t low;           /* load more once fewer than this are loaded and not delivered */
    bool loading;
    /* drop.c */
    bool drop_waits;   /* who asked for room last waits for what is read … */
    bool drop_reading; /* … by this load */
    bool drop_owed;    /* somebody could not wait, and comes again */
    mono_t drop_again; /* there was no room for the dead: not before */
};

/* queue.c */
struct queue *queue_find(struct core *c, struct span name);
struct queue *queue_by_id(struct core *c, uint64_t id);
/* Where in by_name the first name at or behind this one is: queue_count when there is none. */
uint32_t queue_place(const struct core *c, const char *name);
void queue_list_name(struct core *c, struct queue *q);
void queue_unlist_name(struct core *c, struct queue *q);
void queue_rename(struct core *c, struct queue *q, struct span name); /* to one that nothing has; nobody uses it yet */
struct queue *queue_create(struct core *c, struct span name, const struct queue_settings *settings);
void queue_free(struct core *c, struct queue *q);
struct item *queue_item(struct queue *q, uint64_t sequence); /* NULL when it is gone */
/* How much more may be accepted now. */
struct room {
    uint64_t events, bytes; /* of the queue */
    uint64_t budget;        /* bytes of the broker: memory, or the disk's … */
    enum reason short_of;   /* … as this says: REASON_budget or REASON_disk */
};
/* At most what a record on disk adds to an event that is alone in its run. */
#define DISK_OVERHEAD 192u
struct room queue_room(const struct core *c, const struct queue *q);
/* Takes the room of a word in the log, which an entry may cost that is not accepted; false when there is none. */
bool room_take_word(struct room *r);
/* Without what `events` of `bytes` in all take; of the broker's part only, unless they are the queue's. */
void room_subtract(struct room *r, uint64_t events, uint64_t bytes, bool are_queues);
/* Takes the room of one event: REASON_ok, or REASON_full or REASON_budget and nothing is taken. */
static inline enum reason room_take(struct room *r, uint64_t size)
{
    if (r->events == 0 || r->bytes < size)
        return REASON_full;
    uint64_t overhead = r->short_of == REASON_disk ? DISK_OVERHEAD : 0;
    if (r->budget < size + overhead)
        return r->short_of;
    r->events--;
    r->bytes -= size;
    r->budget -= size + overhead;
    return REASON_ok;
}
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
/* queue_run.c */
/* How many neighbours can go together from next_ready on, which is ready: ready like it, with as many attempts; not more than `most`,
 * and no more than reach `bytes`. */
uint32_t queue_ready_run(const struct queue *q, uint64_t most, size_t bytes);
/* queue_taken for neighbours that are ready. */
void queue_taken_run(struct queue *q, uint64_t first, uint32_t count, uint32_t lease);
/* queue_settle for the acks of neighbours, at most `most` from `first` on, as long as they are in flight under that lease.
 * Returns how many; 0 also where they must be settled one by one. */
uint32_t queue_ack_run(struct core *c, struct queue *q, uint64_t first, uint64_t most, uint32_t lease);
/* In flight or delayed back to ready; or out, where it expired meanwhile: `item` is not to be used after it. */
void queue_return(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* In flight or delayed: to be delivered again after `ms`; or out, as above. */
void queue_delay(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms);
/* Ready, and to be delivered after `ms`. */
void queue_hold_back(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms);
/* Delayed, and never delivered again: for its partition and its key it has left. */
void queue_withdraw(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* The next to deliver; NULL when nothing is ready. */
struct item *queue_next(struct queue *q, uint64_t *sequence);
/* Marks it taken by a lease. */
void queue_taken(struct queue *q, uint64_t sequence, struct item *item, uint32_t lease);
uint64_t queue_purge(struct core *c, struct queue *q, bool everything);
uint64_t queue_oldest_ms(const struct core *c, struct queue *q);
uint64_t queue_remaining(const struct queue *q);
/* Calls `visit` for the items from `from` on, in order, until it returns false. */
void queue_each(struct queue *q, uint64_t from, bool (*visit)(void *, uint64_t, struct item *), void *ctx);
/* The same for all of them, in no order: it costs no sorting. */
void queue_all(struct queue *q, bool (*visit)(void *, uint64_t, struct item *), void *ctx);
const struct item *queue_oldest(struct queue *q);                     /* NULL: there is none in memory */
uint32_t queue_retry_ms(const struct core *c, const struct queue *q); /* a guess when there is room again; 0: none */
void queue_validate(struct queue *q);
void rate_add(struct rate *r, uint64_t events, mono_t now);
double rate_read(const struct rate *r, mono_t now);
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
/* The same with what is spilled, of which the first is `from`, all at once: 0, and nothing changed, where others behind it stay. There
 * are no items but in flight; the set of those spilled is the caller's to clear. */
uint64_t backlog_purge_from(struct core *c, struct queue *q, uint64_t from);
/* Where an event is that is on disk only. */
enum backlog_place { BACKLOG_NOWHERE, BACKLOG_LINE, BACKLOG_SPILLED, BACKLOG_UNPARKED, BACKLOG_PARKED };
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

/* schedule.c, schedule_disk.c; those that take a queue only where it has a schedule */
/* What holds of events that are accepted now: what they said, and the queue's settings. */
struct terms schedule_terms(const struct queue *q, const struct terms *given, int64_t now_ms);
void schedule_wake(struct core *c);        /* queues of which something is due get a turn */
mono_t schedule_due(const struct core *c); /* when that is to be called next */
/* What is due becomes ready, or expires. False: more of it expires, and the queue has another turn for that, before anything else. */
bool schedule_turn(struct core *c, struct queue *q);
/* Comes back from its delivery: true when its time is up, and then it is gone. */
bool schedule_expire_overdue(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
void schedule_gone(struct queue *q, uint64_t sequence);                          /* the event left the queue */
enum reason schedule_cancel(struct core *c, struct queue *q, uint64_t sequence); /* of any queue */
uint64_t schedule_purge(struct core *c, struct queue *q);                        /* what is on disk only */
/* Says of delayed events when they become ready. One walk over all that is delayed. */
void schedule_describe(const struct core *c, const struct queue *q, struct peeked *events, size_t count);
/* Says of events when they expire. One walk over all that expire. */
void schedule_describe_expiry(const struct queue *q, struct peeked *events, size_t count);
void schedule_want(struct core *c, struct queue *q);                       /* asks the disk for what is due */
bool schedule_comes(const struct queue *q);                                /* is something due on its way from there? */
bool schedule_loaded(struct core *c, const struct store_completion *done); /* false: it is not for a schedule */
/* After a restart, of any queue; `clean`: the log ends with its checkpoint. */
void schedule_recover(struct core *c, struct queue *q, bool clean);
bool schedule_validate(const struct schedule *k);

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
/* Did somebody find too little because there is no room for more of the log? A disk that is behind has some again in a moment. */
bool durable_disk_is_full(const struct core *c);
/* Is something on disk about to be deliverable? */
bool durable_comes(const struct queue *q);
/* The first sequence that may not be delivered yet; UINT64_MAX in memory. */
uint64_t queue_deliverable_end(const struct queue *q);

#endif
