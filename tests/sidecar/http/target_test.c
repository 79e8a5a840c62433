#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/http/target.h"

static void assert_is(struct span s, const char *text)
{
    assert_true(span_equal(s, span_str(text)));
}

static void a_target_is_a_path_and_a_query(void **state)
{
    static const struct {
        const char *text, *path, *query;
    } cases[] = {
        { "/v1/queues", "/v1/queues", "" },
        { "/v1/queues?", "/v1/queues", "" },
        { "/v1/queues?limit=1?2", "/v1/queues", "limit=1?2" },
        { "/", "/", "" },
        { "", "", "" },
        { "*", "*", "" },
        { "//localhost/v1", "//localhost/v1", "" },
        { "/http://localhost/", "/http://localhost/", "" },
        { "https://localhost/v1", "https://localhost/v1", "" },
        { "http:/localhost/v1", "http:/localhost/v1", "" },
        { "localhost:443", "localhost:443", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_target t;
        target_split(cases[i].text, &t);
        assert_null(t.authority.data);
        assert_is(t.path, cases[i].path);
        assert_is(t.query, cases[i].query);
    }
}

static void what_stands_before_the_path_of_an_absolute_one_is_taken_off(void **state)
{
    static const struct {
        const char *text, *authority, *path, *query;
    } cases[] = {
        { "http://localhost:8480/v1/queues?limit=1", "localhost:8480", "/v1/queues", "limit=1" },
        { "HTTP://[::1]/v1/queues", "[::1]", "/v1/queues", "" },
        { "http://shop", "shop", "/", "" },
        { "http://shop?a=/b", "shop", "/", "a=/b" },
        { "http://shop/?", "shop", "/", "" },
        { "http://user@shop:1/x", "user@shop:1", "/x", "" },
        { "http:///v1/queues", "", "/v1/queues", "" },
        { "http://", "", "/", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_target t;
        target_split(cases[i].text, &t);
        assert_non_null(t.authority.data);
        assert_is(t.authority, cases[i].authority);
        assert_is(t.path, cases[i].path);
        assert_is(t.query, cases[i].query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_a_path_and_a_query),
        cmocka_unit_test(what_stands_before_the_path_of_an_absolute_one_is_taken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
