/* The arena: zeroed, aligned memory up to a cap. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ALIGN _Alignof(max_align_t)

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t size = 1; size < 3000; size += 37) {
        uint8_t *p = arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % ALIGN, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size); /* a neighbour must not see it */
    }
    arena_free(&a);
}

static void memory_is_zeroed_again_after_a_free(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    for (unsigned round = 0; round < 3; round++) {
        uint8_t *p = arena_alloc(&a, 600);
        assert_non_null(p);
        for (size_t i = 0; i < 600; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, 600);
        arena_free(&a);
        assert_int_equal(a.used, 0);
    }
}

static void no_more_than_the_cap_is_handed_out(void **state)
{
    (void)state;
    struct arena a;
    size_t got = 0;
    arena_init(&a, 10000);
    while (arena_alloc(&a, 100))
        got += 100;
    assert_true(got > 8000 && got <= 10000);
    assert_true(a.used <= 10000);
    arena_free(&a);
}

static void an_allocation_may_be_as_large_as_the_cap(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    assert_null(arena_alloc(&a, (1 << 20) + 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_non_null(arena_alloc(&a, 1 << 20));
    assert_null(arena_alloc(&a, 1));
    arena_free(&a);
}

static void a_refusal_leaves_room_for_something_smaller(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024);
    assert_non_null(arena_alloc(&a, 512));
    assert_null(arena_alloc(&a, 1000));
    assert_non_null(arena_alloc(&a, 256));
    arena_free(&a);
}

static void empty_allocations_count_and_differ(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4 * ALIGN);
    void *first = arena_alloc(&a, 0), *second = arena_alloc(&a, 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    assert_non_null(arena_alloc(&a, 0));
    assert_non_null(arena_alloc(&a, 0));
    assert_null(arena_alloc(&a, 0)); /* a message of a million empty elements ends here, too */
    arena_free(&a);
}

static void a_cap_of_zero_gives_nothing(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    assert_null(arena_alloc(&a, 0));
    assert_null(arena_strndup(&a, "", 0));
    arena_free(&a);
}

static void copies_of_text_are_terminated(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    assert_string_equal(arena_strndup(&a, "orders.eu", 6), "orders");
    assert_string_equal(arena_strndup(&a, "x", 0), "");
    assert_string_equal(arena_strndup(&a, NULL, 0), "");
    arena_free(&a);
    arena_init(&a, 16);
    assert_null(arena_strndup(&a, "sixteen letters!", 16)); /* no room for the terminator */
    assert_string_equal(arena_strndup(&a, "fifteen letters", 15), "fifteen letters");
    arena_free(&a);
}

static void a_reset_hands_out_the_same_memory_zeroed_under_the_new_cap(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    char *first = arena_alloc(&a, 100);
    memset(first, 'x', 100);
    arena_reset(&a, 64);
    assert_null(arena_alloc(&a, 100));
    char *again = arena_alloc(&a, 64);
    assert_ptr_equal(again, first);
    for (int i = 0; i < 64; i++)
        assert_int_equal(again[i], 0);
    arena_free(&a);
}

static void a_reset_keeps_a_usual_block_and_no_large_one(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    assert_non_null(arena_alloc(&a, 100));
    arena_reset(&a, 1 << 20);
    assert_non_null(a.blocks);
    assert_non_null(arena_alloc(&a, 500000));
    arena_reset(&a, 1 << 20);
    assert_null(a.blocks);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(memory_is_zeroed_again_after_a_free),
        cmocka_unit_test(no_more_than_the_cap_is_handed_out),
        cmocka_unit_test(an_allocation_may_be_as_large_as_the_cap),
        cmocka_unit_test(a_refusal_leaves_room_for_something_smaller),
        cmocka_unit_test(empty_allocations_count_and_differ),
        cmocka_unit_test(a_cap_of_zero_gives_nothing),
        cmocka_unit_test(copies_of_text_are_terminated),
        cmocka_unit_test(a_reset_hands_out_the_same_memory_zeroed_under_the_new_cap),
        cmocka_unit_test(a_reset_keeps_a_usual_block_and_no_large_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
