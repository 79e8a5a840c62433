/* UTF-8: validation, truncation, and iterating over characters. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void every_code_point_is_utf8_but_surrogates(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x110000; c++) {
        uint8_t b[4];
        size_t size;
        if (c < 0x80) {
            b[0] = (uint8_t)c, size = 1;
        } else if (c < 0x800) {
            b[0] = (uint8_t)(0xc0 | c >> 6), b[1] = (uint8_t)(0x80 | (c & 63)), size = 2;
        } else if (c < 0x10000) {
            b[0] = (uint8_t)(0xe0 | c >> 12), b[1] = (uint8_t)(0x80 | (c >> 6 & 63));
            b[2] = (uint8_t)(0x80 | (c & 63)), size = 3;
        } else {
            b[0] = (uint8_t)(0xf0 | c >> 18), b[1] = (uint8_t)(0x80 | (c >> 12 & 63));
            b[2] = (uint8_t)(0x80 | (c >> 6 & 63)), b[3] = (uint8_t)(0x80 | (c & 63)), size = 4;
        }
        bool good = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
        if (utf8_valid(span_of(b, size)) != good)
            fail_msg("U+%04X was judged wrongly", c);
        if (size > 1 && utf8_valid(span_of(b, size - 1)))
            fail_msg("U+%04X without its last byte was accepted", c);
    }
}

/* At any position, although ASCII is skipped many bytes at a time. */
static void a_stray_byte_is_found_at_every_place(void **state)
{
    uint8_t text[100];
    (void)state;
    for (size_t size = 1; size <= sizeof text; size++) {
        for (size_t at = 0; at < size; at++) {
            memset(text, 'a', size);
            text[at] = 0xc3;
            assert_false(utf8_valid(span_of(text, size)));
            if (at + 1 < size)
                text[at + 1] = 0xa9;
            assert_true(utf8_valid(span_of(text, size)) == (at + 1 < size));
        }
    }
}

static void overlong_and_stray_bytes_are_not_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = { "\x80",
                                       "\xbf",
                                       "\xc0\x80",
                                       "\xc1\xbf",
                                       "\xe0\x80\x80",
                                       "\xe0\x9f\xbf",
                                       "\xf0\x80\x80\x80",
                                       "\xf0\x8f\xbf\xbf",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80",
                                       "\xff",
                                       "\xfe",
                                       "a\xc3",
                                       "\xc3\x28",
                                       "\xe2\x28\xa1",
                                       "\xe2\x82\x28",
                                       "\xf0\x9f\x98\x28",
                                       "\xc3\xa9\xa9" };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(utf8_valid(span_str(bad[i])));
    assert_true(utf8_valid(span_str("")));
    assert_true(utf8_valid(span_str(NULL)));
    assert_true(utf8_valid(span_of("a\0b", 3)));
    assert_true(utf8_valid(span_str("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80")));
}

static void a_text_is_cut_between_characters(void **state)
{
    (void)state;
    static const char *const texts[] = { "ab\xc3\xa9z", "a\xe2\x82\xac", "\xf0\x9f\x98\x80z", "abcd", "" };
    static const size_t sizes[][5] = { /* cut at 0 to 4 */
                                       { 0, 1, 2, 2, 4 },
                                       { 0, 1, 1, 1, 4 },
                                       { 0, 0, 0, 0, 4 },
                                       { 0, 1, 2, 3, 4 },
                                       { 0 }
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        for (size_t most = 0; most < 5; most++) {
            struct span cut = utf8_cut(span_str(texts[i]), most);
            assert_int_equal(cut.size, sizes[i][most]);
            assert_true(utf8_valid(cut));
        }
    }
    assert_int_equal(utf8_cut(span_str("ab\xc3"), 3).size, 3); /* a text that fits is not inspected */
    assert_int_equal(utf8_cut(span_str("\x80\x80"), 1).size, 0);
}

/* Writes "|" after each character, and "!" after a malformed sequence. */
static void split(struct span text, char *out)
{
    for (struct span character; text.size;) {
        bool valid = utf8_next(&text, &character);
        memcpy(out, character.data, character.size);
        out += character.size;
        *out++ = valid ? '|' : '!';
    }
    *out = '\0';
}

static void a_text_is_walked_character_by_character(void **state)
{
    static const char *const cases[][2] = {
        { "", "" },
        { "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", "a|\xc3\xa9|\xe2\x82\xac|\xf0\x9f\x98\x80|z|" },
        { "\xc3\xa9\x9b"
          "31m",
          "\xc3\xa9|\x9b!3|1|m|" }, /* a stray byte after a character takes no byte of it */
        { "\xe2\x82.", "\xe2\x82!.|" },
        { "\xe2\x82\xc3\xa9", "\xe2\x82!\xc3\xa9|" },
        { "\x80\xbf\x80q", "\x80\xbf\x80!q|" },
        { "\xff\xfe", "\xff!\xfe!" },
        { "\xed\xa0\x80", "\xed\xa0\x80!" }, /* a surrogate */
        { "\xf0\x9f\x98", "\xf0\x9f\x98!" },
        { "\xc3", "\xc3!" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[64];
        split(span_str(cases[i][0]), out);
        assert_string_equal(out, cases[i][1]);
    }
}

/* For any bytes: no byte is skipped or returned twice, what is called valid is one character, and what is not contains
 * none. */
static void a_walk_agrees_with_the_whole(void **state)
{
    static const uint8_t bytes[] = { 'a',  0x80, 0x9f, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0,
                                     0xa0, 0xed, 0xef, 0xf0, 0x90, 0xf4, 0xf5 };
    (void)state;
    for (size_t n = 0; n < COUNT(bytes) * COUNT(bytes) * COUNT(bytes) * COUNT(bytes); n++) {
        const uint8_t text[] = { bytes[n % 15], bytes[n / 15 % 15], bytes[n / 225 % 15], bytes[n / 3375] };
        struct span rest = span_of(text, sizeof text), character;
        bool all = true;
        for (const uint8_t *at = text; rest.size; at += character.size) {
            bool valid = utf8_next(&rest, &character);
            assert_true(character.data == at && character.size > 0 && rest.data == at + character.size);
            assert_int_equal(character.size + rest.size, text + sizeof text - at);
            assert_int_equal(valid, utf8_valid(character));
            for (size_t size = 1; valid && size < character.size; size++)
                assert_false(utf8_valid(span_of(at, size)));
            for (size_t from = 0; !valid && from < character.size; from++)
                assert_false(utf8_valid(span_of(at + from, character.size - from)));
            all &= valid;
        }
        assert_int_equal(all, utf8_valid(span_of(text, sizeof text)));
    }
}

static void characters_that_may_command_a_terminal_are_control_characters(void **state)
{
    static const char *const controls[] = { "\x01", "\x1b", "\x1f", "\x7f", "\xc2\x80", "\xc2\x9b", "\xc2\x9f" };
    static const char *const others[] = {
        " ", "~", "\xc2\xa0", "\xc3\x80", "\xc3\x9b", "\xe2\x82\xac", "\xc2", "\x9b"
    };
    (void)state;
    assert_true(utf8_is_control(span_of("", 1)));
    for (size_t i = 0; i < COUNT(controls); i++)
        assert_true(utf8_is_control(span_str(controls[i])));
    for (size_t i = 0; i < COUNT(others); i++)
        assert_false(utf8_is_control(span_str(others[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_utf8_but_surrogates),
        cmocka_unit_test(a_stray_byte_is_found_at_every_place),
        cmocka_unit_test(overlong_and_stray_bytes_are_not_utf8),
        cmocka_unit_test(a_text_is_cut_between_characters),
        cmocka_unit_test(a_text_is_walked_character_by_character),
        cmocka_unit_test(a_walk_agrees_with_the_whole),
        cmocka_unit_test(characters_that_may_command_a_terminal_are_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
