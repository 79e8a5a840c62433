/* Whether flush waits for a commit's sync itself. The simulated disk does nothing by itself: what becomes durable
 * without a step of the disk was waited for. */
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROW   64u       /* syncs without a stall after which the disk is trusted */
#define QUICK 1000000u  /* ns that a sync may take on average */
#define STALL 50000000u /* ns of one that is a stall */

static struct model m;

static int begin(void **state)
{
    (void)state;
    model_begin(&m, 5, 1u << 20, LOG_SYNC_GROUP);
    model_new_queue(&m);
    return 0;
}

static int end(void **state)
{
    (void)state;
    model_end(&m);
    return 0;
}

static void put(uint32_t size)
{
    assert_true(model_append(&m, &m.queues[0], 1, size, false));
    m.log->ops->flush(m.log, m.now = mono_add_ms(m.now, 1));
}

/* Did flush wait for the sync of an event of so many bytes? If not, the sync is executed now. */
static bool waits_for(uint32_t size)
{
    put(size);
    bool waited = log_has_news(m.log);
    disk_settle(m.disk, &m.random);
    model_poll(&m);
    assert_int_equal(m.done, m.ticket);
    return waited;
}

static void sync_without_waiting(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        assert_false(waits_for(50));
}

static void flush_waits_after_a_row_of_syncs_if_it_may(void **state)
{
    (void)state;
    log_may_wait(m.log, true);
    sync_without_waiting(ROW);
    for (unsigned i = 0; i < 5; i++)
        assert_true(waits_for(50));
    log_may_wait(m.log, false);
    assert_false(waits_for(50));
    log_may_wait(m.log, true);
    assert_true(waits_for(50));
}

static void syncs_that_are_slow_on_average_are_not_waited_for(void **state)
{
    (void)state;
    log_may_wait(m.log, true);
    disk_set_sync_ns(m.disk, QUICK + QUICK / 10);
    sync_without_waiting(3 * ROW);
    disk_set_sync_ns(m.disk, QUICK / 2);
    for (unsigned i = 0; i < 20; i++)
        waits_for(50);
    assert_true(waits_for(50));
    disk_set_sync_ns(m.disk, 3 * QUICK);
    assert_true(waits_for(50)); /* a single slow one makes no difference */
    disk_set_sync_ns(m.disk, QUICK / 2);
    assert_true(waits_for(50));
    disk_set_sync_ns(m.disk, 3 * QUICK);
    for (unsigned i = 0; waits_for(50); i++)
        assert_in_range(i, 0, 10);
}

/* As on a file system that syncs each write, where the sync has nothing left to do. */
static void slow_writes_count_like_slow_syncs(void **state)
{
    (void)state;
    log_may_wait(m.log, true);
    disk_set_write_ns(m.disk, QUICK);
    disk_set_sync_ns(m.disk, QUICK / 10);
    sync_without_waiting(2 * ROW);
    disk_set_write_ns(m.disk, QUICK / 2);
    for (unsigned i = 0; !waits_for(50); i++)
        assert_in_range(i, 0, 10);
}

static void a_stall_begins_the_row_anew(void (*set)(struct disk *, uint64_t))
{
    log_may_wait(m.log, true);
    sync_without_waiting(ROW);
    set(m.disk, STALL);
    assert_true(waits_for(50));
    set(m.disk, 0);
    sync_without_waiting(ROW - 1);
    set(m.disk, STALL - 1); /* slow, but no stall */
    sync_without_waiting(1);
    set(m.disk, 0);
    unsigned passed = 0; /* until the average has forgotten it */
    while (!waits_for(50))
        passed++;
    assert_in_range(passed, 10, 20);
}

static void a_sync_that_stalls_begins_the_row_anew(void **state)
{
    (void)state;
    a_stall_begins_the_row_anew(disk_set_sync_ns);
}

static void a_write_that_stalls_begins_the_row_anew(void **state)
{
    (void)state;
    a_stall_begins_the_row_anew(disk_set_write_ns);
}

static void a_large_group_is_not_waited_for(void **state)
{
    (void)state;
    log_may_wait(m.log, true);
    sync_without_waiting(ROW);
    assert_true(waits_for(65000));
    assert_false(waits_for(65600));
    assert_true(waits_for(50));
}

static void what_waits_behind_a_sync_is_not_waited_for_before_it_is_done(void **state)
{
    (void)state;
    sync_without_waiting(ROW);
    put(50);
    log_may_wait(m.log, true);
    assert_int_equal(disk_pending(m.disk), 2);
    put(50); /* the commit before is under way */
    assert_int_equal(disk_pending(m.disk), 2);
    assert_false(log_has_news(m.log));
    disk_settle(m.disk, &m.random);
    put(50);
    assert_true(log_has_news(m.log));
    model_poll(&m);
    assert_int_equal(m.done, m.ticket);
}

static void a_failed_sync_that_was_waited_for_is_reported(void **state)
{
    (void)state;
    log_may_wait(m.log, true);
    sync_without_waiting(ROW);
    uint64_t before = m.ticket;
    disk_set_fault(m.disk, DISK_SYNC_FAILS, true);
    m.may_fail = true;
    put(50);
    assert_true(log_has_news(m.log));
    model_poll(&m);
    assert_true(m.failed);
    assert_int_equal(m.done, before);
    model_restart(&m, MODEL_KILL);
}

static void a_new_segment_is_waited_for_too(void **state)
{
    (void)state;
    log_may_wait(m.log, true);
    sync_without_waiting(ROW);
    uint64_t segments = model_info(&m).segments;
    for (unsigned i = 0; i < 100; i++)
        assert_true(waits_for(30000));
    assert_in_range(model_info(&m).segments - segments, 2, 4);
}

/* Groups are confirmed without a sync. Only the end of a segment and the header of the next are synced; these syncs
 * are quick, too, but must not make the loop wait. */
static void only_what_is_confirmed_by_its_sync_is_waited_for(enum log_sync sync)
{
    model_begin(&m, 5, 8192, sync);
    model_new_queue(&m);
    log_may_wait(m.log, true);
    uint64_t first = model_info(&m).segments, before = first;
    for (uint64_t now = first; now < first + ROW; before = now) {
        put(800);
        now = model_info(&m).segments;
        assert_true(disk_pending(m.disk) >= (now == before ? 1 : 5));
        assert_false(log_has_news(m.log));
        disk_settle(m.disk, &m.random);
        model_poll(&m);
        assert_int_equal(m.done, m.ticket);
    }
}

static void with_an_interval_the_loop_never_waits(void **state)
{
    (void)state;
    only_what_is_confirmed_by_its_sync_is_waited_for(LOG_SYNC_INTERVAL);
}

static void without_sync_the_loop_never_waits(void **state)
{
    (void)state;
    only_what_is_confirmed_by_its_sync_is_waited_for(LOG_SYNC_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(flush_waits_after_a_row_of_syncs_if_it_may, begin, end),
        cmocka_unit_test_setup_teardown(syncs_that_are_slow_on_average_are_not_waited_for, begin, end),
        cmocka_unit_test_setup_teardown(slow_writes_count_like_slow_syncs, begin, end),
        cmocka_unit_test_setup_teardown(a_sync_that_stalls_begins_the_row_anew, begin, end),
        cmocka_unit_test_setup_teardown(a_write_that_stalls_begins_the_row_anew, begin, end),
        cmocka_unit_test_setup_teardown(a_large_group_is_not_waited_for, begin, end),
        cmocka_unit_test_setup_teardown(what_waits_behind_a_sync_is_not_waited_for_before_it_is_done, begin, end),
        cmocka_unit_test_setup_teardown(a_failed_sync_that_was_waited_for_is_reported, begin, end),
        cmocka_unit_test_setup_teardown(a_new_segment_is_waited_for_too, begin, end),
        cmocka_unit_test_teardown(with_an_interval_the_loop_never_waits, end),
        cmocka_unit_test_teardown(without_sync_the_loop_never_waits, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
