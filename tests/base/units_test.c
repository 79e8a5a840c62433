/* Durations, sizes and names, by tables. */
#include "base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void durations_are_read_to_milliseconds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        { "0", 0 },       { "0s", 0 },         { "250ms", 250 },   { "30s", 30000 },          { "1.5s", 1500 },
        { "2m", 120000 }, { "12h", 43200000 }, { "1d", 86400000 }, { "1000us", 1 },           { "1000000ns", 1 },
        { "0.001s", 1 },  { "0.5m", 30000 },   { "999us", 0 },     { "0.25h", 900000 },       { "0.1s", 100 },
        { "0.3s", 300 },  { "1.001s", 1001 },  { "007s", 7000 },   { "3660d", 316224000000 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ms = -1;
        if (!duration_parse(span_str(cases[i].text), &ms) || ms != cases[i].ms)
            fail_msg("%s was read as %lld", cases[i].text, (long long)ms);
    }
}

static void a_malformed_duration_is_refused_and_nothing_stored(void **state)
{
    (void)state;
    static const char *const cases[] = { "",
                                         "5",
                                         "s",
                                         "-1s",
                                         "+1s",
                                         " 1s",
                                         "1s ",
                                         "1 s",
                                         "1.s",
                                         ".5s",
                                         "1,5s",
                                         "1e3s",
                                         "1S",
                                         "1sec",
                                         "1m30s",
                                         "3661d",
                                         "99999999999999999999s",
                                         "0x1s",
                                         "1.5",
                                         "infs" };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ms = 77;
        if (duration_parse(span_str(cases[i]), &ms) || ms != 77)
            fail_msg("'%s' was read as %lld", cases[i], (long long)ms);
    }
    int64_t ms = 77;
    assert_false(duration_parse(span_of("1s\0", 3), &ms));
    assert_false(duration_parse(span_str(NULL), &ms));
    assert_int_equal(ms, 77);
}

static void a_duration_ends_where_its_bytes_end(void **state)
{
    (void)state;
    int64_t ms = 0;
    assert_true(duration_parse(span_of("30s and more", 3), &ms));
    assert_int_equal(ms, 30000);
    assert_false(duration_parse(span_of("30s", 2), &ms));
}

static void durations_are_written_in_their_shortest_exact_form(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = { { 0, "0s" },        { 1, "1ms" },        { 999, "999ms" },   { 1000, "1s" },   { 1500, "1500ms" },
                  { 30000, "30s" },   { 60000, "1m" },     { 61000, "61s" },   { 90000, "90s" }, { 7200000, "2h" },
                  { 86400000, "1d" }, { 90000000, "25h" }, { 43200000, "12h" } };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[24];
        int64_t ms = -1;
        duration_format(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
        assert_true(duration_parse(span_str(text), &ms));
        assert_int_equal(ms, cases[i].ms);
    }
}

static void sizes_are_written_in_their_shortest_exact_form(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = { { 0, "0" },
                  { 1, "1" },
                  { 1000, "1000" },
                  { 1024, "1KiB" },
                  { 1536, "1536" },
                  { 1572864, "1536KiB" },
                  { 33554432, "32MiB" },
                  { UINT64_C(1) << 40, "1TiB" },
                  { UINT64_C(1) << 50, "1024TiB" } };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[24];
        uint64_t bytes = 7;
        size_format(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
        assert_true(size_parse(span_str(text), &bytes));
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void sizes_are_read_to_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = { { "0", 0 },
                  { "65536", 65536 },
                  { "1B", 1 },
                  { "10k", 10000 },
                  { "10kB", 10000 },
                  { "1M", 1000000 },
                  { "2MB", 2000000 },
                  { "1G", 1000000000 },
                  { "1GB", 1000000000 },
                  { "64Ki", 65536 },
                  { "64KiB", 65536 },
                  { "1Mi", 1048576 },
                  { "64MiB", 67108864 },
                  { "1.5KiB", 1536 },
                  { "0.5GiB", 536870912 },
                  { "1GiB", 1073741824 },
                  { "1TiB", UINT64_C(1) << 40 } };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t bytes = 1;
        if (!size_parse(span_str(cases[i].text), &bytes) || bytes != cases[i].bytes)
            fail_msg("%s was read as %llu", cases[i].text, (unsigned long long)bytes);
    }
}

static void a_malformed_size_is_refused_and_nothing_stored(void **state)
{
    (void)state;
    static const char *const cases[] = { "",
                                         "B",
                                         "-1",
                                         "+1",
                                         " 1",
                                         "1 ",
                                         "1 kB",
                                         "1K",
                                         "1KB",
                                         "1mib",
                                         "1kib",
                                         "1.k",
                                         ".5k",
                                         "1.5",
                                         "1.5B",
                                         "1e3",
                                         "0x10",
                                         "1GBs",
                                         "99999999999999999999",
                                         "18446744073709551616",
                                         "20000000TiB",
                                         "18014398509481984KiB" };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t bytes = 77;
        if (size_parse(span_str(cases[i]), &bytes) || bytes != 77)
            fail_msg("'%s' was read as %llu", cases[i], (unsigned long long)bytes);
    }
}

static void names_are_letters_digits_dots_dashes_and_underscores(void **state)
{
    (void)state;
    static const char *const good[] = { "a", "Z", "0", "orders", "orders.eu-west_1", "9lives", "a..b", "a-" };
    static const char *const bad[] = { "", ".a", "-a", "_a", "a b", "a/b", "a\xc3\xa9", "a:b", "a*", "a%", "a\n" };
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(name_valid(span_str(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(name_valid(span_str(bad[i])));
    assert_false(name_valid(span_of("a\0b", 3)));
    assert_false(name_valid(span_str(NULL)));
}

static void names_have_at_most_128_bytes(void **state)
{
    (void)state;
    char name[130];
    memset(name, 'n', sizeof name);
    assert_true(name_valid(span_of(name, 128)));
    assert_false(name_valid(span_of(name, 129)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_to_milliseconds),
        cmocka_unit_test(a_malformed_duration_is_refused_and_nothing_stored),
        cmocka_unit_test(a_duration_ends_where_its_bytes_end),
        cmocka_unit_test(durations_are_written_in_their_shortest_exact_form),
        cmocka_unit_test(sizes_are_written_in_their_shortest_exact_form),
        cmocka_unit_test(sizes_are_read_to_bytes),
        cmocka_unit_test(a_malformed_size_is_refused_and_nothing_stored),
        cmocka_unit_test(names_are_letters_digits_dots_dashes_and_underscores),
        cmocka_unit_test(names_have_at_most_128_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
