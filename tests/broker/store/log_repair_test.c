/* --repair of whole, damaged and incomplete logs: the new log has everything that is there, and what is missing is
 * named. */
#include "tests/broker/store/log_fixture.h"

#include <errno.h>

static void a_whole_log_is_copied_whole(void **state)
{
    (void)state;
    model_write_segments(&m);
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
    model_write_segments(&m);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    struct error e = { "" };
    struct lines l;
    bool torn;
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    assert_true(disk_damage(d, DIR_FIRST, g.of[4].at + 50, 1, &chance)); /* queue 1's third group: sequences 9 to 12 */
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
    model_write_groups(&m, 10);
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
    model_write_groups(&m, 2);
    struct lines l;
    struct disk *to = disk_new();
    disk_put(to, "something", span_str("else"));
    struct disk *d = dir_copy(m.disk);
    assert_false(dir_repair(d, to, &l));
    disk_free(d);
    says(l, "is not empty");
    disk_free(to);
}

/* Whichever part does not fit, an incomplete log is never reported as repaired. */
static void repair_without_room_reports_it(void **state)
{
    (void)state;
    model_write_segments(&m);
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

static void without_a_checkpoint_everything_in_records_is_salvaged(void **state)
{
    (void)state;
    model_write_groups(&m, 20);
    model_restart(&m, MODEL_STOP);
    struct error e = { "" };
    struct lines l;
    bool torn;
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    disk_damage(d, "checkpoint", 40, 1, &chance);
    assert_true(dir_repair(d, to, &l));
    says(l, "there is no usable checkpoint");
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

static void other_files_are_copied(void **state)
{
    (void)state;
    model_write_groups(&m, 2);
    struct lines l;
    struct span content;
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    struct buf large = { 0 };
    memset(buf_reserve(&large, 700000), 'x', 700000); /* read in steps */
    large.size = 700000;
    disk_put(d, "receipt.key", span_str("0123456789abcdef"));
    disk_put(d, "large", buf_span(&large));
    disk_put(d, "lock", span_str("who has the old one"));
    assert_true(dir_repair(d, to, &l));
    assert_true(disk_content(to, "receipt.key", &content) && span_equal(content, span_str("0123456789abcdef")));
    assert_true(disk_content(to, "large", &content) && span_equal(content, buf_span(&large)));
    assert_false(disk_content(to, "lock", &content));
    assert_true(disk_content(to, "log.key", &content) && memcmp(content.data, "repaired", 8) == 0);
    buf_free(&large);
    disk_free(d);
    disk_free(to);
}

/* The new log's segments are as large as the old log's largest, so its largest event fits. */
static void the_largest_event_has_its_place(void **state)
{
    log_fixture_end(state);
    struct error e = { "" };
    struct lines l;
    bool torn;
    model_begin(&m, 1, 8u << 20, LOG_SYNC_GROUP);
    model_new_queues(&m, 1);
    for (int i = 0; i < 4; i++) {
        assert_true(model_append(&m, &m.queues[0], 1, 3u << 20, false));
        model_quiet(&m);
    }
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    assert_true(dir_repair(d, to, &l));
    assert_int_equal(dir_open(to, &m.config, &e, &torn), 4);
    disk_free(d);
    disk_free(to);
}

/* Whatever fails is reported, and the repair does not succeed. */
static void a_failing_target_disk_ends_the_repair(void **state)
{
    (void)state;
    static const enum disk_fault faults[] = { DISK_WRITE_FAILS,  DISK_WRITE_SHORT,   DISK_SYNC_FAILS,
                                              DISK_CREATE_FAILS, DISK_REPLACE_FAILS, DISK_NO_SPACE };
    model_write_segments(&m);
    for (size_t i = 0; i < 2 * sizeof faults / sizeof *faults; i++) {
        struct disk *d = dir_copy(m.disk), *to = disk_new();
        struct lines l;
        if (i % 2)
            dir_remove(d, "checkpoint");
        disk_set_fault(to, faults[i / 2], true);
        assert_false(dir_repair(d, to, &l));
        assert_true(strlen(l.text) > 0 && !disk_fault_is_armed(to, faults[i / 2]));
        disk_free(d);
        disk_free(to);
    }
}

/* A directory in which one file cannot be read. */
static const struct files_ops *sound;
static const char *unreadable;

static int read_but_one(struct files *f, const char *name, uint64_t offset, void *to, size_t size, size_t *got)
{
    return strcmp(name, unreadable) == 0 ? EIO : sound->read(f, name, offset, to, size, got);
}

static void add_line(void *context, const char *line)
{
    struct lines *l = context;
    size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof l->text - used, "%s\n", line);
}

static bool repair_without(const char *name, struct lines *l)
{
    struct disk *from = dir_copy(m.disk), *to = disk_new();
    struct files *source = disk_open(from), *target = disk_open(to);
    struct files_ops ops = *source->ops;
    sound = source->ops;
    unreadable = name;
    ops.read = read_but_one;
    source->ops = &ops;
    l->text[0] = '\0';
    bool fine = log_repair(source, target, (const uint8_t[LOG_KEY_SIZE]){ "repaired" }, NULL, add_line, l);
    source->ops = sound;
    source->ops->close(source);
    target->ops->close(target);
    disk_free(from);
    disk_free(to);
    return fine;
}

static void a_failing_source_disk_ends_the_repair(void **state)
{
    (void)state;
    struct lines l;
    model_write_segments(&m);
    assert_true(repair_without("nothing", &l));
    assert_false(repair_without(DIR_SECOND, &l));
    says(l, "cannot read the log: ");
    assert_false(repair_without("log.key", &l));
    says(l, "cannot read log.key: ");
    disk_put(m.disk, "incarnation", span_str("7"));
    assert_false(repair_without("incarnation", &l));
    says(l, "cannot copy incarnation: ");
}

static bool nothing_is_readable(struct span state)
{
    (void)state;
    return false;
}

/* Its checksum fits, but no start could read the core's state in it: a copy of that would be of no use. */
static void a_state_that_cannot_be_read_is_not_copied(void **state)
{
    (void)state;
    model_write_groups(&m, 20);
    model_restart(&m, MODEL_STOP);
    struct error e = { "" };
    struct lines l = { "" };
    bool torn;
    struct disk *from = dir_copy(m.disk), *to = disk_new();
    struct files *source = disk_open(from), *target = disk_open(to);
    assert_false(log_check(source, NULL, nothing_is_readable, add_line, &l));
    says(l, "checkpoint: written by a version whose state this broker cannot read");
    l.text[0] = '\0';
    assert_true(
        log_repair(source, target, (const uint8_t[LOG_KEY_SIZE]){ "repaired" }, nothing_is_readable, add_line, &l));
    says(l, "checkpoint: written by a version whose state this broker cannot read");
    says(l, "there is no usable checkpoint");
    source->ops->close(source);
    target->ops->close(target);
    assert_int_equal(dir_open(to, &m.config, &e, &torn), 80);
    disk_free(from);
    disk_free(to);
}

#define with_log(test) with_queues(test, 2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_whole_log_is_copied_whole),
        with_log(damage_in_an_old_segment_costs_what_was_there),
        with_log(damage_behind_the_checkpoint_costs_what_was_there),
        with_log(a_run_is_found_behind_any_number_of_copies),
        with_log(repair_wants_an_empty_directory),
        with_log(repair_without_room_reports_it),
        with_log(without_a_checkpoint_everything_in_records_is_salvaged),
        with_log(other_files_are_copied),
        with_log(the_largest_event_has_its_place),
        with_log(a_failing_target_disk_ends_the_repair),
        with_log(a_failing_source_disk_ends_the_repair),
        with_log(a_state_that_cannot_be_read_is_not_copied),
    };
    return cmocka_run_group_tests_name("log_repair", tests, NULL, NULL);
}
