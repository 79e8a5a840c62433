#include "tests/sidecar/api/api_driver.h"

#include "sidecar/api/query.h"

struct fixture {
    struct arena arena;
    struct error why;
    struct query_parameter known[3];
};

static bool parse(struct fixture *f, const char *query)
{
    *f = (struct fixture){ .known = { { .name = "max" }, { .name = "wait" }, { 0 } } };
    arena_init(&f->arena, 4096);
    return query_parse(span_str(query), f->known, &f->arena, &f->why);
}

static void refused(const char *query, const char *says)
{
    struct fixture f;
    assert_false(parse(&f, query));
    if (!strstr(f.why.text, says))
        fail_msg("'%s' is not in: %s", says, f.why.text);
    arena_free(&f.arena);
}

static void parameters_are_found_by_name_and_decoded(void **state)
{
    struct fixture f;
    (void)state;
    assert_true(parse(&f, "wait=a%20b+c&m%61x=7&"));
    assert_true(span_equal(f.known[1].value, span_str("a b c")));
    assert_true(span_equal(f.known[0].value, span_str("7")));
    arena_free(&f.arena);
    assert_true(parse(&f, "wait=a+b")); /* without any escape */
    assert_true(span_equal(f.known[1].value, span_str("a b")));
    arena_free(&f.arena);
    assert_true(parse(&f, ""));
    assert_false(f.known[0].present || f.known[1].present);
    arena_free(&f.arena);
    assert_true(parse(&f, "&&max=7&&wait=1&")); /* empty parameters are ignored */
    assert_true(span_equal(f.known[0].value, span_str("7")) && span_equal(f.known[1].value, span_str("1")));
    arena_free(&f.arena);
}

static void a_parameter_without_a_value_is_present_and_empty(void **state)
{
    struct fixture f;
    (void)state;
    assert_true(parse(&f, "max"));
    assert_true(f.known[0].present && f.known[0].value.size == 0);
    arena_free(&f.arena);
}

static void unknown_and_repeated_ones_are_refused_by_name(void **state)
{
    (void)state;
    refused("wiat=1s", "'wiat'; known here: max, wait");
    refused("max=1&max=1", "'max' is given twice");
    refused("MAX=1", "'MAX'");
}

static void broken_escapes_nul_and_bad_utf8_are_refused(void **state)
{
    (void)state;
    refused("max=%", "percent-encoding");
    refused("max=%4", "percent-encoding");
    refused("max=%zz", "percent-encoding");
    refused("max=%00", "percent-encoding");
    refused("max=%ff", "percent-encoding");
    refused("%c3%28=1", "percent-encoding");
}

static void numbers_are_whole_and_bounded(void **state)
{
    static const char *const bad[] = { "max=", "max=-1", "max=1.5", "max=1e3", "max=%201", "max=12345678901234567" };
    struct fixture f;
    uint64_t n = 5;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(parse(&f, bad[i]));
        assert_false(query_number(&f.known[0], &n, &f.why));
        assert_non_null(strstr(f.why.text, "'max'"));
        arena_free(&f.arena);
    }
    assert_true(parse(&f, "max=1234567890123456"));
    assert_true(query_number(&f.known[0], &n, &f.why));
    assert_int_equal(n, 1234567890123456);
    arena_free(&f.arena);
}

static void durations_need_their_unit(void **state)
{
    struct fixture f;
    int64_t ms = -1;
    (void)state;
    assert_true(parse(&f, "wait=5"));
    assert_false(query_duration(&f.known[1], &ms, &f.why));
    assert_non_null(strstr(f.why.text, "'wait'"));
    arena_free(&f.arena);
    assert_true(parse(&f, "wait=1.5s"));
    assert_true(query_duration(&f.known[1], &ms, &f.why));
    assert_int_equal(ms, 1500);
    arena_free(&f.arena);
}

static void booleans_are_true_or_false(void **state)
{
    struct fixture f;
    bool value = true;
    (void)state;
    assert_true(parse(&f, "max=false&wait=yes"));
    assert_true(query_bool(&f.known[0], &value, &f.why));
    assert_false(value);
    assert_false(query_bool(&f.known[1], &value, &f.why));
    arena_free(&f.arena);
}

static void an_absent_parameter_leaves_the_default(void **state)
{
    struct fixture f;
    uint64_t n = 5;
    int64_t ms = 6;
    bool flag = true;
    (void)state;
    assert_true(parse(&f, ""));
    assert_true(query_number(&f.known[0], &n, &f.why) && query_duration(&f.known[1], &ms, &f.why) &&
                query_bool(&f.known[0], &flag, &f.why));
    assert_true(n == 5 && ms == 6 && flag);
    arena_free(&f.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_found_by_name_and_decoded),
        cmocka_unit_test(a_parameter_without_a_value_is_present_and_empty),
        cmocka_unit_test(unknown_and_repeated_ones_are_refused_by_name),
        cmocka_unit_test(broken_escapes_nul_and_bad_utf8_are_refused),
        cmocka_unit_test(numbers_are_whole_and_bounded),
        cmocka_unit_test(durations_need_their_unit),
        cmocka_unit_test(booleans_are_true_or_false),
        cmocka_unit_test(an_absent_parameter_leaves_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
