/* The driver with queues on disk: the real log over a simulated disk, which completes operations only when told.
 *
 *     struct peer *p = joined("producer");
 *     publish(p, "orders", 0, "one");
 *     assert_string_equal(heard(p), "");
 *     settle_disk();
 *     assert_string_equal(heard(p), "confirm orders 1 -> 1"); */
#ifndef SLUICE_TESTS_BROKER_CORE_DISK_DRIVER_H
#define SLUICE_TESTS_BROKER_CORE_DISK_DRIVER_H

#include "tests/broker/core/driver.h"
#include "tests/sim/disk.h"

struct bench {
    struct driver *d;
    struct disk *disk;
    struct files *files;
    struct store *log;
    uint64_t random;
    uint64_t cache_bytes; /* of the next start */
    enum log_sync sync;   /* of the next start */
};

extern struct bench bench;

/* cmocka's set-up and tear-down: a core with the queue "orders" on disk, capacity 1000. */
int bench_setup(void **state);
int bench_teardown(void **state);
#define on_disk(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

/* Completes all operations of the disk and passes the completions to the core. */
void settle_disk(void);
void wait_ms(int64_t ms); /* lets time pass and the disk work */
/* The machine crashes, and the broker starts `ms` later by the wall clock. Peers and their state are forgotten. */
void crash(int64_t ms);
void end_orderly(void);  /* only ends it, in order */
void stop_orderly(void); /* ends it in order, and starts it again */
/* A new attached peer; its attach is answered once the producer is durable. */
struct peer *joined(const char *name);
/* A new attached consumer of "orders" with credit for a thousand events. */
struct peer *orders_consumer(void);
/* A new attached consumer of "mail" with credit for `wanted` events. */
struct peer *mail_consumer(const char *name, uint64_t wanted);
void publish_durably(struct peer *p, const char *words);
/* Makes a call whose answer waits for the disk; returns the reason's name. */
const char *ask_durably(struct request *r);
const char *declare_durably(const char *queue, const char *settings);

#endif
