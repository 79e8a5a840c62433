/* The set of spilled sequences, compared with a plain array. */
#include "broker/core/partition/spill_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SPAN (4 * SPILL_PART)

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static void check(const struct spill_set *s, const bool *there, uint64_t base, uint64_t from)
{
    uint64_t first = 0, expected = from;
    while (expected < SPAN && !there[expected])
        expected++;
    assert_true(spill_set_next(s, base + from, &first) == (expected < SPAN));
    if (expected < SPAN)
        assert_int_equal(first, base + expected);
    assert_true(spill_set_has(s, base + from) == there[from]);
}

static void it_is_what_was_added_and_not_removed(void **state)
{
    (void)state;
    static bool there[SPAN];
    const uint64_t base = 7 * SPILL_PART + 11;
    struct spill_set s = { 0 };
    uint64_t seed = 1, count = 0;
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t at = next_random(&seed) % SPAN;
        if (i % 20000 < 10000 && !there[at]) {
            spill_set_add(&s, base + at);
            there[at] = true;
            count++;
        } else if (i % 20000 >= 10000 && there[at]) {
            spill_set_remove(&s, base + at);
            there[at] = false;
            count--;
        }
        assert_int_equal(s.events, count);
        check(&s, there, base, next_random(&seed) % SPAN);
        if (i % 5000 == 0)
            assert_true(spill_set_validate(&s));
    }
    uint64_t half = 0;
    for (uint64_t i = 100; i < SPAN / 2; i++)
        half += there[i];
    assert_int_equal(spill_set_count_in(&s, base + 100, base + SPAN / 2), half);
    spill_set_free(&s);
}

static void it_costs_what_its_ranges_cost_and_nothing_when_it_is_empty(void **state)
{
    (void)state;
    struct spill_set s = { 0 };
    uint64_t first;
    for (uint64_t i = 0; i < 100 * SPILL_PART; i++)
        spill_set_add(&s, i);
    assert_true(s.memory < 100 * 300);
    for (uint64_t i = 0; i < 99 * SPILL_PART; i++)
        spill_set_remove(&s, i);
    assert_true(spill_set_next(&s, 0, &first) && first == 99 * SPILL_PART);
    assert_true(spill_set_validate(&s));
    for (uint64_t i = 99 * SPILL_PART; i < 100 * SPILL_PART; i++)
        spill_set_remove(&s, i);
    assert_true(s.memory == 0 && s.events == 0 && !spill_set_next(&s, 0, &first));
    spill_set_add(&s, 5); /* far before where it was */
    assert_true(spill_set_has(&s, 5) && spill_set_validate(&s));
    spill_set_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_was_added_and_not_removed),
        cmocka_unit_test(it_costs_what_its_ranges_cost_and_nothing_when_it_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
