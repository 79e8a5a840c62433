/* When checkpoints are written: often enough to bound what a start has to replay, and no more often. */
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEGMENT  (64u << 10)
#define SMALL    8192u
#define A_GROUP  2048u /* more than any of a turn here, with the table that may go before it */
#define LEAST_MS 1000

static struct model m;

static void open_log(uint64_t segment)
{
    model_begin(&m, 3, segment, LOG_SYNC_GROUP);
    model_new_queues(&m, 3);
}

static int end(void **state)
{
    (void)state;
    model_end(&m);
    return 0;
}

static void turn(void)
{
    model_turn(&m, 1, UINT64_MAX);
}

/* Returns the bytes of groups logged from one checkpoint to the next, while events come that nobody takes. */
static uint64_t logged_to_the_next(void)
{
    struct log_info before = model_info(&m), now = before;
    while (now.checkpoints == before.checkpoints) {
        assert_true(now.group_bytes - before.group_bytes < 10 * SEGMENT);
        assert_true(model_append(&m, &m.queues[1], 1, 300, false));
        turn();
        now = model_info(&m);
    }
    return now.group_bytes - before.group_bytes;
}

static void a_checkpoint_follows_a_segments_worth_of_log(void **state)
{
    (void)state;
    open_log(SEGMENT);
    logged_to_the_next();
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(logged_to_the_next(), SEGMENT, SEGMENT + A_GROUP);
    model_restart(&m, MODEL_CRASH);
}

static uint64_t checkpoint_size(void)
{
    return model_info(&m).disk_bytes % SMALL; /* all other files are segments */
}

static void a_large_checkpoint_follows_four_times_its_size_of_log(void **state)
{
    (void)state;
    open_log(SMALL);
    for (unsigned i = 0; i < 300; i++) {
        assert_true(model_append(&m, &m.queues[0], 10, 20, false));
        turn();
    }
    for (uint64_t s = 1; s < m.queues[0].next; s += 3) /* each is a settled range of its own */
        model_settle(&m, &m.queues[0], s, CAUSE_ACKED);
    model_quiet(&m);
    logged_to_the_next();
    for (unsigned i = 0; i < 3; i++) {
        uint64_t enough = 4 * checkpoint_size();
        assert_in_range(enough, SMALL + SMALL / 2, 4 * SMALL);
        assert_in_range(logged_to_the_next(), enough, enough + A_GROUP);
    }
}

/* Otherwise starts in a row, without work in between, would each replay more. */
static void after_a_start_that_replayed_something_the_first_group_brings_a_checkpoint(void **state)
{
    (void)state;
    open_log(SEGMENT);
    model_fill(&m, 20);
    model_restart(&m, MODEL_CRASH);
    assert_true(model_info(&m).unclean);
    assert_int_equal(model_info(&m).checkpoints, 0);
    model_note(&m);
    turn();
    assert_int_equal(model_info(&m).checkpoints, 1);
    model_restart(&m, MODEL_KILL);
    assert_false(model_info(&m).unclean);
}

static void after_a_start_that_replayed_nothing_it_does_not(void **state)
{
    (void)state;
    open_log(SEGMENT);
    model_fill(&m, 20);
    model_restart(&m, MODEL_STOP);
    model_note(&m);
    turn();
    assert_int_equal(model_info(&m).checkpoints, 0);
}

/* A start that found it behind the last checkpoint would take the stop for an unclean one. */
static void what_is_logged_during_the_last_checkpoint_is_in_another(void **state)
{
    (void)state;
    open_log(SEGMENT);
    model_fill(&m, 20);
    model_quiet(&m);
    assert_false(m.log->ops->stop(m.log));
    model_note(&m);
    model_turn(&m, 1, 0);
    model_restart(&m, MODEL_STOP);
    assert_false(model_info(&m).unclean);
}

static void while_segments_become_empty_a_checkpoint_a_second_frees_them(void **state)
{
    (void)state;
    open_log(SEGMENT);
    model_fill(&m, 2 * LEAST_MS);
    struct log_info before = model_info(&m);
    assert_true(before.segments > 20);
    for (uint64_t s = 1; s <= 2 * LEAST_MS; s++) {
        for (unsigned q = 0; q < 3; q++)
            model_settle(&m, &m.queues[q], s, CAUSE_ACKED);
        turn();
    }
    assert_in_range(model_info(&m).checkpoints - before.checkpoints, 2, 3);
    assert_true(model_info(&m).freed_segments > 10);
}

static void the_loop_learns_when_the_next_checkpoint_is_due(void **state)
{
    (void)state;
    open_log(SEGMENT);
    model_fill(&m, 600);
    logged_to_the_next();
    mono_t last = m.now;
    model_settle_rest(&m, &m.queues[0], 1);
    model_settle_rest(&m, &m.queues[2], 1);
    model_settle_rest(&m, &m.queues[1], 1);
    uint64_t before = model_info(&m).checkpoints;
    while (mono_since_ms(m.now, last) < LEAST_MS / 2)
        turn(); /* what was settled is written by then */
    assert_int_equal(model_info(&m).checkpoints, before);
    mono_t due = m.log->ops->due(m.log);
    assert_in_range(mono_since_ms(due, last), LEAST_MS - 1, LEAST_MS + 1);
    model_turn(&m, mono_since_ms(due, m.now), UINT64_MAX);
    assert_int_equal(model_info(&m).checkpoints, before + 1);
    assert_int_equal(model_info(&m).segments, 1);
    assert_int_equal(m.log->ops->due(m.log).ns, MONO_NEVER.ns);
}

#define with_log(test) cmocka_unit_test_teardown(test, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_checkpoint_follows_a_segments_worth_of_log),
        with_log(a_large_checkpoint_follows_four_times_its_size_of_log),
        with_log(after_a_start_that_replayed_something_the_first_group_brings_a_checkpoint),
        with_log(after_a_start_that_replayed_nothing_it_does_not),
        with_log(what_is_logged_during_the_last_checkpoint_is_in_another),
        with_log(while_segments_become_empty_a_checkpoint_a_second_frees_them),
        with_log(the_loop_learns_when_the_next_checkpoint_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
