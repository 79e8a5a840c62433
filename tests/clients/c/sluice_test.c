/* libsluice as a program uses it, against the real core over loopback tcp. */
#include "tests/clients/c/seen.h"
#include "tests/clients/c/test_broker.h"

#include <stdio.h>
#include <string.h>

static void a_blocking_publish_returns_the_sequence(void **state)
{
    struct sluice *s = seen_connect(state);
    struct sluice_event e = { .data = "hello", .size = 5 };
    uint64_t first = 0, second = 0;
    assert_int_equal(sluice_publish_wait(s, "orders", &e, 20000, &first), SLUICE_OK);
    assert_int_equal(sluice_publish_wait(s, "orders", &e, 20000, &second), SLUICE_OK);
    assert_true(first > 0 && second == first + 1);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void every_publish_is_confirmed_once_and_consumed_in_order(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen confirms = seen_fresh(), events = seen_fresh();
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, seen_event, &events);
    assert_non_null(sub);
    for (int i = 0; i < 5000; i++) {
        struct sluice_event e = { .type = "count", .data = &i, .size = sizeof i };
        assert_int_equal(sluice_publish(s, "orders", &e, 20000, seen_confirm, &confirms), SLUICE_OK);
    }
    assert_true(seen_wait(&confirms, 5000));
    assert_true(seen_wait(&events, 5000));
    assert_int_equal(confirms.accepted, 5000);
    assert_true(events.in_order);
    assert_string_equal(events.type, "count");
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    assert_int_equal(confirms.count, 5000);
    assert_int_equal(events.count, 5000);
}

static void a_full_queue_says_so(void **state)
{
    struct sluice *s = seen_connect(state);
    struct sluice_event e = { .data = "x", .size = 1 };
    for (int i = 0; i < 10; i++)
        assert_int_equal(sluice_publish_wait(s, "bounded", &e, 0, NULL), SLUICE_OK);
    assert_int_equal(sluice_publish_wait(s, "bounded", &e, 0, NULL), SLUICE_FULL);
    assert_int_equal(sluice_publish_wait(s, "bounded", &e, 100, NULL), SLUICE_FULL);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void a_nacked_event_comes_again_with_a_higher_attempt(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    events.settle_now = false;
    struct sluice_event e = { .data = "again", .size = 5 };
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 1, seen_event, &events);
    assert_int_equal(sluice_publish_wait(s, "orders", &e, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 1));
    sluice_nack(sub, events.token, 0);
    assert_true(seen_wait(&events, 2));
    assert_int_equal(events.attempt, 2);
    assert_string_equal(events.data, "again");
    sluice_ack(sub, events.token);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void credit_bounds_what_is_unsettled(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    events.settle_now = false;
    struct sluice_event e = { .data = "x", .size = 1 };
    for (int i = 0; i < 6; i++)
        assert_int_equal(sluice_publish_wait(s, "orders", &e, 20000, NULL), SLUICE_OK);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 2, seen_event, &events);
    assert_true(seen_wait(&events, 2));
    uint64_t sequence;
    for (int i = 0; i < 20; i++) /* round trips in which a third would have arrived */
        assert_int_equal(sluice_publish_wait(s, "other", &e, 20000, &sequence), SLUICE_OK);
    assert_int_equal(seen_count(&events), 2);
    sluice_ack(sub, events.token);
    assert_true(seen_wait(&events, 3));
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void an_ack_before_unsubscribe_counts(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh(), later = seen_fresh();
    events.settle_now = false;
    struct sluice_event one = { .data = "one", .size = 3 }, two = { .data = "two", .size = 3 };
    assert_int_equal(sluice_publish_wait(s, "orders", &one, 20000, NULL), SLUICE_OK);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 1, seen_event, &events);
    assert_true(seen_wait(&events, 1));
    sluice_ack(sub, events.token);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_publish_wait(s, "orders", &two, 20000, NULL), SLUICE_OK);
    sub = sluice_subscribe(s, "orders", 1, seen_event, &later);
    assert_true(seen_wait(&later, 1));
    assert_string_equal(later.data, "two");
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static bool unsubscribe_inside(void *context, const struct sluice_delivery *d)
{
    struct seen *w = context;
    sluice_unsubscribe(w->sub);
    return seen_event(context, d);
}

static void unsubscribing_inside_the_callback_ends_it_there(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh(), rest = seen_fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    events.sub = sluice_subscribe(s, "orders", 8, unsubscribe_inside, &events); /* the queue is still empty */
    for (int i = 0; i < 3; i++)
        assert_int_equal(sluice_publish_wait(s, "orders", &e, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 1));
    struct sluice_sub *sub = NULL;
    while (!(sub = sluice_subscribe(s, "orders", 8, seen_event, &rest)))
        assert_int_equal(sluice_publish_wait(s, "other", &e, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&rest, 2));
    assert_int_equal(events.count, 1);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void a_batch_confirms_each_event_with_its_own_context(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen one = seen_fresh(), two = seen_fresh();
    /* id "1" and "2", source "/s", spec_version "1.0", type "t" */
    static const char first[] = "\x0a\x01"
                                "1\x12\x02/s\x1a\x03"
                                "1.0\x22\x01t";
    static const char second[] = "\x0a\x01"
                                 "2\x12\x02/s\x1a\x03"
                                 "1.0\x22\x01t";
    struct sluice_bytes batch[] = { { first, sizeof first - 1 }, { second, sizeof second - 1 } };
    void *contexts[] = { &one, &two };
    assert_int_equal(sluice_publish_encoded(s, "orders", batch, 2, 1000, seen_confirm, contexts), SLUICE_OK);
    assert_true(seen_wait(&one, 1));
    assert_true(seen_wait(&two, 1));
    assert_int_equal(two.last_sequence, one.last_sequence + 1);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void a_given_id_is_taken_once_and_a_made_up_one_always(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen seen = seen_fresh();
    struct sluice_event e = { .id = "42", .data = "x", .size = 1 };
    /* the event that sluice_publish makes of an id and a source, but for its data */
    static const char encoded[] = "\x0a\x02"
                                  "42\x12\x02/s\x1a\x03"
                                  "1.0\x22\x01t";
    struct sluice_bytes same = { encoded, sizeof encoded - 1 };
    uint64_t first, sequence;
    e.source = "/s";
    assert_int_equal(sluice_publish_wait(s, "once", &e, 20000, &first), SLUICE_OK);
    assert_int_equal(sluice_publish_wait(s, "once", &e, 20000, &sequence), SLUICE_OK);
    assert_int_equal(sequence, first);
    void *contexts[] = { &seen };
    assert_int_equal(sluice_publish_encoded(s, "once", &same, 1, 1000, seen_confirm, contexts), SLUICE_OK);
    assert_true(seen_wait(&seen, 1));
    assert_int_equal(seen.last_sequence, first);
    e.source = "/other";
    assert_int_equal(sluice_publish_wait(s, "once", &e, 20000, &sequence), SLUICE_OK);
    assert_int_equal(sequence, first + 1);
    e.id = NULL;
    for (uint64_t i = 2; i < 5; i++) {
        assert_int_equal(sluice_publish_wait(s, "once", &e, 20000, &sequence), SLUICE_OK);
        assert_int_equal(sequence, first + i);
    }
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void bad_arguments_are_refused_at_once(void **state)
{
    struct sluice *s = seen_connect(state);
    struct sluice_event e = { .data = "x", .size = 1 };
    const char *upper[] = { "NotLowerCase", "value", NULL }, *odd[] = { "name", NULL };
    assert_int_equal(sluice_publish(s, "no spaces", &e, 0, NULL, NULL), SLUICE_INVALID);
    assert_non_null(strstr(sluice_strerror(SLUICE_INVALID), "'no spaces' is not a name"));
    e.attributes = upper;
    assert_int_equal(sluice_publish(s, "orders", &e, 0, NULL, NULL), SLUICE_INVALID);
    assert_non_null(strstr(sluice_strerror(SLUICE_INVALID), "NotLowerCase"));
    e.attributes = odd;
    assert_int_equal(sluice_publish(s, "orders", &e, 0, NULL, NULL), SLUICE_INVALID);
    assert_string_equal(sluice_strerror(SLUICE_INVALID), "attribute 'name' has no value");
    e = (struct sluice_event){ .source = "" };
    assert_int_equal(sluice_publish_wait(s, "orders", &e, 0, NULL), SLUICE_INVALID);
    assert_non_null(strstr(sluice_strerror(SLUICE_INVALID), "source"));
    assert_null(sluice_subscribe(s, "", 0, seen_event, NULL));
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void a_full_buffer_says_busy(void **state)
{
    struct sluice_options options = { .buffer_bytes = 200, .connect_wait_ms = -1 };
    (void)state;
    struct sluice *s = sluice_connect("tcp://127.0.0.1:1", &options, NULL); /* nobody listens there */
    struct seen confirms = seen_fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    int error;
    unsigned taken = 0;
    while ((error = sluice_publish(s, "orders", &e, 60000, seen_confirm, &confirms)) == SLUICE_OK)
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
    options.secret_key_file = "some.key";
    assert_null(sluice_connect("tcp://127.0.0.1:1", &options, error));
    assert_non_null(strstr(error, "keys go together"));
}

static void a_malformed_address_is_not_waited_for(void **state)
{
    struct sluice_options options = { .connect_wait_ms = -1 }; /* then only what is known at once can fail */
    char error[256] = "";
    (void)state;
    assert_null(sluice_connect("tcp://:7400", &options, error));
    assert_string_equal(error, "'tcp://:7400' has no host: write tcp://HOST:PORT");
    assert_null(sluice_connect("tcp://127.0.0.1", &options, error));
    assert_string_equal(error, "'tcp://127.0.0.1' has no port: write tcp://HOST:PORT");
    assert_null(sluice_connect("tcp://127.0.0.1:99999", &options, error));
    assert_string_equal(error, "the port of 'tcp://127.0.0.1:99999' is too large: it is at most 65535");
    assert_null(sluice_connect("inproc://control", &options, error));
    assert_non_null(strstr(error, "use tcp://HOST:PORT or ipc:///PATH"));
}

static void a_name_that_is_not_text_is_refused(void **state)
{
    struct sluice_options options = { .name = "\xff\xfe" };
    char error[256] = "";
    assert_null(sluice_connect(test_broker_endpoint(*state), &options, error));
    assert_string_equal(error, "the connection's name must be text in UTF-8");
}

static void without_a_connection_nothing_is_done(void **state)
{
    const struct sluice_event e = { .data = "x", .size = 1 };
    const struct sluice_bytes encoded = { "x", 1 };
    struct sluice_stats stats = { .confirmed = 7 };
    (void)state;
    assert_int_equal(sluice_publish(NULL, "orders", &e, 0, NULL, NULL), SLUICE_INVALID);
    assert_int_equal(sluice_publish_on(NULL, "orders", &e, NULL, NULL, NULL), SLUICE_INVALID);
    assert_int_equal(sluice_publish_wait(NULL, "orders", &e, 0, NULL), SLUICE_INVALID);
    assert_int_equal(sluice_publish_encoded(NULL, "orders", &encoded, 1, 0, NULL, NULL), SLUICE_INVALID);
    assert_string_equal(sluice_strerror(SLUICE_INVALID), "the connection is NULL");
    assert_null(sluice_subscribe(NULL, "orders", 0, NULL, NULL));
    sluice_unsubscribe(NULL);
    sluice_stats(NULL, &stats);
    assert_int_equal(stats.confirmed, 0);
    assert_int_equal(sluice_close(NULL, 0), SLUICE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_that_is_not_text_is_refused, seen_start, seen_stop),
        cmocka_unit_test(without_a_connection_nothing_is_done),
        cmocka_unit_test_setup_teardown(a_blocking_publish_returns_the_sequence, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(every_publish_is_confirmed_once_and_consumed_in_order, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_full_queue_says_so, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_nacked_event_comes_again_with_a_higher_attempt, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(credit_bounds_what_is_unsettled, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(an_ack_before_unsubscribe_counts, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(unsubscribing_inside_the_callback_ends_it_there, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_batch_confirms_each_event_with_its_own_context, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_given_id_is_taken_once_and_a_made_up_one_always, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(bad_arguments_are_refused_at_once, seen_start, seen_stop),
        cmocka_unit_test(a_full_buffer_says_busy),
        cmocka_unit_test(connecting_to_nobody_says_so),
        cmocka_unit_test(a_malformed_address_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
