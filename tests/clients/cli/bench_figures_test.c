/* The figures of sluice bench, computed from known times and counts. */
#include "clients/cli/bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SLOTS 1000u

/* Times of COUNT events that took 1 us, 2 us, ... in no order, each intended at another time; the rest has none. */
static struct bench_times times_of(unsigned long count)
{
    int64_t intended[SLOTS] = { 0 }, came[SLOTS] = { 0 };
    for (unsigned long i = 0; i < count; i++) {
        intended[i] = 5000000 + (int64_t)i * 7;
        came[i] = intended[i] + (int64_t)(i * 381 % count + 1) * 1000; /* 381 shares no factor with the counts below */
    }
    return bench_times_of(intended, came, SLOTS);
}

static void percentiles_are_of_all_measured_events(void **state)
{
    static const struct {
        unsigned long count;
        double p50, p99, p999;
    } cases[] = { { 0, 0, 0, 0 },      { 1, 1, 1, 1 },        { 2, 1, 1, 1 },
                  { 100, 50, 99, 99 }, { 101, 51, 100, 100 }, { 1000, 500, 990, 999 } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench_times t = times_of(cases[i].count);
        assert_true(t.p50 == cases[i].p50 && t.p99 == cases[i].p99 && t.p999 == cases[i].p999);
    }
}

static void a_time_has_both_ends_and_parts_of_a_microsecond(void **state)
{
    const int64_t intended[] = { 1000, 0, 1000, 2000 }, came[] = { 2500, 900000, 0, 3500 };
    (void)state;
    struct bench_times t = bench_times_of(intended, came, 4);
    assert_true(t.p50 == 1.5 && t.p99 == 1.5 && t.p999 == 1.5);
}

static void each_producer_s_events_come_once_and_ascending(void **state)
{
    static const struct {
        unsigned long events[6], repeated, disordered;
    } cases[] = {
        { { 0, 1, 2, 3, 4, 5 }, 0, 0 }, { { 0, 2, 4, 1, 3, 5 }, 0, 0 }, /* of two producers each has its own order */
        { { 0, 0, 2, 1, 3, 5 }, 1, 0 }, { { 0, 4, 6, 1, 3, 5 }, 0, 1 },
        { { 0, 4, 2, 4, 1, 3 }, 1, 1 }, { { 4, 2, 0, 1, 1, 1 }, 4, 1 },
    };
    const struct bench b = { .producers = 2 };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned long next[] = { 0, 1 };
        struct bench_result r = { 0 };
        for (size_t k = 0; k < 6; k++)
            bench_check(&b, next, cases[i].events[k], &r);
        assert_int_equal(r.repeated, cases[i].repeated);
        assert_int_equal(r.disordered, cases[i].disordered);
    }
}

static void an_event_is_due_by_its_number_at_the_rate_of_all_together(void **state)
{
    const struct bench slow = { .producers = 4, .rate = 2 }, quick = { .producers = 4, .rate = 1000000 };
    (void)state;
    assert_int_equal(bench_due(&slow, 77, 0), 77);
    assert_int_equal(bench_due(&slow, 77, 1), 77 + 500000000);
    assert_int_equal(bench_due(&slow, 77, 5), 77 + INT64_C(2500000000));
    assert_int_equal(bench_due(&quick, 77, 3), 77 + 3000);
}

static void the_figures_of_all_producers_are_added(void **state)
{
    const struct bench_producer producers[] = {
        { .confirmed = 10, .refused = 1, .disordered = 2, .error = 0, .ended = 50 },
        { .confirmed = 20, .refused = 3, .disordered = 4, .error = 9, .ended = 90 },
        { .confirmed = 40, .refused = 5, .disordered = 8, .error = 0, .ended = 70 },
    };
    (void)state;
    struct bench_producer sum = bench_sum(producers, 3), first = bench_sum(producers, 1);
    assert_int_equal(sum.confirmed, 70);
    assert_int_equal(sum.refused, 9);
    assert_int_equal(sum.disordered, 14);
    assert_int_equal(sum.error, 9);
    assert_int_equal(sum.ended, 90);
    assert_true(first.confirmed == 10 && first.refused == 1 && first.error == 0 && first.ended == 50);
}

static void the_run_lasts_until_the_last_event_is_consumed_or_confirmed(void **state)
{
    const int64_t start = 1000000000;
    const struct bench_producer early = { .ended = start + 500000000 }, late = { .ended = start + 2000000000 },
                                never = { 0 };
    const struct bench_result consumed = { .ended = start + 1500000000 }, nothing = { 0 };
    (void)state;
    assert_true(bench_seconds(start, &early, &consumed) == 1.5);
    assert_true(bench_seconds(start, &late, &consumed) == 2);
    assert_true(bench_seconds(start, &early, &nothing) == 0.5);
    assert_true(bench_seconds(start, &never, &nothing) == 0);
}

static void every_timed_event_has_a_slot_of_its_own(void **state)
{
    static const unsigned long events[] = { 1, 7, 16, 64, 200, 999 }, producers[] = { 1, 3, 4, 10 },
                               strides[] = { 1, 16 };
    (void)state;
    for (size_t i = 0; i < 6 * 4 * 2; i++) {
        const struct bench b = { .events = events[i % 6],
                                 .producers = producers[i / 6 % 4],
                                 .stride = strides[i / 24] };
        const struct bench_shared s = { .slots = bench_slots(&b) };
        bool used[2000] = { false };
        assert_in_range(s.slots, 1, 2000);
        for (unsigned long event = 0; event < b.events; event++) {
            unsigned long slot = bench_slot(&b, &s, event);
            bool timed = event / b.producers % b.stride == 0;
            assert_true(timed ? slot < s.slots && !used[slot] : slot == s.slots);
            used[timed ? slot : 0] = true;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_of_all_measured_events),
        cmocka_unit_test(a_time_has_both_ends_and_parts_of_a_microsecond),
        cmocka_unit_test(each_producer_s_events_come_once_and_ascending),
        cmocka_unit_test(an_event_is_due_by_its_number_at_the_rate_of_all_together),
        cmocka_unit_test(the_figures_of_all_producers_are_added),
        cmocka_unit_test(the_run_lasts_until_the_last_event_is_consumed_or_confirmed),
        cmocka_unit_test(every_timed_event_has_a_slot_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
