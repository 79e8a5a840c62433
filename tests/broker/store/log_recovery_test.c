/* What a start does with a log that is torn, damaged, or of a newer version, and what --check reports of it. */
#include "tests/broker/store/log_fixture.h"

/* ------------------------------------------------------------------ torn */

static void a_tail_torn_at_any_byte_is_cut_and_nothing_before_it(void **state)
{
    (void)state;
    model_write_groups(&m, 6);
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

static void a_torn_tail_is_reported(void **state)
{
    (void)state;
    model_write_groups(&m, 3);
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

/* The simulated disk does not count trailing zeros as data. */
static void zeros_at_the_end_of_the_last_group_belong_to_it(void **state)
{
    (void)state;
    static const uint8_t zeros[9000];
    struct error e = { "" };
    struct lines l;
    bool torn;
    uint64_t ticket;
    model_write_groups(&m, 2);
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

/* A segment as a broker leaves it whose last write was not synced: the bytes from `from` on are in the system's
 * memory only. */
static void write_unsynced(struct disk *d, uint64_t from, struct span bytes)
{
    struct files *f = disk_open(d);
    struct file_op op = { .kind = FILE_WRITE, .name = DIR_FIRST, .offset = from };
    buf_add(&op.data, bytes.data, bytes.size);
    assert_int_equal(f->ops->apply(f, &op), 0);
    buf_free(&op.data);
    f->ops->close(f);
}

/* The table with which a start seals the segment proves to every later start that the groups before it were durable. */
static void an_interrupted_start_has_claimed_nothing_that_was_not_synced(void **state)
{
    (void)state;
    model_write_groups(&m, 6);
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

/* A sync failed, but the bytes are in the system's memory, where the next start finds them whole. From then on the
 * events count as accepted, and a publisher that asks is told so. Then the power fails. */
static void what_a_failed_sync_left_is_on_disk_before_it_counts(void **state)
{
    (void)state;
    uint64_t back = 0;
    m.may_fail = true;
    for (int i = 0; i < 200; i++) {
        model_write_groups(&m, (int)model_random(&m, 3));
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
    model_write_groups(&m, 6);
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

static void a_missing_segment_stops_the_start(void **state)
{
    (void)state;
    model_write_segments(&m);
    struct disk *d = dir_copy(m.disk);
    dir_remove(d, DIR_FIRST);
    dir_refuses(d, &m.config, DIR_FIRST " is missing", "--repair");
    disk_free(d);
}

static void a_missing_checkpoint_stops_the_start_when_it_is_needed(void **state)
{
    (void)state;
    model_write_segments(&m);
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
    model_write_segments(&m);
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
    model_write_groups(&m, 2);
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

static void other_files_and_spares_are_not_part_of_the_log(void **state)
{
    (void)state;
    static const uint8_t zeros[4096];
    model_write_groups(&m, 3);
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

#define with_log(test) with_queues(test, 2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_tail_torn_at_any_byte_is_cut_and_nothing_before_it),
        with_log(a_torn_tail_is_reported),
        with_log(zeros_at_the_end_of_the_last_group_belong_to_it),
        with_log(an_interrupted_start_has_claimed_nothing_that_was_not_synced),
        with_log(what_a_failed_sync_left_is_on_disk_before_it_counts),
        with_log(damage_anywhere_in_what_was_durable_stops_the_start),
        with_log(a_missing_segment_stops_the_start),
        with_log(a_missing_checkpoint_stops_the_start_when_it_is_needed),
        with_log(a_damaged_checkpoint_stops_the_start),
        with_log(a_newer_version_is_refused_by_name),
        with_log(other_files_and_spares_are_not_part_of_the_log),
    };
    return cmocka_run_group_tests_name("log_recovery", tests, NULL, NULL);
}
