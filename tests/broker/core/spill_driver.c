#include "tests/broker/core/spill_driver.h"

#include "broker/core/partition/partition.h"

#include <stdio.h>
#include <stdlib.h>

struct queue *mail(void)
{
    return queue_find(bench.d->core, span_str("mail"));
}

uint64_t spilled(void)
{
    return mail()->partitions->spill.all.events;
}

void declared(const char *settings)
{
    char text[200];
    bench.d->config.look_ahead = AHEAD;
    crash(0);
    snprintf(text, sizeof text, "durability=disk capacity=10000 backoff=0s %s", settings);
    assert_string_equal(declare_durably("mail", text), "ok");
}

void published(unsigned count, const char *keys, const char *more)
{
    struct peer *p = joined("p");
    for (unsigned i = 1; i <= count; i++) {
        char words[400] = "";
        for (const char *k = keys; *k; k++) {
            char key[3] = { '#', *k == '-' ? '\0' : *k };
            snprintf(words + strlen(words), sizeof words - strlen(words), "%s%c%u%s%s", k == keys ? "" : " ", *k, i,
                     key, more);
        }
        publish(p, "mail", 0, words);
        if (i % 10 == 0)
            settle_disk();
    }
    settle_disk();
    bye(p);
}

/* "d5..6 s7..8 a1 …" */
static void add_batch(struct taken *t, const char *at)
{
    unsigned long long delivery, last, sequence;
    unsigned attempt;
    const char *numbers = strstr(at, " s"), *more = strstr(at, "..");
    assert_int_equal(sscanf(at, "d%llu", &delivery), 1);
    assert_int_equal(sscanf(numbers, " s%llu", &sequence), 1);
    assert_int_equal(sscanf(strstr(numbers, " a"), " a%u", &attempt), 1);
    last = more && more < numbers ? strtoull(more + 2, NULL, 10) : delivery;
    for (; delivery <= last; delivery++, sequence++) {
        assert_true(t->count < sizeof t->events / sizeof *t->events);
        t->events[t->count++] = (struct came){ delivery, sequence, attempt };
    }
}

size_t hear(struct peer *k, struct taken *t)
{
    size_t before = t->count;
    for (const char *at = heard(k); (at = strstr(at, "deliver mail ")) != NULL; at++)
        add_batch(t, at + strlen("deliver mail "));
    return t->count - before;
}

void drain(struct peer *k, struct taken *t)
{
    for (size_t acked = t->count; hear(k, t) || acked < t->count;) {
        for (; acked < t->count; acked++)
            ack(k, "mail", t->events[acked].delivery, 1);
        credit(k, "mail", t->events[acked - 1].delivery + 7);
        settle_disk();
        assert_true(mail()->partitions->sorted <= AHEAD + 4); /* one of each that reads */
    }
}

void in_order(const struct taken *t, size_t from, uint64_t first, uint64_t stride, uint64_t count)
{
    uint64_t next = first, found = 0;
    for (size_t i = from; i < t->count; i++) {
        if (t->events[i].sequence % stride != first % stride || t->events[i].sequence < first)
            continue;
        assert_int_equal(t->events[i].sequence, next);
        assert_int_equal(t->events[i].attempt, 1);
        next += stride;
        found++;
    }
    assert_int_equal(found, count);
}

void fail_for(struct peer *k, uint64_t delivery, uint64_t ms)
{
    settle(k, "mail", SETTLE_NACK, delivery, 1, ms);
    settle_disk();
}

struct peer *parked(struct taken *t, const char *settings, const char *more)
{
    declared(settings);
    struct peer *k = mail_consumer("k", 2);
    published(MANY, "ab", more);
    hear(k, t);
    assert_int_equal(t->events[0].sequence, 1);
    fail_for(k, t->events[0].delivery, LONG);
    t->events[0] = t->events[--t->count];
    ack(k, "mail", t->events[0].delivery, 1);
    credit(k, "mail", 8);
    settle_disk();
    return k;
}

struct pair half_drained(struct taken *t, const char *settings, unsigned count, const char *more)
{
    declared(settings);
    struct pair of = { mail_consumer("k", 0), mail_consumer("stalled", 0) };
    published(count, "ad", more);
    credit(of.flowing, "mail", 8);
    settle_disk();
    drain(of.flowing, t);
    assert_int_equal(t->count, count);
    return of;
}

static struct {
    struct store_ops ops;
    const struct store_ops *before;
    unsigned count;
} calls;

static void count_load(struct store *s, uint32_t queue, uint64_t from, uint64_t bytes, uint64_t tag)
{
    calls.count++;
    calls.before->load(s, queue, from, bytes, tag);
}

static void count_settle(struct store *s, uint32_t queue, uint64_t sequence, store_locator at, uint32_t size,
                         enum store_cause cause)
{
    calls.count++;
    calls.before->settle(s, queue, sequence, at, size, cause);
}

static void count_from_here(void)
{
    calls.before = bench.log->ops;
    calls.ops = *bench.log->ops;
    calls.count = 0;
    bench.log->ops = &calls.ops;
}

void count_loads(void)
{
    count_from_here();
    calls.ops.load = count_load;
}

void count_settles(void)
{
    count_from_here();
    calls.ops.settle = count_settle;
}

unsigned counted(void)
{
    bench.log->ops = calls.before;
    return calls.count;
}
