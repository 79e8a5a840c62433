#include "tests/sidecar/api/api_driver.h"

#include "sidecar/api/event_http.h"

struct fixture {
    struct driver d;
    struct event event;
    struct error why;
};

static void begin(struct fixture *f, const char *body)
{
    *f = (struct fixture){ 0 };
    driver_begin(&f->d);
    f->d.request.headers = f->d.headers;
    f->d.request.body = span_str(body);
}

static void begin_binary(struct fixture *f, const char *body)
{
    begin(f, body);
    driver_header(&f->d, "Ce-SpecVersion", "1.0");
    driver_header(&f->d, "ce-id", "7");
    driver_header(&f->d, "CE-SOURCE", "/s");
    driver_header(&f->d, "ce-type", "t");
}

static bool read(struct fixture *f)
{
    return event_http_read(&f->d.request, &f->d.arena, &f->event, &f->why);
}

static void refused(struct fixture *f, const char *says)
{
    assert_false(read(f));
    if (!strstr(f->why.text, says))
        fail_msg("'%s' is not in: %s", says, f->why.text);
    driver_end(&f->d);
}

static void assert_attribute(const struct fixture *f, const char *name, const char *text)
{
    struct span value = event_attribute(&f->event, name);
    assert_non_null(value.data);
    assert_true(span_equal(value, span_str(text)));
}

static void headers_of_any_case_become_attributes_of_lower_case(void **state)
{
    struct fixture f;
    (void)state;
    begin_binary(&f, "");
    driver_header(&f.d, "ce-TraceParent", "00-ab");
    assert_true(read(&f));
    assert_attribute(&f, "id", "7");
    assert_attribute(&f, "source", "/s");
    assert_attribute(&f, "traceparent", "00-ab");
    assert_int_equal(f.event.data_kind, DATA_NONE);
    driver_end(&f.d);
}

static void values_are_unquoted_then_percent_decoded(void **state)
{
    struct fixture f;
    (void)state;
    begin_binary(&f, "");
    driver_header(&f.d, "ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80");
    driver_header(&f.d, "ce-a", "\"say %22hi%22 and \\\"bye\\\"\"");
    driver_header(&f.d, "ce-b", "a+b");
    driver_header(&f.d, "ce-c", "100%25");
    driver_header(&f.d, "ce-d", "\"");
    assert_true(read(&f));
    assert_attribute(&f, "subject", "Euro \u20ac \U0001F600");
    assert_attribute(&f, "a", "say \"hi\" and \"bye\"");
    assert_attribute(&f, "b", "a+b");
    assert_attribute(&f, "c", "100%");
    assert_attribute(&f, "d", "\"");
    driver_end(&f.d);
}

static void bad_escapes_and_bytes_are_refused_by_name(void **state)
{
    static const char *const bad[] = { "%", "%4", "%zz", "%ff", "%C0%80", "%ED%A0%80", "%00", "\xe9" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fixture f;
        begin_binary(&f, "");
        driver_header(&f.d, "ce-subject", bad[i]);
        refused(&f, "'ce-subject'");
    }
}

static void what_is_required_must_be_there_once(void **state)
{
    static const char *const names[] = { "ce-specversion", "ce-id", "ce-source", "ce-type" };
    (void)state;
    for (size_t left = 0; left < 4; left++) {
        struct fixture f;
        begin(&f, "");
        for (size_t i = 0; i < 4; i++) {
            if (i != left)
                driver_header(&f.d, names[i], i == 0 ? "1.0" : "x");
        }
        refused(&f, names[left] + 3);
        begin_binary(&f, "");
        driver_header(&f.d, names[left], "1.0");
        refused(&f, "given twice");
    }
}

static void attributes_keep_cloudevents_rules(void **state)
{
    static const struct {
        const char *name, *value, *says;
    } bad[] = {
        { "ce-datacontenttype", "text/plain", "Content-Type" },
        { "ce-subject", "", "'subject'" },
        { "ce-time", "yesterday", "RFC 3339" },
        { "ce-dataschema", "no uri", "absolute URI" },
        { "ce-under_score", "x", "'under_score'" },
        { "ce-data", "x", "'data'" },
        { "ce-bell", "a%07b", "control characters" },
    };
    struct fixture f;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin_binary(&f, "");
        driver_header(&f.d, bad[i].name, bad[i].value);
        refused(&f, bad[i].says);
    }
    begin(&f, "");
    driver_header(&f.d, "ce-specversion", "0.3");
    refused(&f, "must be 1.0");
    begin_binary(&f, "");
    driver_header(&f.d, "ce-x", "1");
    driver_header(&f.d, "ce-X", "2");
    refused(&f, "given twice");
}

static enum data_kind kind_of(const char *type, const char *body)
{
    struct fixture f;
    begin_binary(&f, body);
    if (type)
        driver_header(&f.d, "Content-Type", type);
    assert_true(read(&f));
    enum data_kind kind = f.event.data_kind;
    assert_true(kind == DATA_NONE || span_equal(f.event.data, span_str(body)));
    driver_end(&f.d);
    return kind;
}

static void text_stays_text_and_everything_else_is_bytes(void **state)
{
    (void)state;
    assert_int_equal(kind_of("application/json", "{\"a\":1}"), DATA_TEXT);
    assert_int_equal(kind_of("application/vnd.x+json; v=1", "[1e400]"), DATA_TEXT);
    assert_int_equal(kind_of("application/json", "{broken"), DATA_BINARY);
    assert_int_equal(kind_of("text/plain", "hello"), DATA_TEXT);
    assert_int_equal(kind_of("text/plain", "\xff"), DATA_BINARY);
    assert_int_equal(kind_of("application/x-www-form-urlencoded", "a=1"), DATA_TEXT);
    assert_int_equal(kind_of("application/octet-stream", "x"), DATA_BINARY);
    assert_int_equal(kind_of(NULL, "x"), DATA_BINARY);
    assert_int_equal(kind_of("text/plain", ""), DATA_NONE);
}

/* curl -d declares every body as a form. */
static void json_that_is_sent_as_a_form_is_json(void **state)
{
    static const struct {
        const char *given, *body, *type;
    } cases[] = {
        { "application/x-www-form-urlencoded", "{\"a\": [1, 2]}", "application/json" },
        { "Application/X-WWW-Form-Urlencoded", " [1e400]\n", "application/json" },
        { "application/x-www-form-urlencoded", "{broken", "application/x-www-form-urlencoded" },
        { "application/x-www-form-urlencoded", "a=1&b=%7B%7D", "application/x-www-form-urlencoded" },
        { "application/x-www-form-urlencoded", "42", "application/x-www-form-urlencoded" },
        { "application/x-www-form-urlencoded", "hello", "application/x-www-form-urlencoded" },
        { "application/x-www-form-urlencoded", "", "application/x-www-form-urlencoded" },
        { "application/x-www-form-urlencoded; charset=utf-8", "{}",
          "application/x-www-form-urlencoded; charset=utf-8" },
        { "text/plain", "{}", "text/plain" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        begin_binary(&f, cases[i].body);
        driver_header(&f.d, "Content-Type", cases[i].given);
        assert_true(read(&f));
        assert_attribute(&f, "datacontenttype", cases[i].type);
        driver_end(&f.d);
    }
}

static void the_content_type_is_the_data_s(void **state)
{
    struct fixture f;
    (void)state;
    begin_binary(&f, "x");
    driver_header(&f.d, "Content-Type", "text/plain; charset=utf-8");
    assert_true(read(&f));
    assert_attribute(&f, "datacontenttype", "text/plain; charset=utf-8");
    driver_end(&f.d);
}

static void any_ce_header_makes_it_binary(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, "");
    driver_header(&f.d, "Cex", "1");
    driver_header(&f.d, "ce-", "1");
    assert_false(event_http_is_binary(&f.d.request));
    driver_header(&f.d, "CE-x", "1");
    assert_true(event_http_is_binary(&f.d.request));
    driver_end(&f.d);
}

static bool wrap(struct fixture *f, bool *generated)
{
    static const uint8_t random[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    wall_t now = { 1700000000123 };
    return event_http_wrap(&f->d.request, "shop", random, now, &f->d.arena, &f->event, generated, &f->why);
}

static void a_wrapped_event_is_complete(void **state)
{
    struct fixture f;
    bool generated;
    (void)state;
    begin(&f, "hello");
    driver_header(&f.d, "Content-Type", "text/plain");
    assert_true(wrap(&f, &generated));
    assert_true(generated);
    assert_attribute(&f, "id", "ffffffff-ffff-4fff-bf00-000000000000");
    assert_attribute(&f, "source", "/shop");
    assert_attribute(&f, "type", "sluice.event");
    assert_attribute(&f, "time", "2023-11-14T22:13:20.123Z");
    assert_attribute(&f, "datacontenttype", "text/plain");
    driver_end(&f.d);
}

static void the_idempotency_key_is_its_id(void **state)
{
    struct fixture f;
    bool generated;
    (void)state;
    begin(&f, "hello");
    driver_header(&f.d, "idempotency-key", "\"8e03978e\"");
    assert_true(wrap(&f, &generated));
    assert_false(generated);
    assert_attribute(&f, "id", "8e03978e");
    driver_end(&f.d);
}

static void a_bad_idempotency_key_is_refused(void **state)
{
    struct fixture f;
    char longest[514] = "";
    bool generated;
    (void)state;
    memset(longest, 'k', 513);
    begin(&f, "hello");
    driver_header(&f.d, "Idempotency-Key", longest);
    assert_false(wrap(&f, &generated));
    assert_non_null(strstr(f.why.text, "Idempotency-Key"));
    driver_end(&f.d);
    longest[512] = '\0';
    begin(&f, "hello");
    driver_header(&f.d, "Idempotency-Key", longest);
    assert_true(wrap(&f, &generated));
    assert_int_equal(f.event.id.size, 512);
    driver_end(&f.d);
    begin(&f, "hello");
    driver_header(&f.d, "Idempotency-Key", "\"\"");
    assert_false(wrap(&f, &generated));
    driver_end(&f.d);
    begin(&f, "hello");
    driver_header(&f.d, "Idempotency-Key", "");
    assert_false(wrap(&f, &generated));
    assert_non_null(strstr(f.why.text, "Idempotency-Key is empty"));
    driver_end(&f.d);
    begin(&f, "hello");
    driver_header(&f.d, "Idempotency-Key", "\xff");
    assert_false(wrap(&f, &generated));
    driver_end(&f.d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_of_any_case_become_attributes_of_lower_case),
        cmocka_unit_test(values_are_unquoted_then_percent_decoded),
        cmocka_unit_test(bad_escapes_and_bytes_are_refused_by_name),
        cmocka_unit_test(what_is_required_must_be_there_once),
        cmocka_unit_test(attributes_keep_cloudevents_rules),
        cmocka_unit_test(text_stays_text_and_everything_else_is_bytes),
        cmocka_unit_test(json_that_is_sent_as_a_form_is_json),
        cmocka_unit_test(the_content_type_is_the_data_s),
        cmocka_unit_test(any_ce_header_makes_it_binary),
        cmocka_unit_test(a_wrapped_event_is_complete),
        cmocka_unit_test(the_idempotency_key_is_its_id),
        cmocka_unit_test(a_bad_idempotency_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
