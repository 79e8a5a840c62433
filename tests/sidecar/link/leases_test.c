#include "tests/sidecar/link/link_driver.h"

#include "base/clock.h"

#include <stdio.h>

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
    assert_int_equal(driver_stats(&l).queues, 1); /* the queue is not left, either */
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

static void an_event_whose_lease_ended_is_not_held_any_more(void **state)
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
    driver_taken(&l, "short", 1, &other); /* the event whose lease ended */
    assert_true(other.sequences[0] == 2 && other.attempts[0] == 2);
    driver_settle(&l, SETTLE_ACK, taken.receipts[0], 0, &a);
    assert_int_equal(a.results[0], SETTLED_ACKED);
    driver_close(&l);
}

/* The lease may still be running at the broker, so the queue must not be left. */
static void an_unknown_result_keeps_the_lease(void **state)
{
    struct asked taken, a = { .count = 1 };
    struct driver l;
    (void)state;
    driver_open(&l, 10, 50, 0);
    take(&l, "bounded", 1, &taken);
    const struct receipt_ack longer = { .kind = SETTLE_EXTEND, .receipt = span_str(taken.receipts[0]), .ms = 60000 };
    uplink_settle(l.uplink, &longer, 1, &a, clock_now());
    driver_silence(&l);
    assert_true(a.answered && a.results[0] == SETTLED_UNKNOWN);
    assert_int_equal(driver_stats(&l).held_events, 1);
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

/* A caller of uplink_take_by that is told when its leases end. */
struct owner {
    char receipts[4][201];
    size_t taken, gone;
    char last_gone[201];
};

static void on_owner_taken(void *request, const struct uplink_taken *t)
{
    struct owner *o = request;
    for (size_t i = 0; i < t->count; i++)
        snprintf(o->receipts[o->taken++], sizeof o->receipts[0], "%.*s", (int)t->events[i].receipt.size,
                 (const char *)t->events[i].receipt.data);
}

static bool on_owner_alive(void *request)
{
    (void)request;
    return true;
}

static void on_lease_ended(void *request, struct span receipt)
{
    struct owner *o = request;
    o->gone++;
    snprintf(o->last_gone, sizeof o->last_gone, "%.*s", (int)receipt.size, (const char *)receipt.data);
}

static const struct uplink_handler owning = { .taken = on_owner_taken,
                                              .alive = on_owner_alive,
                                              .lease_ended = on_lease_ended };
static struct owner owner;

static bool owns_three(struct driver *l)
{
    (void)l;
    return owner.taken == 3;
}

static bool two_leases_have_ended(struct driver *l)
{
    (void)l;
    return owner.gone == 2;
}

static void lease_ended_is_called_for_settled_and_expired_leases(void **state)
{
    struct asked a;
    struct driver l;
    (void)state;
    owner = (struct owner){ 0 };
    driver_open(&l, 10, 0, 0);
    declare(&l, "short", 1500);
    uplink_take_by(l.uplink, &owning, "short", 3, INT64_MAX / 2, &owner, clock_now());
    driver_publish(&l, "short", 3, 10, 5000, &a);
    driver_answer(&l, &a);
    driver_until(&l, owns_three);
    driver_settle(&l, SETTLE_ACK, owner.receipts[1], 0, &a);
    assert_int_equal(owner.gone, 1);
    assert_string_equal(owner.last_gone, owner.receipts[1]);
    uplink_disown(l.uplink, span_str(owner.receipts[0]));
    uplink_disown(l.uplink, span_str("no such receipt"));
    driver_until(&l, holds_nothing); /* their leases have ended */
    driver_until(&l, two_leases_have_ended);
    assert_string_equal(owner.last_gone, owner.receipts[2]);
    driver_close(&l);
}

/* The take is forgotten when only its first events have arrived. These are released without lease_ended. */
static void a_forgotten_take_gets_no_lease_ended(void **state)
{
    mono_t end = mono_add_ms(clock_now().mono, 20000);
    struct asked a;
    struct driver l;
    (void)state;
    owner = (struct owner){ 0 };
    driver_open(&l, 10, 0, 0);
    for (int i = 0; i < 2; i++) {
        driver_publish(&l, "bounded", 4, 200000, 5000, &a);
        driver_answer(&l, &a);
    }
    uplink_take_by(l.uplink, &owning, "bounded", 8, INT64_MAX / 2, &owner, clock_now());
    while (holds_nothing(&l) && mono_before(clock_now().mono, end))
        uplink_run(l.uplink, clock_now()); /* reads about 512 KiB at once */
    assert_int_equal(owner.taken, 0);
    uplink_forget(l.uplink, &owner);
    driver_until(&l, holds_nothing);
    assert_int_equal(owner.gone, 0);
    driver_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_events_are_held_until_they_are_settled),
        cmocka_unit_test(an_event_whose_lease_ended_is_not_held_any_more),
        cmocka_unit_test(extending_holds_it_longer),
        cmocka_unit_test(an_unknown_result_keeps_the_lease),
        cmocka_unit_test(nothing_is_held_of_a_queue_that_is_gone),
        cmocka_unit_test(lease_ended_is_called_for_settled_and_expired_leases),
        cmocka_unit_test(a_forgotten_take_gets_no_lease_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
