/* What a start does with a log that was torn, damaged, or is not this version's; and what --check and --repair say of it. */
#include "broker/store/log_format.h"
#include "tests/broker/store/log_dirs.h"
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT (64u << 10)

static struct model m;
static uint64_t chance = 7;

/* ------------------------------------------------------------------ making logs */

static int begin(void **state)
{
    (void)state;
    model_begin(&m, 1, SEGMENT, LOG_SYNC_GROUP);
    model_new_queue(&m);
    model_new_queue(&m);
    return 0;
}

static int end(void **state)
{
    (void)state;
    model_end(&m);
    return 0;
}

/* `groups` groups of four events of 100 bytes, each durable before the next. */
static void write_groups(int groups)
{
    for (int i = 0; i < groups; i++) {
        assert_true(model_append(&m, &m.queues[i % 2], 4, 100, false));
        model_note(&m);
        model_turn(&m, 1, UINT64_MAX);
        model_turn(&m, 1, UINT64_MAX);
        assert_true(m.done == m.ticket);
    }
}

/* ------------------------------------------------------------------ torn */

static void a_tail_torn_at_any_byte_is_cut_and_nothing_before_it(void **state)
{
    (void)state;
    write_groups(6);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    assert_int_equal(g.count, 6);
    for (uint64_t cut = g.of[4].at; cut <= g.of[5].end; cut++) {
        struct disk *d = dir_copy(m.disk);
        struct error e = { "" };
        struct lines l;
        bool torn;
        dir_zero_from(d, DIR_FIRST, cut);
        uint64_t whole = cut < g.of[4].end ? 4 : cut < g.of[5].end ? 5 : 6;
        assert_true(dir_check(d, &l));
        assert_int_equal(dir_open(d, &m.config, &e, &torn), 4 * (int64_t)whole);
        assert_int_equal(dir_open(d, &m.config, &e, &torn), 4 * (int64_t)whole); /* again: nothing changes any more */
        assert_false(torn);
        disk_free(d);
    }
}

static void a_torn_tail_is_told(void **state)
{
    (void)state;
    write_groups(3);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    struct error e = { "" };
    struct lines l;
    bool torn;
    char place[64];
    struct disk *d = dir_copy(m.disk);
    dir_zero_from(d, DIR_FIRST, g.of[2].end - 5);
    assert_true(dir_check(d, &l));
    snprintf(place, sizeof place, DIR_FIRST ": torn tail at offset %llu", (unsigned long long)g.of[2].at);
    says(l, place);
    assert_int_equal(dir_open(d, &m.config, &e, &torn), 8);
    assert_true(torn);
    disk_free(d);
}

/* The simulated disk takes them for no data. */
static void zeros_at_the_end_of_the_last_group_belong_to_it(void **state)
{
    (void)state;
    static const uint8_t zeros[9000];
    struct error e = { "" };
    struct lines l;
    bool torn;
    uint64_t ticket;
    write_groups(2);
    assert_int_equal(m.log->ops->note(m.log, span_of(zeros, sizeof zeros), &ticket), STORE_LATER);
    model_turn(&m, 1, UINT64_MAX);
    model_turn(&m, 1, UINT64_MAX);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    assert_int_equal(g.count, 3);
    struct disk *d = dir_copy(m.disk);
    assert_true(dir_check(d, &l));
    says(l, "3 groups");
    assert_int_equal(dir_open(d, &m.config, &e, &torn), 8);
    assert_false(torn);
    disk_free(d);
}

/* ------------------------------------------------------------------ damaged */

/* As a broker leaves it whose last write was not synced: the bytes from `from` on are in the system's memory only. */
static void write_unsynced(struct disk *d, uint64_t from, struct span bytes)
{
    struct files *f = disk_open(d);
    struct file_op op = { .kind = FILE_WRITE, .name = DIR_FIRST, .offset = from };
    buf_add(&op.data, bytes.data, bytes.size);
    assert_int_equal(f->ops->apply(f, &op), 0);
    buf_free(&op.data);
    f->ops->close(f);
}

/* Its sealing table proves to every later start that the groups before it were durable. */
static void a_start_that_is_cut_off_has_claimed_nothing_that_was_not_synced(void **state)
{
    (void)state;
    write_groups(6);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    struct span content;
    struct error e = { "" };
    bool torn;
    assert_true(disk_content(m.disk, DIR_FIRST, &content));
    for (int i = 0; i < 300; i++) {
        struct disk *d = dir_copy(m.disk);
        dir_zero_from(d, DIR_FIRST, g.of[5].at);
        write_unsynced(d, g.of[5].at, span_of(content.data + g.of[5].at, (size_t)(g.of[5].end - g.of[5].at)));
        disk_set_fault(d, DISK_SYNC_FAILS, true);
        assert_int_equal(dir_open(d, &m.config, &e, &torn), -1);
        disk_crash(d, &chance);
        int64_t live = dir_open(d, &m.config, &e, &torn);
        assert_true(live == 20 || live == 24);
        disk_free(d);
    }
}

/* What the process was told is not on disk is in the system's memory, where the next start finds it whole. From then on it is taken for
 * accepted: a publisher that asks is told so. Then the power fails. */
static void what_a_failed_sync_left_is_on_disk_before_it_counts(void **state)
{
    (void)state;
    uint64_t back = 0;
    m.may_fail = true;
    for (int i = 0; i < 200; i++) {
        write_groups((int)model_random(&m, 3));
        uint64_t live = m.queues[0].live;
        disk_set_fault(m.disk, DISK_SYNC_FAILS, true);
        for (uint64_t n = 1 + model_random(&m, 3); n; n--)
            assert_true(model_append(&m, &m.queues[0], 4, 100, false));
        while (!m.failed)
            model_turn(&m, 1, UINT64_MAX);
        model_restart(&m, MODEL_KILL);
        back += m.queues[0].live > live;
        model_restart(&m, MODEL_CRASH); /* what was there is there */
    }
    assert_true(back > 150);
}

static void damage_anywhere_in_what_was_durable_stops_the_start(void **state)
{
    (void)state;
    write_groups(6);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    char place[64];
    snprintf(place, sizeof place, "damaged at offset %llu", (unsigned long long)g.of[2].at);
    for (uint64_t at = g.of[2].at; at < g.of[2].end; at++) {
        struct disk *d = dir_copy(m.disk);
        struct lines l;
        assert_true(disk_damage(d, DIR_FIRST, at, 1, &chance));
        dir_refuses(d, &m.config, DIR_FIRST, place);
        dir_refuses(d, &m.config, "--repair", "restore");
        assert_false(dir_check(d, &l));
        says(l, place);
        disk_free(d);
    }
}

/* Several segments of live events, and a checkpoint. */
static void write_segments(void)
{
    write_groups(150);
    model_restart(&m, MODEL_STOP);
    write_groups(10);
}

static void a_missing_segment_stops_the_start(void **state)
{
    (void)state;
    write_segments();
    struct disk *d = dir_copy(m.disk);
    dir_remove(d, DIR_FIRST);
    dir_refuses(d, &m.config, DIR_FIRST " is missing", "--repair");
    disk_free(d);
}

static void a_missing_checkpoint_stops_the_start_when_it_is_needed(void **state)
{
    (void)state;
    write_segments();
    for (uint32_t i = 0; i < 2; i++)
        model_settle_rest(&m, &m.queues[i], 1);
    model_quiet(&m);
    model_restart(&m, MODEL_STOP);
    struct disk *d = dir_copy(m.disk);
    struct span gone;
    assert_false(disk_content(d, DIR_FIRST, &gone)); /* so it is needed */
    dir_remove(d, "checkpoint");
    dir_refuses(d, &m.config, "checkpoint is missing", "--repair");
    disk_free(d);
}

static void a_damaged_checkpoint_stops_the_start(void **state)
{
    (void)state;
    write_segments();
    struct span content;
    assert_true(disk_content(m.disk, "checkpoint", &content));
    for (uint64_t at = 0; at < content.size; at++) {
        struct disk *d = dir_copy(m.disk);
        assert_true(disk_damage(d, "checkpoint", at, 1, &chance));
        dir_refuses(d, &m.config, "checkpoint: ", at >= 8 && at < 12 ? "" : "damaged");
        disk_free(d);
    }
}

static void a_newer_version_is_refused_by_name(void **state)
{
    (void)state;
    write_groups(2);
    struct span content;
    struct segment_header h;
    struct buf b = { 0 };
    struct disk *d = dir_copy(m.disk);
    assert_true(disk_content(d, DIR_FIRST, &content));
    buf_add(&b, content.data, content.size);
    assert_int_equal(segment_header_read(content, &h), LOG_OK);
    h.version = LOG_VERSION + 1;
    segment_header_write(b.data, &h);
    disk_put(d, DIR_FIRST, buf_span(&b));
    dir_refuses(d, &m.config, DIR_FIRST ": written by a newer version", "format 4");
    buf_free(&b);
    disk_free(d);
}

static void other_files_and_spares_are_no_part_of_it(void **state)
{
    (void)state;
    static const uint8_t zeros[4096];
    write_groups(3);
    struct error e = { "" };
    struct span content;
    bool torn;
    struct disk *d = dir_copy(m.disk);
    disk_put(d, "receipt.key", span_str("0123456789abcdef"));
    disk_put(d, "0000000000000009.log", span_of(zeros, sizeof zeros));
    disk_put(d, "checkpoint.tmp", span_str("left over"));
    assert_int_equal(dir_open(d, &m.config, &e, &torn), 12);
    assert_true(disk_content(d, "receipt.key", &content));
    assert_false(disk_content(d, "0000000000000009.log", &content));
    disk_free(d);
}

/* ------------------------------------------------------------------ repaired */

static void a_whole_log_is_copied_whole(void **state)
{
    (void)state;
    write_segments();
    model_settle(&m, &m.queues[0], 3, CAUSE_ACKED);
    model_settle(&m, &m.queues[1], 7, CAUSE_DEAD);
    model_ask_settled(&m);
    model_quiet(&m);
    struct lines l;
    struct disk *to = disk_new();
    model_shut(&m, MODEL_KILL);
    assert_true(dir_check(m.disk, &l));
    says(l, "queue 1: 319 events of 31900 bytes are live");
    assert_true(dir_repair(m.disk, to, &l));
    says(l, "queue 1: 319 events are salvaged");
    says(l, "queue 2: 319 events are salvaged");
    struct disk *from = m.disk;
    m.disk = to;
    model_open(&m, MODEL_CRASH); /* compares all of it: events, bytes, notes, books */
    for (uint32_t i = 0; i < 2; i++)
        model_load(&m, &m.queues[i], 1, 1u << 20);
    model_quiet(&m);
    assert_true(m.loaded > 600);
    disk_free(from);
}

static void damage_in_an_old_segment_costs_what_was_there(void **state)
{
    (void)state;
    write_segments();
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    struct error e = { "" };
    struct lines l;
    bool torn;
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    assert_true(disk_damage(d, DIR_FIRST, g.of[4].at + 50, 1, &chance)); /* the third of queue 1: sequences 9 to 12 */
    assert_true(dir_open(d, &m.config, &e, &torn) == 640);               /* a start does not read there */
    assert_false(dir_check(d, &l));
    says(l, DIR_FIRST ": damaged at offset");
    assert_true(dir_repair(d, to, &l));
    says(l, "queue 1: 4 events are lost, sequences 9 to 12");
    says(l, "queue 1: 316 events are salvaged");
    says(l, "queue 2: 320 events are salvaged");
    assert_true(dir_check(to, &l));
    assert_int_equal(dir_open(to, &m.config, &e, &torn), 636);
    disk_free(d);
    disk_free(to);
}

static void damage_behind_the_checkpoint_costs_what_was_there(void **state)
{
    (void)state;
    write_groups(10);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    struct error e = { "" };
    struct lines l;
    bool torn;
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    assert_true(disk_damage(d, DIR_FIRST, g.of[5].at + 40, 1, &chance)); /* the third of queue 2 */
    assert_true(dir_repair(d, to, &l));
    says(l, "queue 2: sequences 9 to 12 are in no whole record");
    assert_int_equal(dir_open(to, &m.config, &e, &torn), 36);
    disk_free(d);
    disk_free(to);
}

static void repair_wants_an_empty_directory(void **state)
{
    (void)state;
    write_groups(2);
    struct lines l;
    struct disk *to = disk_new();
    disk_put(to, "something", span_str("else"));
    struct disk *d = dir_copy(m.disk);
    assert_false(dir_repair(d, to, &l));
    disk_free(d);
    says(l, "is not empty");
    disk_free(to);
}

/* Whatever does not fit, nothing is called repaired that is not all there. */
static void repair_without_room_says_so(void **state)
{
    (void)state;
    write_segments();
    struct error e = { "" };
    struct lines l;
    bool torn, fits = false;
    for (uint64_t room = 100; !fits; room += 1u << 19) { /* of files of 1 MiB */
        struct disk *d = dir_copy(m.disk), *to = disk_new();
        disk_set_capacity(to, room);
        fits = dir_repair(d, to, &l);
        assert_true(fits || strstr(l.text, "no room for the new log") || strstr(l.text, "No space left on device"));
        if (fits)
            assert_int_equal(dir_open(to, &m.config, &e, &torn), 640);
        disk_free(d);
        disk_free(to);
    }
}

static void without_its_checkpoint_a_log_is_salvaged_as_far_as_it_is_there(void **state)
{
    (void)state;
    write_groups(20);
    model_restart(&m, MODEL_STOP);
    struct error e = { "" };
    struct lines l;
    bool torn;
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    disk_damage(d, "checkpoint", 40, 1, &chance);
    assert_true(dir_repair(d, to, &l));
    says(l, "without a checkpoint");
    assert_int_equal(dir_open(to, &m.config, &e, &torn), 80);
    disk_free(d);
    disk_free(to);
}

/* The second segment, as the log would have written it: copies of one event, out of the run that is in the first. */
static void put_copies(struct disk *d, int count)
{
    struct buf b = { 0 }, copies = { 0 };
    struct span content;
    struct segment_header in;
    struct store_event event = { .event = span_str("0123456789") };
    struct store_run run = { .queue = 1, .first = 2, .events = &event, .count = 1, .accepted_ms = 1 };
    struct group_header h = { .number = 1000 };
    assert_true(disk_content(d, DIR_SECOND, &content));
    assert_int_equal(segment_header_read(content, &in), LOG_OK);
    for (int i = 0; i < count; i++)
        run_write(&copies, RECORD_MOVED, &run);
    buf_add(&b, content.data, SEGMENT_HEADER_SIZE);
    group_header_write(buf_reserve(&b, GROUP_HEADER_SIZE), &h, buf_span(&copies), &in, in.chain);
    b.size += GROUP_HEADER_SIZE;
    buf_add(&b, copies.data, copies.size);
    disk_put(d, DIR_SECOND, buf_span(&b));
    buf_free(&copies);
    buf_free(&b);
}

static void a_run_is_found_behind_any_number_of_copies(void **state)
{
    (void)state;
    struct error e;
    struct lines l;
    bool torn;
    assert_true(model_append(&m, &m.queues[0], MODEL_RUN_MAX, 10, false));
    model_quiet(&m);
    model_settle(&m, &m.queues[0], 1, CAUSE_ACKED);
    model_restart(&m, MODEL_STOP);
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    put_copies(d, 5000);
    assert_true(dir_repair(d, to, &l));
    assert_null(strstr(l.text, "are lost"));
    assert_int_equal(dir_open(to, &m.config, &e, &torn), MODEL_RUN_MAX - 1);
    disk_free(d);
    disk_free(to);
}

#define with_log(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_tail_torn_at_any_byte_is_cut_and_nothing_before_it),
        with_log(a_torn_tail_is_told),
        with_log(zeros_at_the_end_of_the_last_group_belong_to_it),
        with_log(a_start_that_is_cut_off_has_claimed_nothing_that_was_not_synced),
        with_log(what_a_failed_sync_left_is_on_disk_before_it_counts),
        with_log(damage_anywhere_in_what_was_durable_stops_the_start),
        with_log(a_missing_segment_stops_the_start),
        with_log(a_missing_checkpoint_stops_the_start_when_it_is_needed),
        with_log(a_damaged_checkpoint_stops_the_start),
        with_log(a_newer_version_is_refused_by_name),
        with_log(other_files_and_spares_are_no_part_of_it),
        with_log(a_whole_log_is_copied_whole),
        with_log(damage_in_an_old_segment_costs_what_was_there),
        with_log(damage_behind_the_checkpoint_costs_what_was_there),
        with_log(a_run_is_found_behind_any_number_of_copies),
        with_log(repair_wants_an_empty_directory),
        with_log(repair_without_room_says_so),
        with_log(without_its_checkpoint_a_log_is_salvaged_as_far_as_it_is_there),
    };
    return cmocka_run_group_tests_name("log_recovery", tests, NULL, NULL);
}
