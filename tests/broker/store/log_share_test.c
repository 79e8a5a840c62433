/* Shared runs in the log: stored once, and each queue's own from then on. */
#include "broker/store/log_move.h"
#include "tests/broker/store/log_dirs.h"
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT (64u << 10)
#define QUEUES  8u /* DIR_QUEUES */

static struct model m;

static void begin_with(uint64_t segment)
{
    model_begin(&m, 1, segment, LOG_SYNC_GROUP);
    model_new_queues(&m, QUEUES);
}

static int begin(void **state)
{
    (void)state;
    begin_with(SEGMENT);
    return 0;
}

static int end(void **state)
{
    (void)state;
    model_end(&m);
    return 0;
}

/* Appends `runs` shared runs of four events for the first `queues` queues, and waits until they are durable. */
static void share(uint32_t runs, uint32_t queues, uint32_t size)
{
    struct model_queue *to[QUEUES];
    for (uint32_t i = 0; i < queues; i++)
        to[i] = &m.queues[queues - 1 - i];
    for (uint32_t i = 0; i < runs; i++) {
        while (!model_share(&m, to, queues, 4, size, false))
            model_turn(&m, 1, UINT64_MAX);
        model_turn(&m, 1, UINT64_MAX);
        model_turn(&m, 1, UINT64_MAX);
    }
    model_quiet(&m);
}

static void settle(uint32_t queue, uint64_t but_each)
{
    struct model_queue *q = &m.queues[queue];
    for (uint64_t s = 1; s < q->next; s++) {
        if (q->events[s].exists && !q->events[s].settled && (but_each == 0 || s % but_each))
            model_settle(&m, q, s, CAUSE_ACKED);
    }
}

static void settle_all(uint64_t but_each)
{
    for (uint32_t i = 0; i < QUEUES; i++)
        settle(i, but_each);
}

/* Goes on until everything that can be moved and freed was. */
static void settle_down(void)
{
    model_quiet(&m);
    for (int i = 0; i < 200; i++)
        model_turn(&m, 50, UINT64_MAX);
    model_quiet(&m);
}

/* The model compares each event's bytes. */
static void load_everything(void)
{
    for (uint32_t i = 0; i < m.queue_count; i++) {
        struct model_queue *q = &m.queues[i];
        for (uint64_t from = 1; (from = model_first_live(q, from)) != 0; from++) {
            if (q->events[from].at)
                continue;
            model_load(&m, q, from, 20000);
            while (q->loading)
                model_turn(&m, 1, UINT64_MAX);
            assert_true(q->events[from].at);
        }
        for (uint64_t s = 1; s < q->next; s++) {
            if (q->events[s].at)
                model_release(&m, q, s);
        }
    }
}

static void a_shared_run_is_written_once(void **state)
{
    (void)state;
    uint64_t before = model_info(&m).written_bytes;
    share(20, QUEUES, 1000);
    uint64_t payload = 20 * 4 * 1000, written = model_info(&m).written_bytes - before;
    assert_true(written < payload + payload / 4); /* checkpoints are in it */
    assert_true(model_info(&m).event_bytes >= payload && model_info(&m).event_bytes < payload + payload / 4);
    load_everything();
}

static void each_queue_reads_its_own_whatever_happens(void **state)
{
    (void)state;
    share(60, QUEUES, 400); /* some segments */
    for (uint32_t i = 0; i < QUEUES; i++)
        assert_true(model_append(&m, &m.queues[i], 2, 90, false));
    share(5, QUEUES / 2, 300); /* in the active one, beside what is not shared */
    for (int i = 0; i < 3; i++) {
        load_everything();
        settle((uint32_t)i, 3);
        model_restart(&m, (enum model_end)i);
    }
    load_everything();
}

static void a_segment_lives_until_the_last_queue_has_settled(void **state)
{
    (void)state;
    struct span content;
    share(60, QUEUES, 400);
    for (uint32_t i = 0; i + 1 < QUEUES; i++)
        settle(i, 0);
    settle_down();
    assert_true(disk_content(m.disk, DIR_FIRST, &content));
    assert_int_equal(model_info(&m).freed_segments, 0);
    load_everything();
    model_restart(&m, MODEL_KILL);
    load_everything();
    settle(QUEUES - 1, 0);
    settle_down();
    assert_false(disk_content(m.disk, DIR_FIRST, &content));
    assert_true(model_info(&m).segments <= 2);
}

/* Counted once for each queue, seven eighths of each segment's events are dead; of its bytes none are. */
static void a_segment_that_one_queue_wants_all_of_is_not_moved(void **state)
{
    (void)state;
    share(100, QUEUES, 400);
    for (uint32_t i = 1; i < QUEUES; i++)
        settle(i, 0);
    settle_down();
    assert_true(model_info(&m).segments >= 3);
    assert_int_equal(model_info(&m).moved_events, 0);
}

static void stragglers_are_moved_once_for_all_queues(void **state)
{
    (void)state;
    share(150, QUEUES, 400);
    uint64_t segments = model_info(&m).segments;
    settle_all(10); /* all want the same tenth */
    settle_down();
    assert_true(model_info(&m).moved_events > 0 && model_info(&m).moved_events <= 60);
    assert_true(model_info(&m).segments * 2 < segments);
    load_everything();
    model_restart(&m, MODEL_KILL);
    load_everything();
    model_restart(&m, MODEL_STOP);
    settle_all(0);
    settle_down();
    assert_true(model_info(&m).segments <= 2);
}

static void stragglers_are_moved_only_for_the_queues_that_want_them(void **state)
{
    (void)state;
    share(150, QUEUES, 400);
    for (uint32_t i = 0; i < QUEUES; i++)
        settle(i, 20 + i * 3);
    settle_down();
    assert_true(model_info(&m).moved_events > 0);
    load_everything();
    model_restart(&m, MODEL_CRASH);
    load_everything();
}

/* Where every queue wants other events of each run, measuring asks each queue about each event: more work than one
 * turn has time for. */
static void measuring_the_active_segment_may_take_several_turns(void **state)
{
    (void)state;
    uint64_t bytes = 0, first, turns = 1;
    model_end(&m);
    begin_with(1u << 20);
    share(1500, QUEUES, 20);
    for (uint32_t i = 0; i < QUEUES; i++)
        settle(i, 2 + i % 3);
    model_quiet(&m);
    struct log *l = (struct log *)(void *)m.log;
    struct segment *s = segment_active(l);
    assert_int_equal(model_info(&m).segments, 1);
    while (!plan_measure_active(l, s, &bytes))
        turns++;
    assert_true(turns > 1 && turns < 10);
    assert_null(l->active_plan);
    assert_true(bytes > s->size / 3 && bytes < s->size);
    assert_true(plan_measure_active(l, s, &first) && first == bytes); /* nothing has changed */
    settle_all(0);
    model_quiet(&m);
    for (turns = 1; !plan_measure_active(l, s, &bytes); turns++)
        assert_non_null(l->active_plan);
    assert_int_equal(bytes, 0);
}

static void a_forgotten_queue_leaves_the_others_their_events(void **state)
{
    (void)state;
    share(30, QUEUES, 400);
    model_forget(&m, &m.queues[0]);
    model_forget(&m, &m.queues[QUEUES - 1]); /* the first target, whose note it was */
    model_quiet(&m);
    model_restart(&m, MODEL_KILL);
    for (uint32_t i = 1; i + 1 < QUEUES; i++) {
        assert_int_equal(m.queues[i].live, 120);
        model_load(&m, &m.queues[i], 1, 1u << 20);
        model_quiet(&m);
    }
    assert_int_equal(m.loaded, 120 * (QUEUES - 2));
}

/* ------------------------------------------------------------------ torn, damaged, repaired */

static void a_torn_tail_takes_a_shared_run_from_all_queues_or_from_none(void **state)
{
    (void)state;
    share(5, QUEUES, 100);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    assert_int_equal(g.count, 5);
    for (uint64_t cut = g.of[3].at; cut <= g.of[4].end; cut++) {
        struct disk *d = dir_copy(m.disk);
        struct error e = { "" };
        struct lines l;
        bool torn;
        dir_zero_from(d, DIR_FIRST, cut);
        int64_t whole = cut < g.of[3].end ? 3 : cut < g.of[4].end ? 4 : 5;
        assert_true(dir_check(d, &l));
        assert_int_equal(dir_open(d, &m.config, &e, &torn), 4 * QUEUES * whole);
        assert_int_equal(dir_open(d, &m.config, &e, &torn), 4 * QUEUES * whole);
        disk_free(d);
    }
}

static void check_counts_its_events_once_and_for_each_queue(void **state)
{
    (void)state;
    struct lines l;
    share(10, QUEUES, 100);
    settle(0, 0);
    model_restart(&m, MODEL_STOP);
    struct disk *d = dir_copy(m.disk);
    assert_true(dir_check(d, &l));
    says(l, ".log: sealed, ");
    model_restart(&m, MODEL_KILL);
    disk_free(d);
    d = dir_copy(m.disk);
    assert_true(dir_check(d, &l));
    says(l, "queue 2: 40 events of 4000 bytes are live");
    disk_free(d);
}

static void open_repaired(struct disk *to, struct disk **from)
{
    *from = m.disk;
    m.disk = to;
    model_open(&m, MODEL_CRASH); /* compares all of it: events, bytes, notes, books */
    load_everything();
}

static void repair_keeps_shared_runs_shared(void **state)
{
    (void)state;
    struct lines l;
    struct disk *to = disk_new(), *from;
    share(100, QUEUES, 400);
    for (uint32_t i = 0; i < QUEUES; i++)
        settle(i, 2 + i);
    model_quiet(&m);
    model_restart(&m, MODEL_STOP); /* all of that is in the checkpoint, … */
    share(20, QUEUES, 400);        /* … and this behind it */
    uint64_t live = m.queues[0].live;
    char line[64];
    model_shut(&m, MODEL_KILL);
    assert_true(dir_repair(m.disk, to, &l));
    snprintf(line, sizeof line, "queue 1: %llu events are salvaged", (unsigned long long)live);
    says(l, line);
    assert_true(dir_check(to, &l));
    struct groups g = dir_groups(to, DIR_FIRST); /* it has one segment, of a megabyte */
    assert_true(g.of[g.count - 1].end < 480 * 400 + 480 * 400 / 4);
    open_repaired(to, &from);
    disk_free(from);
}

static void damage_costs_each_queue_what_was_there(void **state)
{
    (void)state;
    share(100, QUEUES, 400);
    model_restart(&m, MODEL_STOP);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    struct error e = { "" };
    struct lines l;
    uint64_t chance = 7;
    bool torn;
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    assert_true(disk_damage(d, DIR_FIRST, g.of[2].at + 50, 1, &chance));
    assert_false(dir_check(d, &l));
    assert_true(dir_repair(d, to, &l));
    says(l, "queue 1: 4 events are lost, sequences 9 to 12");
    says(l, "queue 8: 4 events are lost, sequences 9 to 12");
    says(l, "queue 8: 396 events are salvaged");
    assert_true(dir_check(to, &l));
    says(l, "queue 3: 396 events of 158400 bytes are live");
    assert_int_equal(dir_open(to, &m.config, &e, &torn), 396 * QUEUES);
    disk_free(d);
    disk_free(to);
}

static void without_a_checkpoint_a_shared_run_is_salvaged_for_each_queue(void **state)
{
    (void)state;
    share(10, QUEUES, 400);
    model_restart(&m, MODEL_STOP);
    struct error e = { "" };
    struct lines l;
    uint64_t chance = 7;
    bool torn;
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    disk_damage(d, "checkpoint", 40, 1, &chance);
    assert_true(dir_repair(d, to, &l));
    says(l, "there is no usable checkpoint");
    assert_int_equal(dir_open(to, &m.config, &e, &torn), 40 * QUEUES);
    disk_free(d);
    disk_free(to);
}

#define with_log(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_shared_run_is_written_once),
        with_log(each_queue_reads_its_own_whatever_happens),
        with_log(a_segment_lives_until_the_last_queue_has_settled),
        with_log(a_segment_that_one_queue_wants_all_of_is_not_moved),
        with_log(stragglers_are_moved_once_for_all_queues),
        with_log(stragglers_are_moved_only_for_the_queues_that_want_them),
        with_log(measuring_the_active_segment_may_take_several_turns),
        with_log(a_forgotten_queue_leaves_the_others_their_events),
        with_log(a_torn_tail_takes_a_shared_run_from_all_queues_or_from_none),
        with_log(check_counts_its_events_once_and_for_each_queue),
        with_log(repair_keeps_shared_runs_shared),
        with_log(damage_costs_each_queue_what_was_there),
        with_log(without_a_checkpoint_a_shared_run_is_salvaged_for_each_queue),
    };
    return cmocka_run_group_tests_name("log_share", tests, NULL, NULL);
}
