/* The sidecar's uplink against the real broker core, and the results of its requests. */
#ifndef SLUICE_TESTS_LINK_DRIVER_H
#define SLUICE_TESTS_LINK_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/link/uplink.h"

#define ASKED_MAX 8u

/* A request, and its result. */
struct asked {
    bool answered, gone; /* gone: its client has disconnected */
    size_t count;        /* outcomes, events or results */
    struct api_outcome outcomes[ASKED_MAX];
    uint64_t sequences[ASKED_MAX];
    uint32_t attempts[ASKED_MAX];
    char receipts[ASKED_MAX][201];
    enum settle_result results[ASKED_MAX];
    bool standby;
    uint64_t consumer_epoch;
    enum reason reason;
};

struct driver {
    struct test_broker *broker;
    bool borrowed; /* the broker is another driver's */
    void *zmq;
    struct uplink *uplink;
    struct driver *other; /* is run together with this one */
};

/* A broker whose queue "bounded" holds `capacity` events, and an uplink attached to it. turn_idle_ms 0: 5 s. */
void driver_open(struct driver *l, unsigned capacity, int64_t turn_idle_ms, uint64_t take_bytes);
/* A second uplink to the first one's broker; each runs when the other does. */
void driver_open_beside(struct driver *l, struct driver *first);
void driver_close(struct driver *l);

/* Runs until the request is answered, or fails the test after 20 s. */
void driver_answer(struct driver *l, const struct asked *a);
/* Runs until `done` says so, or fails the test after 20 s. */
void driver_until(struct driver *l, bool (*done)(struct driver *l));
/* Runs one turn. */
void driver_turn(struct driver *l);

/* Publishes `count` events (ids "0", "1", …) of that many bytes of data. */
void driver_publish(struct driver *l, const char *queue, size_t count, size_t bytes, uint32_t wait_ms, struct asked *a);
void driver_take(struct driver *l, const char *queue, uint32_t max, int64_t wait_ms, struct asked *a);
void driver_settle(struct driver *l, enum settle_kind kind, const char *receipt, uint64_t ms, struct asked *a);
/* Runs the uplink once at the time when it gives up waiting for the results of acks. */
void driver_silence(struct driver *l);
/* Takes, and runs until the take ends. */
void driver_taken(struct driver *l, const char *queue, uint32_t max, struct asked *a);
struct uplink_stats driver_stats(const struct driver *l);

#endif
