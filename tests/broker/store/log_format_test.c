/* The log's codec: what is written is read back, and no truncated or altered bytes are taken for what was written. */
#include "broker/store/log_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PREVIOUS UINT64_C(0x1122334455667788)

static const struct segment_header in = { .version = LOG_VERSION, .id = 7, .key = "the log's secret" };

/* A buffer of exactly that size, so that a sanitizer sees every read beyond it. */
static struct span exact(struct span s, uint8_t **owned)
{
    *owned = malloc(s.size ? s.size : 1);
    if (s.size)
        memcpy(*owned, s.data, s.size);
    return span_of(*owned, s.size);
}

static void add_run(struct buf *b, enum record_type type, uint32_t queue, uint64_t first, size_t count)
{
    struct store_event events[8];
    static const char text[] = "abcdefghijklmnop";
    for (size_t i = 0; i < count; i++)
        events[i] = (struct store_event){ .event = span_of(text, i * 2) };
    struct store_run run = { .queue = queue,
                             .first = first,
                             .events = events,
                             .count = count,
                             .accepted_ms = 1700000000123,
                             .note = span_str("note") };
    run_write(b, type, &run);
}

static void a_segments_header_is_read_back(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header h = { .version = LOG_VERSION,
                                .id = 0x123456789,
                                .chain = PREVIOUS,
                                .key = "sixteen letters." },
                          got;
    segment_header_write(bytes, &h);
    assert_int_equal(segment_header_read(span_of(bytes, sizeof bytes), &got), LOG_OK);
    assert_int_equal(got.version, LOG_VERSION);
    assert_memory_equal(got.key, h.key, SEGMENT_KEY_SIZE);
    assert_int_equal(got.id, h.id);
    assert_int_equal(got.chain, h.chain);
}

static void a_newer_segments_version_can_be_read(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header h = { .version = LOG_VERSION + 1, .id = 3 }, got;
    segment_header_write(bytes, &h);
    assert_int_equal(segment_header_read(span_of(bytes, sizeof bytes), &got), LOG_OK);
    assert_int_equal(got.version, LOG_VERSION + 1);
}

static void a_cut_or_flipped_segment_header_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE], zeros[SEGMENT_HEADER_SIZE] = { 0 };
    struct segment_header h = { .version = 1, .id = 5, .chain = 9 }, got;
    segment_header_write(bytes, &h);
    for (size_t size = 1; size < sizeof bytes; size++)
        assert_int_equal(segment_header_read(span_of(bytes, size), &got), LOG_BAD);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 0x20;
        assert_int_equal(segment_header_read(span_of(bytes, sizeof bytes), &got), LOG_BAD);
        bytes[i] ^= 0x20;
    }
    for (size_t size = 0; size <= sizeof zeros; size++)
        assert_int_equal(segment_header_read(span_of(zeros, size), &got), LOG_END);
}

static struct buf a_group(struct group_header *h)
{
    struct buf b = { 0 };
    memset(buf_reserve(&b, GROUP_HEADER_SIZE), 0, GROUP_HEADER_SIZE);
    b.size = GROUP_HEADER_SIZE;
    add_run(&b, RECORD_EVENTS, 4, 100, 5);
    settled_write(&b, 4, (struct settled_range[]){ { 1, 4, 60, CAUSE_ACKED } }, 1);
    *h = (struct group_header){ .number = 12, .durable = 11 };
    group_header_write(b.data, h, span_of(b.data + GROUP_HEADER_SIZE, b.size - GROUP_HEADER_SIZE), &in, PREVIOUS);
    return b;
}

static void a_group_is_read_back(void **state)
{
    (void)state;
    struct group_header h, got;
    struct span records;
    struct buf b = a_group(&h);
    assert_int_equal(group_read(buf_span(&b), &in, PREVIOUS, &got, &records), LOG_OK);
    assert_int_equal(got.number, 12);
    assert_int_equal(got.durable, 11);
    assert_int_equal(got.chain, h.chain);
    assert_int_equal(got.size, records.size);
    assert_ptr_equal(records.data, b.data + GROUP_HEADER_SIZE);
    buf_free(&b);
}

static void a_group_belongs_to_its_segment_and_follows_its_predecessor(void **state)
{
    (void)state;
    struct group_header h, got;
    struct span records;
    struct buf b = a_group(&h);
    struct segment_header other = in;
    other.id++;
    assert_int_equal(group_read(buf_span(&b), &other, PREVIOUS, &got, &records), LOG_BAD);
    assert_true(group_search(buf_span(&b), 0, &other, &got) == SIZE_MAX);
    assert_int_equal(group_read(buf_span(&b), &in, PREVIOUS + 1, &got, &records), LOG_BAD);
    buf_free(&b);
}

/* Who chooses bytes that lie in the log does not know the key. */
static void a_group_under_another_key_is_none(void **state)
{
    (void)state;
    struct group_header h, got;
    struct span records;
    struct buf b = a_group(&h);
    for (size_t i = 0; i < SEGMENT_KEY_SIZE; i++) {
        struct segment_header other = in;
        other.key[i] ^= 1;
        assert_int_equal(group_read(buf_span(&b), &other, PREVIOUS, &got, &records), LOG_BAD);
        assert_true(group_search(buf_span(&b), 0, &other, &got) == SIZE_MAX);
    }
    buf_free(&b);
}

static void a_cut_or_flipped_group_is_refused(void **state)
{
    (void)state;
    struct group_header h, got;
    struct span records;
    struct buf b = a_group(&h);
    for (size_t size = 1; size < b.size; size++) {
        uint8_t *owned;
        struct span cut = exact(span_of(b.data, size), &owned);
        assert_int_equal(group_read(cut, &in, PREVIOUS, &got, &records), LOG_BAD);
        free(owned);
    }
    for (size_t i = 0; i < b.size * 8; i++) {
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(group_read(buf_span(&b), &in, PREVIOUS, &got, &records), LOG_BAD);
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    buf_free(&b);
}

static void zeros_end_the_groups(void **state)
{
    (void)state;
    uint8_t zeros[100] = { 0 };
    struct group_header got;
    struct span records;
    assert_int_equal(group_read(span_of(zeros, sizeof zeros), &in, PREVIOUS, &got, &records), LOG_END);
    assert_int_equal(group_read(span_of(zeros, 3), &in, PREVIOUS, &got, &records), LOG_END);
    assert_int_equal(group_read(span_of(zeros, 0), &in, PREVIOUS, &got, &records), LOG_END);
}

static void a_group_is_found_behind_damage(void **state)
{
    (void)state;
    struct group_header h, got;
    struct buf b = a_group(&h), all = { 0 };
    buf_add_str(&all, "damage SLGP SLGPSLGP and so on");
    size_t place = all.size;
    buf_add(&all, b.data, b.size);
    buf_add_str(&all, "SLG");
    assert_int_equal(group_search(buf_span(&all), 0, &in, &got), place);
    assert_int_equal(got.number, 12);
    assert_int_equal(got.durable, 11);
    assert_true(group_search(buf_span(&all), place + 1, &in, &got) == SIZE_MAX);
    assert_true(group_search(buf_span(&all), all.size + 5, &in, &got) == SIZE_MAX);
    all.data[place + b.size - 1] ^= 1; /* its last record is not whole */
    assert_true(group_search(buf_span(&all), 0, &in, &got) == SIZE_MAX);
    buf_free(&b);
    buf_free(&all);
}

static void records_are_read_back_one_after_the_other(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct record r;
    size_t mark = record_begin(&b, RECORD_NOTE);
    buf_add_str(&b, "a word");
    record_end(&b, mark);
    mark = record_begin(&b, RECORD_NOTE);
    record_end(&b, mark);
    forgotten_write(&b, 99);
    struct span rest = buf_span(&b);
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    assert_int_equal(r.type, RECORD_NOTE);
    assert_int_equal(r.version, 1);
    assert_true(span_equal(r.payload, span_str("a word")));
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    assert_int_equal(r.payload.size, 0);
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    uint32_t queue = 0;
    assert_true(r.type == RECORD_FORGOTTEN && forgotten_read(r.payload, &queue));
    assert_int_equal(queue, 99);
    assert_int_equal(record_next(&rest, &r), LOG_END);
    buf_free(&b);
}

static void a_cut_or_flipped_record_is_refused(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct record r;
    add_run(&b, RECORD_MOVED, 1, 1, 3);
    for (size_t size = 1; size < b.size; size++) {
        uint8_t *owned;
        struct span rest = exact(span_of(b.data, size), &owned);
        assert_int_equal(record_next(&rest, &r), LOG_BAD);
        free(owned);
    }
    for (size_t i = 0; i < b.size * 8; i++) {
        struct span rest = buf_span(&b);
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(record_next(&rest, &r), LOG_BAD);
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    buf_free(&b);
}

static struct run_record read_run(struct buf *b)
{
    struct record r;
    struct run_record run;
    struct span rest = buf_span(b);
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    assert_true(run_read(r.payload, &run));
    return run;
}

static void a_run_is_read_back_event_by_event(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct span event, lane;
    add_run(&b, RECORD_EVENTS, 4000000000u, UINT64_C(1) << 40, 5);
    struct run_record run = read_run(&b);
    assert_int_equal(run.queue, 4000000000u);
    assert_int_equal(run.first, UINT64_C(1) << 40);
    assert_int_equal(run.count, 5);
    assert_int_equal(run.accepted_ms, 1700000000123);
    assert_true(span_equal(run.note, span_str("note")));
    assert_int_equal(run.bytes, 0 + 2 + 4 + 6 + 8);
    for (size_t i = 0; i < 5; i++) {
        assert_true(run_next(&run, &event, &lane));
        assert_true(span_equal(event, span_of("abcdefghijklmnop", i * 2)));
        assert_int_equal(lane.size, event.size + 2);
    }
    assert_false(run_next(&run, &event, &lane));
    buf_free(&b);
}

static void a_run_in_lane_form_is_the_same(void **state)
{
    (void)state;
    struct buf b = { 0 }, copy = { 0 };
    add_run(&b, RECORD_MOVED, 3, 17, 6);
    struct run_record run = read_run(&b);
    run_write_raw(&copy, RECORD_MOVED, &run, span_of(run.events.at, (size_t)(run.events.end - run.events.at)));
    assert_true(span_equal(buf_span(&b), buf_span(&copy)));
    buf_free(&b);
    buf_free(&copy);
}

/* Payloads whose record holds, and that say something impossible. */
static void a_malformed_run_is_refused(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct record r;
    struct run_record run;
    add_run(&b, RECORD_EVENTS, 1, 1, 4);
    struct span rest = buf_span(&b);
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    for (size_t size = 0; size < r.payload.size; size++) {
        uint8_t *owned;
        assert_false(run_read(exact(span_of(r.payload.data, size), &owned), &run));
        free(owned);
    }
    buf_add_byte(&b, 0x0a); /* an event more than it counts */
    buf_add_byte(&b, 0);
    assert_false(run_read(span_of(b.data + RECORD_HEADER_SIZE, b.size - RECORD_HEADER_SIZE), &run));
    b.data[RECORD_HEADER_SIZE + 2] = 0; /* no event */
    assert_false(run_read(r.payload, &run));
    buf_free(&b);
}

static void settled_ranges_are_read_back(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct record r;
    struct settled_record s;
    struct settled_range got;
    const struct settled_range ranges[] = { { 1, 2, 0, CAUSE_ACKED },
                                            { 5, 1000005, 300, CAUSE_PURGED },
                                            { 3, 4, 7, CAUSE_DROPPED } };
    settled_write(&b, 77, ranges, 3);
    struct span rest = buf_span(&b);
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    assert_true(settled_read(r.payload, &s));
    assert_int_equal(s.queue, 77);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(settled_range_next(&s, &got), LOG_OK);
        assert_int_equal(got.first, ranges[i].first);
        assert_int_equal(got.end, ranges[i].end);
        assert_int_equal(got.bytes, ranges[i].bytes);
        assert_int_equal(got.cause, ranges[i].cause);
    }
    assert_int_equal(settled_range_next(&s, &got), LOG_END);
    for (size_t size = 0; size < r.payload.size; size++) {
        enum log_status status = LOG_BAD;
        if (settled_read(span_of(r.payload.data, size), &s)) {
            while ((status = settled_range_next(&s, &got)) == LOG_OK)
                ;
        }
        assert_int_equal(status, LOG_BAD);
    }
    buf_free(&b);
}

static void a_settlement_for_an_unknown_reason_or_of_nothing_is_refused(void **state)
{
    (void)state;
    struct settled_record s;
    struct settled_range got;
    const uint8_t cause[] = { 1, 1, CAUSE_REMOVED + 1, 1, 1, 0 }, none[] = { 1, 1, CAUSE_ACKED, 1, 0, 0 };
    assert_true(settled_read(span_of(cause, sizeof cause), &s));
    assert_int_equal(settled_range_next(&s, &got), LOG_BAD);
    assert_true(settled_read(span_of(none, sizeof none), &s));
    assert_int_equal(settled_range_next(&s, &got), LOG_BAD);
}

struct seen {
    struct table_entry entries[8];
    size_t count;
};

static bool read_table(struct span payload, struct seen *seen)
{
    const struct record r = { .type = RECORD_TABLE, .version = 1, .payload = payload };
    struct table_reader table;
    struct table_item item;
    enum log_status status = LOG_BAD;
    bool opens = table_open(&r, &table);
    while (opens && (status = table_next(&table, &item)) == LOG_OK) {
        assert_true(seen->count < 8 && item.target_count == 0);
        seen->entries[seen->count++] = item.e;
    }
    return status == LOG_END;
}

static void a_table_is_sorted_and_without_repeats(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct record r;
    struct seen seen = { 0 };
    struct table_entry entries[] = {
        { 9, 1, 5, 700, 30 },    { 2, 10, 11, 300, 100 }, { 2, 10, 1, 64, 236 },
        { 2, 10, 11, 300, 100 }, { 9, 2, 8, 900, 40 },    { 2, 10, 11, 300, 100 },
    };
    table_write(&b, entries, 6, NULL, 0);
    struct span rest = buf_span(&b);
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    assert_int_equal(r.type, RECORD_TABLE);
    assert_true(read_table(r.payload, &seen));
    const struct table_entry want[] = {
        { 2, 10, 1, 64, 236 }, { 2, 10, 11, 300, 100 }, { 9, 1, 5, 700, 30 }, { 9, 2, 8, 900, 40 }
    };
    assert_int_equal(seen.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(seen.entries[i].queue, want[i].queue);
        assert_int_equal(seen.entries[i].first, want[i].first);
        assert_int_equal(seen.entries[i].count, want[i].count);
        assert_int_equal(seen.entries[i].offset, want[i].offset);
        assert_int_equal(seen.entries[i].size, want[i].size);
    }
    for (size_t size = 0; size < r.payload.size; size++) {
        seen.count = 0;
        assert_false(read_table(span_of(r.payload.data, size), &seen));
    }
    buf_free(&b);
}

static void an_empty_table_is_a_table(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct record r;
    struct seen seen = { 0 };
    table_write(&b, NULL, 0, NULL, 0);
    struct span rest = buf_span(&b);
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    assert_true(read_table(r.payload, &seen));
    assert_int_equal(seen.count, 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segments_header_is_read_back),
        cmocka_unit_test(a_newer_segments_version_can_be_read),
        cmocka_unit_test(a_cut_or_flipped_segment_header_is_refused),
        cmocka_unit_test(a_group_is_read_back),
        cmocka_unit_test(a_group_belongs_to_its_segment_and_follows_its_predecessor),
        cmocka_unit_test(a_group_under_another_key_is_none),
        cmocka_unit_test(a_cut_or_flipped_group_is_refused),
        cmocka_unit_test(zeros_end_the_groups),
        cmocka_unit_test(a_group_is_found_behind_damage),
        cmocka_unit_test(records_are_read_back_one_after_the_other),
        cmocka_unit_test(a_cut_or_flipped_record_is_refused),
        cmocka_unit_test(a_run_is_read_back_event_by_event),
        cmocka_unit_test(a_run_in_lane_form_is_the_same),
        cmocka_unit_test(a_malformed_run_is_refused),
        cmocka_unit_test(settled_ranges_are_read_back),
        cmocka_unit_test(a_settlement_for_an_unknown_reason_or_of_nothing_is_refused),
        cmocka_unit_test(a_table_is_sorted_and_without_repeats),
        cmocka_unit_test(an_empty_table_is_a_table),
    };
    return cmocka_run_group_tests_name("log_format", tests, NULL, NULL);
}
