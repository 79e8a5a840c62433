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

/* The first event as a consumer would see it. */
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

static void only_an_id_that_was_given_has_a_hash(void **state)
{
    struct driver d;
    static const uint8_t none[EVENT_HASH_SIZE];
    uint8_t wanted[EVENT_HASH_SIZE];
    (void)state;
    driver_begin(&d);
    publishes(&d, "/v1/queues/q/events", "text/plain", "x");
    assert_memory_equal(d.command.u.publish.events[0].hash, none, sizeof none);
    driver_end(&d);
    driver_begin(&d);
    event_hash(span_str("/s"), span_str("a"), wanted);
    publishes(&d, "/v1/queues/q/events", "application/cloudevents+json", event);
    assert_memory_equal(d.command.u.publish.events[0].hash, wanted, sizeof wanted);
    driver_end(&d);
    driver_begin(&d);
    event_hash(span_str("/shop"), span_str("k1"), wanted);
    driver_header(&d, "Idempotency-Key", "k1");
    publishes(&d, "/v1/queues/q/events", "text/plain", "x");
    assert_memory_equal(d.command.u.publish.events[0].hash, wanted, sizeof wanted);
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
    snprintf(body, sizeof body, "[%s,%s,%s]", event, event, event);
    publishes(&d, "/v1/queues/q/events", "application/cloudevents-batch+json", body);
    assert_int_equal(d.command.u.publish.count, 3);
    driver_end(&d);
    driver_begin(&d);
    snprintf(body, sizeof body, "[%s,%s,%s,%s]", event, event, event, event);
    driver_header(&d, "Content-Type", "application/cloudevents-batch+json");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", body), API_RESPONSE);
    assert_says(&d, 413, "at most 3 events");
    driver_end(&d);
    driver_refuses("POST", "/v1/queues/q/events", "Content-Type", "application/cloudevents-batch+json", "[{},{},{},{}]",
                   413, "at most 3 events");
}

static void the_content_type_decides_before_ce_headers_do(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "ce-id", "ignored");
    publishes(&d, "/v1/queues/q/events", "application/cloudevents+json", event);
    assert_true(span_equal(d.command.u.publish.events[0].id, span_str("a")));
    assert_false(d.command.u.publish.batch || d.command.u.publish.events[0].id_generated);
    driver_end(&d);
}

static void ce_headers_make_it_binary_whatever_else_the_type(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "ce-specversion", "1.0");
    driver_header(&d, "ce-id", "7");
    driver_header(&d, "ce-source", "/s");
    driver_header(&d, "ce-type", "t");
    publishes(&d, "/v1/queues/q/events", "application/json", "{\"n\": 1.0}");
    assert_event(&d, "{\"specversion\":\"1.0\",\"id\":\"7\",\"source\":\"/s\",\"type\":\"t\",\"datacontenttype\":"
                     "\"application/json\",\"data\":{\"n\": 1.0}}");
    driver_end(&d);
}

static void batches_keep_their_order(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    publishes(&d, "/v1/queues/q/events", "application/cloudevents-batch+json",
              "[{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"},"
              "{\"specversion\":\"1.0\",\"id\":\"2\",\"source\":\"/s\",\"type\":\"t\"}]");
    assert_true(d.command.u.publish.batch && d.command.u.publish.count == 2);
    assert_true(span_equal(d.command.u.publish.events[1].id, span_str("2")));
    driver_end(&d);
}

static const char encoded[] = "\x0a\x01\x61\x12\x02/s\x1a\x03\x31.0\x22\x01t";

static void protobuf_is_kept_as_it_came(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    publishes(&d, "/v1/queues/q/events", "application/cloudevents+protobuf", encoded);
    assert_true(span_equal(d.command.u.publish.events[0].encoded, span_str(encoded)));
    driver_end(&d);
}

static void protobuf_batches_name_the_index_of_what_is_wrong(void **state)
{
    char body[64];
    (void)state;
    snprintf(body, sizeof body, "\x0a%c%s\x0a\x03\x0a\x01z", (int)strlen(encoded), encoded);
    driver_refuses("POST", "/v1/queues/q/events", "Content-Type", "application/cloudevents-batch+protobuf", body, 400,
                   "events[1]: attribute 'specversion'");
    driver_refuses("POST", "/v1/queues/q/events", "Content-Type", "application/cloudevents-batch+protobuf", "\x0a\x7f",
                   400, "not a protobuf CloudEventBatch");
    driver_refuses("POST", "/v1/queues/q/events", "Content-Type", "application/cloudevents-batch+protobuf", "", 400,
                   "no events");
    driver_refuses("POST", "/v1/queues/q/events", "Content-Type", "application/cloudevents-batch+protobuf",
                   "\x12\x01z\x08\x01", 400, "no events"); /* unknown fields only */
}

static void a_protobuf_batch_may_hold_fields_of_a_later_version(void **state)
{
    int size = (int)strlen(encoded);
    char body[64];
    struct driver d;
    (void)state;
    snprintf(body, sizeof body, "\x0a%c%s\x12\x01z\x0a%c%s\x12\x01z", size, encoded, size, encoded);
    driver_begin(&d);
    publishes(&d, "/v1/queues/q/events", "application/cloudevents-batch+protobuf", body);
    assert_int_equal(d.command.u.publish.count, 2);
    assert_true(span_equal(d.command.u.publish.events[1].encoded, span_str(encoded)));
    driver_end(&d);
}

static void formats_and_codings_that_are_not_understood_are_415(void **state)
{
    static const char *const types[] = { "application/cloudevents", "application/cloudevents+avro",
                                         "application/cloudevents-batch", "application/cloudevents-batch+xml",
                                         "application/cloudevents+json; charset=iso-8859-1" };
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        driver_refuses("POST", "/v1/queues/q/events", "Content-Type", types[i], event, 415, "\"media_type\"");
    driver_refuses("POST", "/v1/queues/q/events", "Content-Encoding", "gzip", "x", 415, "Content-Encoding");
}

static void headers_that_say_two_things_are_refused(void **state)
{
    static const struct {
        const char *name, *first, *second, *says;
        int status;
    } bad[] = {
        { "Content-Type", "text/plain", "application/cloudevents+json", "more than one Content-Type", 400 },
        { "Content-Encoding", "identity", "gzip", "Content-Encoding", 415 },
        { "Idempotency-Key", "a", "b", "'Idempotency-Key' is given twice", 400 },
        { "Sluice-Delay", "1h", "2h", "'Sluice-Delay' is given twice", 400 },
        { "sluice-wait", "1s", "1s", "'Sluice-Wait' is given twice", 400 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct driver d;
        driver_begin(&d);
        driver_header(&d, bad[i].name, bad[i].first);
        driver_header(&d, bad[i].name, bad[i].second);
        driver_header(&d, "Accept", "*/*"); /* an unrelated header last */
        assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", event), API_RESPONSE);
        assert_says(&d, bad[i].status, bad[i].says);
        driver_end(&d);
    }
}

static void a_coding_that_changes_nothing_passes(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Content-Encoding", "identity");
    publishes(&d, "/v1/queues/q/events", "Application/CloudEvents+JSON;charset=\"utf-8\"", event);
    driver_end(&d);
}

static void broken_json_says_where(void **state)
{
    static const struct {
        const char *type, *body, *says;
    } bad[] = {
        { "application/cloudevents+json", "", "it ends too early, after 0 bytes" },
        { "application/cloudevents+json", "{\"id\":\"a\"", "it ends too early, after 9 bytes" },
        { "application/cloudevents+json", "{\"id\" \"a\"}", "see byte 6" },
        { "application/cloudevents+json", "[]", "a CloudEvent is a JSON object" },
        { "application/cloudevents+json", "{\"id\":\"\xff\"}", "not UTF-8" },
        { "application/cloudevents-batch+json", "{}", "a batch is a JSON array" },
        { "application/cloudevents-batch+json", "[]", "no events" },
        { "application/cloudevents-batch+json", "[1]", "events[0]: a CloudEvent is a JSON object" },
        /* a syntax error anywhere is reported before an invalid event */
        { "application/cloudevents-batch+json", "[{},{\"a\"}]", "see byte 8" },
        { "application/cloudevents-batch+json", "[{}", "it ends too early, after 3 bytes" },
        { "application/cloudevents-batch+json", "[{}] x", "see byte 5" },
        { "application/cloudevents+json", "{} {}", "see byte 3" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        driver_refuses("POST", "/v1/queues/q/events", "Content-Type", bad[i].type, bad[i].body, 400, bad[i].says);
}

static void an_event_above_the_limit_is_413(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    d.config.event_max = 100;
    driver_header(&d, "Content-Type", "text/plain");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "a body that with its attributes is too long"),
                     API_RESPONSE);
    assert_says(&d, 413, "more than the limit of 100");
    driver_end(&d);
    for (int more = 0; more < 2; more++) {
        driver_begin(&d);
        driver_header(&d, "Content-Type", "application/cloudevents+protobuf");
        d.config.event_max = 15 - (unsigned)more; /* the event has 15 bytes */
        assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events",
                                     "\n\1"
                                     "1\22\2/s\32\0031.0\"\1t"),
                         more ? API_RESPONSE : API_COMMAND);
        driver_end(&d);
    }
}

static void a_bad_wait_is_refused_by_name(void **state)
{
    (void)state;
    driver_refuses("POST", "/v1/queues/q/events?wait=2", NULL, NULL, "x", 400, "'wait'");
    driver_refuses("POST", "/v1/queues/q/events", "Sluice-Wait", "soon", "x", 400, "'Sluice-Wait'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_body_is_wrapped_with_a_made_up_id),
        cmocka_unit_test(only_an_id_that_was_given_has_a_hash),
        cmocka_unit_test(structured_data_keeps_its_bytes),
        cmocka_unit_test(the_wait_comes_from_query_header_or_default),
        cmocka_unit_test(an_invalid_event_refuses_the_batch_and_names_its_index),
        cmocka_unit_test(too_many_events_are_413),
        cmocka_unit_test(the_content_type_decides_before_ce_headers_do),
        cmocka_unit_test(ce_headers_make_it_binary_whatever_else_the_type),
        cmocka_unit_test(batches_keep_their_order),
        cmocka_unit_test(protobuf_is_kept_as_it_came),
        cmocka_unit_test(protobuf_batches_name_the_index_of_what_is_wrong),
        cmocka_unit_test(a_protobuf_batch_may_hold_fields_of_a_later_version),
        cmocka_unit_test(formats_and_codings_that_are_not_understood_are_415),
        cmocka_unit_test(headers_that_say_two_things_are_refused),
        cmocka_unit_test(a_coding_that_changes_nothing_passes),
        cmocka_unit_test(broken_json_says_where),
        cmocka_unit_test(an_event_above_the_limit_is_413),
        cmocka_unit_test(a_bad_wait_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
