/* libsluice as a program uses it, against the real core over loopback tcp. */
#include "clients/c/include/sluice.h"
#include "tests/clients/c/test_broker.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Counts what callbacks saw; tests wait on it. */
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t more;
    unsigned count, accepted;
    int last_error;
    uint64_t last_sequence, token;
    bool in_order, settle_now;
    char data[32], type[32];
    uint32_t attempt;
    struct sluice_sub *sub;
};

static struct seen fresh(void)
{
    return (struct seen){
        .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .in_order = true, .settle_now = true
    };
}

static bool wait_for(struct seen *w, unsigned count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&w->lock);
    while (w->count < count && pthread_cond_timedwait(&w->more, &w->lock, &until) == 0)
        continue;
    bool enough = w->count >= count;
    pthread_mutex_unlock(&w->lock);
    return enough;
}

static unsigned count_of(struct seen *w)
{
    pthread_mutex_lock(&w->lock);
    unsigned count = w->count;
    pthread_mutex_unlock(&w->lock);
    return count;
}

static void confirmed(void *context, int error, uint64_t sequence)
{
    struct seen *w = context;
    pthread_mutex_lock(&w->lock);
    w->count++;
    w->accepted += error == SLUICE_OK;
    w->last_error = error;
    w->last_sequence = sequence;
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
}

static bool on_event(void *context, const struct sluice_delivery *d)
{
    struct seen *w = context;
    pthread_mutex_lock(&w->lock);
    w->count++;
    w->in_order &= d->sequence == w->last_sequence + 1;
    w->last_sequence = d->sequence;
    w->token = d->token;
    w->attempt = d->attempt;
    snprintf(w->data, sizeof w->data, "%.*s", (int)d->size, (const char *)d->data);
    snprintf(w->type, sizeof w->type, "%s", d->type);
    bool now = w->settle_now;
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
    return now;
}

static int start(void **state)
{
    *state = test_broker_start(10);
    return 0;
}

static int stop(void **state)
{
    test_broker_stop(*state);
    return 0;
}

static struct sluice *connect_to(void **state)
{
    char error[256] = "";
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), NULL, error);
    assert_string_equal(error, "");
    assert_non_null(s);
    return s;
}

static void a_blocking_publish_returns_the_sequence(void **state)
{
    struct sluice *s = connect_to(state);
    struct sluice_event e = { .data = "hello", .size = 5 };
    uint64_t first = 0, second = 0;
    assert_int_equal(sluice_publish_wait(s, "orders", &e, 1000, &first), SLUICE_OK);
    assert_int_equal(sluice_publish_wait(s, "orders", &e, 1000, &second), SLUICE_OK);
    assert_true(first > 0 && second == first + 1);
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
}

static void every_publish_is_confirmed_once_and_consumed_in_order(void **state)
{
    struct sluice *s = connect_to(state);
    struct seen confirms = fresh(), events = fresh();
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, on_event, &events);
    assert_non_null(sub);
    for (int i = 0; i < 5000; i++) {
        struct sluice_event e = { .type = "count", .data = &i, .size = sizeof i };
        assert_int_equal(sluice_publish(s, "orders", &e, 20000, confirmed, &confirms), SLUICE_OK);
    }
    assert_true(wait_for(&confirms, 5000));
    assert_true(wait_for(&events, 5000));
    assert_int_equal(confirms.accepted, 5000);
    assert_true(events.in_order);
    assert_string_equal(events.type, "count");
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
    assert_int_equal(confirms.count, 5000);
    assert_int_equal(events.count, 5000);
}

static void a_full_queue_says_so(void **state)
{
    struct sluice *s = connect_to(state);
    struct sluice_event e = { .data = "x", .size = 1 };
    for (int i = 0; i < 10; i++)
        assert_int_equal(sluice_publish_wait(s, "bounded", &e, 0, NULL), SLUICE_OK);
    assert_int_equal(sluice_publish_wait(s, "bounded", &e, 0, NULL), SLUICE_FULL);
    assert_int_equal(sluice_publish_wait(s, "bounded", &e, 100, NULL), SLUICE_FULL);
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
}

static void a_nacked_event_comes_again_with_a_higher_attempt(void **state)
{
    struct sluice *s = connect_to(state);
    struct seen events = fresh();
    events.settle_now = false;
    struct sluice_event e = { .data = "again", .size = 5 };
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 1, on_event, &events);
    assert_int_equal(sluice_publish_wait(s, "orders", &e, 1000, NULL), SLUICE_OK);
    assert_true(wait_for(&events, 1));
    sluice_nack(sub, events.token, 0);
    assert_true(wait_for(&events, 2));
    assert_int_equal(events.attempt, 2);
    assert_string_equal(events.data, "again");
    sluice_ack(sub, events.token);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
}

static void credit_bounds_what_is_unsettled(void **state)
{
    struct sluice *s = connect_to(state);
    struct seen events = fresh();
    events.settle_now = false;
    struct sluice_event e = { .data = "x", .size = 1 };
    for (int i = 0; i < 6; i++)
        assert_int_equal(sluice_publish_wait(s, "orders", &e, 1000, NULL), SLUICE_OK);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 2, on_event, &events);
    assert_true(wait_for(&events, 2));
    uint64_t sequence;
    for (int i = 0; i < 20; i++) /* round trips in which a third would have come */
        assert_int_equal(sluice_publish_wait(s, "other", &e, 1000, &sequence), SLUICE_OK);
    assert_int_equal(count_of(&events), 2);
    sluice_ack(sub, events.token);
    assert_true(wait_for(&events, 3));
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
}

static void an_ack_before_unsubscribe_counts(void **state)
{
    struct sluice *s = connect_to(state);
    struct seen events = fresh(), later = fresh();
    events.settle_now = false;
    struct sluice_event one = { .data = "one", .size = 3 }, two = { .data = "two", .size = 3 };
    assert_int_equal(sluice_publish_wait(s, "orders", &one, 1000, NULL), SLUICE_OK);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 1, on_event, &events);
    assert_true(wait_for(&events, 1));
    sluice_ack(sub, events.token);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_publish_wait(s, "orders", &two, 1000, NULL), SLUICE_OK);
    sub = sluice_subscribe(s, "orders", 1, on_event, &later);
    assert_true(wait_for(&later, 1));
    assert_string_equal(later.data, "two");
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
}

static bool unsubscribe_inside(void *context, const struct sluice_delivery *d)
{
    struct seen *w = context;
    sluice_unsubscribe(w->sub);
    return on_event(context, d);
}

static void unsubscribing_inside_the_callback_ends_it_there(void **state)
{
    struct sluice *s = connect_to(state);
    struct seen events = fresh(), rest = fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    events.sub = sluice_subscribe(s, "orders", 8, unsubscribe_inside, &events); /* nothing is there to come yet */
    for (int i = 0; i < 3; i++)
        assert_int_equal(sluice_publish_wait(s, "orders", &e, 1000, NULL), SLUICE_OK);
    assert_true(wait_for(&events, 1));
    struct sluice_sub *sub = NULL;
    while (!(sub = sluice_subscribe(s, "orders", 8, on_event, &rest)))
        assert_int_equal(sluice_publish_wait(s, "other", &e, 1000, NULL), SLUICE_OK);
    assert_true(wait_for(&rest, 2));
    assert_int_equal(events.count, 1);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
}

static void a_batch_confirms_each_event_with_its_own_context(void **state)
{
    struct sluice *s = connect_to(state);
    struct seen one = fresh(), two = fresh();
    /* id "1" and "2", source "/s", spec_version "1.0", type "t" */
    static const char first[] = "\x0a\x01"
                                "1\x12\x02/s\x1a\x03"
                                "1.0\x22\x01t";
    static const char second[] = "\x0a\x01"
                                 "2\x12\x02/s\x1a\x03"
                                 "1.0\x22\x01t";
    struct sluice_bytes batch[] = { { first, sizeof first - 1 }, { second, sizeof second - 1 } };
    void *contexts[] = { &one, &two };
    assert_int_equal(sluice_publish_encoded(s, "orders", batch, 2, 1000, confirmed, contexts), SLUICE_OK);
    assert_true(wait_for(&one, 1));
    assert_true(wait_for(&two, 1));
    assert_int_equal(two.last_sequence, one.last_sequence + 1);
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
}

static void a_given_id_is_taken_once_and_a_made_up_one_always(void **state)
{
    struct sluice *s = connect_to(state);
    struct seen seen = fresh();
    struct sluice_event e = { .id = "42", .data = "x", .size = 1 };
    /* the event that sluice_publish makes of an id and a source, but for its data */
    static const char encoded[] = "\x0a\x02"
                                  "42\x12\x02/s\x1a\x03"
                                  "1.0\x22\x01t";
    struct sluice_bytes same = { encoded, sizeof encoded - 1 };
    uint64_t first, sequence;
    e.source = "/s";
    assert_int_equal(sluice_publish_wait(s, "once", &e, 1000, &first), SLUICE_OK);
    assert_int_equal(sluice_publish_wait(s, "once", &e, 1000, &sequence), SLUICE_OK);
    assert_int_equal(sequence, first);
    void *contexts[] = { &seen };
    assert_int_equal(sluice_publish_encoded(s, "once", &same, 1, 1000, confirmed, contexts), SLUICE_OK);
    assert_true(wait_for(&seen, 1));
    assert_int_equal(seen.last_sequence, first);
    e.source = "/other";
    assert_int_equal(sluice_publish_wait(s, "once", &e, 1000, &sequence), SLUICE_OK);
    assert_int_equal(sequence, first + 1);
    e.id = NULL;
    for (uint64_t i = 2; i < 5; i++) {
        assert_int_equal(sluice_publish_wait(s, "once", &e, 1000, &sequence), SLUICE_OK);
        assert_int_equal(sequence, first + i);
    }
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
}

static void bad_arguments_are_refused_at_once(void **state)
{
    struct sluice *s = connect_to(state);
    struct sluice_event e = { .data = "x", .size = 1 };
    const char *upper[] = { "NotLowerCase", "value", NULL }, *odd[] = { "name", NULL };
    assert_int_equal(sluice_publish(s, "no spaces", &e, 0, NULL, NULL), SLUICE_INVALID);
    e.attributes = upper;
    assert_int_equal(sluice_publish(s, "orders", &e, 0, NULL, NULL), SLUICE_INVALID);
    e.attributes = odd;
    assert_int_equal(sluice_publish(s, "orders", &e, 0, NULL, NULL), SLUICE_INVALID);
    assert_null(sluice_subscribe(s, "", 0, on_event, NULL));
    assert_int_equal(sluice_close(s, 1000), SLUICE_OK);
}

static void a_full_buffer_says_busy(void **state)
{
    struct sluice_options options = { .buffer_bytes = 200, .connect_wait_ms = -1 };
    (void)state;
    struct sluice *s = sluice_connect("tcp://127.0.0.1:1", &options, NULL); /* nobody listens there */
    struct seen confirms = fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    int error;
    unsigned taken = 0;
    while ((error = sluice_publish(s, "orders", &e, 60000, confirmed, &confirms)) == SLUICE_OK)
        taken++;
    assert_int_equal(error, SLUICE_BUSY);
    assert_true(taken > 0 && taken < 4);
    assert_int_equal(sluice_close(s, 0), SLUICE_UNKNOWN);
    assert_int_equal(confirms.count, taken);
    assert_int_equal(confirms.last_error, SLUICE_UNKNOWN);
}

static void connecting_to_nobody_says_so(void **state)
{
    struct sluice_options options = { .connect_wait_ms = 100 };
    char error[256] = "";
    (void)state;
    assert_null(sluice_connect("tcp://127.0.0.1:1", &options, error));
    assert_non_null(strstr(error, "no broker at tcp://127.0.0.1:1"));
    assert_null(sluice_connect("nonsense", NULL, error));
    assert_non_null(strstr(error, "nonsense"));
    assert_null(sluice_connect(NULL, NULL, error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_blocking_publish_returns_the_sequence, start, stop),
        cmocka_unit_test_setup_teardown(every_publish_is_confirmed_once_and_consumed_in_order, start, stop),
        cmocka_unit_test_setup_teardown(a_full_queue_says_so, start, stop),
        cmocka_unit_test_setup_teardown(a_nacked_event_comes_again_with_a_higher_attempt, start, stop),
        cmocka_unit_test_setup_teardown(credit_bounds_what_is_unsettled, start, stop),
        cmocka_unit_test_setup_teardown(an_ack_before_unsubscribe_counts, start, stop),
        cmocka_unit_test_setup_teardown(unsubscribing_inside_the_callback_ends_it_there, start, stop),
        cmocka_unit_test_setup_teardown(a_batch_confirms_each_event_with_its_own_context, start, stop),
        cmocka_unit_test_setup_teardown(a_given_id_is_taken_once_and_a_made_up_one_always, start, stop),
        cmocka_unit_test_setup_teardown(bad_arguments_are_refused_at_once, start, stop),
        cmocka_unit_test(a_full_buffer_says_busy),
        cmocka_unit_test(connecting_to_nobody_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
