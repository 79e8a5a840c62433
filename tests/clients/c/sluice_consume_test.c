/* What sluice.h promises to consumers, sentence by sentence. */
#include "base/clock.h"
#include "tests/clients/c/seen.h"
#include "tests/clients/c/test_broker.h"

#include <sched.h>

static const struct sluice_event event = { .data = "x", .size = 1 };

/* Round trips after which everything on its way has arrived. */
static void pass_time(struct sluice *s)
{
    for (int i = 0; i < 20; i++)
        assert_int_equal(sluice_publish_wait(s, "other", &event, 20000, NULL), SLUICE_OK);
}

static void other_subscribers_stand_by_and_take_over(void **state)
{
    struct sluice *one = seen_connect(state), *two = seen_connect(state);
    struct seen first = seen_fresh(), second = seen_fresh();
    first.settle_now = false;
    struct sluice_sub *active = sluice_subscribe(one, "orders", 0, seen_event, &first);
    assert_int_equal(sluice_publish_wait(one, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&first, 1));
    struct sluice_sub *standby = sluice_subscribe(two, "orders", 0, seen_event, &second);
    assert_int_equal(sluice_publish_wait(two, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&first, 2));
    pass_time(two);
    assert_int_equal(seen_count(&second), 0);
    sluice_unsubscribe(active); /* both go back to the queue, unsettled */
    assert_true(seen_wait(&second, 2));
    assert_int_equal(second.attempt, 2);
    assert_true(second.epoch > first.epoch);
    sluice_unsubscribe(standby);
    assert_int_equal(sluice_close(one, 20000), SLUICE_OK);
    assert_int_equal(sluice_close(two, 20000), SLUICE_OK);
}

static void lingering_acks_leave_before_their_subscription_ends(void **state)
{
    struct sluice_options options = { .linger_ms = 3600000 };
    struct sluice *s = seen_connect(state), *lingering = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct seen events = seen_fresh(), later = seen_fresh();
    struct sluice_sub *sub = sluice_subscribe(lingering, "orders", 0, seen_event, &events);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 3));
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    sub = sluice_subscribe(s, "orders", 0, seen_event, &later);
    assert_true(seen_wait(&later, 1));
    assert_int_equal(later.last_sequence, 4); /* none was redelivered */
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(lingering, 0), SLUICE_OK);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void no_callback_runs_after_unsubscribe(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 4, seen_event, &events);
    for (int i = 0; i < 200; i++)
        assert_int_equal(sluice_publish(s, "orders", &event, 1000, NULL, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 1));
    sluice_unsubscribe(sub);
    unsigned count = seen_count(&events);
    pass_time(s);
    assert_int_equal(seen_count(&events), count);
    sluice_unsubscribe(NULL);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void an_ack_after_the_lease_does_nothing(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    events.settle_now = false;
    struct sluice_sub *sub = sluice_subscribe(s, "brief", 1, seen_event, &events);
    assert_int_equal(sluice_publish_wait(s, "brief", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 1));
    uint64_t late = events.token;
    assert_true(seen_wait(&events, 2)); /* the lease has ended: it is redelivered */
    assert_int_equal(events.attempt, 2);
    sluice_ack(sub, late);
    assert_true(seen_wait(&events, 3)); /* and again, because that ack was for an earlier delivery */
    sluice_ack(sub, events.token);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void a_nack_delays_as_asked(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    events.settle_now = false;
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 1, seen_event, &events);
    assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 1));
    mono_t before = clock_now().mono;
    sluice_nack(sub, events.token, 150);
    assert_true(seen_wait(&events, 2));
    assert_true(mono_since_ms(clock_now().mono, before) >= 149);
    sluice_ack(sub, events.token);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void a_deferred_event_comes_again_and_a_dropped_one_does_not(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    events.settle_now = false;
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 1, seen_event, &events);
    assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 1));
    mono_t before = clock_now().mono;
    sluice_defer(sub, events.token, 150);
    assert_true(seen_wait(&events, 2));
    assert_int_equal(events.attempt, 2);
    assert_true(mono_since_ms(clock_now().mono, before) >= 149);
    sluice_drop(sub, events.token);
    assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 3)); /* with credit for one, this shows that the other is settled */
    assert_int_equal(events.attempt, 1);
    sluice_ack(sub, events.token);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static bool ack_inside(void *context, const struct sluice_delivery *d)
{
    struct seen *w = context;
    sluice_ack(w->sub, d->token);
    return seen_event(context, d);
}

static void an_event_may_be_acked_from_its_callback(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    events.settle_now = false;
    events.sub = sluice_subscribe(s, "orders", 1, ack_inside, &events);
    for (int i = 0; i < 5; i++) /* with credit for one, the next arrives only after the last was acked */
        assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 5));
    assert_true(events.in_order);
    sluice_unsubscribe(events.sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void unsettled_events_stay_within_256_by_default(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    events.settle_now = false;
    for (int i = 0; i < 300; i++)
        assert_int_equal(sluice_publish(s, "orders", &event, 1000, NULL, NULL), SLUICE_OK);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, seen_event, &events);
    assert_true(seen_wait(&events, 256));
    pass_time(s);
    assert_int_equal(seen_count(&events), 256);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

/* Another consumer may understand it: it is neither lost nor blocks others. */
static void an_event_that_is_not_a_cloudevent_goes_back_as_failed(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen confirms = seen_fresh(), events = seen_fresh();
    struct sluice_bytes junk = { "no event", 8 };
    void *contexts[] = { &confirms };
    assert_int_equal(sluice_publish_encoded(s, "orders", &junk, 1, 20000, seen_confirm, contexts), SLUICE_OK);
    assert_true(seen_wait(&confirms, 1));
    assert_int_equal(confirms.last_error, SLUICE_OK);
    assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 1, seen_event, &events);
    assert_true(seen_wait(&events, 1));
    assert_int_equal(events.last_sequence, 2);
    struct sluice_stats stats = { 0 };
    for (mono_t begun = clock_now().mono; stats.delivered < 3;
         sluice_stats(s, &stats)) { /* long before its lease ends */
        assert_true(mono_since_ms(clock_now().mono, begun) < 20000);
        sched_yield();
    }
    assert_int_equal(seen_count(&events), 1);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void wrong_arguments_subscribe_to_nothing(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, seen_event, &events);
    assert_non_null(sub);
    assert_null(sluice_subscribe(s, "orders", 0, seen_event, &events)); /* once on a connection */
    assert_null(sluice_subscribe(s, "no spaces", 0, seen_event, &events));
    assert_null(sluice_subscribe(s, NULL, 0, seen_event, &events));
    assert_null(sluice_subscribe(s, "other", 0, NULL, &events));
    assert_null(sluice_subscribe(NULL, "other", 0, seen_event, &events));
    sluice_unsubscribe(sub);
    sub = sluice_subscribe(s, "orders", 0, seen_event, &events);
    assert_non_null(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK); /* ends it, too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_subscribers_stand_by_and_take_over, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(lingering_acks_leave_before_their_subscription_ends, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(no_callback_runs_after_unsubscribe, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(an_ack_after_the_lease_does_nothing, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_nack_delays_as_asked, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_deferred_event_comes_again_and_a_dropped_one_does_not, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(an_event_may_be_acked_from_its_callback, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(unsettled_events_stay_within_256_by_default, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(an_event_that_is_not_a_cloudevent_goes_back_as_failed, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(wrong_arguments_subscribe_to_nothing, seen_start, seen_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
