/* Publishing by Dapr's HTTP API. */
#include "tests/sidecar/api/api_driver.h"

#include "proto/event.h"

#include <stdio.h>

static struct event publish(struct driver *d, const char *target, const char *body)
{
    struct error why;
    struct event e;
    assert_int_equal(driver_send(d, "POST", target, body), API_COMMAND);
    assert_int_equal(d->command.kind, API_PUBLISH);
    assert_true(d->command.u.publish.dapr);
    assert_int_equal(d->command.u.publish.count, 1);
    assert_true(event_decode(d->command.u.publish.events[0].encoded, &d->arena, &e, &why));
    return e;
}

static void assert_attribute(const struct event *e, const char *name, const char *text)
{
    struct span value = event_attribute(e, name);
    assert_true(text ? span_equal(value, span_str(text)) : value.data == NULL);
}

static void data_is_wrapped_with_the_attributes_that_dapr_gives_it(void **state)
{
    static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Content-Type", "application/json");
    driver_header(&d, "traceparent", trace);
    driver_header(&d, "Tracestate", "a=b");
    struct event e = publish(&d, "/v1.0/publish/sluice/orders", "{\"a\":1}");
    assert_string_equal(d.command.queue, "orders");
    assert_int_equal(d.command.u.publish.wait_ms, 1000);
    assert_attribute(&e, "type", "com.dapr.event.sent");
    assert_attribute(&e, "source", "shop");
    assert_attribute(&e, "topic", "orders");
    assert_attribute(&e, "pubsubname", "sluice");
    assert_attribute(&e, "datacontenttype", "application/json");
    assert_attribute(&e, "traceparent", trace);
    assert_attribute(&e, "traceid", trace);
    assert_attribute(&e, "tracestate", "a=b");
    assert_true(event_attribute(&e, "time").size > 0);
    assert_true(e.data_kind == DATA_TEXT && span_equal(e.data, span_str("{\"a\":1}")));
    assert_true(d.command.u.publish.events[0].id_generated);
    driver_end(&d);
}

static void without_a_content_type_it_is_plain_text(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    struct event e = publish(&d, "/v1.0/publish/sluice/orders", "hello");
    assert_attribute(&e, "datacontenttype", "text/plain");
    assert_attribute(&e, "traceparent", NULL);
    assert_true(e.data_kind == DATA_TEXT && span_equal(e.data, span_str("hello")));
    driver_end(&d);
}

static void an_event_stays_one_and_is_told_its_topic(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Content-Type", "application/cloudevents+json; charset=utf-8");
    struct event e = publish(
        &d, "/v1.0/publish/sluice/orders?metadata.other=1&x=y&somethingttlInSeconds=0",
        "{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"/s\",\"type\":\"t\",\"topic\":\"old\",\"data\":[1.0]}");
    assert_attribute(&e, "id", "i");
    assert_attribute(&e, "source", "/s");
    assert_attribute(&e, "type", "t");
    assert_attribute(&e, "topic", "orders");
    assert_attribute(&e, "pubsubname", "sluice");
    assert_true(span_equal(e.data, span_str("[1.0]")));
    assert_false(d.command.u.publish.events[0].id_generated);
    driver_end(&d);
}

static void metadata_names_the_event_and_asks_for_it_raw(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    struct event e =
        publish(&d,
                "/v1.0/publish/sluice/orders?metadata.cloudevent.id=i&metadata.cloudevent.source=%2Fpay+now"
                "&metadata.cloudevent.type=paid&metadata.cloudevent.traceid=t",
                "x");
    assert_attribute(&e, "id", "i");
    assert_attribute(&e, "source", "/pay now");
    assert_attribute(&e, "type", "paid");
    assert_attribute(&e, "traceid", "t");
    assert_false(d.command.u.publish.events[0].id_generated);
    driver_end(&d);
    driver_begin(&d);
    e = publish(&d, "/v1.0/publish/sluice/orders?metadata.rawPayload=True", "x");
    assert_attribute(&e, "type", "sluice.event");
    assert_attribute(&e, "topic", NULL);
    driver_end(&d);
}

static void pubsubs_are_those_that_are_listed(void **state)
{
    char *names[] = { "pubsub", "other" };
    const struct setting_list list = { .items = names, .count = 2 };
    struct driver d;
    (void)state;
    driver_begin(&d);
    d.config.pubsubs = &list;
    struct event e = publish(&d, "/v1.0/publish/other/orders", "x");
    assert_attribute(&e, "pubsubname", "other");
    driver_end(&d);
    driver_begin(&d);
    d.config.pubsubs = &list;
    assert_int_equal(driver_send(&d, "POST", "/v1.0/publish/sluice/orders", "x"), API_RESPONSE);
    assert_says(&d, 404, "\"errorCode\":\"ERR_PUBSUB_NOT_FOUND\"");
    driver_end(&d);
}

static void a_ttl_is_an_expiry_unless_the_event_has_one(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    publish(&d, "/v1.0/publish/sluice/t?metadata.ttlInSeconds=5", "x");
    assert_true(d.command.u.publish.events[0].terms.expires_ms == 1700000005123);
    publish(&d, "/v1.0/publish/sluice/t?metadata.ttlInSeconds=100", "x");
    assert_true(d.command.u.publish.events[0].terms.expires_ms == 1700000100123);
    publish(&d, "/v1.0/publish/sluice/t?metadata.ttlinseconds=4294967295&metadata.rawPayload=true", "x");
    assert_true(d.command.u.publish.events[0].terms.expires_ms == 1700000000123 + INT64_C(4294967295000));
    publish(&d, "/v1.0/publish/sluice/t", "x");
    assert_true(d.command.u.publish.events[0].terms.expires_ms == 0);
    driver_header(&d, "Content-Type", "application/cloudevents+json");
    publish(&d, "/v1.0/publish/sluice/t?metadata.ttlInSeconds=5",
            "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/"
            "s\",\"type\":\"t\",\"expirytime\":\"2030-01-01T00:00:00Z\"}");
    assert_true(d.command.u.publish.events[0].terms.expires_ms == 1893456000000);
    driver_end(&d);
}

static void mistakes_are_answered_in_its_words(void **state)
{
    (void)state;
    driver_refuses("POST", "/v1.0/publish/pubsub/t", NULL, NULL, "x", 404,
                   "{\"errorCode\":\"ERR_PUBSUB_NOT_FOUND\",\"message\":\"");
    static const char *const nowhere[] = { "sluice", "sluice/", "sluice/%20" };
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        char path[60];
        snprintf(path, sizeof path, "/v1.0/publish/%s", nowhere[i]);
        driver_refuses("POST", path, NULL, NULL, "x", 404, "{\"errorCode\":\"ERR_TOPIC_NAME_EMPTY\"");
    }
    driver_refuses("POST", "/v1.0/publish/other/", NULL, NULL, "x", 404, "{\"errorCode\":\"ERR_PUBSUB_NOT_FOUND\"");
    static const char *const ttls[] = { "0", "-1", "1.5", "5s", "4294967296", "99999999999999999999" };
    for (size_t i = 0; i < sizeof ttls / sizeof *ttls; i++) {
        char path[100];
        snprintf(path, sizeof path, "/v1.0/publish/sluice/t?metadata.ttlInSeconds=%s", ttls[i]);
        driver_refuses("POST", path, NULL, NULL, "x", 400, "ttlInSeconds must be a whole number of seconds");
    }
    driver_refuses("POST", "/v1.0/publish/sluice/t?metadata.x=%zz", NULL, NULL, "x", 400,
                   "ERR_PUBSUB_REQUEST_METADATA");
    driver_refuses("POST", "/v1.0/publish/sluice/t", "Content-Type", "application/cloudevents+json", "{\"id\":1}", 400,
                   "ERR_PUBSUB_CLOUD_EVENTS_SER");
    driver_refuses("POST", "/v1.0/publish/sluice/t", "Content-Type", "application/cloudevents+json", "[", 400,
                   "not a JSON object");
    driver_refuses("GET", "/v1.0/publish/sluice/t", NULL, NULL, "", 405, "method");
}

static void outcomes_are_answered_in_its_words(void **state)
{
    static const struct {
        enum reason reason;
        int status;
        const char *code;
    } rows[] = { { REASON_denied, 403, "ERR_PUBSUB_FORBIDDEN" },
                 { REASON_unknown_queue, 404, "ERR_PUBSUB_NOT_FOUND" },
                 { REASON_full, 500, "ERR_PUBSUB_PUBLISH_MESSAGE" },
                 { REASON_unavailable, 500, "ERR_PUBSUB_PUBLISH_MESSAGE" },
                 { REASON_unknown, 500, "ERR_PUBSUB_PUBLISH_MESSAGE" } };
    struct driver d;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct api_outcome o = { .reason = rows[i].reason, .retry_after_ms = 2500 };
        driver_begin(&d);
        publish(&d, "/v1.0/publish/sluice/orders", "x");
        api_render_publish(&d.command, &o, &d.arena, &d.response);
        assert_says(&d, rows[i].status, rows[i].code);
        assert_says(&d, rows[i].status, "error when publish to topic orders: ");
        driver_end(&d);
    }
    driver_begin(&d);
    publish(&d, "/v1.0/publish/sluice/orders", "x");
    api_render_publish(&d.command, &(struct api_outcome){ .sequence = 5 }, &d.arena, &d.response);
    assert_int_equal(d.response.status, 204);
    assert_int_equal(d.response.body.size, 0);
    driver_end(&d);
}

/* Dapr's errors have a single message, which must say it all. */
static void a_message_says_what_to_do(void **state)
{
    static const struct {
        struct api_outcome outcome;
        const char *message;
        bool comes_again;
    } rows[] = {
        { { .reason = REASON_full, .depth = 1, .capacity = 1 },
          "the queue is full; retry after the time in Retry-After, or raise its capacity: queue 'orders' is full: it "
          "holds 1 "
          "of 1 events (full)",
          true },
        { { .reason = REASON_full, .depth = 1, .capacity = 1, .queue = "mail" }, ": queue 'mail' is full", true },
        { { .reason = REASON_closed },
          ": the queue is closed to publishers; open it again to publish (closed)",
          false },
        { { .reason = REASON_unknown_queue },
          ": there is no queue 'orders'; declare it first (PUT /v1/queues/orders) (",
          false },
        { { .reason = REASON_draining },
          ": the broker is stopping, so nothing was accepted: send it again when",
          true },
        { { .reason = REASON_unavailable },
          "error when publish to topic orders: no broker answers at X (unavailable)",
          true },
        { { .reason = REASON_unknown },
          "send an id of your own (metadata.cloudevent.id) to be able to retry (unknown)",
          false },
    };
    struct driver d;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        driver_begin(&d);
        publish(&d, "/v1.0/publish/sluice/orders", "x");
        d.command.away = "no broker answers at X";
        api_render_publish(&d.command, &rows[i].outcome, &d.arena, &d.response);
        assert_says(&d, d.response.status, rows[i].message);
        assert_int_equal(driver_response_header(&d, "Retry-After") != NULL, rows[i].comes_again);
        driver_end(&d);
    }
}

/* A quoted text may have been cut in the middle of a character. */
static void a_message_holds_whole_characters_only(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    publish(&d, "/v1.0/publish/sluice/orders", "x");
    d.command.away = "no broker answers at \xc3\xa9\xe2\x82";
    api_render_publish(&d.command, &(struct api_outcome){ .reason = REASON_unavailable }, &d.arena, &d.response);
    assert_says(&d, 500, ": no broker answers at \xc3\xa9 (unavailable)\"");
    driver_end(&d);
}

static void metadata_are_its_name_and_its_pubsubs(void **state)
{
    char *items[] = { (char *)(uintptr_t) "pubsub", (char *)(uintptr_t) "other" };
    struct setting_list names = { items, 2 };
    struct driver d;
    (void)state;
    driver_begin(&d);
    api_render_dapr_metadata(&d.config, "1.2.3", &d.response);
    assert_body(&d,
                "{\"id\":\"shop\",\"runtimeVersion\":\"1.2.3\",\"enabledFeatures\":[],\"actors\":[],\"components\":[{"
                "\"name\":\"sluice\",\"type\":\"pubsub.sluice\",\"version\":\"v1\",\"capabilities\":[]}],"
                "\"httpEndpoints\":[],\"subscriptions\":[],\"extended\":{}}\n");
    buf_free(&d.response.body);
    d.config.pubsubs = &names;
    api_render_dapr_metadata(&d.config, "1.2.3", &d.response);
    assert_says(&d, 200, "{\"name\":\"pubsub\",");
    assert_says(&d, 200, "},{\"name\":\"other\",");
    assert_null(memmem(d.response.body.data, d.response.body.size, "\"name\":\"sluice\"", 15));
    driver_end(&d);
}

static void health_is_an_empty_204_or_why_not(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "GET", "/v1.0/healthz", ""), API_COMMAND);
    api_render_dapr_health(&d.command, true, "", &d.response);
    assert_int_equal(d.response.status, 204);
    assert_int_equal(d.response.body.size, 0);
    api_render_dapr_health(&d.command, false, "no broker answers", &d.response);
    assert_body(&d, "{\"errorCode\":\"ERR_HEALTH_NOT_READY\",\"message\":\"no broker answers\"}\n");
    driver_end(&d);
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "GET", "/v1.0/healthz/outbound", ""), API_COMMAND);
    api_render_dapr_health(&d.command, false, "no broker answers", &d.response);
    assert_says(&d, 500, "\"ERR_OUTBOUND_HEALTH_NOT_READY\"");
    driver_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_is_wrapped_with_the_attributes_that_dapr_gives_it),
        cmocka_unit_test(without_a_content_type_it_is_plain_text),
        cmocka_unit_test(an_event_stays_one_and_is_told_its_topic),
        cmocka_unit_test(metadata_names_the_event_and_asks_for_it_raw),
        cmocka_unit_test(pubsubs_are_those_that_are_listed),
        cmocka_unit_test(a_ttl_is_an_expiry_unless_the_event_has_one),
        cmocka_unit_test(mistakes_are_answered_in_its_words),
        cmocka_unit_test(outcomes_are_answered_in_its_words),
        cmocka_unit_test(a_message_says_what_to_do),
        cmocka_unit_test(a_message_holds_whole_characters_only),
        cmocka_unit_test(metadata_are_its_name_and_its_pubsubs),
        cmocka_unit_test(health_is_an_empty_204_or_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
