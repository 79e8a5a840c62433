/* Events whose bytes look like groups of the log. A publisher may try to have them taken for groups that the log
 * wrote: so that a torn tail is refused as damage, or --repair accepts events, settlements and notes that never
 * existed. */
#include "broker/store/log_format.h"
#include "tests/broker/store/log_dirs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT (256u << 10)

static struct disk *disk;
static struct log_config config;
static struct files *files;
static struct store *store;
static uint64_t next = 1, chance = 3;

static int begin(void **state)
{
    struct error e;
    const struct log_replay nobody = { 0 };
    (void)state;
    log_config_defaults(&config);
    config.segment_size = SEGMENT;
    memcpy(config.key, "the log's secret", LOG_KEY_SIZE);
    disk = disk_new();
    files = disk_open(disk);
    store = log_open(&config, files, &nobody, &e);
    assert_non_null(store);
    next = 1;
    return 0;
}

static void stop(void)
{
    disk_kill(disk);
    store->ops->close(store);
    files->ops->close(files);
    store = NULL;
}

static int end(void **state)
{
    (void)state;
    if (store)
        stop();
    disk_free(disk);
    return 0;
}

/* Appends a record of two events; the next one goes into the same group. */
static uint64_t put(struct span one, struct span two)
{
    uint64_t ticket;
    struct store_event events[2] = { { .event = one }, { .event = two } };
    struct store_run run = { .queue = 1, .first = next, .events = events, .count = 2, .accepted_ms = 5 };
    assert_int_equal(store->ops->append(store, &run, &ticket), STORE_LATER);
    next += 2;
    return ticket;
}

static void make_durable(uint64_t ticket)
{
    struct store_completion done;
    bool durable = false;
    for (int i = 0; i < 4; i++) {
        store->ops->flush(store, (mono_t){ (int64_t)next * 10 * MONO_MS });
        disk_settle(disk, &chance);
        while (store->ops->poll(store, &done))
            durable |= done.ticket >= ticket;
    }
    assert_true(durable);
}

/* A group of one record. */
static void publish(struct span one, struct span two)
{
    make_durable(put(one, two));
}

/* A group with records of queue 9, which does not exist, under a header that claims that everything was durable. */
static void add_group(struct buf *b, const struct segment_header *in)
{
    struct store_event event = { .event = span_str("invented") };
    struct store_run run = { .queue = 9, .first = 1, .events = &event, .count = 1, .accepted_ms = 1 };
    struct group_header h = { .number = 1000000, .durable = 1000000 };
    size_t start = b->size, head = group_header_size(in->version);
    memset(buf_reserve(b, head), 0, head);
    b->size += head;
    run_write(b, RECORD_EVENTS, &run);
    settled_write(b, 1, (struct settled_range[]){ { 1, 2, 10, CAUSE_ACKED } }, 1);
    group_header_write(b->data + start, &h, span_of(b->data + start + head, b->size - start - head), in, 0);
}

/* Every form of forgery open to somebody who knows everything but the key. */
static struct buf forged(void)
{
    struct buf b = { 0 };
    for (uint64_t segment = 1; segment < 4; segment++) {
        add_group(&b, &(struct segment_header){ .version = 1, .id = segment });
        add_group(&b, &(struct segment_header){ .version = LOG_VERSION, .id = segment });
        add_group(&b, &(struct segment_header){ .version = LOG_VERSION, .id = segment, .key = "a guess" });
    }
    return b;
}

/* A header without records, for an event at the end of its record: the real record behind it is to be taken for the
 * forged group's. */
static struct buf header_for(size_t size)
{
    struct buf b = { 0 };
    const struct segment_header in = { .version = LOG_VERSION, .id = 1 };
    struct group_header h = { .number = 1000000, .durable = 1000000 };
    group_header_write(buf_reserve(&b, GROUP_HEADER_SIZE), &h, span_of(&b, 0), &in, 0);
    wire_store32(b.data + 4, (uint32_t)size);
    b.size = GROUP_HEADER_SIZE;
    return b;
}

static void a_torn_tail_with_forged_groups_in_it_is_torn(void **state)
{
    (void)state;
    struct error e;
    struct buf evil = forged();
    bool torn;
    publish(span_str("one"), span_str("two"));
    publish(buf_span(&evil), buf_span(&evil));
    stop();
    struct groups g = dir_groups(disk, DIR_FIRST);
    assert_int_equal(g.count, 2);
    for (uint64_t cut = g.of[1].at + 1; cut < g.of[1].end; cut += 7) {
        struct disk *d = dir_copy(disk);
        assert_true(disk_damage(d, DIR_FIRST, cut, 1, &chance)); /* a sector that did not reach the disk */
        assert_int_equal(dir_open(d, &config, &e, &torn), 2);
        assert_true(torn);
        disk_free(d);
    }
    buf_free(&evil);
}

static void repair_takes_no_forged_group(void **state)
{
    (void)state;
    struct error e;
    struct buf evil = forged();
    bool torn;
    publish(span_str("one"), span_str("two"));
    publish(buf_span(&evil), span_str("between"));
    publish(span_str("five"), span_str("six"));
    stop();
    struct groups g = dir_groups(disk, DIR_FIRST);
    for (uint64_t at = g.of[1].at; at < g.of[1].end; at += 31) {
        struct disk *d = dir_copy(disk), *to = disk_new();
        struct lines l;
        assert_true(disk_damage(d, DIR_FIRST, at, 1, &chance));
        dir_refuses(d, &config, DIR_FIRST ": damaged at offset", "--repair");
        assert_true(dir_repair(d, to, &l));
        assert_null(strstr(l.text, "queue 9"));
        assert_int_equal(dir_open(to, &config, &e, &torn),
                         4); /* the first and the last two; the forged settlement of 1 is none */
        disk_free(d);
        disk_free(to);
    }
    buf_free(&evil);
}

static size_t size_of_record(struct span one, struct span two)
{
    struct buf b = { 0 };
    struct store_event events[2] = { { .event = one }, { .event = two } };
    struct store_run run = { .queue = 1, .first = 5, .events = events, .count = 2, .accepted_ms = 5 };
    run_write(&b, RECORD_EVENTS, &run);
    size_t size = b.size;
    buf_free(&b);
    return size;
}

static void a_forged_header_before_real_records_is_not_taken_for_a_header(void **state)
{
    (void)state;
    struct error e;
    bool torn;
    struct buf evil = header_for(size_of_record(span_str("real"), span_str("events")));
    publish(span_str("one"), span_str("two"));
    put(span_str("three"), buf_span(&evil));
    put(span_str("real"), span_str("events"));
    make_durable(put(span_str("that is"), span_str("torn")));
    stop();
    struct groups g = dir_groups(disk, DIR_FIRST);
    assert_int_equal(g.count, 2);
    struct disk *d = dir_copy(disk);
    dir_zero_from(d, DIR_FIRST, g.of[1].end - 3);
    assert_int_equal(dir_open(d, &config, &e, &torn), 2);
    assert_true(torn);
    disk_free(d);
    buf_free(&evil);
}

/* Each of a hundred thousand headers claims everything that follows as its records. Only the keyed check of the
 * header keeps the search from reading all of that each time. */
static void a_search_through_forged_headers_takes_no_longer_than_its_bytes(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct group_header h = { .number = 1000000, .durable = 1000000 };
    const struct segment_header guess = { .version = LOG_VERSION, .id = 1 };
    struct segment_header in = guess;
    memcpy(in.key, config.key, SEGMENT_KEY_SIZE);
    const size_t all = 16u << 20;
    memset(buf_reserve(&b, all), 'x', all);
    b.size = all;
    for (size_t at = 0; at + GROUP_HEADER_SIZE < all; at += GROUP_HEADER_SIZE) {
        group_header_write(b.data + at, &h, span_of(b.data, 0), &guess, 0);
        wire_store32(b.data + at + 4, (uint32_t)(all - at - GROUP_HEADER_SIZE));
    }
    assert_true(group_search(buf_span(&b), 0, &in, &h) == SIZE_MAX);
    buf_free(&b);
}

/* The group at `at` says that none before it was durable, as if they were written together. */
static void forget_durable(struct buf *b, size_t at)
{
    struct group_header h;
    struct segment_header in;
    assert_int_equal(segment_header_read(buf_span(b), &in), LOG_OK);
    assert_int_equal(group_search(buf_span(b), at, &in, &h), at);
    h.durable = 0;
    group_header_write(b->data + at, &h, span_of(b->data + at + GROUP_HEADER_SIZE, h.size), &in, h.previous);
}

/* A whole group behind a torn one has a number that will be used again, so a later repair must not find it. */
static void groups_behind_a_torn_tail_are_gone(void **state)
{
    (void)state;
    struct error e;
    struct span content;
    bool torn;
    for (int i = 0; i < 3; i++)
        publish(span_str("some"), span_str("events"));
    stop();
    struct groups g = dir_groups(disk, DIR_FIRST);
    assert_true(disk_content(disk, DIR_FIRST, &content));
    struct buf b = { 0 };
    buf_add(&b, content.data, content.size);
    forget_durable(&b, (size_t)g.of[2].at);
    struct disk *d = dir_copy(disk);
    disk_put(d, DIR_FIRST, buf_span(&b));
    assert_true(disk_damage(d, DIR_FIRST, g.of[1].at + 50, 1, &chance));
    assert_int_equal(dir_open(d, &config, &e, &torn), 2);
    assert_true(torn);
    struct groups now = dir_groups(d, DIR_FIRST);
    assert_int_equal(now.count, 2); /* the first, the table */
    assert_true(disk_content(d, DIR_FIRST, &content));
    struct group_header h;
    struct segment_header in;
    assert_int_equal(segment_header_read(content, &in), LOG_OK);
    assert_true(group_search(content, (size_t)now.of[1].end, &in, &h) == SIZE_MAX);
    disk_free(d);
    buf_free(&b);
}

#define with_log(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_torn_tail_with_forged_groups_in_it_is_torn),
        with_log(repair_takes_no_forged_group),
        with_log(a_forged_header_before_real_records_is_not_taken_for_a_header),
        with_log(a_search_through_forged_headers_takes_no_longer_than_its_bytes),
        with_log(groups_behind_a_torn_tail_are_gone),
    };
    return cmocka_run_group_tests_name("log_forged", tests, NULL, NULL);
}
