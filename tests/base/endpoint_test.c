#include "base/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void endpoints_of_each_transport_pass(void **state)
{
    static const char *const good[] = { "tcp://127.0.0.1:7400", "tcp://[::1]:0",  "tcp://broker.example:65535",
                                        "tcp://*:7400",         "tcp://lo:7400",  "tcp://127.0.0.2:0;127.0.0.1:7400",
                                        "ipc:///run/b",         "inproc://broker" };
    struct error e;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(endpoint_check(good[i], &e));
    assert_int_equal(endpoint_transport("ipc:///run/b"), TRANSPORT_IPC);
    assert_int_equal(endpoint_transport("http://x:1"), TRANSPORT_UNKNOWN);
}

static void a_malformed_endpoint_is_refused_with_what_it_lacks(void **state)
{
    static const struct {
        const char *endpoint, *why;
    } bad[] = {
        { "tcp://127.0.0.1", "has no port" },
        { "tcp://127.0.0.1:", "has no port" },
        { "tcp://:7400", "has no host" },
        { "tcp://127.0.0.1:7400x", "has no port" },
        { "tcp://127.0.0.1:-1", "has no port" },
        { "tcp://127.0.0.1:65536", "at most 65535" },
        { "tcp://127.0.0.1:99999999999999999999", "at most 65535" },
        { "ipc://", "absolute path" },
        { "ipc://relative", "absolute path" },
        { "inproc://", "is not an endpoint" },
        { "http://x:1", "is not an endpoint" },
        { "broker:7400", "is not an endpoint" },
        { "", "is not an endpoint" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error e = { "" };
        assert_false(endpoint_check(bad[i].endpoint, &e));
        assert_non_null(strstr(e.text, bad[i].why));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_of_each_transport_pass),
        cmocka_unit_test(a_malformed_endpoint_is_refused_with_what_it_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
