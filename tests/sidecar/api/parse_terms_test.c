#include "tests/sidecar/api/api_driver.h"

#define CLOUDEVENT   "\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\""
#define JSON_EVENT   "application/cloudevents+json"
#define EXPIRES_2023 "\"expirytime\":\"2023-11-14T22:13:20.123Z\""

static const struct client_terms *terms_of(struct driver *d, const char *target, const char *body)
{
    assert_int_equal(driver_send(d, "POST", target, body), API_COMMAND);
    return &d->command.u.publish.events[0].terms;
}

/* The terms of a request with one header (NULL: none). */
static struct client_terms terms_with(const char *target, const char *name, const char *value)
{
    struct driver d;
    driver_begin(&d);
    if (name)
        driver_header(&d, name, value);
    struct client_terms terms = *terms_of(&d, target, "x");
    driver_end(&d);
    return terms;
}

static void nothing_said_is_at_once_and_for_ever(void **state)
{
    (void)state;
    struct client_terms t = terms_with("/v1/queues/q/events", NULL, NULL);
    assert_true(t.delay_ms == 0 && t.not_before_ms == 0 && t.expires_ms == 0);
}

static void a_delay_is_a_duration(void **state)
{
    (void)state;
    struct client_terms t = terms_with("/v1/queues/q/events", "Sluice-Delay", "1500ms");
    assert_true(t.delay_ms == 1500 && t.not_before_ms == 0);
    t = terms_with("/v1/topics/t/events", "sluice-delay", "2h");
    assert_true(t.delay_ms == 7200000);
    assert_true(terms_with("/v1/queues/q/events", "Sluice-Delay", "0s").delay_ms == 0);
}

static void a_not_before_is_a_time(void **state)
{
    (void)state;
    struct client_terms t = terms_with("/v1/queues/q/events", "Sluice-Not-Before", "2023-11-14T23:13:20.5+01:00");
    assert_true(t.not_before_ms == 1700000000500 && t.delay_ms == 0);
    t = terms_with("/v1/topics/t/events", "Sluice-Not-Before", "1960-01-01T00:00:00Z");
    assert_true(t.not_before_ms == 1);
}

static void headers_that_say_nothing_clear_are_refused(void **state)
{
    struct driver d;
    (void)state;
    for (int i = 0; i < 3; i++) {
        static const char *const bad[] = { "soon", "-1s", "" };
        driver_refuses("POST", "/v1/queues/q/events", "Sluice-Delay", bad[i], "x", 400,
                       "'Sluice-Delay' must be a duration");
        driver_refuses("POST", "/v1/queues/q/events", "Sluice-Not-Before", bad[i], "x", 400,
                       "'Sluice-Not-Before' must be an RFC 3339 time");
    }
    driver_begin(&d);
    driver_header(&d, "Sluice-Delay", "1s");
    driver_header(&d, "Sluice-Not-Before", "2030-01-02T03:04:05Z");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "x"), API_RESPONSE);
    assert_says(&d, 400, "give one of them");
    driver_end(&d);
}

static void the_longest_duration_is_named(void **state)
{
    (void)state;
    assert_true(terms_with("/v1/queues/q/events", "Sluice-Delay", "3660d").delay_ms == UINT64_C(316224000000));
    driver_refuses("POST", "/v1/queues/q/events", "Sluice-Delay", "4000d", "x", 400, "2h, at most 3660d");
    driver_refuses("POST", "/v1/queues/q/events", "Sluice-TTL", "4000d", "x", 400, "2h, at most 3660d");
    driver_refuses("POST", "/v1/queues/q/events", "Sluice-Wait", "4000d", "x", 400, "1m, at most 3660d");
    driver_refuses("POST", "/v1/queues/q/take?wait=4000d", NULL, NULL, "", 400, "1m, at most 3660d");
}

static void a_ttl_is_a_duration_from_now_on(void **state)
{
    (void)state;
    struct client_terms t = terms_with("/v1/queues/q/events", "Sluice-TTL", "1500ms");
    assert_true(t.expires_ms == 1700000001623 && t.delay_ms == 0);
    t = terms_with("/v1/topics/t/events", "sluice-ttl", "2h");
    assert_true(t.expires_ms == 1700007200123);
    static const char *const bad[] = { "soon", "-1s", "", "0s" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        driver_refuses("POST", "/v1/queues/q/events", "Sluice-TTL", bad[i], "x", 400,
                       "'Sluice-TTL' must be a duration above 0");
}

static void a_ttl_that_ends_with_the_delay_or_before_is_refused(void **state)
{
    static const char *const too_short[] = { "1s", "2000ms" };
    struct driver d;
    (void)state;
    for (size_t i = 0; i < sizeof too_short / sizeof *too_short; i++) {
        driver_begin(&d);
        driver_header(&d, "Sluice-TTL", too_short[i]);
        driver_header(&d, "Sluice-Delay", "2s");
        assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "x"), API_RESPONSE);
        assert_says(&d, 400, "includes Sluice-Delay 2s and must be longer: these events would expire undelivered");
        assert_says(&d, 400, too_short[i]);
        driver_end(&d);
    }
    driver_begin(&d);
    driver_header(&d, "Sluice-TTL", "2001ms");
    driver_header(&d, "Sluice-Delay", "2s");
    assert_int_equal(terms_of(&d, "/v1/queues/q/events", "x")->delay_ms, 2000);
    driver_end(&d);
}

static void a_ttl_is_each_event_s_and_none_has_an_expiry_beside_it(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Content-Type", "application/cloudevents-batch+json");
    driver_header(&d, "Sluice-TTL", "1s");
    driver_header(&d, "Sluice-Delay", "500ms");
    const struct client_terms *first = terms_of(&d, "/v1/queues/q/events", "[{" CLOUDEVENT "},{" CLOUDEVENT "}]");
    assert_true(first[0].expires_ms == 1700000001123 && first[0].delay_ms == 500);
    assert_true(d.command.u.publish.events[1].terms.expires_ms == 1700000001123);
    assert_int_equal(
        driver_send(&d, "POST", "/v1/queues/q/events", "[{" CLOUDEVENT "},{" CLOUDEVENT "," EXPIRES_2023 "}]"),
        API_RESPONSE);
    assert_says(&d, 400, "events[1]: header 'Sluice-TTL' and attribute 'expirytime' exclude each other");
    driver_end(&d);
}

static void a_header_that_nobody_knows_is_refused_with_the_one_that_was_meant(void **state)
{
    static const struct {
        const char *name, *says;
    } wrong[] = {
        { "Sluice-Dealy", "unknown header 'Sluice-Dealy'; did you mean 'Sluice-Delay'?" },
        { "sluice-notbefore", "did you mean 'Sluice-Not-Before'?" },
        { "SLUICE-TLL", "did you mean 'Sluice-TTL'?" },
        { "Sluice-Expires", "known here: Sluice-Wait, Sluice-Delay, Sluice-Not-Before, Sluice-TTL" },
        { "Sluice-", "unknown header 'Sluice-'; known here: " },
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        driver_refuses("POST", "/v1/queues/q/events", wrong[i].name, "1s", "x", 400, wrong[i].says);
        driver_refuses("POST", "/v1/topics/t/events", wrong[i].name, "1s", "x", 400, wrong[i].says);
    }
}

/* A subscription may push to another queue, through a sidecar; an application may forward a push with its headers. */
static void the_headers_of_a_push_are_ignored(void **state)
{
    static const char *const pushed[] = { "Sluice-Queue", "Sluice-Sequence", "Sluice-Attempt",
                                          "sluice-consumer-epoch" };
    (void)state;
    for (size_t i = 0; i < sizeof pushed / sizeof *pushed; i++)
        assert_true(terms_with("/v1/queues/q/events", pushed[i], "1").expires_ms == 0);
}

static void each_event_of_a_batch_has_its_own_expiry_and_the_common_delay(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Content-Type", "application/cloudevents-batch+json");
    driver_header(&d, "Sluice-Delay", "1s");
    const struct client_terms *first =
        terms_of(&d, "/v1/queues/q/events", "[{" CLOUDEVENT "," EXPIRES_2023 "},{" CLOUDEVENT "}]");
    assert_true(first->delay_ms == 1000 && first->expires_ms == 1700000000123);
    const struct client_terms *second = &d.command.u.publish.events[1].terms;
    assert_true(second->delay_ms == 1000 && second->expires_ms == 0);
    driver_end(&d);
}

static void an_expiry_is_read_in_binary_mode(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "ce-specversion", "1.0");
    driver_header(&d, "ce-id", "a");
    driver_header(&d, "ce-source", "/s");
    driver_header(&d, "ce-type", "t");
    driver_header(&d, "ce-expirytime", "2023-11-14T22:13:20Z");
    assert_true(terms_of(&d, "/v1/queues/q/events", "x")->expires_ms == 1700000000000);
    driver_end(&d);
}

/* CloudEvents' protobuf format has a timestamp type. */
static void an_expiry_is_read_as_a_protobuf_timestamp(void **state)
{
    static const char encoded[] = "\x0a\x01"
                                  "a\x12\x02/s\x1a\x03"
                                  "1.0\x22\x01t"
                                  "\x2a\x16\x0a\x0a"
                                  "expirytime\x12\x08\x3a\x06\x08\x80\xe2\xcf\xaa\x06";
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Content-Type", "application/cloudevents+protobuf");
    assert_true(terms_of(&d, "/v1/queues/q/events", encoded)->expires_ms == 1700000000000);
    driver_end(&d);
}

static void an_expiry_that_is_no_time_is_refused_by_its_name(void **state)
{
    (void)state;
    driver_refuses("POST", "/v1/queues/q/events", "Content-Type", JSON_EVENT,
                   "{" CLOUDEVENT ",\"expirytime\":\"tomorrow\"}", 400,
                   "attribute 'expirytime' must be an RFC 3339 time");
    driver_refuses("POST", "/v1/topics/t/events", "Content-Type", JSON_EVENT, "{" CLOUDEVENT ",\"expirytime\":5}", 400,
                   "attribute 'expirytime' must be an RFC 3339 time");
    driver_refuses("POST", "/v1/queues/q/events", "Content-Type", "application/cloudevents-batch+json",
                   "[{" CLOUDEVENT "},{" CLOUDEVENT ",\"expirytime\":\"\"}]", 400, "events[1]: attribute 'expirytime'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_is_at_once_and_for_ever),
        cmocka_unit_test(a_delay_is_a_duration),
        cmocka_unit_test(a_not_before_is_a_time),
        cmocka_unit_test(headers_that_say_nothing_clear_are_refused),
        cmocka_unit_test(the_longest_duration_is_named),
        cmocka_unit_test(a_ttl_is_a_duration_from_now_on),
        cmocka_unit_test(a_ttl_that_ends_with_the_delay_or_before_is_refused),
        cmocka_unit_test(a_ttl_is_each_event_s_and_none_has_an_expiry_beside_it),
        cmocka_unit_test(a_header_that_nobody_knows_is_refused_with_the_one_that_was_meant),
        cmocka_unit_test(the_headers_of_a_push_are_ignored),
        cmocka_unit_test(each_event_of_a_batch_has_its_own_expiry_and_the_common_delay),
        cmocka_unit_test(an_expiry_is_read_in_binary_mode),
        cmocka_unit_test(an_expiry_is_read_as_a_protobuf_timestamp),
        cmocka_unit_test(an_expiry_that_is_no_time_is_refused_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
