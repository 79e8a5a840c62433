/* The progress line of a long publish, after a given time. */
#include "clients/cli/pub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void the_line_shows_progress_speed_and_time_left(void **state)
{
    static const struct {
        uint64_t total, bytes, events;
        int64_t elapsed_ms;
        int width;
        const char *line;
    } cases[] = {
        { 0, 500, 1234, 2000, 120, "1234 confirmed  617/s" }, /* of a pipe */
        { 1000, 0, 7, 2000, 120, "7 confirmed  4/s" },        /* of arguments, or nothing read yet */
        { 1000, 250, 50, 2000, 120, "[##########..............................]  25%  50 confirmed  25/s  0:06 left" },
        { 1000, 250, 50, 2000, 101, "[##########..............................]  25%  50 confirmed  25/s  0:06 left" },
        { 1000, 250, 50, 2000, 100, "[#####...............]  25%  50 confirmed  25/s  0:06 left" },
        { 1000, 600, 50, 2000, 71, "[############........]  60%  50 confirmed  25/s  0:01 left" },
        { 1000, 600, 50, 2000, 70, "[###..]  60%  50 confirmed  25/s  0:01 left" },
        { 1000, 1000, 50, 4000, 70, "[#####] 100%  50 confirmed  12/s  0:00 left" },
        { 1000, 2000, 50, 4000, 70, "[#####] 100%  50 confirmed  12/s  0:00 left" }, /* it grew meanwhile */
        { 1024, 16, 50, 10000, 70, "[.....]   1%  50 confirmed  5/s  10:30 left" },
        { 1000, 600, 50, 2000, 21, "[###..]  60%  50 con" }, /* one column less than the terminal has */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[PROGRESS_SIZE];
        progress_line(cases[i].total, cases[i].bytes, cases[i].events, cases[i].elapsed_ms, cases[i].width, line);
        assert_string_equal(line, cases[i].line);
    }
}

static void the_longest_line_has_room(void **state)
{
    char line[PROGRESS_SIZE];
    (void)state;
    progress_line(UINT64_C(1) << 62, 1 << 18, UINT64_MAX, 1000, 1000, line);
    assert_non_null(strstr(line, "18446744073709551615 confirmed  "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_shows_progress_speed_and_time_left),
        cmocka_unit_test(the_longest_line_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
