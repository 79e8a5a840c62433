/* Sets of sequences kept as ranges. */
#include "broker/store/ranges.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* "1-3 5-9": each range as [first, end). */
static void assert_set(const struct ranges *r, const char *expected)
{
    struct buf text = { 0 };
    for (size_t i = 0; i < r->count; i++)
        buf_printf(&text, "%s%llu-%llu", i ? " " : "", (unsigned long long)ranges_at(r, i)->first,
                   (unsigned long long)ranges_at(r, i)->end);
    buf_add_byte(&text, 0);
    assert_string_equal((char *)text.data, expected);
    buf_free(&text);
    assert_true(ranges_validate(r));
}

static void neighbours_become_one(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    assert_int_equal(ranges_add(&r, 5, 7), 2);
    assert_int_equal(ranges_add(&r, 1, 2), 1);
    assert_int_equal(ranges_add(&r, 9, 10), 1);
    assert_set(&r, "1-2 5-7 9-10");
    assert_int_equal(ranges_add(&r, 7, 9), 2);
    assert_set(&r, "1-2 5-10");
    assert_int_equal(ranges_add(&r, 2, 5), 3);
    assert_set(&r, "1-10");
    ranges_free(&r);
    assert_set(&r, "");
}

static void sequences_in_the_set_are_not_counted_again(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    ranges_add(&r, 10, 20);
    ranges_add(&r, 30, 40);
    ranges_add(&r, 50, 60);
    assert_int_equal(ranges_add(&r, 12, 18), 0);
    assert_int_equal(ranges_add(&r, 15, 35), 10);
    assert_set(&r, "10-40 50-60");
    assert_int_equal(ranges_add(&r, 0, 100), 60);
    assert_set(&r, "0-100");
    ranges_free(&r);
}

static void removing_cuts_ranges(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    ranges_add(&r, 0, 100);
    assert_int_equal(ranges_remove(&r, 40, 50), 10);
    assert_set(&r, "0-40 50-100");
    assert_int_equal(ranges_remove(&r, 40, 50), 0);
    assert_int_equal(ranges_remove(&r, 0, 10), 10);
    assert_int_equal(ranges_remove(&r, 90, 200), 10);
    assert_set(&r, "10-40 50-90");
    assert_int_equal(ranges_remove(&r, 30, 60), 20);
    assert_set(&r, "10-30 60-90");
    ranges_add(&r, 40, 50);
    assert_int_equal(ranges_remove(&r, 20, 70), 30);
    assert_set(&r, "10-20 70-90");
    assert_int_equal(ranges_remove(&r, 0, UINT64_MAX), 30);
    assert_set(&r, "");
    ranges_free(&r);
}

static void empty_and_extreme_ranges_are_fine(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    uint64_t first, end;
    assert_int_equal(ranges_remove(&r, 0, 10), 0);
    assert_int_equal(ranges_add(&r, 5, 5), 0);
    assert_int_equal(ranges_add(&r, 6, 5), 0);
    assert_set(&r, "");
    assert_false(ranges_next(&r, 0, &first, &end));
    assert_int_equal(ranges_next_gap(&r, 3), 3);
    assert_int_equal(ranges_add(&r, 0, 1), 1);
    assert_int_equal(ranges_add(&r, UINT64_MAX - 1, UINT64_MAX), 1);
    assert_set(&r, "0-1 18446744073709551614-18446744073709551615");
    assert_true(ranges_has(&r, UINT64_MAX - 1));
    assert_false(ranges_has(&r, UINT64_MAX));
    assert_int_equal(ranges_remove(&r, 7, 7), 0);
    assert_int_equal(ranges_remove(&r, 9, 8), 0);
    ranges_free(&r);
}

static void has_count_next_and_gap_answer(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    uint64_t first = 0, end = 0;
    ranges_add(&r, 10, 20);
    ranges_add(&r, 30, 40);
    ranges_add(&r, 50, 60);
    assert_true(ranges_next(&r, 0, &first, &end));
    assert_int_equal(first, 10);
    assert_int_equal(end, 20);
    assert_true(ranges_next(&r, 35, &first, &end));
    assert_int_equal(first, 35);
    assert_int_equal(end, 40);
    assert_false(ranges_next(&r, 60, &first, &end));
    assert_int_equal(ranges_next_gap(&r, 10), 20);
    assert_int_equal(ranges_next_gap(&r, 20), 20);
    assert_int_equal(ranges_next_gap(&r, 59), 60);
    assert_int_equal(ranges_count_in(&r, 15, 55), 20);
    assert_int_equal(ranges_count_in(&r, 20, 30), 0);
    assert_int_equal(ranges_count_in(&r, 55, 15), 0);
    ranges_free(&r);
}

static void a_sliding_window_stays_small(void **state)
{
    (void)state;
    struct ranges r = { 0 };
    for (uint64_t i = 0; i < 1000000; i++) {
        assert_int_equal(ranges_add(&r, i * 2, i * 2 + 1), 1);
        if (i >= 100)
            assert_int_equal(ranges_remove(&r, (i - 100) * 2, (i - 100) * 2 + 1), 1);
    }
    assert_int_equal(r.count, 100);
    assert_true(r.capacity <= 256);
    assert_true(ranges_validate(&r));
    ranges_free(&r);
}

/* 300,000 separate ranges: were either end linear, this would move some 10^11 items. */
static void both_ends_cost_the_same_at_any_size(void **state)
{
    (void)state;
    enum { MANY = 300000 };
    struct ranges r = { 0 };
    for (uint64_t i = 0; i < MANY; i++)
        ranges_add(&r, i * 3, i * 3 + 1);
    assert_int_equal(r.count, MANY);
    for (uint64_t i = 0; i < MANY; i++) { /* one goes in front, one comes behind */
        assert_int_equal(ranges_remove(&r, 0, i * 3 + 1), 1);
        ranges_add(&r, (MANY + i) * 3, (MANY + i) * 3 + 1);
    }
    assert_int_equal(r.count, MANY);
    assert_true(r.capacity <= 4 * MANY);
    for (uint64_t i = 0; i < MANY; i++) /* and away from behind */
        assert_int_equal(ranges_remove(&r, (2 * MANY - 1 - i) * 3, (2 * MANY - i) * 3), 1);
    assert_set(&r, "");
    assert_int_equal(r.capacity, 0); /* the burst's memory is given back */
    ranges_free(&r);
}

static uint64_t random_below(uint64_t *random, uint64_t below)
{
    uint64_t z = (*random += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

enum { UNIVERSE = 500 };

static uint64_t set_all(bool *map, uint64_t first, uint64_t end, bool to)
{
    uint64_t changed = 0;
    for (uint64_t i = first; i < end; i++) {
        changed += map[i] != to;
        map[i] = to;
    }
    return changed;
}

static void compare(const struct ranges *r, const bool *map, uint64_t first, uint64_t end)
{
    assert_true(ranges_validate(r));
    uint64_t count = 0, next = UNIVERSE, gap = first;
    for (uint64_t i = 0; i < UNIVERSE; i++)
        assert_int_equal(ranges_has(r, i), map[i]);
    for (uint64_t i = first; i < end; i++)
        count += map[i];
    for (uint64_t i = UNIVERSE; i-- > first;)
        next = map[i] ? i : next;
    while (gap < UNIVERSE && map[gap])
        gap++;
    assert_int_equal(ranges_count_in(r, first, end), count);
    assert_int_equal(ranges_next_gap(r, first), gap);
    uint64_t found = 0, behind = 0;
    assert_int_equal(ranges_next(r, first, &found, &behind), next < UNIVERSE);
    if (next == UNIVERSE)
        return;
    assert_int_equal(found, next);
    for (uint64_t i = found; i < behind; i++)
        assert_true(map[i]);
    assert_false(map[behind]);
}

static void random_changes_agree_with_a_bitmap(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t random = seed;
        uint64_t longest = 1 + random_below(&random, 60), adds = 30 + random_below(&random, 40);
        struct ranges r = { 0 };
        bool map[UNIVERSE + 1] = { false };
        for (unsigned step = 0; step < 1000; step++) {
            uint64_t first = random_below(&random, UNIVERSE), end = first + random_below(&random, longest);
            end = end > UNIVERSE ? UNIVERSE : end;
            if (random_below(&random, 100) < adds)
                assert_int_equal(ranges_add(&r, first, end), set_all(map, first, end, true));
            else
                assert_int_equal(ranges_remove(&r, first, end), set_all(map, first, end, false));
            compare(&r, map, first, end);
        }
        ranges_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_become_one),
        cmocka_unit_test(sequences_in_the_set_are_not_counted_again),
        cmocka_unit_test(removing_cuts_ranges),
        cmocka_unit_test(empty_and_extreme_ranges_are_fine),
        cmocka_unit_test(has_count_next_and_gap_answer),
        cmocka_unit_test(a_sliding_window_stays_small),
        cmocka_unit_test(both_ends_cost_the_same_at_any_size),
        cmocka_unit_test(random_changes_agree_with_a_bitmap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
