/* Tests of the checks of a load: if they let something pass, the bench would prove nothing. */
#include "tests/bench/load/load_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct load_options options = { .size = 64, .producers = 2, .publish = true, .consume = true };

static void see(struct load_seen *seen, uint32_t producer, uint64_t nth)
{
    char data[64] = { 0 };
    memcpy(data, &(struct load_head){ LOAD_MAGIC, producer, nth, 7 }, sizeof(struct load_head));
    const struct load_head *head = load_check(seen, &options, data, sizeof data);
    assert_non_null(head);
    assert_int_equal(head->intended, 7);
}

static void each_producer_has_an_order_of_its_own(void **state)
{
    uint64_t next[2] = { 0 };
    struct load_seen seen = { .next = next };
    (void)state;
    see(&seen, 1, 0);
    see(&seen, 0, 0);
    see(&seen, 0, 1);
    see(&seen, 1, 1);
    assert_true(seen.consumed == 4 && !seen.repeated && !seen.disordered && !seen.foreign);
}

static void what_is_lost_doubled_or_foreign_is_counted(void **state)
{
    uint64_t next[2] = { 0 };
    struct load_seen seen = { .next = next };
    (void)state;
    see(&seen, 0, 0);
    see(&seen, 0, 2);
    assert_int_equal(seen.disordered, 1);
    see(&seen, 0, 1);
    assert_int_equal(seen.repeated, 1);
    assert_null(load_check(&seen, &options, "of another size", 15));
    assert_null(load_check(&seen, &options, (char[64]){ 0 }, 64));
    assert_int_equal(seen.foreign, 2);
    assert_int_equal(seen.consumed, 3);
}

static int report(unsigned long published, unsigned long confirmed, unsigned long consumed, const char *error)
{
    static struct load_side sides[3];
    uint64_t next[2] = { 0 };
    struct load_seen seen = { .consumed = consumed, .next = next };
    memset(sides, 0, sizeof sides);
    sides[0].published = published / 2;
    sides[1].published = published - published / 2;
    sides[0].confirmed = confirmed / 2;
    sides[1].confirmed = confirmed - confirmed / 2;
    snprintf(sides[1].error, sizeof sides[1].error, "%s", error);
    return load_report(&options, sides, &seen, 1);
}

static void a_run_is_fine_only_when_all_counts_agree(void **state)
{
    (void)state;
    assert_int_equal(report(10, 10, 10, ""), 0);
    assert_int_equal(report(10, 9, 10, ""), 1);
    assert_int_equal(report(10, 10, 9, ""), 1);
    assert_int_equal(report(10, 10, 11, ""), 1);
    assert_int_equal(report(0, 0, 0, ""), 1);
    assert_int_equal(report(10, 10, 10, "it broke"), 1);
}

static void percentiles_are_within_a_percent(void **state)
{
    static struct times t, sum;
    (void)state;
    assert_true(times_at(&t, 0.5) == 0);
    for (int64_t us = 1; us <= 100000; us++)
        times_add(&t, us * 1000);
    times_merge(&sum, &t);
    for (unsigned i = 1; i < 1000; i++) {
        double part = i / 1000.0, expected = part * 100000, found = times_at(&sum, part);
        assert_true(found > expected * 0.99 && found < expected * 1.01 + 1);
    }
    times_add(&t, 3600000000000); /* an hour fits, too */
    assert_true(times_at(&t, 0.9999999) > 3.5e9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_producer_has_an_order_of_its_own),
        cmocka_unit_test(what_is_lost_doubled_or_foreign_is_counted),
        cmocka_unit_test(a_run_is_fine_only_when_all_counts_agree),
        cmocka_unit_test(percentiles_are_within_a_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
