#include "tests/sidecar/api/api_driver.h"

static void names_are_decoded_and_checked(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "GET", "/v1/queues/or%64ers.v1_x-y", ""), API_COMMAND);
    assert_string_equal(d.command.queue, "orders.v1_x-y");
    driver_end(&d);
}

static void bad_names_are_refused(void **state)
{
    static const char *const bad[] = { "/v1/queues/-a", "/v1/queues/.a",    "/v1/queues/a%2Fb", "/v1/queues/a%00b",
                                       "/v1/queues/%",  "/v1/queues/%zz",   "/v1/queues/a+b",   "/v1/queues/%c3%a9",
                                       "/v1/queues/_",  "/v1/queues/a%20b", "/v1/queues/a%" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        driver_refuses("GET", bad[i], NULL, NULL, "", 400, "a name is 1 to 128");
}

static void a_name_has_at_most_128_characters(void **state)
{
    char target[200] = "/v1/queues/";
    struct driver d;
    (void)state;
    memset(target + 11, 'a', 128);
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "GET", target, ""), API_COMMAND);
    driver_end(&d);
    target[11 + 128] = 'a';
    driver_refuses("GET", target, NULL, NULL, "", 400, "a name is 1 to 128");
}

static void every_call_names_an_unknown_query_parameter(void **state)
{
    static const struct {
        const char *method, *target;
    } calls[] = { { "POST", "/v1/queues/q/events?x=1" },
                  { "POST", "/v1/queues/q/take?x=1" },
                  { "POST", "/v1/queues/q/acks?x=1" },
                  { "PUT", "/v1/queues/q?x=1" },
                  { "GET", "/v1/queues/q?x=1" },
                  { "GET", "/v1/queues?x=1" },
                  { "DELETE", "/v1/queues/q?x=1" },
                  { "GET", "/v1/queues/q/peek?x=1" },
                  { "POST", "/v1/queues/q/purge?x=1" },
                  { "POST", "/v1/drain?x=1" },
                  { "GET", "/livez?x=1" },
                  { "GET", "/metrics?x=1" } };
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        driver_refuses(calls[i].method, calls[i].target, NULL, NULL, "", 400, "unknown query parameter 'x'");
}

static void a_body_where_none_is_taken_is_refused(void **state)
{
    static const char *const nothing[] = { "", "{}", "null", " { }\r\n", "\tnull" };
    static const char *const something[] = { "{\"state\":\"dead\"}", "x", "[]", "nul", "nullx", "{}{}", "{} x" };
    (void)state;
    for (size_t i = 0; i < sizeof something / sizeof *something; i++) {
        driver_refuses("POST", "/v1/queues/q/purge", NULL, NULL, something[i], 400,
                       "this call takes no body; its parameters are in the query: state");
        driver_refuses("POST", "/v1/queues/q/pause", NULL, NULL, something[i], 400,
                       "this call takes no body; it has no parameters");
    }
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        struct driver d;
        driver_begin(&d);
        d.request.listener = API_OPERATIONS;
        assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/purge", nothing[i]), API_COMMAND);
        driver_end(&d);
    }
}

/* There are no entity tags; only If-None-Match: * is supported, where something is created. A change with any other
 * precondition must not be carried out. */
static void unsupported_preconditions_are_refused_for_changes(void **state)
{
    static const struct {
        const char *method, *target, *header;
        bool done;
    } calls[] = { { "PUT", "/v1/queues/q", "If-Match", false },
                  { "PUT", "/v1/queues/q", "If-None-Match", true },
                  { "DELETE", "/v1/queues/q", "If-Match", false },
                  { "DELETE", "/v1/queues/q", "If-None-Match", false },
                  { "DELETE", "/v1/queues/q/events/1", "If-Match", false },
                  { "PUT", "/v1/topics/t", "if-match", false },
                  { "PUT", "/v1/topics/t", "If-None-Match", true },
                  { "PUT", "/v1/topics/t/bindings/q", "If-None-Match", false },
                  { "PUT", "/v1/subscriptions/s", "If-Match", false },
                  { "PUT", "/v1/subscriptions/s", "If-None-Match", false },
                  { "GET", "/v1/queues/q", "If-Match", true },
                  { "HEAD", "/v1/queues/q", "If-None-Match", true },
                  { "POST", "/v1/queues/q/take", "If-Match", true } };
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct driver d;
        driver_begin(&d);
        d.request.listener = API_OPERATIONS;
        d.config.app_named = true;
        driver_header(&d, calls[i].header, "*");
        assert_int_equal(driver_send(&d, calls[i].method, calls[i].target, ""),
                         calls[i].done ? API_COMMAND : API_RESPONSE);
        if (!calls[i].done)
            assert_says(&d, 400, "is not understood here");
        driver_end(&d);
    }
}

static void each_address_becomes_its_command(void **state)
{
    static const struct {
        const char *method, *target;
        enum api_command_kind kind;
    } calls[] = { { "POST", "/v1/queues/q/take", API_TAKE },
                  { "POST", "/v1/drain", API_DRAIN },
                  { "GET", "/livez", API_LIVE },
                  { "GET", "/readyz", API_READY },
                  { "GET", "/startupz", API_STARTUP },
                  { "GET", "/healthz", API_HEALTH },
                  { "GET", "/metrics", API_METRICS },
                  { "GET", "/openapi.json", API_DESCRIPTION },
                  { "GET", "/", API_INDEX },
                  { "GET", "/v1.0/metadata?x=y", API_METADATA_DAPR },
                  { "GET", "/v1.0/healthz", API_HEALTH_DAPR },
                  { "GET", "/v1.0/healthz/outbound?appid=x", API_HEALTH_DAPR },
                  { "HEAD", "/v1/queues/q", API_CALL } };
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct driver d;
        driver_begin(&d);
        d.request.listener = API_OPERATIONS;
        assert_int_equal(driver_send(&d, calls[i].method, calls[i].target, ""), API_COMMAND);
        assert_int_equal(d.command.kind, calls[i].kind);
        assert_non_null(d.command.route);
        driver_end(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_decoded_and_checked),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(a_name_has_at_most_128_characters),
        cmocka_unit_test(a_body_where_none_is_taken_is_refused),
        cmocka_unit_test(every_call_names_an_unknown_query_parameter),
        cmocka_unit_test(unsupported_preconditions_are_refused_for_changes),
        cmocka_unit_test(each_address_becomes_its_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
