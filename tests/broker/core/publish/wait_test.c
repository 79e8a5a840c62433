/* Entries that wait for room: in order of arrival, up to their deadline, within bounds. */
#include "tests/broker/core/driver.h"

#include <stdio.h>
#include <string.h>

static void a_waiting_event_is_accepted_when_there_is_room(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "capacity=2");
    publish(p, "orders", 5000, "one two three four");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1");
    assert_int_equal(describe(d, "orders").waiting_publishers, 2);
    consume(k, "orders");
    credit(k, "orders", 9);
    assert_string_equal(heard(p), ""); /* an event in flight still takes room */
    ack(k, "orders", 1, 1);
    assert_string_equal(heard(p), "confirm orders 3 -> 3");
    ack(k, "orders", 2, 2);
    assert_string_equal(heard(p), "confirm orders 4 -> 4");
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1..2 s1..2 a1 one two; idle orders g1; "
                                  "settled orders 1 acked; deliver orders d3 s3 a1 three; "
                                  "settled orders 2..3 acked; deliver orders d4 s4 a1 four");
}

static void waiting_is_first_come_first_served(void **state)
{
    struct driver *d = *state;
    struct peer *a = attached(d, "a"), *b = attached(d, "b");
    declare(d, "orders", "capacity=1");
    publish(a, "orders", 5000, "full one");
    publish(b, "orders", 5000, "two");
    publish(a, "orders", 5000, "three");
    publish(b, "orders", 9000, "four");
    heard(a);
    for (unsigned i = 0; i < 4; i++)
        operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(a), "confirm orders 2 -> 2; confirm orders 3 -> 4");
    assert_string_equal(heard(b), "confirm orders 1 -> 3; confirm orders 2 -> 5");
}

static void a_deadline_refuses_exactly_then(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "full");
    publish(p, "orders", 1500, "one");
    heard(p);
    pass(d, 1499);
    assert_string_equal(heard(p), "");
    pass(d, 1);
    assert_string_equal(heard(p), "refuse orders 2 full 1/1");
    assert_int_equal(describe(d, "orders").waiting_publishers, 0);
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "");
    assert_string_equal(ledger(d, "orders"), "accepted 1 acked 0 purged 1 dropped 0 remaining 0");
}

static void entries_of_one_frame_have_their_own_deadlines(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "full");
    struct open_body open = frame_begin_publish(&p->out, span_str("orders"), 2, 1000);
    frame_add_entry(&p->out, &(struct entry){ .event = span_str("long"), .wait_ms = 3000 }, 1000);
    frame_add_entry(&p->out, &(struct entry){ .event = span_str("short"), .wait_ms = 1000 }, 1000);
    frame_add_entry(&p->out, &(struct entry){ .event = span_str("never"), .wait_ms = 0 }, 1000);
    frame_end(&p->out, open);
    push(p);
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 4 full 1/1");
    pass(d, 1000);
    assert_string_equal(heard(p), "refuse orders 3 full 1/1");
    pass(d, 1999);
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "confirm orders 2 -> 2");
}

static void who_waits_behind_a_refused_one_moves_up(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    declare(d, "orders", "capacity_bytes=1024");
    publish(p, "orders", 0, "a:500");
    publish(p, "orders", 1000, "large:900");
    publish(q, "orders", 9000, "small:100");
    pass(d, 1000);
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2 full 1/10000");
    assert_string_equal(heard(q), "confirm orders 1 -> 2");
}

static void giving_up_makes_way(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    declare(d, "orders", "capacity_bytes=1024");
    publish(p, "orders", 0, "a:500");
    publish(p, "orders", 9000, "large:900");
    publish(q, "orders", 9000, "small:100");
    give_up(p, "orders", 2, 1);
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2 skipped 1/10000");
    assert_string_equal(heard(q), "confirm orders 1 -> 2");
}

/* A batch is admitted as a prefix, in however many frames it came. */
static void what_continues_a_skipped_entry_is_skipped_and_no_more(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "full");
    publish(p, "orders", 9000, "one two");
    publish(p, "orders", 9000, "+three four");
    heard(p);
    give_up(p, "orders", 3, 1);
    assert_string_equal(heard(p), "refuse orders 3..4 skipped 1/1");
    for (unsigned i = 0; i < 2; i++)
        operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "confirm orders 2 -> 2; confirm orders 5 -> 3");
}

static void what_continues_an_expired_wait_is_refused_and_no_more(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "full");
    publish(p, "orders", 1000, "one");
    publish(p, "orders", 9000, "+two three");
    heard(p);
    pass(d, 1000);
    assert_string_equal(heard(p), "refuse orders 2..3 full 1/1");
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "confirm orders 4 -> 2");
}

static void giving_up_what_is_decided_changes_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "one two");
    heard(p);
    give_up(p, "orders", 1, 2);
    assert_string_equal(heard(p), "");
    assert_int_equal(describe(d, "orders").ready, 1);
}

static void giving_up_what_never_arrived_is_an_outcome_too(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    give_up(p, "orders", 1, 2);
    publish(p, "orders", 0, "three");
    assert_string_equal(heard(p), "refuse orders 1..2 unavailable 0/0; confirm orders 3 -> 1");
    give_up(p, "orders", 5, 1);
    assert_false(is_attached(p)); /* a gap */
}

static void one_destination_waits_with_at_most_half_the_window(void **state)
{
    struct driver *d = *state;
    d->config.window_events = 8;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    declare(d, "mails", "capacity=9");
    publish(p, "orders", 0, "full");
    publish(p, "orders", 9000, "a b c d e");
    publish(p, "mails", 0, "free");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 6 full 1/1; window 10; confirm mails 1 -> 1");
}

static void half_the_window_counts_in_bytes_too(void **state)
{
    struct driver *d = *state;
    d->config.window_bytes = 20000;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "full");
    publish(p, "orders", 9000, "a:6000");
    publish(p, "orders", 9000, "b:6000");
    publish(p, "orders", 9000, "c:4000");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 3 full 1/1; window 16386");
    assert_int_equal(describe(d, "orders").waiting_publishers, 2);
}

static void the_window_moves_with_what_is_decided(void **state)
{
    struct driver *d = *state;
    d->config.window_events = 8;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=100");
    publish(p, "orders", 0, "a");
    assert_string_equal(heard(p), "confirm orders 1 -> 1"); /* not for every single one */
    publish(p, "orders", 0, "b");
    assert_string_equal(heard(p), "confirm orders 2 -> 2; window 10");
    publish(p, "orders", 0, "c d e f g h i j");
    assert_string_equal(heard(p), "confirm orders 3..10 -> 3; window 18");
    assert_true(is_attached(p));
}

static void waiters_go_with_their_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    declare(d, "orders", "capacity_bytes=1024");
    publish(p, "orders", 0, "a:500");
    publish(p, "orders", 9000, "large:900");
    publish(q, "orders", 9000, "small:100");
    bye(p);
    turn(d);
    assert_string_equal(heard(q), "confirm orders 1 -> 2");
    assert_int_equal(describe(d, "orders").waiting_publishers, 0);
}

static void waiters_stay_while_their_session_resumes(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 9000, "one two");
    heard(p);
    request_attach(p);
    operate(d, CALL_PURGE, "orders");
    echo(p);
    assert_string_equal(heard(p), "lane closed; hello tcp://*:7700; attached resumed known; confirm orders 2 -> 2");
}

static void a_larger_capacity_lets_waiters_in(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 9000, "one two three four");
    heard(p);
    assert_string_equal(declare(d, "orders", "capacity=3"), "ok");
    assert_string_equal(heard(p), "confirm orders 2..3 -> 2");
}

static void a_deleted_queue_refuses_who_waits(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 9000, "one two");
    heard(p);
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_string_equal(heard(p), "refuse orders 2 deleted 1/1");
    assert_string_equal(ledger(d, NULL), "accepted 1 acked 0 purged 1 dropped 0 remaining 0");
}

/* A waiting entry may become too large for the queue: it would keep all others waiting in front of an empty queue. */
static void an_entry_that_no_longer_fits_does_not_hold_up_others(void **state)
{
    struct driver *d = *state;
    struct peer *a = attached(d, "a"), *b = attached(d, "b");
    declare(d, "orders", "capacity=1 capacity_bytes=4096");
    publish(a, "orders", 60000, "full big:3000 +goes-with-it");
    publish(b, "orders", 60000, "small");
    heard(a);
    declare(d, "orders", "capacity_bytes=1024");
    assert_string_equal(heard(a), "refuse orders 2..3 too_large 1/1");
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(b), "confirm orders 1 -> 2");
}

/* … and with drop_oldest the whole queue would be dropped for it, in vain. */
static void nothing_is_dropped_for_an_entry_that_no_longer_fits(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=2 capacity_bytes=4096");
    publish(p, "orders", 60000, "one two big:3000");
    declare(d, "orders", "capacity_bytes=1024 overflow=drop_oldest");
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1; refuse orders 3 too_large 2/2");
}

static void nobody_is_let_in_while_the_consumer_that_is_required_is_away(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "capacity=1 require_consumer=true");
    consume(k, "orders");
    publish(p, "orders", 60000, "one two");
    leave(k, "orders");
    heard(p);
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "refuse orders 2 no_consumer 0/1");
}

static void many_waiters_of_many_sizes_come_through_in_order(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    char expected[40];
    declare(d, "orders", "capacity=3");
    for (unsigned i = 0; i < 40; i++)
        publish(p, "orders", 60000, i % 3 ? "x:40 y:3000" : "z:20000");
    consume(k, "orders");
    credit(k, "orders", 1000);
    unsigned events = 14 + 26 * 2;
    for (uint64_t i = 1; i <= events; i++)
        ack(k, "orders", i, 1);
    snprintf(expected, sizeof expected, "confirm orders %u -> %u", events, events);
    assert_non_null(strstr(heard(p), expected));
    assert_string_equal(ledger(d, "orders"), "accepted 66 acked 66 purged 0 dropped 0 remaining 0");
}

/* Each of them, for whatever reason, and however many are refused at once. */
static void the_queue_counts_waiters_that_are_refused(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "one two");
    publish(p, "orders", 1000, "three four +five");
    pass(d, 1000);
    assert_int_equal(describe(d, "orders").refused, 4); /* their deadline passed */
    publish(p, "orders", 60000, "six +seven eight");
    give_up(p, "orders", 6, 1);
    assert_int_equal(describe(d, "orders").refused, 6);
    consume(k, "orders");
    declare(d, "orders", "require_consumer=true");
    publish(p, "orders", 60000, "nine +ten");
    leave(k, "orders");
    operate(d, CALL_PURGE, "orders");
    assert_int_equal(describe(d, "orders").refused, 9); /* none can be accepted without a consumer */
    declare(d, "orders", "require_consumer=false");
    publish(p, "orders", 60000, "eleven twelve");
    operate(d, CALL_CLOSE, "orders");
    assert_int_equal(describe(d, "orders").refused, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_waiting_event_is_accepted_when_there_is_room),
        driven(waiting_is_first_come_first_served),
        driven(a_deadline_refuses_exactly_then),
        driven(entries_of_one_frame_have_their_own_deadlines),
        driven(who_waits_behind_a_refused_one_moves_up),
        driven(giving_up_makes_way),
        driven(what_continues_a_skipped_entry_is_skipped_and_no_more),
        driven(what_continues_an_expired_wait_is_refused_and_no_more),
        driven(giving_up_what_is_decided_changes_nothing),
        driven(giving_up_what_never_arrived_is_an_outcome_too),
        driven(one_destination_waits_with_at_most_half_the_window),
        driven(half_the_window_counts_in_bytes_too),
        driven(the_window_moves_with_what_is_decided),
        driven(waiters_go_with_their_session),
        driven(waiters_stay_while_their_session_resumes),
        driven(a_larger_capacity_lets_waiters_in),
        driven(a_deleted_queue_refuses_who_waits),
        driven(an_entry_that_no_longer_fits_does_not_hold_up_others),
        driven(nothing_is_dropped_for_an_entry_that_no_longer_fits),
        driven(nobody_is_let_in_while_the_consumer_that_is_required_is_away),
        driven(many_waiters_of_many_sizes_come_through_in_order),
        driven(the_queue_counts_waiters_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
