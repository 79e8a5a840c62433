#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void it_holds_the_formatted_sentence_and_is_false(void **state)
{
    (void)state;
    struct error e = { "" };
    assert_false(error_set(&e, "%s has %d ends; cut one off", "the rope", 2));
    assert_string_equal(e.text, "the rope has 2 ends; cut one off");
}

static void the_newest_sentence_stays(void **state)
{
    (void)state;
    struct error e = { "" };
    error_set(&e, "a long one that came first");
    error_set(&e, "short");
    assert_string_equal(e.text, "short");
}

static void what_is_too_long_is_cut_at_its_size(void **state)
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

static void whoever_does_not_want_to_know_passes_null(void **state)
{
    (void)state;
    assert_false(error_set(NULL, "%d", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_the_formatted_sentence_and_is_false),
        cmocka_unit_test(the_newest_sentence_stays),
        cmocka_unit_test(what_is_too_long_is_cut_at_its_size),
        cmocka_unit_test(whoever_does_not_want_to_know_passes_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
