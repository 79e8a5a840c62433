/* The log at its budget, with its reserve full of settlements, notes and moves, which are never refused: it goes on,
 * and gets its room back. */
#include "broker/store/log_move.h"
#include "tests/broker/store/cramped_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Without a budget the disk is the limit, and a checkpoint needs room there as segments do. */
static void groups_are_carried_on_a_full_disk_too(void **state)
{
    (void)state;
    for (uint64_t more = 200; more < SEGMENT; more += 700) {
        open_log_on_small_disk(more, LOG_SYNC_GROUP, 6 * SEGMENT + more);
        fill();
        stall(2000);
        goes_on();
        assert_true(log_now()->carried > 1);
        model_restart(&m, MODEL_CRASH);
        fill();
        model_end(&m);
    }
    open_log(1, LOG_SYNC_GROUP, 6);
}

static void what_came_while_the_disk_stood_still(enum log_sync sync, enum model_end how)
{
    open_log(1, sync, 6);
    fill();
    stall(2000);
    goes_on();
    assert_true(log_now()->carried > 1);
    model_restart(&m, how);
    fill();
    model_end(&m);
}

static void notes_that_filled_the_reserve_are_carried(void **state)
{
    (void)state;
    what_came_while_the_disk_stood_still(LOG_SYNC_GROUP, MODEL_CRASH);
    what_came_while_the_disk_stood_still(LOG_SYNC_GROUP, MODEL_STOP);
    what_came_while_the_disk_stood_still(LOG_SYNC_INTERVAL, MODEL_CRASH);
    what_came_while_the_disk_stood_still(LOG_SYNC_NONE, MODEL_KILL);
    open_log(1, LOG_SYNC_GROUP, 6); /* for the end */
}

/* Notes, and events whenever they are admitted: so there are events in the reserve's segments beside the notes. */
static void notes_beside_events_in_the_reserve_are_carried(void **state)
{
    (void)state;
    open_log(2, LOG_SYNC_GROUP, 6);
    fill();
    for (unsigned i = 0; i < 4000; i++) {
        model_note(&m);
        model_turn(&m, 1, UINT64_MAX);
        if (i % 50 == 0)
            model_append(&m, &m.queues[0], 1, 100, false);
    }
    goes_on();
    model_restart(&m, MODEL_CRASH);
}

/* Ends the log at every step between the stall and rest, whatever is durable by then. */
static void a_crash_finds_the_carried_or_the_written(enum model_end how)
{
    uint64_t carried = 0;
    for (unsigned steps = 0; steps < 60; steps++) {
        open_log(3 + steps, LOG_SYNC_GROUP, 6);
        fill();
        stall(1200);
        for (unsigned i = 0; i < steps; i++)
            model_turn(&m, i % 7 == 0 ? 500 : 1, 1);
        carried += log_now()->carried;
        model_restart(&m, how);
        goes_on();
        model_restart(&m, how);
        model_end(&m);
    }
    open_log(3, LOG_SYNC_GROUP, 6);
    assert_true(carried > 0);
}

static void a_crash_of_the_machine_loses_nothing(void **state)
{
    (void)state;
    a_crash_finds_the_carried_or_the_written(MODEL_CRASH);
}

static void an_end_of_the_process_loses_nothing(void **state)
{
    (void)state;
    a_crash_finds_the_carried_or_the_written(MODEL_KILL);
}

/* A start seals the last segment early: there is little in it, but its file takes as much as any. */
static void segments_sealed_by_starts_give_their_room_back(void **state)
{
    (void)state;
    open_log(4, LOG_SYNC_GROUP, 6);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = 0; k < 5; k++)
            assert_true(model_append(&m, &m.queues[0], 1, 100, false));
        model_quiet(&m);
        for (unsigned k = 0; k < 4; k++)
            model_settle(&m, &m.queues[0], m.queues[0].next - 1 - k, CAUSE_ACKED);
        model_quiet(&m);
        model_restart(&m, MODEL_KILL);
    }
    for (int i = 0; i < 20; i++)
        model_turn(&m, 1000, UINT64_MAX);
    assert_int_equal(m.queues[0].live, 4);
    assert_int_equal(log_now()->spares, SPARES);
}

/* Each segment has a few events, all of them live. */
static void segments_of_many_starts_become_one(void **state)
{
    (void)state;
    open_log(5, LOG_SYNC_GROUP, 6);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(model_append(&m, &m.queues[i % QUEUES], 1, 100, false));
        model_quiet(&m);
        model_restart(&m, MODEL_KILL);
    }
    for (int i = 0; i < 30; i++)
        model_turn(&m, 1000, UINT64_MAX);
    assert_int_equal(log_now()->spares, SPARES);
}

/* `lazy`: half as much is settled as comes. */
static void one_step(bool lazy)
{
    struct model_queue *q = &m.queues[model_random(&m, QUEUES)];
    uint64_t s = model_first_live(q, 1 + model_random(&m, q->next));
    switch (model_random(&m, 8)) {
    case 0:
    case 1:
    case 2: model_append(&m, q, 1 + (uint32_t)model_random(&m, 4), 20 + (uint32_t)model_random(&m, 200), false); break;
    case 3:
    case 4:
    case 5:
        if (s && !(lazy && model_random(&m, 2)))
            model_settle(&m, q, s, CAUSE_ACKED);
        break;
    case 6:
        if (model_random(&m, 40) == 0)
            stall(50 + (unsigned)model_random(&m, 300));
        break;
    default: model_note(&m);
    }
    model_turn(&m, (int64_t)model_random(&m, 100), model_random(&m, 3) ? UINT64_MAX : model_random(&m, 4));
}

static uint64_t carried, moved;

/* At a budget, or on a disk of that size. */
static void stall_again_and_again(uint64_t seed, bool small_disk)
{
    unsigned segments = 5 + (unsigned)(seed % 4);
    if (small_disk)
        open_log_on_small_disk(seed, (enum log_sync)(seed % 3), segments * SEGMENT + 1024);
    else
        open_log(seed, (enum log_sync)(seed % 3), segments);
    for (unsigned i = 0; i < 1500; i++)
        one_step(false);
    model_quiet(&m);
    carried += log_now()->carried;
    moved += log_now()->info.moved_events;
    model_restart(&m, seed % 2 ? MODEL_CRASH : MODEL_STOP);
    goes_on();
    model_end(&m);
}

static void the_log_recovers_from_every_stall_at_the_budget(void **state)
{
    (void)state;
    carried = moved = 0;
    for (uint64_t seed = 1; seed <= 60; seed++)
        stall_again_and_again(seed, seed > 40);
    open_log(1, LOG_SYNC_GROUP, 6);
    assert_true(carried > 100 && moved > 100);
}

static void pass(unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 2; i++)
        model_turn(&m, 500, UINT64_MAX);
}

static void assert_nothing_is_tried_again_and_again(void)
{
    struct log_info before = model_info(&m);
    pass(100);
    assert_int_equal(model_info(&m).moved_events, before.moved_events);
    assert_int_equal(model_info(&m).checkpoints, before.checkpoints);
}

/* A bound for segments as small as these, in which tables and headers take as much as the events. */
static void assert_segments_are_full_of_what_is_wanted(void)
{
    assert_true(log_now()->spares > 0);
    for (uint32_t i = 0; i + 1 < log_now()->segment_count; i++)
        assert_true(plan_wanted(log_now()->segments[i]) > SEGMENT * 3 / 8);
}

/* Nobody settles any more: everything that can be emptied was, so there is room for events, or none can be gained. */
static void room_is_gained_without_acks_wherever_it_can_be(void **state)
{
    (void)state;
    unsigned refused = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        open_log(seed, (enum log_sync)(seed % 3), 5);
        for (unsigned i = 0; i < 1500; i++)
            one_step(true);
        model_quiet(&m);
        pass(100);
        assert_nothing_is_tried_again_and_again();
        if (!model_append(&m, &m.queues[0], 1, 100, false)) {
            assert_segments_are_full_of_what_is_wanted();
            refused++;
        }
        model_end(&m);
    }
    open_log(1, LOG_SYNC_GROUP, 6);
    assert_true(refused > 0 && refused < 50);
}

/* The spare came back after a checkpoint had used its room. If notes took it, the next checkpoint would have no room,
 * and nothing would be freed any more. */
static void the_last_spare_of_a_full_disk_is_not_for_notes(void **state)
{
    (void)state;
    stall_again_and_again(2407, true);
    open_log(1, LOG_SYNC_GROUP, 6);
}

/* Each segment has one event that stays, and nothing else that is wanted. */
static void segments_full_of_notes_are_emptied_for_their_few_events(void **state)
{
    (void)state;
    open_log(21, LOG_SYNC_GROUP, 6);
    for (int i = 0; i < 3000; i++) {
        model_note(&m);
        if (segment_active(log_now())->live_events == 0)
            model_append(&m, &m.queues[0], 1, 100, false);
        model_turn(&m, 5, UINT64_MAX);
    }
    model_quiet(&m);
    for (int i = 0; i < 5; i++)
        model_turn(&m, 1000, UINT64_MAX);
    assert_true(m.queues[0].live > 10);
    assert_true(log_now()->spares > RESERVED);
    assert_true(model_append(&m, &m.queues[0], 1, 100, false));
    model_restart(&m, MODEL_CRASH);
}

/* The rest is for moves: they gain room, while notes can be carried. */
static void notes_take_a_quarter_of_the_last_segment(void **state)
{
    (void)state;
    open_log(22, LOG_SYNC_GROUP, 6);
    fill();
    uint64_t most = 0;
    for (unsigned i = 0; i < 8000; i++) {
        const struct log *l = log_now();
        bool is_full = l->no_room && segment_is_at_budget(l);
        uint64_t placed = l->placed;
        model_note(&m);
        model_turn(&m, 1, i % 200 ? 0 : UINT64_MAX);
        if (is_full && l->no_room && l->placed > placed && l->spares == 0 && segment_active(l)->size > most)
            most = segment_active(l)->size;
    }
    assert_true(most > SEGMENT / 8 && most <= SEGMENT / 4);
    goes_on();
}

#define with_log(test) cmocka_unit_test_teardown(test, cramped_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(notes_that_filled_the_reserve_are_carried),
        with_log(notes_beside_events_in_the_reserve_are_carried),
        with_log(a_crash_of_the_machine_loses_nothing),
        with_log(an_end_of_the_process_loses_nothing),
        with_log(groups_are_carried_on_a_full_disk_too),
        with_log(segments_sealed_by_starts_give_their_room_back),
        with_log(segments_of_many_starts_become_one),
        with_log(segments_full_of_notes_are_emptied_for_their_few_events),
        with_log(notes_take_a_quarter_of_the_last_segment),
        with_log(the_log_recovers_from_every_stall_at_the_budget),
        with_log(room_is_gained_without_acks_wherever_it_can_be),
        with_log(the_last_spare_of_a_full_disk_is_not_for_notes),
    };
    return cmocka_run_group_tests_name("log_carry", tests, NULL, NULL);
}
