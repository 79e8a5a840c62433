/* The seam between the core and what keeps events: memory (memory.c), the log on disk (log.h), and other engines behind the
 * same calls. The core owns sequences and order; the store owns bytes and returns opaque locators.
 *
 * No slot may block. What reaches the disk later answers STORE_LATER with a ticket; tickets are ordered, and a completion
 * of one completes every earlier one. A store that keeps everything in memory answers STORE_OK at once and never completes
 * anything. Nothing here is idempotent unless it says so. */
#ifndef SLUICE_BROKER_STORE_H
#define SLUICE_BROKER_STORE_H

#include "base/buf.h"
#include "base/mono.h"
#include "base/span.h"

/* Where the store keeps an event's bytes in memory; meaningless to anyone else. 0: they are not in memory. */
typedef uint64_t store_locator;

enum store_status {
    STORE_OK,
    STORE_LATER,  /* durable later, under the ticket */
    STORE_FULL,   /* no room now: nothing was taken, trying again later may succeed */
    STORE_FAILED, /* the medium failed: nothing that was not confirmed may be confirmed any more */
};

/* Why an event leaves. The values are written to disk. */
enum store_cause {
    CAUSE_ACKED,
    CAUSE_DEAD, /* to another queue's dead letters; one that dies in its own queue stays in the store */
    CAUSE_EXPIRED,
    CAUSE_PURGED,
    CAUSE_DROPPED,
    CAUSE_REMOVED, /* from the dead letters: it left the queue's books before */
};

struct store_event {
    struct span event;     /* in; copied before append returns */
    store_locator locator; /* out; 0 when the bytes were not kept in memory */
};

/* An event that leaves its queue in the same step in which others enter another one of the same store. */
struct store_leaving {
    uint32_t queue;
    uint64_t sequence;
    store_locator at; /* void afterwards; 0: not in memory */
    uint32_t size;
    enum store_cause cause;
};

/* Neighbours of one queue that enter together: all of them or none. */
struct store_run {
    uint32_t queue; /* id, never reused */
    uint64_t first; /* sequence of the first; dense */
    struct store_event *events;
    size_t count;
    int64_t accepted_ms;                 /* wall clock */
    struct span note;                    /* the core's own words about the run, given back at recovery */
    bool keep;                           /* keep the bytes in memory, too: they will be delivered soon */
    const struct store_leaving *leaving; /* settled in the same step; NULL: none */
};

/* A queue that neighbours enter together with other queues. */
struct store_target {
    uint32_t queue;
    uint64_t first; /* sequence of the first there; dense */
    bool keep;      /* as in struct store_run; out: it was. Only then the locator is good for it */
};

/* The same events for several queues: kept once, however many these are. All of them or none. */
struct store_share {
    uint32_t owner; /* id of what the events were sent to: never that of a queue, never reused */
    struct store_target *targets;
    size_t target_count;        /* at least 1 */
    struct store_event *events; /* locator: the same for each target that keeps; 0: none was kept after all */
    size_t count;
    int64_t accepted_ms;
    struct span note;       /* as in struct store_run; given back with the first target's events … */
    struct span other_note; /* … and this with each other's */
};

/* An event that came back from the disk. */
struct store_loaded {
    uint64_t sequence;
    store_locator locator;
    uint32_t size;       /* of the event */
    int64_t accepted_ms; /* wall clock */
};

struct store_completion {
    enum { STORE_DURABLE, STORE_LOADED } kind;
    enum store_status status; /* OK or FAILED; after FAILED the broker ends */
    uint64_t ticket;          /* DURABLE: this one and every earlier one */
    uint64_t tag;             /* LOADED: of the load */
    uint32_t queue;
    const struct store_loaded
        *events;  /* LOADED: ascending, without those settled meanwhile; valid until the next poll */
    size_t count; /* 0: nothing live from there on */
};

struct store;

struct store_ops {
    enum store_status (*append)(struct store *s, struct store_run *run, uint64_t *ticket);
    enum store_status (*share)(struct store *s, struct store_share *share, uint64_t *ticket);
    /* Points `out` at the event in its lane form: BATCH_EVENT_TAG, size varint, bytes (proto/frame.h), so that
     * neighbours in memory can go onto a lane by one copy. Valid until the event is settled or released. */
    void (*read)(struct store *s, uint32_t queue, store_locator at, struct span *out);
    /* The event left its queue; the locator (0 allowed) is void. Lazily durable. Once per event. */
    void (*settle)(struct store *s, uint32_t queue, uint64_t sequence, store_locator at, uint32_t size,
                   enum store_cause cause);
    /* Gives up an event's bytes in memory; the event stays. */
    void (*release)(struct store *s, uint32_t queue, store_locator at);
    /* The queue is gone; what it held counts as settled. Idempotent. */
    void (*forget)(struct store *s, uint32_t queue);
    /* Bytes of memory the store holds for events, unused parts of its blocks included: what the budget counts. */
    uint64_t (*memory)(const struct store *s);
    void (*close)(struct store *s);

    /* ---- of a store whose events outlive the process; the others have none of these */

    /* A word of the core's that must survive: replayed in order with everything else. */
    enum store_status (*note)(struct store *s, struct span bytes, uint64_t *ticket);
    /* Settles everything live at or beyond `from`, of which nothing is in memory; `bytes` of events in all. */
    void (*settle_rest)(struct store *s, uint32_t queue, uint64_t from, uint64_t bytes, enum store_cause cause);
    /* Brings live events of the queue, from the first at or beyond `from`, into memory: at least one, about `bytes`. They must
     * be durable. Completes under `tag`, in the order of the calls. */
    void (*load)(struct store *s, uint32_t queue, uint64_t from, uint64_t bytes, uint64_t tag);
    /* Once a loop turn, after everything was put in: starts what can be started. */
    void (*flush)(struct store *s, mono_t now);
    /* When flush wants to be called next without new work. */
    mono_t (*due)(const struct store *s);
    /* Takes one completion; false when there is none. */
    bool (*poll)(struct store *s, struct store_completion *out);
    /* The ticket that will cover every settlement so far; 0 when all are durable. */
    uint64_t (*settled_ticket)(struct store *s);
    /* How many settlements of the queue are not durable yet. */
    uint32_t (*unsettled)(const struct store *s, uint32_t queue);
    /* Bytes that append takes now for certain: of records, which cost something beside their events. */
    uint64_t (*room)(const struct store *s);
    /* Orderly end: call once a turn, after flush, until it is true. Then nothing that was settled comes again. */
    bool (*stop)(struct store *s);
};

struct store {
    const struct store_ops *ops;
};

/* Events in process memory, in blocks that are filled in order and freed when their last event leaves. */
struct store *store_memory_open(void);
/* How often an event was put there, or left, since it was opened. */
uint64_t store_memory_moves(const struct store *s);

#endif
