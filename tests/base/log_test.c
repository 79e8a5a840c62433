/* Log lines as they reach stderr. The clock is this file's own: it stands in for base/clock.c, so that the window of
 * repeats passes without waiting for it. */
#include "base/clock.h"
#include "base/log.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct now now;

struct now clock_now(void)
{
    return now;
}

static int stderr_kept, captured = -1;

/* Sends stderr to a file in memory until captured_text(). */
static void capture(void)
{
    captured = memfd_create("stderr", MFD_CLOEXEC);
    assert_true(captured >= 0);
    stderr_kept = dup(2);
    assert_true(stderr_kept >= 0 && dup2(captured, 2) == 2);
}

/* Everything written since capture(); the caller frees it. */
static char *captured_text(void)
{
    assert_int_equal(dup2(stderr_kept, 2), 2);
    close(stderr_kept);
    off_t size = lseek(captured, 0, SEEK_END);
    assert_true(size >= 0);
    char *text = calloc(1, (size_t)size + 1);
    assert_int_equal(pread(captured, text, (size_t)size, 0), size);
    close(captured);
    return text;
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static json_t *parse_line(char *text)
{
    json_t *line = json_loads(text, 0, NULL);
    assert_non_null(line);
    free(text);
    return line;
}

static const char *member(const json_t *line, const char *key)
{
    return json_string_value(json_object_get(line, key));
}

static int start(void **state)
{
    (void)state;
    now = (struct now){ .mono = { 0 }, .wall = { 1714564800123 } }; /* 2024-05-01T12:00:00.123Z */
    log_setup(LOG_INFO, 1);
    return 0;
}

static void pass_seconds(int64_t seconds)
{
    now.mono = mono_add_ms(now.mono, seconds * 1000);
}

static void a_line_is_one_json_object(void **state)
{
    (void)state;
    capture();
    log_about(LOG_WARN, "core", "orders", "shop/1", "it said \"%s\"", "no\n");
    char *text = captured_text();
    assert_int_equal(lines_of(text), 1);
    json_t *line = parse_line(text);
    assert_string_equal(member(line, "time"), "2024-05-01T12:00:00.123Z");
    assert_string_equal(member(line, "level"), "warn");
    assert_string_equal(member(line, "component"), "core");
    assert_string_equal(member(line, "queue"), "orders");
    assert_string_equal(member(line, "session"), "shop/1");
    assert_string_equal(member(line, "msg"), "it said \"no\n\"");
    json_decref(line);
}

static void absent_queue_and_session_are_left_out(void **state)
{
    (void)state;
    capture();
    log_write(LOG_ERROR, "store", "plain");
    json_t *line = parse_line(captured_text());
    assert_int_equal(json_object_size(line), 4);
    assert_string_equal(member(line, "level"), "error");
    json_decref(line);
}

static void bytes_that_are_not_utf8_are_replaced_and_the_rest_is_logged(void **state)
{
    (void)state;
    capture();
    log_about(LOG_INFO, "net", NULL, "caf\xe9", "cannot read %s: no such file", "\xff/caf\xe9/\xc3\xa9\xe2\x82.pub");
    json_t *line = parse_line(captured_text());
    assert_string_equal(member(line, "msg"), "cannot read ?/caf?/\xc3\xa9??.pub: no such file");
    assert_string_equal(member(line, "session"), "caf?");
    json_decref(line);
}

static void a_message_cut_within_a_character_is_logged(void **state)
{
    (void)state;
    char text[2001] = "";
    while (strlen(text) + 2 < sizeof text)
        strcat(text, "\xc3\xa9");
    for (unsigned i = 0; i < 2; i++) {
        capture();
        log_write(LOG_INFO, "net", i ? "%s" : "x%s", text);
        json_t *line = parse_line(captured_text());
        assert_true(strlen(member(line, "msg")) > 1000);
        assert_non_null(strstr(member(line, "msg"), "\xc3\xa9\xc3\xa9"));
        json_decref(line);
    }
}

static void line_breaks_in_a_peers_name_begin_no_new_line(void **state)
{
    (void)state;
    log_setup(LOG_INFO, 0);
    capture();
    log_about(LOG_INFO, "core", NULL,
              "shop\n12:00:00 error store: gone\x1b[2J\x7f\xc2\x9b"
              "31m\xc2\xa0",
              "attached\tfrom %s", "a\r");
    char *text = captured_text();
    assert_string_equal(
        text, "12:00:00 info  core: attached from a  session=shop 12:00:00 error store: gone [2J   31m\xc2\xa0\n");
    free(text);
}

static void text_lines_name_time_level_and_component(void **state)
{
    (void)state;
    log_setup(LOG_INFO, 0);
    capture();
    log_about(LOG_WARN, "core", "orders", NULL, "paused");
    char *text = captured_text();
    assert_string_equal(text, "12:00:00 warn  core: paused queue=orders\n");
    free(text);
}

static void without_a_terminal_lines_are_json(void **state)
{
    (void)state;
    log_setup(LOG_INFO, -1);
    capture();
    log_write(LOG_INFO, "core", "chosen");
    char *text = captured_text();
    assert_int_equal(text[0], '{');
    free(text);
}

static void lower_levels_are_left_out(void **state)
{
    (void)state;
    log_setup(LOG_WARN, 1);
    capture();
    log_write(LOG_DEBUG, "core", "below 1");
    log_write(LOG_INFO, "core", "below 2");
    log_write(LOG_WARN, "core", "at the level");
    log_write(LOG_ERROR, "core", "above the level");
    char *text = captured_text();
    assert_int_equal(lines_of(text), 2);
    assert_null(strstr(text, "below"));
    free(text);
}

static void the_configured_level_and_format_are_used(void **state)
{
    (void)state;
    log_configure("sluice-test", "error", "text");
    capture();
    log_write(LOG_WARN, "core", "below");
    log_write(LOG_ERROR, "core", "at the level");
    char *text = captured_text();
    assert_string_equal(text, "12:00:00 error core: at the level\n");
    free(text);
}

static void an_over_long_message_is_cut_to_one_line(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        log_setup(LOG_INFO, json);
        capture();
        log_write(LOG_INFO, "core", "%05000d", json);
        char *text = captured_text();
        assert_int_equal(lines_of(text), 1);
        assert_true(strlen(text) < 1200);
        free(text);
    }
}

static void complain(const char *about)
{
    log_write(LOG_WARN, "net", "repeated complaint about %s", about);
}

static void a_repeated_message_is_held_back_and_counted(void **state)
{
    (void)state;
    capture();
    for (unsigned i = 0; i < 50; i++)
        complain(i % 2 ? "this" : "that"); /* the format names the message, not what it says */
    char *text = captured_text();
    assert_int_equal(lines_of(text), 10);
    assert_null(strstr(text, "(repeated"));
    free(text);

    pass_seconds(9);
    capture();
    complain("still the same window");
    text = captured_text();
    assert_string_equal(text, "");
    free(text);

    pass_seconds(1);
    capture();
    complain("this");
    complain("this");
    text = captured_text();
    assert_int_equal(lines_of(text), 2);
    const char *second = strchr(text, '\n');
    assert_non_null(strstr(text, "about this (repeated 41 times)"));
    assert_null(strstr(second, "(repeated")); /* said once */
    free(text);
}

static void each_message_has_its_own_count(void **state)
{
    (void)state;
    static const char *const messages[] = { "%s came", "%s went" };
    capture();
    for (unsigned i = 0; i < 40; i++)
        log_text(LOG_INFO, "core", NULL, NULL, messages[i % 2], i % 2 ? "it went" : "it came");
    log_text(LOG_INFO, "core", NULL, NULL, "another", "another");
    char *text = captured_text();
    assert_int_equal(lines_of(text), 10 + 10 + 1);
    free(text);
}

static void more_messages_than_are_remembered_do_not_lose_the_count_of_the_newest(void **state)
{
    (void)state;
    static char kinds[200]; /* any addresses */
    capture();
    for (size_t i = 0; i < sizeof kinds; i++, pass_seconds(1))
        log_text(LOG_INFO, "core", NULL, NULL, &kinds[i], "one of many");
    for (unsigned i = 0; i < 20; i++)
        log_text(LOG_INFO, "core", NULL, NULL, &kinds[sizeof kinds - 1], "the last");
    char *text = captured_text();
    assert_int_equal(lines_of(text), sizeof kinds + 9);
    free(text);
}

static void a_rare_message_is_never_held_back(void **state)
{
    (void)state;
    capture();
    for (unsigned i = 0; i < 40; i++) {
        log_write(LOG_INFO, "core", "once a second");
        pass_seconds(1);
    }
    char *text = captured_text();
    assert_int_equal(lines_of(text), 40);
    assert_null(strstr(text, "(repeated"));
    free(text);
}

static void messages_below_the_level_do_not_count_as_repeats(void **state)
{
    (void)state;
    capture();
    for (unsigned i = 0; i < 30; i++) {
        log_setup(i < 20 ? LOG_ERROR : LOG_INFO, 1);
        log_write(LOG_INFO, "core", "quiet, then heard");
    }
    char *text = captured_text();
    assert_int_equal(lines_of(text), 10);
    free(text);
}

static void levels_have_names(void **state)
{
    (void)state;
    enum log_level level = LOG_DEBUG;
    assert_true(log_level_parse("error", &level));
    assert_int_equal(level, LOG_ERROR);
    assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
    assert_true(log_level_parse("info", &level) && level == LOG_INFO);
    assert_true(log_level_parse("warn", &level) && level == LOG_WARN);
    assert_false(log_level_parse("WARN", &level));
    assert_false(log_level_parse("warning", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_WARN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_is_one_json_object, start),
        cmocka_unit_test_setup(absent_queue_and_session_are_left_out, start),
        cmocka_unit_test_setup(bytes_that_are_not_utf8_are_replaced_and_the_rest_is_logged, start),
        cmocka_unit_test_setup(a_message_cut_within_a_character_is_logged, start),
        cmocka_unit_test_setup(line_breaks_in_a_peers_name_begin_no_new_line, start),
        cmocka_unit_test_setup(the_configured_level_and_format_are_used, start),
        cmocka_unit_test_setup(text_lines_name_time_level_and_component, start),
        cmocka_unit_test_setup(without_a_terminal_lines_are_json, start),
        cmocka_unit_test_setup(lower_levels_are_left_out, start),
        cmocka_unit_test_setup(an_over_long_message_is_cut_to_one_line, start),
        cmocka_unit_test_setup(a_repeated_message_is_held_back_and_counted, start),
        cmocka_unit_test_setup(each_message_has_its_own_count, start),
        cmocka_unit_test_setup(more_messages_than_are_remembered_do_not_lose_the_count_of_the_newest, start),
        cmocka_unit_test_setup(a_rare_message_is_never_held_back, start),
        cmocka_unit_test_setup(messages_below_the_level_do_not_count_as_repeats, start),
        cmocka_unit_test_setup(levels_have_names, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
