/* A queue on disk drops its oldest event wherever it is: spilled, or in the backlog. */
#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "tests/broker/core/spill_driver.h"

#include <stdio.h>

static void what_is_dropped_for_want_of_room_is_the_oldest(void **state)
{
    (void)state;
    struct taken t = { 0 };
    half_drained(&t, "partitions=2 overflow=drop_oldest capacity=250", 120, "");
    uint64_t before = spilled();
    published(140, t.events[0].sequence % 2 ? "d" : "a", "");
    assert_int_equal(mail()->ledger.dropped, 10);
    assert_true(before > 0 && queue_remaining(mail()) == 250);
}

/* One of two partitions is stalled with 120 events; then 140 more are published, and there is room for 130 of them.
 * Returns their publisher. */
static struct peer *overflown(struct taken *t, const char *more)
{
    char settings[200];
    snprintf(settings, sizeof settings, "partitions=2 overflow=drop_oldest capacity=250 dead_letter_dropped=true %s",
             more);
    bench.d->config.look_ahead_bytes = 100;
    half_drained(t, settings, 120, "");
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
    assert_true(spill_set_next(&mail()->partitions->spill.all, 0, &first));
    assert_true(first > 20);
}

/* There is room for four dead events: the other publishers are refused, and the events that they would have dropped
 * stay. */
static void without_room_for_the_dead_waiters_are_refused(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *p = overflown(&t, "dead_capacity=4");
    assert_int_equal(mail()->ledger.dropped, 4);
    assert_true(mail()->waiting == 0 && queue_remaining(mail()) == 250);
    assert_non_null(strstr(heard(p), "135..140 full"));
    publish(p, "mail", 0, "x#a");
    assert_non_null(strstr(heard(p), "full")); /* at once: nothing is read without need */
}

/* An event for which the dead-letter queue has no room is read once, and not again for a while. */
static void with_a_full_dead_letter_queue_waiters_are_refused(void **state)
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
    assert_int_equal(counted(), 0);
    assert_non_null(strstr(heard(p), "full"));
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "parking" }), "ok");
    wait_ms(5000);
    publish(p, "mail", 0, "x#a");
    settle_disk();
    assert_true(mail()->ledger.dropped == 5 && queue_remaining(mail()) == 250);
}

/* An entry to a topic does not wait for the read; its retry finds room. */
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

/* After a restart nothing of a queue is in memory until the queue is run. */
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
    drop_for_retry(kept);
    settle_disk();
    assert_true(kept->ledger.dropped == 1 && kept->dead == 1 && trouble_find(kept, 1));
    assert_false(drop_is_awaited(kept));
}

/* Entries that were accepted and not yet appended have taken their room: the dead letter of an event that is dropped
 * for the last of them must not use it. */
static void a_letter_does_not_take_the_room_of_what_was_let_in(void **state)
{
    (void)state;
    char words[64];
    assert_string_equal(declare_durably("parking", "durability=disk"), "ok");
    assert_string_equal(declare_durably("kept", "durability=disk capacity=2 overflow=drop_oldest dead_letter=parking "
                                                "dead_letter_dropped=true"),
                        "ok");
    struct peer *p = joined("p");
    publish(p, "kept", 0, "big:20000");
    settle_disk();
    heard(p);
    snprintf(words, sizeof words, "big:%u", (unsigned)bench.log->ops->room(bench.log) - 30000);
    publish(p, "orders", 0, words); /* the disk is behind */
    publish(p, "kept", 0, "big:20000 big:100");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm kept 2"));
    struct queue *kept = queue_find(bench.d->core, span_str("kept"));
    assert_true(kept->ledger.accepted - kept->ledger.dropped == queue_remaining(kept));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(what_is_dropped_for_want_of_room_is_the_oldest),
        on_disk(dropped_ones_are_the_oldest_where_they_go_to_the_dead),
        on_disk(without_room_for_the_dead_waiters_are_refused),
        on_disk(with_a_full_dead_letter_queue_waiters_are_refused),
        on_disk(a_topic_finds_room_the_second_time),
        on_disk(what_is_dropped_may_lie_in_the_backlog),
        on_disk(a_letter_does_not_take_the_room_of_what_was_let_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
