/* Sizes are given, not measured; the effect on a real broker after a backlog is tested in tests/integration. */
#include "base/heap_trim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static void much_memory_that_stays_free_is_given_back(void **state)
{
    (void)state;
    struct heap_trim h = { 0 };
    assert_false(heap_trim_look(&h, 2 * MIB, 230 * MIB));
    assert_true(heap_trim_look(&h, 2 * MIB, 230 * MIB));
    assert_false(heap_trim_look(&h, 2 * MIB, 230 * MIB)); /* once more it takes two looks */
    assert_true(heap_trim_look(&h, 2 * MIB, 230 * MIB));
}

static void memory_free_between_two_bursts_is_kept(void **state)
{
    (void)state;
    struct heap_trim h = { 0 };
    for (int i = 0; i < 10; i++) {
        assert_false(heap_trim_look(&h, 2 * MIB, 100 * MIB));
        assert_false(heap_trim_look(&h, 95 * MIB, 100 * MIB));
    }
}

static void little_free_memory_is_kept_and_more_of_it_if_more_is_in_use(void **state)
{
    (void)state;
    struct heap_trim h = { 0 };
    for (int i = 0; i < 10; i++)
        assert_false(heap_trim_look(&h, 2 * MIB, 6 * MIB));
    for (int i = 0; i < 10; i++)
        assert_false(heap_trim_look(&h, 800 * MIB, 840 * MIB));
}

static void memory_that_cannot_be_given_back_is_not_tried_for_ever(void **state)
{
    (void)state;
    struct heap_trim h = { .remained = 100 * MIB };
    for (int i = 0; i < 10; i++)
        assert_false(heap_trim_look(&h, 2 * MIB, 105 * MIB));
    assert_false(heap_trim_look(&h, 2 * MIB, 50 * MIB)); /* it shrank by itself: growth counts again */
    assert_false(heap_trim_look(&h, 2 * MIB, 70 * MIB));
    assert_true(heap_trim_look(&h, 2 * MIB, 70 * MIB));
}

static void allocated_memory_that_was_never_touched_is_not_taken_for_free(void **state)
{
    (void)state;
    struct heap_trim h = { 0 };
    for (int i = 0; i < 10; i++)
        assert_false(heap_trim_look(&h, 500 * MIB, 4 * MIB));
}

static void an_idle_process_is_woken_once_and_then_left_alone(void **state)
{
    (void)state;
    struct heap_trim h = { .remained = UINT64_MAX }; /* for the real figures of this process */
    mono_t now = { 1000 };
    heap_trim_turn(&h, now);
    assert_int_equal(heap_trim_due(&h).ns, MONO_NEVER.ns);
    heap_trim_turn(&h, mono_add_ms(now, 1));
    now = heap_trim_due(&h);
    assert_int_not_equal(now.ns, MONO_NEVER.ns);
    heap_trim_turn(&h, now);
    assert_int_equal(heap_trim_due(&h).ns, MONO_NEVER.ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(much_memory_that_stays_free_is_given_back),
        cmocka_unit_test(memory_free_between_two_bursts_is_kept),
        cmocka_unit_test(little_free_memory_is_kept_and_more_of_it_if_more_is_in_use),
        cmocka_unit_test(memory_that_cannot_be_given_back_is_not_tried_for_ever),
        cmocka_unit_test(allocated_memory_that_was_never_touched_is_not_taken_for_free),
        cmocka_unit_test(an_idle_process_is_woken_once_and_then_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
