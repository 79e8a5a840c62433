/* What sluice.h promises about publishing with options and settling with a reason. */
#include "base/clock.h"
#include "tests/clients/c/seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sluice_event event = { .data = "x", .size = 1 };

/* A receipt, copied out of the callback as text: "ok 7", "ok bounded 1 north 2", "1 bounded 10/10". */
struct told {
    struct seen seen;
    char text[200];
    struct sluice_receipt receipt;
};

static void receipt(void *context, const struct sluice_receipt *r)
{
    struct told *t = context;
    char *to = t->text, *end = to + sizeof t->text;
    t->receipt = *r;
    to += snprintf(to, (size_t)(end - to), r->error ? "%d" : "ok", r->error);
    if (r->sequence)
        to += snprintf(to, (size_t)(end - to), " %llu", (unsigned long long)r->sequence);
    for (size_t i = 0; i < r->target_count; i++)
        to += snprintf(to, (size_t)(end - to), " %s %llu", r->targets[i].queue,
                       (unsigned long long)r->targets[i].sequence);
    if (*r->refused_by || r->capacity)
        snprintf(to, (size_t)(end - to), " %s %llu/%llu", r->refused_by, (unsigned long long)r->depth,
                 (unsigned long long)r->capacity);
    seen_confirm(&t->seen, r->error, r->sequence);
}

static const char *publish(struct sluice *s, const char *to, const struct sluice_event *e,
                           const struct sluice_publish_options *o, struct told *t)
{
    *t = (struct told){ .seen = seen_fresh() };
    assert_int_equal(sluice_publish_on(s, to, e, o, receipt, t), SLUICE_OK);
    assert_true(seen_wait(&t->seen, 1));
    return t->text;
}

static void a_receipt_says_where_the_event_is(void **state)
{
    struct sluice *s = seen_connect(state);
    struct told t;
    struct sluice_publish_options topic = { .topic = true };
    assert_string_equal(publish(s, "orders", &event, NULL, &t), "ok 1");
    assert_string_equal(publish(s, "orders", &event, &(struct sluice_publish_options){ 0 }, &t), "ok 2");
    assert_false(t.receipt.durable);
    assert_string_equal(publish(s, "north", &event, NULL, &t), "ok 1");
    assert_string_equal(publish(s, "both", &event, &topic, &t), "ok bounded 1 north 2");
    assert_string_equal(publish(s, "both", &event, NULL, &t), "ok bounded 2 north 3"); /* the name may be a topic's */
    assert_string_equal(publish(s, "nothing", &event, &topic, &t), "ok");
    struct sluice_event once = { .id = "7", .source = "/s" };
    assert_string_equal(publish(s, "orders", &once, NULL, &t), "ok 3");
    assert_false(t.receipt.duplicate);
    assert_string_equal(publish(s, "orders", &once, NULL, &t), "ok 3");
    assert_true(t.receipt.duplicate);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

struct sums {
    struct seen seen;
    struct sluice *s;
    uint64_t sequences;
};

static void add_up(void *context, int error, uint64_t sequence)
{
    struct sums *c = context;
    c->sequences += sequence;
    seen_confirm(&c->seen, error, sequence);
}

/* In one frame, so that they are decided as one run. */
static void publish_three_to_a_topic(void *context, int error, uint64_t sequence)
{
    struct sums *c = context;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(sluice_publish(c->s, "both", &event, 20000, add_up, c), SLUICE_OK);
    seen_confirm(&c->seen, error, sequence);
}

static void a_confirm_of_a_topic_has_no_sequence(void **state)
{
    struct sums c = { .seen = seen_fresh(), .s = seen_connect(state) };
    assert_int_equal(sluice_publish(c.s, "orders", &event, 20000, publish_three_to_a_topic, &c), SLUICE_OK);
    assert_true(seen_wait(&c.seen, 4));
    assert_int_equal(c.seen.accepted, 4);
    assert_int_equal(c.sequences, 0);
    assert_int_equal(sluice_close(c.s, 20000), SLUICE_OK);
}

static void a_publish_to_a_topic_goes_to_no_queue_of_that_name(void **state)
{
    struct sluice *s = seen_connect(state);
    struct told t;
    struct sluice_publish_options topic = { .topic = true };
    publish(s, "orders", &event, NULL, &t);
    publish(s, "orders", &event, &topic, &t);
    assert_int_equal(t.receipt.error, SLUICE_UNKNOWN_TOPIC);
    publish(s, "nobody", &event, &topic, &t);
    assert_int_equal(t.receipt.error, SLUICE_UNKNOWN_TOPIC);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void a_refusal_names_the_queue_without_room(void **state)
{
    struct sluice *s = seen_connect(state);
    struct told t;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(sluice_publish_wait(s, "bounded", &event, 20000, NULL), SLUICE_OK);
    assert_string_equal(publish(s, "both", &event, NULL, &t), "1 bounded 10/10");
    assert_int_equal(t.receipt.target_count, 0);
    publish(s, "bounded", &event, NULL, &t);
    assert_int_equal(t.receipt.error, SLUICE_FULL);
    assert_true(t.receipt.depth == 10 && t.receipt.capacity == 10);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

/* Publishes and consumes; returns how long the event took to arrive. */
static int64_t came_after(struct sluice *s, const char *queue, const struct sluice_publish_options *o)
{
    struct seen events = seen_fresh();
    struct told t;
    struct sluice_sub *sub = sluice_subscribe(s, queue, 1, seen_event, &events);
    mono_t before = clock_now().mono;
    publish(s, queue, &event, o, &t);
    assert_true(seen_wait(&events, 1));
    int64_t ms = mono_since_ms(clock_now().mono, before);
    sluice_unsubscribe(sub);
    return ms;
}

static void a_delayed_event_comes_after_its_delay(void **state)
{
    struct sluice *s = seen_connect(state);
    assert_true(came_after(s, "orders", &(struct sluice_publish_options){ .delay_ms = 150 }) >= 149);
    struct sluice_publish_options at = { .not_before_ms = clock_now().wall.ms + 150 };
    assert_true(came_after(s, "mails", &at) >= 100); /* the wall clock may be slewed */
    assert_true(came_after(s, "mails", &(struct sluice_publish_options){ .not_before_ms = 1 }) < 20000);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

/* An expired event is accepted but never delivered; the one after it is. */
static void an_expired_event_is_not_delivered(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    struct told t;
    assert_string_equal(publish(s, "orders", &event, &(struct sluice_publish_options){ .expires_ms = 1 }, &t), "ok 1");
    publish(s, "orders", &event, &(struct sluice_publish_options){ .expires_ms = 1, .delay_ms = 50 }, &t);
    struct sluice_event last = { .data = "last", .size = 4 };
    publish(s, "orders", &last, &(struct sluice_publish_options){ .ttl_ms = 60000, .delay_ms = 100 }, &t);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, seen_event, &events);
    assert_true(seen_wait(&events, 1));
    assert_string_equal(events.data, "last");
    assert_int_equal(events.last_sequence, 3);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void contradicting_terms_are_invalid(void **state)
{
    struct sluice *s = seen_connect(state);
    struct told t = { .seen = seen_fresh() };
    const struct sluice_publish_options bad[] = {
        { .delay_ms = 1, .not_before_ms = 1 },
        { .ttl_ms = 1, .expires_ms = 1 },
        { .not_before_ms = -1 },
        { .expires_ms = -1 },
        { .expires_ms = INT64_MAX },
        { .ttl_ms = UINT64_MAX },
        { .ttl_ms = 50, .delay_ms = 50 }, /* would expire undelivered */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sluice_publish_on(s, "orders", &event, &bad[i], receipt, &t), SLUICE_INVALID);
    assert_non_null(strstr(sluice_strerror(SLUICE_INVALID), "ttl_ms 50 includes delay_ms 50 and must be longer"));
    assert_int_equal(sluice_publish_on(s, "no queue", &event, NULL, receipt, &t), SLUICE_INVALID);
    assert_int_equal(sluice_publish_on(s, "orders", NULL, NULL, receipt, &t), SLUICE_INVALID);
    assert_int_equal(seen_count(&t.seen), 0);
    assert_int_equal(sluice_publish_on(s, "orders", &event, NULL, NULL, NULL), SLUICE_OK); /* without callback */
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void events_undecided_at_the_end_are_unknown(void **state)
{
    struct sluice *s = seen_connect(state);
    struct told t = { .seen = seen_fresh() };
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(sluice_publish_wait(s, "bounded", &event, 20000, NULL), SLUICE_OK);
    struct sluice_publish_options o = { .wait_ms = 60000 };
    assert_int_equal(sluice_publish_on(s, "bounded", &event, &o, receipt, &t), SLUICE_OK);
    assert_int_equal(sluice_close(s, 0), SLUICE_UNKNOWN);
    assert_int_equal(seen_count(&t.seen), 1);
    assert_int_equal(t.receipt.error, SLUICE_UNKNOWN);
    assert_string_equal(t.receipt.refused_by, "");
}

static void a_receipt_says_that_the_event_was_refused(void **state)
{
    struct sluice *s = seen_connect(state);
    struct told t;
    struct sluice_event large = { .data = calloc(1, 2 << 20), .size = 2 << 20 };
    publish(s, "orders", &large, NULL, &t);
    assert_int_equal(t.receipt.error, SLUICE_TOO_LARGE);
    assert_string_equal(publish(s, "orders", &event, NULL, &t), "ok 1");
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    free((void *)(uintptr_t)large.data);
}

/* That the broker keeps the reason is tested in tests/integration; here only that each call settles its event. */
static void a_reason_settles_as_the_plain_word_does(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    char error[1000];
    memset(error, 'e', sizeof error - 1);
    error[sizeof error - 1] = '\0';
    events.settle_now = false;
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 1, seen_event, &events);
    assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 1));
    sluice_nack_because(sub, events.token, 1, 503, error);
    assert_true(seen_wait(&events, 2));
    assert_int_equal(events.attempt, 2);
    sluice_nack_because(sub, events.token, 1, 0, NULL);
    assert_true(seen_wait(&events, 3));
    sluice_drop_because(sub, events.token, 404, "no such customer");
    assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 4)); /* with credit for one, this shows that the other is settled */
    assert_int_equal(events.last_sequence, 2);
    sluice_ack(sub, events.token);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

/* The part of it that is kept; TROUBLE_ERROR_MAX would cut the last character. */
#define KEPT 249

struct letter {
    struct seen seen;
    bool says_it;
};

static bool read_letter(void *context, const struct sluice_delivery *d)
{
    struct letter *l = context;
    char kept[KEPT];
    memset(kept, 'e', sizeof kept);
    l->says_it = memmem(d->encoded.data, d->encoded.size, kept, sizeof kept) != NULL;
    return seen_event(&l->seen, d);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    struct letter letter = { .seen = seen_fresh() };
    char error[KEPT + 3];
    memset(error, 'e', KEPT);
    memcpy(error + KEPT, "\xc3\xa9", 3);
    events.settle_now = false;
    struct sluice_sub *sub = sluice_subscribe(s, "fragile", 1, seen_event, &events);
    struct sluice_sub *dead = sluice_subscribe(s, "buried", 1, read_letter, &letter);
    assert_int_equal(sluice_publish_wait(s, "fragile", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 1));
    sluice_drop_because(sub, events.token, 0, error);
    assert_true(seen_wait(&letter.seen, 1));
    assert_true(letter.says_it);
    sluice_unsubscribe(sub);
    sluice_unsubscribe(dead);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void an_extended_lease_ends_when_it_was_said_to(void **state)
{
    struct sluice *s = seen_connect(state);
    struct seen events = seen_fresh();
    events.settle_now = false;
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 2, seen_event, &events);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(sluice_publish_wait(s, "orders", &event, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&events, 2));
    uint64_t token = events.token;
    sluice_extend(sub, token, 0);
    sluice_extend(sub, token, 60000);
    sluice_extend(sub, token, 50); /* replaces the 30 s of its lease */
    assert_true(seen_wait(&events, 3));
    assert_int_equal(events.last_sequence, 2);
    assert_int_equal(events.attempt, 2);
    sluice_extend(sub, token, 60000); /* of a delivery that has ended */
    sluice_ack(sub, events.token);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_receipt_says_where_the_event_is, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_confirm_of_a_topic_has_no_sequence, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_publish_to_a_topic_goes_to_no_queue_of_that_name, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_refusal_names_the_queue_without_room, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_delayed_event_comes_after_its_delay, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(an_expired_event_is_not_delivered, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(contradicting_terms_are_invalid, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(events_undecided_at_the_end_are_unknown, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_receipt_says_that_the_event_was_refused, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_reason_settles_as_the_plain_word_does, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_long_reason_is_cut_between_characters, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(an_extended_lease_ends_when_it_was_said_to, seen_start, seen_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
