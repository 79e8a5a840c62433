/* What waits for the disk: confirms, deliveries, answers, and Bye. */
#include "tests/broker/core/disk_driver.h"

/* ------------------------------------------------------------------ confirms */

static void a_confirm_follows_the_sync(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish(p, "orders", 0, "one two");
    assert_string_equal(heard(p), "");
    settle_disk();
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1");
}

static void a_refusal_does_not_wait_for_it(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    declare_durably("small", "durability=disk capacity=1");
    publish(p, "small", 0, "one two");
    assert_string_equal(heard(p), "refuse small 2 full 1/1");
    settle_disk();
    assert_string_equal(heard(p), "confirm small 1 -> 1");
}

static void an_entry_sent_again_while_the_disk_writes_is_accepted_once(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish(p, "orders", 0, "one");
    bye(p); /* the session ends, its producer stays */
    struct peer *again = peer_new(d, "again");
    again->producer = p->producer;
    again->producer_epoch = p->told_epoch;
    request_attach(again);
    echo(again);
    publish_from(again, "orders", 1, 0, "one");
    settle_disk();
    assert_non_null(strstr(heard(again), "confirm orders 1 -> 1"));
    assert_string_equal(ledger(d, "orders"), "accepted 1 acked 0 purged 0 dropped 0 remaining 1");
}

static void a_skip_of_an_entry_that_the_disk_writes_is_answered_by_its_confirm(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish(p, "orders", 0, "one");
    give_up(p, "orders", 1, 1);
    assert_string_equal(heard(p), "");
    settle_disk();
    assert_string_equal(heard(p), "confirm orders 1 -> 1");
}

static void nothing_is_confirmed_once_the_disk_failed(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish(p, "orders", 0, "one");
    disk_set_fault(bench.disk, DISK_SYNC_FAILS, true);
    bench.log->ops->flush(bench.log, d->now.mono);
    disk_settle(bench.disk, &bench.random);
    core_disk(d->core, d->now);
    turn(d);
    assert_true(core_disk_failed(d->core));
    assert_string_equal(heard(p), "");
}

/* ------------------------------------------------------------------ deliveries */

static void an_event_is_delivered_once_it_is_durable(void **state)
{
    (void)state;
    struct peer *p = joined("p"), *c = joined("c");
    consume(c, "orders");
    credit(c, "orders", 10);
    settle_disk();
    assert_string_equal(heard(c), "turn orders active e1; idle orders g1");
    publish(p, "orders", 0, "one");
    assert_string_equal(heard(c), "");
    settle_disk();
    assert_string_equal(heard(c), "deliver orders d1 s1 a1 one");
}

static void events_that_may_have_been_delivered_come_with_the_next_attempt_after_a_crash(void **state)
{
    (void)state;
    struct peer *p = joined("p"), *c = joined("c");
    consume(c, "orders");
    credit(c, "orders", 10);
    publish_durably(p, "one two");
    assert_non_null(strstr(heard(c), "deliver orders d1..2 s1..2 a1 one two"));
    crash(0);
    c = joined("c");
    consume(c, "orders");
    credit(c, "orders", 10);
    settle_disk();
    assert_non_null(strstr(heard(c), "deliver orders d1..2 s1..2 a2 one two"));
}

static void undelivered_events_come_with_attempt_1_after_an_orderly_stop(void **state)
{
    (void)state;
    struct peer *p = joined("p"), *c = joined("c");
    consume(c, "orders");
    credit(c, "orders", 1);
    publish_durably(p, "one two");
    ack(c, "orders", 1, 1);
    stop_orderly();
    c = joined("c");
    consume(c, "orders");
    credit(c, "orders", 10);
    settle_disk();
    assert_non_null(strstr(heard(c), "deliver orders d1 s2 a1 two"));
}

/* ------------------------------------------------------------------ answers */

static void an_ack_is_answered_at_once_while_few_are_not_on_disk(void **state)
{
    (void)state;
    struct peer *p = joined("p"), *c = joined("c");
    consume(c, "orders");
    credit(c, "orders", 10);
    publish_durably(p, "one two");
    heard(c);
    ack(c, "orders", 1, 2);
    assert_string_equal(heard(c), "settled orders 1..2 acked");
}

static void beyond_the_bound_an_ack_is_answered_after_the_sync(void **state)
{
    struct driver *d = *state;
    d->core->config.unsettled_most = 1;
    struct peer *p = joined("p"), *c = joined("c");
    consume(c, "orders");
    credit(c, "orders", 10);
    publish_durably(p, "one two three");
    heard(c);
    ack(c, "orders", 1, 1);
    assert_string_equal(heard(c), "settled orders 1 acked");
    ack(c, "orders", 2, 1);
    ack(c, "orders", 2, 1); /* repeated: that does not make it durable */
    assert_string_equal(heard(c), "");
    settle_disk();
    assert_string_equal(heard(c), "settled orders 2 acked; settled orders 2 acked");
}

static void a_declaration_is_answered_once_it_is_durable(void **state)
{
    struct driver *d = *state;
    struct request r = { .call = CALL_DECLARE, .queue = "mail" };
    r.u.declare.settings = settings_of("durability=disk");
    unsigned before = d->replies;
    ask_only(d, &r);
    assert_int_equal(d->replies, before);
    settle_disk();
    assert_int_equal(d->replies, before + 1);
    crash(0);
    assert_string_equal(operate(d, CALL_DESCRIBE, "mail"), "ok");
}

static void the_durability_of_a_queue_does_not_change(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    assert_string_equal(declare(bench.d, "mail", "durability=memory"), "conflict");
}

/* ------------------------------------------------------------------ room */

static void a_purge_of_events_on_disk_only_lets_waiters_in(void **state)
{
    (void)state;
    bench.cache_bytes = 0; /* published events are on disk only until they are read ahead */
    stop_orderly();
    declare_durably("small", "durability=disk capacity=3");
    struct peer *p = joined("p"), *c = joined("c");
    consume(c, "small");
    credit(c, "small", 2);
    publish(p, "small", 0, "one two");
    settle_disk();
    assert_non_null(strstr(heard(c), "deliver small d1..2 s1..2 a1 one two"));
    heard(p);
    publish(p, "small", 60000, "three four");
    ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "small" });
    assert_int_equal(bench.d->reply.u.purged.purged, 1);
    assert_string_equal(heard(p), "confirm small 3..4 -> 3");
}

/* The disk is full, and `p` has filled it. */
static void fill_disk(struct peer *p)
{
    disk_set_capacity(bench.disk, disk_used(bench.disk));
    for (unsigned i = 0; i < 100 && !strstr(heard(p), "refuse"); i++)
        publish_durably(p, "big:4000");
}

static void without_room_on_disk_an_entry_waits_and_is_refused_with_reason_disk(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    fill_disk(p);
    publish(p, "orders", 1000, "big:4000");
    settle_disk();
    assert_string_equal(heard(p), "");
    pass(d, 1000);
    assert_non_null(strstr(heard(p), " disk "));
    publish(p, "orders", 60000, "big:4000");
    disk_set_capacity(bench.disk, UINT64_MAX);
    pass(d, 2000); /* the log tries again after a while */
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm"));
}

static void who_waits_behind_one_that_the_disk_has_no_room_for_is_refused_with_reason_disk(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p"), *q = joined("q");
    fill_disk(p);
    publish(p, "orders", 60000, "big:4000");
    publish(q, "orders", 1000, "big:4000 big:4001");
    publish(q, "orders", 0, "at_once");
    assert_non_null(strstr(heard(q), "refuse orders 3 disk "));
    pass(d, 1000);
    assert_non_null(strstr(heard(q), "refuse orders 1..2 disk "));
    struct open_body open = frame_begin_publish(&q->out, span_str("orders"), 4, 0);
    frame_add_entry(&q->out, &(struct entry){ .event = span_str("waits"), .wait_ms = 500 }, 0);
    frame_add_entry(&q->out, &(struct entry){ .event = span_str("does not") }, 0);
    frame_end(&q->out, open);
    push(q);
    assert_non_null(strstr(heard(q), "refuse orders 5 disk "));
    pass(d, 500);
    assert_non_null(strstr(heard(q), "refuse orders 4 disk "));
}

/* All deadlines are over at once, so that the second is never tried as the first of its line. */
static void the_reason_is_that_of_the_end_of_the_wait_and_not_of_its_beginning(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p"), *q = joined("q");
    declare_durably("small", "durability=disk capacity=1");
    publish(p, "small", 0, "one");
    publish(p, "small", 1000, "big:4000");
    publish(q, "small", 1000, "big:4000");
    settle_disk();
    fill_disk(p);
    ask_only(d, &(struct request){ .call = CALL_PURGE, .queue = "small" });
    heard(p);
    pass(d, 1000);
    assert_non_null(strstr(heard(p), "refuse small 2 disk "));
    assert_non_null(strstr(heard(q), "refuse small 1 disk "));
}

/* A disk that is behind for a moment is no reason to ask for a larger one. */
static void a_disk_that_is_behind_is_not_full(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    for (unsigned i = 0; i < 20; i++)
        publish(p, "orders", 0, "big:6000");
    assert_non_null(strstr(heard(p), "disk"));
    settle_disk();
    assert_false(broker(d).disk_full || logged(d, "no room on the disk"));
    disk_set_capacity(bench.disk, disk_used(bench.disk));
    for (unsigned i = 0; i < 40; i++) {
        publish(p, "orders", 0, "big:6000");
        settle_disk();
    }
    assert_true(broker(d).disk_full && logged(d, "no room on the disk"));
}

static void that_there_is_room_again_is_told_once_it_lasts(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    fill_disk(p);
    publish(p, "orders", 1000, "big:6000");
    settle_disk();
    assert_true(logged(d, "no room on the disk"));
    disk_set_capacity(bench.disk, UINT64_MAX);
    pass(d, 2000);
    settle_disk();
    pass(d, 58000);
    settle_disk();
    assert_false(logged(d, "there is room"));
    pass(d, 3000);
    settle_disk();
    assert_true(logged(d, "there is room on the disk again"));
    pass(d, 100000);
    settle_disk();
    assert_false(logged(d, "there is room"));
}

/* ------------------------------------------------------------------ the farewell */

static void a_stopping_broker_says_bye_behind_the_last_confirm(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish(p, "orders", 0, "one");
    core_stop(d->core, d->now);
    turn(d);
    assert_string_equal(heard(p), "");
    assert_false(core_has_said_bye(d->core));
    settle_disk();
    assert_string_equal(heard(p), "confirm orders 1 -> 1; bye");
    assert_true(core_has_said_bye(d->core));
}

static void a_stopping_broker_delivers_nothing_more(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p"), *c = joined("c");
    consume(c, "orders");
    publish_durably(p, "one");
    core_stop(d->core, d->now);
    heard(c);
    credit(c, "orders", 10);
    settle_disk();
    assert_string_equal(heard(c), "bye");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_confirm_follows_the_sync),
        on_disk(a_refusal_does_not_wait_for_it),
        on_disk(an_entry_sent_again_while_the_disk_writes_is_accepted_once),
        on_disk(a_skip_of_an_entry_that_the_disk_writes_is_answered_by_its_confirm),
        on_disk(nothing_is_confirmed_once_the_disk_failed),
        on_disk(an_event_is_delivered_once_it_is_durable),
        on_disk(events_that_may_have_been_delivered_come_with_the_next_attempt_after_a_crash),
        on_disk(undelivered_events_come_with_attempt_1_after_an_orderly_stop),
        on_disk(an_ack_is_answered_at_once_while_few_are_not_on_disk),
        on_disk(beyond_the_bound_an_ack_is_answered_after_the_sync),
        on_disk(a_declaration_is_answered_once_it_is_durable),
        on_disk(the_durability_of_a_queue_does_not_change),
        on_disk(a_purge_of_events_on_disk_only_lets_waiters_in),
        on_disk(without_room_on_disk_an_entry_waits_and_is_refused_with_reason_disk),
        on_disk(who_waits_behind_one_that_the_disk_has_no_room_for_is_refused_with_reason_disk),
        on_disk(the_reason_is_that_of_the_end_of_the_wait_and_not_of_its_beginning),
        on_disk(a_disk_that_is_behind_is_not_full),
        on_disk(that_there_is_room_again_is_told_once_it_lasts),
        on_disk(a_stopping_broker_says_bye_behind_the_last_confirm),
        on_disk(a_stopping_broker_delivers_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
