/* Explaining one event: its state and why. */
#include "tests/sidecar/api/api_driver.h"

static const struct api_command command = { .queue = "orders", .u.call.request.call = CALL_EXPLAIN };

static struct reply explained(enum event_state state, enum blocked_by blocked)
{
    struct reply r = { .result = RESULT_EXPLAINED };
    r.u.explained = (struct explained){ .event = { .sequence = 7,
                                                   .state = state,
                                                   .event = span_str("\x0a\x01\x61\x12\x02/s\x1a\x03\x31.0\x22\x01t"),
                                                   .trouble = { .error = "" } },
                                        .blocked = blocked,
                                        .consumer = "",
                                        .behind = 3,
                                        .blocker = 5 };
    return r;
}

static void begin(struct driver *d, const struct reply *r)
{
    driver_begin(d);
    api_render_reply(&command, r, &d->arena, &d->response);
}

static void assert_silent(const struct driver *d, const char *text)
{
    if (memmem(d->response.body.data, d->response.body.size, text, strlen(text)))
        fail_msg("'%s' is said", text);
}

static void what_is_ready_has_a_place(void **state)
{
    struct reply r = explained(STATE_READY, BLOCKED_BEHIND);
    struct driver d;
    (void)state;
    begin(&d, &r);
    assert_says(&d, 200,
                "{\"queue\":\"orders\",\"blocked_by\":\"behind\",\"explanation\":\"3 ready events are before it\","
                "\"behind\":3,\"consumer\":null,\"next\":null,\"attempts\":[],\"sequence\":7");
    driver_end(&d);
    r = explained(STATE_READY, BLOCKED_NOT);
    r.u.explained.consumer = "c";
    begin(&d, &r);
    assert_says(&d, 200, "\"blocked_by\":null,\"explanation\":\"it is the next one its consumer gets\",\"behind\":3,");
    assert_says(&d, 200, "\"consumer\":\"c\"");
    driver_end(&d);
    r = explained(STATE_IN_FLIGHT, BLOCKED_IN_FLIGHT);
    begin(&d, &r);
    assert_silent(&d, "\"behind\"");
    driver_end(&d);
}

static void who_waits_for_its_key_is_told_for_whom(void **state)
{
    struct reply r = explained(STATE_READY, BLOCKED_KEY);
    struct driver d;
    (void)state;
    begin(&d, &r);
    assert_says(&d, 200, "\"explanation\":\"event 5 of the same key has to be settled first\"");
    assert_says(&d, 200, "\"blocked_by_sequence\":5,");
    driver_end(&d);
    r.u.explained.blocked = BLOCKED_PAUSED;
    begin(&d, &r);
    assert_silent(&d, "blocked_by_sequence");
    driver_end(&d);
}

static void what_happens_by_itself_has_its_time(void **state)
{
    struct reply r = explained(STATE_DELAYED, BLOCKED_DELAYED);
    struct driver d;
    (void)state;
    r.u.explained.now_ms = 1700000000123;
    r.u.explained.accepted_ms = 1700000000123 - 61005;
    r.u.explained.next = NEXT_READY;
    r.u.explained.next_ms = 1700000001200;
    begin(&d, &r);
    assert_says(&d, 200, "\"next\":{\"what\":\"ready\",\"at\":\"2023-11-14T22:13:21.2Z\",\"in_seconds\":1.077},");
    assert_says(&d, 200, "\"accepted\":\"2023-11-14T22:12:19.118Z\",\"age_seconds\":61.005,");
    driver_end(&d);
    r.u.explained.next_ms = 1; /* in the past: the clock was set forward */
    r.u.explained.accepted_ms = 0;
    begin(&d, &r);
    assert_says(&d, 200, "\"in_seconds\":0.000}");
    assert_silent(&d, "\"accepted\"");
    driver_end(&d);
}

/* The path exists, but the event is gone: not "not_found". */
static void an_event_that_is_gone_is_unknown_and_not_its_address(void **state)
{
    struct driver d;
    struct reply r = { .reason = REASON_not_found, .detail = "never existed: ..." };
    (void)state;
    begin(&d, &r);
    assert_says(&d, 404, "\"reason\":\"unknown_event\"");
    assert_says(&d, 404, "\"detail\":\"never existed: ...\"");
    assert_says(&d, 404, "\"title\":\"the queue holds no event of that sequence\"");
    driver_end(&d);
}

static void an_explained_event_has_its_attempts(void **state)
{
    struct reply r = { .result = RESULT_EXPLAINED };
    r.u.explained = (struct explained){
        .event = { .sequence = 7,
                   .state = STATE_IN_FLIGHT,
                   .attempt = 4,
                   .event = span_str("\x0a\x01\x61\x12\x02/s\x1a\x03\x31.0\x22\x01t"),
                   .trouble = { .error = "" } },
        .blocked = BLOCKED_IN_FLIGHT,
        .consumer = "c",
        .attempts = { { 3, ATTEMPT_LEASE_EXPIRED, 1700000000123, 30000, 0, "b", "the lease ran out" },
                      { 4, ATTEMPT_IN_FLIGHT, 1700000061000, 7, 0, "c", "" } },
        .attempt_count = 2,
        .attempts_older = 2,
    };
    struct driver d;
    (void)state;
    begin(&d, &r);
    assert_says(&d, 200,
                "\"attempts\":[{\"attempt\":3,\"delivered\":\"2023-11-14T22:13:20.123Z\",\"outcome\":"
                "\"lease_expired\",\"latency_seconds\":30.000,\"consumer\":\"b\",\"error\":\"the lease ran out\"},"
                "{\"attempt\":4,\"delivered\":\"2023-11-14T22:14:21Z\",\"outcome\":\"in_flight\","
                "\"latency_seconds\":0.007,\"consumer\":\"c\"}],\"attempts_older\":2,\"sequence\":7");
    driver_end(&d);
    r.u.explained.attempts_older = 0;
    r.u.explained.attempts[0] = (struct attempt_info){ 1, ATTEMPT_NACKED, 1, 1, 503, "b", "no" };
    r.u.explained.attempt_count = 1;
    begin(&d, &r);
    assert_says(&d, 200, "\"consumer\":\"b\",\"status\":503,\"error\":\"no\"}],\"sequence\":7");
    driver_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_ready_has_a_place),
        cmocka_unit_test(who_waits_for_its_key_is_told_for_whom),
        cmocka_unit_test(what_happens_by_itself_has_its_time),
        cmocka_unit_test(an_event_that_is_gone_is_unknown_and_not_its_address),
        cmocka_unit_test(an_explained_event_has_its_attempts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
