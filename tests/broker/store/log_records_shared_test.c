/* SHARED records, and the stretches of a shared run that its queues want. */
#include "broker/store/log_move.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct span record_of(struct buf *b, struct buf *targets)
{
    struct run_target to[] = { { 300, 9 }, { 2, 70000 }, { 5, 1 } };
    struct store_event events[] = { { .event = span_str("one") }, { .event = span_str("") } };
    targets_write(targets, to, 3);
    struct shared_record s = { .target_count = 3,
                               .noted = 2,
                               .targets = buf_span(targets),
                               .count = 2,
                               .accepted_ms = 1234,
                               .note = span_str("first"),
                               .other_note = span_str("else") };
    shared_write(b, &s, events);
    return buf_span(b);
}

static void a_shared_run_is_read_back_by_each_queue(void **state)
{
    (void)state;
    struct buf b = { 0 }, targets = { 0 };
    struct span rest = record_of(&b, &targets), event, lane;
    struct record r;
    struct run_record run;
    struct shared_record s;
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    assert_int_equal(r.type, RECORD_SHARED);
    static const struct {
        uint32_t queue;
        uint64_t first;
        const char *note;
    } want[] = { { 2, 70000, "else" }, { 5, 1, "else" }, { 300, 9, "first" } };
    for (size_t i = 0; i < 3; i++) {
        assert_true(record_run_of(&r, want[i].queue, &run));
        assert_int_equal(run.first, want[i].first);
        assert_int_equal(run.count, 2);
        assert_int_equal(run.bytes, 3);
        assert_int_equal(run.accepted_ms, 1234);
        assert_true(span_equal(run.note, span_str(want[i].note)));
        assert_true(run_next(&run, &event, &lane) && span_equal(event, span_str("one")));
        assert_true(run_next(&run, &event, &lane) && event.size == 0);
        assert_false(run_next(&run, &event, &lane));
    }
    assert_false(record_run_of(&r, 4, &run));
    assert_true(shared_read(r.payload, &s));
    for (size_t size = 0; size < r.payload.size; size++)
        assert_false(shared_read(span_of(r.payload.data, size), &s));
    buf_free(&b);
    buf_free(&targets);
}

static void a_run_without_queues_or_with_one_twice_is_refused(void **state)
{
    (void)state;
    struct shared_record s;
    /* moved, targets (step, first), noted, count, accepted, two notes, one empty event */
    const uint8_t fine[] = { 0, 2, 3, 1, 1, 1, 0, 1, 5, 0, 0, 0x2a, 0 };
    const uint8_t none[] = { 0, 0, 0, 1, 5, 0, 0, 0x2a, 0 };
    const uint8_t twice[] = { 0, 2, 3, 1, 0, 1, 0, 1, 5, 0, 0, 0x2a, 0 };
    const uint8_t nobodys_note[] = { 0, 2, 3, 1, 1, 1, 2, 1, 5, 0, 0, 0x2a, 0 };
    const uint8_t neither[] = { 2, 2, 3, 1, 1, 1, 0, 1, 5, 0, 0, 0x2a, 0 };
    assert_true(shared_read(span_of(fine, sizeof fine), &s));
    assert_false(shared_read(span_of(none, sizeof none), &s));
    assert_false(shared_read(span_of(twice, sizeof twice), &s));
    assert_false(shared_read(span_of(nobodys_note, sizeof nobodys_note), &s));
    assert_false(shared_read(span_of(neither, sizeof neither), &s));
}

static void a_shared_run_that_continues_the_one_before_costs_little_in_a_table(void **state)
{
    (void)state;
    struct buf b = { 0 }, targets = { 0 }, other = { 0 };
    struct run_target to[100], two[] = { { 7, 900 }, { 8, 5 } };
    struct table_entry alone[] = { { 7, 3, 40, 64, 100 } }, e;
    struct table_item shared[12], item;
    struct table_reader table;
    struct table_cursor seventh = { 0 }, last_one = { 0 };
    struct record r;
    for (uint32_t i = 0; i < 100; i++)
        to[i] = (struct run_target){ i + 1, 1000 * (i + 1) };
    targets_write(&targets, to, 100);
    targets_write(&other, two, 2);
    for (uint32_t i = 0; i < 12; i++) {
        struct table_entry place = { 0, 4, 0, 1000 + i * 500, 400 };
        bool last = i == 11;
        shared[i] = (struct table_item){ place, last ? 2 : 100, last ? 0 : 4 * i, buf_span(last ? &other : &targets) };
    }
    table_write(&b, alone, 1, shared, 12);
    assert_true(b.size < targets.size + 12 * 10 + 40);
    struct span rest = buf_span(&b);
    assert_int_equal(record_next(&rest, &r), LOG_OK);
    assert_true(table_open(&r, &table));
    assert_int_equal(table_next(&table, &item), LOG_OK);
    assert_true(table_entry_of(&seventh, &item, 7, &e) && e.first == 40);
    for (uint32_t i = 0; i < 12; i++) {
        assert_int_equal(table_next(&table, &item), LOG_OK);
        assert_true(table_entry_of(&seventh, &item, 7, &e));
        assert_int_equal(e.first, i == 11 ? 900 : 7000 + 4 * i);
        assert_int_equal(e.offset, 1000 + i * 500);
        assert_int_equal(e.size, 400);
        assert_int_equal(e.count, 4);
        assert_int_equal(table_entry_of(&last_one, &item, 100, &e), i != 11);
    }
    assert_int_equal(table_next(&table, &item), LOG_END);
    for (size_t size = 0; size < r.payload.size; size++) {
        struct record cut = { r.type, r.version, span_of(r.payload.data, size) };
        enum log_status status = LOG_BAD;
        if (table_open(&cut, &table)) {
            while ((status = table_next(&table, &item)) == LOG_OK)
                ;
        }
        assert_int_equal(status, LOG_BAD);
    }
    buf_free(&b);
    buf_free(&targets);
    buf_free(&other);
}

/* A stretch_ask: every other event is wanted. */
static bool wants_even(void *context, uint32_t target, const struct run_target *t, uint64_t sequence, uint64_t *until)
{
    (void)context;
    (void)target;
    (void)t;
    *until = sequence + 1;
    return sequence % 2 == 0;
}

/* The work of measuring a table depends on these, not on the number of its runs. */
static void stretches_count_their_questions(void **state)
{
    (void)state;
    const struct run_target targets[] = { { 1, 10 }, { 2, 20 }, { 3, 31 } };
    struct run_target wanting[3];
    struct stretches s = { .ask = wants_even, .targets = targets, .target_count = 3, .count = 8, .wanting = wanting };
    for (uint64_t i = 0; i < 8; i++) {
        assert_true(stretch_next(&s));
        assert_int_equal(s.from, i);
        assert_int_equal(s.events, 1);
        assert_int_equal(s.wanting_count, i % 2 ? 1 : 2);
        assert_int_equal(wanting[0].queue, i % 2 ? 3 : 1);
        assert_int_equal(wanting[0].first, i % 2 ? 31 + i : 10 + i);
        assert_int_equal(s.asked, 3 * (i + 1));
    }
    assert_false(stretch_next(&s));
    assert_int_equal(s.asked, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shared_run_is_read_back_by_each_queue),
        cmocka_unit_test(a_run_without_queues_or_with_one_twice_is_refused),
        cmocka_unit_test(a_shared_run_that_continues_the_one_before_costs_little_in_a_table),
        cmocka_unit_test(stretches_count_their_questions),
    };
    return cmocka_run_group_tests_name("log_records_shared", tests, NULL, NULL);
}
