/* Sums of the counters of objects that come and go: they never decrease, and count everything once. */
#include "sidecar/running_sums.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct count {
    const char *name;
    uint64_t acked, refused;
};

static struct running_sums *s;

static int begin(void **state)
{
    (void)state;
    s = running_sums_new(2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    running_sums_free(s);
    return 0;
}

static void add(const char *name, uint64_t acked, uint64_t refused)
{
    running_sums_add(s, name, (uint64_t[]){ acked, refused });
}

/* A complete pass over these objects, terminated by one without a name. */
static void see(const struct count *all)
{
    uint64_t pass = running_sums_begin(s);
    for (; all->name; all++)
        add(all->name, all->acked, all->refused);
    running_sums_end(s, pass);
}

#define SEE(...) see((const struct count[]){ __VA_ARGS__{ NULL, 0, 0 } })
#define assert_sums(acked, refused)                                                                                    \
    do {                                                                                                               \
        assert_int_equal(running_sums(s)[0], acked);                                                                   \
        assert_int_equal(running_sums(s)[1], refused);                                                                 \
    } while (0)

static void what_was_before_the_first_pass_is_not_counted(void **state)
{
    (void)state;
    SEE({ "a", 100, 10 }, { "b", 50, 0 }, );
    assert_sums(0, 0);
    SEE({ "a", 101, 10 }, { "b", 52, 5 }, );
    assert_sums(3, 5);
}

static void what_comes_later_is_counted_from_its_beginning(void **state)
{
    (void)state;
    SEE({ "a", 100, 10 }, );
    SEE({ "a", 100, 10 }, { "late", 7, 1 }, );
    assert_sums(7, 1);
}

static void an_object_that_leaves_does_not_lower_the_sums(void **state)
{
    (void)state;
    SEE({ "a", 0, 0 }, { "b", 0, 0 }, );
    SEE({ "a", 5, 1 }, { "b", 6, 2 }, );
    SEE({ "a", 5, 1 }, );
    assert_sums(11, 3);
    SEE({ "a", 6, 1 }, { "b", 2, 0 }, ); /* recreated under the same name */
    assert_sums(14, 3);
}

/* For each counter by itself: after a restart of the broker a queue's ledger continues, and its other counters start at
 * 0. */
static void a_counter_that_was_reset_is_counted_from_zero(void **state)
{
    (void)state;
    SEE({ "a", 100, 0 }, );
    SEE({ "a", 100, 10 }, );
    SEE({ "a", 103, 4 }, );
    assert_sums(3, 14);
}

static void passes_at_the_same_time_count_once(void **state)
{
    (void)state;
    SEE({ "a", 0, 0 }, { "b", 0, 0 }, );
    uint64_t first = running_sums_begin(s);
    add("a", 1, 0);
    uint64_t second = running_sums_begin(s);
    add("a", 1, 0);
    add("new", 4, 0); /* declared after the first pass had gone past its name … */
    add("b", 2, 0);
    running_sums_end(s, second);
    add("b", 2, 0);
    running_sums_end(s, first);
    assert_sums(7, 0);
    SEE({ "a", 1, 0 }, { "b", 2, 0 }, { "new", 4, 0 }, ); /* … and unchanged since */
    assert_sums(7, 0);
}

/* The slower first pass sees an object that was declared after the second had gone past its name. */
static void what_only_an_older_pass_saw_is_not_forgotten_by_a_newer(void **state)
{
    (void)state;
    SEE({ "a", 0, 0 }, );
    uint64_t first = running_sums_begin(s), second = running_sums_begin(s);
    add("a", 0, 0);
    add("new", 4, 0);
    running_sums_end(s, second);
    running_sums_end(s, first);
    SEE({ "a", 0, 0 }, { "new", 5, 0 }, );
    assert_sums(5, 0);
}

/* A pass may be dropped, because the broker's next answer comes from another broker, or never. */
static void an_incomplete_pass_forgets_nothing(void **state)
{
    (void)state;
    SEE({ "a", 10, 0 }, { "b", 10, 0 }, );
    running_sums_begin(s);
    add("a", 11, 0);
    SEE({ "a", 11, 0 }, { "b", 11, 0 }, );
    assert_sums(2, 0);
}

static void objects_that_left_take_no_memory(void **state)
{
    (void)state;
    char name[32];
    size_t before = 0;
    SEE({ "a", 0, 0 }, );
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "job-%05u", i);
        SEE({ "a", 0, 0 }, { name, 1, 0 }, );
        if (i == 0)
            before = mallinfo2().uordblks;
    }
    assert_int_equal(mallinfo2().uordblks, before);
    assert_sums(10000, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_before_the_first_pass_is_not_counted, begin, end),
        cmocka_unit_test_setup_teardown(what_comes_later_is_counted_from_its_beginning, begin, end),
        cmocka_unit_test_setup_teardown(an_object_that_leaves_does_not_lower_the_sums, begin, end),
        cmocka_unit_test_setup_teardown(a_counter_that_was_reset_is_counted_from_zero, begin, end),
        cmocka_unit_test_setup_teardown(passes_at_the_same_time_count_once, begin, end),
        cmocka_unit_test_setup_teardown(what_only_an_older_pass_saw_is_not_forgotten_by_a_newer, begin, end),
        cmocka_unit_test_setup_teardown(an_incomplete_pass_forgets_nothing, begin, end),
        cmocka_unit_test_setup_teardown(objects_that_left_take_no_memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
