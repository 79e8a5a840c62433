/* What sluice.h promises to publishers, sentence by sentence. */
#include "proto/reason.h"
#include "tests/clients/c/seen.h"
#include "tests/clients/c/test_broker.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* Waits until the counts include what the callbacks saw. */
static void wait_until_counted(struct sluice *s, struct sluice_stats *stats, uint64_t delivered)
{
    do
        sluice_stats(s, stats);
    while (stats->undecided || stats->delivered < delivered);
}

/* ------------------------------------------------------------------ outcomes */

static void the_public_numbers_are_the_reasons(void **state)
{
    (void)state;
    assert_int_equal(SLUICE_OK, REASON_ok);
    assert_int_equal(SLUICE_FULL, REASON_full);
    assert_int_equal(SLUICE_BUDGET, REASON_budget);
    assert_int_equal(SLUICE_CLOSED, REASON_closed);
    assert_int_equal(SLUICE_NO_CONSUMER, REASON_no_consumer);
    assert_int_equal(SLUICE_UNROUTED, REASON_unrouted);
    assert_int_equal(SLUICE_DISK, REASON_disk);
    assert_int_equal(SLUICE_UNKNOWN_QUEUE, REASON_unknown_queue);
    assert_int_equal(SLUICE_UNKNOWN_TOPIC, REASON_unknown_topic);
    assert_int_equal(SLUICE_TOO_LARGE, REASON_too_large);
    assert_int_equal(SLUICE_UNKNOWN, REASON_unknown);
    assert_int_equal(SLUICE_UNAVAILABLE, REASON_unavailable);
    assert_int_equal(SLUICE_INVALID, REASON_invalid);
    assert_int_equal(SLUICE_BUSY, REASON_busy);
    assert_string_equal(sluice_strerror(SLUICE_FULL), reason_info(REASON_full)->title);
    for (int error = -2; error < 300; error++)
        assert_non_null(sluice_strerror(error));
    assert_string_equal(sluice_version(), SLUICE_VERSION);
}

static void a_queue_that_wants_a_consumer_refuses_without_one(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    assert_int_equal(sluice_publish_wait(s, "guarded", &e, 0, NULL), SLUICE_NO_CONSUMER);
    struct sluice_sub *sub = sluice_subscribe(s, "guarded", 0, seen_event, &events);
    int error;
    while ((error = sluice_publish_wait(s, "guarded", &e, 0, NULL)) == SLUICE_NO_CONSUMER)
        continue; /* until the broker knows of it */
    assert_int_equal(error, SLUICE_OK);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void an_event_that_waits_in_vain_for_the_broker_was_not_accepted(void **state)
{
    struct sluice_options options = { .connect_wait_ms = -1 };
    (void)state;
    struct sluice *s = sluice_connect("tcp://127.0.0.1:1", &options, NULL); /* nobody listens there */
    struct sluice_event e = { .data = "x", .size = 1 };
    struct sluice_stats stats;
    assert_int_equal(sluice_publish_wait(s, "orders", &e, 20, NULL), SLUICE_UNAVAILABLE);
    sluice_stats(s, &stats);
    assert_false(stats.attached);
    assert_int_equal(stats.attaches, 0);
    assert_int_equal(sluice_close(s, 0), SLUICE_OK);
}

static void a_too_large_event_is_refused_at_once_or_by_the_confirm(void **state)
{
    struct sluice_options options = { .buffer_bytes = 4 << 20 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct seen seen = seen_fresh();
    struct sluice_event beyond_buffer = { .data = calloc(1, 5 << 20), .size = 5 << 20 };
    struct sluice_event beyond_broker = { .data = beyond_buffer.data, .size = 2 << 20 };
    struct sluice_bytes encoded = { beyond_buffer.data, beyond_buffer.size };
    assert_int_equal(sluice_publish(s, "orders", &beyond_buffer, 0, seen_confirm, &seen), SLUICE_TOO_LARGE);
    assert_int_equal(sluice_publish_encoded(s, "orders", &encoded, 1, 0, seen_confirm, NULL), SLUICE_TOO_LARGE);
    assert_int_equal(sluice_publish_wait(s, "orders", &beyond_buffer, 0, NULL), SLUICE_TOO_LARGE);
    assert_int_equal(sluice_publish(s, "orders", &beyond_broker, 0, seen_confirm, &seen), SLUICE_OK);
    assert_true(seen_wait(&seen, 1));
    assert_int_equal(seen.last_error, SLUICE_TOO_LARGE);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    assert_int_equal(seen.count, 1);
    free((void *)(uintptr_t)beyond_buffer.data);
}

static void the_blocking_form_waits_for_room_in_the_clients_buffer(void **state)
{
    struct sluice_options options = { .buffer_bytes = 500 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct seen waiting = seen_fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    struct sluice_stats stats;
    unsigned taken = 0;
    for (int i = 0; i < 10; i++)
        assert_int_equal(sluice_publish_wait(s, "bounded", &e, 20000, NULL), SLUICE_OK);
    wait_until_counted(s, &stats, 0);
    while (sluice_publish(s, "bounded", &e, 1000, seen_confirm, &waiting) == SLUICE_OK)
        taken++;
    assert_true(taken > 0 && seen_count(&waiting) == 0); /* the buffer is full of events that wait for the full queue */
    assert_int_equal(sluice_publish_wait(s, "other", &e, 20000, NULL), SLUICE_OK);
    assert_true(seen_count(&waiting) > 0);
    assert_true(seen_wait(&waiting, taken));
    assert_int_equal(waiting.last_error, SLUICE_FULL);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

/* Publishes during a linger wake nobody, until they fill a frame. */
static void lingering_events_that_fill_a_frame_are_sent_at_once(void **state)
{
    struct sluice_options options = { .linger_ms = 3600000 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct seen confirms = seen_fresh();
    char data[1024] = { 0 };
    struct sluice_event e = { .data = data, .size = sizeof data };
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sluice_publish(s, "orders", &e, 20000, seen_confirm, &confirms), SLUICE_OK);
    assert_true(seen_wait(&confirms, 200));
    sluice_close(s, 0);
}

/* A caller that finds no room ends the linger, as no more events can join it. */
static void events_that_fill_the_clients_buffer_do_not_linger(void **state)
{
    struct sluice_options options = { .linger_ms = 3600000, .buffer_bytes = 500 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct seen confirms = seen_fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    for (int i = 0; i < 50; i++) {
        int error;
        while ((error = sluice_publish(s, "orders", &e, 20000, seen_confirm, &confirms)) == SLUICE_BUSY)
            sched_yield();
        assert_int_equal(error, SLUICE_OK);
    }
    assert_true(seen_wait(&confirms, 40));
    sluice_close(s, 0);
}

static void lingering_events_are_sent_when_their_linger_is_over(void **state)
{
    struct sluice_options options = { .linger_ms = 20 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct sluice_event e = { .data = "x", .size = 1 };
    for (int i = 0; i < 10; i++)
        assert_int_equal(sluice_publish(s, "orders", &e, 20000, NULL, NULL), SLUICE_OK);
    assert_int_equal(sluice_publish_wait(s, "orders", &e, 20000, NULL), SLUICE_OK);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

/* ------------------------------------------------------------------ batches */

static atomic_uint nobodys;

static void confirm_nobody(void *context, int error, uint64_t sequence)
{
    assert_null(context);
    assert_int_equal(error, SLUICE_OK);
    assert_true(sequence > 0);
    atomic_fetch_add(&nobodys, 1);
}

static void a_batch_without_contexts_confirms_each_with_null(void **state)
{
    struct sluice *s = seen_connect(state);
    /* source "/s", spec_version "1.0", type "t", and the id */
    static const char events[][16] = { "\x0a\x01"
                                       "1\x12\x02/s\x1a\x03"
                                       "1.0\x22\x01t",
                                       "\x0a\x01"
                                       "2\x12\x02/s\x1a\x03"
                                       "1.0\x22\x01t" };
    struct sluice_bytes batch[] = { { events[0], 15 }, { events[1], 15 } };
    atomic_store(&nobodys, 0);
    assert_int_equal(sluice_publish_encoded(s, "orders", batch, 2, 1000, confirm_nobody, NULL), SLUICE_OK);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    assert_int_equal(atomic_load(&nobodys), 2);
}

static void a_batch_of_nothing_is_invalid(void **state)
{
    struct sluice *s = seen_connect(state);
    struct sluice_bytes none = { NULL, 0 };
    assert_int_equal(sluice_publish_encoded(s, "orders", &none, 0, 0, NULL, NULL), SLUICE_INVALID);
    assert_int_equal(sluice_publish_encoded(s, "orders", &none, 1, 0, NULL, NULL), SLUICE_INVALID);
    assert_int_equal(sluice_publish_encoded(s, "no spaces", &none, 1, 0, NULL, NULL), SLUICE_INVALID);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

/* ------------------------------------------------------------------ threads and callbacks */

struct publisher {
    struct sluice *s;
    atomic_uint *sum;
};

static void *publish_some(void *arg)
{
    struct publisher *p = arg;
    struct sluice_event e = { .data = "x", .size = 1 };
    uint64_t sequence;
    for (int i = 0; i < 100; i++) {
        if (sluice_publish_wait(p->s, "orders", &e, 20000, &sequence) == SLUICE_OK)
            atomic_fetch_add(p->sum, (unsigned)sequence);
    }
    return NULL;
}

static void any_thread_may_publish(void **state)
{
    struct sluice *s = seen_connect(state);
    atomic_uint sum = 0;
    struct publisher p = { s, &sum };
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_some, &p), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&sum), 400 * 401 / 2); /* each sequence once */
    struct sluice_stats stats;
    wait_until_counted(s, &stats, 0);
    assert_int_equal(stats.confirmed, 400);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

struct chain {
    struct seen seen;
    struct sluice *s;
    int waiting_said;
};

static void publish_the_next(void *context, int error, uint64_t sequence)
{
    struct chain *c = context;
    struct sluice_event e = { .data = "x", .size = 1 };
    if (sequence < 5)
        assert_int_equal(sluice_publish(c->s, "orders", &e, 1000, publish_the_next, c), SLUICE_OK);
    c->waiting_said = sluice_publish_wait(c->s, "orders", &e, 1000, NULL);
    seen_confirm(&c->seen, error, sequence);
}

static void a_callback_may_publish_but_not_wait(void **state)
{
    struct chain c = { .seen = seen_fresh(), .s = seen_connect(state) };
    struct sluice_event e = { .data = "x", .size = 1 };
    assert_int_equal(sluice_publish(c.s, "orders", &e, 1000, publish_the_next, &c), SLUICE_OK);
    assert_true(seen_wait(&c.seen, 5));
    assert_int_equal(c.waiting_said, SLUICE_INVALID);
    assert_int_equal(sluice_close(c.s, 20000), SLUICE_OK);
    assert_int_equal(c.seen.accepted, 5);
}

/* ------------------------------------------------------------------ stats and the end */

static void stats_count_every_outcome(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    struct sluice_stats stats;
    for (int i = 0; i < 13; i++)
        sluice_publish_wait(s, "bounded", &e, 0, NULL);
    wait_until_counted(s, &stats, 0);
    assert_int_equal(sluice_publish(s, "bounded", &e, 60000, NULL, NULL), SLUICE_OK); /* waits for room */
    sluice_stats(s, &stats);
    assert_int_equal(stats.undecided, 1);
    struct sluice_sub *sub = sluice_subscribe(s, "bounded", 0, seen_event, &events);
    assert_true(seen_wait(&events, 11));
    sluice_unsubscribe(sub);
    wait_until_counted(s, &stats, 11);
    assert_true(stats.attached);
    assert_int_equal(stats.confirmed, 11);
    assert_int_equal(stats.refused, 3);
    assert_int_equal(stats.unknown, 0);
    assert_int_equal(stats.delivered, 11);
    assert_int_equal(stats.attaches, 1);
    assert_int_equal(stats.resent, 0);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void closing_waits_for_undecided_events(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen confirms = seen_fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    for (int i = 0; i < 500; i++)
        assert_int_equal(sluice_publish(s, "orders", &e, 20000, seen_confirm, &confirms), SLUICE_OK);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    assert_int_equal(confirms.accepted, 500);
}

/* More than are sent at once, and more than there is room for. */
static void each_event_of_a_batch_is_confirmed_once_also_at_the_end(void **state)
{
    enum { COUNT = 20, ROOM = 10 };
    struct sluice *s = seen_connect(state);
    struct seen seen[COUNT];
    struct sluice_bytes batch[COUNT];
    void *contexts[COUNT];
    char encoded[COUNT][16];
    for (int i = 0; i < COUNT; i++) { /* an id, source "/s", spec_version "1.0", type "t" */
        int size = snprintf(encoded[i], sizeof encoded[i], "\x0a\x01%c\x12\x02/s\x1a\x03%s\x22\x01t", 'a' + i, "1.0");
        batch[i] = (struct sluice_bytes){ encoded[i], (size_t)size };
        seen[i] = seen_fresh();
        contexts[i] = &seen[i];
    }
    assert_int_equal(sluice_publish_encoded(s, "bounded", batch, COUNT, 60000, seen_confirm, contexts), SLUICE_OK);
    assert_true(seen_wait(&seen[ROOM - 1], 1));
    assert_int_equal(sluice_close(s, 0), SLUICE_UNKNOWN);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(seen[i].count, 1);
        assert_int_equal(seen[i].last_error, i < ROOM ? SLUICE_OK : SLUICE_UNKNOWN);
        assert_int_equal(seen[i].last_sequence, i < ROOM ? i + 1 : 0);
    }
}

static void publish_at_the_end(void *context, int error, uint64_t sequence)
{
    struct chain *c = context;
    struct sluice_event e = { .data = "x", .size = 1 };
    c->waiting_said = sluice_publish(c->s, "orders", &e, 0, NULL, NULL);
    seen_confirm(&c->seen, error, sequence);
}

static void a_callback_while_closing_cannot_publish(void **state)
{
    struct sluice_options options = { .connect_wait_ms = -1 };
    (void)state;
    struct chain c = { .seen = seen_fresh(), .s = sluice_connect("tcp://127.0.0.1:1", &options, NULL) };
    struct sluice_event e = { .data = "x", .size = 1 };
    assert_int_equal(sluice_publish(c.s, "orders", &e, 60000, publish_at_the_end, &c), SLUICE_OK);
    assert_int_equal(sluice_close(c.s, 0), SLUICE_UNKNOWN);
    assert_int_equal(c.seen.last_error, SLUICE_UNKNOWN);
    assert_int_equal(c.waiting_said, SLUICE_UNAVAILABLE);
    assert_int_equal(sluice_close(NULL, 0), SLUICE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_public_numbers_are_the_reasons),
        cmocka_unit_test_setup_teardown(a_queue_that_wants_a_consumer_refuses_without_one, seen_start, seen_stop),
        cmocka_unit_test(an_event_that_waits_in_vain_for_the_broker_was_not_accepted),
        cmocka_unit_test_setup_teardown(a_too_large_event_is_refused_at_once_or_by_the_confirm, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(the_blocking_form_waits_for_room_in_the_clients_buffer, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(lingering_events_that_fill_a_frame_are_sent_at_once, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(events_that_fill_the_clients_buffer_do_not_linger, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(lingering_events_are_sent_when_their_linger_is_over, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_batch_without_contexts_confirms_each_with_null, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_batch_of_nothing_is_invalid, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(any_thread_may_publish, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_callback_may_publish_but_not_wait, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(stats_count_every_outcome, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(closing_waits_for_undecided_events, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(each_event_of_a_batch_is_confirmed_once_also_at_the_end, seen_start, seen_stop),
        cmocka_unit_test(a_callback_while_closing_cannot_publish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
