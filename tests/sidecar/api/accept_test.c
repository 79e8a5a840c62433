#include "tests/sidecar/api/api_driver.h"

#include "sidecar/api/accept.h"

static struct preference of(const char *accept, const char *type)
{
    struct driver d;
    driver_begin(&d);
    d.request.headers = d.headers;
    if (accept)
        driver_header(&d, "accept", accept);
    driver_header(&d, "X-Accept", "application/xml;q=0.1"); /* not the Accept header */
    struct preference p = accept_preference(&d.request, type);
    driver_end(&d);
    return p;
}

static void without_accept_everything_is_wanted(void **state)
{
    (void)state;
    assert_int_equal(of(NULL, "application/json").quality, 1000);
    assert_int_equal(of("", "application/json").quality, 1000);
    assert_int_equal(of(" , ", "application/json").quality, 1000);
}

static void the_most_precise_range_decides(void **state)
{
    (void)state;
    assert_int_equal(of("*/*;q=0.1, application/*;q=0.2, application/json;q=0.3", "application/json").quality, 300);
    assert_int_equal(of("application/json;q=0, */*", "application/json").quality, 0);
    assert_int_equal(of("application/*;q=0.2, */*", "application/json").quality, 200);
    assert_int_equal(of("text/*, */*;q=0.4", "application/json").quality, 400);
}

static void what_is_not_named_is_not_wanted(void **state)
{
    (void)state;
    assert_int_equal(of("text/html", "application/json").quality, 0);
    assert_int_equal(of("application/jsonx", "application/json").quality, 0);
    assert_int_equal(of("application", "application/json").quality, 0);
}

static void case_space_and_parameters_do_not_matter(void **state)
{
    (void)state;
    assert_int_equal(of("  Application/JSON ; charset=utf-8 ; Q=0.25", "application/json").quality, 250);
    assert_int_equal(of("application/json;q=1.000", "application/json").quality, 1000);
    assert_int_equal(of("application/json;q=0.001", "application/json").quality, 1);
    assert_int_equal(of("application/json;q=nonsense", "application/json").quality, 1000);
    assert_int_equal(of("application/json;q=", "application/json").quality, 1000);
}

static void equal_quality_goes_to_the_more_precise(void **state)
{
    (void)state;
    struct preference exact = of("a/b, */*", "a/b"), any = of("a/b, */*", "c/d");
    assert_true(preference_above(exact, any));
    assert_false(preference_above(any, exact));
    assert_false(preference_above(exact, exact));
}

static void several_headers_count_as_one(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    d.request.headers = d.headers;
    driver_header(&d, "Accept", "text/html");
    driver_header(&d, "Accept", "application/json");
    assert_int_equal(accept_preference(&d.request, "application/json").quality, 1000);
    driver_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_accept_everything_is_wanted),
        cmocka_unit_test(the_most_precise_range_decides),
        cmocka_unit_test(what_is_not_named_is_not_wanted),
        cmocka_unit_test(case_space_and_parameters_do_not_matter),
        cmocka_unit_test(equal_quality_goes_to_the_more_precise),
        cmocka_unit_test(several_headers_count_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
