/* Admission: in order, as far as there is room; waiting; refusals; and what the publisher is told. */
#include "tests/broker/core/driver.h"

/* ------------------------------------------------------------------ accepting */

static void events_are_accepted_in_order(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    publish(p, "orders", 0, "one two three");
    publish(p, "orders", 0, "four");
    assert_string_equal(heard(p), "confirm orders 1..3 -> 1; confirm orders 4 -> 4");
    assert_string_equal(ledger(d, "orders"), "accepted 4 acked 0 purged 0 dropped 0 remaining 4");
}

static void one_loop_turn_confirms_in_one_run(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    declare(d, "orders", "capacity=9");
    add_publish(p, "orders", 1, 0, "one");
    push_only(p);
    add_publish(p, "orders", 2, 0, "two");
    push_only(p);
    add_publish(q, "orders", 1, 0, "three");
    push(q);
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1");
    assert_string_equal(heard(q), "confirm orders 1 -> 3");
}

static void numbers_are_per_destination(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    declare(d, "mails", "capacity=9");
    publish(p, "orders", 9000, "one two");
    publish(p, "mails", 0, "three");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; confirm mails 1 -> 1");
    assert_int_equal(describe(d, "orders").waiting_publishers, 1);
}

static void an_event_travels_unchanged(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    static const uint8_t event[] = { 0, 255, '\n', 0x2a, 0 };
    struct open_body open = frame_begin_publish(&p->out, span_str("orders"), 1, 0);
    declare(d, "orders", "capacity=9");
    frame_add_entry(&p->out, &(struct entry){ .event = span_of(event, sizeof event) }, 0);
    frame_add_entry(&p->out, &(struct entry){ .event = { 0 } }, 0); /* and an empty one */
    frame_end(&p->out, open);
    push(p);
    struct request r = { .call = CALL_PEEK, .queue = "orders" };
    const struct reply *reply = ask(d, &r);
    assert_int_equal(reply->u.peeked.count, 2);
    assert_true(span_equal(reply->u.peeked.events[0].event, span_of(event, sizeof event)));
    assert_int_equal(reply->u.peeked.events[1].event.size, 0);
}

static void auto_declare_makes_the_queue(void **state)
{
    struct driver *d = *state;
    d->config.auto_declare = true;
    d->config.max_queues = 1;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    publish(p, "orders", 0, "one");
    publish(p, "mails", 0, "two");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse mails 1 unknown_queue 0/0");
    assert_int_equal(describe(d, "orders").settings.capacity, 10000);
}

/* ------------------------------------------------------------------ refusing */

static void an_unknown_queue_refuses(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    publish(p, "nowhere", 5000, "one two");
    assert_string_equal(heard(p), "refuse nowhere 1..2 unknown_queue 0/0");
}

static void trying_once_at_a_full_queue_is_refused_with_depth_and_capacity(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=3");
    publish(p, "orders", 0, "one two three four five");
    assert_string_equal(heard(p), "confirm orders 1..3 -> 1; refuse orders 4..5 full 3/3");
    assert_int_equal(p->retry_after_ms, 0); /* no event ever left, so there is no estimate */
    assert_int_equal(describe(d, "orders").refused, 2);
}

static void a_refusal_guesses_from_the_drain_rate_when_there_is_room_again(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=2");
    consume(p, "orders");
    credit(p, "orders", 100);
    for (uint64_t i = 1; i <= 20; i++) { /* two a second */
        publish(p, "orders", 0, "x");
        ack(p, "orders", i, 1);
        pass(d, 500);
    }
    publish(p, "orders", 0, "x x x");
    assert_in_range(p->retry_after_ms, 400, 1000);
}

static void trying_once_is_refused_while_others_wait(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    declare(d, "orders", "capacity_bytes=1024");
    publish(p, "orders", 0, "small:400");
    publish(p, "orders", 5000, "large:900");
    publish(q, "orders", 0, "tiny"); /* there is room for it, but it must not overtake */
    assert_string_equal(heard(p), "confirm orders 1 -> 1");
    assert_string_equal(heard(q), "refuse orders 1 full 1/10000");
}

static void too_large_for_the_broker_or_the_queue(void **state)
{
    struct driver *d = *state;
    d->config.max_event = 5000;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    declare(d, "narrow", "capacity_bytes=1024");
    publish(p, "orders", 5000, "whole:5000 more:5001");
    publish(p, "narrow", 5000, "whole:1024");
    publish(p, "narrow", 5000, "more:1025");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2 too_large 1/10000; confirm narrow 1 -> 1; "
                                  "refuse narrow 2 too_large 1/10000");
}

static void a_closed_queue_refuses_and_lets_go_who_waited(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 5000, "one two");
    heard(p);
    operate(d, CALL_CLOSE, "orders");
    assert_string_equal(heard(p), "refuse orders 2 closed 1/1");
    publish(p, "orders", 5000, "three");
    assert_string_equal(heard(p), "refuse orders 3 closed 1/1");
    operate(d, CALL_PURGE, "orders");
    operate(d, CALL_OPEN, "orders");
    publish(p, "orders", 0, "four");
    assert_string_equal(heard(p), "confirm orders 4 -> 2");
}

static void a_queue_may_require_a_consumer(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "require_consumer=true");
    publish(p, "orders", 5000, "one");
    consume(k, "orders");
    publish(p, "orders", 0, "two");
    leave(k, "orders");
    publish(p, "orders", 0, "three");
    assert_string_equal(heard(p), "refuse orders 1 no_consumer 0/10000; confirm orders 2 -> 1; "
                                  "refuse orders 3 no_consumer 1/10000");
}

static void the_brokers_budget_refuses_and_recovers(void **state)
{
    struct driver *d = *state;
    d->config.memory_budget = 300000;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    declare(d, "mails", "");
    publish(p, "orders", 0, "a:100000 b:100000");
    publish(p, "mails", 1000, "c:100000");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1; refuse mails 1 budget 0/10000");
    assert_true(broker(d).memory_used <= 300000);
    operate(d, CALL_PURGE, "orders");
    publish(p, "mails", 0, "c:100000");
    assert_string_equal(heard(p), "confirm mails 2 -> 1");
}

/* Entries accepted before from the same frame count against the budget. */
static void waiting_behind_its_own_frame_keeps_within_the_budget(void **state)
{
    struct driver *d = *state;
    d->config.memory_budget = 250000;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 1000, "a:100000 b:100000 c:100000");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1; refuse orders 3 budget 2/10000");
    assert_true(broker(d).memory_used <= 250000);
}

static void waiting_bytes_count_in_the_budget(void **state)
{
    struct driver *d = *state;
    d->config.memory_budget = 300000;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "tiny");
    publish(p, "orders", 1000, "a:150000");
    publish(p, "orders", 1000, "b:150000");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 3 budget 1/1");
    assert_in_range(broker(d).memory_used, 150000, 160000);
    pass(d, 1000);
    assert_string_equal(heard(p), "refuse orders 2 full 1/1");
    assert_in_range(broker(d).memory_used, 1, 5000);
}

/* ------------------------------------------------------------------ overflow */

static void reject_does_not_wait(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1 overflow=reject");
    publish(p, "orders", 5000, "one two");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2 full 1/1");
}

static void drop_oldest_makes_room_and_counts(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=2 overflow=drop_oldest");
    publish(p, "orders", 0, "one two three");
    publish(p, "orders", 0, "four");
    assert_string_equal(heard(p), "confirm orders 1..3 -> 1; confirm orders 4 -> 4");
    assert_string_equal(ledger(d, "orders"), "accepted 4 acked 0 purged 0 dropped 2 remaining 2");
    consume(p, "orders");
    credit(p, "orders", 9);
    assert_string_equal(heard(p), "turn orders active e1; deliver orders d1..2 s3..4 a1 three four; idle orders g1");
}

static void drop_oldest_leaves_what_is_in_flight(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "capacity=2 overflow=drop_oldest");
    publish(p, "orders", 0, "one two");
    consume(k, "orders");
    credit(k, "orders", 1);
    publish(p, "orders", 0, "three");
    credit(k, "orders", 2);
    publish(p, "orders", 0, "four");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1; confirm orders 3 -> 3; refuse orders 4 full 2/2");
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1 s1 a1 one; deliver orders d2 s3 a1 three");
}

/* ------------------------------------------------------------------ batches */

static void a_batch_is_admitted_as_a_prefix(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity_bytes=1024");
    publish(p, "orders", 0, "a:400 +b:900 +c:10 d:10");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2..3 full 1/10000; confirm orders 4 -> 2");
}

static void a_prefix_holds_across_frames_and_reasons(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity_bytes=2048");
    publish(p, "orders", 0, "a:400 +b:3000");
    publish(p, "orders", 5000, "+c +d");
    publish(p, "orders", 5000, "e");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2 too_large 1/10000; "
                                  "refuse orders 3..4 too_large 1/10000; confirm orders 5 -> 2");
}

static void a_deadline_refuses_the_rest_of_its_batch(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "full");
    publish(p, "orders", 1000, "a +b");
    publish(p, "orders", 9000, "+c");
    publish(p, "orders", 9000, "d");
    heard(p);
    pass(d, 1000);
    assert_string_equal(heard(p), "refuse orders 2..4 full 1/1");
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "confirm orders 5 -> 2");
}

static void giving_up_refuses_the_rest_of_the_batch(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 9000, "full a +b +c d");
    heard(p);
    give_up(p, "orders", 3, 1);
    assert_string_equal(heard(p), "refuse orders 3..4 skipped 1/1");
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "confirm orders 2 -> 2");
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "confirm orders 5 -> 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(events_are_accepted_in_order),
        driven(one_loop_turn_confirms_in_one_run),
        driven(numbers_are_per_destination),
        driven(an_event_travels_unchanged),
        driven(auto_declare_makes_the_queue),
        driven(an_unknown_queue_refuses),
        driven(trying_once_at_a_full_queue_is_refused_with_depth_and_capacity),
        driven(a_refusal_guesses_from_the_drain_rate_when_there_is_room_again),
        driven(trying_once_is_refused_while_others_wait),
        driven(too_large_for_the_broker_or_the_queue),
        driven(a_closed_queue_refuses_and_lets_go_who_waited),
        driven(a_queue_may_require_a_consumer),
        driven(the_brokers_budget_refuses_and_recovers),
        driven(waiting_behind_its_own_frame_keeps_within_the_budget),
        driven(waiting_bytes_count_in_the_budget),
        driven(reject_does_not_wait),
        driven(drop_oldest_makes_room_and_counts),
        driven(drop_oldest_leaves_what_is_in_flight),
        driven(a_batch_is_admitted_as_a_prefix),
        driven(a_prefix_holds_across_frames_and_reasons),
        driven(a_deadline_refuses_the_rest_of_its_batch),
        driven(giving_up_refuses_the_rest_of_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
