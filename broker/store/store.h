/* The seam between the core and what keeps events: the memory store now, the log and other engines behind the same
 * calls. The core owns sequences and order; the store owns bytes and returns opaque locators.
 *
 * No slot may block. Appends complete per ticket; the memory store's complete at once (ticket 0). A read of something
 * that is not in memory answers STORE_LATER and completes as a completion; the memory store never does.
 * Nothing here is idempotent unless it says so. */
#ifndef SLUICE_BROKER_STORE_H
#define SLUICE_BROKER_STORE_H

#include "base/mono.h"
#include "base/span.h"

/* Where the store keeps one event; meaningless to anyone else. 0 is never a locator. */
typedef uint64_t store_locator;

enum store_status {
    STORE_OK,
    STORE_LATER,  /* completes later, under the ticket */
    STORE_FULL,   /* no room now: nothing was taken, trying again later may succeed */
    STORE_FAILED, /* the medium failed: nothing that was not confirmed may be confirmed any more */
    STORE_FENCED, /* another owner took over (owner_epoch is stale) */
};

/* Why an event leaves. */
enum store_cause { CAUSE_ACKED, CAUSE_DEAD, CAUSE_EXPIRED, CAUSE_PURGED, CAUSE_DROPPED };

/* One event of an append: in, but for `locator`. The bytes are copied before append returns. */
struct store_event {
    uint32_t queue;    /* queue id, never reused */
    uint64_t sequence; /* of the queue */
    struct span event;
    store_locator locator; /* out */
};

struct store_completion {
    uint64_t ticket;
    enum store_status status;
};

struct store;

struct store_ops {
    const char *name;
    /* All of them or none, across queues. With STORE_LATER the outcome comes as a completion of *ticket. */
    enum store_status (*append)(struct store *s, struct store_event *events, size_t count, uint64_t owner_epoch,
                                uint64_t *ticket);
    /* Points `out` at the event in its lane form: BATCH_EVENT_TAG, size varint, bytes (proto/frame.h), so that
     * neighbours in memory can go onto a lane by one copy. Valid until the event is settled. */
    enum store_status (*read)(struct store *s, uint32_t queue, uint64_t sequence, store_locator at, struct span *out);
    /* The event left its queue; the locator is void. Idempotence is the caller's: once per event. */
    void (*settle)(struct store *s, uint32_t queue, uint64_t sequence, store_locator at, enum store_cause cause);
    /* The queue and everything in it are gone; settle was called for what it held. Idempotent. */
    void (*forget)(struct store *s, uint32_t queue);
    /* Takes up to `max` completions; returns how many. */
    size_t (*poll)(struct store *s, struct store_completion *out, size_t max);
    /* Bytes of memory the store holds for events, unused parts of its blocks included: what the budget counts. */
    uint64_t (*memory)(const struct store *s);
    void (*close)(struct store *s);
};

struct store {
    const struct store_ops *ops;
};

/* Events in process memory, in blocks that are filled in order and freed when their last event leaves. */
struct store *store_memory_open(void);

#endif
