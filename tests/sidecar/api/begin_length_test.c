/* Limits on the length of a request, checked before its body is read. */
#include "tests/sidecar/api/api_driver.h"

#include <stdio.h>

static enum api_answer judged(const char *type, uint64_t length)
{
    struct driver d;
    char text[24];
    driver_begin(&d);
    snprintf(text, sizeof text, "%llu", (unsigned long long)length);
    driver_header(&d, "Content-Type", type);
    driver_header(&d, "Content-Length", text);
    d.request.method = span_str("POST");
    d.request.path = span_str("/v1/queues/q/events");
    d.request.headers = d.headers;
    enum api_answer answer = api_begin(&d.config, &d.request, &d.arena, &d.body_limit, &d.response, &d.close);
    assert_int_equal(d.response.status, answer == API_CONTINUE ? 0 : 413);
    driver_end(&d);
    return answer;
}

static void a_length_is_compared_to_the_byte(void **state)
{
    (void)state;
    assert_int_equal(judged("application/cloudevents-batch+json", 4 << 20), API_CONTINUE);
    assert_int_equal(judged("application/cloudevents-batch+json", (4 << 20) + 1), API_RESPONSE);
    assert_int_equal(judged("text/plain", (1 << 20) / 3 * 4 + 65536), API_CONTINUE);
    assert_int_equal(judged("text/plain", (1 << 20) / 3 * 4 + 65537), API_RESPONSE);
}

static uint64_t limit_of(const char *target, const char *type)
{
    struct driver d;
    driver_begin(&d);
    driver_header(&d, "Content-Type", type);
    assert_int_equal(driver_send(&d, "POST", target, "[]") == API_CONTINUE, false);
    uint64_t limit = d.body_limit;
    driver_end(&d);
    return limit;
}

static void a_body_s_limit_is_its_address_s_and_form_s(void **state)
{
    (void)state;
    assert_int_equal(limit_of("/v1/queues/q/events", "application/cloudevents-batch+json"), 4 << 20);
    assert_true(limit_of("/v1/queues/q/events", "text/plain") > 1 << 20);
    assert_true(limit_of("/v1/queues/q/events", "text/plain") < 2 << 20);
    assert_int_equal(limit_of("/v1.0/publish/sluice/t", "text/plain"), limit_of("/v1/queues/q/events", "text/plain"));
    assert_int_equal(limit_of("/v1.0/publish/sluice/t", "application/cloudevents-batch+json"),
                     limit_of("/v1/queues/q/events", "text/plain"));
    assert_int_equal(limit_of("/v1/queues/q/acks", "application/json"), 1 << 20);
}

static void a_declared_length_beyond_the_limit_is_413_before_the_body(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Content-Length", "1048577");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/acks", ""), API_RESPONSE);
    assert_says(&d, 413, "a body may have at most 1048576 bytes here\"");
    driver_end(&d);
    driver_begin(&d);
    driver_header(&d, "Content-Type", "application/cloudevents-batch+json");
    driver_header(&d, "Content-Length", "9000000");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", ""), API_RESPONSE);
    assert_says(&d, 413, "a batch may have at most 4194304 bytes here (the sidecar's batch.max_bytes); send several\"");
    driver_end(&d);
    driver_begin(&d);
    driver_header(&d, "Content-Length", "2000000");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", ""), API_RESPONSE);
    assert_says(&d, 413, "an event may have at most 1048576 bytes here (the sidecar's event_max)\"");
    driver_end(&d);
}

static void headers_have_16_kib_together(void **state)
{
    static char value[17000];
    struct driver d;
    (void)state;
    memset(value, 'y', sizeof value - 1);
    driver_begin(&d);
    driver_header(&d, "X", value);
    assert_int_equal(driver_send(&d, "GET", "/v1/queues", ""), API_RESPONSE);
    assert_int_equal(d.response.status, 431);
    driver_end(&d);
    value[16000] = '\0';
    driver_begin(&d);
    driver_header(&d, "X", value);
    assert_int_equal(driver_send(&d, "GET", "/v1/queues", ""), API_COMMAND);
    driver_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_is_compared_to_the_byte),
        cmocka_unit_test(a_body_s_limit_is_its_address_s_and_form_s),
        cmocka_unit_test(a_declared_length_beyond_the_limit_is_413_before_the_body),
        cmocka_unit_test(headers_have_16_kib_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
