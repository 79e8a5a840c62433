#include "tests/sidecar/link/link_driver.h"

#include "base/clock.h"

static void a_publish_is_confirmed_with_its_sequence(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 10, 0, 0);
    for (uint64_t i = 1; i <= 2; i++) {
        driver_publish(&l, "bounded", 1, 10, 5000, &a);
        driver_answer(&l, &a);
        assert_int_equal(a.outcomes[0].reason, REASON_ok);
        assert_int_equal(a.outcomes[0].sequence, i);
    }
    driver_close(&l);
}

static void a_batch_has_an_outcome_for_each_event(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 3, 0, 0);
    driver_publish(&l, "bounded", 5, 10, 0, &a);
    driver_answer(&l, &a);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(a.outcomes[i].reason, i < 3 ? REASON_ok : REASON_full);
        assert_int_equal(a.outcomes[i].sequence, i < 3 ? i + 1 : 0);
    }
    assert_true(a.outcomes[3].depth == 3 && a.outcomes[3].capacity == 3);
    driver_close(&l);
}

static void what_is_abandoned_is_told_what_is_known_and_unknown_of_the_rest(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 1, 0, 0);
    driver_publish(&l, "bounded", 1, 10, 5000, &a);
    driver_answer(&l, &a);
    driver_publish(&l, "bounded", 1, 10, 60000, &a);
    driver_turn(&l);
    assert_false(a.answered);
    assert_true(uplink_abandon(l.uplink, &a));
    assert_true(a.answered);
    assert_int_equal(a.outcomes[0].reason, REASON_unknown);
    assert_false(uplink_abandon(l.uplink, &a));
    driver_close(&l);
}

static bool is_quiet(struct driver *l)
{
    return uplink_is_quiet(l->uplink);
}

static bool only_one_is_undecided(struct driver *l)
{
    return driver_stats(l).client.undecided_events == 1;
}

/* Otherwise those whose clients are gone would fill the window, and be let in before those whose clients wait. */
static void what_is_abandoned_no_longer_waits_for_room(void **state)
{
    struct driver l;
    struct asked a, settled, gone, waits;
    (void)state;
    driver_open(&l, 1, 0, 0);
    driver_publish(&l, "bounded", 1, 10, 5000, &a);
    driver_answer(&l, &a);
    driver_publish(&l, "bounded", 2, 10, 60000, &gone);
    driver_publish(&l, "bounded", 1, 10, 60000, &waits);
    driver_turn(&l);
    assert_int_equal(driver_stats(&l).client.undecided_events, 3);
    assert_true(uplink_abandon(l.uplink, &gone));
    driver_until(&l, only_one_is_undecided);
    assert_false(waits.answered);
    driver_taken(&l, "bounded", 1, &a);
    driver_settle(&l, SETTLE_ACK, a.receipts[0], 0, &settled);
    driver_answer(&l, &waits);
    assert_int_equal(waits.outcomes[0].reason, REASON_ok);
    assert_int_equal(waits.outcomes[0].sequence, 2);
    driver_close(&l);
}

static void a_forgotten_publish_takes_its_course_unheard(void **state)
{
    struct driver l;
    struct asked forgotten, a;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_publish(&l, "bounded", 1, 10, 5000, &forgotten);
    uplink_forget(l.uplink, &forgotten);
    assert_false(uplink_is_quiet(l.uplink));
    driver_until(&l, is_quiet);
    assert_false(forgotten.answered);
    driver_publish(&l, "bounded", 1, 10, 5000, &a);
    driver_answer(&l, &a);
    assert_int_equal(a.outcomes[0].sequence, 2);
    driver_close(&l);
}

static void more_than_the_buffer_holds_is_refused_as_a_whole(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_publish(&l, "bounded", 3, 500000, 0, &a);
    assert_int_equal(a.reason, REASON_busy);
    driver_turn(&l);
    assert_false(a.answered);
    driver_close(&l);
}

static void a_call_is_replied_unless_it_is_forgotten(void **state)
{
    struct request r = { .call = CALL_DESCRIBE, .queue = "nobody" };
    struct asked a = { 0 }, forgotten = { 0 };
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    uplink_call(l.uplink, &r, &forgotten, 5000, clock_now());
    uplink_forget(l.uplink, &forgotten);
    uplink_call(l.uplink, &r, &a, 5000, clock_now());
    driver_answer(&l, &a);
    assert_int_equal(a.reason, REASON_unknown_queue);
    assert_false(forgotten.answered);
    driver_close(&l);
}

static void what_is_asked_and_not_answered_is_freed_at_the_end(void **state)
{
    struct request r = { .call = CALL_LIST, .queue = "", .u.list = { "", "", 10 } };
    struct asked publish, take, settle = { .count = 1 }, call = { 0 };
    const struct receipt_ack s = { .kind = SETTLE_ACK, .receipt = span_str("x.0") };
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_publish(&l, "bounded", 1, 10, 5000, &publish);
    driver_take(&l, "other", 1, 5000, &take);
    uplink_settle(l.uplink, &s, 1, &settle, clock_now());
    uplink_call(l.uplink, &r, &call, 5000, clock_now());
    driver_close(&l);
    assert_false(publish.answered || take.answered || settle.answered || call.answered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_is_confirmed_with_its_sequence),
        cmocka_unit_test(a_batch_has_an_outcome_for_each_event),
        cmocka_unit_test(what_is_abandoned_is_told_what_is_known_and_unknown_of_the_rest),
        cmocka_unit_test(what_is_abandoned_no_longer_waits_for_room),
        cmocka_unit_test(a_forgotten_publish_takes_its_course_unheard),
        cmocka_unit_test(more_than_the_buffer_holds_is_refused_as_a_whole),
        cmocka_unit_test(a_call_is_replied_unless_it_is_forgotten),
        cmocka_unit_test(what_is_asked_and_not_answered_is_freed_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
