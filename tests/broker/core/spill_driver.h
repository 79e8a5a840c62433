/* Queues on disk of which a part stands still, for tests of what is spilled: at most AHEAD events are looked at ahead, and ten times as
 * many stand still. Of two partitions the keys a, b and c are in the second, d, e and f in the first. */
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

/* What consumers got, in that order. */
struct taken {
    struct came events[4 * MANY];
    size_t count;
};

/* Two consumers of a queue with two partitions. */
struct pair {
    struct peer *flowing, *stalled;
};

/* The queue, and how many of its events are spilled. */
struct queue *mail(void);
uint64_t spilled(void);

/* Starts with AHEAD and declares "mail" on disk with more settings. */
void declared(const char *settings);
/* `count` events of each key, in turns: "a1#a b1#b a2#a …", each with `more` behind it. Sequences are in that order; '-' is no key. */
void published(unsigned count, const char *keys, const char *more);

/* Adds what came to `k`. Returns how many. */
size_t hear(struct peer *k, struct taken *t);
/* Acks all that comes, a few at a time, until nothing does. */
void drain(struct peer *k, struct taken *t);
/* All are first deliveries, each in the order of its sequence among those of `stride`, and `count` of them from `first` on. */
void in_order(const struct taken *t, size_t from, uint64_t first, uint64_t stride, uint64_t count);

void fail_for(struct peer *k, uint64_t delivery, uint64_t ms);
void wait_ms(int64_t ms);

/* Keys a and b, MANY events each: a failed, and b flows. Returns the consumer, who heard nothing of it yet. */
struct peer *parked(struct taken *t, const char *settings, const char *more);
/* Two partitions, `count` events each: one's are drained into `t`, the other's stand still. */
struct pair half_drained(struct taken *t, const char *settings, unsigned count, const char *more);

/* From here on the log's calls are counted, until counted() says how many there were. */
void count_loads(void);
void count_settles(void);
unsigned counted(void);

#endif
