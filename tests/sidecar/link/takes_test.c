#include "tests/sidecar/link/link_driver.h"

#include "base/clock.h"

static void fill(struct driver *l, size_t count, size_t bytes)
{
    struct asked a;
    driver_publish(l, "bounded", count, bytes, 5000, &a);
    driver_answer(l, &a);
    assert_int_equal(a.outcomes[count - 1].reason, REASON_ok);
}

static void an_empty_queue_is_answered_at_once_where_nobody_waits(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_take(&l, "bounded", 5, 0, &a);
    driver_answer(&l, &a);
    assert_true(a.reason == REASON_ok && a.count == 0 && !a.standby && a.consumer_epoch > 0);
    driver_close(&l);
}

static void a_take_gets_what_is_there_and_waits_for_no_more(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 10, 0, 0);
    fill(&l, 3, 10);
    driver_taken(&l, "bounded", 8, &a);
    assert_int_equal(a.count, 3);
    assert_true(a.sequences[0] == 1 && a.sequences[2] == 3 && a.attempts[0] == 1);
    driver_close(&l);
}

/* The broker has answered Idle: the take does not wait for more than the next event. */
static void a_take_that_waits_gets_what_comes_at_once(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_take(&l, "bounded", 8, 600000, &a);
    for (unsigned i = 0; i < 5; i++)
        driver_turn(&l);
    fill(&l, 1, 10);
    driver_answer(&l, &a);
    assert_int_equal(a.count, 1);
    driver_close(&l);
}

static void a_take_ends_at_its_deadline(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_take(&l, "bounded", 1, 50, &a);
    assert_true(uplink_due(l.uplink).ns <= mono_add_ms(clock_now().mono, 50).ns);
    assert_int_equal(driver_stats(&l).waiting_takes, 1);
    driver_answer(&l, &a);
    assert_true(a.reason == REASON_ok && a.count == 0);
    driver_close(&l);
}

static void takes_are_served_in_the_order_of_their_arrival(void **state)
{
    struct asked takes[3];
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    for (unsigned i = 0; i < 3; i++)
        driver_take(&l, "bounded", 2, 20000, &takes[i]);
    driver_turn(&l);
    fill(&l, 5, 10);
    for (unsigned i = 0; i < 3; i++)
        driver_answer(&l, &takes[i]);
    assert_true(takes[0].count == 2 && takes[1].count == 2 && takes[2].count == 1);
    assert_true(takes[0].sequences[0] == 1 && takes[1].sequences[0] == 3 && takes[2].sequences[0] == 5);
    driver_close(&l);
}

static void a_take_is_full_at_its_bytes_and_the_rest_goes_to_the_next(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 10, 0, 1000);
    fill(&l, 4, 600);
    driver_taken(&l, "bounded", 8, &a);
    assert_int_equal(a.count, 2);
    driver_taken(&l, "bounded", 8, &a);
    assert_true(a.count == 2 && a.sequences[0] == 3 && a.attempts[0] == 1);
    driver_close(&l);
}

static void a_take_whose_client_is_gone_is_skipped(void **state)
{
    struct asked gone, a;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_take(&l, "bounded", 1, 20000, &gone);
    gone.gone = true;
    driver_take(&l, "bounded", 1, 20000, &a);
    driver_turn(&l);
    fill(&l, 1, 10);
    driver_answer(&l, &a);
    assert_true(a.count == 1 && a.attempts[0] == 1);
    assert_true(gone.answered && gone.count == 0);
    driver_close(&l);
}

static void a_forgotten_take_is_never_called_and_takes_nothing(void **state)
{
    struct asked forgotten, a;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_take(&l, "bounded", 1, 20000, &forgotten);
    driver_turn(&l);
    uplink_forget(l.uplink, &forgotten);
    fill(&l, 1, 10);
    driver_taken(&l, "bounded", 1, &a);
    assert_int_equal(a.sequences[0], 1);
    assert_false(forgotten.answered);
    driver_close(&l);
}

static void a_second_sidecar_stands_by_and_takes_over_after_a_drain(void **state)
{
    struct driver first, second;
    struct asked held, standby, waiting, settled;
    (void)state;
    driver_open(&first, 10, 0, 0);
    fill(&first, 2, 10);
    driver_taken(&first, "bounded", 1, &held);
    driver_open_beside(&second, &first);
    driver_take(&second, "bounded", 1, 0, &standby);
    driver_answer(&second, &standby);
    assert_true(standby.standby && standby.count == 0 && standby.consumer_epoch == 0);
    driver_take(&second, "bounded", 1, 20000, &waiting);
    driver_turn(&second);
    uplink_drain(first.uplink, clock_now());
    assert_false(uplink_is_drained(first.uplink));
    driver_settle(&first, SETTLE_ACK, held.receipts[0], 0, &settled);
    assert_int_equal(settled.results[0], SETTLED_ACKED);
    driver_answer(&second, &waiting);
    assert_true(waiting.count == 1 && waiting.sequences[0] == 2 && waiting.consumer_epoch > held.consumer_epoch);
    assert_true(uplink_is_drained(first.uplink));
    driver_close(&second);
    driver_close(&first);
}

static void draining_refuses_takes_that_wait_and_that_come(void **state)
{
    struct asked waiting, late;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_take(&l, "bounded", 1, 20000, &waiting);
    driver_turn(&l);
    uplink_drain(l.uplink, clock_now());
    assert_true(waiting.answered && waiting.reason == REASON_draining);
    driver_take(&l, "bounded", 1, 20000, &late);
    assert_true(late.answered && late.reason == REASON_draining);
    driver_close(&l);
}

static void a_queue_that_is_deleted_ends_its_takes(void **state)
{
    struct request r = { .call = CALL_DELETE, .queue = "temporary" };
    struct asked take, gone = { 0 };
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_take(&l, "temporary", 1, 0, &take);
    driver_answer(&l, &take);
    driver_take(&l, "temporary", 1, 20000, &take);
    driver_turn(&l);
    uplink_call(l.uplink, &r, &gone, 5000, clock_now());
    driver_answer(&l, &take);
    assert_int_equal(take.reason, REASON_deleted);
    driver_close(&l);
}

static bool has_left(struct driver *l)
{
    return driver_stats(l).queues == 0;
}

static void an_unused_queue_is_left_after_its_time(void **state)
{
    struct driver l;
    struct asked a;
    (void)state;
    driver_open(&l, 10, 50, 0);
    driver_take(&l, "bounded", 1, 0, &a);
    driver_answer(&l, &a);
    assert_int_equal(driver_stats(&l).queues, 1);
    driver_until(&l, has_left);
    driver_close(&l);
}

static uint32_t lease_of_other;
static size_t taken_by_other;

static void on_taken_by_other(void *request, const struct uplink_taken *t)
{
    (void)request;
    taken_by_other += t->count;
    lease_of_other = t->count ? t->events[0].lease_ms : 0;
}

static bool on_alive_of_other(void *request)
{
    (void)request;
    return true;
}

static bool other_has_taken(struct driver *l)
{
    (void)l;
    return taken_by_other == 1;
}

static void takes_of_another_handler_share_the_fifo(void **state)
{
    static const struct uplink_handler other = { .taken = on_taken_by_other, .alive = on_alive_of_other };
    struct asked first;
    struct driver l;
    (void)state;
    driver_open(&l, 10, 0, 0);
    driver_take(&l, "bounded", 1, 20000, &first);
    uplink_take_by(l.uplink, &other, "bounded", 1, INT64_MAX / 2, &l, clock_now());
    fill(&l, 1, 10);
    driver_answer(&l, &first);
    assert_true(first.count == 1 && taken_by_other == 0);
    struct asked a;
    driver_publish(&l, "bounded", 1, 11, 5000, &a);
    driver_until(&l, other_has_taken);
    assert_int_equal(lease_of_other, 30000);
    driver_answer(&l, &a);
    driver_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_queue_is_answered_at_once_where_nobody_waits),
        cmocka_unit_test(a_take_gets_what_is_there_and_waits_for_no_more),
        cmocka_unit_test(a_take_that_waits_gets_what_comes_at_once),
        cmocka_unit_test(a_take_ends_at_its_deadline),
        cmocka_unit_test(takes_are_served_in_the_order_of_their_arrival),
        cmocka_unit_test(a_take_is_full_at_its_bytes_and_the_rest_goes_to_the_next),
        cmocka_unit_test(a_take_whose_client_is_gone_is_skipped),
        cmocka_unit_test(a_forgotten_take_is_never_called_and_takes_nothing),
        cmocka_unit_test(a_second_sidecar_stands_by_and_takes_over_after_a_drain),
        cmocka_unit_test(draining_refuses_takes_that_wait_and_that_come),
        cmocka_unit_test(a_queue_that_is_deleted_ends_its_takes),
        cmocka_unit_test(an_unused_queue_is_left_after_its_time),
        cmocka_unit_test(takes_of_another_handler_share_the_fifo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
