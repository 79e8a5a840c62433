/* Time is given, not waited for; only the CPU time that the test itself uses is real. */
#include "base/one_thread.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#define PERIOD (100 * MONO_MS)

static bool next(bool one, int64_t share, uint64_t mean)
{
    return one_thread_next(one, PERIOD, PERIOD / 100 * share, (struct traffic){ 1000, 1000 * mean });
}

static void small_messages_are_best_on_one_thread(void **state)
{
    (void)state;
    assert_true(next(true, 50, 300));
    assert_true(next(false, 50, 300));
}

static void large_messages_are_best_on_two(void **state)
{
    (void)state;
    assert_false(next(true, 50, 40000));
    assert_false(next(false, 50, 40000));
}

static void in_between_it_stays_as_it_is(void **state)
{
    (void)state;
    assert_true(next(true, 50, 20000));
    assert_false(next(false, 50, 20000));
    assert_true(next(true, 80, 300));
    assert_false(next(false, 80, 300));
}

static void who_needs_more_than_a_processor_gets_two_threads(void **state)
{
    (void)state;
    assert_false(next(true, 95, 300));
    assert_false(next(false, 150, 300));
}

static void who_has_nothing_to_do_has_one(void **state)
{
    (void)state;
    assert_true(one_thread_next(false, PERIOD, 0, (struct traffic){ 0 }));
}

/* Uses that much CPU time. */
static void work(int64_t ms)
{
    struct timespec t, first;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &first);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    while ((t.tv_sec - first.tv_sec) * 1000 + (t.tv_nsec - first.tv_nsec) / 1000000 < ms);
}

static void it_is_decided_again_after_a_period(void **state)
{
    (void)state;
    struct one_thread o;
    one_thread_open(&o, (mono_t){ 0 });
    struct traffic t = { 100, 100 * 40000 };
    assert_true(one_thread_turn(&o, (mono_t){ 10 * MONO_MS }, t));
    assert_false(one_thread_turn(&o, (mono_t){ 60 * MONO_MS }, t));
    t = (struct traffic){ 200, t.bytes + 100 * 300 };
    assert_true(one_thread_turn(&o, (mono_t){ 1060 * MONO_MS }, t));
    work(100);
    t = (struct traffic){ 300, t.bytes + 100 * 300 };
    assert_false(one_thread_turn(&o, (mono_t){ 1160 * MONO_MS }, t));
}

static void who_is_not_taken_yet_tries_again_after_a_period(void **state)
{
    (void)state;
    struct one_thread o;
    one_thread_open(&o, (mono_t){ 0 });
    one_thread_not_now(&o);
    assert_false(one_thread_turn(&o, (mono_t){ 10 * MONO_MS }, (struct traffic){ 10, 3000 }));
    assert_true(one_thread_turn(&o, (mono_t){ 1060 * MONO_MS }, (struct traffic){ 100, 30000 }));
}

static void on_one_processor_there_is_always_one(void **state)
{
    (void)state;
    cpu_set_t all, one;
    struct one_thread o;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    one_thread_open(&o, (mono_t){ 0 });
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    one_thread_not_now(&o); /* the I/O thread is not there yet */
    assert_true(one_thread_turn(&o, (mono_t){ 60 * MONO_MS }, (struct traffic){ 100, 100 * 40000 }));
}

static void who_may_not_has_two(void **state)
{
    (void)state;
    struct one_thread o = { 0 };
    assert_false(one_thread_turn(&o, (mono_t){ 1000 * MONO_MS }, (struct traffic){ 100, 3000 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_messages_are_best_on_one_thread),
        cmocka_unit_test(large_messages_are_best_on_two),
        cmocka_unit_test(in_between_it_stays_as_it_is),
        cmocka_unit_test(who_needs_more_than_a_processor_gets_two_threads),
        cmocka_unit_test(who_has_nothing_to_do_has_one),
        cmocka_unit_test(it_is_decided_again_after_a_period),
        cmocka_unit_test(who_is_not_taken_yet_tries_again_after_a_period),
        cmocka_unit_test(on_one_processor_there_is_always_one),
        cmocka_unit_test(who_may_not_has_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
