#include "tests/sidecar/api/api_driver.h"

#include "sidecar/api/event_json.h"

#include <stdio.h>

static const char event[] = "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\"}";

static void publishes(struct driver *d, const char *target, const char *type, const char *body)
{
    if (type)
        driver_header(d, "Content-Type", type);
    assert_int_equal(driver_send(d, "POST", target, body), API_COMMAND);
    assert_int_equal(d->command.kind, API_PUBLISH);
}

/* What a consumer would see of the first event. */
static void assert_event(const struct driver *d, const char *json)
{
    struct buf b = { 0 };
    event_json_write(d->command.u.publish.events[0].encoded, &b);
    buf_add_byte(&b, '\0');
    assert_string_equal((char *)b.data, json);
    buf_free(&b);
}

static void a_plain_body_is_wrapped_with_a_made_up_id(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    publishes(&d, "/v1/queues/q/events", "application/json", "{\"n\": 1.0}");
    assert_true(d.command.u.publish.events[0].id_generated);
    assert_event(&d, "{\"specversion\":\"1.0\",\"id\":\"01020300-0000-4000-8000-000000000000\",\"source\":\"/shop\","
                     "\"type\":\"sluice.event\",\"time\":\"2023-11-14T22:13:20.123Z\",\"datacontenttype\":"
                     "\"application/json\",\"data\":{\"n\": 1.0}}");
    driver_end(&d);
}

static void structured_data_keeps_its_bytes(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    publishes(
        &d, "/v1/queues/q/events", "application/cloudevents+json; charset=UTF-8",
        "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\",\"n\":null,\"data\" : [1e400, 1.0]}");
    assert_event(&d, "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\",\"data\":[1e400, 1.0]}");
    driver_end(&d);
}

static void the_wait_comes_from_query_header_or_default(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    publishes(&d, "/v1/queues/q/events", NULL, "x");
    assert_int_equal(d.command.u.publish.wait_ms, 1000);
    driver_header(&d, "Sluice-Wait", "2s");
    publishes(&d, "/v1/queues/q/events", NULL, "x");
    assert_int_equal(d.command.u.publish.wait_ms, 2000);
    publishes(&d, "/v1/queues/q/events?wait=250ms", NULL, "x");
    assert_int_equal(d.command.u.publish.wait_ms, 250);
    publishes(&d, "/v1/queues/q/events?wait=5m", NULL, "x");
    assert_int_equal(d.command.u.publish.wait_ms, 60000);
    driver_end(&d);
}

static void an_invalid_event_refuses_the_batch_and_names_its_index(void **state)
{
    struct driver d;
    char body[400];
    (void)state;
    driver_begin(&d);
    snprintf(body, sizeof body, "[%s,{\"id\":\"b\"}]", event);
    driver_header(&d, "Content-Type", "application/cloudevents-batch+json");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", body), API_RESPONSE);
    assert_says(&d, 400, "events[1]: attribute 'specversion' is missing");
    driver_end(&d);
}

static void too_many_events_are_413(void **state)
{
    struct driver d;
    char body[600];
    (void)state;
    driver_begin(&d);
    snprintf(body, sizeof body, "[%s,%s,%s,%s]", event, event, event, event);
    driver_header(&d, "Content-Type", "application/cloudevents-batch+json");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", body), API_RESPONSE);
    assert_says(&d, 413, "at most 3 events");
    driver_end(&d);
}

static void outcomes_decide_the_status(void **state)
{
    static const struct api_outcome mixed[] = { { .sequence = 7 }, { REASON_full, 0, 9, 9, 1500 } };
    static const struct api_outcome full[] = { { REASON_full, 0, 9, 9, 1500 }, { REASON_full, 0, 9, 9, 1500 } };
    struct driver d;
    char body[400];
    (void)state;
    driver_begin(&d);
    snprintf(body, sizeof body, "[%s,%s]", event, event);
    publishes(&d, "/v1/queues/q/events", "application/cloudevents-batch+json", body);
    api_render_publish(&d.command, mixed, &d.arena, &d.response);
    assert_says(&d, 207, "[{\"id\":\"a\",\"sequence\":7},{\"id\":\"a\",\"status\":429,\"reason\":\"full\"}]");
    buf_free(&d.response.body);
    api_render_publish(&d.command, full, &d.arena, &d.response);
    assert_says(&d, 429, "\"depth\":9,\"capacity\":9");
    assert_true(span_equal(d.response.headers[0].value, span_str("2")));
    driver_end(&d);
}

static void unknown_is_not_retryable_under_an_id_that_was_made_up(void **state)
{
    static const struct api_outcome unknown = { .reason = REASON_unknown };
    struct driver d;
    (void)state;
    driver_begin(&d);
    publishes(&d, "/v1/queues/q/events", NULL, "x");
    api_render_publish(&d.command, &unknown, &d.arena, &d.response);
    assert_says(&d, 504, "\"retryable\":false");
    buf_free(&d.response.body);
    driver_header(&d, "Idempotency-Key", "k");
    publishes(&d, "/v1/queues/q/events", NULL, "x");
    api_render_publish(&d.command, &unknown, &d.arena, &d.response);
    assert_says(&d, 504, "\"retryable\":true");
    driver_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_body_is_wrapped_with_a_made_up_id),
        cmocka_unit_test(structured_data_keeps_its_bytes),
        cmocka_unit_test(the_wait_comes_from_query_header_or_default),
        cmocka_unit_test(an_invalid_event_refuses_the_batch_and_names_its_index),
        cmocka_unit_test(too_many_events_are_413),
        cmocka_unit_test(outcomes_decide_the_status),
        cmocka_unit_test(unknown_is_not_retryable_under_an_id_that_was_made_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
