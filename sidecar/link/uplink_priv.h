/* Shared by uplink.c (publishes, calls, the session), takes.c, leases.c and settlements.c. Private to sidecar/link. */
#ifndef SLUICE_SIDECAR_UPLINK_PRIV_H
#define SLUICE_SIDECAR_UPLINK_PRIV_H

#include "clients/net/binding.h"
#include "sidecar/link/uplink.h"

#include <uthash.h>
#include <utlist.h>

/* A taken event: where its receipt and its bytes are in `bytes` of the take. */
struct taken_at {
    uint64_t sequence;
    uint32_t attempt, lease_ms;
    size_t receipt, receipt_size, event, event_size;
};

/* One waiting take. */
struct take {
    struct take *prev, *next;
    const struct uplink_handler *by; /* who is called; outlives the take */
    void *request;
    uint32_t max, count;
    bool once; /* wait=0: ends as soon as the broker has delivered what it has */
    mono_t deadline;
    struct buf bytes; /* receipts and events, back to back */
    struct taken_at *events;
    uint32_t capacity;
};

/* A queue that this sidecar consumes. */
struct consumed_queue {
    char queue[NAME_MAX_SIZE + 1];
    struct take *waiting; /* in the order of their arrival */
    enum turn_state state;
    uint64_t epoch;
    uint64_t fence; /* fencing token of the newest delivery: the epoch, or higher */
    bool consuming, contended;
    bool idle;           /* the broker answered the newest credit with Idle: it has nothing more for now */
    uint64_t generation; /* of the newest credit */
    uint64_t leases;     /* how many events are leased and not settled */
    mono_t unused_since; /* MONO_NEVER while in use */
    UT_hash_handle hh;
};

/* The lease of an event that was handed out. The queue is not left while it has one; it ends when the event is settled,
 * when its time is over, or with the turn. */
struct lease {
    struct consumed_queue *queue;
    mono_t until;
    const struct uplink_handler *by;
    void *request; /* passed to lease_ended; NULL: nobody is told */
    UT_hash_handle hh;
    char receipt[];
};

/* One uplink_settle with a request: its acks, and how many have no result yet. */
struct settling {
    void *request;
    size_t count, left;
    enum settle_result results[];
};

/* One ack that was sent to the broker and has no result yet. */
struct settle_wait {
    uint64_t number;
    struct settling *settling; /* NULL: nobody waits for the result (a release, a push, a stream) */
    size_t index;
    struct receipt_ack ack; /* its receipt and error point into `texts` */
    mono_t asked;
    UT_hash_handle hh;
    uint8_t texts[];
};

/* Queue names and targets that outcomes point to. */
struct kept_names {
    struct kept_names *next;
    _Alignas(struct target) char bytes[];
};

struct publishing {
    struct publishing *prev, *next;
    struct kept_names *kept;
    void *request; /* NULL: forgotten */
    size_t count, left;
    struct api_outcome outcomes[];
};

struct uplink {
    struct uplink_config config;
    struct uplink_handler handler;
    struct binding *binding;
    struct client *client;
    struct now now;
    struct publishing *publishing;
    struct consumed_queue *queues;
    struct lease *leases;
    struct settle_wait *settlements;
    mono_t next_prune;
    uint64_t taken_events;
    bool draining;
    char *broker;
    char logged_failure[256]; /* why not attached, as last logged; "" while attached */
};

/* takes.c */
void takes_turn(struct uplink *u, const char *queue, enum turn_state state, uint64_t epoch, bool contended,
                enum reason reason);
void takes_delivery(struct uplink *u, const struct client_delivery *d);
void takes_idle(struct uplink *u, const char *queue, uint64_t generation);
/* Once before and once after the frames of a loop turn: deadlines, credit, leaving unused queues. */
void takes_tick(struct uplink *u);
mono_t takes_due(const struct uplink *u);
void takes_drain(struct uplink *u);
bool takes_are_drained(const struct uplink *u);
void takes_forget(struct uplink *u, void *request);
void takes_free(struct uplink *u);

/* leases.c: events that were handed out and are not settled yet */
void leases_add(struct uplink *u, struct consumed_queue *q, const struct take *by, struct span receipt,
                uint32_t lease_ms);
/* Does the event of this receipt have a lease? */
bool leases_has(const struct uplink *u, struct span receipt);
/* The result of an ack: the lease ends, or with SETTLED_EXTENDED lasts until now + ms. SETTLED_UNKNOWN changes
 * nothing. */
void leases_settled(struct uplink *u, struct span receipt, enum settle_result result, uint64_t ms);
/* Drops the leases whose time is over; does so at most once a second. */
void leases_prune(struct uplink *u);
/* Drops all leases of a queue. */
void leases_void(struct uplink *u, struct consumed_queue *q);

/* settlements.c */
/* The broker's result for the ack with that number, or SETTLED_UNKNOWN when none came in time. */
void settlements_decided(struct uplink *u, uint64_t number, enum settle_result result);
/* uplink_abandon's half for acks. False if no acks of this request are waiting. */
bool settlements_abandon(struct uplink *u, void *request);
void settlements_forget(struct uplink *u, void *request);
void settlements_free(struct uplink *u);

#endif
