/* The heap of times: order by time and sequence, sweeps, and memory after a burst. */
#include "broker/core/queue/due.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void runs_come_out_by_time_and_by_sequence(void **state)
{
    (void)state;
    struct due d = { 0 };
    struct due_run run, last = { INT64_MIN, 0, 0 };
    uint64_t random = 1, in = 0, out = 0;
    for (uint64_t i = 1; i <= 5000; i++) {
        in += i;
        random = random * 6364136223846793005u + 1442695040888963407u;
        due_push(&d, &(struct due_run){ (int64_t)(random >> 55), 5001 - i, 1 });
        assert_true(i % 500 || due_validate(&d));
    }
    while (due_pop(&d, INT64_MAX, &run)) {
        assert_true(run.at > last.at || (run.at == last.at && run.first > last.first));
        out += run.first;
        last = run;
    }
    assert_true(in == out && due_next(&d) == INT64_MAX);
    assert_true(d.capacity <= 1024);
    due_free(&d);
}

static void nothing_comes_out_before_its_time(void **state)
{
    (void)state;
    struct due d = { 0 };
    struct due_run run;
    due_push(&d, &(struct due_run){ 10, 1, 3 });
    assert_false(due_pop(&d, 9, &run));
    assert_int_equal(due_next(&d), 10);
    assert_true(due_pop(&d, 10, &run) && run.first == 1 && run.count == 3);
    due_free(&d);
}

static bool is_even(void *context, const struct due_run *run)
{
    (void)context;
    return run->first % 2 == 0;
}

static void what_is_swept_is_gone_and_the_rest_in_order(void **state)
{
    (void)state;
    struct due d = { 0 };
    struct due_run run;
    for (uint64_t i = 0; i < 1000; i++)
        due_push(&d, &(struct due_run){ (int64_t)(i * 7919 % 1000), i, 1 });
    due_sweep(&d, is_even, NULL);
    assert_true(d.count == 500 && due_validate(&d));
    for (int64_t last = -1; due_pop(&d, INT64_MAX, &run); last = run.at)
        assert_true(run.first % 2 == 0 && run.at > last);
    due_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_come_out_by_time_and_by_sequence),
        cmocka_unit_test(nothing_comes_out_before_its_time),
        cmocka_unit_test(what_is_swept_is_gone_and_the_rest_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
