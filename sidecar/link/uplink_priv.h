/* What uplink.c (publishes, calls, the session), takes.c and settlements.c share. */
#ifndef SLUICE_SIDECAR_UPLINK_PRIV_H
#define SLUICE_SIDECAR_UPLINK_PRIV_H

#include "clients/net/binding.h"
#include "sidecar/link/uplink.h"

#include <uthash.h>
#include <utlist.h>

/* A taken event's place in its take's bytes. */
struct taken_at {
    uint64_t sequence;
    uint32_t attempt, lease_ms;
    size_t receipt, receipt_size, event, event_size;
};

/* One waiting take. */
struct take {
    struct take *prev, *next;
    const struct uplink_handler *by; /* outlives it */
    void *request;
    uint32_t max, count;
    bool once; /* wait=0: answered as soon as the broker has said what there is */
    mono_t deadline;
    struct buf bytes; /* receipts and events, back to back */
    struct taken_at *events;
    uint32_t capacity;
};

/* A queue that is consumed here. */
struct taking {
    char queue[NAME_MAX_SIZE + 1];
    struct take *waiting; /* in the order of their arrival */
    enum turn_state state;
    uint64_t epoch;
    uint64_t fence; /* of the newest delivery: the epoch, or more */
    bool consuming, contended;
    bool idle;           /* the newest credit found nothing more: what comes now comes alone */
    uint64_t generation; /* of the newest credit */
    uint64_t leases;     /* events handed out and not settled */
    mono_t unused_since; /* MONO_NEVER while in use */
    UT_hash_handle hh;
};

/* An event that was handed out: its queue stays ours until it is settled or its lease ends. */
struct lease {
    struct taking *taking;
    mono_t until;
    const struct uplink_handler *by;
    void *request; /* NULL: nobody's any more */
    UT_hash_handle hh;
    char receipt[];
};

struct settling {
    void *request;
    size_t count, left;
    enum settle_result results[];
};

/* One receipt on its way. */
struct settle_wait {
    uint64_t number;
    struct settling *of; /* NULL: nobody waits (a release, or what a push came to) */
    size_t index;
    struct receipt_ack ack; /* its receipt and error are `texts` */
    mono_t asked;
    UT_hash_handle hh;
    uint8_t texts[];
};

/* Names that outcomes point to. */
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
    struct taking *takings;
    struct lease *leases;
    struct settle_wait *settlements;
    mono_t next_prune;
    uint64_t taken_events;
    bool draining;
    char *broker;
    char logged_failure[256]; /* why not attached, as it was logged; "" while attached */
};

/* takes.c */
void takes_turn(struct uplink *u, const char *queue, enum turn_state state, uint64_t epoch, bool contended,
                enum reason reason);
void takes_delivery(struct uplink *u, const struct client_delivery *d);
void takes_idle(struct uplink *u, const char *queue, uint64_t generation);
/* Once a loop turn, after what arrived: deadlines, credit, queues that nobody uses. */
void takes_tick(struct uplink *u);
mono_t takes_due(const struct uplink *u);
void takes_drain(struct uplink *u);
bool takes_are_drained(const struct uplink *u);
void takes_forget(struct uplink *u, void *request);
void takes_free(struct uplink *u);

/* leases.c: what was handed out and is not yet settled */
void leases_add(struct uplink *u, struct taking *t, const struct take *by, struct span receipt, uint32_t lease_ms);
/* Has it been handed out, and is its lease not over? */
bool leases_has(const struct uplink *u, struct span receipt);
/* The broker's word on it: gone, or kept until now + ms. Where nobody knows it stays what it was. */
void leases_settled(struct uplink *u, struct span receipt, enum settle_result result, uint64_t ms);
/* Forgets what its lease has ended for; at most once a second. */
void leases_prune(struct uplink *u);
/* Forgets all of a queue's. */
void leases_void(struct uplink *u, struct taking *t);

/* settlements.c */
void settlements_decided(struct uplink *u, uint64_t number, enum settle_result result);
/* Calls `settled` now, as uplink_abandon says. False: the request has nothing to settle. */
bool settlements_abandon(struct uplink *u, void *request);
void settlements_forget(struct uplink *u, void *request);
void settlements_free(struct uplink *u);

#endif
