#include "tests/sidecar/api/api_driver.h"

#include "sidecar/api/json_write.h"

#include <jansson.h>

static void assert_text(struct buf *b, const char *text)
{
    buf_add_byte(b, '\0');
    assert_string_equal((char *)b->data, text);
    buf_free(b);
}

static void strings_are_escaped_where_they_must_be(void **state)
{
    struct buf b = { 0 };
    (void)state;
    json_add_string(&b, span_of("\"\\/\b\f\n\r\t\x01\x7f\0\u20ac", 14));
    assert_text(&b, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\\u0000\u20ac\"");
    json_add_string(&b, span_str(""));
    assert_text(&b, "\"\"");
}

static void members_are_separated_by_commas(void **state)
{
    struct buf b = { 0 };
    (void)state;
    buf_add_byte(&b, '{');
    json_add_text_member(&b, "a", span_str("x"));
    json_add_number_member(&b, "b", UINT64_MAX);
    json_add_name(&b, span_str("c"));
    buf_add_byte(&b, '{');
    json_add_number_member(&b, "d", 0);
    buf_add_str(&b, "}}");
    assert_text(&b, "{\"a\":\"x\",\"b\":18446744073709551615,\"c\":{\"d\":0}}");
}

static void base64_is_padded(void **state)
{
    struct buf b = { 0 };
    (void)state;
    json_add_base64(&b, span_str("a"));
    assert_text(&b, "\"YQ==\"");
    json_add_base64(&b, span_str(""));
    assert_text(&b, "\"\"");
}

static void a_document_is_appended_compact(void **state)
{
    struct buf b = { 0 };
    (void)state;
    buf_add_byte(&b, '>');
    json_add_document(&b, json_pack("{s:i, s:f, s:n}", "a", 1, "b", 0.1234567, "c"));
    assert_text(&b, ">{\"a\":1,\"b\":0.123457,\"c\":null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_where_they_must_be),
        cmocka_unit_test(members_are_separated_by_commas),
        cmocka_unit_test(base64_is_padded),
        cmocka_unit_test(a_document_is_appended_compact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
