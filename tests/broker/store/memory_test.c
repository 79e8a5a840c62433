/* The memory store: events are read back in lane form until they are settled, and then their memory is freed. */
#include "broker/store/store.h"

#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK_MOST (64u * 1024u)

static struct store *store;

static int begin(void **state)
{
    (void)state;
    store = store_memory_open();
    return store == NULL;
}

static int end(void **state)
{
    (void)state;
    store->ops->close(store);
    return 0;
}

/* An event and its queue. */
struct kept {
    uint32_t queue;
    uint64_t sequence;
    struct span event;
    store_locator locator;
};

static uint64_t memory(void)
{
    return store->ops->memory(store);
}

/* Appends one event of `size` bytes, all `fill`. */
static struct kept put(uint32_t queue, uint64_t sequence, size_t size, char fill)
{
    uint8_t *bytes = malloc(size + 1);
    uint64_t ticket = 99;
    memset(bytes, fill, size + 1);
    struct store_event one = { .event = span_of(bytes, size) };
    struct store_run run = { .queue = queue, .first = sequence, .events = &one, .count = 1, .keep = true };
    assert_int_equal(store->ops->append(store, &run, &ticket), STORE_OK);
    assert_int_equal(ticket, 0);
    assert_true(one.locator != 0);
    memset(bytes, '#', size + 1); /* the bytes were copied */
    free(bytes);
    return (struct kept){ queue, sequence, span_of(NULL, size), one.locator };
}

static struct span read_back(const struct kept *e)
{
    struct span lane = { 0 };
    store->ops->read(store, e->queue, e->locator, &lane);
    return lane;
}

static void assert_holds(const struct kept *e, char fill)
{
    struct span lane = read_back(e);
    struct wire_reader r = wire_open(lane);
    struct wire_field f = { 0 };
    assert_int_equal(lane.data[0], BATCH_EVENT_TAG);
    assert_true(wire_next(&r, &f));
    assert_true(wire_done(&r));
    assert_int_equal(f.bytes.size, e->event.size);
    for (size_t i = 0; i < f.bytes.size; i++)
        assert_int_equal(f.bytes.data[i], fill);
}

static void drop(const struct kept *e)
{
    store->ops->settle(store, e->queue, e->sequence, e->locator, (uint32_t)e->event.size, CAUSE_ACKED);
}

static void an_empty_store_holds_no_memory(void **state)
{
    (void)state;
    assert_int_equal(memory(), 0);
    store->ops->forget(store, 1); /* of a queue it never saw */
    assert_int_equal(memory(), 0);
}

static void each_append_and_each_settle_is_a_move(void **state)
{
    (void)state;
    uint64_t before = store_memory_moves(store);
    struct kept a = put(1, 1, 100, 'a'), b = put(2, 1, 70000, 'b');
    assert_int_equal(store_memory_moves(store), before + 2);
    (void)read_back(&a);
    (void)memory();
    assert_int_equal(store_memory_moves(store), before + 2);
    drop(&a);
    assert_int_equal(store_memory_moves(store), before + 3);
    store->ops->release(store, 2, b.locator);
    assert_int_equal(store_memory_moves(store), before + 4);
}

static void an_event_is_read_back_in_the_lanes_form(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 127, 128, 1000, 16383, 16384, 70000, 1u << 20 };
    struct kept events[sizeof sizes / sizeof *sizes];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        events[i] = put(1, i + 1, sizes[i], (char)('a' + i));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_holds(&events[i], (char)('a' + i));
        drop(&events[i]);
    }
}

/* So neighbours can go onto a lane by one copy. */
static void neighbours_are_contiguous(void **state)
{
    (void)state;
    struct kept events[100];
    unsigned apart = 0;
    for (unsigned i = 0; i < 100; i++)
        events[i] = put(1, i + 1, 200, 'x');
    for (unsigned i = 1; i < 100; i++) {
        struct span before = read_back(&events[i - 1]), after = read_back(&events[i]);
        apart += before.data + before.size != after.data;
    }
    assert_true(apart <= 5); /* where a block ended: 1, 2, 4, 8, 16 KiB */
    for (unsigned i = 0; i < 100; i++)
        drop(&events[i]);
}

static void a_run_is_taken_whole(void **state)
{
    (void)state;
    uint64_t ticket = 1;
    struct store_event events[] = { { .event = span_str("one") },
                                    { .event = span_str("two") },
                                    { .event = span_str("three") } };
    struct store_run run = { .queue = 1, .first = 1, .events = events, .count = 3, .keep = true };
    assert_int_equal(store->ops->append(store, &run, &ticket), STORE_OK);
    static const char *const lanes[] = { "\x2a\x03one", "\x2a\x03two", "\x2a\x05three" };
    for (unsigned i = 0; i < 3; i++) {
        struct kept e = { 1, i + 1, events[i].event, events[i].locator };
        assert_true(span_equal(read_back(&e), span_str(lanes[i])));
        drop(&e);
    }
    store->ops->forget(store, 1);
    assert_int_equal(memory(), 0);
}

/* Ten thousand quiet queues must not cost ten thousand big blocks; a busy one must not allocate per event. */
static void blocks_grow_with_the_queue_up_to_a_bound(void **state)
{
    (void)state;
    struct kept first = put(1, 1, 100, 'x');
    uint64_t quiet = memory();
    assert_true(quiet >= 1024 && quiet < 1200);
    static struct kept events[5000];
    uint64_t held = 0, changes = 0, most = 0;
    for (unsigned i = 0; i < 5000; i++) {
        uint64_t before = memory();
        events[i] = put(1, i + 2, 100, 'x');
        uint64_t grown = memory() - before;
        held += 102;
        changes += grown > 0;
        most = grown > most ? grown : most;
    }
    assert_true(changes <= 6 + held / (BLOCK_MOST - 1024));
    assert_true(most >= BLOCK_MOST && most < BLOCK_MOST + 64);
    assert_true(memory() <= held + held / 50 + 2 * BLOCK_MOST); /* the event's bytes, and the block being filled */
    for (unsigned i = 0; i < 5000; i++)
        drop(&events[i]);
    drop(&first);
    store->ops->forget(store, 1);
    assert_int_equal(memory(), 0);
}

static void a_block_goes_with_its_last_event(void **state)
{
    (void)state;
    static struct kept events[3000];
    for (unsigned i = 0; i < 3000; i++)
        events[i] = put(1, i + 1, 200, 'x');
    uint64_t full = memory(), before;
    for (unsigned i = 0; i < 1500; i++)
        drop(&events[i]);
    before = memory();
    assert_true(before <= full / 2 + 2 * BLOCK_MOST); /* two blocks are cut by the middle */
    assert_holds(&events[1500], 'x');
    for (unsigned i = 2999; i > 1500; i--)
        drop(&events[i]);
    assert_true(memory() <= 2 * BLOCK_MOST + 128); /* the straggler's block, and the open one */
    assert_holds(&events[1500], 'x');
    drop(&events[1500]);
    store->ops->forget(store, 1);
    assert_int_equal(memory(), 0);
}

static void a_big_event_has_a_block_of_its_own(void **state)
{
    (void)state;
    struct kept small = put(1, 1, 100, 's');
    uint64_t before = memory();
    struct kept big = put(1, 2, 500000, 'b');
    assert_true(memory() - before >= 500000 && memory() - before < 500000 + 128);
    uint64_t both = memory();
    struct kept next = put(1, 3, 100, 'n'); /* goes on in the small one's block */
    assert_int_equal(memory(), both);
    assert_holds(&small, 's');
    assert_holds(&next, 'n');
    drop(&big);
    assert_int_equal(memory(), before);
    drop(&small);
    drop(&next);
}

/* A queue that runs empty again and again fills the same small block. */
static void a_quiet_queue_stays_small(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        struct kept e = put(1, i + 1, 100, 'q');
        assert_holds(&e, 'q');
        drop(&e);
        assert_true(memory() < 1200);
    }
}

static void a_queue_that_was_busy_gives_its_big_block_back_when_it_is_empty(void **state)
{
    (void)state;
    static struct kept events[2000];
    for (unsigned i = 0; i < 2000; i++)
        events[i] = put(1, i + 1, 200, 'x');
    for (unsigned i = 0; i < 2000; i++)
        drop(&events[i]);
    assert_int_equal(memory(), 0);
    struct kept e = put(1, 2001, 10, 'y');
    assert_true(memory() <= BLOCK_MOST / 2 + 64);
    assert_holds(&e, 'y');
    drop(&e);
}

static void queues_do_not_share_blocks(void **state)
{
    (void)state;
    struct kept kept = put(1, 1, 50, 'k');
    uint64_t one = memory();
    struct kept e = put(2, 1, 50, 'e');
    assert_true(memory() > one);
    drop(&e);
    store->ops->forget(store, 2);
    store->ops->forget(store, 2); /* idempotent */
    assert_int_equal(memory(), one);
    assert_holds(&kept, 'k');
    drop(&kept);
}

/* Events come and go in random order: what is held is what was appended, and nothing is left at the end. */
static void random_comings_and_goings_leave_nothing(void **state)
{
    (void)state;
    enum { HELD = 500 };
    static struct kept held[HELD];
    static char fills[HELD];
    uint64_t random = 42;
    for (unsigned step = 0; step < 50000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned i = (unsigned)(random >> 33) % HELD;
        if (held[i].locator) {
            assert_holds(&held[i], fills[i]);
            drop(&held[i]);
            held[i].locator = 0;
        } else {
            fills[i] = (char)('a' + step % 26);
            size_t size = (random >> 20) % 64 == 0 ? 30000 : (random >> 20) % 700;
            held[i] = put(1 + i % 7, step + 1, size, fills[i]);
        }
    }
    for (unsigned i = 0; i < HELD; i++) {
        if (!held[i].locator)
            continue;
        assert_holds(&held[i], fills[i]);
        drop(&held[i]);
    }
    for (uint32_t queue = 1; queue <= 7; queue++)
        store->ops->forget(store, queue);
    assert_int_equal(memory(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
        T(an_empty_store_holds_no_memory),
        T(each_append_and_each_settle_is_a_move),
        T(an_event_is_read_back_in_the_lanes_form),
        T(neighbours_are_contiguous),
        T(a_run_is_taken_whole),
        T(blocks_grow_with_the_queue_up_to_a_bound),
        T(a_block_goes_with_its_last_event),
        T(a_big_event_has_a_block_of_its_own),
        T(a_quiet_queue_stays_small),
        T(a_queue_that_was_busy_gives_its_big_block_back_when_it_is_empty),
        T(queues_do_not_share_blocks),
        T(random_comings_and_goings_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
