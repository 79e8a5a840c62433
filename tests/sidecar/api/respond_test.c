#include "tests/sidecar/api/api_driver.h"

#include "sidecar/api/json_write.h"
#include "sidecar/api/respond.h"

static void a_problem_says_what_the_reason_is(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    api_problem(REASON_closed, NULL, 0, &d.arena, &d.response);
    assert_int_equal(d.response.status, 409);
    assert_string_equal(d.response.content_type, "application/problem+json");
    assert_body(
        &d, "{\"type\":\"urn:sluice:reason:closed\",\"title\":\"the queue is closed to publishers; open it again to "
            "publish\",\"status\":409,\"reason\":\"closed\",\"retryable\":false}\n");
    driver_end(&d);
}

static void a_detail_is_escaped_and_members_may_follow(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    problem_open(REASON_invalid, "a \"quoted\" thing", false, &d.response);
    json_add_number_member(&d.response.body, "depth", 7);
    problem_close(REASON_invalid, 0, &d.arena, &d.response);
    assert_says(&d, 400, "\"detail\":\"a \\\"quoted\\\" thing\"");
    assert_says(&d, 400, "\"retryable\":false,\"depth\":7}");
    driver_end(&d);
}

static void a_quotation_cut_within_a_character_is_cut_before_it(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    api_problem(REASON_invalid, "unknown key '\u00e9\xe2\x82'; known here: \u00fc\xc3", 0, &d.arena, &d.response);
    assert_says(&d, 400, "\"detail\":\"unknown key '\u00e9'; known here: \u00fc\"");
    driver_end(&d);
    driver_refuses("GET", "/v1/queues?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%E2%82%AC=1", NULL,
                   NULL, "", 400,
                   "unknown query parameter 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'");
}

static const char *retry_after(struct driver *d, enum reason reason, uint32_t ms)
{
    driver_end(d);
    driver_begin(d);
    api_problem(reason, NULL, ms, &d->arena, &d->response);
    return driver_response_header(d, "Retry-After");
}

static void retry_after_is_whole_seconds_and_at_least_one(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_string_equal(retry_after(&d, REASON_full, 0), "1");
    assert_string_equal(retry_after(&d, REASON_budget, 1000), "1");
    assert_string_equal(retry_after(&d, REASON_unavailable, 1001), "2");
    assert_string_equal(retry_after(&d, REASON_disk, UINT32_MAX - 999), "4294967");
    driver_end(&d);
}

static void what_a_retry_cannot_help_has_no_retry_after(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_null(retry_after(&d, REASON_unknown, 1000));
    assert_null(retry_after(&d, REASON_no_consumer, 1000));
    assert_null(retry_after(&d, REASON_closed, 1000));
    driver_end(&d);
}

static void who_needs_a_token_is_asked_for_it(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    api_problem(REASON_unauthorized, NULL, 0, &d.arena, &d.response);
    assert_string_equal(driver_response_header(&d, "WWW-Authenticate"), "Bearer realm=\"sluice\"");
    driver_end(&d);
}

static void headers_beyond_the_room_are_left_out(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    respond_begin_json(&d.response, 200);
    for (unsigned i = 0; i < 20; i++)
        respond_number_header(&d.response, &d.arena, "X", i);
    assert_int_equal(d.response.header_count, 8);
    driver_end(&d);
}

static void the_description_is_built_in(void **state)
{
    (void)state;
    struct span text = api_openapi();
    assert_true(text.size > 1000 && memcmp(text.data, "{\n \"openapi\": \"3.1.0\"", 21) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_says_what_the_reason_is),
        cmocka_unit_test(a_detail_is_escaped_and_members_may_follow),
        cmocka_unit_test(a_quotation_cut_within_a_character_is_cut_before_it),
        cmocka_unit_test(retry_after_is_whole_seconds_and_at_least_one),
        cmocka_unit_test(what_a_retry_cannot_help_has_no_retry_after),
        cmocka_unit_test(who_needs_a_token_is_asked_for_it),
        cmocka_unit_test(headers_beyond_the_room_are_left_out),
        cmocka_unit_test(the_description_is_built_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
