#include "tests/sidecar/api/api_driver.h"

static void begin(struct driver *d)
{
    driver_begin(d);
    d->config.app_named = true;
}

static void refuses(const char *method, const char *target, const char *body, int status, const char *says)
{
    struct driver d;
    begin(&d);
    assert_int_equal(driver_send(&d, method, target, body), API_RESPONSE);
    assert_says(&d, status, says);
    driver_end(&d);
}

static void a_put_names_what_it_sets(void **state)
{
    struct driver d;
    (void)state;
    begin(&d);
    assert_int_equal(driver_send(&d, "PUT", "/v1/subscriptions/in.orders",
                                 "{\"queue\":\"orders\",\"url\":\"unix:/a:/b\",\"concurrency\":4,\"handshake\":true}"),
                     API_COMMAND);
    const struct subscription_settings *s = d.command.u.subscription.change;
    assert_int_equal(d.command.kind, API_SUBSCRIBE);
    assert_string_equal(d.command.subscription, "in.orders");
    assert_string_equal(d.command.queue, "");
    assert_string_equal(s->queue, "orders");
    assert_string_equal(s->url, "unix:/a:/b");
    assert_true(s->concurrency == 4 && s->handshake);
    assert_int_equal(s->set, 1u << SUBSCRIPTION_QUEUE | 1u << SUBSCRIPTION_URL | 1u << SUBSCRIPTION_CONCURRENCY |
                                 1u << SUBSCRIPTION_HANDSHAKE);
    driver_end(&d);
}

static void what_a_put_may_not_say(void **state)
{
    static const char s[] = "/v1/subscriptions/s";
    (void)state;
    refuses("PUT", s, "", 400, "\"the body is empty; it must be a JSON object like {");
    refuses("PUT", s, "[]", 400, "must be a JSON object");
    refuses("PUT", s, "{\"queue\":\"q\",\"queue\":\"r\"}", 400, "duplicate");
    refuses("PUT", s, "{\"ulr\":null}", 400, "unknown key 'ulr'");
    refuses("PUT", s, "{\"url\":null}", 400, "'url' must not be null");
    refuses("PUT", s, "{\"timeout\":5}", 400, "'timeout' must be a string, a duration");
    refuses("PUT", s, "{\"handshake\":1}", 400, "'handshake' must be true or false");
    refuses("PUT", s, "{\"concurrency\":true}", 400, "'concurrency' must be a number");
    refuses("PUT", s, "{\"concurrency\":1.5}", 400, "fraction");
    refuses("PUT", s, "{\"queue\":7}", 400, "'queue' must be a string");
    refuses("PUT", "/v1/subscriptions/s?x=1", "{}", 400, "unknown query parameter 'x'");
    refuses("PUT", "/v1/subscriptions/a%20b", "{}", 400, "a name is 1 to 128");
    refuses("POST", s, "", 405, "does not answer this method");
    struct driver d;
    begin(&d);
    driver_header(&d, "If-None-Match", "*");
    assert_int_equal(driver_send(&d, "PUT", s, "{}"), API_RESPONSE);
    assert_says(&d, 400, "If-None-Match is not understood here");
    driver_end(&d);
}

static void only_a_named_application_has_subscriptions(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "PUT", "/v1/subscriptions/s", "{}"), API_RESPONSE);
    assert_says(&d, 400, "--app-name");
    driver_end(&d);
}

static void a_list_has_pages(void **state)
{
    struct driver d;
    (void)state;
    begin(&d);
    assert_int_equal(driver_send(&d, "GET", "/v1/subscriptions", ""), API_COMMAND);
    assert_string_equal(d.command.u.subscription.after, "");
    assert_int_equal(d.command.u.subscription.limit, 100);
    driver_end(&d);
    begin(&d);
    assert_int_equal(driver_send(&d, "GET", "/v1/subscriptions?after=a&limit=99999", ""), API_COMMAND);
    assert_string_equal(d.command.u.subscription.after, "a");
    assert_int_equal(d.command.u.subscription.limit, 1000);
    assert_null(d.command.subscription);
    driver_end(&d);
    refuses("GET", "/v1/subscriptions?limit=0", "", 400, "at least 1");
    refuses("GET", "/v1/subscriptions?from=1", "", 400, "known here: after, limit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_names_what_it_sets),
        cmocka_unit_test(what_a_put_may_not_say),
        cmocka_unit_test(only_a_named_application_has_subscriptions),
        cmocka_unit_test(a_list_has_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
