/* Filters: which events pass, which filters are valid, and their round trip to JSON. */
#include "proto/event.h"
#include "proto/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#define S(text) span_str(text)

static struct buf filter, event;
static struct error why;

static int end(void **state)
{
    (void)state;
    buf_free(&filter);
    buf_free(&event);
    return 0;
}

/* An event with an attribute of every type. */
static void make_event(void)
{
    struct attribute attributes[] = {
        { S("subject"), ATTRIBUTE_STRING, S("orders/7") },
        { S("time"), ATTRIBUTE_TIMESTAMP, S("2024-05-01T12:00:00Z") },
        { S("count"), ATTRIBUTE_INTEGER, S("-42") },
        { S("seen"), ATTRIBUTE_TIMESTAMP, S("2024-05-01T12:00:00.025Z") },
        { S("urgent"), ATTRIBUTE_BOOLEAN, S("true") },
        { S("dataschema"), ATTRIBUTE_URI, S("https://example.com/schema") },
        { S("origin"), ATTRIBUTE_URI_REF, S("../shop") },
        { S("one"), ATTRIBUTE_BYTES, S("AA==") },
        { S("two"), ATTRIBUTE_BYTES, S("AP8=") },
        { S("three"), ATTRIBUTE_BYTES, S("AP/+") },
        { S("seven"), ATTRIBUTE_BYTES, S("AQIDBAUGBw==") },
        { S("empty"), ATTRIBUTE_STRING, S("") },
    };
    struct event e = { .id = S("1"),
                       .source = S("/shop"),
                       .type = S("order.placed"),
                       .attributes = attributes,
                       .attribute_count = sizeof attributes / sizeof *attributes };
    buf_clear(&event);
    event_encode(&e, &event);
}

static void parse(const char *json)
{
    buf_clear(&filter);
    if (!filter_from_text(S(json), "filter", &filter, &why))
        fail_msg("%s", why.text);
    assert_true(filter_valid(buf_span(&filter)));
}

static bool passes(const char *json)
{
    parse(json);
    return filter_matches(buf_span(&filter), buf_span(&event));
}

static void each_dialect_compares_text(void **state)
{
    (void)state;
    make_event();
    assert_true(passes("{\"exact\":{\"type\":\"order.placed\"}}"));
    assert_false(passes("{\"exact\":{\"type\":\"order.place\"}}"));
    assert_false(passes("{\"exact\":{\"type\":\"Order.placed\"}}"));
    assert_true(passes("{\"prefix\":{\"type\":\"order.\"}}"));
    assert_true(passes("{\"prefix\":{\"type\":\"order.placed\"}}"));
    assert_false(passes("{\"prefix\":{\"type\":\"order.placed.\"}}"));
    assert_false(passes("{\"prefix\":{\"type\":\"placed\"}}"));
    assert_true(passes("{\"suffix\":{\"type\":\".placed\"}}"));
    assert_false(passes("{\"suffix\":{\"type\":\"order.\"}}"));
    assert_false(passes("{\"suffix\":{\"type\":\"an order.placed\"}}"));
}

static void several_attributes_must_all_match(void **state)
{
    (void)state;
    make_event();
    assert_true(passes("{\"exact\":{\"type\":\"order.placed\",\"source\":\"/shop\",\"subject\":\"orders/7\"}}"));
    assert_false(passes("{\"exact\":{\"type\":\"order.placed\",\"source\":\"/other\",\"subject\":\"orders/7\"}}"));
    assert_false(passes("{\"prefix\":{\"type\":\"order\",\"subject\":\"orders/8\"}}"));
    assert_true(passes("{\"suffix\":{\"subject\":\"7\",\"id\":\"1\"}}"));
}

static void filters_combine(void **state)
{
    (void)state;
    make_event();
    assert_true(passes("{\"all\":[{\"prefix\":{\"type\":\"order.\"}},{\"suffix\":{\"subject\":\"/7\"}}]}"));
    assert_false(passes("{\"all\":[{\"prefix\":{\"type\":\"order.\"}},{\"suffix\":{\"subject\":\"/8\"}}]}"));
    assert_true(passes("{\"any\":[{\"exact\":{\"type\":\"x\"}},{\"suffix\":{\"subject\":\"/7\"}}]}"));
    assert_false(passes("{\"any\":[{\"exact\":{\"type\":\"x\"}},{\"exact\":{\"type\":\"y\"}}]}"));
    assert_false(passes("{\"not\":{\"exact\":{\"type\":\"order.placed\"}}}"));
    assert_true(passes("{\"not\":{\"not\":{\"exact\":{\"type\":\"order.placed\"}}}}"));
    /* the event's first attribute is not the one of the filter's first test */
    assert_false(passes("{\"all\":[{\"exact\":{\"type\":\"x\"}},{\"exact\":{\"id\":\"1\"}}]}"));
    assert_true(passes("{\"any\":[{\"exact\":{\"type\":\"order.placed\"}},{\"exact\":{\"id\":\"2\"}}]}"));
    assert_true(passes("{\"any\":[{\"all\":[{\"exact\":{\"id\":\"2\"}},{\"exact\":{\"id\":\"1\"}}]},"
                       "{\"not\":{\"any\":[{\"exact\":{\"id\":\"2\"}},{\"exact\":{\"id\":\"3\"}}]}}]}"));
}

static void an_absent_attribute_matches_no_comparison(void **state)
{
    (void)state;
    make_event();
    assert_false(passes("{\"exact\":{\"tenant\":\"a\"}}"));
    assert_false(passes("{\"exact\":{\"type\":\"order.placed\",\"tenant\":\"a\"}}"));
    assert_false(passes("{\"prefix\":{\"empty\":\"a\"}}"));
    assert_true(passes("{\"not\":{\"exact\":{\"tenant\":\"a\"}}}"));
    assert_true(passes("{\"any\":[{\"exact\":{\"tenant\":\"a\"}},{\"exact\":{\"specversion\":\"1.0\"}}]}"));
}

static void attributes_of_every_type_are_compared_by_their_text(void **state)
{
    (void)state;
    make_event();
    assert_true(passes("{\"exact\":{\"time\":\"2024-05-01T12:00:00Z\"}}"));
    assert_true(passes("{\"prefix\":{\"time\":\"2024-05\"}}"));
    assert_true(passes("{\"exact\":{\"seen\":\"2024-05-01T12:00:00.025Z\"}}"));
    assert_true(passes("{\"exact\":{\"count\":\"-42\"}}"));
    assert_true(passes("{\"exact\":{\"urgent\":\"true\"}}"));
    assert_false(passes("{\"exact\":{\"urgent\":\"1\"}}"));
    assert_true(passes("{\"exact\":{\"dataschema\":\"https://example.com/schema\"}}"));
    assert_true(passes("{\"suffix\":{\"origin\":\"/shop\"}}"));
    assert_true(passes("{\"exact\":{\"one\":\"AA==\",\"two\":\"AP8=\",\"three\":\"AP/+\"}}"));
    assert_true(passes("{\"suffix\":{\"one\":\"A==\",\"two\":\"8=\",\"three\":\"P/+\"}}"));
    assert_false(passes("{\"suffix\":{\"one\":\"A=\"}}"));
    assert_true(passes("{\"exact\":{\"seven\":\"AQIDBAUGBw==\"}}"));
    assert_true(passes("{\"prefix\":{\"seven\":\"AQIDBAU\"}}"));
    assert_false(passes("{\"exact\":{\"two\":\"AP8\"}}"));
}

/* Events are not checked: of a repeated attribute the first counts, and malformed bytes end the attributes. */
static void malformed_events_are_matched_without_reading_outside(void **state)
{
    (void)state;
    static const uint8_t twice[] = { 0x22, 1, 'a', 0x22, 1, 'b' }, torn[] = { 0x22, 1, 'a', 0x12, 9, 'b' };
    parse("{\"exact\":{\"type\":\"b\"}}");
    assert_false(filter_matches(buf_span(&filter), span_of(twice, sizeof twice)));
    assert_false(filter_matches(buf_span(&filter), span_of(torn, sizeof torn)));
    assert_false(filter_matches(buf_span(&filter), S("")));
    parse("{\"exact\":{\"type\":\"a\"}}");
    assert_true(filter_matches(buf_span(&filter), span_of(twice, sizeof twice)));
    assert_true(filter_matches(buf_span(&filter), span_of(torn, sizeof torn)));
    parse("{\"not\":{\"exact\":{\"source\":\"b\"}}}");
    assert_true(filter_matches(buf_span(&filter), span_of(torn, sizeof torn)));
}

static void no_filter_passes_everything(void **state)
{
    (void)state;
    assert_true(filter_valid(S("")));
    assert_true(filter_matches(S(""), S("anything")));
    assert_null(filter_to_json(S("")));
}

static void refuses(const char *json, const char *says)
{
    buf_clear(&filter);
    buf_add_byte(&filter, 'x');
    if (filter_from_text(S(json), "filter", &filter, &why))
        fail_msg("taken: %s", json);
    if (!strstr(why.text, says))
        fail_msg("'%s' does not say '%s'", why.text, says);
    assert_int_equal(filter.size, 1); /* the buffer keeps its content, and nothing is added */
}

static void an_error_says_what_is_wrong_and_where(void **state)
{
    (void)state;
    refuses("{\"sql\":{}}", "filter: unknown operator 'sql'; the operators are exact, prefix");
    refuses("{\"all\":[{\"exact\":{\"a\":\"b\"}},{\"like\":1}]}", "filter.all[1]: unknown operator 'like'");
    refuses("{\"any\":[{\"not\":{\"x\":1}}]}", "filter.any[0].not: unknown operator 'x'");
    refuses("{}", "filter: a filter is an object with one operator");
    refuses("[]", "one operator");
    refuses("null", "one operator");
    refuses("7", "one operator");
    refuses("{\"exact\":{\"a\":\"b\"},\"prefix\":{\"a\":\"b\"}}", "join several by all or any");
    refuses("{\"all\":[]}", "filter.all: must be a list of 1 to 64 filters");
    refuses("{\"any\":{\"exact\":{\"a\":\"b\"}}}", "filter.any: must be a list");
    refuses("{\"not\":[{\"exact\":{\"a\":\"b\"}}]}", "filter.not: a filter is an object");
    refuses("{\"exact\":{}}", "filter.exact: must be an object of one or more attributes");
    refuses("{\"exact\":\"type\"}", "filter.exact: must be an object");
    refuses("{\"exact\":{\"type\":7}}", "filter.exact.type: the value to compare with must be a string");
    refuses("{\"exact\":{\"type\":\"\"}}", "filter.exact.type: the value to compare with must be a string that is not");
    refuses("{\"exact\":{\"Type\":\"a\"}}", "filter.exact: 'Type' is not an attribute name");
    refuses("{\"exact\":{\"\":\"a\"}}", "'' is not an attribute name");
    refuses("{\"exact\":{\"data\":\"a\"}}", "'data' is not an attribute name");
    refuses("{\"exact\":{\"type\":\"a\\u0000\"}}", "is not JSON");
    refuses("{\"exact\":{\"type\":\"a\",\"type\":\"b\"}}", "duplicate");
    refuses("{", "filter: is not JSON");
}

/* A filter in JSON with that many levels or tests. A level is `begin` and what closes it. */
static char *nested(unsigned levels, const char *begin, const char *end)
{
    struct buf b = { 0 };
    for (unsigned i = 1; i < levels; i++)
        buf_add_str(&b, begin);
    buf_add_str(&b, "{\"exact\":{\"a\":\"b\"}}");
    for (unsigned i = 1; i < levels; i++)
        buf_add_str(&b, end);
    buf_add_byte(&b, 0);
    return (char *)b.data;
}

static char *wide(unsigned tests, unsigned value)
{
    struct buf b = { 0 };
    buf_add_str(&b, "{\"any\":[");
    for (unsigned i = 0; i < tests; i++)
        buf_printf(&b, "%s{\"exact\":{\"a%u\":\"%0*u\"}}", i ? "," : "", i, (int)value, i);
    buf_add_str(&b, "]}");
    buf_add_byte(&b, 0);
    return (char *)b.data;
}

static void a_filter_beyond_a_bound_is_refused(void **state)
{
    (void)state;
    char *fits[] = { nested(FILTER_DEPTH_MAX, "{\"not\":", "}"), wide(FILTER_TESTS_MAX, 8), wide(1, 4000),
                     nested(FILTER_DEPTH_MAX, "{\"all\":[", "]}") };
    char *deep = nested(FILTER_DEPTH_MAX + 1, "{\"not\":", "}");
    char *deep_lists = nested(FILTER_DEPTH_MAX + 1, "{\"any\":[", "]}");
    char *many = wide(FILTER_TESTS_MAX + 1, 8), *large = wide(8, 600);
    struct buf spread = { 0 };
    for (size_t i = 0; i < sizeof fits / sizeof *fits; i++)
        parse(fits[i]);
    refuses(deep, "nested at most 8 deep");
    refuses(deep_lists, "nested at most 8 deep");
    refuses(many, "must be a list of 1 to 64");
    refuses(large, "too large, more than 4096 bytes");
    buf_printf(&spread, "{\"all\":[%s,{\"exact\":{\"a\":\"b\"}}]}", fits[1]);
    buf_add_byte(&spread, 0);
    refuses((char *)spread.data, "compares at most 64 attributes");
    buf_free(&spread);
    for (size_t i = 0; i < sizeof fits / sizeof *fits; i++)
        free(fits[i]);
    free(deep);
    free(deep_lists);
    free(many);
    free(large);
}

/* The 64th test is the last bit of a mask. */
static void the_last_of_many_tests_decides(void **state)
{
    (void)state;
    struct attribute a = { S("a63"), ATTRIBUTE_STRING, S("00000063") };
    struct event e = { .id = S("1"), .source = S("s"), .type = S("t"), .attributes = &a, .attribute_count = 1 };
    char *json = wide(FILTER_TESTS_MAX, 8);
    buf_clear(&event);
    event_encode(&e, &event);
    assert_true(passes(json));
    free(json);
}

static void a_filter_comes_back_as_it_was(void **state)
{
    (void)state;
    static const char *const filters[] = {
        "{\"exact\":{\"type\":\"order.placed\",\"subject\":\"a\"}}",
        "{\"exact\":{\"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\":\"a long name\"}}",
        "{\"suffix\":{\"z\":\"gr\\u00fc\\u00df\",\"a\":\"\\\"\"}}",
        "{\"all\":[{\"prefix\":{\"a\":\"b\"}},{\"not\":{\"any\":[{\"suffix\":{\"c\":\"d\"}}]}}]}",
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        parse(filters[i]);
        json_t *json = filter_to_json(buf_span(&filter));
        char *text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
        json_t *wanted = json_loads(filters[i], 0, NULL);
        char *wanted_text = json_dumps(wanted, JSON_COMPACT | JSON_ENSURE_ASCII);
        assert_string_equal(text, wanted_text);
        free(text);
        free(wanted_text);
        json_decref(json);
        json_decref(wanted);
    }
}

static void refused_bytes(const char *bytes, size_t size)
{
    if (filter_valid(span_of(bytes, size)))
        fail_msg("%zu bytes beginning with %02x are taken for a filter", size, (unsigned)(uint8_t)bytes[0]);
}

static void encoded_filters_are_checked(void **state)
{
    (void)state;
    parse("{\"all\":[{\"exact\":{\"a\":\"b\"}},{\"not\":{\"suffix\":{\"c\":\"d\",\"e\":\"f\"}}}]}");
    for (size_t size = 1; size < filter.size; size++)
        refused_bytes((const char *)filter.data, size);
    buf_add_byte(&filter, 0);
    refused_bytes((const char *)filter.data, filter.size);
    refused_bytes("\2\1\1\1a\1b", 7); /* another version */
    refused_bytes("\1\0\1\1a\1b", 7); /* no such operator */
    refused_bytes("\1\7\1\1a\1b", 7);
    refused_bytes("\1\1\0", 3); /* nothing to compare */
    refused_bytes("\1\4\0", 3);
    refused_bytes("\1\1\1\1A\1b", 7);    /* not an attribute name */
    refused_bytes("\1\1\1\1a\0", 6);     /* no value */
    refused_bytes("\1\1\1\1a\1\xff", 7); /* not UTF-8 */
    refused_bytes("\1\1\1\1a\1\0", 7);
    refused_bytes("\1\1\2\1a\1b\1a\1c", 11); /* one name twice */
    refused_bytes("\1\1\1\1a\x81\0b", 8);    /* a size in more bytes than needed */
    assert_true(filter_valid(span_of("\1\1\1\1a\1b", 7)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_dialect_compares_text),
        cmocka_unit_test(several_attributes_must_all_match),
        cmocka_unit_test(filters_combine),
        cmocka_unit_test(an_absent_attribute_matches_no_comparison),
        cmocka_unit_test(attributes_of_every_type_are_compared_by_their_text),
        cmocka_unit_test(malformed_events_are_matched_without_reading_outside),
        cmocka_unit_test(no_filter_passes_everything),
        cmocka_unit_test(an_error_says_what_is_wrong_and_where),
        cmocka_unit_test(a_filter_beyond_a_bound_is_refused),
        cmocka_unit_test(the_last_of_many_tests_decides),
        cmocka_unit_test(a_filter_comes_back_as_it_was),
        cmocka_unit_test(encoded_filters_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
