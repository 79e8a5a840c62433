#include "tests/sidecar/link/link_driver.h"

#include "base/clock.h"

/* Publishes and takes `count` events. */
static void take(struct driver *l, size_t count, struct asked *taken)
{
    struct asked a;
    driver_publish(l, "bounded", count, 10, 5000, &a);
    driver_answer(l, &a);
    driver_taken(l, "bounded", (uint32_t)count, taken);
    assert_int_equal(taken->count, count);
}

static enum settle_result settle(struct driver *l, enum settle_kind kind, const char *receipt, uint64_t ms)
{
    struct asked a;
    driver_settle(l, kind, receipt, ms, &a);
    return a.results[0];
}

static void an_ack_settles_once_and_a_repeated_one_too(void **state)
{
    struct asked taken;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    take(&l, 1, &taken);
    assert_int_equal(settle(&l, SETTLE_ACK, taken.receipts[0], 0), SETTLED_ACKED);
    assert_int_equal(settle(&l, SETTLE_ACK, taken.receipts[0], 0), SETTLED_ACKED);
    driver_close(&l);
}

static void a_nack_brings_the_event_again_and_ends_its_receipt(void **state)
{
    struct asked taken, again;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    take(&l, 1, &taken);
    assert_int_equal(settle(&l, SETTLE_NACK, taken.receipts[0], 1), SETTLED_NACKED);
    driver_taken(&l, "bounded", 1, &again);
    assert_true(again.sequences[0] == taken.sequences[0] && again.attempts[0] == 2);
    assert_int_equal(settle(&l, SETTLE_ACK, taken.receipts[0], 0), SETTLED_EXPIRED);
    driver_close(&l);
}

static void results_are_in_the_order_of_the_receipts(void **state)
{
    struct asked taken, a = { .count = 4 };
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    take(&l, 3, &taken);
    const struct receipt_ack all[] = { { .kind = SETTLE_EXTEND, .receipt = span_str(taken.receipts[2]), .ms = 60000 },
                                       { .kind = SETTLE_ACK, .receipt = span_str("nonsense.0") },
                                       { .kind = SETTLE_NACK, .receipt = span_str(taken.receipts[0]) },
                                       { .kind = SETTLE_ACK, .receipt = span_str(taken.receipts[1]) } };
    uplink_settle(l.uplink, all, 4, &a, clock_now());
    driver_answer(&l, &a);
    assert_int_equal(a.results[0], SETTLED_EXTENDED);
    assert_int_equal(a.results[1], SETTLED_UNKNOWN);
    assert_int_equal(a.results[2], SETTLED_NACKED);
    assert_int_equal(a.results[3], SETTLED_ACKED);
    driver_close(&l);
}

static void nothing_to_settle_is_answered_at_once(void **state)
{
    struct asked a = { 0 };
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    uplink_settle(l.uplink, NULL, 0, &a, clock_now());
    assert_true(a.answered);
    driver_close(&l);
}

static bool holds_nothing(struct driver *l)
{
    return driver_stats(l).held_events == 0;
}

static void who_is_forgotten_is_not_told_but_the_ack_counts(void **state)
{
    struct asked taken, forgotten = { .count = 1 };
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    take(&l, 1, &taken);
    const struct receipt_ack ack = { .kind = SETTLE_ACK, .receipt = span_str(taken.receipts[0]) };
    uplink_settle(l.uplink, &ack, 1, &forgotten, clock_now());
    uplink_forget(l.uplink, &forgotten);
    driver_until(&l, holds_nothing);
    assert_false(forgotten.answered);
    assert_int_equal(settle(&l, SETTLE_ACK, taken.receipts[0], 0), SETTLED_ACKED);
    driver_close(&l);
}

static void what_is_abandoned_is_told_unknown_and_goes_on(void **state)
{
    struct asked taken, abandoned = { .count = 1 };
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    take(&l, 1, &taken);
    const struct receipt_ack ack = { .kind = SETTLE_ACK, .receipt = span_str(taken.receipts[0]) };
    uplink_settle(l.uplink, &ack, 1, &abandoned, clock_now());
    assert_true(uplink_abandon(l.uplink, &abandoned));
    assert_true(abandoned.answered);
    assert_int_equal(abandoned.results[0], SETTLED_UNKNOWN);
    assert_false(uplink_abandon(l.uplink, &abandoned));
    driver_until(&l, holds_nothing);
    assert_int_equal(settle(&l, SETTLE_ACK, taken.receipts[0], 0), SETTLED_ACKED);
    driver_close(&l);
}

static void what_is_released_comes_again_as_if_it_had_not_been_delivered(void **state)
{
    struct asked taken, again;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    take(&l, 2, &taken);
    uplink_release(l.uplink, span_str(taken.receipts[0]), clock_now());
    driver_taken(&l, "bounded", 1, &again);
    assert_int_equal(again.sequences[0], 1);
    assert_int_equal(settle(&l, SETTLE_ACK, taken.receipts[0], 0), SETTLED_EXPIRED);
    driver_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ack_settles_once_and_a_repeated_one_too),
        cmocka_unit_test(a_nack_brings_the_event_again_and_ends_its_receipt),
        cmocka_unit_test(results_are_in_the_order_of_the_receipts),
        cmocka_unit_test(nothing_to_settle_is_answered_at_once),
        cmocka_unit_test(who_is_forgotten_is_not_told_but_the_ack_counts),
        cmocka_unit_test(what_is_abandoned_is_told_unknown_and_goes_on),
        cmocka_unit_test(what_is_released_comes_again_as_if_it_had_not_been_delivered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
