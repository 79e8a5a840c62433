/* The log on a disk that is full, or fails. */
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT (64u << 10)

static struct model m;

static void open_log(enum log_sync sync)
{
    model_begin(&m, 3, SEGMENT, sync);
    model_new_queues(&m, 3);
}

static int end(void **state)
{
    (void)state;
    model_end(&m);
    return 0;
}

static void a_full_disk_refuses_events_settles_and_resumes(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_fill(&m, 10);
    disk_set_capacity(m.disk, disk_used(m.disk));
    uint64_t taken = 0;
    while (model_append(&m, &m.queues[0], 1, 200, false) && taken < 10000) {
        taken++;
        model_turn(&m, 5, UINT64_MAX);
    }
    assert_true(taken > 100 && taken < 10000);
    assert_int_equal(m.log->ops->room(m.log), 0);
    for (uint64_t s = 1; s < 200; s++) {
        model_settle(&m, &m.queues[0], s, CAUSE_ACKED);
        model_turn(&m, 5, UINT64_MAX);
    }
    model_quiet(&m); /* they are durable, all of them */
    model_settle_rest(&m, &m.queues[0], 1);
    model_quiet(&m); /* which frees segments, which is room */
    assert_true(model_append(&m, &m.queues[0], 1, 200, false));
    model_restart(&m, MODEL_CRASH);
}

static void service_resumes_by_itself_when_there_is_room(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    disk_set_capacity(m.disk, disk_used(m.disk) + SEGMENT / 2);
    while (model_append(&m, &m.queues[0], 1, 200, false))
        model_turn(&m, 5, UINT64_MAX);
    disk_set_capacity(m.disk, UINT64_MAX);
    for (int i = 0; i < 3; i++)
        model_turn(&m, 1000, UINT64_MAX);
    assert_true(model_append(&m, &m.queues[0], 1, 200, false));
    model_quiet(&m);
}

static void a_budget_is_a_full_disk(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_shut(&m, MODEL_KILL);
    m.config.disk_budget = 6 * SEGMENT;
    model_open(&m, MODEL_KILL);
    uint64_t taken = 0;
    while (model_append(&m, &m.queues[0], 1, 200, false) && taken < 10000) {
        taken++;
        model_turn(&m, 5, UINT64_MAX);
    }
    assert_true(taken < 10000);
    assert_true(model_info(&m).disk_bytes <= m.config.disk_budget);
    assert_true(disk_used(m.disk) <= m.config.disk_budget);
}

static void assert_every_byte_counts(void)
{
    uint64_t said = model_info(&m).disk_bytes, used = disk_used(m.disk);
    assert_true(said <= used && said + 100 > used); /* but for the key */
}

/* Otherwise the disk would count as full as long as they are there. */
static void segments_from_a_smaller_segment_size_count_with_their_own_size(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_fill(&m, 400);
    assert_every_byte_counts();
    model_shut(&m, MODEL_STOP);
    m.config.segment_size = SEGMENT * 8;
    model_open(&m, MODEL_STOP);
    model_fill(&m, 100);
    assert_true(model_info(&m).segments > 4);
    assert_every_byte_counts();
    for (uint32_t q = 0; q < 3; q++)
        model_settle_rest(&m, &m.queues[q], 1);
    model_quiet(&m);
    assert_every_byte_counts();
}

static void a_failure_is_told_once_and_ends_it(enum disk_fault fault, const char *what)
{
    open_log(LOG_SYNC_GROUP);
    m.may_fail = true;
    model_fill(&m, 10);
    disk_set_fault(m.disk, fault, true);
    assert_true(model_append(&m, &m.queues[0], 1, 200, false));
    for (int i = 0; i < 10; i++)
        model_turn(&m, 10, UINT64_MAX);
    assert_true(m.failed);
    assert_int_equal(m.failures, 1);
    assert_true(strstr(log_failure(m.log), what) && strstr(log_failure(m.log), ".log at offset "));
    assert_false(model_append(&m, &m.queues[0], 1, 200, false));
    assert_true(m.log->ops->stop(m.log));
    model_restart(&m, MODEL_CRASH);
    m.loaded = 0;
    model_load_all(&m);
    assert_true(m.loaded >= 30);
}

static void a_failed_write_is_reported_once_and_ends_the_log(void **state)
{
    (void)state;
    a_failure_is_told_once_and_ends_it(DISK_WRITE_FAILS, "cannot write");
}

static void a_short_write_is_reported_once_and_ends_the_log(void **state)
{
    (void)state;
    a_failure_is_told_once_and_ends_it(DISK_WRITE_SHORT, "cannot write");
}

static void a_failed_sync_is_reported_once_and_ends_the_log(void **state)
{
    (void)state;
    a_failure_is_told_once_and_ends_it(DISK_SYNC_FAILS, "cannot sync");
}

/* Events come and go, so that segments are begun and freed and checkpoints written, until the log fails. */
static void a_break_is_told_once_and_ends_it(enum disk_fault fault, const char *what)
{
    open_log(LOG_SYNC_GROUP);
    m.may_fail = true;
    model_fill(&m, 10);
    disk_set_fault(m.disk, fault, true);
    for (int i = 0; !m.failed && i < 20000; i++) {
        if (model_append(&m, &m.queues[0], 1, 200, false) && i % 5)
            model_settle(&m, &m.queues[0], model_first_live(&m.queues[0], 1), CAUSE_ACKED);
        model_turn(&m, 10, UINT64_MAX);
    }
    assert_true(m.failed);
    assert_int_equal(m.failures, 1);
    assert_true(strstr(log_failure(m.log), what) && strstr(log_failure(m.log), "Input/output error"));
    assert_false(model_append(&m, &m.queues[0], 1, 200, false));
    assert_true(m.log->ops->stop(m.log));
    model_restart(&m, MODEL_CRASH);
}

static void a_segment_that_cannot_be_allocated_is_a_failing_disk(void **state)
{
    (void)state;
    a_break_is_told_once_and_ends_it(DISK_CREATE_FAILS, "cannot allocate 0000");
}

static void a_checkpoint_that_cannot_be_written_is_a_failing_disk(void **state)
{
    (void)state;
    a_break_is_told_once_and_ends_it(DISK_REPLACE_FAILS, "cannot write checkpoint");
}

static void a_segment_that_cannot_be_renamed_is_a_failing_disk(void **state)
{
    (void)state;
    a_break_is_told_once_and_ends_it(DISK_RENAME_FAILS, "cannot rename 0000");
}

/* More segments are freed at once than files are kept. */
static void a_segment_that_cannot_be_removed_is_a_failing_disk(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    m.may_fail = true;
    model_fill(&m, 2000);
    disk_set_fault(m.disk, DISK_REMOVE_FAILS, true);
    for (uint32_t q = 0; q < 3; q++)
        model_settle_rest(&m, &m.queues[q], 1);
    for (int i = 0; !m.failed && i < 100; i++)
        model_turn(&m, 100, UINT64_MAX);
    assert_true(m.failed);
    assert_true(strstr(log_failure(m.log), "cannot remove 0000"));
    model_restart(&m, MODEL_CRASH);
}

static void a_spare_without_room_leaves_no_gap(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    disk_set_fault(m.disk, DISK_NO_SPACE, true); /* for the first of three */
    model_fill(&m, 400);
    assert_false(disk_fault_is_armed(m.disk, DISK_NO_SPACE));
    model_restart(&m, MODEL_CRASH);
    model_load_all(&m);
}

/* With one segment less, nothing beyond the active segment could be filled; with two less, the second round would
 * have no room at all. */
static void the_smallest_budget_takes_events_again_and_again(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_shut(&m, MODEL_KILL);
    m.config.disk_budget = log_least_budget(SEGMENT);
    model_open(&m, MODEL_KILL);
    for (int round = 0; round < 30; round++) {
        uint64_t taken = 0;
        model_quiet(&m);
        while (model_append(&m, &m.queues[0], 1, 200, false)) {
            taken++;
            model_turn(&m, 1, UINT64_MAX);
            assert_true(disk_used(m.disk) <= m.config.disk_budget);
        }
        if (taken * 200 < (round == 0 ? SEGMENT : SEGMENT / 2))
            fail_msg("round %d: only %d events were taken", round, (int)taken);
        model_settle_rest(&m, &m.queues[0], 1);
        model_quiet(&m);
    }
}

#define with_log(test) cmocka_unit_test_teardown(test, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_full_disk_refuses_events_settles_and_resumes),
        with_log(service_resumes_by_itself_when_there_is_room),
        with_log(a_budget_is_a_full_disk),
        with_log(segments_from_a_smaller_segment_size_count_with_their_own_size),
        with_log(a_spare_without_room_leaves_no_gap),
        with_log(the_smallest_budget_takes_events_again_and_again),
        with_log(a_segment_that_cannot_be_allocated_is_a_failing_disk),
        with_log(a_checkpoint_that_cannot_be_written_is_a_failing_disk),
        with_log(a_segment_that_cannot_be_renamed_is_a_failing_disk),
        with_log(a_segment_that_cannot_be_removed_is_a_failing_disk),
        with_log(a_failed_write_is_reported_once_and_ends_the_log),
        with_log(a_short_write_is_reported_once_and_ends_the_log),
        with_log(a_failed_sync_is_reported_once_and_ends_the_log),
    };
    return cmocka_run_group_tests_name("log_disk", tests, NULL, NULL);
}
