/* Dead letters: the published event plus its failures, as attributes that any CloudEvents reader understands. */
#include "proto/dead_letter.h"

#include "proto/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;
static struct buf encoded, written;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 1u << 20);
    buf_clear(&encoded);
    buf_clear(&written);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    buf_free(&encoded);
    buf_free(&written);
    return 0;
}

static const struct dead_letter sample = {
    .queue = "orders",
    .sequence = UINT64_C(9007199254740991),
    .attempts = 12,
    .trouble = { .failures = 10,
                 .dead = DEAD_MAX_DELIVERIES,
                 .first_ms = INT64_C(1700000000123),
                 .last_ms = INT64_C(1700000060000),
                 .status = 503,
                 .error = "no such user" },
};

static void encode(size_t attributes)
{
    struct attribute list[EVENT_ATTRIBUTES_MAX];
    struct event e = { .id = span_str("1"), .source = span_str("/shop"), .type = span_str("placed") };
    char(*names)[24] = arena_alloc(&arena, (attributes + 1) * sizeof *names);
    for (size_t i = 0; i < attributes; i++) {
        snprintf(names[i], sizeof names[i], "x%zu", i);
        list[i] = (struct attribute){ span_str(names[i]), ATTRIBUTE_STRING, span_str("v") };
    }
    e.attributes = list;
    e.attribute_count = attributes;
    e.data_kind = DATA_TEXT;
    e.data = span_str("a book");
    event_encode(&e, &encoded);
}

static struct event decoded(void)
{
    struct event e;
    struct error why = { "" };
    if (!event_decode(buf_span(&written), &arena, &e, &why))
        fail_msg("%s", why.text);
    return e;
}

static const char *text(const struct event *e, const char *name)
{
    static char out[300];
    struct span s = event_attribute(e, name);
    snprintf(out, sizeof out, "%.*s", (int)s.size, s.size ? (const char *)s.data : "");
    return out;
}

static void a_dead_letters_attributes_say_what_went_wrong(void **state)
{
    (void)state;
    encode(1);
    dead_letter_write(&written, buf_span(&encoded), &sample);
    struct event e = decoded();
    assert_string_equal(text(&e, "sluicedeadqueue"), "orders");
    assert_string_equal(text(&e, "sluicedeadsequence"), "9007199254740991");
    assert_string_equal(text(&e, "sluicedeadreason"), "max_deliveries");
    assert_string_equal(text(&e, "sluicedeadattempts"), "12");
    assert_string_equal(text(&e, "sluicedeadfailures"), "10");
    assert_string_equal(text(&e, "sluicedeadcrashes"), "0");
    assert_string_equal(text(&e, "sluicedeadstatus"), "503");
    assert_string_equal(text(&e, "sluicedeaderror"), "no such user");
    assert_string_equal(text(&e, "sluicedeadfirst"), "2023-11-14T22:13:20.123Z");
    assert_string_equal(text(&e, "sluicedeadlast"), "2023-11-14T22:14:20Z");
}

static void a_dead_letter_has_every_published_byte(void **state)
{
    (void)state;
    encode(3);
    dead_letter_write(&written, buf_span(&encoded), &sample);
    assert_memory_equal(written.data, encoded.data, encoded.size);
    struct event e = decoded();
    assert_string_equal(text(&e, "x2"), "v");
    assert_true(span_equal(e.data, span_str("a book")));
}

static void attributes_without_a_value_are_absent(void **state)
{
    (void)state;
    struct dead_letter l = sample;
    l.trouble.status = 0;
    l.trouble.error = "";
    encode(0);
    dead_letter_write(&written, buf_span(&encoded), &l);
    struct event e = decoded();
    assert_null(event_attribute(&e, "sluicedeadstatus").data);
    assert_null(event_attribute(&e, "sluicedeaderror").data);
    assert_int_equal(e.attribute_count, 8);
}

static void a_second_death_replaces_the_attributes_of_the_first(void **state)
{
    (void)state;
    struct buf first = { 0 };
    struct dead_letter again = sample;
    again.queue = "parking";
    again.trouble.status = 0;
    encode(1);
    dead_letter_write(&first, buf_span(&encoded), &sample);
    dead_letter_write(&written, buf_span(&first), &again);
    struct event e = decoded(); /* an event with a repeated name would be invalid */
    assert_string_equal(text(&e, "sluicedeadqueue"), "parking");
    assert_null(event_attribute(&e, "sluicedeadstatus").data);
    assert_string_equal(text(&e, "x0"), "v");
    buf_free(&first);
}

/* Protobuf allows any order, and so an event may have come with one. */
static void attributes_of_an_earlier_death_are_found_in_any_order_of_fields(void **state)
{
    (void)state;
    static const uint8_t entry[] = "\x2a\x16\x12\x03\x1a\x01q\x0a\x0fsluicedeadqueue";
    encode(1);
    buf_add(&encoded, entry, sizeof entry - 1);
    dead_letter_write(&written, buf_span(&encoded), &sample);
    struct event e = decoded(); /* an event with a repeated name would be invalid */
    assert_string_equal(text(&e, "sluicedeadqueue"), "orders");
}

static void characters_of_an_error_that_no_attribute_may_hold_become_spaces(void **state)
{
    (void)state;
    struct dead_letter l = sample;
    l.trouble.error = "a\tb\nc\x7f\xc2\x85\xc3\xa9\xef\xbf\xbf\xf0\x9f\xbf\xbe!";
    encode(0);
    dead_letter_write(&written, buf_span(&encoded), &l);
    struct event e = decoded();
    assert_string_equal(text(&e, "sluicedeaderror"), "a b c   \xc3\xa9       !");
    char longest[TROUBLE_ERROR_MAX + 1];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    l.trouble.error = longest;
    buf_clear(&written);
    dead_letter_write(&written, buf_span(&encoded), &l);
    e = decoded();
    assert_string_equal(text(&e, "sluicedeaderror"), longest);
}

static void an_event_with_the_maximum_of_attributes_gets_none(void **state)
{
    (void)state;
    encode(EVENT_ATTRIBUTES_MAX - 2);
    dead_letter_write(&written, buf_span(&encoded), &sample);
    struct event e = decoded();
    assert_int_equal(e.attribute_count, EVENT_ATTRIBUTES_MAX);
    assert_string_equal(text(&e, "sluicedeadsequence"), "9007199254740991");
    assert_null(event_attribute(&e, "sluicedeadreason").data);
}

static void bytes_that_are_not_an_event_are_kept_as_they_are(void **state)
{
    (void)state;
    static const char *const odd[] = { "one", "\x2a\x05xx", "\x08", "" };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        buf_clear(&written);
        dead_letter_write(&written, span_str(odd[i]), &sample);
        assert_true(written.size > strlen(odd[i]) + 100);
        assert_memory_equal(written.data, odd[i], strlen(odd[i]));
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(a_dead_letters_attributes_say_what_went_wrong),
        CASE(a_dead_letter_has_every_published_byte),
        CASE(attributes_without_a_value_are_absent),
        CASE(a_second_death_replaces_the_attributes_of_the_first),
        CASE(attributes_of_an_earlier_death_are_found_in_any_order_of_fields),
        CASE(characters_of_an_error_that_no_attribute_may_hold_become_spaces),
        CASE(an_event_with_the_maximum_of_attributes_gets_none),
        CASE(bytes_that_are_not_an_event_are_kept_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
