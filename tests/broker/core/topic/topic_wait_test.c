/* Waiting at a topic for room in one of its queues: the order of waiters, and what ends the wait. */
#include "tests/broker/core/topic_driver.h"

static void what_waits_takes_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    make_topic(d, "all", "a b");
    declare(d, "b", "capacity=1");
    publish(p, "all", 0, "full");
    publish(p, "all", 5000, "one");
    publish(q, "a", 0, "direct"); /* passes: the topic's first waits for another queue */
    assert_string_equal(heard(p), "confirm all 1 -> a:1 b:1");
    assert_string_equal(heard(q), "confirm a 1 -> 2");
    assert_int_equal(topic_of(d, "all").waiting_publishers, 1);
    operate(d, CALL_PURGE, "b");
    assert_string_equal(heard(p), "confirm all 2 -> a:3 b:2");
    assert_int_equal(topic_of(d, "all").waiting_publishers, 0);
}

static void freed_room_goes_to_whoever_came_first(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    make_topic(d, "all", "a b");
    declare(d, "b", "capacity=1");
    publish(p, "b", 0, "full");
    publish(p, "all", 5000, "one");
    publish(q, "b", 5000, "two");
    publish(p, "all", 5000, "three");
    heard(p);
    publish(q, "b", 0, "never"); /* nobody passes those that wait for b */
    assert_string_equal(heard(q), "refuse b 2 full 1/1");
    operate(d, CALL_PURGE, "b");
    assert_string_equal(heard(p), "confirm all 1 -> a:1 b:2");
    operate(d, CALL_PURGE, "b");
    assert_string_equal(heard(q), "confirm b 1 -> 3");
    operate(d, CALL_PURGE, "b");
    assert_string_equal(heard(p), "confirm all 2 -> a:2 b:4");
}

static void a_direct_publish_stands_behind_a_topic_that_waits_for_the_same_queue(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    make_topic(d, "all", "a b");
    declare(d, "b", "capacity=9 capacity_bytes=64KiB");
    publish(p, "b", 0, "big:40000");
    publish(p, "all", 5000, "big:40000");
    publish(q, "b", 0, "small");
    assert_string_equal(heard(q), "refuse b 1 full 1/9");
    publish(q, "b", 5000, "small");
    heard(p);
    operate(d, CALL_PURGE, "b");
    assert_string_equal(heard(p), "confirm all 1 -> a:1 b:2");
    assert_string_equal(heard(q), "confirm b 2 -> 3");
}

/* Two topics with a queue in common: neither may block the other for good. */
static void topics_that_cross_let_each_other_pass(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    make_topic(d, "ab", "a b");
    make_topic(d, "bc", "b c");
    declare(d, "a", "capacity=1");
    declare(d, "c", "capacity=1");
    publish(p, "ab", 0, "one");
    publish(p, "bc", 0, "two");
    publish(p, "ab", 5000, "three"); /* waits for a */
    publish(q, "bc", 5000, "four");  /* for c */
    heard(p);
    operate(d, CALL_PURGE, "c");
    assert_string_equal(heard(q), "confirm bc 1 -> b:3 c:2");
    operate(d, CALL_PURGE, "a");
    assert_string_equal(heard(p), "confirm ab 2 -> a:2 b:4");
}

static void a_deadline_refuses_and_names_the_queue(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    declare(d, "b", "capacity=1");
    publish(p, "all", 0, "full");
    publish(p, "all", 1000, "one +two");
    publish(p, "all", 3000, "three");
    heard(p);
    pass(d, 1000);
    assert_string_equal(heard(p), "refuse all 2..3 full 1/1 by b");
    operate(d, CALL_PURGE, "b");
    assert_string_equal(heard(p), "confirm all 4 -> a:2 b:2");
}

static void what_its_publisher_gives_up_lets_the_next_pass(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    make_topic(d, "all", "a b");
    bind_filter(d, "all", "b", "{\"exact\":{\"type\":\"red\"}}");
    declare(d, "b", "capacity=1");
    publish(p, "all", 0, RED);
    publish(p, "all", 5000, RED);
    publish(q, "all", 5000, BLUE); /* would fit, and waits behind the first of its line */
    heard(p);
    assert_string_equal(heard(q), "");
    give_up(p, "all", 2, 1);
    assert_string_equal(heard(p), "refuse all 2 skipped 1/1 by b");
    assert_string_equal(heard(q), "confirm all 1 -> a:2");
}

static void waiters_go_with_their_session_and_the_next_pass(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    make_topic(d, "all", "a b");
    bind_filter(d, "all", "b", "{\"exact\":{\"type\":\"red\"}}");
    declare(d, "b", "capacity=1");
    publish(p, "all", 0, RED);
    publish(p, "all", 5000, RED);
    publish(q, "all", 5000, BLUE);
    bye(p);
    assert_string_equal(heard(q), "confirm all 1 -> a:2");
    assert_string_equal(ledger(d, NULL), "accepted 3 acked 0 purged 0 dropped 0 remaining 3");
}

static void closing_a_queue_refuses_what_waits_for_it(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    declare(d, "a", "capacity=1");
    publish(p, "all", 0, "full");
    publish(p, "all", 5000, "one");
    heard(p);
    operate(d, CALL_CLOSE, "b");
    assert_string_equal(heard(p), "refuse all 2 closed 1/100 by b");
}

static void deleting_the_queue_that_was_waited_for_lets_the_waiters_go_elsewhere(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    declare(d, "b", "capacity=1");
    publish(p, "all", 0, "one");
    publish(p, "all", 5000, "two");
    heard(p);
    ask(d, &(struct request){ .call = CALL_DELETE, .queue = "b", .u.delete_.force = true });
    assert_string_equal(heard(p), "confirm all 2 -> a:2");
    assert_string_equal(ledger(d, NULL), "accepted 3 acked 0 purged 1 dropped 0 remaining 2");
}

static void deleting_a_topic_refuses_its_waiters_and_leaves_the_events(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    declare(d, "b", "capacity=1");
    publish(p, "all", 0, "one");
    publish(p, "all", 5000, "two");
    heard(p);
    assert_string_equal(topic_call_on(d, CALL_DELETE_TOPIC, "all"), "ok");
    assert_string_equal(heard(p), "refuse all 2 deleted 1/1 by b");
    assert_string_equal(topic_call_on(d, CALL_DELETE_TOPIC, "all"), "unknown_topic");
    struct peer *k = attached(d, "k");
    consume(k, "a");
    credit(k, "a", 9);
    assert_string_equal(heard(k), "turn a active e1; deliver a d1 s1 a1 one; idle a g1");
    ack(k, "a", 1, 1);
    assert_string_equal(ask(d, &(struct request){ .call = CALL_DELETE, .queue = "a" })->detail, "");
}

static void a_new_binding_takes_waiters_in(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    declare(d, "b", "capacity=1");
    publish(p, "all", 0, RED);
    publish(p, "all", 5000, RED);
    heard(p);
    assert_string_equal(bind_filter(d, "all", "b", "{\"exact\":{\"type\":\"blue\"}}"), "ok");
    assert_string_equal(heard(p), "confirm all 2 -> a:2");
    publish(p, "all", 5000, BLUE);
    assert_string_equal(heard(p), "");
    assert_string_equal(unbind(d, "all", "b"), "ok");
    assert_string_equal(heard(p), "confirm all 3 -> a:3");
    assert_string_equal(unbind(d, "all", "b"), "unknown_queue");
}

static void draining_refuses_what_waits(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    declare(d, "b", "capacity=1");
    publish(p, "all", 0, "one");
    publish(p, "all", 5000, "two");
    heard(p);
    core_stop(d->core, d->now);
    turn(d);
    assert_string_equal(heard(p), "refuse all 2 draining 1/1 by b; bye");
}

static void who_was_let_in_of_one_frame_waits_no_more(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    make_topic(d, "all", "a");
    declare(d, "a", "capacity=1");
    publish(p, "all", 9000, "one two three four");
    assert_int_equal(topic_of(d, "all").waiting_publishers, 3);
    consume(k, "a");
    credit(k, "a", 9);
    for (uint64_t i = 1; i <= 3; i++) {
        ack(k, "a", i, 1);
        assert_int_equal(topic_of(d, "all").waiting_publishers, 3 - i);
    }
}

/* It would have fitted from the beginning. */
static void a_waiter_behind_a_topics_first_is_admitted_once_that_is_gone(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    make_topic(d, "all", "a");
    declare(d, "a", "capacity_bytes=1024");
    publish(p, "all", 0, "full:500");
    publish(p, "all", 1000, "large:900");
    publish(q, "a", 5000, "small:100");
    assert_string_equal(heard(q), "");
    pass(d, 1000);
    assert_string_equal(heard(q), "confirm a 1 -> 2");
}

static void a_waiter_behind_it_in_its_catch_all_is_admitted_once_it_goes_elsewhere(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    put_topic(d, "all");
    declare(d, "rest", "capacity_bytes=1024");
    assert_string_equal(set_unrouted(d, "all", UNROUTED_QUEUE, "rest"), "ok");
    publish(p, "all", 0, "full:500");
    publish(p, "all", 9000, "large:900");
    publish(q, "rest", 9000, "small:100");
    assert_string_equal(heard(q), "");
    assert_string_equal(set_unrouted(d, "all", UNROUTED_DROP, ""), "ok");
    assert_string_equal(heard(q), "confirm rest 1 -> 2");
}

/* Both topics are tried at once, the later one first: at queue a it stands behind the earlier one, which turns out to
 * wait for b only. */
static void a_topic_behind_one_that_turns_to_another_queue_is_not_forgotten(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q"), *r = attached(d, "r");
    make_topic(d, "first", "a b shared");
    make_topic(d, "second", "a shared x");
    declare(d, "b", "capacity=1");
    declare(d, "x", "capacity=1");
    publish(r, "b", 0, "full");
    publish(r, "x", 0, "full");
    publish(p, "first", 9000, "one");
    publish(q, "second", 9000, "two");
    ask(d, &(struct request){ .call = CALL_DELETE, .queue = "shared", .u.delete_.force = true });
    heard(r);
    publish(r, "a", 0, "direct");
    assert_string_equal(heard(r), "confirm a 1 -> 1"); /* it is empty, and nobody waits for it */
    operate(d, CALL_PURGE, "x");
    assert_string_equal(heard(q), "confirm second 1 -> a:2 x:2");
    operate(d, CALL_PURGE, "b");
    assert_string_equal(heard(p), "confirm first 1 -> a:3 b:2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(what_waits_takes_nothing),
        driven(freed_room_goes_to_whoever_came_first),
        driven(a_direct_publish_stands_behind_a_topic_that_waits_for_the_same_queue),
        driven(topics_that_cross_let_each_other_pass),
        driven(a_deadline_refuses_and_names_the_queue),
        driven(what_its_publisher_gives_up_lets_the_next_pass),
        driven(waiters_go_with_their_session_and_the_next_pass),
        driven(closing_a_queue_refuses_what_waits_for_it),
        driven(deleting_the_queue_that_was_waited_for_lets_the_waiters_go_elsewhere),
        driven(deleting_a_topic_refuses_its_waiters_and_leaves_the_events),
        driven(a_new_binding_takes_waiters_in),
        driven(draining_refuses_what_waits),
        driven(who_was_let_in_of_one_frame_waits_no_more),
        driven(a_waiter_behind_a_topics_first_is_admitted_once_that_is_gone),
        driven(a_waiter_behind_it_in_its_catch_all_is_admitted_once_it_goes_elsewhere),
        driven(a_topic_behind_one_that_turns_to_another_queue_is_not_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
