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
    assert_false(host_passes("127.evil.example"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_hosts_and_origins_are_refused), cmocka_unit_test(loopback_in_every_form_is_a_host),
        cmocka_unit_test(lengths_that_disagree_are_refused),     cmocka_unit_test(tokens_are_asked_where_needed),
        cmocka_unit_test(each_listener_has_its_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
