/* The seam between the core and whatever keeps events: process memory (memory.c), the log on disk (log.h), or another
 * engine behind the same calls. The core owns sequences and order. The store owns the bytes and returns opaque
 * locators.
 *
 * Rules for every slot of struct store_ops, unless the slot says otherwise:
 *
 *   blocking     Never. One exception: the log's `flush`, while log_may_wait() allows it.
 *   idempotence  None: call once per event, run or queue.
 *   ownership    Arguments are borrowed for the call; the store copies what it keeps.
 *   threads      One thread calls all slots of a store.
 *   order        What append, share, note and forget put in becomes durable in the order of the calls. Settlements may
 *                follow later.
 *
 * Tickets. A slot that answers STORE_LATER sets a ticket above 0; tickets ascend, and the completion of one completes
 * every earlier one. A store that keeps everything in memory answers STORE_OK with ticket 0 and never completes
 * anything. */
#ifndef SLUICE_BROKER_STORE_H
#define SLUICE_BROKER_STORE_H

#include "base/buf.h"
#include "base/mono.h"
#include "base/span.h"

/* Where the store keeps an event's bytes in memory. Opaque: only the store that made it can read it. 0: the bytes are
 * not in memory. */
typedef uint64_t store_locator;

enum store_status {
    STORE_OK,     /* done, and as durable as this store will ever make it */
    STORE_LATER,  /* taken; durable once a completion covers the ticket */
    STORE_FULL,   /* no room now: nothing was taken, and the same call may succeed later */
    STORE_FAILED, /* the disk failed: nothing was taken, and nothing unconfirmed may be confirmed any more */
};

/* Why an event leaves. The values are written to disk. */
enum store_cause {
    CAUSE_ACKED,
    CAUSE_DEAD, /* moved to another queue's dead letters; an event that dies in its own queue stays in the store */
    CAUSE_EXPIRED,
    CAUSE_PURGED,
    CAUSE_DROPPED,
    CAUSE_REMOVED, /* removed from the dead letters: it left the queue's ledger when it died */
};

struct store_event {
    struct span event;     /* in: the event's bytes, copied before the call returns */
    store_locator locator; /* out: 0 when the bytes were not kept in memory */
};

/* An event that leaves its queue in the same step in which others enter another queue of the same store. */
struct store_leaving {
    uint32_t queue;
    uint64_t sequence;
    store_locator at; /* void afterwards; 0: not in memory */
    uint32_t size;    /* bytes of the event */
    enum store_cause cause;
};

/* Consecutive events that enter one queue together: all of them or none. */
struct store_run {
    uint32_t queue; /* id, never reused */
    uint64_t first; /* sequence of the first event; the others follow without gaps */
    struct store_event *events;
    size_t count;
    int64_t accepted_ms; /* wall clock */
    struct span note;    /* opaque bytes of the core about the run; recovery hands them back with it */
    bool keep; /* also keep the bytes in memory, because the events will be delivered soon; a hint to the log */
    /* An event to settle in the same step, atomically with the append; NULL: none. The store may clear the pointer. */
    const struct store_leaving *leaving;
};

/* One of the queues that shared events enter. */
struct store_target {
    uint32_t queue;
    uint64_t first; /* sequence of the first event in this queue; the others follow without gaps */
    bool keep;      /* in: as in struct store_run. Out: they were kept; only then is the locator good for this queue */
};

/* The same events for several queues, stored once. They enter all of the queues or none. */
struct store_share {
    uint32_t owner; /* id of what the events were published to (a topic): never reused, and never the id of a queue */
    struct store_target *targets;
    size_t target_count; /* at least 1 */
    /* The locators are common to all targets that keep the events, and unset when no target does. */
    struct store_event *events;
    size_t count;
    int64_t accepted_ms;
    struct span note;       /* as in struct store_run: handed back with the first target's events … */
    struct span other_note; /* … and this one with every other target's */
};

/* An event that was read back from disk. Its bytes are in memory until it is released or settled. */
struct store_loaded {
    uint64_t sequence;
    store_locator locator;
    uint32_t size;       /* bytes of the event */
    int64_t accepted_ms; /* wall clock */
};

struct store_completion {
    enum { STORE_DURABLE, STORE_LOADED } kind;
    enum store_status status; /* STORE_OK or STORE_FAILED; after STORE_FAILED the broker ends */
    uint64_t ticket;          /* DURABLE: this ticket and every earlier one */
    uint64_t tag;             /* LOADED: the load's */
    uint32_t queue;           /* LOADED */
    /* LOADED: ascending by sequence, without events that were settled in the meantime. The array is valid until the
     * next poll; the locators belong to the caller, who releases or settles each. */
    const struct store_loaded *events;
    size_t count; /* 0: no live, durable event at or beyond the load's `from` */
};

struct store;

struct store_ops {
    /* Stores a run. Sets `ticket` and the events' locators on STORE_OK and STORE_LATER only. */
    enum store_status (*append)(struct store *s, struct store_run *run, uint64_t *ticket);
    /* Stores a run for several queues. In a store that keeps everything in memory every target must have `keep`. */
    enum store_status (*share)(struct store *s, struct store_share *share, uint64_t *ticket);
    /* Points `out` at the event in its lane form: BATCH_EVENT_TAG, size varint, bytes (proto/frame.h), so that events
     * that are neighbours in memory can go onto a lane by one copy. `at` is not 0. Valid until the event is settled
     * or released. */
    void (*read)(struct store *s, uint32_t queue, store_locator at, struct span *out);
    /* The event left its queue; the locator becomes void. `at` may be 0 in a store on disk. Durable lazily, without a
     * ticket of its own (see settled_ticket). */
    void (*settle)(struct store *s, uint32_t queue, uint64_t sequence, store_locator at, uint32_t size,
                   enum store_cause cause);
    /* Gives up an event's bytes in memory; `at` is not 0 and becomes void. In a store on disk the event stays in its
     * queue and can be loaded again. */
    void (*release)(struct store *s, uint32_t queue, store_locator at);
    /* The queue (or the owner of shared events) is gone for good. Whatever the store still has of it counts as
     * settled. Locators that were not released stay valid until they are. Idempotent. */
    void (*forget)(struct store *s, uint32_t queue);
    /* Bytes of memory that the store holds for events, unused parts of its blocks included: what the memory budget
     * counts. */
    uint64_t (*memory)(const struct store *s);
    /* Frees the store. Abrupt: a store on disk writes nothing more; for an orderly end call `stop` first. */
    void (*close)(struct store *s);

    /* ---- only of a store whose events outlive the process; NULL in the others */

    /* Stores an opaque note of the core. Recovery hands it back, in order with everything else that was put in. Never
     * answers STORE_FULL. */
    enum store_status (*note)(struct store *s, struct span bytes, uint64_t *ticket);
    /* Settles every live event at or beyond `from`. None of them may be in memory; `bytes` is their size in total. */
    void (*settle_rest)(struct store *s, uint32_t queue, uint64_t from, uint64_t bytes, enum store_cause cause);
    /* Reads durable live events of the queue into memory, beginning with the first at or beyond `from`: about
     * `bytes`, at least one event. Unless the disk fails it always completes, under `tag`; loads complete in the
     * order of the calls, but for one whose events were all settled while it was read: it starts over behind the
     * others. */
    void (*load)(struct store *s, uint32_t queue, uint64_t from, uint64_t bytes, uint64_t tag);
    /* Starts whatever can be started. Call once per loop turn, after everything of the turn was put in. */
    void (*flush)(struct store *s, mono_t now);
    /* When `flush` must be called next even if nothing is put in; MONO_NEVER: not before something is, or completes. */
    mono_t (*due)(const struct store *s);
    /* Takes one completion; false when there is none. */
    bool (*poll)(struct store *s, struct store_completion *out);
    /* The ticket that covers every settlement so far, whose write it hurries; 0 when all are durable. Idempotent. */
    uint64_t (*settled_ticket)(struct store *s);
    /* How many settlements of the queue are not durable yet. */
    uint32_t (*unsettled)(const struct store *s, uint32_t queue);
    /* How many bytes append and share take now for certain. Each record costs something besides its events; the core
     * adds DISK_OVERHEAD (broker/core/queue/queue.h) per event for that. */
    uint64_t (*room)(const struct store *s);
    /* The orderly end: call once per turn, after `flush`, until it returns true. Then a restart redelivers nothing
     * that was settled. */
    bool (*stop)(struct store *s);
};

struct store {
    const struct store_ops *ops;
};

/* A store in process memory. `close` frees it. */
struct store *store_memory_open(void);
/* How many times an event was put into, or left, a memory store since it was opened. */
uint64_t store_memory_moves(const struct store *s);

#endif
