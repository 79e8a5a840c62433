/* What sluice.h promises about events: how they are delivered, and their defaults. */
#include "proto/event.h"
#include "tests/clients/c/seen.h"
#include "tests/clients/c/test_broker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A delivered event, copied out of the callback. */
struct copy {
    struct seen seen;
    char id[64], source[64], type[64], subject[64], content_type[64], queue[64], tenant[64], data[64], count[64],
        cut[3];
    bool has_subject, has_content_type, encoded_agrees;
    int tenant_size, cut_size, nothing_size;
    struct sluice_sub *sub;
    size_t size;
    uint64_t epoch;
    uint32_t lease_ms, attempt;
};

static void copy_text(char *to, bool *has, const char *text)
{
    *has = text != NULL;
    snprintf(to, 64, "%s", text ? text : "");
}

static bool copy_event(void *context, const struct sluice_delivery *d)
{
    struct copy *c = context;
    struct arena arena;
    struct event e;
    bool has;
    arena_init(&arena, 65536);
    assert_true(event_decode(span_of(d->encoded.data, d->encoded.size), &arena, &e, NULL));
    c->tenant_size = sluice_attribute(d, "tenant", c->tenant, sizeof c->tenant);
    c->cut_size = sluice_attribute(d, "tenant", c->cut, sizeof c->cut);
    c->nothing_size = sluice_attribute(d, "nothing", c->count, 0);
    sluice_attribute(d, "count", c->count, sizeof c->count);
    c->sub = d->sub;
    c->encoded_agrees = span_equal(e.id, span_str(d->id)) && e.data.size == d->size;
    copy_text(c->id, &has, d->id);
    copy_text(c->source, &has, d->source);
    copy_text(c->type, &has, d->type);
    copy_text(c->queue, &has, d->queue);
    copy_text(c->subject, &c->has_subject, d->subject);
    copy_text(c->content_type, &c->has_content_type, d->content_type);
    snprintf(c->data, sizeof c->data, "%.*s", (int)d->size, d->data ? (const char *)d->data : "");
    c->size = d->size;
    c->epoch = d->consumer_epoch;
    c->lease_ms = d->lease_ms;
    c->attempt = d->attempt;
    arena_free(&arena);
    return seen_event(&c->seen, d);
}

static void publish_and_copy(struct sluice *s, const struct sluice_event *e, struct copy *c)
{
    *c = (struct copy){ .seen = seen_fresh() };
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, copy_event, c);
    assert_int_equal(sluice_publish_wait(s, "orders", e, 20000, NULL), SLUICE_OK);
    assert_true(seen_wait(&c->seen, 1));
    assert_ptr_equal(c->sub, sub);
    sluice_unsubscribe(sub);
}

static void omitted_attributes_take_the_defaults(void **state)
{
    struct sluice_options options = { .name = "shop" };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct sluice_event nothing = { 0 };
    struct copy one, two;
    publish_and_copy(s, &nothing, &one);
    publish_and_copy(s, &nothing, &two);
    assert_int_equal(strlen(one.id), 36);
    assert_string_not_equal(one.id, two.id);
    assert_string_equal(one.source, "/shop");
    assert_string_equal(one.type, "sluice.event");
    assert_false(one.has_subject);
    assert_false(one.has_content_type);
    assert_int_equal(one.size, 0);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void without_a_name_the_source_is_the_program_and_its_pid(void **state)
{
    struct sluice *s = seen_connect(state);
    struct copy c;
    char expected[64];
    publish_and_copy(s, &(struct sluice_event){ 0 }, &c);
    snprintf(expected, sizeof expected, "/%s/%d", program_invocation_short_name, (int)getpid());
    assert_string_equal(c.source, expected);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void given_attributes_are_delivered(void **state)
{
    struct sluice *s = seen_connect(state);
    const char *attributes[] = { "tenant", "acme", "region", "north", NULL };
    struct sluice_event e = { .id = "7",
                              .source = "/s",
                              .type = "t",
                              .subject = "about",
                              .content_type = "text/plain",
                              .data = "hello",
                              .size = 5,
                              .attributes = attributes };
    struct copy c;
    publish_and_copy(s, &e, &c);
    assert_string_equal(c.id, "7");
    assert_string_equal(c.source, "/s");
    assert_string_equal(c.type, "t");
    assert_string_equal(c.subject, "about");
    assert_string_equal(c.content_type, "text/plain");
    assert_string_equal(c.data, "hello");
    assert_string_equal(c.tenant, "acme");
    assert_int_equal(c.tenant_size, 4);
    assert_string_equal(c.cut, "ac");
    assert_int_equal(c.cut_size, 4);
    assert_int_equal(c.nothing_size, -1);
    assert_string_equal(c.queue, "orders");
    assert_int_equal(c.attempt, 1);
    assert_int_equal(c.lease_ms, 30000);
    assert_true(c.epoch > 0);
    assert_true(c.encoded_agrees);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void an_attribute_of_any_type_is_read_as_text(void **state)
{
    struct sluice *s = seen_connect(state);
    struct attribute count = { .name = span_str("count"), .type = ATTRIBUTE_INTEGER, .text = span_str("-42") };
    struct event e = {
        .id = span_str("1"), .source = span_str("/s"), .type = span_str("t"), .attributes = &count, .attribute_count = 1
    };
    struct buf bytes = { 0 };
    event_encode(&e, &bytes);
    struct copy c = { .seen = seen_fresh() };
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, copy_event, &c);
    struct sluice_bytes encoded = { bytes.data, bytes.size };
    assert_int_equal(sluice_publish_encoded(s, "orders", &encoded, 1, 1000, NULL, NULL), SLUICE_OK);
    assert_true(seen_wait(&c.seen, 1));
    assert_string_equal(c.count, "-42");
    sluice_unsubscribe(sub);
    buf_free(&bytes);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

static void a_publish_copies_what_it_is_given(void **state)
{
    struct sluice *s = seen_connect(state);
    struct copy c = { .seen = seen_fresh() };
    char data[] = "before", id[] = "one", queue[] = "orders";
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, copy_event, &c);
    assert_int_equal(
        sluice_publish(s, queue, &(struct sluice_event){ .id = id, .data = data, .size = 6 }, 1000, NULL, NULL),
        SLUICE_OK);
    memset(data, 'X', sizeof data);
    memset(id, 'X', sizeof id);
    memset(queue, 'X', sizeof queue);
    assert_true(seen_wait(&c.seen, 1));
    assert_string_equal(c.data, "before");
    assert_string_equal(c.id, "one");
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(omitted_attributes_take_the_defaults, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(without_a_name_the_source_is_the_program_and_its_pid, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(given_attributes_are_delivered, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(an_attribute_of_any_type_is_read_as_text, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_publish_copies_what_it_is_given, seen_start, seen_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
