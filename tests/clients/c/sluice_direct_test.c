/* Publishing from callbacks, which bypasses the command queue: the order is kept and all limits hold. */
#include "tests/clients/c/seen.h"
#include "tests/clients/c/test_broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS 2000

struct stream {
    struct seen seen;
    struct sluice *s;
    unsigned next;
    size_t size;
    char *data;
};

static struct stream *stream_new(struct sluice *s, size_t size)
{
    struct stream *c = calloc(1, sizeof *c);
    *c = (struct stream){ .seen = seen_fresh(), .s = s, .size = size, .data = calloc(1, size) };
    return c;
}

static void stream_free(struct stream *c)
{
    free(c->data);
    free(c);
}

/* Each event's data is its number. */
static int publish_next(struct stream *c, sluice_confirm_fn *confirm)
{
    struct sluice_event e = { .data = c->data, .size = c->size };
    snprintf(c->data, 16, "%u", c->next++);
    return sluice_publish(c->s, "orders", &e, 20000, confirm, c);
}

static void go_on(void *context, int error, uint64_t sequence)
{
    struct stream *c = context;
    for (int i = 0; i < 2 && c->next < EVENTS; i++)
        assert_int_equal(publish_next(c, go_on), SLUICE_OK);
    seen_confirm(&c->seen, error, sequence);
}

struct numbers {
    struct seen seen;
    unsigned next;
    size_t size;
};

static bool in_order(void *context, const struct sluice_delivery *d)
{
    struct numbers *n = context;
    assert_int_equal(d->size, n->size);
    assert_int_equal(strtoul(d->data, NULL, 10), n->next++);
    assert_int_equal(strlen(d->id), 36);
    return seen_event(&n->seen, d);
}

static void publish_all_from_callbacks(void **state, size_t size)
{
    struct sluice_options options = { .buffer_bytes = 64 << 20 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct numbers numbers = { .seen = seen_fresh(), .size = size };
    struct stream *c = stream_new(s, size);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, in_order, &numbers);
    assert_int_equal(publish_next(c, go_on), SLUICE_OK);
    assert_true(seen_wait(&numbers.seen, EVENTS));
    assert_true(seen_wait(&c->seen, EVENTS));
    assert_int_equal(c->seen.accepted, EVENTS);
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    stream_free(c);
}

static void events_of_callbacks_come_once_and_in_order(void **state)
{
    publish_all_from_callbacks(state, 200);
}

static void events_too_large_to_share_a_block_come_once_and_in_order(void **state)
{
    publish_all_from_callbacks(state, 5000);
}

/* ------------------------------------------------------------------ beside the queue */

static void publish_both_ways(void *context, int error, uint64_t sequence)
{
    /* source "/s", spec_version "1.0", type "t", and the data */
    static const char first[] = "\x0a\x01"
                                "1\x12\x02/s\x1a\x03"
                                "1.0\x22\x01t\x32\x05"
                                "first";
    struct stream *c = context;
    struct sluice_bytes batch = { first, sizeof first - 1 };
    struct sluice_event second = { .data = "second", .size = 6 };
    assert_int_equal(sluice_publish_encoded(c->s, "orders", &batch, 1, 20000, NULL, NULL), SLUICE_OK);
    assert_int_equal(sluice_publish(c->s, "orders", &second, 20000, NULL, NULL), SLUICE_OK);
    seen_confirm(&c->seen, error, sequence);
}

struct words {
    struct seen seen;
    char all[64];
};

static bool add_word(void *context, const struct sluice_delivery *d)
{
    struct words *w = context;
    size_t used = strlen(w->all);
    snprintf(w->all + used, sizeof w->all - used, "%.*s ", (int)d->size, (const char *)d->data);
    return seen_event(&w->seen, d);
}

static void a_callbacks_event_does_not_overtake_those_queued_before(void **state)
{
    struct sluice *s = seen_connect(state);
    struct words words = { .seen = seen_fresh() };
    struct stream *c = stream_new(s, 1);
    struct sluice_event zeroth = { .data = "zeroth", .size = 6 };
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, add_word, &words);
    assert_int_equal(sluice_publish(s, "orders", &zeroth, 20000, publish_both_ways, c), SLUICE_OK);
    assert_true(seen_wait(&words.seen, 3));
    assert_string_equal(words.all, "zeroth first second ");
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    stream_free(c);
}

/* ------------------------------------------------------------------ the same bytes */

struct encoded {
    struct seen seen;
    size_t count, size[4];
    uint8_t bytes[4][128];
    char id[4][40], source[40];
};

static bool keep_encoded(void *context, const struct sluice_delivery *d)
{
    struct encoded *k = context;
    assert_in_range(d->encoded.size, 50, sizeof k->bytes[0]);
    k->size[k->count] = d->encoded.size;
    memcpy(k->bytes[k->count], d->encoded.data, d->encoded.size);
    snprintf(k->source, sizeof k->source, "%s", d->source);
    snprintf(k->id[k->count++], sizeof k->id[0], "%s", d->id);
    return seen_event(&k->seen, d);
}

static void publish_two(struct sluice *s, sluice_confirm_fn *confirm, void *context)
{
    struct sluice_event some = { .data = "some", .size = 4 }, none = { 0 };
    assert_int_equal(sluice_publish(s, "orders", &some, 20000, NULL, NULL), SLUICE_OK);
    assert_int_equal(sluice_publish(s, "orders", &none, 20000, confirm, context), SLUICE_OK);
}

static void publish_two_more(void *context, int error, uint64_t sequence)
{
    struct stream *c = context;
    publish_two(c->s, NULL, NULL);
    seen_confirm(&c->seen, error, sequence);
}

static void callbacks_write_an_event_as_callers_do(void **state)
{
    enum { ID_BEGIN = 2, ID_END = 38 }; /* after its tag and size */
    struct sluice_options options = { .name = "writer" };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct encoded k = { .seen = seen_fresh() };
    struct stream *c = stream_new(s, 1);
    struct sluice_sub *sub = sluice_subscribe(s, "orders", 0, keep_encoded, &k);
    publish_two(s, publish_two_more, c);
    assert_true(seen_wait(&k.seen, 4));
    assert_true(seen_wait(&c->seen, 1));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(k.size[i], k.size[i + 2]);
        assert_memory_equal(k.bytes[i], k.bytes[i + 2], ID_BEGIN);
        assert_memory_equal(k.bytes[i] + ID_END, k.bytes[i + 2] + ID_END, k.size[i] - ID_END);
        assert_string_not_equal(k.id[i], k.id[i + 2]);
        assert_int_equal(strlen(k.id[i + 2]), 36);
    }
    assert_string_equal(k.source, "/writer");
    sluice_unsubscribe(sub);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    stream_free(c);
}

/* ------------------------------------------------------------------ bounds */

/* The same event twice, which is accepted once; and events that no broker accepts. */
static void publish_with_an_id(void *context, int error, uint64_t sequence)
{
    struct stream *c = context;
    struct sluice_event e = { .id = "42", .source = "/s", .data = "x", .size = 1 };
    struct sluice_event large = { .data = c->data, .size = c->size };
    assert_int_equal(sluice_publish(c->s, "once", &large, 20000, publish_with_an_id, c), SLUICE_TOO_LARGE);
    if (c->next++ < 3)
        assert_int_equal(sluice_publish(c->s, "once", &e, 20000, publish_with_an_id, c), SLUICE_OK);
    seen_confirm(&c->seen, error, sequence);
}

static void events_of_callbacks_have_their_ids_and_limits(void **state)
{
    struct sluice *s = seen_connect(state);
    struct stream *c = stream_new(s, 2 << 20);
    struct sluice_event first = { .data = "x", .size = 1 };
    assert_int_equal(sluice_publish(s, "orders", &first, 20000, publish_with_an_id, c), SLUICE_OK);
    assert_true(seen_wait(&c->seen, 4));
    assert_int_equal(c->seen.accepted, 4);
    assert_int_equal(c->seen.last_sequence, 1);
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    stream_free(c);
}

static void publish_until_busy(void *context, int error, uint64_t sequence)
{
    struct stream *c = context;
    struct sluice_event e = { .data = "x", .size = 1 };
    struct sluice_stats stats;
    if (sequence == 1) {
        int said;
        while ((said = sluice_publish(c->s, "orders", &e, 20000, publish_until_busy, c)) == SLUICE_OK)
            c->next++;
        assert_int_equal(said, SLUICE_BUSY);
        assert_int_equal(sluice_publish(c->s, "no spaces", &e, 0, NULL, NULL), SLUICE_INVALID);
        assert_int_equal(sluice_publish(c->s, NULL, &e, 0, NULL, NULL), SLUICE_INVALID);
        sluice_stats(c->s, &stats);
        assert_in_range(stats.undecided, c->next, c->next + 1); /* the first is counted until the turn ends */
    }
    seen_confirm(&c->seen, error, sequence);
}

static void the_clients_buffer_bounds_callbacks_too(void **state)
{
    struct sluice_options options = { .buffer_bytes = 1000 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL);
    struct stream *c = stream_new(s, 1);
    struct sluice_event e = { .data = "x", .size = 1 };
    assert_int_equal(sluice_publish(s, "orders", &e, 20000, publish_until_busy, c), SLUICE_OK);
    assert_true(seen_wait(&c->seen, 2));
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    assert_in_range(c->next, 5, 16); /* of some 70 B each */
    assert_int_equal(c->seen.accepted, c->next + 1);
    stream_free(c);
}

static void publish_another(void *context, int error, uint64_t sequence)
{
    struct stream *c = context;
    for (; c->next; c->next--)
        sluice_publish(c->s, "orders", &(struct sluice_event){ .data = "x", .size = 1 }, 20000, publish_another, c);
    seen_confirm(&c->seen, error, sequence);
}

/* Ends a linger, as anything more urgent than a publish does. */
static void hurry(struct sluice *s)
{
    struct seen none = seen_fresh();
    sluice_unsubscribe(sluice_subscribe(s, "other", 1, seen_event, &none));
}

static void a_callbacks_events_linger_until_the_clients_buffer_is_full(void **state)
{
    struct sluice_options options = { .buffer_bytes = 1000, .linger_ms = 3600000 };
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), &options, NULL), *other = seen_connect(state);
    struct stream *c = stream_new(s, 1);
    struct sluice_event e = { .data = "x", .size = 1 };
    c->next = 1;
    assert_int_equal(sluice_publish(s, "orders", &e, 20000, publish_another, c), SLUICE_OK);
    hurry(s);
    assert_true(seen_wait(&c->seen, 1));
    for (int i = 0; i < 20; i++) /* round trips in which it would have arrived */
        assert_int_equal(sluice_publish_wait(other, "other", &e, 20000, NULL), SLUICE_OK);
    assert_int_equal(seen_count(&c->seen), 1);
    c->next = 100; /* more than fits: SLUICE_BUSY */
    hurry(s);
    assert_true(seen_wait(&c->seen, 8));
    assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    assert_int_equal(sluice_close(other, 20000), SLUICE_OK);
    stream_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_of_callbacks_come_once_and_in_order, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(events_too_large_to_share_a_block_come_once_and_in_order, seen_start,
                                        seen_stop),
        cmocka_unit_test_setup_teardown(a_callbacks_event_does_not_overtake_those_queued_before, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(callbacks_write_an_event_as_callers_do, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(events_of_callbacks_have_their_ids_and_limits, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(the_clients_buffer_bounds_callbacks_too, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(a_callbacks_events_linger_until_the_clients_buffer_is_full, seen_start,
                                        seen_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
