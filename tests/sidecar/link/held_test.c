#include "tests/sidecar/link/link_driver.h"

#include "base/clock.h"

static void declare(struct driver *l, const char *queue, uint64_t lease_ms)
{
    struct request r = { .call = CALL_DECLARE, .queue = queue };
    struct asked a = { 0 };
    queue_settings_put(&r.u.declare.settings, QUEUE_SETTING_lease, lease_ms);
    uplink_call(l->uplink, &r, &a, 5000, clock_now());
    driver_answer(l, &a);
    assert_int_equal(a.reason, REASON_ok);
}

static void take(struct driver *l, const char *queue, size_t count, struct asked *taken)
{
    struct asked a;
    driver_publish(l, queue, count, 10, 5000, &a);
    driver_answer(l, &a);
    driver_taken(l, queue, (uint32_t)count, taken);
}

static void taken_events_are_held_until_they_are_settled(void **state)
{
    struct asked taken, a;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 50, 0);
    take(&l, "bounded", 2, &taken);
    assert_int_equal(driver_stats(&l).held_events, 2);
    driver_settle(&l, SETTLE_ACK, taken.receipts[0], 0, &a);
    assert_int_equal(driver_stats(&l).held_events, 1);
    driver_settle(&l, SETTLE_EXTEND, taken.receipts[1], 60000, &a);
    assert_int_equal(driver_stats(&l).held_events, 1);
    assert_int_equal(driver_stats(&l).queues, 1); /* its turn is kept, too */
    driver_settle(&l, SETTLE_NACK, taken.receipts[1], 0, &a);
    assert_int_equal(driver_stats(&l).held_events, 0);
    driver_close(&l);
}

static bool holds_nothing(struct driver *l)
{
    return driver_stats(l).held_events == 0;
}

static bool has_left(struct driver *l)
{
    return driver_stats(l).queues == 0;
}

static void what_its_lease_has_ended_for_is_held_no_more(void **state)
{
    struct asked taken;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 50, 0);
    declare(&l, "short", 100);
    take(&l, "short", 1, &taken);
    assert_int_equal(driver_stats(&l).held_events, 1);
    driver_until(&l, holds_nothing);
    driver_until(&l, has_left);
    driver_close(&l);
}

static void extending_holds_it_longer(void **state)
{
    struct asked taken, other, a;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    declare(&l, "short", 300);
    take(&l, "short", 2, &taken);
    driver_settle(&l, SETTLE_EXTEND, taken.receipts[0], 600000, &a);
    assert_int_equal(a.results[0], SETTLED_EXTENDED);
    driver_taken(&l, "short", 1, &other); /* the one whose lease ended */
    assert_true(other.sequences[0] == 2 && other.attempts[0] == 2);
    driver_settle(&l, SETTLE_ACK, taken.receipts[0], 0, &a);
    assert_int_equal(a.results[0], SETTLED_ACKED);
    driver_close(&l);
}

static void nothing_is_held_of_a_queue_that_is_gone(void **state)
{
    struct request r = { .call = CALL_DELETE, .queue = "temporary", .u.delete_.force = true };
    struct asked taken, gone = { 0 };
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    take(&l, "temporary", 2, &taken);
    assert_int_equal(driver_stats(&l).held_events, 2);
    uplink_call(l.uplink, &r, &gone, 5000, clock_now());
    driver_until(&l, holds_nothing);
    driver_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_events_are_held_until_they_are_settled),
        cmocka_unit_test(what_its_lease_has_ended_for_is_held_no_more),
        cmocka_unit_test(extending_holds_it_longer),
        cmocka_unit_test(nothing_is_held_of_a_queue_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
