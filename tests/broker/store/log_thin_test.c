/* The log at its budget, when live events are spread over segments that are more than half full of them. Moving them
 * gains room, once nothing else does. On a disk with room they stay where they are. */
#include "broker/store/log_move.h"
#include "tests/broker/store/cramped_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define BIG 400u

static void fill_with_big_ones(void)
{
    for (uint32_t i = 0; i < 100 && model_append(&m, &m.queues[i % QUEUES], 1, BIG, false); i++)
        model_turn(&m, 5, UINT64_MAX);
    model_quiet(&m);
}

static void settle_one_in(const struct segment *segment)
{
    for (uint32_t i = 0; i < QUEUES; i++) {
        const struct log_queue *q = log_queue_of(log_now(), m.queues[i].id, false);
        for (const struct extent *x = q->extents; x < q->extents + q->extent_count; x++) {
            if (x->segment == segment) {
                model_settle(&m, &m.queues[i], ranges_next_gap(&q->settled, x->first), CAUSE_ACKED);
                return;
            }
        }
    }
}

/* Settles so many events of each full segment. */
static void thin_out(unsigned events)
{
    for (unsigned e = 0; e < events; e++) {
        for (uint32_t i = 0; i + 1 < log_now()->segment_count; i++)
            settle_one_in(log_now()->segments[i]);
    }
    model_turn(&m, 5, UINT64_MAX);
}

static uint64_t moved(void)
{
    return model_info(&m).moved_events;
}

static void pass(unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 2; i++)
        model_turn(&m, 500, UINT64_MAX);
}

static void assert_no_segment_is_half_dead(void)
{
    for (uint32_t i = 0; i + 1 < log_now()->segment_count; i++)
        assert_true(plan_wanted(log_now()->segments[i]) * 2 > SEGMENT);
}

static void segments_that_are_more_than_half_live_are_emptied_for_room(void **state)
{
    (void)state;
    open_log(1, LOG_SYNC_GROUP, 6);
    fill_with_big_ones();
    thin_out(5);
    assert_no_segment_is_half_dead();
    assert_false(model_append(&m, &m.queues[0], 1, BIG, false));
    pass(30);
    assert_true(moved() > 0);
    assert_true(model_append(&m, &m.queues[0], 1, BIG, false));
    model_restart(&m, MODEL_CRASH);
}

/* Each move gains room, until no further move would. */
static void without_settlements_the_moves_come_to_an_end(void **state)
{
    (void)state;
    open_log(2, LOG_SYNC_GROUP, 6);
    fill_with_big_ones();
    thin_out(5);
    pass(60);
    uint64_t before = moved(), checkpoints = model_info(&m).checkpoints;
    pass(300);
    assert_int_equal(moved(), before);
    assert_int_equal(model_info(&m).checkpoints, checkpoints);
}

/* They become free by themselves, or at least less than half live. */
static void segments_that_are_being_settled_are_left_alone(void **state)
{
    (void)state;
    open_log(3, LOG_SYNC_GROUP, 6);
    fill_with_big_ones();
    thin_out(3);
    for (unsigned turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i + 1 < log_now()->segment_count; i++)
            settle_one_in(log_now()->segments[i]);
        model_turn(&m, 900, UINT64_MAX);
        for (unsigned i = 0; i < 10; i++)
            model_turn(&m, 1, UINT64_MAX);
        assert_no_segment_is_half_dead();
        assert_int_equal(moved(), 0);
    }
    pass(5);
    assert_true(moved() > 0);
}

static void nothing_is_moved_while_there_is_room(void **state)
{
    (void)state;
    open_log(4, LOG_SYNC_GROUP, 1000);
    fill_with_big_ones();
    thin_out(5);
    pass(30);
    assert_int_equal(moved(), 0);
}

/* The active segment is full of notes and has one live event, and one spare is left. The spare is for moves: so the
 * segment is sealed, emptied into the spare and freed. */
static void the_active_segment_is_emptied_into_the_last_spare(void **state)
{
    (void)state;
    open_log(5, LOG_SYNC_GROUP, 6);
    fill_with_big_ones();
    for (unsigned i = 0; i < 3000 && (log_now()->spares > 1 || group_room(log_now()) > 0); i++) {
        model_note(&m);
        if (log_now()->spares == 1 && segment_active(log_now())->live_events == 0)
            model_append(&m, &m.queues[0], 1, BIG, false);
        model_turn(&m, 1, UINT64_MAX);
    }
    assert_int_equal(log_now()->spares, 1);
    assert_int_equal(segment_active(log_now())->live_events, 1);
    assert_false(model_append(&m, &m.queues[0], 1, BIG, false));
    model_quiet(&m);
    pass(5);
    assert_true(model_append(&m, &m.queues[0], 1, BIG, false));
    model_restart(&m, MODEL_CRASH);
}

static void note_until(uint32_t spares)
{
    while (log_now()->spares > spares) {
        model_note(&m);
        model_turn(&m, 1, UINT64_MAX);
    }
}

/* One spare is left, which is for moves, and so many notes are in the segment before it. */
static void leave_one_spare(unsigned notes)
{
    fill();
    note_until(1);
    for (unsigned i = 0; i < notes; i++) {
        model_note(&m);
        model_turn(&m, 1, UINT64_MAX);
    }
    model_quiet(&m);
    assert_int_equal(log_now()->spares, 1);
}

/* The disk stands still for a while, at any time after a segment was chosen to be emptied, and notes come. If the
 * notes and the moves do not fit into the last spare together, the notes must not take a place there: with one half
 * of the segment moved and the other half where it was, there would never be room again. */
static void moves_find_their_place_whatever_waits_before_them(void **state)
{
    (void)state;
    uint64_t carried = 0, emptied = 0;
    for (unsigned i = 0; i < 400; i++) {
        open_log(6, LOG_SYNC_GROUP, 5);
        leave_one_spare(60 + i % 5 * 30);
        while (!log_now()->moving) {
            settle_one_in(log_now()->segments[0]);
            model_turn(&m, 5, 1);
        }
        for (unsigned turns = i / 5 % 8; turns; turns--)
            model_turn(&m, 1, 1);
        stall(80 + i / 40 * 20);
        pass(10);
        assert_true(log_now()->spares > 0);
        assert_true(model_append(&m, &m.queues[0], 1, 100, false));
        carried += log_now()->carried;
        emptied += moved() > 0;
        model_restart(&m, MODEL_CRASH);
        model_end(&m);
    }
    open_log(6, LOG_SYNC_GROUP, 5);
    assert_true(carried > 0 && emptied > 30);
}

/* A large note, as the core writes when it has much to say; the model does not know of it. */
static void note_much(size_t size)
{
    static const uint8_t much[40000];
    uint64_t ticket;
    assert_int_equal(m.log->ops->note(m.log, span_of(much, size), &ticket), STORE_LATER);
}

/* One spare is left, and there is hardly any room before it. */
static void fill_large_segments(uint64_t seed, uint64_t size)
{
    model_begin(&m, seed, size, LOG_SYNC_GROUP);
    model_new_queues(&m, QUEUES);
    model_shut(&m, MODEL_KILL);
    m.config.disk_budget = 5 * size + 4096;
    model_open(&m, MODEL_KILL);
    for (uint32_t i = 0; model_append(&m, &m.queues[i % QUEUES], 1, 6000, false); i++)
        model_turn(&m, 5, UINT64_MAX);
    while (log_now()->spares > 1 || group_has_place(log_now(), size / 8)) {
        note_much(40000);
        model_turn(&m, 1, UINT64_MAX);
        if (log_now()->spares == 1 && segment_active(log_now())->size > size * 7 / 8)
            break;
    }
}

/* A segment is moved in several parts. The disk stands still in between, and notes come. */
static void moves_in_parts_find_their_place(void **state)
{
    (void)state;
    uint64_t size = 4u << 20;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        fill_large_segments(seed, size);
        const struct segment *first = log_now()->segments[0];
        while (first->live_bytes > size * 3 / 8)
            settle_one_in(first);
        for (unsigned i = 0; i < 400 && !(log_now()->spares == 0 && log_now()->moving); i++)
            model_turn(&m, 500, 1);
        uint64_t parts = moved();
        assert_true(parts > 0 && log_now()->spares == 0);
        for (uint64_t i = 60 + seed * 2; i; i--) {
            note_much(40000);
            model_turn(&m, 1, 0);
        }
        pass(10);
        assert_true(moved() > parts && log_now()->spares > 0);
        assert_true(model_append(&m, &m.queues[0], 1, 6000, false));
        model_end(&m);
    }
    open_log(6, LOG_SYNC_GROUP, 5);
}

/* The segment before the last spare is full of runs of which every second event is settled: moved one by one, the
 * rest takes more than three quarters of a segment. */
static void fill_with_what_grows(void)
{
    open_log(7, LOG_SYNC_GROUP, 5);
    fill_with_big_ones();
    thin_out(3);
    note_until(1);
    uint64_t first = m.queues[0].next;
    while (model_append(&m, &m.queues[0], 8, 62, false))
        model_turn(&m, 1, UINT64_MAX);
    for (uint64_t s = first; s < m.queues[0].next; s++) {
        if ((s - first) % 9 % 2 == 0)
            model_settle(&m, &m.queues[0], s, CAUSE_ACKED);
    }
}

/* Of the oldest segment one event is left. */
static void settle_the_oldest(void)
{
    const struct segment *oldest = log_now()->segments[0];
    while (oldest->live_events > 1)
        settle_one_in(oldest);
}

static void assert_there_is_room_again(void)
{
    pass(10);
    assert_true(log_now()->spares > 0);
    assert_true(model_append(&m, &m.queues[0], 1, 100, false));
    model_restart(&m, MODEL_CRASH);
}

/* A start has begun the last segment, and a note is the first in it. The segment that would be emptied first finds no
 * place beside it; another one does. */
static void a_segment_without_a_place_for_its_moves_does_not_block_others(void **state)
{
    (void)state;
    fill_with_what_grows();
    model_turn(&m, 100, UINT64_MAX);
    model_restart(&m, MODEL_KILL);
    assert_int_equal(log_now()->spares, 0);
    note_much(1800);
    assert_there_is_room_again();
}

/* Notes may take a quarter of the last spare before the moves do. */
static void the_active_segment_is_not_sealed_unless_its_moves_fit_into_the_last_spare(void **state)
{
    (void)state;
    fill_with_what_grows();
    for (unsigned i = 0; i < 1000; i++) {
        model_turn(&m, 1, 1);
        if (i % 20 == 0)
            model_note(&m);
        assert_int_equal(log_now()->spares, 1);
    }
    settle_the_oldest();
    assert_there_is_room_again();
}

#define with_log(test) cmocka_unit_test_teardown(test, cramped_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(segments_that_are_more_than_half_live_are_emptied_for_room),
        with_log(without_settlements_the_moves_come_to_an_end),
        with_log(segments_that_are_being_settled_are_left_alone),
        with_log(nothing_is_moved_while_there_is_room),
        with_log(the_active_segment_is_emptied_into_the_last_spare),
        with_log(moves_find_their_place_whatever_waits_before_them),
        with_log(moves_in_parts_find_their_place),
        with_log(a_segment_without_a_place_for_its_moves_does_not_block_others),
        with_log(the_active_segment_is_not_sealed_unless_its_moves_fit_into_the_last_spare),
    };
    return cmocka_run_group_tests_name("log_thin", tests, NULL, NULL);
}
