/* How a connection ends, and what must not end or start it: what sluice.h promises about sluice_close, and unusual
 * cases. */
#include "clients/c/sluice_priv.h"
#include "tests/clients/c/seen.h"
#include "tests/clients/c/test_broker.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

static const struct sluice_event event = { .data = "x", .size = 1 };

/* ------------------------------------------------------------------ what is under way */

static void closing_ends_a_linger(void **state)
{
    struct sluice_options options = { .linger_ms = 3600000 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct seen confirms = seen_fresh();
    for (int i = 0; i < 3; i++)
        assert_int_equal(sluice_publish(s, "orders", &event, 20000, seen_confirm, &confirms), SLUICE_OK);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    assert_int_equal(confirms.accepted, 3);
}

struct chain {
    struct seen seen;
    struct sluice *s;
    atomic_int said;
};

static void publish_the_next(void *context, int error, uint64_t sequence)
{
    struct chain *c = context;
    if (sequence < 5)
        assert_int_equal(sluice_publish(c->s, "orders", &event, 20000, publish_the_next, c), SLUICE_OK);
    seen_confirm(&c->seen, error, sequence);
}

static void while_closing_a_callbacks_events_do_not_linger(void **state)
{
    struct sluice_options options = { .linger_ms = 3600000 };
    struct chain c = { .seen = seen_fresh(), .s = sluice_connect(test_broker_endpoint(*state), &options, NULL) };
    assert_int_equal(sluice_publish(c.s, "orders", &event, 20000, publish_the_next, &c), SLUICE_OK);
    assert_int_equal(sluice_close(c.s, 20000), SLUICE_OK);
    assert_int_equal(c.seen.accepted, 5);
}

static void *publish_and_wait(void *arg)
{
    struct chain *c = arg;
    atomic_store(&c->said, sluice_publish_wait(c->s, "bounded", &event, 60000, NULL));
    return NULL;
}

/* Waits until that many calls are blocked. */
static void wait_for_waiting(struct sluice *s, uint32_t count)
{
    uint32_t waiting;
    do {
        pthread_mutex_lock(&s->lock);
        waiting = s->waiting;
        pthread_mutex_unlock(&s->lock);
    } while (waiting < count);
}

static void closing_ends_a_wait_for_an_outcome(void **state)
{
    struct chain c = { .s = seen_connect(state), .said = -1 };
    pthread_t thread;
    for (int i = 0; i < 10; i++)
        assert_int_equal(sluice_publish_wait(c.s, "bounded", &event, 0, NULL), SLUICE_OK);
    assert_int_equal(pthread_create(&thread, NULL, publish_and_wait, &c), 0);
    wait_for_waiting(c.s, 1);
    assert_int_equal(sluice_close(c.s, 0), SLUICE_UNKNOWN);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&c.said), SLUICE_UNKNOWN);
}

/* An outcome is reported a moment before its bytes are subtracted. */
static void wait_for_all_room(struct sluice *s)
{
    struct sluice_stats stats;
    do
        sluice_stats(s, &stats);
    while (stats.undecided);
}

static void closing_ends_a_wait_for_room_in_the_clients_buffer(void **state)
{
    struct sluice_options options = { .buffer_bytes = 500 };
    struct chain c = { .s = sluice_connect(test_broker_endpoint(*state), &options, NULL), .said = -1 };
    pthread_t threads[8];
    for (int i = 0; i < 10; i++)
        assert_int_equal(sluice_publish_wait(c.s, "bounded", &event, 0, NULL), SLUICE_OK);
    wait_for_all_room(c.s);
    while (sluice_publish(c.s, "bounded", &event, 60000, NULL, NULL) == SLUICE_OK)
        continue;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_and_wait, &c), 0);
    wait_for_waiting(c.s, 8);
    assert_int_equal(sluice_close(c.s, 0), SLUICE_UNKNOWN);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&c.said), SLUICE_UNAVAILABLE);
}

static bool close_inside(void *context, const struct sluice_delivery *d)
{
    struct chain *c = context;
    atomic_store(&c->said, sluice_close(c->s, 1000));
    return seen_event(&c->seen, d);
}

static void closing_inside_a_callback_is_refused(void **state)
{
    struct chain c = { .seen = seen_fresh(), .s = seen_connect(state), .said = -1 };
    assert_non_null(sluice_subscribe(c.s, "orders", 1, close_inside, &c));
    assert_int_equal(sluice_publish_wait(c.s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&c.seen, 1));
    assert_int_equal(atomic_load(&c.said), SLUICE_INVALID);
    assert_int_equal(sluice_close(c.s, 20000), SLUICE_OK);
}

/* ------------------------------------------------------------------ subscriptions */

static bool wait_inside(void *context, const struct sluice_delivery *d)
{
    struct chain *c = context;
    seen_event(&c->seen, d);
    while (atomic_load(&c->said) < 0)
        continue;
    return true;
}

static void *unsubscribe(void *sub)
{
    sluice_unsubscribe(sub);
    return NULL;
}

/* Waits until a command is queued for the thread, which is blocked. */
static void wait_for_a_command(struct sluice *s)
{
    size_t count;
    do {
        pthread_mutex_lock(&s->lock);
        count = s->queue.count;
        pthread_mutex_unlock(&s->lock);
    } while (count == 0);
}

static void settling_while_another_thread_unsubscribes_is_too_late(void **state)
{
    struct chain held_up = { .seen = seen_fresh(), .s = seen_connect(state), .said = -1 };
    struct seen events = seen_fresh();
    pthread_t thread;
    events.settle_now = false;
    struct sluice_sub *sub = sluice_subscribe(held_up.s, "orders", 0, seen_event, &events);
    assert_int_equal(sluice_publish_wait(held_up.s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 1));
    assert_non_null(sluice_subscribe(held_up.s, "other", 0, wait_inside, &held_up));
    assert_int_equal(sluice_publish(held_up.s, "other", &event, 20000, NULL, NULL), SLUICE_OK);
    assert_true(seen_wait(&held_up.seen, 1));
    assert_int_equal(pthread_create(&thread, NULL, unsubscribe, sub), 0);
    wait_for_a_command(held_up.s);
    for (int i = 0; i < 100000; i++) { /* the thread finds them after the unsubscribe */
        sluice_ack(sub, events.token);
        sluice_nack_because(sub, events.token, 0, 1, "late");
    }
    atomic_store(&held_up.said, 0);
    pthread_join(thread, NULL);
    assert_int_equal(sluice_close(held_up.s, 20000), SLUICE_OK);
}

static void settling_after_the_end_settles_nothing_of_the_next_subscription(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen first = seen_fresh(), second = seen_fresh(), third = seen_fresh();
    first.settle_now = second.settle_now = false;
    assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    struct sluice_sub *ended = sluice_subscribe(s, "orders", 0, seen_event, &first);
    assert_true(seen_wait(&first, 1));
    sluice_unsubscribe(ended);
    sluice_ack(ended, first.token);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, seen_event, &second);
    assert_ptr_equal(sub, ended); /* reused: no more are kept than ever existed at once */
    assert_true(seen_wait(&second, 1));
    sluice_ack(ended, first.token);
    sluice_nack_because(ended, first.token, 0, 1, "late");
    sluice_extend(ended, first.token, 1);
    sluice_unsubscribe(sub);
    sub = sluice_subscribe(s, "orders", 0, seen_event, &third);
    assert_true(seen_wait(&third, 1));
    assert_int_equal(third.attempt, 3);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

/* ------------------------------------------------------------------ signals */

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *open = opendir("/proc/self/fd");
    assert_non_null(open);
    while (readdir(open))
        count++;
    closedir(open);
    return count;
}

/* The broker, which is in this process, closes its ends a moment later. */
static bool come_down_to(unsigned count)
{
    time_t end = time(NULL) + 20;
    while (descriptors() > count && time(NULL) < end)
        continue;
    return descriptors() <= count;
}

static void ignore(int signal)
{
    (void)signal;
}

struct pest {
    pthread_t victim;
    atomic_bool stop;
};

static void *send_signals(void *arg)
{
    struct pest *p = arg;
    while (!atomic_load(&p->stop))
        pthread_kill(p->victim, SIGUSR1);
    return NULL;
}

static void interrupted_connects_and_closes_leave_no_descriptors(void **state)
{
    struct sigaction action = { .sa_handler = ignore };
    struct pest pest = { .victim = pthread_self() };
    pthread_t thread;
    unsigned before = descriptors();
    sigaction(SIGUSR1, &action, NULL);
    assert_int_equal(pthread_create(&thread, NULL, send_signals, &pest), 0);
    for (int i = 0; i < 10; i++) {
        struct sluice *s = seen_connect(state);
        assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
        assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    }
    atomic_store(&pest.stop, true);
    pthread_join(thread, NULL);
    assert_true(come_down_to(before));
}

static void a_failed_connect_leaves_nothing_behind(void **state)
{
    (void)state;
    struct sluice_options options = { .connect_wait_ms = 1 };
    struct sluice_options bad_inbox = { .inbox = "tcp://203.0.113.1:1" };
    struct sluice_options bad_key = { .secret_key_file = "/nowhere", .broker_key_file = "/nowhere" };
    assert_null(sluice_connect("tcp://127.0.0.1:1", &options, NULL));
    unsigned before = descriptors();
    for (int i = 0; i < 5; i++) {
        assert_null(sluice_connect("tcp://127.0.0.1:1", &options, NULL));
        assert_null(sluice_connect("tcp://127.0.0.1:1", &bad_inbox, NULL));
        assert_null(sluice_connect("tcp://127.0.0.1:1", &bad_key, NULL));
        assert_null(sluice_connect("ipc:///nowhere/at/all", &options, NULL));
        assert_null(sluice_connect("nonsense", &options, NULL));
    }
    assert_int_equal(descriptors(), before);
}

/* ------------------------------------------------------------------ unusual cases */

static void an_invalid_linger_is_refused(void **state)
{
    const int64_t bad[] = { -1, INT64_MIN, INT64_MAX };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sluice_options options = { .linger_ms = bad[i] };
        char error[256] = "";
        assert_null(sluice_connect(test_broker_endpoint(*state), &options, error));
        assert_non_null(strstr(error, "linger_ms"));
    }
}

/* Such as the result of a failed read(). */
static const struct sluice_event endless = { .data = "x", .size = SIZE_MAX };

static void publish_endless(void *context, int error, uint64_t sequence)
{
    struct chain *c = context;
    struct sluice_event named = endless;
    named.id = "1";
    assert_int_equal(sluice_publish(c->s, "orders", &named, 0, NULL, NULL), SLUICE_TOO_LARGE);
    atomic_store(&c->said, sluice_publish(c->s, "orders", &endless, 0, NULL, NULL));
    seen_confirm(&c->seen, error, sequence);
}

static void the_largest_sizes_are_refused(void **state)
{
    struct sluice_options options = { .buffer_bytes = SIZE_MAX };
    struct chain c = { .seen = seen_fresh(), .s = sluice_connect(test_broker_endpoint(*state), &options, NULL) };
    struct sluice_event half = { .data = "x", .size = SIZE_MAX / 2 };
    const struct sluice_bytes two[] = { { "x", SIZE_MAX }, { "x", SIZE_MAX } };
    assert_int_equal(sluice_publish(c.s, "orders", &endless, 0, NULL, NULL), SLUICE_TOO_LARGE);
    assert_int_equal(sluice_publish(c.s, "orders", &half, 0, NULL, NULL), SLUICE_TOO_LARGE);
    assert_int_equal(sluice_publish_wait(c.s, "orders", &endless, 0, NULL), SLUICE_TOO_LARGE);
    assert_int_equal(sluice_publish_on(c.s, "orders", &endless, NULL, NULL, NULL), SLUICE_TOO_LARGE);
    assert_int_equal(sluice_publish_encoded(c.s, "orders", two, 2, 0, NULL, NULL), SLUICE_TOO_LARGE);
    assert_int_equal(sluice_publish(c.s, "orders", &event, 1000, publish_endless, &c), SLUICE_OK);
    assert_true(seen_wait(&c.seen, 1));
    assert_int_equal(atomic_load(&c.said), SLUICE_TOO_LARGE);
    assert_int_equal(sluice_close(c.s, 20000), SLUICE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(closing_ends_a_linger, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(while_closing_a_callbacks_events_do_not_linger, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(closing_ends_a_wait_for_an_outcome, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(closing_ends_a_wait_for_room_in_the_clients_buffer, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(closing_inside_a_callback_is_refused, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(settling_while_another_thread_unsubscribes_is_too_late, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(settling_after_the_end_settles_nothing_of_the_next_subscription, seen_start,
                                        seen_stop),
        cmocka_unit_test_setup_teardown(interrupted_connects_and_closes_leave_no_descriptors, seen_start, seen_stop),
        cmocka_unit_test(a_failed_connect_leaves_nothing_behind),
        cmocka_unit_test_setup_teardown(an_invalid_linger_is_refused, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(the_largest_sizes_are_refused, seen_start, seen_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
