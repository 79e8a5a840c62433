/* Time is given, not waited for; only the CPU time that the test itself uses is real. */
#include "base/same_cpu.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct other {
    pthread_t thread;
    pthread_barrier_t named, end;
    struct same_cpu cpu;
    mono_t now;
};

static void *other_thread(void *arg)
{
    struct other *o = arg;
    pthread_setname_np(pthread_self(), "the other");
    pthread_barrier_wait(&o->named);
    pthread_barrier_wait(&o->end);
    return NULL;
}

static int start(void **state)
{
    static struct other o;
    o = (struct other){ .now = { 1000 } };
    pthread_barrier_init(&o.named, NULL, 2);
    pthread_barrier_init(&o.end, NULL, 2);
    pthread_create(&o.thread, NULL, other_thread, &o);
    pthread_barrier_wait(&o.named);
    *state = &o;
    return 0;
}

static int stop(void **state)
{
    struct other *o = *state;
    if (o->cpu.other)
        sched_setaffinity(0, sizeof o->cpu.allowed, &o->cpu.allowed);
    pthread_barrier_wait(&o->end);
    pthread_join(o->thread, NULL);
    pthread_barrier_destroy(&o->named);
    pthread_barrier_destroy(&o->end);
    return 0;
}

static cpu_set_t allowed(int thread)
{
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(thread, sizeof set, &set), 0);
    return set;
}

static void begin(struct other *o)
{
    int thread = same_cpu_find("the other");
    assert_int_not_equal(thread, 0);
    same_cpu_open(&o->cpu, thread, o->now);
    if (!o->cpu.other)
        skip(); /* one processor */
}

/* A turn after so much time, of which this thread used `busy`. */
static void turn(struct other *o, int64_t ms, int64_t busy)
{
    struct timespec t, first;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &first);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while ((t.tv_sec - first.tv_sec) * 1000 + (t.tv_nsec - first.tv_nsec) / 1000000 < busy);
    o->now = mono_add_ms(o->now, ms);
    same_cpu_turn(&o->cpu, o->now);
}

static void expect_together(struct other *o, bool together)
{
    cpu_set_t mine = allowed(0), its = allowed(o->cpu.other);
    assert_true(CPU_EQUAL(&mine, &its));
    assert_int_equal(CPU_COUNT(&mine) == 1, together);
    if (!together)
        assert_true(CPU_EQUAL(&mine, &o->cpu.allowed));
}

static void a_thread_is_found_by_its_whole_name(void **state)
{
    (void)state;
    assert_int_not_equal(same_cpu_find("the other"), 0);
    assert_int_equal(same_cpu_find("the othe"), 0);
    assert_int_equal(same_cpu_find("the other one"), 0);
}

static void a_loop_that_mostly_waits_shares_a_cpu_with_the_thread(void **state)
{
    struct other *o = *state;
    begin(o);
    expect_together(o, false);
    turn(o, 1, 0);
    expect_together(o, true);
}

static void a_pause_sets_both_free_until_the_next_turn(void **state)
{
    struct other *o = *state;
    begin(o);
    turn(o, 1, 0);
    same_cpu_pause(&o->cpu);
    expect_together(o, false);
    turn(o, 1, 0);
    expect_together(o, true);
    struct same_cpu unused = { 0 };
    same_cpu_pause(&unused);
}

static void after_a_pause_the_kernel_chooses_the_cpu_anew(void **state)
{
    struct other *o = *state;
    begin(o);
    turn(o, 1, 0);
    turn(o, 100000, 0);
    expect_together(o, false);
    turn(o, 1, 0);
    expect_together(o, true);
}

static void a_busy_loop_is_set_free_and_shares_again_when_idle(void **state)
{
    struct other *o = *state;
    begin(o);
    turn(o, 1, 0);
    turn(o, 100, 130); /* the kernel brings its figures up to date at each tick */
    expect_together(o, false);
    turn(o, 1, 1);
    expect_together(o, false);
    turn(o, 100000, 0); /* nothing to do for a while */
    turn(o, 1, 0);
    expect_together(o, true);
}

#define PASSED 1000

/* Of PASSED. */
static struct same_cpu_stretch stretch(int64_t used, int64_t waited, int64_t starts)
{
    return (struct same_cpu_stretch){ used, waited, starts };
}

static void expect_next(enum same_cpu_place place, struct same_cpu_stretch now, bool settled, enum same_cpu_place next)
{
    struct same_cpu_stretch before = stretch(400, 600, 10);
    assert_int_equal(same_cpu_next(place, &now, PASSED, &before, settled), next);
}

static void a_processor_each_is_for_those_who_need_most_of_one(void **state)
{
    (void)state;
    expect_next(SAME_CPU_TOGETHER, stretch(949, 0, 10), false, SAME_CPU_PLACING);
    expect_next(SAME_CPU_TOGETHER, stretch(950, 0, 10), false, SAME_CPU_BUSY);
    expect_next(SAME_CPU_BUSY, stretch(850, 0, 10), false, SAME_CPU_BUSY);
    expect_next(SAME_CPU_BUSY, stretch(849, 0, 10), false, SAME_CPU_PLACING);
    expect_next(SAME_CPU_BUSY, stretch(849, 0, 10), true, SAME_CPU_PLACING);
}

static void waiting_for_each_other_is_no_reason_for_a_trial(void **state)
{
    (void)state;
    expect_next(SAME_CPU_TOGETHER, stretch(400, 420, 10), false, SAME_CPU_PLACING);
    expect_next(SAME_CPU_TOGETHER, stretch(400, 421, 10), false, SAME_CPU_TRIAL);
    expect_next(SAME_CPU_TOGETHER, stretch(400, 421, 10), true, SAME_CPU_PLACING);
}

static void threads_stay_apart_if_a_start_then_waits_less_than_half_as_long(void **state)
{
    (void)state;
    expect_next(SAME_CPU_TRIAL, stretch(400, 300, 10), false, SAME_CPU_PLACING);
    expect_next(SAME_CPU_TRIAL, stretch(400, 299, 10), false, SAME_CPU_APART);
    expect_next(SAME_CPU_TRIAL, stretch(400, 599, 20), false, SAME_CPU_APART);
    expect_next(SAME_CPU_TRIAL, stretch(400, 100, 3), false, SAME_CPU_PLACING);
}

static void nothing_is_learned_from_a_trial_in_which_nothing_happened(void **state)
{
    (void)state;
    expect_next(SAME_CPU_TRIAL, stretch(0, 0, 0), false, SAME_CPU_PLACING);
}

static void the_result_of_a_trial_holds_for_a_while(void **state)
{
    (void)state;
    expect_next(SAME_CPU_APART, stretch(400, 300, 10), true, SAME_CPU_APART);
    expect_next(SAME_CPU_APART, stretch(400, 300, 10), false, SAME_CPU_PLACING);
}

static void without_another_thread_nothing_is_pinned(void **state)
{
    struct other *o = *state;
    same_cpu_open(&o->cpu, 0, o->now);
    cpu_set_t before = allowed(0);
    turn(o, 100, 0);
    turn(o, 100, 0);
    cpu_set_t after = allowed(0);
    assert_true(CPU_EQUAL(&before, &after));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pause_sets_both_free_until_the_next_turn),
        TEST(a_thread_is_found_by_its_whole_name),
        TEST(a_loop_that_mostly_waits_shares_a_cpu_with_the_thread),
        TEST(after_a_pause_the_kernel_chooses_the_cpu_anew),
        TEST(a_busy_loop_is_set_free_and_shares_again_when_idle),
        TEST(a_processor_each_is_for_those_who_need_most_of_one),
        TEST(waiting_for_each_other_is_no_reason_for_a_trial),
        TEST(threads_stay_apart_if_a_start_then_waits_less_than_half_as_long),
        TEST(nothing_is_learned_from_a_trial_in_which_nothing_happened),
        TEST(the_result_of_a_trial_holds_for_a_while),
        TEST(without_another_thread_nothing_is_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
