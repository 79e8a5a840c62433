/* What stands still, of a queue on disk with partitions or with an order by key, holds up nothing, however much is behind it: it is set
 * aside, and comes back in order. At most 20 events are looked at ahead here, and ten times as many stand still. Of two partitions
 * the keys a, b and c are in the second, d, e and f in the first. */
#include "broker/core/calendar.h"
#include "broker/core/partition.h"
#include "broker/core/trouble.h"
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>
#include <stdlib.h>

#define AHEAD 20u
#define MANY  (10 * AHEAD)
#define LONG  1000000

static struct queue *mail(void)
{
    return queue_find(bench.d->core, span_str("mail"));
}

static uint64_t aside(void)
{
    return mail()->partitions->aside.all.events;
}

static void declared(const char *settings)
{
    char text[200];
    bench.d->config.look_ahead = AHEAD;
    crash(0);
    snprintf(text, sizeof text, "durability=disk capacity=10000 backoff=0s %s", settings);
    assert_string_equal(declare_durably("mail", text), "ok");
}

/* `count` events of each key, in turns: "a1#a b1#b a2#a …", each with `more` behind it. Sequences are in that order. */
static void published(unsigned count, const char *keys, const char *more)
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

static struct peer *consumer(const char *name, uint64_t wanted)
{
    struct peer *k = joined(name);
    consume(k, "mail");
    if (wanted)
        credit(k, "mail", wanted);
    settle_disk();
    return k;
}

/* ------------------------------------------------------------------ what came */

struct came {
    uint64_t delivery, sequence;
    unsigned attempt;
};

struct taken {
    struct came events[4 * MANY];
    size_t count;
};

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

static size_t hear(struct peer *k, struct taken *t)
{
    size_t before = t->count;
    for (const char *at = heard(k); (at = strstr(at, "deliver mail ")) != NULL; at++)
        add_batch(t, at + strlen("deliver mail "));
    return t->count - before;
}

/* Acks all that comes, a few at a time, until nothing does. */
static void drain(struct peer *k, struct taken *t)
{
    for (size_t acked = t->count; hear(k, t) || acked < t->count;) {
        for (; acked < t->count; acked++)
            ack(k, "mail", t->events[acked].delivery, 1);
        credit(k, "mail", t->events[acked - 1].delivery + 7);
        settle_disk();
        assert_true(mail()->partitions->sorted <= AHEAD + 4); /* one of each that reads */
    }
}

/* All are first deliveries, each in the order of its sequence among those of `stride`, and `count` of them from `first` on. */
static void in_order(const struct taken *t, size_t from, uint64_t first, uint64_t stride, uint64_t count)
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

static unsigned times_came(const struct taken *t, uint64_t sequence)
{
    unsigned times = 0;
    for (size_t i = 0; i < t->count; i++)
        times += t->events[i].sequence == sequence;
    return times;
}

static void fail_for(struct peer *k, uint64_t delivery, uint64_t ms)
{
    settle(k, "mail", SETTLE_NACK, delivery, 1, ms);
    settle_disk();
}

static void wait_ms(int64_t ms)
{
    pass(bench.d, ms);
    settle_disk();
}

/* ------------------------------------------------------------------ keys */

/* The key a failed, and b flows. Returns the consumer, who heard nothing of it yet. */
static struct peer *parked(struct taken *t, const char *settings, const char *more)
{
    declared(settings);
    struct peer *k = consumer("k", 2);
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

static void a_parked_key_holds_up_no_other_and_comes_in_order_when_it_is_free(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    in_order(&t, 0, 2, 2, MANY);
    assert_int_equal(t.count, MANY);
    assert_int_equal(mail()->ready, MANY - 1);
    assert_true(aside() >= MANY - 1 - AHEAD);
    assert_int_equal(keys_parked(mail()).events, MANY - 1);
    size_t before = t.count;
    wait_ms(LONG);
    drain(k, &t);
    assert_int_equal(t.events[before].sequence, 1);
    assert_int_equal(t.events[before].attempt, 2);
    in_order(&t, before + 1, 3, 2, MANY - 1);
    assert_int_equal(queue_remaining(mail()), 0);
    assert_true(aside() == 0 && bench.d->core->aside_bytes == 0);
}

/* Its consumer says nothing: for a second it is no matter, then it stands still. */
static void a_key_in_hand_for_long_holds_up_no_other(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key lease=1h");
    struct peer *k = consumer("k", 2);
    published(MANY, "ab", "");
    hear(k, &t);
    assert_int_equal(t.events[0].sequence, 1);
    uint64_t first = t.events[0].delivery;
    t.events[0] = t.events[--t.count];
    ack(k, "mail", t.events[0].delivery, 1);
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_true(t.count < MANY && aside() == 0);
    wait_ms(ASIDE_STILL_MS);
    drain(k, &t);
    in_order(&t, 0, 2, 2, MANY);
    ack(k, "mail", first, 1);
    settle_disk();
    drain(k, &t);
    in_order(&t, 0, 3, 2, MANY - 1);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void two_keys_that_stand_still_hold_up_no_third(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key partitions=2");
    struct peer *k = consumer("k", 3);
    published(MANY, "adb", "");
    hear(k, &t);
    for (size_t i = 0; i < 3; i++) {
        if (t.events[i].sequence != 3)
            fail_for(k, t.events[i].delivery, t.events[i].sequence == 1 ? LONG : 2 * LONG);
        else
            ack(k, "mail", t.events[i].delivery, 1);
    }
    credit(k, "mail", 9);
    settle_disk();
    drain(k, &t);
    in_order(&t, 0, 3, 3, MANY);
    wait_ms(LONG);
    drain(k, &t);
    in_order(&t, 3, 4, 3, MANY - 1);
    assert_int_equal(mail()->ready, MANY - 1);
    wait_ms(LONG);
    drain(k, &t);
    in_order(&t, 3, 5, 3, MANY - 1);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void what_is_published_later_stays_behind_what_is_aside(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    wait_ms(LONG);
    assert_int_equal(hear(k, &t), 1); /* a1 */
    published(1, "ab", "");           /* beside it: what is aside is not read yet */
    ack(k, "mail", t.events[t.count - 1].delivery, 1);
    settle_disk();
    drain(k, &t);
    in_order(&t, MANY + 1, 3, 2, MANY);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void a_delayed_event_comes_before_what_is_aside(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key");
    struct peer *k = consumer("k", 1), *p = joined("late");
    publish(p, "mail", 0, "a0#a late#a~1000");
    published(MANY, "ab", "");
    hear(k, &t);
    fail_for(k, 1, 2000);
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_true(aside() > AHEAD);
    wait_ms(1000); /* due, and behind a0 */
    wait_ms(1000);
    size_t before = t.count;
    drain(k, &t);
    assert_int_equal(t.events[before].sequence, 1);
    assert_int_equal(t.events[before + 1].sequence, 2);
    in_order(&t, before + 2, 3, 2, MANY);
}

/* ------------------------------------------------------------------ partitions */

static void a_partition_whose_consumer_stalls_holds_up_no_other(void **state)
{
    (void)state;
    struct taken t = { 0 }, other = { 0 };
    declared("partitions=2");
    struct peer *k = consumer("k", 0), *stalled = consumer("stalled", 0);
    published(MANY, "ad", "");
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_int_equal(t.count, MANY);
    in_order(&t, 0, t.events[0].sequence, 2, MANY);
    assert_true(aside() >= MANY - AHEAD);
    credit(stalled, "mail", 8);
    settle_disk();
    drain(stalled, &other);
    in_order(&other, 0, other.events[0].sequence, 2, MANY);
    assert_int_equal(queue_remaining(mail()), 0);
}

/* Nothing but what has left lies behind it: the queue's items end with it, and so does the look ahead. */
static void what_is_set_aside_may_be_the_last_there_is(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2");
    bench.d->core->config.look_ahead = 1;
    struct peer *k = consumer("k", 0), *other = consumer("other", 0);
    bool first = strcmp(mail()->partitions->at[0].owner->session->name, "k") == 0;
    publish(joined("p"), "mail", 0, "d1#d d2#d!50");
    settle_disk();
    wait_ms(60);
    assert_int_equal(mail()->ready, 1);
    credit(first ? other : k, "mail", 1);
    settle_disk();
    assert_int_equal(aside(), 1);
    credit(first ? k : other, "mail", 1);
    settle_disk();
    assert_int_equal(hear(first ? k : other, &t), 1);
}

static void it_is_handed_over_with_what_is_aside(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2 ordered=key");
    struct peer *k = consumer("k", 0), *stalled = consumer("stalled", 0);
    published(MANY, "ad", "");
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_true(t.count == MANY && aside() > 0);
    uint64_t first = t.events[0].sequence % 2 + 1;
    leave(stalled, "mail");
    settle_disk();
    drain(k, &t);
    in_order(&t, 0, first, 2, MANY);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void what_has_no_key_stays_in_its_partition(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2");
    struct peer *k = consumer("k", 0), *other = consumer("other", 0);
    published(MANY, "-a", "");
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    credit(other, "mail", 8);
    settle_disk();
    drain(other, &t);
    drain(k, &t);
    assert_int_equal(t.count, 2 * MANY);
    assert_int_equal(queue_remaining(mail()), 0);
}

/* ------------------------------------------------------------------ other ways out */

static void what_is_aside_expires_and_its_key_goes_on(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "!900000");
    drain(k, &t);
    assert_int_equal(mail()->in_flight, 0);
    wait_ms(900000);
    assert_int_equal(mail()->ledger.expired, MANY);
    assert_true(queue_remaining(mail()) == 0 && aside() == 0 && !mail()->partitions->keys);
    published(2, "a", "");
    drain(k, &t);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void what_expires_goes_where_the_dead_go(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key dead_letter_expired=true", "!900000");
    drain(k, &t);
    wait_ms(900000);
    for (unsigned i = 0; i < 100 && queue_remaining(mail()); i++)
        wait_ms(1);
    assert_int_equal(mail()->dead, MANY);
    assert_true(aside() == 0 && !mail()->partitions->keys);
}

static void a_purge_takes_what_is_aside(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "mail" }), "ok");
    assert_true(queue_remaining(mail()) == 0 && aside() == 0 && bench.d->core->aside_bytes == 0);
    assert_int_equal(mail()->ledger.purged, MANY);
    published(3, "a", "");
    size_t before = t.count;
    drain(k, &t);
    assert_int_equal(t.count - before, 3);
}

static void a_queue_is_deleted_with_what_is_aside(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    wait_ms(LONG); /* some is on its way */
    struct request r = { .call = CALL_DELETE, .queue = "mail", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    settle_disk();
    assert_true(!mail() && bench.d->core->aside_bytes == 0);
}

static void what_is_dropped_for_want_of_room_is_the_oldest(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2 overflow=drop_oldest capacity=250");
    struct peer *k = consumer("k", 0), *stalled = consumer("stalled", 0);
    (void)stalled;
    published(120, "ad", "");
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_int_equal(t.count, 120);
    uint64_t before = aside();
    published(140, t.events[0].sequence % 2 ? "d" : "a", "");
    assert_int_equal(mail()->ledger.dropped, 10);
    assert_true(before > 0 && queue_remaining(mail()) == 250);
}

static void it_is_explained_and_shown(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    struct request r = { .call = CALL_EXPLAIN, .queue = "mail", .u.explain.sequence = 2 * MANY - 1 };
    assert_null(queue_item(mail(), r.u.explain.sequence));
    assert_string_equal(ask_durably(&r), "ok");
    const struct explained *e = &bench.d->reply.u.explained;
    assert_int_equal(e->event.state, STATE_READY);
    assert_int_equal(e->blocked, BLOCKED_KEY);
    assert_int_equal(e->blocker, 1);
    assert_int_equal(e->behind, MANY - 2);
    assert_int_equal(e->event.attempt, 0);
    struct request cancel = { .call = CALL_CANCEL, .queue = "mail", .u.cancel.sequence = 2 * MANY - 1 };
    assert_string_equal(ask_durably(&cancel), "not_delayed");
    uint64_t next = 3;
    struct request peek = { .call = CALL_PEEK, .queue = "mail", .u.peek.state = STATE_READY, .u.peek.max = 50 };
    do {
        assert_string_equal(ask_durably(&peek), "ok");
        const struct reply *reply = &bench.d->reply;
        for (size_t i = 0; i < reply->u.peeked.count; i++, next += 2) {
            assert_int_equal(reply->u.peeked.events[i].sequence, next);
            assert_int_equal(reply->u.peeked.events[i].parked_behind, 1);
        }
        peek.u.peek.from = reply->u.peeked.next;
    } while (peek.u.peek.from);
    assert_int_equal(next, 2 * MANY + 1);
}

/* Without a key its partition is where it is aside, and nothing of itself says which. */
static void it_is_explained_by_whose_partition_it_is_in(void **state)
{
    (void)state;
    declared("partitions=2");
    struct peer *k = consumer("k", 1000), *other = consumer("other", 1000);
    session_find(bench.d->core, other->token)->link.limits.frames = 0; /* it wants some, and is not reached */
    published(MANY, "-", "");
    (void)k; /* acks nothing: as much is done for one as for the other */
    uint64_t sequence;
    assert_true(aside_set_next(&mail()->partitions->aside.all, 0, &sequence));
    const struct partition *at = mail()->partitions->at;
    while (!ranges_has(&at->aside.ranges, sequence))
        at++;
    assert_true(at->owner && at->owner != mail()->active);
    struct request r = { .call = CALL_EXPLAIN, .queue = "mail", .u.explain.sequence = sequence };
    assert_string_equal(ask_durably(&r), "ok");
    assert_string_equal(bench.d->reply.u.explained.consumer, at->owner->session->name);
}

static void its_partition_is_described_with_it(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2");
    struct peer *k = consumer("k", 0), *stalled = consumer("stalled", 0);
    (void)stalled;
    published(MANY, "ad", "");
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    size_t count;
    struct arena arena;
    arena_init(&arena, 1 << 16);
    const struct partition_info *shares = partitions_list(mail(), &arena, &count);
    assert_int_equal(count, 2);
    assert_int_equal(shares[0].ready + shares[1].ready, MANY);
    arena_free(&arena);
}

/* ------------------------------------------------------------------ restarts */

static void a_crash_in_the_midst_loses_nothing(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    for (unsigned i = 0; i < 5; i++)
        wait_ms(1);
    assert_true(hear(k, &t) > 0);
    crash(0);
    k = consumer("k2", 8);
    memset(&t, 0, sizeof t);
    drain(k, &t);
    assert_int_equal(mail()->ready + mail()->delayed, MANY); /* a1 goes on backing off */
    crash(LONG);
    k = consumer("k3", 8);
    drain(k, &t);
    uint64_t next = 1;
    for (size_t i = 0; i < t.count; i++) {
        if (t.events[i].sequence % 2 == 0)
            continue;
        assert_int_equal(t.events[i].sequence, next);
        next += 2;
    }
    assert_int_equal(next, 2 * MANY + 1);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void a_receipt_from_before_a_crash_acks_what_is_aside(void **state)
{
    (void)state;
    struct taken t = { 0 };
    char receipt[RECEIPT_MAX_SIZE];
    declared("partitions=2");
    struct peer *k = consumer("k", 2 * MANY + 1);
    published(MANY, "ad", "");
    while (hear(k, &t))
        settle_disk();
    snprintf(receipt, sizeof receipt, "%s", receipt_of(k, "mail", t.events[t.count - 1].delivery));
    uint64_t sequence = t.events[t.count - 1].sequence;
    bench.d->config.incarnation++;
    crash(0);
    memset(&t, 0, sizeof t);
    struct peer *one = consumer("one", 0), *two = consumer("two", 0);
    bool first = mail()->partitions->at[sequence % 2].owner->session->name[0] == 'o'; /* a: odd, in the second */
    if (first) { /* the one who has it is to stand still */
        struct peer *swap = one;
        one = two;
        two = swap;
    }
    credit(one, "mail", 8);
    settle_disk();
    drain(one, &t);
    struct taken u = { 0 };
    bool is_aside = backlog_where(mail(), sequence) == BACKLOG_ASIDE;
    settle_by(one, 1, SETTLE_ACK, receipt, 0);
    settle_disk();
    credit(two, "mail", 8);
    settle_disk();
    drain(two, &u);
    assert_int_equal(queue_remaining(mail()), 0);
    assert_int_equal(u.count, is_aside ? MANY - 1 : MANY);
    assert_true(is_aside);
}

/* ------------------------------------------------------------------ bounds */

static void where_no_more_may_be_set_aside_it_waits_for_what_stands_still(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    bench.d->core->config.memory_budget = bench.d->core->aside_bytes * ASIDE_SHARE;
    assert_true(aside() > 0 && mail()->next_ready < 2 * MANY);
    drain(k, &t);
    assert_true(t.count < MANY);
    size_t before = t.count;
    wait_ms(LONG);
    drain(k, &t);
    assert_int_equal(queue_remaining(mail()), 0);
    assert_int_equal(t.count - before, 2 * MANY - before);
    bench.d->core->config.memory_budget = 1u << 30;
}

static void what_came_back_does_not_count(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2");
    struct peer *one = consumer("one", 0), *two = consumer("two", 0);
    published(MANY, "ad", "");
    credit(one, "mail", 3 * AHEAD); /* gets them, and goes */
    settle_disk();
    hear(one, &t);
    assert_int_equal(t.count, 3 * AHEAD);
    leave(one, "mail");
    one = consumer("other", 0);
    struct taken u = { 0 };
    credit(two, "mail", 8);
    settle_disk();
    drain(two, &u);
    assert_true(u.count >= MANY);
    credit(one, "mail", 8);
    settle_disk();
    drain(one, &u);
    assert_int_equal(queue_remaining(mail()), 0);
}

/* ------------------------------------------------------------------ what goes on meanwhile */

static struct {
    struct store_ops ops;
    const struct store_ops *before;
    unsigned count;
} loads;

static void count_load(struct store *s, uint32_t queue, uint64_t from, uint64_t bytes, uint64_t tag)
{
    loads.count++;
    loads.before->load(s, queue, from, bytes, tag);
}

static void count_loads(void)
{
    loads.before = bench.log->ops;
    loads.ops = *bench.log->ops;
    loads.ops.load = count_load;
    loads.count = 0;
    bench.log->ops = &loads.ops;
}

/* The second consumer has credit but gets nothing: nothing is read over and over meanwhile. */
static void count_settle(struct store *s, uint32_t queue, uint64_t sequence, store_locator at, uint32_t size,
                         enum store_cause cause)
{
    loads.count++;
    loads.before->settle(s, queue, sequence, at, size, cause);
}

/* Purges while one event is in hand, before what is aside or behind it. Returns how many were settled by themselves. */
static unsigned purged_beside(bool behind)
{
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key lease=1h", "");
    drain(k, &t);
    if (behind)
        published(1, "b", "");
    else
        wait_ms(LONG); /* a1 comes again */
    assert_int_equal(mail()->in_flight, 1);
    uint64_t before = queue_remaining(mail()) - 1;
    assert_true(aside() > AHEAD);
    count_loads();
    loads.ops.load = loads.before->load;
    loads.ops.settle = count_settle;
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "mail" }), "ok");
    bench.log->ops = loads.before;
    assert_true(aside() == 0 && bench.d->core->aside_bytes == 0 && queue_remaining(mail()) == 1);
    assert_int_equal(mail()->ledger.purged, before);
    crash(0);
    assert_int_equal(queue_remaining(mail()), 1);
    return loads.count;
}

static void what_is_aside_is_purged_at_once(void **state)
{
    (void)state;
    assert_true(purged_beside(false) <= AHEAD);
}

static void but_one_by_one_where_others_behind_it_stay(void **state)
{
    (void)state;
    assert_true(purged_beside(true) > AHEAD);
}

static void a_paused_queue_reads_no_more_than_it_keeps(void **state)
{
    (void)state;
    struct taken t = { 0 };
    bench.d->config.look_ahead_bytes = 40;
    declared("partitions=2");
    struct peer *k = consumer("k", 0), *stalled = consumer("stalled", 0);
    published(MANY, "ad", "");
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_int_equal(t.count, MANY);
    assert_true(aside() > 0);
    struct request pause = { .call = CALL_PAUSE, .queue = "mail" };
    assert_string_equal(ask_durably(&pause), "ok");
    count_loads();
    credit(stalled, "mail", 8);
    for (unsigned i = 0; i < 20; i++)
        settle_disk();
    unsigned count = loads.count;
    bench.log->ops = loads.before;
    assert_true(count <= 2);
}

static void what_expired_is_not_counted_as_parked(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key");
    struct peer *k = consumer("k", 1), *p = joined("late");
    publish(p, "mail", 0, "a0#a");
    published(MANY, "ab", "!900000");
    hear(k, &t);
    fail_for(k, 1, LONG);
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_int_equal(keys_parked(mail()).events, MANY);
    wait_ms(900000);
    assert_int_equal(mail()->ledger.expired, MANY);
    assert_int_equal(mail()->ready, 0);
    assert_int_equal(keys_parked(mail()).events, 0);
}

static void what_expired_is_not_counted_as_ready(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2");
    struct peer *k = consumer("k", 0), *stalled = consumer("stalled", 0);
    (void)stalled;
    published(MANY, "ad", "!900000");
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    wait_ms(900000);
    assert_int_equal(mail()->ready, 0);
    size_t count;
    struct arena arena;
    arena_init(&arena, 1 << 16);
    const struct partition_info *shares = partitions_list(mail(), &arena, &count);
    assert_int_equal(shares[0].ready + shares[1].ready, 0);
    arena_free(&arena);
}

/* More than the mark goes ahead at a time: the one behind them comes without anything else happening. */
static void the_mark_follows_what_is_looked_at(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key");
    struct peer *k = consumer("k", 8), *p = joined("late");
    published(3000, "a", "");
    publish(p, "mail", 0, "b1#b");
    settle_disk();
    hear(k, &t);
    assert_int_equal(t.count, 1);
    fail_for(k, t.events[0].delivery, LONG);
    wait_ms(ASIDE_STILL_MS);
    for (unsigned i = 0; i < 40; i++)
        settle_disk();
    assert_int_equal(hear(k, &t), 1);
    assert_int_equal(t.events[1].sequence, 3001);
}

/* As long as its delivery is young it was left alone. */
static void a_key_that_fails_makes_room_at_once(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key");
    struct peer *k = consumer("k", 8), *p = joined("late");
    published(2 * AHEAD, "a", "");
    publish(p, "mail", 0, "b1#b");
    settle_disk();
    hear(k, &t);
    assert_int_equal(t.count, 1);
    fail_for(k, t.events[0].delivery, LONG);
    settle_disk();
    assert_int_equal(hear(k, &t), 1);
    assert_int_equal(t.events[1].sequence, 2 * AHEAD + 1);
}

static void a_key_that_fails_again_and_again_holds_up_no_other(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key max_deliveries=10");
    struct peer *k = consumer("k", 8), *p = joined("late");
    published(2 * AHEAD, "a", "");
    publish(p, "mail", 0, "b1#b");
    settle_disk();
    hear(k, &t);
    for (size_t i = 0; times_came(&t, 1) < 4; i++) {
        assert_true(i < t.count);
        if (t.events[i].sequence == 1)
            settle(k, "mail", SETTLE_NACK, t.events[i].delivery, 1, 0);
        settle_disk();
        hear(k, &t);
    }
    assert_int_equal(times_came(&t, 2 * AHEAD + 1), 1);
}

/* Each was alone for a while, and had the whole look-ahead. */
static void what_was_set_aside_leaves_no_memory_behind(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key");
    bench.d->core->config.look_ahead = 2000;
    struct peer *k = consumer("k", 1);
    published(2100, "a", "");
    hear(k, &t);
    fail_for(k, t.events[0].delivery, LONG);
    credit(k, "mail", 2);
    for (unsigned i = 0; i < 10; i++)
        settle_disk();
    assert_true(aside() > 0 && mail()->partitions->keys->waiting.capacity >= 1000);
    bench.d->core->config.look_ahead = AHEAD;
    published(2 * AHEAD, "b", "");
    settle_disk();
    hear(k, &t);
    fail_for(k, t.events[1].delivery, LONG);
    credit(k, "mail", 3);
    settle_disk();
    for (struct key *key = mail()->partitions->keys; key; key = key->hh.next)
        assert_true(key->waiting.capacity <= 2 * AHEAD);
}

/* The look-ahead is full of what is behind a young delivery, and what is aside of another key is about to be read. */
static void nobody_is_told_of_nothing_while_a_key_is_read(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key lease=1h");
    struct peer *k = consumer("k", 2);
    published(MANY, "ab", "");
    hear(k, &t);
    assert_int_equal(t.events[0].sequence, 1);
    wait_ms(ASIDE_STILL_MS);
    for (unsigned i = 1; i < t.count; i++) /* the key a stands still */
        ack(k, "mail", t.events[i].delivery, 1);
    for (unsigned n = 3; aside() < AHEAD; n++) {
        credit(k, "mail", n);
        settle_disk();
        size_t before = t.count;
        hear(k, &t);
        if (aside() < AHEAD && t.count > before)
            ack(k, "mail", t.events[t.count - 1].delivery, 1);
    }
    credit(k, "mail", 1000);
    settle_disk();
    assert_true(partition_is_full(bench.d->core, mail()) && timer_is_set(&mail()->partitions->aside.still));
    heard(k);
    frame_add_credit(&k->out, span_str("mail"), ++known(k, "mail")->generation, 1001);
    ack(k, "mail", t.events[0].delivery, 1);
    assert_true(mail()->partitions->aside.reading);
    assert_null(strstr(heard(k), "idle"));
    settle_disk();
    assert_int_equal(hear(k, &t), 1);
}

/* Its consumer acks, and in the same turn more comes for it than may be looked at, which the other partition's wants to see. */
static void a_key_whose_next_event_is_delivered_in_this_turn_flows(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key partitions=2 lease=1h");
    struct peer *k = consumer("k", 8), *other = consumer("other", 8);
    published(AHEAD - 5, "d", "");
    hear(other, &t); /* its turn comes second */
    assert_true(t.count == 1 && !hear(k, &t) && aside() == 0 && !partition_is_full(bench.d->core, mail()));
    struct peer *p = joined("p9");
    publish(p, "mail", 0, "x#d x#d x#d x#d x#d x#d x#d x#d x#d x#d x#d");
    struct open_body open = frame_begin_ack(&other->out, span_str("mail"), known(other, "mail")->consumer_epoch);
    frame_add_settle(&other->out, &(struct settle){ .kind = SETTLE_ACK, .first = t.events[0].delivery, .count = 1 });
    frame_end(&other->out, open);
    push_only(other); /* the turn in which the disk has the others is its own, too */
    settle_disk();
    assert_true(partition_is_full(bench.d->core, mail()));
    assert_int_equal(aside(), 0);
}

static void an_emptied_line_of_a_partition_costs_nothing(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2");
    struct peer *k = consumer("k", 0), *other = consumer("other", 0);
    published(MANY, "ad", "");
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_true(aside() > 0 && bench.d->core->aside_bytes > 0);
    size_t before = t.count;
    credit(other, "mail", 8);
    settle_disk();
    while (hear(other, &t)) { /* drain() reckons with one consumer's numbers */
        for (; before < t.count; before++)
            ack(other, "mail", t.events[before].delivery, 1);
        credit(other, "mail", t.events[before - 1].delivery + 8);
        settle_disk();
    }
    assert_int_equal(t.count, 2 * MANY);
    assert_true(aside() == 0 && bench.d->core->aside_bytes == 0);
}

/* No more may be set aside, and one that stands still fills the look-ahead: another still gets what is aside of its own. */
static void where_no_more_may_be_set_aside_a_partition_gets_its_own(void **state)
{
    (void)state;
    struct taken t = { 0 }, u = { 0 };
    char keys[3] = { 0 };
    for (char at = 'a'; at <= 'z'; at++)
        keys[event_key_hash(span_of(&at, 1)) % 3] = at;
    declared("partitions=3");
    consumer("x", 0), consumer("y", 0), consumer("z", 0);
    struct partitions *p = mail()->partitions;
    struct peer *of[3];
    for (int i = 0; i < 3; i++)
        for (unsigned j = 0; j < bench.d->peer_count; j++)
            if (strcmp(bench.d->peers[j]->name, p->at[i].owner->session->name) == 0)
                of[i] = bench.d->peers[j];
    published(60, (char[]){ keys[0], keys[1], 0 }, "");
    credit(of[0], "mail", 8);
    settle_disk();
    drain(of[0], &t); /* 1's is aside */
    assert_int_equal(t.count, 60);
    bench.d->core->config.memory_budget = bench.d->core->aside_bytes * ASIDE_SHARE;
    published(60, (char[]){ keys[2], 0 }, ""); /* nobody takes it */
    settle_disk();
    hear(of[0], &t);
    credit(of[1], "mail", 8);
    settle_disk();
    drain(of[1], &u);
    bench.d->core->config.memory_budget = 1u << 30;
    assert_int_equal(u.count, 60);
}

/* Of two partitions one has stood still since its 120 were published; then 140 more come, for 130 of which there is room. Returns who
 * published them. */
static struct peer *overflown(struct taken *t, const char *more)
{
    char settings[200];
    snprintf(settings, sizeof settings, "partitions=2 overflow=drop_oldest capacity=250 dead_letter_dropped=true %s",
             more);
    bench.d->config.look_ahead_bytes = 100;
    declared(settings);
    struct peer *k = consumer("k", 0), *stalled = consumer("stalled", 0);
    (void)stalled;
    published(120, "ad", "");
    credit(k, "mail", 8);
    settle_disk();
    drain(k, t);
    assert_int_equal(t->count, 120);
    struct peer *p = joined("p9");
    for (unsigned i = 0; i < 140; i++)
        publish(p, "mail", 0, t->events[0].sequence % 2 ? "x#d" : "x#a");
    settle_disk();
    return p;
}

static void dropped_ones_are_the_oldest_where_they_go_to_the_dead(void **state)
{
    (void)state;
    struct taken t = { 0 };
    overflown(&t, "");
    assert_int_equal(mail()->ledger.dropped, 10);
    assert_true(mail()->dead == 10 && queue_remaining(mail()) == 250 && mail()->refused == 0);
    uint64_t first;
    assert_true(aside_set_next(&mail()->partitions->aside.all, 0, &first));
    assert_true(first > 20);
}

/* There is room for four: the others are refused, and what they would have dropped stays. */
static void where_the_dead_find_no_room_who_waits_for_it_is_refused(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *p = overflown(&t, "dead_capacity=4");
    assert_int_equal(mail()->ledger.dropped, 4);
    assert_true(mail()->waiting == 0 && queue_remaining(mail()) == 250);
    assert_non_null(strstr(heard(p), "135..140 full"));
    publish(p, "mail", 0, "x#a");
    assert_non_null(strstr(heard(p), "full")); /* at once: nothing is read in vain */
}

/* What its queue for the dead has no room for is read once, and not again for a while. */
static void where_the_queue_for_the_dead_is_full_who_waits_for_it_is_refused(void **state)
{
    (void)state;
    struct taken t = { 0 };
    assert_string_equal(declare_durably("parking", "durability=disk capacity=4"), "ok");
    struct peer *p = overflown(&t, "dead_letter=parking");
    assert_true(mail()->ledger.dropped == 4 && mail()->waiting == 0 && queue_remaining(mail()) == 250);
    assert_non_null(strstr(heard(p), "135..140 full"));
    count_loads();
    publish(p, "mail", 0, "x#a");
    settle_disk();
    bench.log->ops = loads.before;
    assert_non_null(strstr(heard(p), "full"));
    assert_int_equal(loads.count, 0);
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "parking" }), "ok");
    wait_ms(5000);
    publish(p, "mail", 0, "x#a");
    settle_disk();
    assert_true(mail()->ledger.dropped == 5 && queue_remaining(mail()) == 250);
}

/* What is sent to a topic does not wait for it; there is room when it comes again. */
static void a_topic_finds_room_the_second_time(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *p = overflown(&t, "");
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PUT_TOPIC, .topic = "news" }), "ok");
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_BIND, .topic = "news", .queue = "mail" }), "ok");
    heard(p);
    publish(p, "news", 0, "x#a");
    settle_disk();
    assert_non_null(strstr(heard(p), "refuse news 1 full"));
    assert_int_equal(mail()->ledger.dropped, 11);
    publish(p, "news", 0, "x#a");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm news 2"));
    assert_true(mail()->ledger.dropped == 11 && queue_remaining(mail()) == 250);
}

/* After a restart nothing of a queue is in memory, until it has its turn. */
static void what_is_dropped_may_lie_in_the_backlog(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("gone", "durability=disk capacity=3 overflow=drop_oldest"), "ok");
    assert_string_equal(
        declare_durably("kept", "durability=disk capacity=3 overflow=drop_oldest dead_letter_dropped=true"), "ok");
    struct peer *p = joined("p");
    publish(p, "gone", 0, "a b c");
    publish(p, "kept", 0, "a b c");
    settle_disk();
    crash(0);
    struct queue *gone = queue_find(bench.d->core, span_str("gone"));
    struct queue *kept = queue_find(bench.d->core, span_str("kept"));
    assert_true(gone->durable->backlog_events == 3 && kept->durable->backlog_events == 3);
    assert_true(queue_drop_oldest(bench.d->core, gone));
    assert_true(gone->ledger.dropped == 1 && !ranges_has(&gone->durable->backlog, 1));
    assert_false(queue_drop_oldest(bench.d->core, kept));
    assert_true(drop_is_awaited(kept));
    drop_for_next(kept);
    settle_disk();
    assert_true(kept->ledger.dropped == 1 && kept->dead == 1 && trouble_find(kept, 1));
    assert_false(drop_is_awaited(kept));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_parked_key_holds_up_no_other_and_comes_in_order_when_it_is_free),
        on_disk(a_key_in_hand_for_long_holds_up_no_other),
        on_disk(two_keys_that_stand_still_hold_up_no_third),
        on_disk(what_is_published_later_stays_behind_what_is_aside),
        on_disk(a_delayed_event_comes_before_what_is_aside),
        on_disk(a_partition_whose_consumer_stalls_holds_up_no_other),
        on_disk(what_is_set_aside_may_be_the_last_there_is),
        on_disk(it_is_handed_over_with_what_is_aside),
        on_disk(what_has_no_key_stays_in_its_partition),
        on_disk(what_is_aside_expires_and_its_key_goes_on),
        on_disk(what_expires_goes_where_the_dead_go),
        on_disk(a_purge_takes_what_is_aside),
        on_disk(a_queue_is_deleted_with_what_is_aside),
        on_disk(what_is_dropped_for_want_of_room_is_the_oldest),
        on_disk(it_is_explained_and_shown),
        on_disk(it_is_explained_by_whose_partition_it_is_in),
        on_disk(its_partition_is_described_with_it),
        on_disk(a_crash_in_the_midst_loses_nothing),
        on_disk(a_receipt_from_before_a_crash_acks_what_is_aside),
        on_disk(where_no_more_may_be_set_aside_it_waits_for_what_stands_still),
        on_disk(what_came_back_does_not_count),
        on_disk(what_was_set_aside_leaves_no_memory_behind),
        on_disk(dropped_ones_are_the_oldest_where_they_go_to_the_dead),
        on_disk(where_the_dead_find_no_room_who_waits_for_it_is_refused),
        on_disk(where_the_queue_for_the_dead_is_full_who_waits_for_it_is_refused),
        on_disk(a_topic_finds_room_the_second_time),
        on_disk(what_is_dropped_may_lie_in_the_backlog),
        on_disk(a_key_whose_next_event_is_delivered_in_this_turn_flows),
        on_disk(an_emptied_line_of_a_partition_costs_nothing),
        on_disk(nobody_is_told_of_nothing_while_a_key_is_read),
        on_disk(a_key_that_fails_makes_room_at_once),
        on_disk(a_key_that_fails_again_and_again_holds_up_no_other),
        on_disk(where_no_more_may_be_set_aside_a_partition_gets_its_own),
        on_disk(the_mark_follows_what_is_looked_at),
        on_disk(what_is_aside_is_purged_at_once),
        on_disk(but_one_by_one_where_others_behind_it_stay),
        on_disk(a_paused_queue_reads_no_more_than_it_keeps),
        on_disk(what_expired_is_not_counted_as_parked),
        on_disk(what_expired_is_not_counted_as_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
