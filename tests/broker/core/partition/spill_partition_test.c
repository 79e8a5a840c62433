/* A partition of a queue on disk whose consumer stalls does not hold up others, however many events it has: those
 * are spilled, and come back in order. */
#include "broker/core/partition/partition.h"
#include "tests/broker/core/spill_driver.h"

#include <stdio.h>

static void a_partition_whose_consumer_stalls_holds_up_no_other(void **state)
{
    (void)state;
    struct taken t = { 0 }, other = { 0 };
    struct peer *stalled = half_drained(&t, "partitions=2", MANY, "").stalled;
    in_order(&t, 0, t.events[0].sequence, 2, MANY);
    assert_true(spilled() >= MANY - AHEAD);
    credit(stalled, "mail", 8);
    settle_disk();
    drain(stalled, &other);
    in_order(&other, 0, other.events[0].sequence, 2, MANY);
    assert_int_equal(queue_remaining(mail()), 0);
}

/* Waiting events are in a heap: not sorted once some were taken, and with gaps where some expired. */
static void a_consumer_that_took_some_before_it_stalled_gets_the_rest_in_order(void **state)
{
    (void)state;
    struct taken t = { 0 }, other = { 0 };
    declared("partitions=2");
    struct peer *k = mail_consumer("k", 0), *flowing = mail_consumer("other", 0), *stalled = k;
    if (strcmp(mail()->partitions->at[0].owner->session->name, "k") != 0) { /* the consumer that has key d */
        stalled = flowing;
        flowing = k;
    }
    credit(flowing, "mail", 8); /* so that events are sorted ahead */
    published(2, "d", "");
    published(1, "d", "!50");
    published(12, "d", "");
    credit(stalled, "mail", 2);
    settle_disk();
    assert_int_equal(hear(stalled, &other), 2);
    ack(stalled, "mail", 1, 2);
    wait_ms(60);
    published(MANY - 15, "d", "");
    published(MANY, "a", "");
    drain(flowing, &t);
    in_order(&t, 0, MANY + 1, 1, MANY);
    assert_true(spilled() > 0);
    credit(stalled, "mail", 8);
    settle_disk();
    drain(stalled, &other);
    in_order(&other, 2, 4, 1, MANY - 3);
    assert_int_equal(queue_remaining(mail()), 0);
}

/* Behind it are only events that have left: it is the last item, and sorting ends there. */
static void what_is_spilled_may_be_the_last_there_is(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2");
    bench.d->core->config.look_ahead = 1;
    struct peer *k = mail_consumer("k", 0), *other = mail_consumer("other", 0);
    bool first = strcmp(mail()->partitions->at[0].owner->session->name, "k") == 0;
    publish(joined("p"), "mail", 0, "d1#d d2#d!50");
    settle_disk();
    wait_ms(60);
    assert_int_equal(mail()->ready, 1);
    credit(first ? other : k, "mail", 1);
    settle_disk();
    assert_int_equal(spilled(), 1);
    credit(first ? k : other, "mail", 1);
    settle_disk();
    assert_int_equal(hear(first ? k : other, &t), 1);
}

static void it_is_handed_over_with_what_is_spilled(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct pair of = half_drained(&t, "partitions=2 ordered=key", MANY, "");
    assert_true(spilled() > 0);
    uint64_t first = t.events[0].sequence % 2 + 1;
    leave(of.stalled, "mail");
    settle_disk();
    drain(of.flowing, &t);
    in_order(&t, 0, first, 2, MANY);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void what_has_no_key_stays_in_its_partition(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2");
    struct peer *k = mail_consumer("k", 0), *other = mail_consumer("other", 0);
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

static void what_came_back_does_not_count(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("partitions=2");
    struct peer *one = mail_consumer("one", 0), *two = mail_consumer("two", 0);
    published(MANY, "ad", "");
    credit(one, "mail", 3 * AHEAD); /* gets them, and goes */
    settle_disk();
    hear(one, &t);
    assert_int_equal(t.count, 3 * AHEAD);
    leave(one, "mail");
    one = mail_consumer("other", 0);
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

static void an_emptied_line_of_a_partition_costs_nothing(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *other = half_drained(&t, "partitions=2", MANY, "").stalled;
    assert_true(spilled() > 0 && bench.d->core->spill_bytes > 0);
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
    assert_true(spilled() == 0 && bench.d->core->spill_bytes == 0);
}

/* Nothing more may be spilled, and a stalled partition fills the look-ahead: another one still gets its own spilled
 * events. */
static void where_no_more_may_be_spilled_a_partition_gets_its_own(void **state)
{
    (void)state;
    struct taken t = { 0 }, u = { 0 };
    char keys[3] = { 0 };
    for (char at = 'a'; at <= 'z'; at++)
        keys[event_key_hash(span_of(&at, 1)) % 3] = at;
    declared("partitions=3");
    mail_consumer("x", 0), mail_consumer("y", 0), mail_consumer("z", 0);
    struct partitions *p = mail()->partitions;
    struct peer *of[3];
    for (int i = 0; i < 3; i++)
        for (unsigned j = 0; j < bench.d->peer_count; j++)
            if (strcmp(bench.d->peers[j]->name, p->at[i].owner->session->name) == 0)
                of[i] = bench.d->peers[j];
    published(60, (char[]){ keys[0], keys[1], 0 }, "");
    credit(of[0], "mail", 8);
    settle_disk();
    drain(of[0], &t); /* 1's is spilled */
    assert_int_equal(t.count, 60);
    bench.d->core->config.memory_budget = bench.d->core->spill_bytes * SPILL_SHARE;
    published(60, (char[]){ keys[2], 0 }, ""); /* nobody takes it */
    settle_disk();
    hear(of[0], &t);
    credit(of[1], "mail", 8);
    settle_disk();
    drain(of[1], &u);
    bench.d->core->config.memory_budget = 1u << 30;
    assert_int_equal(u.count, 60);
}

static void a_paused_queue_reads_no_more_than_it_keeps(void **state)
{
    (void)state;
    struct taken t = { 0 };
    bench.d->config.look_ahead_bytes = 40;
    struct peer *stalled = half_drained(&t, "partitions=2", MANY, "").stalled;
    assert_true(spilled() > 0);
    struct request pause = { .call = CALL_PAUSE, .queue = "mail" };
    assert_string_equal(ask_durably(&pause), "ok");
    count_loads();
    credit(stalled, "mail", 8);
    for (unsigned i = 0; i < 20; i++)
        settle_disk();
    assert_true(counted() <= 2);
}

static void a_receipt_from_before_a_crash_acks_what_is_spilled(void **state)
{
    (void)state;
    struct taken t = { 0 };
    char receipt[RECEIPT_MAX_SIZE];
    declared("partitions=2");
    struct peer *k = mail_consumer("k", 2 * MANY + 1);
    published(MANY, "ad", "");
    while (hear(k, &t))
        settle_disk();
    snprintf(receipt, sizeof receipt, "%s", receipt_of(k, "mail", t.events[t.count - 1].delivery));
    uint64_t sequence = t.events[t.count - 1].sequence;
    bench.d->config.incarnation++;
    crash(0);
    memset(&t, 0, sizeof t);
    struct peer *one = mail_consumer("one", 0), *two = mail_consumer("two", 0);
    bool first = mail()->partitions->at[sequence % 2].owner->session->name[0] == 'o'; /* a: odd, in the second */
    if (first) { /* the consumer that has it is to be stalled */
        struct peer *swap = one;
        one = two;
        two = swap;
    }
    credit(one, "mail", 8);
    settle_disk();
    drain(one, &t);
    struct taken u = { 0 };
    bool is_spilled = backlog_where(mail(), sequence) == BACKLOG_SPILLED;
    settle_by(one, 1, SETTLE_ACK, receipt, 0);
    settle_disk();
    credit(two, "mail", 8);
    settle_disk();
    drain(two, &u);
    assert_int_equal(queue_remaining(mail()), 0);
    assert_int_equal(u.count, is_spilled ? MANY - 1 : MANY);
    assert_true(is_spilled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_partition_whose_consumer_stalls_holds_up_no_other),
        on_disk(a_consumer_that_took_some_before_it_stalled_gets_the_rest_in_order),
        on_disk(what_is_spilled_may_be_the_last_there_is),
        on_disk(it_is_handed_over_with_what_is_spilled),
        on_disk(what_has_no_key_stays_in_its_partition),
        on_disk(what_came_back_does_not_count),
        on_disk(an_emptied_line_of_a_partition_costs_nothing),
        on_disk(where_no_more_may_be_spilled_a_partition_gets_its_own),
        on_disk(a_paused_queue_reads_no_more_than_it_keeps),
        on_disk(a_receipt_from_before_a_crash_acks_what_is_spilled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
