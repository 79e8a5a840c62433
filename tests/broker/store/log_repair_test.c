/* What --repair makes of a log, whole, damaged, or in parts: all that is there is in the new one, and what is not is named. */
#include "broker/store/log_format.h"
#include "tests/broker/store/log_dirs.h"
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT (64u << 10)

static struct model m;
static uint64_t chance = 7;

static int begin(void **state)
{
    (void)state;
    model_begin(&m, 1, SEGMENT, LOG_SYNC_GROUP);
    model_new_queues(&m, 2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    model_end(&m);
    return 0;
}

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

/* Whatever does not fit, nothing is called repaired that is not all there. */
static void repair_without_room_says_so(void **state)
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

static void without_its_checkpoint_a_log_is_salvaged_as_far_as_it_is_there(void **state)
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
        with_log(a_whole_log_is_copied_whole),
        with_log(damage_in_an_old_segment_costs_what_was_there),
        with_log(damage_behind_the_checkpoint_costs_what_was_there),
        with_log(a_run_is_found_behind_any_number_of_copies),
        with_log(repair_wants_an_empty_directory),
        with_log(repair_without_room_says_so),
        with_log(without_its_checkpoint_a_log_is_salvaged_as_far_as_it_is_there),
    };
    return cmocka_run_group_tests_name("log_repair", tests, NULL, NULL);
}
