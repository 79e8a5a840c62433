#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/push/verdict.h"

#define WALL ((wall_t){ 784111777000 }) /* Sun, 06 Nov 1994 08:49:37 GMT */

static struct push_verdict judge(enum push_end end, int status, const char *retry_after)
{
    const struct push_outcome o = { end, status, span_str(retry_after), "", { 0 } };
    return push_judge(&o, WALL);
}

static void what_an_end_means(void **state)
{
    static const struct {
        enum push_end end;
        int status;
        const char *retry_after;
        enum push_result result;
        int64_t pause_ms;
    } rows[] = {
        { PUSH_ANSWERED, 200, "", PUSH_ACKED, 0 },         { PUSH_ANSWERED, 204, "5", PUSH_ACKED, 0 },
        { PUSH_ANSWERED, 299, "", PUSH_ACKED, 0 },         { PUSH_ANSWERED, 300, "", PUSH_FAILED, 0 },
        { PUSH_ANSWERED, 302, "5", PUSH_FAILED, 0 },       { PUSH_ANSWERED, 199, "", PUSH_FAILED, 0 },
        { PUSH_ANSWERED, 400, "", PUSH_FAILED, 0 },        { PUSH_ANSWERED, 404, "", PUSH_FAILED, 0 },
        { PUSH_ANSWERED, 410, "", PUSH_GONE, 0 },          { PUSH_ANSWERED, 415, "", PUSH_FAILED, 0 },
        { PUSH_ANSWERED, 429, "", PUSH_FAILED, 0 },        { PUSH_ANSWERED, 429, "soon", PUSH_FAILED, 0 },
        { PUSH_ANSWERED, 429, "3", PUSH_THROTTLED, 3000 }, { PUSH_ANSWERED, 500, "3", PUSH_FAILED, 0 },
        { PUSH_ANSWERED, 503, "", PUSH_FAILED, 0 },        { PUSH_ANSWERED, 503, "120", PUSH_THROTTLED, 120000 },
        { PUSH_ANSWERED, 999, "", PUSH_FAILED, 0 },        { PUSH_NOT_SENT, 0, "", PUSH_UNREACHABLE, 0 },
        { PUSH_TIMED_OUT, 200, "", PUSH_FAILED, 0 },       { PUSH_BROKEN, 200, "", PUSH_FAILED, 0 },
        { PUSH_ANSWER_TOO_BIG, 200, "", PUSH_FAILED, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct push_verdict v = judge(rows[i].end, rows[i].status, rows[i].retry_after);
        if (v.result != rows[i].result || v.pause_ms != rows[i].pause_ms)
            fail_msg("row %zu: result %d, pause %lld", i, v.result, (long long)v.pause_ms);
    }
}

static void of_a_line_only_the_header_s_value_is_taken(void **state)
{
    char large[PUSH_HEADER_MAX + 32];
    static const struct {
        const char *line, *value; /* NULL: another header, so the value stays unchanged */
    } rows[] = {
        { "Retry-After: 5\r\n", "5" },  { "retry-AFTER:5", "5" },     { "Retry-After: \t 5 s  \r\n", "5 s" },
        { "Retry-After:\r\n", "" },     { "Retry-After: \r\n", "" },  { "Retry-After", NULL },
        { "Retry-After-All: 5", NULL }, { "X-Retry-After: 5", NULL }, { "Retry-After 5", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[PUSH_HEADER_MAX] = "?";
        size_t size = 1;
        push_header(span_str(rows[i].line), "Retry-After", out, &size);
        const char *value = rows[i].value ? rows[i].value : "?";
        if (size != strlen(value) || memcmp(out, value, size) != 0)
            fail_msg("row %zu: %.*s", i, (int)size, out);
    }
    char out[PUSH_HEADER_MAX];
    size_t size = 1;
    memset(large, 'x', sizeof large);
    memcpy(large, "Retry-After: ", 13);
    push_header(span_of(large, 13 + PUSH_HEADER_MAX), "Retry-After", out, &size);
    assert_int_equal(size, 0); /* as if it were absent */
    push_header(span_of(large, 13 + PUSH_HEADER_MAX - 1), "Retry-After", out, &size);
    assert_int_equal(size, PUSH_HEADER_MAX - 1);
}

static void assert_said(const char *body, size_t size, const char *said)
{
    char out[PUSH_EXCERPT_MAX + 1];
    push_excerpt(span_of(body, size), out);
    assert_string_equal(out, said);
}

static void what_an_answer_says_is_kept_in_one_line_and_cut_between_characters(void **state)
{
    char long_one[300], wide[300], cut[PUSH_EXCERPT_MAX + 1];
    (void)state;
    assert_said("", 0, "");
    assert_said(NULL, 0, "");
    assert_said("no such user\r\n", 14, "no such user");
    assert_said("a\nb\tc\x7f"
                "d\xc2\x85"
                "e",
                10, "a b c d  e");
    assert_said("gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f");
    assert_said("\xff\xfe\x00\x01"
                "binary",
                10, "");
    assert_said("a\0b", 3, "");
    assert_said("\xc3", 1, "");
    memset(long_one, 'x', sizeof long_one);
    memset(cut, 'x', PUSH_EXCERPT_MAX);
    cut[PUSH_EXCERPT_MAX] = '\0';
    assert_said(long_one, sizeof long_one, cut);
    for (size_t i = 0; i < sizeof wide; i++)
        wide[i] = "\xe2\x82\xac"[i % 3];
    memcpy(cut, wide, 198);
    cut[198] = '\0';
    assert_said(wide, sizeof wide, cut);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: neither */
    } rows[] = {
        { "0", PUSH_PAUSE_MIN_MS },
        { "1", 1000 },
        { "0090", 90000 },
        { "99999999999999999999999999999999999999", PUSH_PAUSE_MAX_MS },
        { "9223372036854775807", PUSH_PAUSE_MAX_MS },
        { "", -1 },
        { "-1", -1 },
        { "1.5", -1 },
        { "1 ", -1 },
        { "Sun, 06 Nov 1994 08:49:47 GMT", 10000 },
        { "Sun, 06 Nov 1994 08:49:37 GMT", PUSH_PAUSE_MIN_MS },
        { "Sun, 06 Nov 1994 08:49:27 GMT", PUSH_PAUSE_MIN_MS },
        { "Sun, 06 Nov 9994 08:49:37 GMT", PUSH_PAUSE_MAX_MS },
        { "Sun, 06 Nov 1994 08:49:47 GMT.", -1 },
        { "Sun, 06 Nov 1994 08:49:47", -1 },
        { "Sun, 06 ovD 1994 08:49:47 GMT", -1 },
        { "Sun, 06 No 1994 08:49:47 GMT", -1 },
        { "Sunday, 06-Nov-94 08:49:37 GMT", -1 },
        { "a date that is longer than any that could be meant", -1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = -1;
        bool fine = push_retry_after(span_str(rows[i].text), WALL, &ms);
        if (fine != (rows[i].ms >= 0) || ms != rows[i].ms)
            fail_msg("'%s': %lld", rows[i].text, (long long)ms);
    }
}

static void a_handshake_is_granted_by_name_or_to_all(void **state)
{
    (void)state;
    assert_true(push_is_allowed(span_str("*"), "shop"));
    assert_true(push_is_allowed(span_str("shop"), "shop"));
    assert_true(push_is_allowed(span_str("SHOP"), "shop")); /* a DNS name */
    assert_false(push_is_allowed(span_str(""), "shop"));
    assert_false(push_is_allowed(span_str("shop.example"), "shop"));
    assert_false(push_is_allowed(span_str("sho"), "shop"));
    assert_false(push_is_allowed(span_str("*, x"), "shop"));
}

static void back_off_doubles_to_its_cap_with_jitter(void **state)
{
    (void)state;
    assert_int_equal(push_reconnect_ms(1, 0), 125);
    assert_int_equal(push_reconnect_ms(1, UINT32_MAX), 249);
    assert_int_equal(push_reconnect_ms(2, 0), 250);
    assert_int_equal(push_reconnect_ms(6, 0), 4000);
    assert_int_equal(push_reconnect_ms(7, 0), 5000);
    assert_int_equal(push_reconnect_ms(UINT32_MAX, UINT32_MAX), 9999);
}

static void the_application_s_time_ends_within_the_lease(void **state)
{
    (void)state;
    assert_int_equal(push_time_limit_ms(25000, 30000), 25000);
    assert_int_equal(push_time_limit_ms(2000, 30000), 2000);
    assert_int_equal(push_time_limit_ms(25000, 12000), 10000);
    assert_int_equal(push_time_limit_ms(25000, 0), 1);
}

static struct push_verdict judge_dapr(int status, const char *body, const char *retry_after)
{
    const struct push_outcome o = { PUSH_ANSWERED, status, span_str(retry_after), "", span_str(body) };
    return push_judge_dapr(&o, WALL);
}

static void in_dapr_s_dialect_the_body_of_a_2xx_decides(void **state)
{
    static const struct {
        const char *body;
        enum push_result result;
        const char *word;
    } rows[] = {
        { "", PUSH_ACKED, NULL },
        { "{}", PUSH_ACKED, NULL },
        { "{\"status\":\"\"}", PUSH_ACKED, NULL },
        { "{\"status\":\"SUCCESS\"}", PUSH_ACKED, NULL },
        { " {\"a\":{\"status\":\"DROP\"},\"status\" : \"SUCCESS\"}\n", PUSH_ACKED, NULL },
        { "ok", PUSH_ACKED, NULL },
        { "[\"DROP\"]", PUSH_ACKED, NULL },
        { "{\"status\":\"DROP\"", PUSH_ACKED, NULL },
        { "\xff", PUSH_ACKED, NULL },
        { "{\"status\":\"RETRY\"}", PUSH_FAILED, "RETRY" },
        { "{\"status\":\"DROP\"}", PUSH_DROPPED, "DROP" },
        { "{\"status\":\"drop\"}", PUSH_FAILED, "none of SUCCESS, RETRY and DROP" },
        { "{\"status\":7}", PUSH_FAILED, "none of SUCCESS, RETRY and DROP" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct push_verdict v = judge_dapr(i % 2 ? 200 : 204, rows[i].body, "");
        assert_int_equal(v.result, rows[i].result);
        assert_true(rows[i].word ? v.word && strcmp(v.word, rows[i].word) == 0 : !v.word);
    }
}

static void in_dapr_s_dialect_404_drops_and_410_is_a_failure(void **state)
{
    const struct push_outcome away = { .end = PUSH_NOT_SENT };
    (void)state;
    assert_int_equal(judge_dapr(404, "{\"status\":\"SUCCESS\"}", "").result, PUSH_DROPPED);
    assert_int_equal(judge_dapr(410, "", "").result, PUSH_FAILED);
    assert_int_equal(judge_dapr(500, "{\"status\":\"DROP\"}", "").result, PUSH_FAILED);
    assert_int_equal(judge_dapr(302, "", "").result, PUSH_FAILED);
    assert_int_equal(judge_dapr(503, "", "7").result, PUSH_THROTTLED);
    assert_int_equal(push_judge_dapr(&away, WALL).result, PUSH_UNREACHABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_end_means),
        cmocka_unit_test(in_dapr_s_dialect_the_body_of_a_2xx_decides),
        cmocka_unit_test(in_dapr_s_dialect_404_drops_and_410_is_a_failure),
        cmocka_unit_test(of_a_line_only_the_header_s_value_is_taken),
        cmocka_unit_test(what_an_answer_says_is_kept_in_one_line_and_cut_between_characters),
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
        cmocka_unit_test(a_handshake_is_granted_by_name_or_to_all),
        cmocka_unit_test(back_off_doubles_to_its_cap_with_jitter),
        cmocka_unit_test(the_application_s_time_ends_within_the_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
