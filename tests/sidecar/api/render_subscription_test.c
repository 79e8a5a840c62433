#include "tests/sidecar/api/api_driver.h"

static const struct subscription_settings settings = {
    .queue = "orders", .url = "unix:/a:/b", .concurrency = 4, .timeout_ms = 25000, .handshake = true
};

static void an_active_one(void **state)
{
    const struct subscription_info i = { .name = "s",
                                         .settings = &settings,
                                         .state = SUBSCRIPTION_ACTIVE,
                                         .detail = "",
                                         .retry_in_ms = -1,
                                         .in_flight = 2,
                                         .results = { 5, 1, 0, 0, 2, 3 },
                                         .last_status = 200,
                                         .last_error = "" };
    struct driver d = { 0 };
    (void)state;
    api_render_subscription(&i, true, &d.response);
    assert_int_equal(d.response.status, 201);
    assert_body(&d, "{\"subscription\":\"s\",\"queue\":\"orders\",\"url\":\"unix:/a:/b\",\"dialect\":\"cloudevents\","
                    "\"concurrency\":4,\"timeout\":\"25s\",\"handshake\":true,\"managed\":null,\"kept\":\"by the "
                    "broker\",\"state\":\"active\",\"detail\":null,\"retry_in_seconds\":null,\"in_flight\":2,"
                    "\"results\":{\"acked\":5,\"failed\":1,\"throttled\":0,\"gone\":0,\"dropped\":2,\"unreachable\":3},"
                    "\"last_status\":200,\"last_error\":null}\n");
    buf_free(&d.response.body);
}

static void one_that_waits_says_why_and_how_long(void **state)
{
    const struct subscription_info i = { .name = "s",
                                         .settings = &settings,
                                         .managed = true,
                                         .state = SUBSCRIPTION_THROTTLED,
                                         .detail = "the application answered 429",
                                         .retry_in_ms = 1500,
                                         .last_error = "the application answered 429" };
    struct driver d = { 0 };
    (void)state;
    api_render_subscription(&i, false, &d.response);
    assert_says(&d, 200,
                "\"managed\":\"config\",\"kept\":\"by the sidecar's configuration file\",\"state\":"
                "\"throttled\",\"detail\":\"the application answered 429\",\"retry_in_seconds\":1.5,");
    assert_says(&d, 200, "\"last_status\":null,\"last_error\":\"the application answered 429\"}");
    buf_free(&d.response.body);
}

static void a_list_keeps_its_order(void **state)
{
    const struct subscription_info i[] = {
        { .name = "a", .settings = &settings, .detail = "", .retry_in_ms = -1, .last_error = "" },
        { .name = "b", .settings = &settings, .detail = "", .retry_in_ms = -1, .last_error = "" },
    };
    struct driver d = { 0 };
    (void)state;
    api_render_subscriptions(i, 2, "b", &d.response);
    assert_says(&d, 200, "{\"subscriptions\":{\"a\":{\"subscription\":\"a\"");
    assert_says(&d, 200, "},\"b\":{\"subscription\":\"b\"");
    assert_says(&d, 200, "}},\"next\":\"b\"}\n");
    buf_free(&d.response.body);
    api_render_subscriptions(i, 0, "", &d.response);
    assert_body(&d, "{\"subscriptions\":{},\"next\":null}\n");
    buf_free(&d.response.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_active_one),
        cmocka_unit_test(one_that_waits_says_why_and_how_long),
        cmocka_unit_test(a_list_keeps_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
