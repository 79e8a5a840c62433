#include "tests/sidecar/api/api_driver.h"

#include "sidecar/api/event_json.h"

#define START "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\""

static void assert_written(const struct buf *encoded, const char *json)
{
    struct buf out = { 0 };
    event_json_write(buf_span(encoded), &out);
    buf_add_byte(&out, '\0');
    assert_string_equal((char *)out.data, json);
    buf_free(&out);
}

static void writes(struct attribute *attributes, size_t count, enum data_kind kind, struct span data, const char *json)
{
    struct event e = { .id = span_str("a"),
                       .source = span_str("/s"),
                       .type = span_str("t"),
                       .attributes = attributes,
                       .attribute_count = count,
                       .data_kind = kind,
                       .data = data };
    struct buf encoded = { 0 };
    event_encode(&e, &encoded);
    assert_written(&encoded, json);
    buf_free(&encoded);
}

static struct attribute content_type(const char *type)
{
    return (struct attribute){ span_str("datacontenttype"), ATTRIBUTE_STRING, span_str(type) };
}

static void booleans_and_integers_have_no_quotes(void **state)
{
    struct attribute all[] = { { span_str("flag"), ATTRIBUTE_BOOLEAN, span_str("false") },
                               { span_str("n"), ATTRIBUTE_INTEGER, span_str("-2147483648") },
                               { span_str("s"), ATTRIBUTE_STRING, span_str("1") } };
    (void)state;
    writes(all, 3, DATA_NONE, span_str(""), START ",\"flag\":false,\"n\":-2147483648,\"s\":\"1\"}");
}

static void json_text_goes_in_as_it_is(void **state)
{
    struct attribute json = content_type("application/json");
    (void)state;
    writes(NULL, 0, DATA_TEXT, span_str("[1e400, 1.0]"), START ",\"data\":[1e400, 1.0]}");
    writes(&json, 1, DATA_TEXT, span_str("{\"a\":1,\"a\":2}"),
           START ",\"datacontenttype\":\"application/json\",\"data\":{\"a\":1,\"a\":2}}");
}

static void other_text_is_a_string(void **state)
{
    struct attribute plain = content_type("text/plain");
    (void)state;
    writes(&plain, 1, DATA_TEXT, span_str("a\"b\n\u20ac"),
           START ",\"datacontenttype\":\"text/plain\",\"data\":\"a\\\"b\\n\u20ac\"}");
    writes(NULL, 0, DATA_TEXT, span_str("not json"), START ",\"data\":\"not json\"}");
}

static void bytes_are_base64(void **state)
{
    (void)state;
    writes(NULL, 0, DATA_BINARY, span_of("\0\xff", 2), START ",\"data_base64\":\"AP8=\"}");
    writes(NULL, 0, DATA_BINARY, span_str(""), START ",\"data_base64\":\"\"}");
}

static void bytes_that_are_json_or_text_by_their_type_are_written_as_such(void **state)
{
    struct attribute json = content_type("application/vnd.x+json; charset=utf-8"), text = content_type("Text/csv");
    (void)state;
    writes(&json, 1, DATA_BINARY, span_str(" {\"total\": 0}\n"),
           START ",\"datacontenttype\":\"application/vnd.x+json; charset=utf-8\",\"data\":{\"total\": 0}}");
    writes(&text, 1, DATA_BINARY, span_str("a,\"\u20ac\""),
           START ",\"datacontenttype\":\"Text/csv\",\"data\":\"a,\\\"\u20ac\\\"\"}");
    writes(&text, 1, DATA_BINARY, span_str(""), START ",\"datacontenttype\":\"Text/csv\",\"data\":\"\"}");
}

static void bytes_that_are_not_what_their_type_says_stay_bytes(void **state)
{
    struct attribute json = content_type("application/json"), text = content_type("text/plain"),
                     other = content_type("application/octet-stream");
    (void)state;
    writes(&json, 1, DATA_BINARY, span_str("{a"),
           START ",\"datacontenttype\":\"application/json\",\"data_base64\":\"e2E=\"}");
    writes(&json, 1, DATA_BINARY, span_str("\"\xff\""),
           START ",\"datacontenttype\":\"application/json\",\"data_base64\":\"Iv8i\"}");
    writes(&text, 1, DATA_BINARY, span_str("\xff"),
           START ",\"datacontenttype\":\"text/plain\",\"data_base64\":\"/w==\"}");
    writes(&other, 1, DATA_BINARY, span_str("{}"),
           START ",\"datacontenttype\":\"application/octet-stream\",\"data_base64\":\"e30=\"}");
    writes(NULL, 0, DATA_BINARY, span_str("{}"), START ",\"data_base64\":\"e30=\"}");
}

static void of_a_protobuf_message_the_value_is_shown(void **state)
{
    (void)state;
    writes(NULL, 0, DATA_PROTO, span_str("\x0a\x01t\x12\x02hi"), START ",\"data_base64\":\"aGk=\"}");
}

static void a_timestamp_comes_back_as_it_was_written(void **state)
{
    static const char *const times[] = { "2024-05-01T12:00:00Z", "2024-05-01T12:00:00.120Z",
                                         "2024-05-01T12:00:00+02:00", "2024-05-01t12:00:00z" };
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct attribute time = { span_str("time"), ATTRIBUTE_TIMESTAMP, span_str(times[i]) };
        struct buf json = { 0 };
        buf_printf(&json, START ",\"time\":\"%s\"}", times[i]);
        buf_add_byte(&json, '\0');
        writes(&time, 1, DATA_NONE, span_str(""), (char *)json.data);
        buf_free(&json);
    }
}

static void what_is_no_event_is_wrapped_and_can_be_looked_at(void **state)
{
    struct buf garbage = { 0 };
    (void)state;
    buf_add_str(&garbage, "\x0a\xff");
    assert_written(&garbage,
                   "{\"specversion\":\"1.0\",\"id\":\"invalid\",\"source\":\"/sluice\",\"type\":\"sluice.invalid\","
                   "\"datacontenttype\":\"application/octet-stream\",\"data_base64\":\"Cv8=\"}");
    buf_free(&garbage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(booleans_and_integers_have_no_quotes),
        cmocka_unit_test(json_text_goes_in_as_it_is),
        cmocka_unit_test(other_text_is_a_string),
        cmocka_unit_test(bytes_are_base64),
        cmocka_unit_test(bytes_that_are_json_or_text_by_their_type_are_written_as_such),
        cmocka_unit_test(bytes_that_are_not_what_their_type_says_stay_bytes),
        cmocka_unit_test(of_a_protobuf_message_the_value_is_shown),
        cmocka_unit_test(a_timestamp_comes_back_as_it_was_written),
        cmocka_unit_test(what_is_no_event_is_wrapped_and_can_be_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
