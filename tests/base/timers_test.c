/* The timer heap, checked by readable traces and against a plain list. */
#include "base/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct named_timer {
    struct timer timer; /* first: a popped timer is its owner */
    char name;
};

/* Pops all timers that are due and writes their names. */
static const char *popped(struct timers *t, int64_t now_ns)
{
    static char trace[64];
    size_t size = 0;
    for (struct timer *timer; (timer = timers_pop(t, (mono_t){ now_ns })) != NULL && size < sizeof trace - 1;) {
        assert_false(timer_is_set(timer));
        assert_true(timers_validate(t));
        trace[size++] = ((struct named_timer *)timer)->name;
    }
    trace[size] = '\0';
    return trace;
}

static struct named_timer all[26];
static struct timers heap;

static int begin(void **state)
{
    (void)state;
    memset(all, 0, sizeof all);
    for (unsigned i = 0; i < 26; i++)
        all[i].name = (char)('a' + i);
    return 0;
}

static int end(void **state)
{
    (void)state;
    timers_free(&heap);
    return 0;
}

static void set(char name, int64_t due_ns)
{
    timers_set(&heap, &all[name - 'a'].timer, (mono_t){ due_ns });
    assert_true(timers_validate(&heap));
}

static void clear(char name)
{
    timers_clear(&heap, &all[name - 'a'].timer);
    assert_true(timers_validate(&heap));
}

static void timers_come_out_in_the_order_of_their_deadlines(void **state)
{
    (void)state;
    set('c', 30), set('a', 10), set('e', 50), set('b', 20), set('d', 40);
    assert_int_equal(timers_next(&heap).ns, 10);
    assert_string_equal(popped(&heap, 100), "abcde");
    assert_int_equal(timers_next(&heap).ns, INT64_MAX);
}

static void equal_deadlines_come_out_in_the_order_they_were_set(void **state)
{
    (void)state;
    for (char c = 'z'; c >= 'a'; c--)
        set(c, 7);
    assert_string_equal(popped(&heap, 7), "zyxwvutsrqponmlkjihgfedcba");
    set('a', 7), set('b', 7), set('c', 7), set('a', 7); /* setting a timer again puts it last */
    assert_string_equal(popped(&heap, 7), "bca");
}

static void nothing_comes_out_before_its_time(void **state)
{
    (void)state;
    set('a', 10), set('b', 20);
    assert_string_equal(popped(&heap, 9), "");
    assert_string_equal(popped(&heap, 10), "a");
    assert_string_equal(popped(&heap, 19), "");
    assert_true(timer_is_set(&all[1].timer));
    assert_string_equal(popped(&heap, 20), "b");
}

static void a_timer_moves_in_both_directions(void **state)
{
    (void)state;
    set('a', 10), set('b', 20), set('c', 30), set('d', 40);
    set('a', 35), set('d', 5);
    assert_int_equal(heap.count, 4);
    assert_string_equal(popped(&heap, 100), "dbca");
}

static void cleared_timers_do_not_come_out(void **state)
{
    (void)state;
    for (char c = 'a'; c <= 'g'; c++)
        set(c, c);
    clear('a'), clear('d'), clear('g');
    clear('g'); /* once more does nothing */
    clear('z'); /* never set */
    assert_false(timer_is_set(&all[0].timer));
    assert_string_equal(popped(&heap, 1000), "bcef");
}

static void never_clears(void **state)
{
    (void)state;
    set('a', 10), set('b', 20);
    timers_set(&heap, &all[0].timer, MONO_NEVER);
    timers_set(&heap, &all[2].timer, MONO_NEVER);
    assert_false(timer_is_set(&all[0].timer));
    assert_false(timer_is_set(&all[2].timer));
    assert_int_equal(heap.count, 1);
    assert_string_equal(popped(&heap, INT64_MAX), "b");
}

static void an_empty_heap_has_nothing_due(void **state)
{
    (void)state;
    assert_int_equal(timers_next(&heap).ns, INT64_MAX);
    assert_null(timers_pop(&heap, MONO_NEVER));
    assert_true(timers_validate(&heap));
}

static void validation_notices_a_broken_heap(void **state)
{
    (void)state;
    set('a', 10), set('b', 20), set('c', 30);
    all[0].timer.due.ns = 25;
    assert_false(timers_validate(&heap));
    all[0].timer.due.ns = 10;
    all[2].timer.slot = 1;
    assert_false(timers_validate(&heap));
    all[2].timer.slot = 3;
    assert_true(timers_validate(&heap));
}

#define MANY 500u

/* The earliest one that is set, found by a scan of all. */
static struct timer *earliest(struct timer *timers)
{
    struct timer *best = NULL;
    for (unsigned i = 0; i < MANY; i++) {
        struct timer *t = &timers[i];
        if (timer_is_set(t) &&
            (!best || t->due.ns < best->due.ns || (t->due.ns == best->due.ns && t->order < best->order)))
            best = t;
    }
    return best;
}

static void random_work_agrees_with_a_plain_list(void **state)
{
    (void)state;
    static struct timer timers[MANY];
    uint64_t random = 88172645463325252u;
    for (unsigned step = 0; step < 20000; step++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        struct timer *t = &timers[random % MANY];
        unsigned what = (unsigned)(random >> 32) % 8;
        if (what < 5) {
            timers_set(&heap, t, (mono_t){ (int64_t)((random >> 40) % 1000) }); /* few values: many ties */
        } else if (what < 7) {
            timers_clear(&heap, t);
        } else {
            struct timer *expected = earliest(timers);
            assert_ptr_equal(timers_pop(&heap, (mono_t){ 1000 }), expected);
        }
        if (step % 64 == 0)
            assert_true(timers_validate(&heap));
    }
    for (struct timer *expected; (expected = earliest(timers)) != NULL;)
        assert_ptr_equal(timers_pop(&heap, (mono_t){ 1000 }), expected);
    assert_int_equal(heap.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_come_out_in_the_order_of_their_deadlines, begin, end),
        cmocka_unit_test_setup_teardown(equal_deadlines_come_out_in_the_order_they_were_set, begin, end),
        cmocka_unit_test_setup_teardown(nothing_comes_out_before_its_time, begin, end),
        cmocka_unit_test_setup_teardown(a_timer_moves_in_both_directions, begin, end),
        cmocka_unit_test_setup_teardown(cleared_timers_do_not_come_out, begin, end),
        cmocka_unit_test_setup_teardown(never_clears, begin, end),
        cmocka_unit_test_setup_teardown(an_empty_heap_has_nothing_due, begin, end),
        cmocka_unit_test_setup_teardown(validation_notices_a_broken_heap, begin, end),
        cmocka_unit_test_setup_teardown(random_work_agrees_with_a_plain_list, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
