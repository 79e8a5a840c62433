/* How deliveries end: by number, by receipt, by time; and what does not end them. */
#include "tests/broker/core/driver.h"

#include <stdio.h>
#include <string.h>

/* A peer that consumes a queue with these events, all of them delivered to it. */
static struct peer *consuming(struct driver *d, const char *settings, const char *words)
{
    struct peer *p = attached(d, "publisher"), *k = attached(d, "k");
    assert_string_equal(declare(d, "orders", settings), "ok");
    publish(p, "orders", 0, words);
    consume(k, "orders");
    credit(k, "orders", known(p, "orders")->next_publish - 1);
    bye(p);
    heard(k);
    return k;
}

/* ------------------------------------------------------------------ by number */

static void acks_settle_runs(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two three four");
    struct open_body open = frame_begin_ack(&k->out, span_str("orders"), known(k, "orders")->consumer_epoch);
    frame_add_settle(&k->out, &(struct settle){ .first = 1, .count = 2 });
    frame_add_settle(&k->out, &(struct settle){ .kind = SETTLE_NACK, .first = 3, .count = 1, .ms = 1000 });
    frame_add_settle(&k->out, &(struct settle){ .first = 3, .count = 2 });
    frame_end(&k->out, open);
    push(k);
    assert_string_equal(heard(k), "settled orders 1..2 acked; settled orders 3 nacked; settled orders 3 expired; "
                                  "settled orders 4 acked");
    assert_string_equal(ledger(d, "orders"), "accepted 4 acked 3 purged 0 dropped 0 remaining 1");
}

static void a_repeated_ack_by_number_is_answered_acked(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two three four five");
    ack(k, "orders", 1, 2);
    settle(k, "orders", SETTLE_NACK, 3, 1, 60000);
    ack(k, "orders", 5, 1);
    heard(k);
    ack(k, "orders", 1, 5);
    assert_string_equal(heard(k), "settled orders 1..2 acked; settled orders 3 expired; settled orders 4..5 acked");
    settle(k, "orders", SETTLE_NACK, 1, 2, 0);
    assert_string_equal(heard(k), "settled orders 1..2 expired");
    assert_string_equal(ledger(d, "orders"), "accepted 5 acked 4 purged 0 dropped 0 remaining 1");
}

static void an_ack_is_remembered_however_it_came(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two");
    ack(k, "orders", 1, 1);
    settle_by(k, 1, SETTLE_ACK, receipt_of(k, "orders", 1), 0);
    settle_by(k, 2, SETTLE_ACK, receipt_of(k, "orders", 2), 0);
    ack(k, "orders", 1, 2);
    assert_string_equal(heard(k),
                        "settled orders 1 acked; receipt 1 acked; receipt 2 acked; settled orders 1..2 acked");
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 2 purged 0 dropped 0 remaining 0");
}

/* Two workers of one consumer ack alternately: that makes two runs, and none is lost. */
static void thousands_of_acks_are_remembered_as_runs(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "capacity=10", "");
    char first[RECEIPT_MAX_SIZE] = "";
    credit(k, "orders", 1u << 20);
    for (uint64_t i = 1; i < 4000; i += 2) {
        publish(k, "orders", 0, "x y");
        if (i == 1)
            snprintf(first, sizeof first, "%s", receipt_of(k, "orders", 1));
        settle_by(k, 1, SETTLE_ACK, receipt_of(k, "orders", i + 1), 0);
        ack(k, "orders", i, 1);
        heartbeat(k);
        if (i % 100 == 1)
            heard(k);
    }
    heard(k);
    settle_by(k, 2, SETTLE_ACK, first, 0);
    ack(k, "orders", 1, 4000);
    assert_string_equal(heard(k), "receipt 2 acked; settled orders 1..4000 acked");
}

/* Only every other event is acked: each ack is a run of its own, and only the newest are remembered. */
static void of_scattered_acks_the_oldest_are_forgotten(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "lease=12h", "");
    credit(k, "orders", 1u << 20);
    for (uint64_t i = 1; i <= 2 * (ACKED_RUNS + 1); i += 2) {
        publish(k, "orders", 0, "x y");
        ack(k, "orders", i, 1);
        heard(k);
    }
    ack(k, "orders", 1, 1);
    ack(k, "orders", 3, 1);
    assert_string_equal(heard(k), "settled orders 1 expired; settled orders 3 acked");
}

static void settling_what_was_never_delivered_is_a_violation(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one");
    ack(k, "orders", 1, 2);
    assert_false(is_attached(k));
    assert_int_equal(describe(d, "orders").ready, 1);
}

static void a_nack_delivers_again_at_once(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two");
    credit(k, "orders", 3);
    settle(k, "orders", SETTLE_NACK, 1, 1, 0);
    assert_string_equal(heard(k), "idle orders g2; settled orders 1 nacked; deliver orders d3 s1 a2 one");
}

static void a_nack_with_a_delay_delivers_again_after_it(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two");
    credit(k, "orders", 3);
    settle(k, "orders", SETTLE_NACK, 1, 1, 2000);
    heard(k);
    assert_int_equal(describe(d, "orders").delayed, 1);
    pass(d, 1999);
    assert_string_equal(heard(k), "");
    pass(d, 1);
    assert_string_equal(heard(k), "deliver orders d3 s1 a2 one");
    assert_int_equal(describe(d, "orders").delayed, 0);
}

static void a_delayed_event_takes_room_and_can_be_purged(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "capacity=1", "one");
    settle(k, "orders", SETTLE_NACK, 1, 1, 2000);
    publish(k, "orders", 0, "two");
    assert_string_equal(heard(k), "settled orders 1 nacked; refuse orders 1 full 1/1");
    operate(d, CALL_PURGE, "orders");
    credit(k, "orders", 9);
    pass(d, 3000);
    assert_string_equal(heard(k), "idle orders g2");
    assert_string_equal(ledger(d, "orders"), "accepted 1 acked 0 purged 1 dropped 0 remaining 0");
}

/* Otherwise nacks with long delays, followed by purges, could pile up timers. */
static void a_delay_goes_with_its_event(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two three");
    settle(k, "orders", SETTLE_NACK, 1, 3, 12 * 3600 * 1000);
    assert_int_equal(d->core->delay_timers.count, 1); /* of the queue */
    operate(d, CALL_PURGE, "orders");
    assert_int_equal(d->core->delay_timers.count, 0);
}

static void a_release_does_not_count_as_an_attempt(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two");
    credit(k, "orders", 3);
    settle(k, "orders", SETTLE_RELEASE, 2, 1, 0);
    assert_string_equal(heard(k), "idle orders g2; settled orders 2 released; deliver orders d3 s2 a1 two");
}

static void an_extended_lease_lasts_longer_than_its_neighbours(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "lease=1s", "one two three");
    credit(k, "orders", 9);
    pass(d, 900);
    settle(k, "orders", SETTLE_EXTEND, 2, 1, 3000);
    heard(k);
    pass(d, 100);
    assert_string_equal(heard(k), "deliver orders d4 s1 a2 one; deliver orders d5 s3 a2 three");
    ack(k, "orders", 4, 2);
    heard(k);
    pass(d, 2899);
    assert_string_equal(heard(k), "");
    pass(d, 1);
    assert_string_equal(heard(k), "deliver orders d6 s2 a2 two");
}

static void an_extended_event_is_settled_by_its_number(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "lease=1s", "one two three");
    settle(k, "orders", SETTLE_EXTEND, 2, 1, 9000);
    settle(k, "orders", SETTLE_EXTEND, 2, 1, 9000);
    settle(k, "orders", SETTLE_EXTEND, 1, 1, 5000);
    settle(k, "orders", SETTLE_EXTEND, 3, 1, 5000);
    ack(k, "orders", 1, 3);
    assert_string_equal(heard(k), "settled orders 2 extended; settled orders 2 extended; settled orders 1 extended; "
                                  "settled orders 3 extended; settled orders 1..3 acked");
    pass(d, 9000);
    assert_string_equal(heard(k), "");
}

static void extended_events_come_back_when_their_consumer_leaves(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two three");
    settle(k, "orders", SETTLE_EXTEND, 1, 2, 9000);
    ack(k, "orders", 3, 1);
    leave(k, "orders");
    heard(k);
    assert_int_equal(describe(d, "orders").ready, 2);
    consume(k, "orders");
    credit(k, "orders", 9);
    assert_string_equal(heard(k), "turn orders active e2; deliver orders d1 s1 a2 one; deliver orders d2 s2 a2 two; "
                                  "idle orders g1");
}

/* ------------------------------------------------------------------ by receipt */

static void any_session_settles_by_receipt(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two three"), *other = attached(d, "other");
    credit(k, "orders", 9);
    heard(k);
    settle_by(other, 1, SETTLE_ACK, receipt_of(k, "orders", 1), 0);
    settle_by(other, 2, SETTLE_NACK, receipt_of(k, "orders", 2), 0);
    settle_by(other, 3, SETTLE_EXTEND, receipt_of(k, "orders", 3), 60000);
    assert_string_equal(heard(other), "receipt 1 acked; receipt 2 nacked; receipt 3 extended");
    assert_string_equal(heard(k), "deliver orders d4 s2 a2 two");
    settle_by(other, 4, SETTLE_RELEASE, receipt_of(k, "orders", 3), 0);
    assert_string_equal(heard(other), "receipt 4 released");
    assert_string_equal(heard(k), "deliver orders d5 s3 a1 three");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 1 purged 0 dropped 0 remaining 2");
}

static void a_repeated_ack_by_receipt_is_answered_acked(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two");
    settle_by(k, 1, SETTLE_ACK, receipt_of(k, "orders", 1), 0);
    settle_by(k, 2, SETTLE_ACK, receipt_of(k, "orders", 1), 0);
    settle_by(k, 3, SETTLE_NACK, receipt_of(k, "orders", 1), 0);
    assert_string_equal(heard(k), "receipt 1 acked; receipt 2 acked; receipt 3 expired");
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 1 purged 0 dropped 0 remaining 1");
}

static void a_receipt_is_valid_only_while_its_delivery_is_current(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "lease=1s", "one");
    char old[RECEIPT_MAX_SIZE];
    snprintf(old, sizeof old, "%s", receipt_of(k, "orders", 1));
    pass(d, 1000);
    settle_by(k, 1, SETTLE_ACK, old, 0); /* ready again */
    credit(k, "orders", 2);
    settle_by(k, 2, SETTLE_ACK, old, 0); /* in flight again */
    settle_by(k, 3, SETTLE_ACK, receipt_of(k, "orders", 2), 0);
    settle_by(k, 4, SETTLE_ACK, old, 0);
    assert_string_equal(heard(k), "receipt 1 expired; deliver orders d2 s1 a2 one; receipt 2 expired; "
                                  "receipt 3 acked; receipt 4 expired");
}

static void the_end_of_a_session_voids_its_receipts(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one"), *next = attached(d, "next");
    bye(k);
    consume(next, "orders");
    credit(next, "orders", 1);
    settle_by(next, 1, SETTLE_ACK, receipt_of(k, "orders", 1), 0); /* the same numbers in another epoch */
    assert_string_equal(heard(next), "turn orders active e2; deliver orders d1 s1 a2 one; receipt 1 expired");
    assert_int_equal(describe(d, "orders").in_flight, 1);
}

static void resuming_keeps_receipts(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one");
    attach(k);
    settle_by(k, 1, SETTLE_ACK, receipt_of(k, "orders", 1), 0);
    assert_string_equal(heard(k), "receipt 1 acked");
}

static void forged_receipts_are_unknown(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two");
    const char *real = receipt_of(k, "orders", 1);
    char text[RECEIPT_MAX_SIZE];
    unsigned request = 0;
    assert_in_range(strlen(real), 1, 200);
    assert_int_equal(strspn(real, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."), strlen(real));
    for (size_t i = 0; i + 2 < strlen(real); i++) { /* one character changed, each in turn */
        snprintf(text, sizeof text, "%s", real);
        text[i] = text[i] == 'x' ? 'y' : 'x';
        settle_by(k, ++request, SETTLE_ACK, text, 0);
        const char *answer = heard(k);
        assert_non_null(strstr(answer, "unknown"));
    }
    snprintf(text, sizeof text, "%.*s.2", (int)(strlen(real) - 2), real);
    static const char *const junk[] = { "", ".", "x", ".0", "x.0", "AAAA.0", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.0" };
    for (unsigned i = 0; i <= sizeof junk / sizeof *junk; i++) {
        settle_by(k, 7, SETTLE_ACK, i ? junk[i - 1] : text, 0);
        assert_string_equal(heard(k), "receipt 7 unknown");
    }
    assert_int_equal(describe(d, "orders").in_flight, 2);
    assert_true(is_attached(k));
}

static void receipts_of_a_deleted_queue_or_another_incarnation_are_expired(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one");
    char receipt[RECEIPT_MAX_SIZE];
    snprintf(receipt, sizeof receipt, "%s", receipt_of(k, "orders", 1));
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    ask(d, &r);
    declare(d, "orders", "");
    heard(k);
    settle_by(k, 1, SETTLE_ACK, receipt, 0);
    assert_string_equal(heard(k), "receipt 1 expired");
    d->config.incarnation++; /* under the same key */
    driver_restart(d);
    k = consuming(d, "", "one");
    settle_by(k, 2, SETTLE_ACK, receipt, 0);
    assert_string_equal(heard(k), "receipt 2 expired");
}

/* ------------------------------------------------------------------ long queues */

/* One event stays in flight while thousands behind it come and go. */
static void a_straggler_outlives_thousands(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "capacity=10 lease=12h", "old");
    credit(k, "orders", 1u << 20);
    for (uint64_t i = 2; i < 12000; i++) {
        publish(k, "orders", 0, "x");
        ack(k, "orders", i, 1);
        heartbeat(k);
        if (i % 1000 == 0)
            heard(k);
    }
    heard(k);
    settle(k, "orders", SETTLE_NACK, 1, 1, 0);
    assert_string_equal(heard(k), "settled orders 1 nacked; deliver orders d12000 s1 a2 old");
    ack(k, "orders", 12000, 1);
    assert_string_equal(ledger(d, "orders"), "accepted 11999 acked 11999 purged 0 dropped 0 remaining 0");
}

static void a_consumer_that_leaves_gives_back_what_was_extended_too(void **state)
{
    struct driver *d = *state;
    struct peer *k = consuming(d, "", "one two three four five"), *next = attached(d, "next");
    settle(k, "orders", SETTLE_EXTEND, 2, 1, 60000);
    settle(k, "orders", SETTLE_EXTEND, 4, 1, 60000);
    ack(k, "orders", 1, 1);
    ack(k, "orders", 5, 1);
    leave(k, "orders");
    assert_int_equal(describe(d, "orders").ready, 3);
    assert_int_equal(d->core->lease_timers.count, 0);
    consume(next, "orders");
    credit(next, "orders", 9);
    assert_string_equal(heard(next),
                        "turn orders active e2; deliver orders d1 s2 a2 two; deliver orders d2 s3 a2 three; "
                        "deliver orders d3 s4 a2 four; idle orders g1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(acks_settle_runs),
        driven(a_consumer_that_leaves_gives_back_what_was_extended_too),
        driven(a_repeated_ack_by_number_is_answered_acked),
        driven(an_ack_is_remembered_however_it_came),
        driven(thousands_of_acks_are_remembered_as_runs),
        driven(of_scattered_acks_the_oldest_are_forgotten),
        driven(settling_what_was_never_delivered_is_a_violation),
        driven(a_nack_delivers_again_at_once),
        driven(a_nack_with_a_delay_delivers_again_after_it),
        driven(a_delayed_event_takes_room_and_can_be_purged),
        driven(a_delay_goes_with_its_event),
        driven(a_release_does_not_count_as_an_attempt),
        driven(an_extended_lease_lasts_longer_than_its_neighbours),
        driven(an_extended_event_is_settled_by_its_number),
        driven(extended_events_come_back_when_their_consumer_leaves),
        driven(any_session_settles_by_receipt),
        driven(a_repeated_ack_by_receipt_is_answered_acked),
        driven(a_receipt_is_valid_only_while_its_delivery_is_current),
        driven(the_end_of_a_session_voids_its_receipts),
        driven(resuming_keeps_receipts),
        driven(forged_receipts_are_unknown),
        driven(receipts_of_a_deleted_queue_or_another_incarnation_are_expired),
        driven(a_straggler_outlives_thousands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
