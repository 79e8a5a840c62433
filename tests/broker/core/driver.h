/* Drives the core by hand: a clock that moves only when told, and peers that attach, push frames and record what
 * they hear as one readable line. After every step the core's invariants are checked.
 *
 *     struct peer *p = attached(d, "producer");
 *     publish(p, "orders", 0, "one two");
 *     assert_string_equal(heard(p), "confirm orders 1..2 -> 1");
 *
 *   driver.c   the clock, the core's effects, control calls
 *   peer.c     what peers say
 *   trace.c    what peers hear, as text */
#ifndef SLUICE_TESTS_BROKER_CORE_DRIVER_H
#define SLUICE_TESTS_BROKER_CORE_DRIVER_H

#include "broker/core/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PEERS_MAX    16u
#define QUEUES_MAX   16u
#define RECEIPTS_MAX 64u

/* What a peer knows of one name: as a destination and as a queue it consumes. */
struct known_queue {
    char name[NAME_MAX_SIZE + 1];
    uint64_t next_publish; /* the producer's next sequence */
    uint32_t consumption;  /* the number of its newest Consume */
    uint64_t consumer_epoch;
    uint64_t generation;                           /* of its newest credit */
    char receipts[RECEIPTS_MAX][RECEIPT_MAX_SIZE]; /* by delivery number, modulo */
};

struct peer {
    struct driver *driver;
    unsigned index;
    char name[32];
    char identity[32]; /* as the transport authenticated it */
    char inbox[32];    /* as the attach says it */
    char endpoint[48]; /* as the broker dials it */
    struct token producer, token;
    uint64_t producer_epoch; /* for its next attach; 0 takes the id over */
    uint64_t told_epoch;     /* from the newest answer to an attach */
    uint32_t epoch, lane;
    uint64_t sent, received; /* frame sequences */
    uint8_t hello_id[16];    /* of the newest Hello: what the echo repeats */
    bool unreachable;        /* its inbox cannot be dialled */
    bool silent;             /* sends no heartbeats while time passes */
    bool deaf;               /* loses what is sent to it */
    struct buf out;          /* bodies of the next frame */
    struct buf trace;
    struct known_queue queues[QUEUES_MAX];
    uint32_t retry_after_ms; /* of the newest Refuse */
};

struct driver {
    struct core_config config; /* change it, then driver_restart */
    struct core *core;
    struct store *store;
    struct now now;
    mono_t heartbeat; /* when peers send the next one */
    struct peer *peers[PEERS_MAX];
    unsigned peer_count;
    struct arena arena; /* the newest reply's */
    struct reply reply;
    unsigned replies;
    unsigned rebinds; /* times the ingress was bound again */
    uint64_t next_request;
    struct buf log;
};

/* cmocka's set-up and tear-down; the state is a struct driver with the default configuration. */
int driver_setup(void **state);
int driver_teardown(void **state);
#define driven(test) cmocka_unit_test_setup_teardown(test, driver_setup, driver_teardown)
/* A new core with `config`; peers and everything else are forgotten. */
void driver_restart(struct driver *d);

/* One loop turn at the present time: tick, flush, effects, validation. */
void turn(struct driver *d);
/* Time passes: every timer runs when it is due, and peers that are not silent send heartbeats. */
void pass(struct driver *d, int64_t ms);
/* Time passes while the broker does not run: the next turn finds its timers late, and nothing has arrived. */
void stand_still(struct driver *d, int64_t ms);

/* ---- control calls */

/* Sends a request (under a fresh id when it has none) and returns its reply, valid until the next one. */
const struct reply *ask(struct driver *d, struct request *r);
/* The same, without asserting that it is answered at once: see `replies` and `reply`. */
void ask_only(struct driver *d, struct request *r);
/* Makes a call without arguments; returns the name of the answer's reason: "ok", "unknown_queue". */
const char *operate(struct driver *d, enum call call, const char *queue);
/* Declares a queue with settings such as "capacity=3 lease=1s"; without "backoff" failed events are redelivered at
 * once. Returns the reason's name. */
const char *declare(struct driver *d, const char *queue, const char *settings);
struct queue_settings settings_of(const char *text);
struct queue_info describe(struct driver *d, const char *queue);
struct broker_info broker(struct driver *d);
/* "accepted 3 acked 1 purged 0 dropped 0 remaining 2"; the equation is checked. In one of two static buffers. */
const char *ledger(struct driver *d, const char *queue);
/* Whether a log line since the last call contains that text. Forgets what was logged. */
bool logged(struct driver *d, const char *text);

/* ---- peers: attaching */

struct peer *peer_new(struct driver *d, const char *name);
void request_attach(struct peer *p);
void echo(struct peer *p);
/* Requests and echoes; resumes if the peer has a token. Forgets the trace and asserts success. */
void attach(struct peer *p);
struct peer *attached(struct driver *d, const char *name);
bool is_attached(const struct peer *p); /* its session lives in the core */

/* ---- peers: what they send. Each call pushes one frame and takes a loop turn. */

/* Sends what is in `out` as the next frame. */
void push(struct peer *p);
/* The same without the loop turn, so that several arrive in one. */
void push_only(struct peer *p);
void heartbeat(struct peer *p);
/* Events as words: "one two"; "+three" continues the batch; "big:600" has 600 bytes; "one@7" has the hash of id 7;
 * "one#k" is a CloudEvent of that id with the partitionkey k, "one#" one without. "one~50" is delayed by 50 ms,
 * "one^50" waits until 50 ms from now by the wall clock, "one!50" expires then (and may: "one~50!80"). Numbers run
 * on by themselves. */
void publish(struct peer *p, const char *queue, uint32_t wait_ms, const char *words);
/* The same from an explicit number on. */
void publish_from(struct peer *p, const char *queue, uint64_t first, uint32_t wait_ms, const char *words);
void add_publish(struct peer *p, const char *queue, uint64_t first, uint32_t wait_ms, const char *words);
void give_up(struct peer *p, const char *queue, uint64_t first, uint64_t count);
void seen(struct peer *p, const char *queue, uint64_t through);
void consume(struct peer *p, const char *queue);
void leave(struct peer *p, const char *queue);
void bye(struct peer *p);
/* The next generation of credit, up to delivery number `limit`. */
void credit(struct peer *p, const char *queue, uint64_t limit);
void settle(struct peer *p, const char *queue, enum settle_kind kind, uint64_t first, uint64_t count, uint64_t ms);
void ack(struct peer *p, const char *queue, uint64_t first, uint64_t count);
/* A peer "p" and its queue "orders" of events 1 to 6, "one" to "six": 1 and 2 in flight, 3 delayed, 4 was acked, 5
 * and 6 ready. */
struct peer *mixed(struct driver *d);
/* By receipt, under a request number that comes back. */
void settle_by(struct peer *p, uint64_t request, enum settle_kind kind, const char *receipt, uint64_t ms);

/* ---- peers: what they heard */

/* What was heard since the last call, separated by "; ". In one of four static buffers, so that several can be
 * compared. */
const char *heard(struct peer *p);
/* The receipt of a delivery, ".INDEX" included. */
const char *receipt_of(struct peer *p, const char *queue, uint64_t delivery);
struct known_queue *known(struct peer *p, const char *queue);
/* An arrived frame, and the answer to an attach, as the driver hands them over. */
void peer_hear(struct peer *p, struct span frame);
void peer_attached(struct peer *p, const struct reply *reply);
void note(struct peer *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
