#include "tests/sidecar/api/api_driver.h"

static void refuses(const char *name, const char *value, int status, const char *reason)
{
    struct driver d;
    driver_begin(&d);
    driver_header(&d, "Host", "localhost:8480");
    driver_header(&d, name, value);
    assert_int_equal(driver_send(&d, "GET", "/v1/queues", ""), API_RESPONSE);
    assert_says(&d, status, reason);
    driver_end(&d);
}

static void foreign_hosts_and_origins_are_refused(void **state)
{
    (void)state;
    refuses("Origin", "https://evil.example", 403, "\"origin\"");
    refuses("Origin", "null", 403, "\"origin\"");
    refuses("Origin", "http://localhost:8480.evil.example", 403, "\"origin\"");
    refuses("Host", "localhost", 400, "Host");
}

static bool host_passes(const char *host)
{
    struct driver d;
    driver_begin(&d);
    driver_header(&d, "Host", host);
    bool passes = driver_send(&d, "GET", "/v1/queues", "") == API_COMMAND;
    driver_end(&d);
    return passes;
}

static void loopback_in_every_form_is_a_host(void **state)
{
    (void)state;
    assert_true(host_passes("localhost"));
    assert_true(host_passes("LOCALHOST:1"));
    assert_true(host_passes("127.0.0.2:80"));
    assert_true(host_passes("[::1]:8480"));
    assert_true(host_passes("localhost:"));
    assert_false(host_passes("127.evil.example"));
    assert_false(host_passes("localhost:x@evil.example"));
    assert_false(host_passes("localhost:80.evil.example"));
    assert_false(host_passes("[::1].evil.example"));
    assert_false(host_passes("[::1]80"));
    assert_false(host_passes("[::1"));
    assert_false(host_passes("localhost.evil.example"));
    assert_false(host_passes(""));
}

static void lengths_that_disagree_are_refused(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Content-Length", "5");
    driver_header(&d, "Content-Length", "6");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "hello"), API_RESPONSE);
    assert_says(&d, 400, "Content-Length");
    assert_true(d.close);
    driver_end(&d);
}

static void tokens_are_asked_where_needed(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    d.config.token_needed[API_APPLICATION] = true;
    d.config.token = "0123456789abcdef";
    assert_int_equal(driver_send(&d, "GET", "/v1/queues", ""), API_RESPONSE);
    assert_says(&d, 401, "unauthorized");
    buf_free(&d.response.body);
    driver_header(&d, "Authorization", "Bearer 0123456789abcdef");
    assert_int_equal(driver_send(&d, "GET", "/v1/queues", ""), API_COMMAND);
    driver_end(&d);
}

static void each_listener_has_its_addresses(void **state)
{
    static const struct {
        enum api_listener listener;
        const char *method, *path;
        int status; /* 0: a command */
    } cases[] = {
        { API_APPLICATION, "POST", "/v1/queues/q/purge", 403 },
        { API_OPERATIONS, "POST", "/v1/queues/q/purge", 0 },
        { API_APPLICATION, "POST", "/v1/queues/q/redrive", 403 },
        { API_OPERATIONS, "POST", "/v1/queues/q/redrive", 0 },
        { API_PROBE, "GET", "/v1/queues", 404 },
        { API_PROBE, "GET", "/livez", 0 },
        { API_APPLICATION, "GET", "/nothing", 404 },
        { API_APPLICATION, "PUT", "/v1/queues", 405 },
        { API_APPLICATION, "GET", "/v1/queues/", 404 },
        { API_OPERATIONS, "HEAD", "/livez", 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct driver d;
        driver_begin(&d);
        d.request.listener = cases[i].listener;
        enum api_answer answer = driver_send(&d, cases[i].method, cases[i].path, "");
        assert_int_equal(answer, cases[i].status ? API_RESPONSE : API_COMMAND);
        assert_int_equal(d.response.status, cases[i].status);
        driver_end(&d);
    }
}

static void requests_a_proxy_may_read_differently_are_refused_and_closed(void **state)
{
    static const char *const bad[][2] = { { "Content-Length ", "5" },
                                          { "Transfer-Encoding", "gzip" },
                                          { "Transfer-Encoding", "chunked, gzip" },
                                          { "X Y", "1" },
                                          { "X\x01", "1" },
                                          { "X/", "1" },
                                          { "X:", "1" },
                                          { "X@", "1" },
                                          { "X[", "1" },
                                          { "X{", "1" },
                                          { "", "1" } };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct driver d;
        driver_begin(&d);
        driver_header(&d, bad[i][0], bad[i][1]);
        assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "hello"), API_RESPONSE);
        assert_says(&d, 400, "\"invalid\"");
        assert_true(d.close);
        driver_end(&d);
    }
}

static void a_header_s_name_is_any_token(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "!#$%&'*+-.^_`|~09AZaz", "1");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "hello"), API_COMMAND);
    driver_end(&d);
}

static void one_chunked_coding_or_two_equal_lengths_pass(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Transfer-Encoding", "Chunked");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "hello"), API_COMMAND);
    driver_end(&d);
    driver_begin(&d);
    driver_header(&d, "Content-Length", "5");
    driver_header(&d, "content-length", "5");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "hello"), API_COMMAND);
    driver_end(&d);
    driver_begin(&d);
    driver_header(&d, "Content-Length", "5");
    driver_header(&d, "Transfer-Encoding", "chunked");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "hello"), API_RESPONSE);
    assert_says(&d, 400, "Content-Length and Transfer-Encoding exclude each other");
    driver_end(&d);
}

static bool ends_after(const char *name, const char *value)
{
    struct driver d;
    driver_begin(&d);
    driver_header(&d, name, value);
    assert_int_equal(driver_send(&d, "POST", "/v1/nothing", ""), API_RESPONSE);
    assert_int_equal(d.response.status, 404);
    bool close = d.close;
    driver_end(&d);
    return close;
}

static void a_refused_body_is_read_unless_very_large_or_sent_with_expect(void **state)
{
    (void)state;
    assert_false(ends_after("Content-Length", "4000000"));
    assert_true(ends_after("Content-Length", "4000000000"));
    assert_true(ends_after("Content-Length", "40000000000000000000000"));
    assert_true(ends_after("Expect", "100-continue"));
}

static void an_accepted_request_with_expect_keeps_its_connection(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "Expect", "100-continue");
    driver_header(&d, "Content-Length", "5");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "hello"), API_COMMAND);
    assert_false(d.close);
    driver_end(&d);
}

/* Does a request with this header pass if `listed` is the only allowed host and origin? */
static bool listed_passes(const char *name, const char *value, const char *listed)
{
    char *item = (char *)(uintptr_t)listed;
    struct setting_list list = { &item, 1 };
    struct driver d;
    driver_begin(&d);
    d.config.origins = d.config.hosts = &list;
    if (strcmp(name, "Origin") == 0)
        driver_header(&d, "Host", "localhost:8480");
    driver_header(&d, name, value);
    bool passes = driver_send(&d, "GET", "/v1/queues", "") == API_COMMAND;
    driver_end(&d);
    return passes;
}

static void listed_hosts_and_origins_pass(void **state)
{
    (void)state;
    assert_true(listed_passes("Host", "sluice.internal:8480", "sluice.internal"));
    assert_true(listed_passes("Host", "SLUICE.internal", "sluice.internal"));
    assert_false(listed_passes("Host", "sluice.internal:8480", "sluice.internal:9480"));
    assert_true(listed_passes("Origin", "https://console.example", "https://console.example"));
    assert_false(listed_passes("Origin", "http://console.example", "https://console.example"));
    assert_true(listed_passes("Origin", "http://localhost:8480", "unrelated"));
    assert_false(listed_passes("Origin", "http://localhost:9999", "unrelated"));
}

static void probes_ask_for_no_token_and_no_host(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    d.request.listener = API_PROBE;
    driver_header(&d, "Host", "10.1.2.3:9481");
    driver_header(&d, "Origin", "http://evil.example");
    assert_int_equal(driver_send(&d, "GET", "/livez", ""), API_COMMAND);
    driver_end(&d);
}

static void app_operate_opens_operating_calls(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/purge", ""), API_RESPONSE);
    assert_says(&d, 403, "\"operating\"");
    driver_end(&d);
    driver_begin(&d);
    d.config.operations = "127.0.0.1:9480";
    assert_int_equal(driver_send(&d, "GET", "/openapi.json", ""), API_RESPONSE);
    assert_says(&d, 403,
                "\"detail\":\"this is answered on the operations listener only, 127.0.0.1:9480 of this sidecar\"");
    driver_end(&d);
    driver_begin(&d);
    d.config.operate = true;
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/purge", ""), API_COMMAND);
    driver_end(&d);
}

/* The application may put a subscription to the operations listener, which it cannot reach itself. */
static void a_push_cannot_call_operations(void **state)
{
    (void)state;
    for (unsigned operate = 0; operate < 2; operate++) {
        struct driver d;
        driver_begin(&d);
        d.request.listener = API_OPERATIONS;
        d.config.operate = operate;
        driver_header(&d, "sluice-sequence", "1");
        assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/purge", ""), operate ? API_COMMAND : API_RESPONSE);
        if (!operate)
            assert_says(&d, 403, "a push cannot operate anything");
        driver_end(&d);
    }
    struct driver d;
    driver_begin(&d);
    d.request.listener = API_OPERATIONS;
    driver_header(&d, "Sluice-Sequence", "1");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/events", "passed on"), API_COMMAND);
    driver_end(&d);
}

/* The probe listener checks neither token nor host, so no header may give a request more rights there. */
static void a_push_to_the_probe_listener_can_never_call_operations(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    d.request.listener = API_PROBE;
    d.config.operate = true;
    driver_header(&d, "Sluice-Sequence", "1");
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/purge", ""), API_RESPONSE);
    assert_says(&d, 404, "not_found");
    driver_end(&d);
}

static void a_wrong_method_is_answered_with_the_right_ones(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "GET", "/v1/queues/q/events", ""), API_RESPONSE);
    assert_says(&d, 405, "\"detail\":\"this address answers POST\"");
    assert_string_equal(driver_response_header(&d, "Allow"), "POST");
    driver_end(&d);
}

static void who_posts_to_a_queue_is_told_where_events_go(void **state)
{
    static const struct {
        const char *target, *says;
    } cases[] = {
        { "/v1/queues/orders", "this address answers GET, HEAD, PUT, DELETE; publish at /v1/queues/{q}/events\"" },
        { "/v1/topics/all", "this address answers GET, HEAD, PUT, DELETE; publish at /v1/topics/{t}/events\"" },
        { "/v1/queues", "this address answers GET, HEAD\"" },
    };
    struct driver d;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        driver_begin(&d);
        assert_int_equal(driver_send(&d, "POST", cases[i].target, "x"), API_RESPONSE);
        assert_says(&d, 405, cases[i].says);
        driver_end(&d);
    }
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "PATCH", "/v1/queues/orders", "x"), API_RESPONSE);
    assert_says(&d, 405, "this address answers GET, HEAD, PUT, DELETE\"");
    driver_end(&d);
}

static void a_slash_too_many_is_named(void **state)
{
    static const struct {
        const char *method, *target;
    } calls[] = { { "POST", "/v1/queues/q/events/" }, { "PUT", "/v1/queues/w/" }, { "PATCH", "/v1/queues/" } };
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        driver_refuses(calls[i].method, calls[i].target, NULL, NULL, "x", 404,
                       "\"the address ends with a slash; leave it out\"");
    driver_refuses("GET", "/v1/queues/q/nothing/", NULL, NULL, "", 404, "\"not_found\"");
}

static void a_wrong_last_part_is_answered_with_its_siblings_except_for_probes(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/publish", "x"), API_RESPONSE);
    assert_says(&d, 404, "\"detail\":\"the last part of the address is unknown; known here: events, take, ");
    driver_end(&d);
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "POST", "/v2", "x"), API_RESPONSE);
    assert_says(&d, 404, "\"not_found\"");
    assert_null(memmem(d.response.body.data, d.response.body.size, "detail", 6));
    driver_end(&d);
    driver_begin(&d);
    d.request.listener = API_PROBE;
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/publish", "x"), API_RESPONSE);
    assert_says(&d, 404, "\"not_found\"");
    assert_null(memmem(d.response.body.data, d.response.body.size, "detail", 6));
    driver_end(&d);
}

static void a_wrong_token_is_no_token(void **state)
{
    static const char *const bad[] = { "Bearer 0123456789abcdeX",
                                       "Bearer 0123456789abcdef0",
                                       "Basic 0123456789abcdef",
                                       "0123456789abcdef",
                                       "Bearer",
                                       "" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct driver d;
        driver_begin(&d);
        d.config.token_needed[API_APPLICATION] = true;
        d.config.token = "0123456789abcdef";
        driver_header(&d, "Authorization", bad[i]);
        assert_int_equal(driver_send(&d, "GET", "/v1/queues", ""), API_RESPONSE);
        assert_int_equal(d.response.status, 401);
        driver_end(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_hosts_and_origins_are_refused),
        cmocka_unit_test(loopback_in_every_form_is_a_host),
        cmocka_unit_test(lengths_that_disagree_are_refused),
        cmocka_unit_test(tokens_are_asked_where_needed),
        cmocka_unit_test(each_listener_has_its_addresses),
        cmocka_unit_test(requests_a_proxy_may_read_differently_are_refused_and_closed),
        cmocka_unit_test(a_header_s_name_is_any_token),
        cmocka_unit_test(one_chunked_coding_or_two_equal_lengths_pass),
        cmocka_unit_test(an_accepted_request_with_expect_keeps_its_connection),
        cmocka_unit_test(a_refused_body_is_read_unless_very_large_or_sent_with_expect),
        cmocka_unit_test(listed_hosts_and_origins_pass),
        cmocka_unit_test(probes_ask_for_no_token_and_no_host),
        cmocka_unit_test(app_operate_opens_operating_calls),
        cmocka_unit_test(a_push_cannot_call_operations),
        cmocka_unit_test(a_push_to_the_probe_listener_can_never_call_operations),
        cmocka_unit_test(a_wrong_method_is_answered_with_the_right_ones),
        cmocka_unit_test(who_posts_to_a_queue_is_told_where_events_go),
        cmocka_unit_test(a_slash_too_many_is_named),
        cmocka_unit_test(a_wrong_last_part_is_answered_with_its_siblings_except_for_probes),
        cmocka_unit_test(a_wrong_token_is_no_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
