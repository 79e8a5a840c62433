/* What a start does with a log that was torn, damaged, or is not this version's; and what --check and --repair say of it. */
#include "broker/store/log_format.h"
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

static void put_copy(void *context, const char *name, struct span content)
{
    disk_put(context, name, content);
}

static struct disk *copy_of(const struct disk *from)
{
    struct disk *d = disk_new();
    disk_each(from, put_copy, d);
    return d;
}

struct groups {
    struct {
        uint64_t at, end;
    } of[256];
    size_t count;
};

/* The groups of the segment, by the format's own reader. */
static struct groups groups_of(const struct disk *d, const char *name)
{
    struct groups g = { .count = 0 };
    struct span content, records;
    struct segment_header sh;
    struct group_header h;
    assert_true(disk_content(d, name, &content));
    assert_int_equal(segment_header_read(content, &sh), LOG_OK);
    uint64_t chain = sh.chain, at = SEGMENT_HEADER_SIZE;
    while (group_read(span_of(content.data + at, content.size - at), sh.id, chain, &h, &records) == LOG_OK) {
        assert_true(g.count < 256);
        g.of[g.count].at = at;
        at += GROUP_HEADER_SIZE + h.size;
        g.of[g.count].end = at;
        while (content.data[g.of[g.count].end - 1] == 0)
            g.of[g.count].end--; /* what is torn reads as zeros: these are never missed */
        g.count++;
        chain = h.chain;
    }
    return g;
}

static void zero_from(struct disk *d, const char *name, uint64_t from)
{
    struct span content;
    struct buf b = { 0 };
    assert_true(disk_content(d, name, &content));
    buf_add(&b, content.data, content.size);
    memset(b.data + from, 0, b.size - from);
    disk_put(d, name, buf_span(&b));
    buf_free(&b);
}

/* ------------------------------------------------------------------ opening them */

static void count_live(void *context, uint64_t first, uint64_t last)
{
    *(uint64_t *)context += last - first;
}

/* The number of live events, or -1 with the sentence. */
static int64_t open_copy(struct disk *d, struct error *e, bool *torn)
{
    struct log_replay nobody = { 0 };
    struct log_info info = { 0 };
    struct files *files = disk_open(d);
    struct store *log = log_open(&m.config, files, &nobody, e);
    uint64_t live = 0, bytes;
    if (log) {
        log_validate(log);
        log_info(log, &info);
        for (uint32_t queue = 1; queue <= m.queue_count; queue++)
            log_each_live(log, queue, count_live, &live, &bytes);
        log->ops->close(log);
    }
    *torn = info.torn;
    files->ops->close(files);
    return log ? (int64_t)live : -1;
}

static void refuses(struct disk *d, const char *one, const char *two)
{
    struct error e = { "" };
    bool torn;
    assert_int_equal(open_copy(d, &e, &torn), -1);
    if (!strstr(e.text, one) || !strstr(e.text, two))
        fail_msg("'%s' lacks '%s' or '%s'", e.text, one, two);
}

struct lines {
    char text[8192];
};

static void add_line(void *context, const char *line)
{
    struct lines *l = context;
    size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof l->text - used, "%s\n", line);
}

static bool check(struct disk *d, struct lines *l)
{
    struct files *files = disk_open(d);
    uint64_t before = disk_digest(d);
    l->text[0] = 0;
    bool whole = log_check(files, add_line, l);
    files->ops->close(files);
    assert_true(disk_digest(d) == before); /* it only reads */
    return whole;
}

static bool repair(struct disk *from, struct disk *to, struct lines *l)
{
    struct files *source = disk_open(from), *target = disk_open(to);
    l->text[0] = 0;
    bool fine = log_repair(source, target, add_line, l);
    source->ops->close(source);
    target->ops->close(target);
    return fine;
}

#define says(lines, what)                                                                                              \
    do {                                                                                                               \
        if (!strstr((lines).text, what))                                                                               \
            fail_msg("'%s' is not in:\n%s", what, (lines).text);                                                       \
    } while (0)

/* ------------------------------------------------------------------ torn */

#define FIRST "0000000000000001.log"

static void a_tail_torn_at_any_byte_is_cut_and_nothing_before_it(void **state)
{
    (void)state;
    write_groups(6);
    struct groups g = groups_of(m.disk, FIRST);
    assert_int_equal(g.count, 6);
    for (uint64_t cut = g.of[4].at; cut <= g.of[5].end; cut++) {
        struct disk *d = copy_of(m.disk);
        struct error e = { "" };
        struct lines l;
        bool torn;
        zero_from(d, FIRST, cut);
        uint64_t whole = cut < g.of[4].end ? 4 : cut < g.of[5].end ? 5 : 6;
        assert_true(check(d, &l));
        assert_int_equal(open_copy(d, &e, &torn), 4 * (int64_t)whole);
        assert_int_equal(open_copy(d, &e, &torn), 4 * (int64_t)whole); /* again: nothing changes any more */
        assert_false(torn);
        disk_free(d);
    }
}

static void a_torn_tail_is_told(void **state)
{
    (void)state;
    write_groups(3);
    struct groups g = groups_of(m.disk, FIRST);
    struct error e = { "" };
    struct lines l;
    bool torn;
    char place[64];
    struct disk *d = copy_of(m.disk);
    zero_from(d, FIRST, g.of[2].end - 5);
    assert_true(check(d, &l));
    snprintf(place, sizeof place, FIRST ": torn tail at offset %llu", (unsigned long long)g.of[2].at);
    says(l, place);
    assert_int_equal(open_copy(d, &e, &torn), 8);
    assert_true(torn);
    disk_free(d);
}

/* ------------------------------------------------------------------ damaged */

static void damage_anywhere_in_what_was_durable_stops_the_start(void **state)
{
    (void)state;
    write_groups(6);
    struct groups g = groups_of(m.disk, FIRST);
    char place[64];
    snprintf(place, sizeof place, "damaged at offset %llu", (unsigned long long)g.of[2].at);
    for (uint64_t at = g.of[2].at; at < g.of[2].end; at++) {
        struct disk *d = copy_of(m.disk);
        struct lines l;
        assert_true(disk_damage(d, FIRST, at, 1, &chance));
        refuses(d, FIRST, place);
        refuses(d, "--repair", "restore");
        assert_false(check(d, &l));
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
    struct disk *d = disk_new();
    disk_each(m.disk, put_copy, d);
    struct files *files = disk_open(d);
    struct file_op op = { .kind = FILE_REMOVE, .name = FIRST };
    assert_int_equal(files->ops->apply(files, &op), 0);
    files->ops->close(files);
    refuses(d, FIRST " is missing", "--repair");
    disk_free(d);
}

static void remove_file(struct disk *d, const char *name)
{
    struct files *files = disk_open(d);
    struct file_op op = { .kind = FILE_REMOVE };
    snprintf(op.name, sizeof op.name, "%s", name);
    assert_int_equal(files->ops->apply(files, &op), 0);
    files->ops->close(files);
}

static void a_missing_checkpoint_stops_the_start_when_it_is_needed(void **state)
{
    (void)state;
    write_segments();
    for (uint32_t i = 0; i < 2; i++)
        model_settle_rest(&m, &m.queues[i], 1);
    model_quiet(&m);
    model_restart(&m, MODEL_STOP);
    struct disk *d = copy_of(m.disk);
    struct span gone;
    assert_false(disk_content(d, FIRST, &gone)); /* so it is needed */
    remove_file(d, "checkpoint");
    refuses(d, "checkpoint is missing", "--repair");
    disk_free(d);
}

static void a_damaged_checkpoint_stops_the_start(void **state)
{
    (void)state;
    write_segments();
    struct span content;
    assert_true(disk_content(m.disk, "checkpoint", &content));
    for (uint64_t at = 0; at < content.size; at++) {
        struct disk *d = copy_of(m.disk);
        assert_true(disk_damage(d, "checkpoint", at, 1, &chance));
        refuses(d, "checkpoint: ", at >= 8 && at < 12 ? "" : "damaged");
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
    struct disk *d = copy_of(m.disk);
    assert_true(disk_content(d, FIRST, &content));
    buf_add(&b, content.data, content.size);
    assert_int_equal(segment_header_read(content, &h), LOG_OK);
    h.version = LOG_VERSION + 1;
    segment_header_write(b.data, &h);
    disk_put(d, FIRST, buf_span(&b));
    refuses(d, FIRST ": written by a newer version", "format 2");
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
    struct disk *d = copy_of(m.disk);
    disk_put(d, "receipt.key", span_str("0123456789abcdef"));
    disk_put(d, "0000000000000009.log", span_of(zeros, sizeof zeros));
    disk_put(d, "checkpoint.tmp", span_str("left over"));
    assert_int_equal(open_copy(d, &e, &torn), 12);
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
    assert_true(check(m.disk, &l));
    says(l, "queue 1: 319 events of 31900 bytes are live");
    assert_true(repair(m.disk, to, &l));
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
    struct groups g = groups_of(m.disk, FIRST);
    struct error e = { "" };
    struct lines l;
    bool torn;
    struct disk *d = copy_of(m.disk), *to = disk_new();
    assert_true(disk_damage(d, FIRST, g.of[4].at + 50, 1, &chance)); /* the third of queue 1: sequences 9 to 12 */
    assert_true(open_copy(d, &e, &torn) == 640);                     /* a start does not read there */
    assert_false(check(d, &l));
    says(l, FIRST ": damaged at offset");
    assert_true(repair(d, to, &l));
    says(l, "queue 1: 4 events are lost, sequences 9 to 12");
    says(l, "queue 1: 316 events are salvaged");
    says(l, "queue 2: 320 events are salvaged");
    assert_true(check(to, &l));
    assert_int_equal(open_copy(to, &e, &torn), 636);
    disk_free(d);
    disk_free(to);
}

static void damage_behind_the_checkpoint_costs_what_was_there(void **state)
{
    (void)state;
    write_groups(10);
    struct groups g = groups_of(m.disk, FIRST);
    struct error e = { "" };
    struct lines l;
    bool torn;
    struct disk *d = copy_of(m.disk), *to = disk_new();
    assert_true(disk_damage(d, FIRST, g.of[5].at + 40, 1, &chance)); /* the third of queue 2 */
    assert_true(repair(d, to, &l));
    says(l, "queue 2: sequences 9 to 12 are in no whole record");
    assert_int_equal(open_copy(to, &e, &torn), 36);
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
    struct disk *d = copy_of(m.disk);
    assert_false(repair(d, to, &l));
    disk_free(d);
    says(l, "is not empty");
    disk_free(to);
}

static void without_its_checkpoint_a_log_is_salvaged_as_far_as_it_is_there(void **state)
{
    (void)state;
    write_groups(20);
    model_restart(&m, MODEL_STOP);
    struct error e = { "" };
    struct lines l;
    bool torn;
    struct disk *d = copy_of(m.disk), *to = disk_new();
    disk_damage(d, "checkpoint", 40, 1, &chance);
    assert_true(repair(d, to, &l));
    says(l, "without a checkpoint");
    assert_int_equal(open_copy(to, &e, &torn), 80);
    disk_free(d);
    disk_free(to);
}

#define with_log(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_tail_torn_at_any_byte_is_cut_and_nothing_before_it),
        with_log(a_torn_tail_is_told),
        with_log(damage_anywhere_in_what_was_durable_stops_the_start),
        with_log(a_missing_segment_stops_the_start),
        with_log(a_missing_checkpoint_stops_the_start_when_it_is_needed),
        with_log(a_damaged_checkpoint_stops_the_start),
        with_log(a_newer_version_is_refused_by_name),
        with_log(other_files_and_spares_are_no_part_of_it),
        with_log(a_whole_log_is_copied_whole),
        with_log(damage_in_an_old_segment_costs_what_was_there),
        with_log(damage_behind_the_checkpoint_costs_what_was_there),
        with_log(repair_wants_an_empty_directory),
        with_log(without_its_checkpoint_a_log_is_salvaged_as_far_as_it_is_there),
    };
    return cmocka_run_group_tests_name("log_recovery", tests, NULL, NULL);
}
