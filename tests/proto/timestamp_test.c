/* RFC 3339 date-times, against known instants, the rules of the calendar and the C library. */
#include "proto/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static void known_instants_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
        int32_t nanos;
    } cases[] = {
        { "1970-01-01T00:00:00Z", 0, 0 },
        { "1985-04-12T23:20:50.52Z", 482196050, 520000000 }, /* RFC 3339, 5.8 */
        { "1996-12-19T16:39:57-08:00", 851042397, 0 },       /* the same */
        { "1990-12-31T23:59:60Z", 662688000, 0 },            /* a leap second */
        { "1937-01-01T12:00:27.87+00:20", -1041337173, 870000000 },
        { "1969-12-31T23:59:59.999999999Z", -1, 999999999 },
        { "2024-02-29t00:00:00z", 1709164800, 0 },
        { "2000-02-29T00:00:00.0000000009Z", 951782400, 0 }, /* beyond nanoseconds */
        { "0001-01-01T00:00:00Z", -62135596800, 0 },
        { "9999-12-31T23:59:59Z", 253402300799, 0 },
        { "0000-03-01T00:00:00Z", -62162035200, 0 },
        { "2024-05-01T00:00:00-00:00", 1714521600, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t seconds = 0;
        int32_t nanos = -1;
        if (!timestamp_parse(span_str(cases[i].text), &seconds, &nanos) || seconds != cases[i].seconds ||
            nanos != cases[i].nanos)
            fail_msg("%s was read as %lld.%09d", cases[i].text, (long long)seconds, (int)nanos);
    }
}

static void a_malformed_date_time_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "2024",
        "2024-05-01",
        "2024-05-01T12:00:00",
        "2024-05-01 12:00:00Z",
        "2024-05-01T12:00Z",
        "2024-5-01T12:00:00Z",
        "24-05-01T12:00:00Z",
        "12024-05-01T12:00:00Z",
        "-2024-05-01T12:00:00Z",
        "2024-00-01T12:00:00Z",
        "2024-13-01T12:00:00Z",
        "2024-05-00T12:00:00Z",
        "2024-05-32T12:00:00Z",
        "2024-04-31T12:00:00Z",
        "2023-02-29T12:00:00Z",
        "1900-02-29T12:00:00Z",
        "2024-02-30T12:00:00Z",
        "2024-05-01T24:00:00Z",
        "2024-05-01T12:60:00Z",
        "2024-05-01T12:00:61Z",
        "2024-05-01T12:00:00.Z",
        "2024-05-01T12:00:00,5Z",
        "2024-05-01T12:00:00ZZ",
        "2024-05-01T12:00:00Z ",
        " 2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00+2:00",
        "2024-05-01T12:00:00+0200",
        "2024-05-01T12:00:00+02",
        "2024-05-01T12:00:00+24:00",
        "2024-05-01T12:00:00+02:60",
        "2024-05-01T12:00:00+02:00Z",
        "2024/05/01T12:00:00Z",
        "2024-05-01T12.00.00Z",
        "2024-05-01T1a:00:00Z",
        "2024-05-01T12:00:00.5",
        "2024-05-01T12:00:00+",
        "2024-05-01T-1:00:00Z",
    };
    int64_t seconds;
    int32_t nanos;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (timestamp_parse(span_str(cases[i]), &seconds, &nanos))
            fail_msg("'%s' was taken", cases[i]);
    }
    assert_false(timestamp_parse((struct span){ 0 }, &seconds, &nanos));
    assert_false(timestamp_parse(span_of("2024-05-01T12:00:00\0", 20), &seconds, &nanos));
    assert_false(timestamp_parse(span_of("2024-05-01T12:00:00Z", 19), &seconds, &nanos)); /* ends before the Z */
}

static void instants_are_written_in_utc_without_needless_digits(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        int32_t nanos;
        const char *text;
    } cases[] = { { 0, 0, "1970-01-01T00:00:00Z" },
                  { -1, 999999999, "1969-12-31T23:59:59.999999999Z" },
                  { 1714564800, 500000000, "2024-05-01T12:00:00.5Z" },
                  { 1714564800, 120000000, "2024-05-01T12:00:00.12Z" },
                  { 1714564800, 1, "2024-05-01T12:00:00.000000001Z" },
                  { 951782400, 0, "2000-02-29T00:00:00Z" },
                  { -62135596800, 0, "0001-01-01T00:00:00Z" },
                  { 253402300799, 999999999, "9999-12-31T23:59:59.999999999Z" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[40];
        timestamp_format(cases[i].seconds, cases[i].nanos, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void every_day_agrees_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t day = -719162; day <= 2932896; day += 11) { /* the years 1 to 9999 */
        int64_t seconds = day * 86400 + (day * 7919 % 86400 + 86400) % 86400, back = 0;
        int32_t nanos = -1;
        time_t t = (time_t)seconds;
        struct tm tm;
        char expected[64], text[40];
        assert_non_null(gmtime_r(&t, &tm));
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        timestamp_format(seconds, 0, text);
        assert_string_equal(text, expected);
        assert_true(timestamp_parse(span_str(text), &back, &nanos));
        assert_true(back == seconds && nanos == 0);
    }
}

static void an_instant_in_milliseconds_is_never_none(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = { { "2023-11-14T22:13:20.1239Z", 1700000000123 },
                  { "1970-01-01T00:00:00.001Z", 1 },
                  { "1970-01-01T00:00:00Z", 1 },
                  { "1950-01-01T00:00:00Z", 1 },
                  { "9999-12-31T23:59:59.999Z", 253402300799999 } };
    int64_t ms = 7;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(timestamp_parse_ms(span_str(cases[i].text), &ms));
        assert_true(ms == cases[i].ms);
    }
    ms = 7;
    assert_false(timestamp_parse_ms(span_str("soon"), &ms));
    assert_true(ms == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_instants_are_read),
        cmocka_unit_test(a_malformed_date_time_is_refused),
        cmocka_unit_test(instants_are_written_in_utc_without_needless_digits),
        cmocka_unit_test(an_instant_in_milliseconds_is_never_none),
        cmocka_unit_test(every_day_agrees_with_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
