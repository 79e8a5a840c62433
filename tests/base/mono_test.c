/* Arithmetic of monotonic time. */
#include "base/clock.h"
#include "base/mono.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static mono_t at_ms(int64_t ms)
{
    return (mono_t){ ms * MONO_MS };
}

static void milliseconds_add_exactly(void **state)
{
    (void)state;
    assert_int_equal(mono_add_ms((mono_t){ 5 }, 0).ns, 5);
    assert_int_equal(mono_add_ms((mono_t){ 5 }, 3).ns, 3000005);
    assert_int_equal(mono_since_ms(mono_add_ms(at_ms(7), 30000), at_ms(7)), 30000);
}

static void adding_saturates_at_never(void **state)
{
    (void)state;
    assert_int_equal(mono_add_ms(at_ms(1), INT64_MAX).ns, INT64_MAX);
    assert_int_equal(mono_add_ms(MONO_NEVER, 0).ns, INT64_MAX);
    assert_int_equal(mono_add_ms(MONO_NEVER, 1).ns, INT64_MAX);
    assert_int_equal(mono_add_ms((mono_t){ 0 }, INT64_MAX / MONO_MS).ns, INT64_MAX);
    assert_true(mono_add_ms((mono_t){ 0 }, INT64_MAX / MONO_MS - 1).ns < INT64_MAX);
}

static void elapsed_time_is_rounded_down(void **state)
{
    (void)state;
    assert_int_equal(mono_since_ms((mono_t){ 1999999 }, (mono_t){ 0 }), 1);
    assert_int_equal(mono_since_ms((mono_t){ 999999 }, (mono_t){ 0 }), 0);
    assert_int_equal(mono_since_ms(at_ms(5), at_ms(5)), 0);
    assert_int_equal(mono_since_ms(at_ms(3), at_ms(5)), -2);
}

static void waits_are_rounded_up_so_that_no_poll_wakes_early(void **state)
{
    (void)state;
    assert_int_equal(mono_wait_ms((mono_t){ 1 }, (mono_t){ 0 }), 1);
    assert_int_equal(mono_wait_ms(at_ms(2), at_ms(1)), 1);
    assert_int_equal(mono_wait_ms((mono_t){ 2 * MONO_MS + 1 }, at_ms(1)), 2);
    for (int64_t ns = 1; ns < 3 * MONO_MS; ns += 99991)
        assert_false(
            mono_before(mono_add_ms((mono_t){ 0 }, mono_wait_ms((mono_t){ ns }, (mono_t){ 0 })), (mono_t){ ns }));
}

static void a_time_in_the_past_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(mono_wait_ms(at_ms(1), at_ms(1)), 0);
    assert_int_equal(mono_wait_ms(at_ms(1), at_ms(900)), 0);
    assert_int_equal(mono_wait_ms((mono_t){ 0 }, (mono_t){ 0 }), 0);
}

static void never_is_waited_for_without_end(void **state)
{
    (void)state;
    assert_int_equal(mono_wait_ms(MONO_NEVER, at_ms(1)), -1);
    assert_false(mono_before(MONO_NEVER, at_ms(1)));
    assert_true(mono_before(at_ms(1), MONO_NEVER));
}

static void the_earlier_of_two_is_chosen(void **state)
{
    (void)state;
    assert_int_equal(mono_min(at_ms(1), at_ms(2)).ns, at_ms(1).ns);
    assert_int_equal(mono_min(at_ms(2), at_ms(1)).ns, at_ms(1).ns);
    assert_int_equal(mono_min(MONO_NEVER, at_ms(1)).ns, at_ms(1).ns);
    assert_false(mono_before(at_ms(1), at_ms(1)));
}

static void the_clock_does_not_run_backwards(void **state)
{
    (void)state;
    struct now before = clock_now();
    for (unsigned i = 0; i < 1000; i++) {
        struct now after = clock_now();
        assert_false(mono_before(after.mono, before.mono));
        before = after;
    }
    assert_true(before.wall.ms > INT64_C(1577836800000)); /* 2020: milliseconds, since the epoch */
    assert_true(before.wall.ms < INT64_C(32503680000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(milliseconds_add_exactly),
        cmocka_unit_test(adding_saturates_at_never),
        cmocka_unit_test(elapsed_time_is_rounded_down),
        cmocka_unit_test(waits_are_rounded_up_so_that_no_poll_wakes_early),
        cmocka_unit_test(a_time_in_the_past_is_not_waited_for),
        cmocka_unit_test(never_is_waited_for_without_end),
        cmocka_unit_test(the_earlier_of_two_is_chosen),
        cmocka_unit_test(the_clock_does_not_run_backwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
