/* A queue: its events, its counts and ledger, and its part on disk. Private to broker/core (and its tests).
 *
 * Events are known by their sequence, from 1. Where those that a queue holds are:
 *
 *   ring         [base, loaded): an item for each event in memory, and empty places (ITEM_GONE)
 *   stragglers   items below `base`
 *   backlog      on a queue on disk, from `loaded` on: ranges of sequences whose bytes are on disk only (backlog.c)
 *   schedule     delayed events on disk, as ranges: parked, and unparked once they are due (schedule.h)
 *   spill        stalled events of a partition or key that were dropped from memory, as ranges (spill.h)
 *   troubles     dead events; they are outside the queue's order and counts (trouble.h)
 *
 * An event is in one of these places only. A queue in memory has no backlog and no spill. */
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

/* An event in memory; its bytes are in the store. 24 bytes. */
struct item {
    store_locator at;
    uint32_t size;    /* of the event, in bytes */
    uint32_t lease;   /* in flight: the slot of its lease */
    int32_t accepted; /* tenths of a second since the core started; negative: before the start */
    uint16_t attempt; /* deliveries so far, saturating */
    uint8_t state;    /* enum item_state */
    uint8_t place;    /* its partition + 1, once it was assigned to one; 0: not yet */
};

/* An item that stayed while thousands behind it left. It is moved out of the ring, so that the ring's length depends on
 * how many events are held and not on how far apart they are. */
struct straggler {
    uint64_t sequence;
    struct item item;
    UT_hash_handle hh;
};

/* When events may be delivered, in ms of the wall clock. not_before_ms 0: at once; expires_ms 0: they never expire. */
struct terms {
    int64_t not_before_ms, expires_ms;
};

/* A smoothed rate per second over about ten seconds. */
struct rate {
    double value;
    mono_t at;
};

/* A run of deliveries whose ack is remembered; see acked.c. */
struct acked {
    uint64_t consumer_epoch; /* 0: unused */
    uint64_t first, count;   /* delivery numbers */
};
#define ACKED_RUNS 256u

struct queue {
    char name[NAME_MAX_SIZE + 1];
    uint32_t id; /* never reused within an incarnation */
    struct queue_settings settings;
    bool managed, paused, closed;

    uint64_t next_sequence;
    struct item *ring; /* items [base, loaded), by sequence & (ring_capacity - 1) */
    uint32_t ring_capacity;
    uint64_t base;
    uint64_t next_ready;     /* the first that was never delivered or, with partitions, sorted; >= base */
    uint64_t loaded;         /* from here to next_sequence every event is backlog; in memory: next_sequence */
    struct durable *durable; /* of a queue on disk; NULL: the queue is in memory */
    struct straggler *stragglers;
    struct heap returned;          /* sequences to deliver again, before next_ready; some may be stale */
    struct partitions *partitions; /* NULL: the queue is one FIFO; see partition.h */
    struct schedule *schedule;     /* NULL: no event of it was ever delayed or expires */

    uint64_t ready, in_flight, delayed; /* events in each state, wherever they are */
    uint64_t bytes;                     /* of all these events */
    struct trouble *troubles;           /* of events that failed, and the dead; see trouble.h */
    uint64_t dead, dead_bytes;          /* dead events; not in the counts above */
    struct history *histories;          /* of its troubles, utlist DL; see attempts.h */
    uint64_t history_bytes;             /* memory of these */
    uint64_t held;                      /* delayed events that should be dead but cannot be yet; see trouble.h */
    struct ledger ledger;               /* without `remaining`, which is queue_remaining */
    uint64_t refused, redelivered, duplicates;
    struct dedup dedup; /* its dedup window */
    struct rate in_rate, out_rate;

    struct waiting *waiters; /* runs of entries that wait for room; utlist DL, in order of arrival */
    uint64_t waiting;        /* undecided entries in these */
    struct topic **topics;   /* topics that may send events here, each once */
    uint32_t topic_count;
    struct consumer *consumers; /* utlist DL (queue_prev/next); without partitions the active one is first */
    struct consumer *active;    /* the active one; with partitions: the first of them; NULL: none */
    uint32_t consumer_count;
    uint64_t consumer_epoch; /* the newest that was given out */
    struct acked *acked;     /* ring of ACKED_RUNS; NULL until the first ack is remembered */
    uint32_t acked_next;
    uint64_t died[DEAD_REASONS]; /* events that died since the broker's start */

    bool runnable; /* it is in core->runnable */
    struct queue *runnable_next;
    UT_hash_handle hh, hh_id;
};

/* The additional state of a queue on disk. */
struct durable {
    uint64_t end;          /* events before it are durable; see durable.c */
    uint64_t mark;         /* events before it may be delivered: the mark that is durable */
    uint64_t mark_written; /* the newest mark written to the log; durable unless mark_pending */
    bool mark_pending;
    uint64_t mark_ahead;     /* how far the next mark goes beyond what is delivered */
    uint64_t recovered_mark; /* events before it may have been delivered before the restart */
    uint64_t recovered_end;  /* events before it were accepted before the restart */
    struct ranges fresh;   /* … and those below recovered_mark that were not delivered: known after an orderly stop */
    struct ranges backlog; /* live sequences >= loaded */
    uint64_t backlog_events;
    uint64_t backlog_bytes; /* of all events that are on disk only: backlog, parked, unparked and spilled; estimated */
    uint64_t low;           /* load more once no more than this are loaded and not delivered */
    bool loading;
    /* drop.c */
    bool drop_waits;   /* the last queue_drop_oldest needs an event that has to be read first … */
    bool drop_reading; /* … which a load is reading now */
    bool drop_owed;    /* an entry was refused because it could not wait for that: drop for its retry */
    mono_t drop_again; /* the dead-letter queue had no room: try again no earlier */
};

/* queue.c */
struct queue *queue_by_id(struct core *c, uint64_t id); /* NULL: there is none */
/* `name` is valid and free; all settings are present. */
struct queue *queue_create(struct core *c, struct span name, const struct queue_settings *settings);
/* The queue must be empty, without waiters, topics and consumers; dead events are forgotten with it. */
void queue_free(struct core *c, struct queue *q);
/* The event's item; NULL: it is gone, or not in memory. Valid until items are added or removed. In items.c. */
struct item *queue_item(struct queue *q, uint64_t sequence);
/* How much more may be accepted now. */
struct room {
    uint64_t events, bytes; /* of the queue's capacity */
    uint64_t budget;        /* bytes of the broker's memory budget, or of the disk … */
    enum reason short_of;   /* … according to this: REASON_budget or REASON_disk */
};
/* Upper bound of the bytes that a record on disk adds to an event that is alone in its run. */
#define DISK_OVERHEAD 192u
struct room queue_room(const struct core *c, const struct queue *q);
/* Takes the room of a small record in the log, which even an entry that is not accepted may need. False: there is no
 * room, or the queue is in memory. */
bool room_take_record(struct room *r);
/* Subtracts `events` of `bytes` in all: from the budget, and from the queue's capacity only if `are_queues`. */
void room_subtract(struct room *r, uint64_t events, uint64_t bytes, bool are_queues);
/* Takes the room of one event of `size` bytes. REASON_ok; else REASON_full, REASON_budget or REASON_disk, and
 * nothing is taken. */
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
/* Adds events that the store has taken under the queue's next sequences, `bytes` in all. `kept`: the store kept their
 * bytes in memory. */
void queue_enter(struct core *c, struct queue *q, const struct store_event *events, size_t count, uint64_t bytes,
                 bool kept, const struct terms *terms);
/* Whether the store should keep the bytes of the next events in memory: those of `terms` can then be delivered without
 * being read from the disk. */
bool queue_keeps(const struct core *c, const struct queue *q, const struct terms *terms);
/* Accepts `count` events at the tail, under the queue's next sequences; their room must have been taken. `note`: the
 * core's record about the run, for the log. *ticket: the events are durable with it; 0: at once (a queue in memory). */
void queue_accept(struct core *c, struct queue *q, struct store_event *events, size_t count, struct span note,
                  uint64_t *ticket);
/* Accepts one event. `leaving`: the event of the same store that is settled in the same step; NULL: none. */
void queue_accept_from(struct core *c, struct queue *q, struct store_event *event, const struct store_leaving *leaving,
                       uint64_t *ticket);
/* As queue_accept, for events with terms of their own; the queue's settings (delay, ttl) apply as well. */
void queue_accept_on(struct core *c, struct queue *q, struct store_event *events, size_t count, struct span note,
                     const struct terms *terms, uint64_t *ticket);
/* Takes an item out of the queue and its counts. The store keeps the event. */
void queue_remove(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* Settles an event: it leaves the queue and the store, and the ledger counts it under `cause`. */
void queue_settle(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum store_cause cause);
/* An event in flight or delayed becomes ready again. If it has expired meanwhile, it leaves instead, or is withdrawn
 * to be dead-lettered. `item` must not be used afterwards. */
void queue_return(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* An event in flight or delayed is delayed for `ms`, or leaves, as with queue_return. */
void queue_delay(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms);
/* A ready event is delayed for `ms`. */
void queue_hold_back(struct core *c, struct queue *q, uint64_t sequence, struct item *item, uint64_t ms);
/* The event will not be delivered any more, and stays as a delayed one until it is dead. It leaves its partition and no
 * longer blocks its key. */
void queue_withdraw(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* A ready event is now in flight under the lease of that slot. Without partitions this is for redeliveries only; first
 * deliveries go by queue_taken_run. */
void queue_taken(struct queue *q, uint64_t sequence, struct item *item, uint32_t lease);
/* Purges what is ready or delayed; `everything`: also what is in flight. Returns how many events. */
uint64_t queue_purge(struct core *c, struct queue *q, bool everything);
uint64_t queue_remaining(const struct queue *q); /* ready, in flight and delayed events */
struct store *queue_store(const struct core *c, const struct queue *q);
/* The bytes of an event, valid until it is settled or released; `at` is not 0. */
struct span queue_event(const struct core *c, const struct queue *q, store_locator at);
uint64_t *ledger_of(struct ledger *l, enum store_cause cause); /* the ledger's count of that cause */
void ledger_add(struct ledger *sum, const struct ledger *l);   /* all counts but remaining */

/* queue_name.c */
struct queue *queue_find(struct core *c, struct span name); /* NULL: there is none */
/* Index in by_name of the first name that is not before `name`; queue_count: there is none. */
uint32_t queue_place(const struct core *c, const char *name);
void queue_list_name(struct core *c, struct queue *q);
void queue_unlist_name(struct core *c, struct queue *q);
void queue_rename(struct core *c, struct queue *q, struct span name); /* to a free name; the queue is not in use yet */

/* queue_run.c */
/* How many events from next_ready on, which is ready, can be delivered together: neighbours that are ready and have the
 * same number of attempts. At most `most`; the last is the one that reaches `bytes`. */
uint32_t queue_ready_run(const struct queue *q, uint64_t most, size_t bytes);
/* queue_taken for `count` neighbours that are ready. */
void queue_taken_run(struct queue *q, uint64_t first, uint32_t count, uint32_t lease);
/* queue_settle with CAUSE_ACKED for neighbours: at most `most` from `first` on, as long as they are in flight under
 * that lease. Returns how many; 0 also if they must be settled one by one. */
uint32_t queue_ack_run(struct core *c, struct queue *q, uint64_t first, uint64_t most, uint32_t lease);

/* queue_view.c */
uint64_t queue_oldest_ms(const struct core *c, struct queue *q); /* age of queue_oldest; 0: there is none */
/* Estimated time until there is room for a new entry, at the current rate of departures; 0: unknown. */
uint32_t queue_retry_ms(const struct core *c, const struct queue *q);
void queue_validate(struct queue *q);
void rate_add(struct rate *r, uint64_t events, mono_t now);
double rate_read(const struct rate *r, mono_t now);

/* items.c */
/* The next event to deliver; NULL: none is ready and deliverable. Not for queues with partitions. */
struct item *queue_next(struct queue *q, uint64_t *sequence);
/* The oldest event in memory that is ready, deliverable or not: the one that drop_oldest takes. NULL: none. */
struct item *queue_oldest_ready(struct queue *q, uint64_t *sequence);
/* Calls `visit` with each item from sequence `from` on, in order, until it returns false. */
void queue_each(struct queue *q, uint64_t from, bool (*visit)(void *, uint64_t, struct item *), void *ctx);
/* The same for all items in any order, which saves sorting. */
void queue_all(struct queue *q, bool (*visit)(void *, uint64_t, struct item *), void *ctx);
const struct item *queue_oldest(struct queue *q); /* in any state; NULL: none is in memory */

/* drop.c */
/* Drops the oldest ready event to make room. False: none is ready, it cannot be dead-lettered now, or it has to be read
 * from the disk first; in the last case drop_is_awaited is true. */
bool queue_drop_oldest(struct core *c, struct queue *q);
/* Whether the event to drop is being read, or publishers wait already: then an entry should wait, too. */
bool drop_is_awaited(const struct queue *q);
/* An entry is refused although it could have waited for the read: drops an event all the same, so that its retry finds
 * room. */
void drop_for_retry(struct queue *q);
void drop_loaded(struct core *c, const struct store_completion *done);

/* backlog.c */
void backlog_add(struct queue *q, uint64_t first, uint64_t count, uint64_t bytes);
/* Loads more backlog once little of what is loaded is left to deliver. */
void backlog_want(struct core *c, struct queue *q);
void backlog_loaded(struct core *c, const struct store_completion *done);
uint64_t backlog_purge(struct core *c, struct queue *q);
/* Purges backlog and spilled events in one operation of the store; `from` is the first spilled one. Returns how
 * many; 0, and nothing is changed, if a dead event or an item behind `from` stays. Items must all be in flight; the
 * caller clears the set of spilled events. */
uint64_t backlog_purge_from(struct core *c, struct queue *q, uint64_t from);
/* Where the queue keeps an event that is on disk only. NOWHERE: it is an item, dead or gone. LINE: in the backlog. */
enum backlog_place { BACKLOG_NOWHERE, BACKLOG_LINE, BACKLOG_SPILLED, BACKLOG_UNPARKED, BACKLOG_PARKED };
enum backlog_place backlog_where(const struct queue *q, uint64_t sequence);
uint64_t backlog_on_disk(const struct queue *q); /* number of events in all these places */
/* An event that was loaded becomes an item, below `loaded`. */
struct item *backlog_item(struct core *c, struct queue *q, const struct store_loaded *e, enum backlog_place from);
/* The same for an unparked event, which takes its place among the ready ones. */
void backlog_place(struct core *c, struct queue *q, const struct store_loaded *e);
/* An event that is on disk only has left the queue: updates the counts. The store was told, the ledger was not. */
void backlog_left(struct core *c, struct queue *q, uint64_t sequence, uint64_t size);
/* queue_settle for an event that is on disk only. False: it is not. */
bool backlog_settle(struct core *c, struct queue *q, uint64_t sequence, enum store_cause cause);
/* The number of attempts that an event from the disk starts with. */
uint16_t backlog_attempt(const struct queue *q, uint64_t sequence);
/* The same without what is known of its failures: a value that never changes. */
uint16_t backlog_attempt_by_mark(const struct queue *q, uint64_t sequence);

/* schedule.c, schedule_disk.c. Unless it says "any queue", the queue must have a schedule. */
/* The terms of events that are accepted now, from the terms given and the settings of any queue. */
struct terms schedule_terms(const struct queue *q, const struct terms *given, int64_t now_ms);
void schedule_wake(struct core *c);        /* runs the queues in which something is due */
mono_t schedule_due(const struct core *c); /* when schedule_wake must be called next */
/* Makes due events ready, and expired events leave. False: more events have expired than one turn takes; the queue
 * is run again for them and must not do anything else before. */
bool schedule_turn(struct core *c, struct queue *q);
/* An event comes back from its delivery. True: it had expired, and has left or is about to be dead. */
bool schedule_expire_overdue(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
void schedule_gone(struct queue *q, uint64_t sequence); /* the event has left the queue */
/* Cancels a delayed event of any queue. REASON_ok, REASON_not_delayed or REASON_unknown_event. */
enum reason schedule_cancel(struct core *c, struct queue *q, uint64_t sequence);
/* Purges parked and unparked events, and drops all delays. Returns how many events. */
uint64_t schedule_purge(struct core *c, struct queue *q);
/* Sets ready_ms of those of a page's events that are delayed. Walks over all delays of the queue. */
void schedule_describe(const struct core *c, const struct queue *q, struct peeked *events, size_t count);
/* Sets expires_ms of those of a page's events that expire. Walks over all expiries of the queue. */
void schedule_describe_expiry(const struct queue *q, struct peeked *events, size_t count);
void schedule_want(struct core *c, struct queue *q); /* loads unparked events */
bool schedule_comes(const struct queue *q);          /* whether a due event is about to come */
void schedule_loaded(struct core *c, const struct store_completion *done);
/* After a restart, for any queue on disk. */
void schedule_recover(struct core *c, struct queue *q);
bool schedule_validate(const struct schedule *k);

/* durable.c. A ticket of 0 means that there is nothing to wait for. */
/* Decides an outcome, and makes its events deliverable, once the ticket is durable. `q`: NULL: sent to a topic.
 * `events` and `bytes` are given back to the session's window. */
void durable_outcome(struct core *c, struct destination *d, struct queue *q, uint64_t ticket, const struct outcome *o,
                     uint64_t events, uint64_t bytes);
/* Makes events up to `sequence` deliverable once the ticket is durable; no publisher is told. */
void durable_accepted(struct core *c, struct queue *q, uint64_t ticket, uint64_t sequence);
bool durable_is_pending(const struct destination *d, uint64_t sequence);
/* Holds back the newest effect, which is a reply. */
void durable_hold_reply(struct core *c, uint64_t ticket);
/* Holds back the bodies of s->out from offset `start` on. */
void durable_hold_bodies(struct core *c, struct session *s, size_t start, uint64_t ticket);
/* Clears the pointers to a producer's destinations, or to a queue, before they are freed. */
void durable_forget_destinations(struct core *c, const struct producer *p);
void durable_forget_queue(struct core *c, const struct queue *q);
/* The newest ticket that something waits for; 0: nothing waits. */
uint64_t durable_newest(const struct core *c);
void durable_free(struct core *c);
/* Moves the delivery mark ahead of need: events beyond the mark are not delivered before a higher one is durable. */
void durable_move_mark(struct core *c, struct queue *q);
/* Notes that somebody found too little room on the disk: `left` bytes. */
void durable_starved(struct core *c, uint64_t left);
/* Whether the disk has more room now than those who were starved found. */
bool durable_has_room(const struct core *c);
/* Whether somebody was starved because the log cannot grow any further, and not because the disk is behind, which
 * passes in a moment. */
bool durable_disk_is_full(const struct core *c);
/* Whether an event on disk is about to become deliverable. */
bool durable_comes(const struct queue *q);
/* The first sequence that may not be delivered yet; UINT64_MAX for a queue in memory. */
uint64_t queue_deliverable_end(const struct queue *q);

#endif
