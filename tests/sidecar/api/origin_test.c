/* CORS: preflights, and the headers that let pages of other origins read answers. */
#include "tests/sidecar/api/api_driver.h"

#define SHOP "https://shop.example"

static char *const shop[] = { (char *)(uintptr_t)SHOP };
static struct setting_list listed = { (char **)(uintptr_t)shop, 1 };

static void begin_at(struct driver *d, const char *origin)
{
    driver_begin(d);
    d->config.origins = &listed;
    driver_header(d, "Host", "localhost:8480");
    driver_header(d, "Origin", origin);
}

static void ask(struct driver *d, const char *origin, const char *target)
{
    begin_at(d, origin);
    driver_header(d, "Access-Control-Request-Method", "POST");
    driver_header(d, "Access-Control-Request-Headers", "content-type, ce-x09_.z");
    assert_int_equal(driver_send(d, "OPTIONS", target, ""), API_RESPONSE);
    api_finish(&d->config, &d->request, &d->arena, &d->response);
}

static void a_preflight_allows_the_path_s_methods_and_the_headers_asked_for(void **state)
{
    struct driver d;
    (void)state;
    ask(&d, SHOP, "/v1/queues/q/acks");
    assert_int_equal(d.response.status, 204);
    assert_string_equal(driver_response_header(&d, "Access-Control-Allow-Origin"), SHOP);
    assert_string_equal(driver_response_header(&d, "Access-Control-Allow-Methods"), "POST");
    assert_string_equal(driver_response_header(&d, "Access-Control-Allow-Headers"), "content-type, ce-x09_.z");
    assert_string_equal(driver_response_header(&d, "Access-Control-Max-Age"), "600");
    assert_string_equal(driver_response_header(&d, "Vary"), "Origin");
    driver_end(&d);
}

/* Names that are echoed in the answer must not begin a new header line. */
static void a_preflight_does_not_allow_malformed_header_names(void **state)
{
    static const char *const bad[] = { "content-type\r\nSet-Cookie: x", "a:b", ":a", "a\x01", "caf\xc3\xa9" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct driver d;
        begin_at(&d, SHOP);
        driver_header(&d, "Access-Control-Request-Method", "POST");
        driver_header(&d, "Access-Control-Request-Headers", bad[i]);
        assert_int_equal(driver_send(&d, "OPTIONS", "/v1/queues/q/acks", ""), API_RESPONSE);
        assert_int_equal(d.response.status, 204);
        assert_null(driver_response_header(&d, "Access-Control-Allow-Headers"));
        driver_end(&d);
    }
}

static void a_preflight_needs_no_token_but_the_request_does(void **state)
{
    struct driver d;
    (void)state;
    begin_at(&d, SHOP);
    d.config.token_needed[API_APPLICATION] = true;
    d.config.token = "0123456789abcdef";
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/acks", "{}"), API_RESPONSE);
    assert_int_equal(d.response.status, 401);
    buf_free(&d.response.body);
    driver_header(&d, "Access-Control-Request-Method", "POST");
    assert_int_equal(driver_send(&d, "OPTIONS", "/v1/queues/q/acks", ""), API_RESPONSE);
    assert_int_equal(d.response.status, 204);
    driver_end(&d);
}

static void other_origins_get_no_cors_headers(void **state)
{
    struct driver d;
    (void)state;
    ask(&d, "https://evil.example", "/v1/queues/q/acks");
    assert_says(&d, 403, "\"origin\"");
    assert_null(driver_response_header(&d, "Access-Control-Allow-Origin"));
    assert_null(driver_response_header(&d, "Access-Control-Allow-Methods"));
    driver_end(&d);
}

static void a_preflight_for_an_unknown_path_is_404(void **state)
{
    struct driver d;
    (void)state;
    ask(&d, SHOP, "/v1/nothing");
    assert_says(&d, 404, "\"not_found\"");
    assert_string_equal(driver_response_header(&d, "Access-Control-Allow-Origin"), SHOP);
    driver_end(&d);
}

static void options_that_is_no_preflight_is_405(void **state)
{
    struct driver d;
    (void)state;
    begin_at(&d, SHOP);
    assert_int_equal(driver_send(&d, "OPTIONS", "/v1/queues/q/acks", ""), API_RESPONSE);
    assert_says(&d, 405, "\"method\"");
    driver_end(&d);
    driver_begin(&d);
    driver_header(&d, "Access-Control-Request-Method", "POST");
    assert_int_equal(driver_send(&d, "OPTIONS", "/v1/queues/q/acks", ""), API_RESPONSE);
    assert_says(&d, 405, "\"method\"");
    driver_end(&d);
}

/* A page that could not read errors could not tell a full queue from a network failure. */
static void errors_have_cors_headers_too(void **state)
{
    struct driver d;
    (void)state;
    begin_at(&d, SHOP);
    assert_int_equal(driver_send(&d, "GET", "/v1/queues/q/stream?window=0", ""), API_RESPONSE);
    api_finish(&d.config, &d.request, &d.arena, &d.response);
    assert_says(&d, 400, "'window'");
    assert_string_equal(driver_response_header(&d, "Access-Control-Allow-Origin"), SHOP);
    assert_non_null(strstr(driver_response_header(&d, "Access-Control-Expose-Headers"), "Retry-After"));
    driver_end(&d);
}

static void without_listed_origins_there_are_no_cors_headers(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "GET", "/v1/queues/q/stream?window=0", ""), API_RESPONSE);
    api_finish(&d.config, &d.request, &d.arena, &d.response);
    assert_null(driver_response_header(&d, "Vary"));
    driver_end(&d);
}

static enum api_answer blind(const char *site, const char *origin, const char *method, const char *target)
{
    struct driver d;
    driver_begin(&d);
    d.config.origins = &listed;
    driver_header(&d, "Host", "localhost:8480");
    if (site)
        driver_header(&d, "Sec-Fetch-Site", site);
    if (origin)
        driver_header(&d, "Origin", origin);
    enum api_answer answer = driver_send(&d, method, target, "");
    if (answer == API_RESPONSE)
        assert_says(&d, 403, "\"origin\"");
    driver_end(&d);
    return answer;
}

/* Requests for images, scripts and no-cors fetches come without Origin. */
static void a_no_cors_request_gets_no_stream(void **state)
{
    (void)state;
    assert_int_equal(blind("cross-site", NULL, "GET", "/v1/queues/q/stream"), API_RESPONSE);
    assert_int_equal(blind("same-site", NULL, "GET", "/v1/queues/q/stream?window=1"), API_RESPONSE);
    assert_int_equal(blind("same-origin", NULL, "GET", "/v1/queues/q/stream"), API_COMMAND);
    assert_int_equal(blind("none", NULL, "GET", "/v1/queues/q/stream"), API_COMMAND);
    assert_int_equal(blind(NULL, NULL, "GET", "/v1/queues/q/stream"), API_COMMAND);
    assert_int_equal(blind("cross-site", SHOP, "GET", "/v1/queues/q/stream"), API_COMMAND);
    assert_int_equal(blind("cross-site", NULL, "GET", "/v1/queues/q/peek"), API_COMMAND); /* it changes nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_preflight_allows_the_path_s_methods_and_the_headers_asked_for),
        cmocka_unit_test(a_preflight_does_not_allow_malformed_header_names),
        cmocka_unit_test(a_preflight_needs_no_token_but_the_request_does),
        cmocka_unit_test(other_origins_get_no_cors_headers),
        cmocka_unit_test(a_preflight_for_an_unknown_path_is_404),
        cmocka_unit_test(options_that_is_no_preflight_is_405),
        cmocka_unit_test(errors_have_cors_headers_too),
        cmocka_unit_test(without_listed_origins_there_are_no_cors_headers),
        cmocka_unit_test(a_no_cors_request_gets_no_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
