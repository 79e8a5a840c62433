#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/api/json_scan.h"

static void valid_texts_are_taken_whole(void **state)
{
    static const char *const good[] = {
        "0",   "-1.5e+3",  "1e400", "\"a\\u0041\\n\"", "true", " null ", "[]", "[1,[2,{\"a\":3}]]", "{\"a\":1,\"a\":2}",
        "{ }", "[ 1 , 2 ]"
    };
    struct scan_value v;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(scan_text(span_str(good[i]), &v));
}

static void malformed_texts_are_refused(void **state)
{
    static const char *const bad[] = {
        "",     "01",        "1.",      "+1",       "1e",    "\"a",         "\"\\x\"",     "\"\\u12\"",
        "[1,]", "[,1]",      "{\"a\"}", "{\"a\":}", "{a:1}", "[1 2]",       "{\"a\":1,}",  "tru",
        "[1]]", "{\"a\":1]", "nul",     "\"\n\"",   "1 2",   "\"\\u00g0\"", "\"\\u00/0\"", "\"\\u00 0\""
    };
    struct scan_value v;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (scan_text(span_str(bad[i]), &v))
            fail_msg("%s was taken", bad[i]);
    }
}

static void nesting_is_bounded(void **state)
{
    char text[2 * SCAN_DEPTH_MAX + 3] = "";
    struct scan_value v;
    (void)state;
    memset(text, '[', SCAN_DEPTH_MAX);
    memset(text + SCAN_DEPTH_MAX, ']', SCAN_DEPTH_MAX);
    assert_true(scan_text(span_str(text), &v));
    memset(text, '[', SCAN_DEPTH_MAX + 1);
    memset(text + SCAN_DEPTH_MAX + 1, ']', SCAN_DEPTH_MAX + 1);
    assert_false(scan_text(span_str(text), &v));
}

static void members_come_with_their_own_bytes(void **state)
{
    struct scan_value v;
    struct span key, name;
    struct arena a;
    (void)state;
    arena_init(&a, 1024);
    assert_true(scan_text(span_str("{\"a\" : 1.00 , \"\\u0062\":[ 1,2 ]}"), &v));
    struct scan s = scan_open(v.raw);
    assert_int_equal(scan_member(&s, &key, &v), SCAN_OK);
    assert_true(span_equal(v.raw, span_str("1.00")));
    assert_int_equal(scan_member(&s, &key, &v), SCAN_OK);
    assert_true(scan_string(key, &a, &name));
    assert_true(span_equal(name, span_str("b")));
    assert_true(span_equal(v.raw, span_str("[ 1,2 ]")));
    assert_int_equal(scan_member(&s, &key, &v), SCAN_END);
    arena_free(&a);
}

/* Reads and validates a text in one pass: is it an array of objects? */
static bool walks(const char *bytes)
{
    struct scan array, object, text = scan_begin(span_str(bytes));
    struct scan_value value;
    struct span key;
    enum scan_status status;
    if (!scan_enter(&text, '[', &array))
        return false;
    while ((status = scan_next(&array)) == SCAN_OK) {
        if (!scan_enter(&array, '{', &object))
            return false;
        while ((status = scan_member(&object, &key, &value)) == SCAN_OK)
            continue;
        if (status != SCAN_END)
            return false;
        scan_leave(&array, &object);
    }
    scan_leave(&text, &array);
    return status == SCAN_END && scan_ended(&text);
}

static void one_pass_accepts_what_two_passes_accept(void **state)
{
    static const char *const texts[] = {
        "[]",
        " [ { } , {\"a\":1 ,\"b\":[{},[]]}\n] ",
        "[{\"a\":\"\\u0041\"}]",
        "[{}]x",
        "[{},]",
        "[,{}]",
        "[{} {}]",
        "[{}",
        "[{\"a\":}]",
        "[{\"a\" 1}]",
        "[{\"a\":1,}]",
        "[{,\"a\":1}]",
        "[{\"a\":01}]",
        "[{\"a\":\"\t\"}]",
        "[{a:1}]",
        "[",
        "",
        "[{\"a\":[1,]}]",
        "[{}]]",
        "[{\"a\":1]}",
        "[{\"a\":tru}]",
    };
    struct scan_value v;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (walks(texts[i]) != scan_text(span_str(texts[i]), &v))
            fail_msg("%s is taken by one and not by the other", texts[i]);
    }
}

/* Reads "[{"a":[[...]]}]" with `depth` nested brackets. */
static bool walks_nested(unsigned depth)
{
    char text[256] = "[{\"a\":";
    for (unsigned i = 2; i < depth; i++)
        strcat(text, "[");
    for (unsigned i = 2; i < depth; i++)
        strcat(text, "]");
    struct scan_value v;
    bool walked = walks(strcat(text, "}]"));
    assert_true(walked == scan_text(span_str(text), &v));
    return walked;
}

static void brackets_that_were_entered_count(void **state)
{
    (void)state;
    assert_true(walks_nested(SCAN_DEPTH_MAX));
    assert_false(walks_nested(SCAN_DEPTH_MAX + 1));
}

static void a_lone_surrogate_is_no_text(void **state)
{
    struct arena a;
    struct span out;
    (void)state;
    arena_init(&a, 1024);
    assert_false(scan_string(span_str("\"\\ud800\""), &a, &out));
    assert_true(scan_string(span_str("\"\\ud83d\\ude00\""), &a, &out));
    assert_int_equal(out.size, 4);
    arena_free(&a);
}

static size_t stops_at(const char *text)
{
    struct scan_value v;
    size_t stopped = 0;
    assert_false(scan_text_at(span_str(text), &v, &stopped));
    return stopped;
}

static void an_error_has_its_place(void **state)
{
    (void)state;
    assert_int_equal(stops_at("{\"a\":1"), 6);
    assert_int_equal(stops_at("{\"a\" 1}"), 5);
    assert_int_equal(stops_at("1 2"), 2);
    assert_int_equal(stops_at(""), 0);
}

/* Every byte at every position of the words of eight and of the rest, next to neighbours that cause borrows and
 * carries. */
static void scan_plain_stops_at_the_first_special_byte(void **state)
{
    static const uint8_t around[] = { 'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff };
    (void)state;
    for (size_t n = 0; n < sizeof around; n++) {
        for (size_t size = 0; size <= 20; size++) {
            uint8_t text[20];
            memset(text, around[n], sizeof text);
            assert_ptr_equal(scan_plain(text, text + size), text + size);
            for (size_t at = 0; at < size; at++) {
                for (unsigned byte = 0; byte < 256; byte++) {
                    bool special = byte < 0x20 || byte == '"' || byte == '\\';
                    text[at] = (uint8_t)byte;
                    assert_ptr_equal(scan_plain(text, text + size), text + (special ? at : size));
                }
                text[at] = around[n];
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan_plain_stops_at_the_first_special_byte),
        cmocka_unit_test(valid_texts_are_taken_whole),
        cmocka_unit_test(malformed_texts_are_refused),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(one_pass_accepts_what_two_passes_accept),
        cmocka_unit_test(brackets_that_were_entered_count),
        cmocka_unit_test(members_come_with_their_own_bytes),
        cmocka_unit_test(a_lone_surrogate_is_no_text),
        cmocka_unit_test(an_error_has_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
