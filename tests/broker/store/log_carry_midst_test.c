/* What happens while a checkpoint with carried groups is being written: a crash, a lack of room, an orderly end, a
 * disk that stands still. */
#include "tests/broker/store/cramped_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* While a checkpoint is written nothing can be placed, however long settlements have waited. */
static void no_turn_is_wanted_while_a_carrying_checkpoint_is_written(void **state)
{
    (void)state;
    open_log(6, LOG_SYNC_GROUP, 6);
    begin_carry();
    model_settle(&m, &m.queues[0], model_first_live(&m.queues[0], 1), CAUSE_ACKED);
    stall(20);
    assert_true(log_now()->carry_through > 0);
    assert_false(wants_a_turn());
    goes_on();
}

static void assert_nothing_is_confirmed(uint64_t done)
{
    model_poll(&m);
    assert_int_equal(m.done, done);
    assert_true(m.done < m.ticket);
    assert_int_equal(log_now()->carried, 0);
}

/* The machine crashes, or the process ends; the model compares what came back with what was confirmed. */
static void nothing_is_confirmed_before_its_checkpoint_is_durable(void **state)
{
    (void)state;
    open_log(9, LOG_SYNC_GROUP, 6);
    begin_carry();
    uint64_t done = m.done;
    stall(20);
    assert_nothing_is_confirmed(done);
    model_restart(&m, MODEL_CRASH);
    goes_on();
}

static void a_checkpoint_without_room_confirms_nothing(void **state)
{
    (void)state;
    open_log(9, LOG_SYNC_GROUP, 6);
    begin_carry();
    uint64_t done = m.done;
    disk_set_fault(m.disk, DISK_NO_SPACE, true);
    while (disk_fault_is_armed(m.disk, DISK_NO_SPACE))
        assert_true(disk_step(m.disk, &m.random));
    m.log->ops->flush(m.log, m.now);
    assert_nothing_is_confirmed(done);
    goes_on();
    assert_true(log_now()->carried > 0);
    model_restart(&m, MODEL_CRASH);
}

/* The checkpoint is on disk, but the log was not told: a start finds everything that it carries. */
static void a_durable_checkpoint_has_what_it_carries(void **state)
{
    (void)state;
    open_log(9, LOG_SYNC_GROUP, 6);
    begin_carry();
    uint64_t notes = m.notes;
    disk_settle(m.disk, &m.random);
    assert_int_equal(log_now()->carried, 0);
    model_restart(&m, MODEL_CRASH);
    assert_int_equal(m.notes, notes);
    goes_on();
}

/* With settings that sync little: the segment and the place that the checkpoint names must be on disk. */
static void a_checkpoint_that_carries_names_what_is_on_disk(enum log_sync sync)
{
    for (uint64_t seed = 10; seed < 30; seed++) {
        open_log(seed, sync, 6);
        begin_carry();
        disk_settle(m.disk, &m.random);
        model_restart(&m, MODEL_CRASH);
        goes_on();
        model_restart(&m, MODEL_CRASH);
        model_end(&m);
    }
}

static void a_crash_finds_the_place_that_the_checkpoint_names(void **state)
{
    (void)state;
    a_checkpoint_that_carries_names_what_is_on_disk(LOG_SYNC_INTERVAL);
    a_checkpoint_that_carries_names_what_is_on_disk(LOG_SYNC_NONE);
    open_log(9, LOG_SYNC_GROUP, 6);
}

static void an_orderly_end_waits_for_carried_groups(void **state)
{
    (void)state;
    open_log(9, LOG_SYNC_GROUP, 6);
    begin_carry();
    assert_false(m.log->ops->stop(m.log));
    for (unsigned i = 0; i < 5; i++) {
        model_turn(&m, 1000, 0);
        assert_false(m.log->ops->stop(m.log));
    }
    assert_false(wants_a_turn());
    uint64_t notes = m.notes;
    model_restart(&m, MODEL_STOP);
    assert_int_equal(m.notes, notes);
    assert_false(log_now()->info.unclean);
    goes_on();
}

static void stop(void)
{
    for (unsigned i = 0; !m.log->ops->stop(m.log); i++) {
        assert_true(i < 2000);
        model_turn(&m, 10, UINT64_MAX);
    }
}

static void an_orderly_end_carries(bool disk_is_full)
{
    for (uint64_t seed = 40; seed < 60; seed++) {
        if (disk_is_full)
            open_log_on_small_disk(seed, LOG_SYNC_GROUP, 6 * SEGMENT + seed * 50);
        else
            open_log(seed, LOG_SYNC_GROUP, 6);
        fill();
        stall(2000);
        assert_int_equal(log_now()->carried, 0);
        stop();
        assert_true(log_now()->carried > 0);
        uint64_t notes = m.notes;
        model_restart(&m, MODEL_STOP);
        assert_int_equal(m.notes, notes);
        assert_true(disk_is_full || !log_now()->info.unclean);
        goes_on();
        model_end(&m);
    }
}

static void groups_that_wait_when_the_end_begins_are_carried(void **state)
{
    (void)state;
    an_orderly_end_carries(false);
    an_orderly_end_carries(true);
    open_log(9, LOG_SYNC_GROUP, 6);
}

static void append_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_true(model_append(&m, &m.queues[0], 1, 100, false));
        model_turn(&m, 5, UINT64_MAX);
    }
    model_quiet(&m);
}

static void settle_up_to(uint64_t last)
{
    for (uint64_t s = 1; (s = model_first_live(&m.queues[0], s)) != 0 && s <= last; s++)
        model_settle(&m, &m.queues[0], s, CAUSE_ACKED);
    model_note(&m);
}

/* Segments are dead, a checkpoint was begun less than a second ago, and the commit behind it is not done. */
static void an_orderly_end_wants_no_turn_while_the_disk_stands_still(void **state)
{
    (void)state;
    open_log(7, LOG_SYNC_GROUP, 1000);
    append_all(200);
    settle_up_to(100);
    uint64_t before = log_now()->info.checkpoints;
    for (unsigned i = 0; i < 200 && log_now()->info.checkpoints == before; i++)
        model_turn(&m, 20, UINT64_MAX);
    settle_up_to(200);
    model_turn(&m, 10, 0);
    assert_true(log_now()->committing && !log_now()->checkpointing);
    for (unsigned i = 0; i < 5; i++) {
        assert_false(m.log->ops->stop(m.log));
        model_turn(&m, 1000, 0);
    }
    assert_false(wants_a_turn());
    model_quiet(&m);
}

/* There is room for segments and none for a checkpoint: the last checkpoint gets a spare's, although it frees
 * nothing. */
static void an_orderly_end_finds_room_for_its_checkpoint(void **state)
{
    (void)state;
    open_log(8, LOG_SYNC_GROUP, 1000);
    append_all(100);
    disk_set_capacity(m.disk, disk_used(m.disk));
    model_restart(&m, MODEL_STOP);
    assert_false(log_now()->info.unclean);
}

#define with_log(test) cmocka_unit_test_teardown(test, cramped_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(no_turn_is_wanted_while_a_carrying_checkpoint_is_written),
        with_log(nothing_is_confirmed_before_its_checkpoint_is_durable),
        with_log(a_checkpoint_without_room_confirms_nothing),
        with_log(a_durable_checkpoint_has_what_it_carries),
        with_log(a_crash_finds_the_place_that_the_checkpoint_names),
        with_log(an_orderly_end_waits_for_carried_groups),
        with_log(groups_that_wait_when_the_end_begins_are_carried),
        with_log(an_orderly_end_wants_no_turn_while_the_disk_stands_still),
        with_log(an_orderly_end_finds_room_for_its_checkpoint),
    };
    return cmocka_run_group_tests_name("log_carry_midst", tests, NULL, NULL);
}
