/* Delays and expiry in memory, with partitions or with an order by key: events take their place in the order when
 * they are due. Of two partitions the keys a and b are in the second, d and e in the first. */
#include "tests/broker/core/driver.h"

#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"

#include <stdio.h>

static struct peer *consumer(struct driver *d, const char *name, uint64_t wanted)
{
    struct peer *k = attached(d, name);
    consume(k, "orders");
    credit(k, "orders", wanted);
    heard(k);
    return k;
}

static struct peer *publisher(struct driver *d, const char *settings)
{
    struct peer *p = attached(d, "p");
    assert_string_equal(declare(d, "orders", settings), "ok");
    return p;
}

static const char *cancel(struct driver *d, uint64_t sequence)
{
    struct request r = { .call = CALL_CANCEL, .queue = "orders", .u.cancel.sequence = sequence };
    return reason_info(ask(d, &r)->reason)->name;
}

static uint64_t expired(struct driver *d)
{
    return describe(d, "orders").ledger.expired;
}

static struct parked parked(struct driver *d)
{
    return keys_parked(queue_find(d->core, span_str("orders")));
}

/* ------------------------------------------------------------------ delayed */

static void a_delayed_event_holds_nothing_of_its_key_up(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "ordered=key"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a~50 a2#a a3#a");
    assert_string_equal(heard(k), "deliver orders d1 s2 a1 a2");
    ack(k, "orders", 1, 1);
    assert_string_equal(heard(k), "settled orders 1 acked; deliver orders d2 s3 a1 a3");
    ack(k, "orders", 2, 1);
    pass(d, 49);
    assert_null(strstr(heard(k), "deliver"));
    pass(d, 1);
    assert_string_equal(heard(k), "deliver orders d3 s1 a1 a1");
}

static void those_of_a_key_come_in_the_order_of_falling_due(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "ordered=key"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a~30 a2#a~20 a3#a~10 b1#b~20");
    pass(d, 10);
    ack(k, "orders", 1, 1);
    pass(d, 10);
    ack(k, "orders", 2, 1);
    pass(d, 10);
    assert_string_equal(heard(k), "deliver orders d1 s3 a1 a3; settled orders 1 acked; "
                                  "deliver orders d2 s2 a1 a2; deliver orders d3 s4 a1 b1; settled orders 2 acked; "
                                  "deliver orders d4 s1 a1 a1");
}

static void what_falls_due_waits_for_what_its_key_has_in_flight(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "ordered=key"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a~20 a2#a a3#a");
    heard(k);
    pass(d, 20);
    assert_string_equal(heard(k), "");
    ack(k, "orders", 1, 1); /* of the two that wait, the one accepted first is next */
    assert_string_equal(heard(k), "settled orders 1 acked; deliver orders d2 s1 a1 a1");
    ack(k, "orders", 2, 1);
    assert_string_equal(heard(k), "settled orders 2 acked; deliver orders d3 s3 a1 a3");
}

static void what_falls_due_waits_for_what_its_key_failed_with(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "ordered=key"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a~20 a2#a");
    settle(k, "orders", SETTLE_NACK, 1, 1, 100);
    heard(k);
    pass(d, 20);
    assert_true(parked(d).keys == 1 && parked(d).events == 1);
    pass(d, 79);
    assert_string_equal(heard(k), "");
    pass(d, 1);
    assert_string_equal(heard(k), "deliver orders d2 s2 a2 a2");
    ack(k, "orders", 2, 1);
    assert_string_equal(heard(k), "settled orders 2 acked; deliver orders d3 s1 a1 a1");
}

/* When a0 was acked, a2 became current for its key; it was not delivered because there was no credit. */
static void a_due_event_comes_before_an_undelivered_next_one(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "ordered=key"), *k = consumer(d, "k", 1);
    publish(p, "orders", 0, "a0#a a1#a~20 a2#a a3#a");
    ack(k, "orders", 1, 1);
    heard(k);
    pass(d, 20);
    credit(k, "orders", 9);
    assert_string_equal(heard(k), "deliver orders d2 s2 a1 a1; idle orders g2");
    ack(k, "orders", 2, 1);
    assert_string_equal(heard(k), "settled orders 2 acked; deliver orders d3 s3 a1 a2");
    ack(k, "orders", 3, 1);
    assert_string_equal(heard(k), "settled orders 3 acked; deliver orders d4 s4 a1 a3");
}

static void each_partition_gets_its_own_when_they_are_due(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "partitions=2 delay=50ms"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a d1#d a2#a~20 d2#d^-1");
    assert_string_equal(heard(k), "deliver orders d1 s4 a1 d2");
    pass(d, 20);
    assert_string_equal(heard(k), "deliver orders d2 s3 a1 a2");
    pass(d, 30);
    const char *both = heard(k);
    assert_true(strstr(both, " s1 a1 a1") && strstr(both, " s2 a1 d1"));
}

/* It goes to the consumer that has the partition when it is due, not to one that has left. */
static void a_delayed_event_goes_to_the_owner_when_it_is_due(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "partitions=2"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a d1#d a2#a~30 d2#d~30");
    struct peer *other = consumer(d, "other", 9);
    heard(k);
    settle(k, "orders", SETTLE_NACK, 1, 1, 30);
    settle(k, "orders", SETTLE_NACK, 2, 1, 30);
    heartbeat(k); /* it acknowledges all frames, so that a partition may change hands */
    turn(d);
    pass(d, 30);
    const char *mine = heard(k), *theirs = heard(other);
    const char *second = strstr(mine, "a1") ? mine : theirs, *first = second == mine ? theirs : mine;
    assert_true(strstr(second, " s1 a2 a1") && strstr(second, " s3 a1 a2"));
    assert_true(strstr(first, " s2 a2 d1") && strstr(first, " s4 a1 d2"));
}

/* ------------------------------------------------------------------ expired, cancelled */

static void what_expires_leaves_from_behind_its_key(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "ordered=key"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a a2#a!50 a3#a");
    settle(k, "orders", SETTLE_NACK, 1, 1, 100);
    pass(d, 50);
    assert_int_equal(expired(d), 1);
    assert_true(parked(d).keys == 1 && parked(d).events == 1);
    pass(d, 50);
    heard(k);
    ack(k, "orders", 2, 1);
    assert_string_equal(heard(k), "settled orders 2 acked; deliver orders d3 s3 a1 a3");
}

static void a_failed_event_that_expires_frees_its_key(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "ordered=key"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a!50 a2#a");
    settle(k, "orders", SETTLE_NACK, 1, 1, 1000);
    heard(k);
    pass(d, 50);
    assert_string_equal(heard(k), "deliver orders d2 s2 a1 a2");
    assert_int_equal(expired(d), 1);
}

static void one_in_flight_expires_when_it_comes_back_and_not_before(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "ordered=key ttl=50ms"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a b1#b");
    pass(d, 60);
    publish(p, "orders", 0, "a2#a");
    heard(k);
    ack(k, "orders", 2, 1);
    settle(k, "orders", SETTLE_NACK, 1, 1, 1000);
    assert_string_equal(heard(k), "settled orders 2 acked; settled orders 1 nacked; deliver orders d3 s3 a1 a2");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 1 purged 0 dropped 0 remaining 1");
    assert_int_equal(expired(d), 1);
}

static void a_cancelled_event_sets_its_key_free(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "ordered=key partitions=2"), *k = consumer(d, "k", 9);
    publish(p, "orders", 0, "a1#a a2#a~50 a3#a");
    settle(k, "orders", SETTLE_NACK, 1, 1, 1000);
    heard(k);
    assert_string_equal(cancel(d, 3), "not_delayed"); /* it waits for its key */
    assert_string_equal(cancel(d, 2), "ok");
    assert_string_equal(cancel(d, 1), "ok");
    turn(d);
    assert_string_equal(heard(k), "deliver orders d2 s3 a1 a3");
    pass(d, 100);
    assert_string_equal(heard(k), "");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 2 dropped 0 remaining 1");
}

/* ------------------------------------------------------------------ settings */

static void a_queue_with_partitions_gets_times_and_one_with_times_partitions(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "partitions=4 ttl=1s"), *k = consumer(d, "k", 9);
    assert_string_equal(declare(d, "orders", "delay=10ms"), "ok");
    publish(p, "orders", 0, "a1#a");
    assert_string_equal(declare(d, "orders", "ordered=key"), "conflict"); /* it holds a delayed one */
    pass(d, 10);
    ack(k, "orders", 1, 1);
    heard(k);
    assert_string_equal(declare(d, "orders", "partitions=1 ordered=key"), "ok");
    publish(p, "orders", 0, "a2#a");
    pass(d, 10);
    assert_non_null(strstr(heard(k), " s2 a1 a2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_delayed_event_holds_nothing_of_its_key_up),
        driven(those_of_a_key_come_in_the_order_of_falling_due),
        driven(what_falls_due_waits_for_what_its_key_has_in_flight),
        driven(what_falls_due_waits_for_what_its_key_failed_with),
        driven(a_due_event_comes_before_an_undelivered_next_one),
        driven(each_partition_gets_its_own_when_they_are_due),
        driven(a_delayed_event_goes_to_the_owner_when_it_is_due),
        driven(what_expires_leaves_from_behind_its_key),
        driven(a_failed_event_that_expires_frees_its_key),
        driven(one_in_flight_expires_when_it_comes_back_and_not_before),
        driven(a_cancelled_event_sets_its_key_free),
        driven(a_queue_with_partitions_gets_times_and_one_with_times_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
