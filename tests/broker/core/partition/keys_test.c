/* `ordered: key`: at most one delivery of a key is unsettled; a failed event blocks its key and nothing else. */
#include "broker/core/partition/partition.h"
#include "tests/broker/core/driver.h"

#include <stdio.h>

/* A consumer with that credit, of a new queue that is ordered by key and has these events. */
static struct peer *consumer_of(struct driver *d, const char *settings, const char *words, uint64_t wanted)
{
    char text[200];
    struct peer *p = attached(d, "publisher"), *k = attached(d, "k");
    snprintf(text, sizeof text, "ordered=key %s", settings);
    assert_string_equal(declare(d, "orders", text), "ok");
    publish(p, "orders", 0, words);
    bye(p);
    consume(k, "orders");
    credit(k, "orders", wanted);
    return k;
}

static void one_delivery_of_a_key_is_unsettled_and_other_keys_go_on(void **state)
{
    struct peer *k = consumer_of(*state, "", "a1#a a2#a b1#b a3#a c1#c", 9);
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1 s1 a1 a1; deliver orders d2 s3 a1 b1; "
                                  "deliver orders d3 s5 a1 c1; idle orders g1");
    ack(k, "orders", 2, 1);
    assert_string_equal(heard(k), "settled orders 2 acked");
    ack(k, "orders", 1, 1);
    assert_string_equal(heard(k), "settled orders 1 acked; deliver orders d4 s2 a1 a2");
    ack(k, "orders", 4, 1);
    assert_string_equal(heard(k), "settled orders 4 acked; deliver orders d5 s4 a1 a3");
}

static void neighbours_of_different_keys_share_a_batch(void **state)
{
    struct peer *k = consumer_of(*state, "", "a1#a b1#b c1#c a2#a d1#d", 9);
    assert_string_equal(
        heard(k),
        "turn orders active e1; deliver orders d1..3 s1..3 a1 a1 b1 c1; deliver orders d4 s5 a1 d1; idle orders g1");
}

static void a_failed_key_is_parked_whole_and_visibly(void **state)
{
    struct driver *d = *state;
    struct peer *k = consumer_of(d, "", "a1#a a2#a b1#b a3#a free#", 9);
    heard(k);
    settle(k, "orders", SETTLE_NACK, 1, 1, 5000);
    assert_string_equal(heard(k), "settled orders 1 nacked");
    struct parked parked = keys_parked(queue_find(d->core, span_str("orders")));
    assert_true(parked.keys == 1 && parked.events == 2);
    ack(k, "orders", 2, 2);
    assert_string_equal(heard(k), "settled orders 2..3 acked"); /* b1 and the keyless one, which overtook it */
    pass(d, 5000);
    assert_string_equal(heard(k), "deliver orders d4 s1 a2 a1");
    assert_int_equal(keys_parked(queue_find(d->core, span_str("orders"))).keys, 0);
    ack(k, "orders", 4, 1);
    assert_string_equal(heard(k), "settled orders 4 acked; deliver orders d5 s2 a1 a2");
}

static void a_peek_says_what_an_event_waits_for(void **state)
{
    struct driver *d = *state;
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek.state = STATE_READY };
    struct peer *k = consumer_of(d, "", "a1#a a2#a b1#b a3#a", 9);
    settle(k, "orders", SETTLE_NACK, 1, 1, 5000);
    ack(k, "orders", 2, 1);
    struct queue_info q = describe(d, "orders");
    assert_true(q.parked_keys == 1 && q.parked_events == 2);
    const struct reply *reply = ask(d, &r);
    assert_int_equal(reply->u.peeked.count, 2);
    assert_true(reply->u.peeked.events[0].sequence == 2 && reply->u.peeked.events[0].parked_behind == 1);
    assert_true(reply->u.peeked.events[1].sequence == 4 && reply->u.peeked.events[1].parked_behind == 1);
}

static void events_without_a_key_wait_for_nobody(void **state)
{
    struct peer *k = consumer_of(*state, "", "x# y# z#", 9);
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1..3 s1..3 a1 x y z; idle orders g1");
}

static void the_subject_is_the_key_where_there_is_no_partitionkey(void **state)
{
    (void)state;
    char number[EVENT_KEY_NUMBER];
    struct buf bytes = { 0 };
    struct attribute attributes[] = { { span_str("subject"), ATTRIBUTE_STRING, span_str("s7") },
                                      { span_str("partitionkey"), ATTRIBUTE_INTEGER, span_str("-42") } };
    struct event e = { span_str("1"), span_str("/s"), span_str("t"), attributes, 1, DATA_NONE, { 0 } };
    event_encode(&e, &bytes);
    assert_true(span_equal(event_key(buf_span(&bytes), number), span_str("s7")));
    e.attribute_count = 2;
    buf_clear(&bytes);
    event_encode(&e, &bytes);
    assert_true(span_equal(event_key(buf_span(&bytes), number), span_str("-42")));
    assert_int_equal(event_key(span_str("no event at all"), number).size, 0);
    for (size_t i = 0; i < bytes.size; i++) /* cut anywhere, it is read no farther */
        event_key(span_of(bytes.data, i), number);
    assert_true(event_key_hash(span_str("s7")) == UINT64_C(0x8c5e2fffd3450a28));
    assert_int_equal(event_key_hash(span_str("")), 0);
    buf_free(&bytes);
}

static void what_is_released_comes_again_before_the_rest_of_its_key(void **state)
{
    struct peer *k = consumer_of(*state, "", "a1#a a2#a", 9);
    heard(k);
    settle(k, "orders", SETTLE_RELEASE, 1, 1, 0);
    assert_string_equal(heard(k), "settled orders 1 released; deliver orders d2 s1 a1 a1");
}

static void a_lease_that_ran_out_holds_its_key_up_until_it_comes_again(void **state)
{
    struct driver *d = *state;
    struct peer *k = consumer_of(d, "lease=1s", "a1#a a2#a", 9);
    heard(k);
    pass(d, 1000);
    assert_string_equal(heard(k), "deliver orders d2 s1 a2 a1");
    ack(k, "orders", 1, 1);
    assert_string_equal(heard(k), "settled orders 1 expired");
    ack(k, "orders", 2, 1);
    assert_string_equal(heard(k), "settled orders 2 acked; deliver orders d3 s2 a1 a2");
}

static void a_dead_event_sets_its_key_free(void **state)
{
    struct peer *k = consumer_of(*state, "max_deliveries=1", "a1#a a2#a", 9);
    heard(k);
    settle(k, "orders", SETTLE_NACK, 1, 1, 0);
    assert_string_equal(heard(k), "settled orders 1 nacked; deliver orders d2 s2 a1 a2");
}

static void a_purge_leaves_the_key_to_what_is_in_flight(void **state)
{
    struct driver *d = *state;
    struct peer *k = consumer_of(d, "", "a1#a a2#a a3#a", 9), *p = attached(d, "p");
    heard(k);
    assert_string_equal(operate(d, CALL_PURGE, "orders"), "ok");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 2 dropped 0 remaining 1");
    publish(p, "orders", 0, "a4#a");
    assert_string_equal(heard(k), "");
    ack(k, "orders", 1, 1);
    assert_string_equal(heard(k), "settled orders 1 acked; deliver orders d2 s4 a1 a4");
}

static void a_purge_of_the_parked_event_frees_its_key(void **state)
{
    struct driver *d = *state;
    struct peer *k = consumer_of(d, "", "a1#a a2#a", 9), *p = attached(d, "p");
    settle(k, "orders", SETTLE_NACK, 1, 1, 60000);
    heard(k);
    assert_string_equal(operate(d, CALL_PURGE, "orders"), "ok");
    publish(p, "orders", 0, "a3#a");
    assert_string_equal(heard(k), "deliver orders d2 s3 a1 a3");
}

static void the_next_consumer_goes_on_with_the_same_event_of_a_key(void **state)
{
    struct driver *d = *state;
    struct peer *k = consumer_of(d, "", "a1#a a2#a b1#b", 9), *other = attached(d, "other");
    heard(k);
    consume(other, "orders");
    credit(other, "orders", 9);
    assert_string_equal(heard(other), "turn orders standby");
    leave(k, "orders");
    assert_string_equal(
        heard(other), "turn orders active e2; deliver orders d1 s1 a2 a1; deliver orders d2 s3 a2 b1; idle orders g1");
}

static void the_oldest_is_dropped_wherever_it_waits(void **state)
{
    struct driver *d = *state;
    struct peer *k = consumer_of(d, "capacity=4 overflow=drop_oldest", "a1#a a2#a a3#a b1#b", 1), *p = attached(d, "p");
    heard(k);
    publish(p, "orders", 0, "c1#c"); /* a2 goes, which waits behind a1 */
    credit(k, "orders", 9);
    assert_string_equal(heard(k), "deliver orders d2..3 s4..5 a1 b1 c1; idle orders g2");
    ack(k, "orders", 1, 1);
    assert_string_equal(heard(k), "settled orders 1 acked; deliver orders d4 s3 a1 a3");
    assert_string_equal(ledger(d, "orders"), "accepted 5 acked 1 purged 0 dropped 1 remaining 3");
}

/* Also among returned events; and the heap of the oldest does not outgrow the queue. */
static void the_oldest_is_found_again_and_again(void **state)
{
    struct driver *d = *state;
    struct peer *k = consumer_of(d, "capacity=4 overflow=drop_oldest", "a1#a b1#b a2#a b2#b", 2);
    struct peer *p = attached(d, "p");
    const struct partitions *parts = queue_find(d->core, span_str("orders"))->partitions;
    heard(k);
    publish(p, "orders", 0, "a3#a"); /* a2 goes */
    settle(k, "orders", SETTLE_RELEASE, 2, 1, 0);
    publish(p, "orders", 0, "c1#c"); /* b1, which is back */
    ack(k, "orders", 1, 1);
    credit(k, "orders", 9);
    assert_non_null(strstr(heard(k), "deliver orders d3..5 s4..6 a1 b2 a3 c1"));
    ack(k, "orders", 3, 3);
    for (uint64_t i = 6; i < 3000; i++) { /* each is delivered, and none is dropped */
        credit(k, "orders", i);
        publish(p, "orders", 0, "e#e");
        ack(k, "orders", i, 1);
        seen(p, "orders", known(p, "orders")->next_publish - 1);
        heard(k);
        heard(p);
    }
    assert_true(parts->oldest.count < 2000);
    assert_string_equal(ledger(d, "orders"), "accepted 3000 acked 2998 purged 0 dropped 2 remaining 0");
}

static void the_order_changes_only_while_the_queue_is_empty(void **state)
{
    struct driver *d = *state;
    struct peer *k = consumer_of(d, "", "a1#a a2#a", 9);
    heard(k);
    assert_string_equal(declare(d, "orders", "ordered=none"), "conflict");
    assert_string_equal(declare(d, "orders", "ordered=key"), "ok");
    ack(k, "orders", 1, 1);
    ack(k, "orders", 2, 1);
    heard(k);
    assert_string_equal(declare(d, "orders", "ordered=none"), "ok");
    assert_string_equal(heard(k), "turn orders active e2");
    struct peer *p = attached(d, "p");
    publish(p, "orders", 0, "a3#a a4#a");
    assert_string_equal(heard(k), "deliver orders d3..4 s3..4 a1 a3 a4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(one_delivery_of_a_key_is_unsettled_and_other_keys_go_on),
        driven(neighbours_of_different_keys_share_a_batch),
        driven(a_failed_key_is_parked_whole_and_visibly),
        driven(a_peek_says_what_an_event_waits_for),
        driven(events_without_a_key_wait_for_nobody),
        driven(the_subject_is_the_key_where_there_is_no_partitionkey),
        driven(what_is_released_comes_again_before_the_rest_of_its_key),
        driven(a_lease_that_ran_out_holds_its_key_up_until_it_comes_again),
        driven(a_dead_event_sets_its_key_free),
        driven(a_purge_leaves_the_key_to_what_is_in_flight),
        driven(a_purge_of_the_parked_event_frees_its_key),
        driven(the_next_consumer_goes_on_with_the_same_event_of_a_key),
        driven(the_oldest_is_dropped_wherever_it_waits),
        driven(the_oldest_is_found_again_and_again),
        driven(the_order_changes_only_while_the_queue_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
