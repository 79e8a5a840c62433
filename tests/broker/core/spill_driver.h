/* Queues on disk of which a part is stalled, for tests of spilling: the look-ahead is AHEAD events, and ten times as
 * many are stalled. Of two partitions the keys a, b and c are in the second, d, e and f in the first. */
#ifndef SLUICE_TESTS_BROKER_CORE_SPILL_DRIVER_H
#define SLUICE_TESTS_BROKER_CORE_SPILL_DRIVER_H

#include "tests/broker/core/disk_driver.h"

#define AHEAD 20u
#define MANY  (10 * AHEAD)
#define LONG  1000000

struct came {
    uint64_t delivery, sequence;
    unsigned attempt;
};

/* Deliveries to consumers, in order. */
struct taken {
    struct came events[4 * MANY];
    size_t count;
};

/* Two consumers of a queue with two partitions. */
struct pair {
    struct peer *flowing, *stalled;
};

/* The queue "mail", and how many of its events are spilled. */
struct queue *mail(void);
uint64_t spilled(void);

/* Starts a broker with a look-ahead of AHEAD and declares "mail" on disk with these settings. */
void declared(const char *settings);
/* Publishes `count` events of each key in turns, "a1#a b1#b a2#a …", each with `more` appended; '-' is no key.
 * Sequences are in that order. */
void published(unsigned count, const char *keys, const char *more);

/* Adds what was delivered to `k`. Returns how many events. */
size_t hear(struct peer *k, struct taken *t);
/* Acks all deliveries, a few at a time, until there are no more. */
void drain(struct peer *k, struct taken *t);
/* Asserts that from index `from` on there are `count` first deliveries, of the sequences `first`, `first + stride`,
 * …, in order. */
void in_order(const struct taken *t, size_t from, uint64_t first, uint64_t stride, uint64_t count);

void fail_for(struct peer *k, uint64_t delivery, uint64_t ms);

/* Keys a and b with MANY events each: a1 failed, and b can be delivered. Returns the consumer, whose deliveries are
 * not in `t` yet. */
struct peer *parked(struct taken *t, const char *settings, const char *more);
/* Two partitions with `count` events each: those of one are drained into `t`, the other is stalled. */
struct pair half_drained(struct taken *t, const char *settings, unsigned count, const char *more);

/* Count the log's calls from here on, until counted() returns how many there were. */
void count_loads(void);
void count_settles(void);
unsigned counted(void);

#endif
