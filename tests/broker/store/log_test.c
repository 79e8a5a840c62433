/* The log's promises one by one, over the simulated disk; log_model_test.c mixes them at random. */
#include "broker/store/log_parts.h"
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

static void flush(void)
{
    m.log->ops->flush(m.log, m.now = mono_add_ms(m.now, 1));
    model_poll(&m);
}

static void step(void)
{
    assert_true(disk_step(m.disk, &m.random));
    model_poll(&m);
}

/* ------------------------------------------------------------------ room */

static void a_full_segment_leaves_room_for_what_the_next_one_holds(void **state)
{
    (void)state;
    model_begin(&m, 1, 8192, LOG_SYNC_GROUP);
    model_new_queue(&m);
    for (unsigned i = 0; i < 40; i++) { /* five segments, whose spares come in time */
        assert_true(m.log->ops->room(m.log) > 1000);
        assert_true(model_append(&m, &m.queues[0], 1, 800, false));
        model_quiet(&m);
    }
}

/* ------------------------------------------------------------------ completing */

static void a_completion_follows_the_sync(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    assert_true(model_append(&m, &m.queues[0], 1, 50, false));
    flush();
    assert_int_equal(m.done, 0);
    step(); /* written */
    flush();
    assert_int_equal(m.done, 0);
    step(); /* synced */
    assert_int_equal(m.done, m.ticket);
}

static void what_arrives_during_a_sync_shares_the_next(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    assert_true(model_append(&m, &m.queues[0], 1, 50, false));
    flush();
    for (int i = 0; i < 20; i++) {
        assert_true(model_append(&m, &m.queues[i % 3], 1, 50, false));
        flush();
    }
    model_quiet(&m);
    assert_int_equal(model_info(&m).syncs, 2);
    assert_int_equal(model_info(&m).groups, 2);
}

static void with_an_interval_completions_follow_the_write_and_syncs_the_clock(void **state)
{
    (void)state;
    open_log(LOG_SYNC_INTERVAL);
    for (int i = 0; i < 10; i++) {
        assert_true(model_append(&m, &m.queues[0], 1, 50, false));
        flush();
        step();
        assert_int_equal(m.done, m.ticket);
        model_turn(&m, 1, UINT64_MAX);
    }
    assert_true(model_info(&m).syncs <= 2);
    uint64_t before = model_info(&m).syncs;
    model_turn(&m, m.config.sync_interval_ms, UINT64_MAX);
    model_turn(&m, m.config.sync_interval_ms, UINT64_MAX);
    assert_true(model_info(&m).syncs > before);
    model_restart(&m, MODEL_KILL);
}

static void without_sync_completions_follow_the_write(void **state)
{
    (void)state;
    open_log(LOG_SYNC_NONE);
    assert_true(model_append(&m, &m.queues[0], 1, 50, false));
    flush();
    step();
    assert_int_equal(m.done, m.ticket);
    assert_int_equal(model_info(&m).syncs, 0);
    model_restart(&m, MODEL_KILL);
}

/* ------------------------------------------------------------------ events in memory */

static void kept_events_are_in_memory_until_the_queues_cache_is_full(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_shut(&m, MODEL_KILL);
    m.config.cache_bytes = 1000;
    model_open(&m, MODEL_KILL);
    for (int i = 0; i < 10; i++)
        assert_true(model_append(&m, &m.queues[0], 1, 200, true));
    assert_true(model_append(&m, &m.queues[1], 1, 200, true));
    assert_true(model_append(&m, &m.queues[1], 1, 200, false));
    for (uint64_t s = 1; s <= 10; s++)
        assert_int_equal(m.queues[0].events[s].at != 0, s <= 5);
    assert_true(m.queues[1].events[1].at != 0);
    assert_true(m.queues[1].events[2].at == 0);
}

static void backlog_comes_back_in_order_from_sealed_and_active_segments(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    for (int round = 0; round < 6; round++) {
        model_fill(&m, 100);
        m.queues[1].next += 3; /* a hole */
    }
    assert_true(model_info(&m).segments > 4);
    for (uint64_t s = 1; s < 300; s += 3)
        model_settle(&m, &m.queues[2], s, CAUSE_ACKED);
    model_quiet(&m);
    model_load_all(&m);
    assert_int_equal(m.loaded, 600 + 600 + 500);
    model_restart(&m, MODEL_CRASH);
    m.loaded = 0;
    model_load_all(&m);
    assert_int_equal(m.loaded, 600 + 600 + 500);
}

/* ------------------------------------------------------------------ settling */

static void settlements_are_counted_until_they_are_durable(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_fill(&m, 10);
    assert_int_equal(m.log->ops->settled_ticket(m.log), 0);
    for (uint64_t s = 1; s <= 5; s++)
        model_settle(&m, &m.queues[0], s, CAUSE_ACKED);
    assert_int_equal(m.log->ops->unsettled(m.log, 1), 5);
    assert_int_equal(m.log->ops->unsettled(m.log, 2), 0);
    flush(); /* lazily */
    assert_int_equal(disk_pending(m.disk), 0);
    model_turn(&m, m.config.lazy_ms, UINT64_MAX);
    model_turn(&m, 1, UINT64_MAX);
    assert_int_equal(m.log->ops->unsettled(m.log, 1), 0);
    assert_int_equal(m.log->ops->settled_ticket(m.log), 0);
    m.durable_epoch = m.epoch;
    model_restart(&m, MODEL_CRASH);
    assert_int_equal(model_first_live(&m.queues[0], 1), 6);
}

static void settlements_wait_no_longer_where_others_follow(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    uint64_t lazy_ms = (uint64_t)m.config.lazy_ms;
    model_fill(&m, lazy_ms + 1);
    model_quiet(&m);
    uint64_t before = model_info(&m).groups;
    for (uint64_t s = 1; s <= lazy_ms; s++) {
        model_settle(&m, &m.queues[0], s, CAUSE_ACKED);
        assert_int_equal(model_info(&m).groups, before);
        model_turn(&m, 1, UINT64_MAX);
    }
    assert_int_equal(model_info(&m).groups, before + 1);
    assert_int_equal(m.log->ops->unsettled(m.log, 1), 0);
}

static void a_purge_settles_events_without_a_place_too(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_fill(&m, 5);
    assert_true(model_append(&m, &m.queues[0], 4, 100, false));
    model_settle_rest(&m, &m.queues[0], 3);
    model_quiet(&m);
    m.durable_epoch = m.epoch;
    model_restart(&m, MODEL_CRASH);
    assert_int_equal(m.queues[0].live, 2);
    assert_int_equal(m.queues[0].next, 10);
}

static void after_an_orderly_end_nothing_settled_is_live_again(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_fill(&m, 50);
    for (uint64_t s = 1; s <= 40; s++)
        model_settle(&m, &m.queues[1], s, CAUSE_DEAD);
    model_restart(&m, MODEL_STOP);
    assert_int_equal(m.queues[1].live, 10);
    assert_int_equal(m.queues[0].live, 50);
}

static void a_forgotten_queue_stays_gone(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_fill(&m, 20);
    model_forget(&m, &m.queues[0]);
    model_ask_settled(&m);
    model_quiet(&m);
    model_restart(&m, MODEL_CRASH);
    assert_int_equal(m.queues[0].live, 0);
    assert_int_equal(m.queues[1].live, 20);
}

/* ------------------------------------------------------------------ segments */

static void settled_segments_are_freed_without_new_work(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_fill(&m, 600);
    assert_true(model_info(&m).segments > 4);
    for (uint32_t q = 0; q < 3; q++)
        model_settle_rest(&m, &m.queues[q], 1);
    model_quiet(&m);
    assert_int_equal(model_info(&m).segments, 1);
    assert_true(model_info(&m).freed_segments > 4);
    model_restart(&m, MODEL_KILL);
}

static void compaction_keeps_half_of_the_disk_live(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_fill(&m, 1500);
    uint64_t before = model_info(&m).segments;
    for (uint32_t q = 0; q < 3; q++) {
        for (uint64_t s = 1; s < m.queues[q].next; s++) {
            if (s % 10)
                model_settle(&m, &m.queues[q], s, CAUSE_ACKED);
        }
    }
    model_quiet(&m);
    for (int i = 0; i < 200; i++)
        model_turn(&m, 100, UINT64_MAX);
    assert_true(model_info(&m).moved_events > 0);
    /* 450 events of 200 bytes, each a record of its own: some 240 bytes. Twice that, a segment, and the active one. */
    assert_true((model_info(&m).segments - 2) * SEGMENT <= 2 * 450 * 240u);
    assert_true(model_info(&m).segments < before / 3);
    model_load_all(&m);
    assert_int_equal(m.loaded, 450);
    model_restart(&m, MODEL_CRASH);
    m.loaded = 0;
    model_load_all(&m);
    assert_int_equal(m.loaded, 450);
}

/* The last event of the part that compaction has read and that waits for its place; 0: there is none. */
static uint64_t last_to_be_placed(void)
{
    const struct log *l = (const struct log *)(const void *)m.log;
    uint64_t last = 0;
    for (const struct group *g = l->first_closed; g; g = g->next)
        last = g->run_count && g->runs[0].moved ? g->runs[g->run_count - 1].entry.first : last;
    if (l->open && l->open->run_count && l->open->runs[0].moved)
        last = l->open->runs[l->open->run_count - 1].entry.first;
    return l->committing ? last : 0;
}

/* A part of a segment is moved while it and the events behind it are being loaded; the model checks that none is
 * skipped. */
static void events_moved_while_they_are_loaded_are_not_skipped(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        model_begin(&m, seed, 4u << 20, LOG_SYNC_GROUP);
        model_new_queues(&m, 1);
        struct model_queue *q = &m.queues[0];
        for (int i = 0; i < 6000; i++) {
            assert_true(model_append(&m, q, 1, 3000, false));
            model_turn(&m, 1, UINT64_MAX);
        }
        for (uint64_t s = 1; s < q->next; s++) {
            if (s % 4)
                model_settle(&m, q, s, CAUSE_ACKED);
        }
        uint64_t last = 0;
        for (int i = 0; i < 2000 && (last = last_to_be_placed()) == 0; i++) {
            model_note(&m);
            model_turn(&m, 10, 1);
        }
        assert_true(last > 0);
        model_load(&m, q, last, 64u << 10);
        for (int i = 0; i < 50; i++)
            model_turn(&m, 1, 1);
        model_quiet(&m);
        model_end(&m);
    }
    open_log(LOG_SYNC_GROUP);
}

static void spares_are_allocated_ahead(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_fill(&m, 10);
    assert_true(disk_used(m.disk) >= 4 * SEGMENT); /* active and three */
    assert_true(model_info(&m).disk_bytes >= 4 * SEGMENT);
}

/* Otherwise a queue that releases much and is never empty would exceed its cache. */
static void released_bytes_are_subtracted_from_the_queues_cache(void **state)
{
    (void)state;
    open_log(LOG_SYNC_GROUP);
    model_append(&m, &m.queues[0], 10, 200, true);
    const struct log_queue *q = log_queue_of(log_self(m.log), m.queues[0].id, false);
    assert_int_equal(q->cached_bytes, 2000);
    for (uint64_t s = 1; s <= 9; s++) {
        model_release(&m, &m.queues[0], s);
        assert_int_equal(q->cached_bytes, 2000 - 200 * s);
    }
    model_settle(&m, &m.queues[0], 10, CAUSE_ACKED);
    assert_int_equal(q->cached_bytes, 0);
}

#define with_log(test) cmocka_unit_test_teardown(test, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_full_segment_leaves_room_for_what_the_next_one_holds),
        with_log(a_completion_follows_the_sync),
        with_log(what_arrives_during_a_sync_shares_the_next),
        with_log(with_an_interval_completions_follow_the_write_and_syncs_the_clock),
        with_log(without_sync_completions_follow_the_write),
        with_log(kept_events_are_in_memory_until_the_queues_cache_is_full),
        with_log(backlog_comes_back_in_order_from_sealed_and_active_segments),
        with_log(settlements_are_counted_until_they_are_durable),
        with_log(settlements_wait_no_longer_where_others_follow),
        with_log(a_purge_settles_events_without_a_place_too),
        with_log(after_an_orderly_end_nothing_settled_is_live_again),
        with_log(a_forgotten_queue_stays_gone),
        with_log(settled_segments_are_freed_without_new_work),
        with_log(compaction_keeps_half_of_the_disk_live),
        with_log(events_moved_while_they_are_loaded_are_not_skipped),
        with_log(spares_are_allocated_ahead),
        with_log(released_bytes_are_subtracted_from_the_queues_cache),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
