/* The dedup window: examples, and a comparison with a plain list. */
#include "broker/core/publish/dedup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define FEW  (&(struct dedup_limits){ 3, 1000 })
#define MANY (&(struct dedup_limits){ 100000, 1000 })

static struct dedup window;

static int begin(void **state)
{
    (void)state;
    memset(&window, 0, sizeof window);
    window.key[0] = 7;
    return 0;
}

static int end(void **state)
{
    (void)state;
    dedup_free(&window);
    return 0;
}

static mono_t at_ms(int64_t ms)
{
    return (mono_t){ ms * MONO_MS };
}

static const uint8_t *hash_of(uint64_t name)
{
    static uint8_t hash[DEDUP_HASH_SIZE];
    memset(hash, 1, sizeof hash);
    memcpy(hash, &name, sizeof name);
    return hash;
}

static void enter_at(uint64_t name, uint64_t sequence, int64_t at, int64_t now, const struct dedup_limits *limits,
                     bool may_grow)
{
    struct dedup_entry e = { .sequence = sequence, .at = at_ms(at) };
    memcpy(e.hash, hash_of(name), sizeof e.hash);
    dedup_enter(&window, &e, at_ms(now), limits, may_grow);
    assert_true(dedup_validate(&window));
}

static void enter(uint64_t name, uint64_t sequence, int64_t now, const struct dedup_limits *limits)
{
    enter_at(name, sequence, now, now, limits, true);
}

static uint64_t find(uint64_t name, int64_t now, const struct dedup_limits *limits)
{
    return dedup_find(&window, hash_of(name), at_ms(now), limits);
}

static void what_was_entered_is_found_with_its_sequence(void **state)
{
    (void)state;
    assert_int_equal(dedup_memory(&window), 0);
    assert_int_equal(find('a', 0, MANY), 0);
    enter('a', 11, 0, MANY);
    enter('b', 12, 5, MANY);
    assert_int_equal(find('a', 5, MANY), 11);
    assert_int_equal(find('b', 5, MANY), 12);
    assert_int_equal(find('c', 5, MANY), 0);
    assert_true(dedup_memory(&window) > 0);
}

static void it_is_forgotten_when_its_time_is_over(void **state)
{
    (void)state;
    enter('a', 11, 0, MANY);
    assert_int_equal(find('a', 999, MANY), 11);
    assert_int_equal(find('a', 1000, MANY), 0);
    assert_int_equal(window.evicted, 0);
}

static void entered_anew_it_has_its_new_sequence_and_time(void **state)
{
    (void)state;
    enter('a', 11, 0, MANY);
    enter('b', 12, 500, MANY);
    enter('a', 13, 1000, MANY);
    assert_int_equal(find('a', 1999, MANY), 13);
    enter('c', 14, 1600, MANY); /* the older entries leave */
    assert_int_equal(dedup_count(&window), 2);
    assert_int_equal(find('a', 1999, MANY), 13);
    assert_int_equal(find('b', 1600, MANY), 0);
}

static void beyond_its_entries_the_oldest_leaves_early_and_is_counted(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 5; i++)
        enter('a' + i, i, 0, FEW);
    assert_int_equal(window.evicted, 2);
    assert_int_equal(find('a' + 2, 0, FEW), 0);
    assert_int_equal(find('a' + 3, 0, FEW), 3);
    assert_int_equal(dedup_count(&window), 3);
    enter('z', 6, 1000, FEW); /* now their time is over: none leaves early */
    assert_int_equal(window.evicted, 2);
    assert_int_equal(dedup_count(&window), 1);
}

static void fewer_entries_hold_from_the_next_on(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 100; i++)
        enter(i, i, 0, MANY);
    enter(101, 101, 0, FEW);
    assert_int_equal(dedup_count(&window), 3);
    assert_int_equal(find(99, 0, FEW), 99);
    assert_int_equal(window.evicted, 98);
}

static void a_window_of_no_time_keeps_and_finds_nothing(void **state)
{
    (void)state;
    const struct dedup_limits off = { 100, 0 };
    enter('a', 1, 0, &off);
    assert_int_equal(dedup_memory(&window), 0);
    enter('b', 2, 0, MANY);
    assert_int_equal(find('b', 0, &off), 0); /* switched off since */
    dedup_expire(&window, at_ms(0), &off);
    assert_int_equal(dedup_memory(&window), 0);
}

static void without_memory_to_be_had_the_oldest_leaves(void **state)
{
    (void)state;
    assert_true(dedup_growth(&window) > 0);
    enter_at('a', 1, 0, 0, MANY, false);
    assert_int_equal(find('a', 0, MANY), 0); /* there was no memory at all */
    assert_int_equal(window.evicted, 1);
    enter('b', 2, 0, MANY);
    for (uint64_t i = 3; dedup_growth(&window) == 0; i++)
        enter('b' + i, i, 0, MANY);
    uint64_t count = dedup_count(&window), memory = dedup_memory(&window);
    enter_at('z' + 1000, 1000, 0, 0, MANY, false);
    assert_int_equal(dedup_memory(&window), memory);
    assert_int_equal(dedup_count(&window), count);
    assert_int_equal(find('b', 0, MANY), 0);
    assert_int_equal(find('z' + 1000, 0, MANY), 1000);
}

static void memory_follows_need_in_both_directions(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 10000; i++)
        enter_at(i, i, (int64_t)i / 100, 100, MANY, true);
    uint64_t most = dedup_memory(&window);
    assert_true(most <= 16384 * 48);
    dedup_expire(&window, at_ms(1095), MANY);
    assert_true(dedup_validate(&window));
    assert_true(dedup_memory(&window) < most / 4);
    assert_int_equal(find(9999, 1095, MANY), 9999);
    dedup_expire(&window, at_ms(2000), MANY);
    assert_int_equal(dedup_memory(&window), 0);
    assert_int_equal(window.evicted, 0);
}

static void an_earlier_time_counts_as_no_earlier_than_the_one_before(void **state)
{
    (void)state;
    enter_at('a', 1, -200, 0, MANY, true);
    enter_at('b', 2, -500, 0, MANY, true);
    assert_int_equal(find('b', 799, MANY), 2);
    assert_int_equal(find('b', 800, MANY), 0);
    enter_at('c', 3, -1000, 0, MANY, true); /* over already */
    assert_int_equal(find('c', 0, MANY), 0);
}

/* ------------------------------------------------------------------ against a list */

#define NAMES 200u

struct model {
    uint64_t sequence[NAMES];
    int64_t at[NAMES];
};

static uint64_t chance(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + 1;
    return *random >> 33;
}

static void it_agrees_with_a_plain_list(void **state)
{
    (void)state;
    static struct model m;
    const struct dedup_limits limits = { 100000, 300 };
    uint64_t random = 1;
    int64_t now = 0;
    for (uint64_t i = 1; i <= 20000; i++) {
        uint64_t name = chance(&random) % NAMES;
        now += chance(&random) % 1000 == 0 ? 250 : (int64_t)(chance(&random) % 5);
        bool known = m.sequence[name] && now - m.at[name] < limits.window_ms;
        assert_int_equal(find(name, now, &limits), known ? m.sequence[name] : 0);
        if (!known) {
            enter(name, i, now, &limits);
            m.sequence[name] = i;
            m.at[name] = now;
        }
        if (chance(&random) % 500 == 0)
            dedup_expire(&window, at_ms(now), &limits);
    }
    assert_int_equal(window.evicted, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_entered_is_found_with_its_sequence, begin, end),
        cmocka_unit_test_setup_teardown(it_is_forgotten_when_its_time_is_over, begin, end),
        cmocka_unit_test_setup_teardown(entered_anew_it_has_its_new_sequence_and_time, begin, end),
        cmocka_unit_test_setup_teardown(beyond_its_entries_the_oldest_leaves_early_and_is_counted, begin, end),
        cmocka_unit_test_setup_teardown(fewer_entries_hold_from_the_next_on, begin, end),
        cmocka_unit_test_setup_teardown(a_window_of_no_time_keeps_and_finds_nothing, begin, end),
        cmocka_unit_test_setup_teardown(without_memory_to_be_had_the_oldest_leaves, begin, end),
        cmocka_unit_test_setup_teardown(memory_follows_need_in_both_directions, begin, end),
        cmocka_unit_test_setup_teardown(an_earlier_time_counts_as_no_earlier_than_the_one_before, begin, end),
        cmocka_unit_test_setup_teardown(it_agrees_with_a_plain_list, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
