/* What wakes the library's thread: every command queued while it sleeps, except those that may linger. */
#include "clients/c/sluice_priv.h"
#include "tests/clients/c/seen.h"
#include "tests/clients/c/test_broker.h"

#include <sched.h>

static const struct sluice_event event = { .data = "x", .size = 1 };

static void wait_for_sleep(struct sluice *s, bool lingers)
{
    bool there = false;
    while (!there) {
        pthread_mutex_lock(&s->lock);
        there = s->asleep && s->lingers == lingers && s->queue.count == 0;
        pthread_mutex_unlock(&s->lock);
        sched_yield();
    }
}

/* Is a command queued while the thread still sleeps? */
static bool is_left_lying(struct sluice *s)
{
    pthread_mutex_lock(&s->lock);
    bool left = s->asleep && s->queue.count;
    pthread_mutex_unlock(&s->lock);
    return left;
}

static void queued_work_wakes_the_thread(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen seen = seen_fresh();
    struct sluice_bytes bytes = { "x", 1 };
    wait_for_sleep(s, false);
    struct sluice_sub *sub = sluice_subscribe(s, "other", 0, seen_event, &seen);
    assert_false(is_left_lying(s));
    for (int i = 0; i < 6; i++) {
        wait_for_sleep(s, false);
        switch (i) {
        case 0: sluice_publish(s, "orders", &event, 0, NULL, NULL); break;
        case 1: sluice_publish_on(s, "orders", &event, NULL, NULL, NULL); break;
        case 2: sluice_publish_encoded(s, "orders", &bytes, 1, 0, NULL, NULL); break;
        case 3: sluice_ack(sub, 1); break;
        case 4: sluice_defer(sub, 1, 0); break;
        default: sluice_drop_because(sub, 1, 0, NULL);
        }
        assert_false(is_left_lying(s));
    }
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

/* A frame or a timer may wake it in between, and both commands are taken: then try again. */
static bool publish_and_ack_lie(struct sluice *s, struct sluice_sub *sub)
{
    for (int tries = 0; tries < 100; tries++) {
        wait_for_sleep(s, true);
        sluice_publish(s, "orders", &event, 20000, NULL, NULL);
        sluice_ack(sub, 1);
        if (is_left_lying(s))
            return true;
    }
    return false;
}

static void during_a_linger_publishes_and_acks_do_not_wake_the_thread(void **state)
{
    struct sluice_options options = { .linger_ms = 3600000 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct seen seen = seen_fresh();
    struct sluice_sub *sub = sluice_subscribe(s, "other", 0, seen_event, &seen);
    for (int i = 0; i < 4; i++) {
        wait_for_sleep(s, false);
        sluice_publish(s, "orders", &event, 20000, NULL, NULL);
        assert_true(publish_and_ack_lie(s, sub));
        switch (i) {
        case 0: sluice_nack(sub, 1, 0); break;
        case 1: sluice_drop(sub, 1); break;
        case 2: sluice_extend(sub, 1, 1000); break;
        default: sluice_unsubscribe(sub);
        }
        assert_false(is_left_lying(s));
        if (i < 3) /* ends the linger, which the others, of no event that is here, did not */
            sluice_unsubscribe(sluice_subscribe(s, "third", 0, seen_event, &seen));
    }
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queued_work_wakes_the_thread, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(during_a_linger_publishes_and_acks_do_not_wake_the_thread, seen_start,
                                        seen_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
