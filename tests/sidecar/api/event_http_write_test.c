#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/api/event_http.h"

static void write(const struct event *e, const char *headers, const char *body)
{
    struct buf encoded = { 0 }, lines = { 0 }, data = { 0 };
    event_encode(e, &encoded);
    event_http_write(buf_span(&encoded), &lines, &data);
    for (size_t i = 0; i < lines.size; i++) {
        if (lines.data[i] == '\0')
            lines.data[i] = '\n';
    }
    buf_add_byte(&lines, '\0');
    assert_string_equal((const char *)lines.data, headers);
    assert_true(span_equal(buf_span(&data), span_str(body)));
    buf_free(&encoded);
    buf_free(&lines);
    buf_free(&data);
}

static void attributes_become_headers(void **state)
{
    struct attribute attributes[] = {
        { span_str("datacontenttype"), ATTRIBUTE_STRING, span_str("text/xml; charset=utf-8") },
        { span_str("subject"), ATTRIBUTE_STRING, span_str("Euro € 100% \"x\" 😀") },
        { span_str("time"), ATTRIBUTE_TIMESTAMP, span_str("2024-05-06T07:08:09.120Z") },
        { span_str("count"), ATTRIBUTE_INTEGER, span_str("-7") },
        { span_str("flag"), ATTRIBUTE_BOOLEAN, span_str("true") },
    };
    const struct event e = { span_str("1"), span_str("/s"), span_str("t"), attributes, 5, DATA_TEXT, span_str("<a/>") };
    (void)state;
    write(&e,
          "ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\n"
          "ce-subject: Euro%20%E2%82%AC%20100%25%20%22x%22%20%F0%9F%98%80\n"
          "ce-time: 2024-05-06T07:08:09.120Z\nce-count: -7\nce-flag: true\nContent-Type: text/xml; charset=utf-8\n",
          "<a/>");
}

static void data_without_a_type_is_json_when_it_is_text_that_is(void **state)
{
    const struct event text = { span_str("1"), span_str("/s"), span_str("t"), NULL, 0, DATA_TEXT, span_str("{}") };
    const struct event plain = { span_str("1"), span_str("/s"), span_str("t"), NULL, 0, DATA_TEXT, span_str("hello") };
    const struct event bytes = { span_str("1"), span_str("/s"), span_str("t"), NULL, 0, DATA_BINARY, span_str("x") };
    const struct event none = { .id = span_str("1"), .source = span_str("/s"), .type = span_str("t") };
    (void)state;
    write(&text, "ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\nContent-Type: application/json\n", "{}");
    write(&plain, "ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\n",
          "hello"); /* text_data in protobuf may be anything */
    write(&bytes, "ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\n", "x");
    write(&none, "ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\n", "");
}

static void what_is_no_event_says_so(void **state)
{
    struct buf headers = { 0 }, body = { 0 };
    (void)state;
    event_http_write(span_str("\xff\xff not an event"), &headers, &body);
    assert_true(memmem(headers.data, headers.size, "ce-type: sluice.invalid", 24) != NULL);
    assert_true(memmem(headers.data, headers.size, "Content-Type: application/octet-stream", 39) != NULL);
    assert_true(span_equal(buf_span(&body), span_str("\xff\xff not an event")));
    buf_free(&headers);
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_become_headers),
        cmocka_unit_test(data_without_a_type_is_json_when_it_is_text_that_is),
        cmocka_unit_test(what_is_no_event_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
