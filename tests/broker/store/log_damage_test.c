/* Damage beyond the newest groups, and failing disks. A start does not read older segments: damage there is met when
 * events are loaded, or when their segment is emptied. Then the log ends and reports the place; nothing is skipped,
 * and nothing is freed. Also: what a start reads must be consistent. */
#include "tests/broker/store/log_fixture.h"

/* ------------------------------------------------------------------ met while it runs */

static void segment_file(char out[FILE_NAME_SIZE], uint64_t id)
{
    snprintf(out, FILE_NAME_SIZE, "%016llx.log", (unsigned long long)id);
}

/* Damages every sealed segment: its last group, which is the table, or all others. */
static void damage_sealed(bool tables)
{
    uint64_t sealed = model_info(&m).segments - 1;
    assert_true(sealed > 1);
    m.may_fail = true;
    for (uint64_t id = 1; id <= sealed; id++) {
        char name[FILE_NAME_SIZE];
        segment_file(name, id);
        struct groups g = dir_groups(m.disk, name);
        for (size_t i = tables ? g.count - 1 : 0; i < g.count - !tables; i++)
            disk_damage(m.disk, name, g.of[i].at + GROUP_HEADER_SIZE, g.of[i].end - g.of[i].at - GROUP_HEADER_SIZE,
                        &chance);
    }
}

static void ends_and_says_where(void)
{
    for (int i = 0; i < 300 && !m.failed; i++)
        model_turn(&m, 100, UINT64_MAX);
    struct span content;
    assert_true(m.failed);
    if (!strstr(log_failure(m.log), "damaged record in 000000000000000") || !strstr(log_failure(m.log), "--check"))
        fail_msg("'%s'", log_failure(m.log));
    assert_true(disk_content(m.disk, DIR_FIRST, &content));
    assert_int_equal(model_info(&m).freed_segments, 0);
}

static void loading_damaged_events_is_an_error_with_the_place(void **state)
{
    for (int tables = 0; tables < 2; tables++) {
        model_fill(&m, 300);
        damage_sealed(tables);
        model_load(&m, &m.queues[1], 1, 1u << 20);
        ends_and_says_where();
        assert_int_equal(m.loaded, 0);
        log_fixture_end(state);
        log_fixture_begin(state);
    }
}

static void a_damaged_segment_is_not_emptied(void **state)
{
    (void)state;
    for (int tables = 0; tables < 2; tables++) {
        model_fill(&m, 600);
        for (uint32_t q = 0; q < 2; q++) {
            for (uint64_t s = 1; s < m.queues[q].next; s++) {
                if (s % 10)
                    model_settle(&m, &m.queues[q], s, CAUSE_ACKED);
            }
        }
        damage_sealed(tables);
        ends_and_says_where();
        log_fixture_end(state);
        log_fixture_begin(state);
    }
}

/* With sync interval nobody waits for a sync, but its failure ends the log all the same. */
static void a_failed_sync_that_nobody_waits_for_ends_the_log(void **state)
{
    log_fixture_end(state);
    model_begin(&m, 1, SEGMENT, LOG_SYNC_INTERVAL);
    model_new_queues(&m, 2);
    model_write_groups(&m, 4);
    m.may_fail = true;
    disk_set_fault(m.disk, DISK_SYNC_FAILS, true);
    for (int i = 0; i < 20 && !m.failed; i++)
        model_turn(&m, 100, UINT64_MAX);
    assert_true(m.failed);
    assert_non_null(strstr(log_failure(m.log), "cannot sync " DIR_FIRST));
}

/* ------------------------------------------------------------------ met by a start */

/* Goes on until the active segment is no longer the one that the newest checkpoint names, and some groups further. */
static uint64_t write_beyond_the_checkpoint(void)
{
    struct log_info before, now = model_info(&m);
    do {
        before = now;
        model_write_groups(&m, 1);
        now = model_info(&m);
    } while (now.segments == before.segments || now.checkpoints != before.checkpoints || now.checkpoints == 0);
    model_write_groups(&m, 4);
    assert_int_equal(model_info(&m).checkpoints, now.checkpoints);
    return now.segments - 1;
}

/* The groups behind a damaged table were durable, so they must not be taken for a torn tail. */
static void a_damaged_table_before_a_whole_segment_stops_the_start(void **state)
{
    (void)state;
    char name[FILE_NAME_SIZE], place[64];
    segment_file(name, write_beyond_the_checkpoint());
    struct groups g = dir_groups(m.disk, name);
    struct disk *d = dir_copy(m.disk);
    struct lines l;
    assert_true(disk_damage(d, name, g.of[g.count - 1].at + 20, 1, &chance));
    snprintf(place, sizeof place, "damaged at offset %llu", (unsigned long long)g.of[g.count - 1].at);
    dir_refuses(d, &m.config, name, place);
    assert_false(dir_check(d, &l));
    says(l, place);
    disk_free(d);
}

static void a_shortened_segment_stops_the_start(void **state)
{
    (void)state;
    model_write_segments(&m);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    struct disk *d = dir_copy(m.disk);
    char place[64];
    snprintf(place, sizeof place, "damaged at offset %llu: the file ends there", (unsigned long long)g.of[9].at);
    assert_true(disk_truncate(d, DIR_FIRST, g.of[9].at));
    dir_refuses(d, &m.config, DIR_FIRST, place);
    disk_free(d);
}

static void a_damaged_header_of_the_checkpoints_segment_stops_the_start(void **state)
{
    (void)state;
    model_write_groups(&m, 6);
    for (uint64_t id = 1; id < 3; id++) { /* the second segment has nothing but its header */
        char name[FILE_NAME_SIZE];
        segment_file(name, id);
        model_shut(&m, MODEL_STOP);
        struct disk *d = dir_copy(m.disk);
        assert_true(disk_damage(d, name, 0, SEGMENT_HEADER_SIZE, &chance));
        dir_refuses(d, &m.config, name, ".log: damaged at offset 0");
        disk_free(d);
        model_open(&m, MODEL_STOP);
    }
}

/* For example, written by a version that this one does not know. */
static void a_checkpoint_with_a_valid_checksum_and_malformed_content_stops_the_start(void **state)
{
    (void)state;
    model_write_segments(&m);
    struct span content;
    assert_true(disk_content(m.disk, CHECKPOINT_FILE, &content));
    const size_t state_size = 16 + 2 * 16; /* the model's, at the end */
    for (size_t size = CHECKPOINT_HEADER; size < content.size - state_size; size++) {
        struct disk *d = dir_copy(m.disk);
        struct buf b = { 0 };
        buf_add(&b, content.data, size);
        wire_store64(b.data + 16, size - CHECKPOINT_HEADER);
        wire_store64(b.data + 24, checkpoint_checksum(&b));
        disk_put(d, CHECKPOINT_FILE, buf_span(&b));
        dir_refuses(d, &m.config, "checkpoint: damaged: its content is malformed", "--repair");
        buf_free(&b);
        disk_free(d);
    }
}

static bool restore_nothing(void *context, struct span bytes)
{
    (void)context;
    (void)bytes;
    return false;
}

static void a_state_that_the_owner_cannot_read_stops_the_start(void **state)
{
    (void)state;
    model_write_segments(&m);
    struct disk *d = dir_copy(m.disk);
    struct files *files = disk_open(d);
    struct error e = { "" };
    const struct log_replay replay = { .restore = restore_nothing };
    assert_null(log_open(&m.config, files, &replay, &e));
    assert_non_null(strstr(e.text, "whose state this broker cannot read"));
    files->ops->close(files);
    disk_free(d);
}

/* As in a directory into which somebody put files of another copy, which had gone on with the same key. */
static struct disk *of_two(struct disk *checkpoint, const struct disk *segment)
{
    struct disk *d = dir_copy(checkpoint);
    struct span content;
    assert_true(disk_content(segment, DIR_FIRST, &content));
    disk_put(d, DIR_FIRST, content);
    return d;
}

static struct disk *stopped_after(uint64_t seed, int groups, uint32_t size)
{
    struct model other;
    model_begin(&other, seed, SEGMENT, LOG_SYNC_GROUP);
    model_new_queues(&other, 1);
    for (int i = 0; i < groups; i++) {
        assert_true(model_append(&other, &other.queues[0], 1, size, false));
        model_quiet(&other);
    }
    model_shut(&other, MODEL_STOP);
    struct disk *d = dir_copy(other.disk);
    model_open(&other, MODEL_STOP);
    model_end(&other);
    return d;
}

static void a_checkpoint_and_a_segment_of_two_copies_stop_the_start(void **state)
{
    (void)state;
    struct error e = { "" };
    bool torn;
    struct disk *one = stopped_after(2, 6, 100), *same_size = stopped_after(3, 6, 100),
                *larger = stopped_after(4, 3, 1000), *longer = stopped_after(5, 10, 1000),
                *shorter = stopped_after(2, 4, 100);
    struct disk *others[] = { same_size, larger, longer, shorter };
    assert_int_equal(dir_open(one, &m.config, &e, &torn), 6);
    disk_free(one);
    one = stopped_after(2, 6, 100);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct disk *d = of_two(one, others[i]);
        dir_refuses(d, &m.config, DIR_FIRST ": damaged at offset", "--repair");
        disk_free(d);
        disk_free(others[i]);
    }
    disk_free(one);
}

/* Each of the few operations of a start may fail; the next start has everything. */
static void a_start_on_a_failing_disk_reports_it_and_loses_nothing(void **state)
{
    (void)state;
    static const enum disk_fault faults[] = { DISK_READ_FAILS,   DISK_WRITE_FAILS,  DISK_WRITE_SHORT, DISK_SYNC_FAILS,
                                              DISK_CREATE_FAILS, DISK_REMOVE_FAILS, DISK_NO_SPACE };
    model_write_groups(&m, 6);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct disk *d = dir_copy(m.disk);
        struct error e = { "" };
        bool torn;
        dir_zero_from(d, DIR_FIRST, g.of[5].end - 5);
        disk_set_fault(d, faults[i], true);
        assert_int_equal(dir_open(d, &m.config, &e, &torn), -1);
        assert_true(strstr(e.text, "cannot read ") || strstr(e.text, "cannot write "));
        assert_false(disk_fault_is_armed(d, faults[i]));
        assert_int_equal(dir_open(d, &m.config, &e, &torn), 20);
        disk_free(d);
    }
}

#define with_log(test) with_queues(test, 2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(loading_damaged_events_is_an_error_with_the_place),
        with_log(a_damaged_segment_is_not_emptied),
        with_log(a_failed_sync_that_nobody_waits_for_ends_the_log),
        with_log(a_damaged_table_before_a_whole_segment_stops_the_start),
        with_log(a_shortened_segment_stops_the_start),
        with_log(a_damaged_header_of_the_checkpoints_segment_stops_the_start),
        with_log(a_checkpoint_with_a_valid_checksum_and_malformed_content_stops_the_start),
        with_log(a_state_that_the_owner_cannot_read_stops_the_start),
        with_log(a_checkpoint_and_a_segment_of_two_copies_stop_the_start),
        with_log(a_start_on_a_failing_disk_reports_it_and_loses_nothing),
    };
    return cmocka_run_group_tests_name("log_damage", tests, NULL, NULL);
}
