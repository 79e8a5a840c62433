/* Who consumes, and what is delivered: credit, redelivery, turns, pause. Settling is in settle_test.c. */
#include "tests/broker/core/driver.h"

/* Puts these events into a queue, through a peer that leaves again. */
static void filled(struct driver *d, const char *queue, const char *settings, const char *words)
{
    struct peer *p = attached(d, "publisher");
    assert_string_equal(declare(d, queue, settings), "ok");
    publish(p, queue, 0, words);
    bye(p);
}

/* ------------------------------------------------------------------ credit */

static void nothing_is_delivered_beyond_the_credit(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k");
    filled(d, "orders", "", "one two three");
    consume(k, "orders");
    assert_string_equal(heard(k), "turn orders active e1");
    credit(k, "orders", 2);
    assert_string_equal(heard(k), "deliver orders d1..2 s1..2 a1 one two");
    ack(k, "orders", 1, 2);
    assert_string_equal(heard(k), "settled orders 1..2 acked"); /* an ack is not credit */
    credit(k, "orders", 3);
    assert_string_equal(heard(k), "deliver orders d3 s3 a1 three");
}

static void credit_that_finds_nothing_is_answered_idle_once(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k"), *p = attached(d, "p");
    filled(d, "orders", "", "one");
    consume(k, "orders");
    credit(k, "orders", 2);
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1 s1 a1 one; idle orders g1");
    ack(k, "orders", 1, 1);
    assert_string_equal(heard(k), "settled orders 1 acked");
    credit(k, "orders", 2);
    assert_string_equal(heard(k), "idle orders g2");
    publish(p, "orders", 0, "two three");
    assert_string_equal(heard(k), "deliver orders d2 s2 a1 two"); /* the demand still stands */
}

static void an_older_generation_changes_nothing_and_a_newer_may_lower(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k");
    filled(d, "orders", "", "one two three");
    consume(k, "orders");
    heard(k);
    known(k, "orders")->generation = 6;
    credit(k, "orders", 1);
    known(k, "orders")->generation = 4;
    credit(k, "orders", 3);
    assert_string_equal(heard(k), "deliver orders d1 s1 a1 one");
    known(k, "orders")->generation = 7;
    credit(k, "orders", 0);
    credit(k, "orders", 2);
    assert_string_equal(heard(k), "deliver orders d2 s2 a1 two");
}

static void credit_for_a_queue_that_is_not_consumed_is_ignored(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k");
    filled(d, "orders", "", "one");
    credit(k, "orders", 9);
    assert_string_equal(heard(k), "");
    assert_true(is_attached(k));
}

static void what_is_published_later_is_delivered_in_order(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k"), *p = attached(d, "p");
    declare(d, "orders", "");
    consume(k, "orders");
    credit(k, "orders", 9);
    publish(p, "orders", 0, "one two");
    publish(p, "orders", 0, "three");
    assert_string_equal(heard(k), "turn orders active e1; idle orders g1; deliver orders d1..2 s1..2 a1 one two; "
                                  "deliver orders d3 s3 a1 three");
    struct queue_info q = describe(d, "orders");
    assert_string_equal(q.consumer, "k");
    assert_int_equal(q.in_flight, 3);
    assert_int_equal(q.ready, 0);
}

static void large_deliveries_are_cut_into_frames(void **state)
{
    struct driver *d = *state;
    d->config.deliver_frame = 4000;
    driver_restart(d);
    struct peer *k = attached(d, "k");
    filled(d, "orders", "", "a:1500 b:1500 c:1500 d:9000 e:10");
    uint64_t frames = broker(d).frames_out;
    consume(k, "orders");
    credit(k, "orders", 9);
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1..3 s1..3 a1 a b c; "
                                  "deliver orders d4 s4 a1 d; deliver orders d5 s5 a1 e; idle orders g1");
    assert_int_equal(broker(d).frames_out - frames, 4);
}

static void a_consumer_that_does_not_read_is_sent_a_bounded_amount(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k"), *p = attached(d, "p");
    declare(d, "orders", "");
    consume(k, "orders");
    heard(k);
    k->deaf = true;
    credit(k, "orders", 1000);
    for (unsigned i = 0; i < 60; i++)
        publish(p, "orders", 0, "x:500000");
    assert_in_range(describe(d, "orders").in_flight, 16, 18); /* 8 MiB of frames */
    k->deaf = false;
    pass(d, 3000);
    assert_int_equal(describe(d, "orders").in_flight, 60);
}

/* ------------------------------------------------------------------ leases */

static void an_expired_lease_delivers_again_with_the_next_attempt(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k");
    filled(d, "orders", "lease=1s", "one two");
    consume(k, "orders");
    credit(k, "orders", 3);
    ack(k, "orders", 2, 1);
    heard(k);
    pass(d, 999);
    assert_string_equal(heard(k), "");
    pass(d, 1);
    assert_string_equal(heard(k), "deliver orders d3 s1 a2 one");
    assert_int_equal(describe(d, "orders").redelivered, 1);
    ack(k, "orders", 1, 1); /* too late: another delivery is current */
    ack(k, "orders", 3, 1);
    assert_string_equal(heard(k), "settled orders 1 expired; settled orders 3 acked");
}

static void redeliveries_go_before_new_events(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k");
    filled(d, "orders", "lease=1s", "one two three four");
    consume(k, "orders");
    credit(k, "orders", 2);
    pass(d, 1000);
    heard(k);
    credit(k, "orders", 6);
    assert_string_equal(heard(k), "deliver orders d3 s1 a2 one; deliver orders d4 s2 a2 two; "
                                  "deliver orders d5..6 s3..4 a1 three four");
}

static void a_delivery_without_credit_waits_for_it(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k");
    filled(d, "orders", "lease=1s", "one");
    consume(k, "orders");
    credit(k, "orders", 1);
    heard(k);
    pass(d, 5000);
    assert_string_equal(heard(k), "");
    assert_int_equal(describe(d, "orders").ready, 1);
}

/* ------------------------------------------------------------------ turns */

static void one_consumes_and_the_others_stand_by(void **state)
{
    struct driver *d = *state;
    struct peer *a = attached(d, "a"), *b = attached(d, "b");
    filled(d, "orders", "", "one");
    consume(a, "orders");
    consume(b, "orders");
    credit(b, "orders", 5);
    assert_string_equal(heard(a), "turn orders active e1; turn orders active e1 contended");
    assert_string_equal(heard(b), "turn orders standby");
    struct queue_info q = describe(d, "orders");
    assert_string_equal(q.consumer, "a");
    assert_int_equal(q.standbys, 1);
}

static void a_standby_takes_over_when_the_active_one_leaves(void **state)
{
    struct driver *d = *state;
    struct peer *a = attached(d, "a"), *b = attached(d, "b"), *c = attached(d, "c");
    filled(d, "orders", "", "one two");
    consume(a, "orders");
    consume(b, "orders");
    consume(c, "orders");
    credit(a, "orders", 1);
    credit(b, "orders", 5);
    heard(a), heard(b), heard(c);
    leave(a, "orders");
    assert_string_equal(heard(b), "turn orders active e2 contended; deliver orders d1 s1 a2 one; "
                                  "deliver orders d2 s2 a1 two; idle orders g1");
    assert_string_equal(heard(c), ""); /* it is next in line now, but not active */
    leave(c, "orders");
    assert_string_equal(heard(b), "turn orders active e2");
    ack(a, "orders", 1, 1);
    assert_string_equal(heard(a), "settled orders 1 expired");
    consume(a, "orders");
    assert_string_equal(heard(a), "turn orders standby");
}

static void a_standby_takes_over_when_the_active_session_times_out(void **state)
{
    struct driver *d = *state;
    struct peer *a = attached(d, "a"), *b = attached(d, "b");
    filled(d, "orders", "", "one two");
    consume(a, "orders");
    consume(b, "orders");
    credit(a, "orders", 2);
    credit(b, "orders", 2);
    ack(a, "orders", 2, 1);
    heard(b);
    a->silent = true;
    pass(d, 9999);
    assert_string_equal(heard(b), "");
    pass(d, 1);
    assert_string_equal(heard(b), "turn orders active e2; deliver orders d1 s1 a2 one; idle orders g1");
}

static void a_resumed_session_keeps_its_turn_and_its_deliveries(void **state)
{
    struct driver *d = *state;
    struct peer *a = attached(d, "a"), *b = attached(d, "b");
    filled(d, "orders", "", "one");
    consume(a, "orders");
    consume(b, "orders");
    credit(a, "orders", 1);
    attach(a);
    heard(b);
    ack(a, "orders", 1, 1);
    assert_string_equal(heard(a), "settled orders 1 acked");
    assert_string_equal(heard(b), "");
}

static void consuming_again_is_a_new_consumption(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k");
    filled(d, "orders", "", "one");
    consume(k, "orders");
    credit(k, "orders", 1);
    leave(k, "orders");
    consume(k, "orders");
    credit(k, "orders", 1);
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1 s1 a1 one; "
                                  "turn orders active e2; deliver orders d1 s1 a2 one");
}

static void consuming_twice_is_one_consumption(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k");
    declare(d, "orders", "");
    consume(k, "orders");
    consume(k, "orders");
    assert_string_equal(heard(k), "turn orders active e1");
    assert_int_equal(describe(d, "orders").standbys, 0);
}

static void an_unknown_or_deleted_queue_has_no_turn(void **state)
{
    struct driver *d = *state;
    struct peer *a = attached(d, "a"), *b = attached(d, "b");
    consume(a, "nowhere");
    assert_string_equal(heard(a), "turn nowhere none unknown_queue");
    filled(d, "orders", "", "one");
    consume(a, "orders");
    consume(b, "orders");
    credit(a, "orders", 1);
    heard(a), heard(b);
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_string_equal(heard(a), "turn orders none deleted");
    assert_string_equal(heard(b), "turn orders none deleted");
    ack(a, "orders", 1, 1);
    assert_string_equal(heard(a), "settled orders 1 expired");
}

/* ------------------------------------------------------------------ pause */

static void a_paused_queue_delivers_nothing_and_accepts(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k"), *p = attached(d, "p");
    filled(d, "orders", "", "one");
    operate(d, CALL_PAUSE, "orders");
    consume(k, "orders");
    credit(k, "orders", 9);
    publish(p, "orders", 0, "two");
    assert_string_equal(heard(p), "confirm orders 1 -> 2");
    assert_string_equal(heard(k), "turn orders active e1; idle orders g1");
    assert_true(describe(d, "orders").paused);
    operate(d, CALL_RESUME, "orders");
    assert_string_equal(heard(k), "deliver orders d1..2 s1..2 a1 one two");
}

static void a_closed_queue_still_drains(void **state)
{
    struct driver *d = *state;
    struct peer *k = attached(d, "k");
    filled(d, "orders", "", "one");
    operate(d, CALL_CLOSE, "orders");
    consume(k, "orders");
    credit(k, "orders", 1);
    ack(k, "orders", 1, 1);
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1 s1 a1 one; settled orders 1 acked");
}

/* Though nothing came back from the consumer that leaves, and nobody publishes. */
static void a_consumer_that_takes_over_gets_what_is_there(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *a = attached(d, "a"), *b = attached(d, "b");
    declare(d, "orders", "");
    consume(a, "orders");
    consume(b, "orders");
    publish(p, "orders", 0, "one two");
    credit(b, "orders", 9);
    heard(b);
    leave(a, "orders");
    assert_non_null(strstr(heard(b), "deliver orders d1..2 s1..2 a1 one two"));
}

/* Frames are not acknowledged until the peer sends something; then as much is sent as fits. */
static void a_consumer_that_fell_behind_gets_the_rest_as_it_acknowledges(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    uint64_t next = 1;
    declare(d, "orders", "");
    consume(k, "orders");
    credit(k, "orders", 5000);
    while (!queue_find(d->core, span_str("orders"))->ready) {
        assert_true(next++ < 5000);
        publish(p, "orders", 0, "one");
    }
    for (unsigned i = 0; i < 3; i++)
        publish(p, "orders", 0, "more");
    for (unsigned i = 0; queue_find(d->core, span_str("orders"))->ready; i++) {
        assert_true(i < 3);
        ack(k, "nothing", 1, 1); /* of a queue that it does not consume: a frame like any other */
    }
    assert_int_equal(describe(d, "orders").in_flight, next + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(nothing_is_delivered_beyond_the_credit),
        driven(credit_that_finds_nothing_is_answered_idle_once),
        driven(an_older_generation_changes_nothing_and_a_newer_may_lower),
        driven(credit_for_a_queue_that_is_not_consumed_is_ignored),
        driven(what_is_published_later_is_delivered_in_order),
        driven(large_deliveries_are_cut_into_frames),
        driven(a_consumer_that_does_not_read_is_sent_a_bounded_amount),
        driven(an_expired_lease_delivers_again_with_the_next_attempt),
        driven(redeliveries_go_before_new_events),
        driven(a_delivery_without_credit_waits_for_it),
        driven(one_consumes_and_the_others_stand_by),
        driven(a_standby_takes_over_when_the_active_one_leaves),
        driven(a_standby_takes_over_when_the_active_session_times_out),
        driven(a_resumed_session_keeps_its_turn_and_its_deliveries),
        driven(consuming_again_is_a_new_consumption),
        driven(consuming_twice_is_one_consumption),
        driven(an_unknown_or_deleted_queue_has_no_turn),
        driven(a_paused_queue_delivers_nothing_and_accepts),
        driven(a_closed_queue_still_drains),
        driven(a_consumer_that_takes_over_gets_what_is_there),
        driven(a_consumer_that_fell_behind_gets_the_rest_as_it_acknowledges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
