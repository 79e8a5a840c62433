/* The items of a queue: the ring, stragglers, gaps, and redelivery. There is no core; the test keeps the counts on
 * which the ring's length depends. */
#include "broker/core/queue/items.h"

#include "base/xalloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static int begin(void **state)
{
    struct queue *q = xcalloc(1, sizeof *q);
    q->next_sequence = q->base = q->next_ready = q->loaded = 1;
    *state = q;
    return 0;
}

static void leave(struct queue *q, uint64_t sequence);

static bool collect(void *ctx, uint64_t sequence, struct item *item)
{
    uint64_t **at = ctx;
    (void)item;
    *(*at)++ = sequence;
    return true;
}

static int end(void **state)
{
    struct queue *q = *state;
    uint64_t *all = xcalloc(queue_remaining(q) + 1, sizeof *all), *last = all;
    queue_each(q, 0, collect, &last);
    assert_int_equal(last - all, queue_remaining(q));
    for (uint64_t *s = all; s < last; s++)
        leave(q, *s);
    free(all);
    items_free(q);
    free(q);
    return 0;
}

/* Adds events at the tail; the size of each is its sequence, so that items can be told apart. */
static void add(struct queue *q, unsigned count)
{
    items_make_room(q, count);
    while (count--) {
        *item_at(q, q->loaded) = (struct item){ .state = ITEM_READY, .size = (uint32_t)q->loaded };
        q->loaded++;
        q->next_sequence = q->loaded;
        q->ready++;
    }
}

/* Delivers the next event and returns its sequence; 0: there is none. */
static uint64_t take(struct queue *q)
{
    uint64_t sequence;
    struct item *item = queue_next(q, &sequence);
    if (!item)
        return 0;
    assert_int_equal(item->size, sequence);
    item->state = ITEM_IN_FLIGHT;
    if (sequence == q->next_ready)
        q->next_ready++;
    else
        returned_pop(q);
    q->ready--;
    q->in_flight++;
    return sequence;
}

static void leave(struct queue *q, uint64_t sequence)
{
    struct item *item = queue_item(q, sequence);
    assert_non_null(item);
    assert_int_equal(item->size, sequence);
    --*(item->state == ITEM_READY ? &q->ready : &q->in_flight);
    item->state = ITEM_GONE;
    items_gone(q, sequence, item);
    assert_null(queue_item(q, sequence));
}

static void give_back(struct queue *q, uint64_t sequence)
{
    queue_item(q, sequence)->state = ITEM_READY;
    q->in_flight--;
    q->ready++;
    returned_push(q, sequence);
}

static uint64_t ring_length(const struct queue *q)
{
    return q->loaded - q->base;
}

/* ------------------------------------------------------------------ the ring */

static void items_come_in_order_and_leave_in_any(void **state)
{
    struct queue *q = *state;
    add(q, 5);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(take(q), i);
    assert_int_equal(take(q), 0);
    leave(q, 3);
    leave(q, 2);
    assert_int_equal(q->base, 1); /* its head has not left */
    leave(q, 1);
    assert_int_equal(q->base, 4);
    leave(q, 5);
    leave(q, 4);
    assert_int_equal(q->base, 6);
    assert_null(queue_item(q, 6)); /* not there yet */
    assert_null(queue_item(q, 1));
}

static void the_ring_wraps_and_grows_without_mixing_its_items(void **state)
{
    struct queue *q = *state;
    uint64_t oldest = 1;
    for (unsigned round = 1; round < 60; round++) {
        add(q, round);
        for (unsigned i = 0; i < round; i++)
            take(q);
        for (uint64_t s = oldest; s < q->loaded; s++)
            assert_int_equal(queue_item(q, s)->size, s);
        for (unsigned i = 0; i + 2 < round; i++)
            leave(q, oldest++);
    }
    assert_true(q->ring_capacity >= ring_length(q));
    assert_int_equal(q->ring_capacity & (q->ring_capacity - 1), 0);
}

static void a_ring_that_was_long_shrinks(void **state)
{
    struct queue *q = *state;
    add(q, 20000);
    uint32_t most = q->ring_capacity;
    for (uint64_t s = 1; s <= 20000; s++)
        leave(q, take(q));
    assert_true(q->ring_capacity < most / 8);
    add(q, 100);
    assert_int_equal(take(q), 20001);
}

/* ------------------------------------------------------------------ stragglers */

static void one_that_stays_does_not_hold_the_ring(void **state)
{
    struct queue *q = *state;
    add(q, 2);
    take(q);
    take(q);
    for (unsigned i = 0; i < 20000; i++) {
        add(q, 1);
        leave(q, take(q));
    }
    assert_true(ring_length(q) < 5000);
    assert_true(q->base > 2);
    assert_int_equal(queue_item(q, 1)->size, 1);
    give_back(q, 1);
    assert_int_equal(take(q), 1); /* at its old place, before all others */
    leave(q, 1);
    assert_int_equal(HASH_COUNT(q->stragglers), 1);
}

static void what_was_never_delivered_is_no_straggler(void **state)
{
    struct queue *q = *state;
    add(q, 20000);
    for (uint64_t s = 2; s <= 20000; s++)
        leave(q, s); /* purged, say: all but the first */
    assert_int_equal(q->base, 1);
    assert_int_equal(HASH_COUNT(q->stragglers), 0);
    assert_int_equal(take(q), 1);
}

/* ------------------------------------------------------------------ gaps */

static void a_narrow_gap_is_filled_with_nothing(void **state)
{
    struct queue *q = *state;
    add(q, 2);
    assert_true(items_may_skip_to(q, 1000));
    items_skip_to(q, 1000);
    add(q, 1);
    assert_int_equal(HASH_COUNT(q->stragglers), 0);
    assert_null(queue_item(q, 500));
    assert_int_equal(take(q), 1);
    assert_int_equal(take(q), 2);
    assert_int_equal(take(q), 1000);
    leave(q, 1);
    leave(q, 2);
    assert_int_equal(q->base, 1000);
}

static void a_wide_gap_leaves_what_is_in_flight_behind(void **state)
{
    struct queue *q = *state;
    add(q, 3);
    take(q);
    take(q);
    assert_false(items_may_skip_to(q, UINT64_C(1) << 40)); /* the third was not delivered yet */
    assert_int_equal(take(q), 3);
    leave(q, 2);
    assert_true(items_may_skip_to(q, UINT64_C(1) << 40));
    items_skip_to(q, UINT64_C(1) << 40);
    assert_int_equal(ring_length(q), 0);
    assert_int_equal(HASH_COUNT(q->stragglers), 2);
    assert_null(queue_item(q, 2));
    assert_int_equal(queue_item(q, 3)->size, 3);
    give_back(q, 3);
    assert_true(items_may_skip_to(q, UINT64_C(1) << 41)); /* redelivery does not depend on the ring */
    assert_int_equal(take(q), 3);
}

/* ------------------------------------------------------------------ delivered again */

static void what_comes_again_comes_first_and_in_order(void **state)
{
    struct queue *q = *state;
    add(q, 9);
    for (unsigned i = 0; i < 7; i++)
        take(q);
    static const uint64_t order[] = { 5, 2, 7, 3, 6 };
    for (unsigned i = 0; i < 5; i++)
        give_back(q, order[i]);
    leave(q, 3); /* settled by a receipt, say: its place in the heap is stale */
    static const uint64_t expected[] = { 2, 5, 6, 7, 8, 9, 0 };
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(take(q), expected[i]);
}

static void one_that_comes_again_twice_comes_once(void **state)
{
    struct queue *q = *state;
    add(q, 2);
    take(q);
    give_back(q, 1);
    returned_push(q, 1);
    assert_int_equal(take(q), 1);
    assert_int_equal(take(q), 2);
    assert_int_equal(take(q), 0);
}

/* ------------------------------------------------------------------ all of them */

static bool until_4(void *ctx, uint64_t sequence, struct item *item)
{
    collect(ctx, sequence, item);
    return sequence < 4;
}

static void each_is_visited_in_order_stragglers_first(void **state)
{
    struct queue *q = *state;
    uint64_t seen[16], *at = seen;
    add(q, 4);
    for (unsigned i = 0; i < 4; i++)
        take(q);
    leave(q, 3);
    items_skip_to(q, 1000000);
    add(q, 2);
    queue_each(q, 0, collect, &at);
    static const uint64_t all[] = { 1, 2, 4, 1000000, 1000001 };
    assert_int_equal(at - seen, 5);
    assert_memory_equal(seen, all, sizeof all);
    at = seen;
    queue_each(q, 2, until_4, &at);
    assert_int_equal(at - seen, 2);
    assert_true(seen[0] == 2 && seen[1] == 4);
    at = seen;
    queue_each(q, 1000001, collect, &at);
    assert_true(at - seen == 1 && seen[0] == 1000001);
}

/* The first of three stragglers is added last, as an event that was read back would be. */
static void the_oldest_and_all_are_found_among_stragglers_in_any_order(void **state)
{
    struct queue *q = *state;
    uint64_t seen[16], *at = seen, sum = 0;
    assert_null(queue_oldest(q));
    add(q, 3);
    assert_int_equal(queue_oldest(q)->size, 1);
    for (unsigned i = 0; i < 3; i++)
        take(q);
    items_skip_to(q, 1000000);
    add(q, 1);
    struct item first = *queue_item(q, 1);
    queue_item(q, 1)->state = ITEM_GONE;
    items_gone(q, 1, queue_item(q, 1));
    assert_int_equal(queue_oldest(q)->size, 2);
    items_place(q, 1, &first);
    assert_int_equal(q->stragglers->sequence, 2);
    assert_int_equal(queue_oldest(q)->size, 1);
    queue_all(q, collect, &at);
    assert_int_equal(at - seen, 4);
    while (at > seen)
        sum += *--at;
    assert_int_equal(sum, 1 + 2 + 3 + 1000000);
    at = seen;
    queue_all(q, until_4, &at);
    assert_true(at - seen == 4 && seen[3] == 1000000);
    assert_int_equal(q->stragglers->sequence, 2); /* nothing was sorted */
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        T(items_come_in_order_and_leave_in_any),
        T(the_ring_wraps_and_grows_without_mixing_its_items),
        T(a_ring_that_was_long_shrinks),
        T(one_that_stays_does_not_hold_the_ring),
        T(what_was_never_delivered_is_no_straggler),
        T(a_narrow_gap_is_filled_with_nothing),
        T(a_wide_gap_leaves_what_is_in_flight_behind),
        T(what_comes_again_comes_first_and_in_order),
        T(one_that_comes_again_twice_comes_once),
        T(each_is_visited_in_order_stragglers_first),
        T(the_oldest_and_all_are_found_among_stragglers_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
