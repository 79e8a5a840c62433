#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void error_set_formats_the_sentence_and_returns_false(void **state)
{
    (void)state;
    struct error e = { "" };
    assert_false(error_set(&e, "%s has %d ends; cut one off", "the rope", 2));
    assert_string_equal(e.text, "the rope has 2 ends; cut one off");
}

static void a_new_sentence_replaces_the_old_one(void **state)
{
    (void)state;
    struct error e = { "" };
    error_set(&e, "a long one that came first");
    error_set(&e, "short");
    assert_string_equal(e.text, "short");
}

static void an_over_long_sentence_is_cut(void **state)
{
    (void)state;
    struct {
        struct error e;
        char behind;
    } s = { { "" }, '!' };
    char text[sizeof s.e.text + 100];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    error_set(&s.e, "%s", text);
    assert_int_equal(strlen(s.e.text), sizeof s.e.text - 1);
    assert_int_equal(s.behind, '!');
}

static void error_set_accepts_null(void **state)
{
    (void)state;
    assert_false(error_set(NULL, "%d", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_set_formats_the_sentence_and_returns_false),
        cmocka_unit_test(a_new_sentence_replaces_the_old_one),
        cmocka_unit_test(an_over_long_sentence_is_cut),
        cmocka_unit_test(error_set_accepts_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
