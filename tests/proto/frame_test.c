/* Frames: what is written is what is read. Malformed frames are in frame_bad_test.c. */
#include "proto/control.h"
#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/proto/sample_frame.h"

static struct buf frame;
static struct wire_reader bodies;
static struct body body;

static int end(void **state)
{
    (void)state;
    buf_free(&frame);
    return 0;
}

/* Reads the only body of what was written. */
static void read_only_body(enum body_kind kind)
{
    struct frame_header header;
    assert_int_equal(frame_open(buf_span(&frame), &header, &bodies), FRAME_OK);
    assert_int_equal(frame_next(&bodies, &body), FRAME_OK);
    assert_int_equal(body.kind, kind);
    struct body none;
    assert_int_equal(frame_next(&bodies, &none), FRAME_END);
}

static void assert_text(struct span s, const char *text)
{
    assert_int_equal(s.size, strlen(text));
    assert_memory_equal(s.data, text, s.size);
}

static void a_header_round_trips_in_its_fixed_size(void **state)
{
    (void)state;
    static const struct frame_header zero = { 0 };
    const struct frame_header *headers[] = { &sample_header, &zero };
    for (unsigned i = 0; i < 2; i++) {
        uint8_t bytes[FRAME_HEADER_SIZE];
        struct frame_header h;
        frame_header_write(bytes, headers[i]);
        assert_int_equal(frame_open(span_of(bytes, sizeof bytes), &h, &bodies), FRAME_OK);
        assert_true(wire_done(&bodies)); /* a heartbeat */
        assert_int_equal(frame_next(&bodies, &body), FRAME_END);
        assert_true(token_equal(h.token, headers[i]->token));
        assert_int_equal(h.epoch, headers[i]->epoch);
        assert_int_equal(h.sequence, headers[i]->sequence);
        assert_int_equal(h.received, headers[i]->received);
        assert_int_equal(h.stamp, headers[i]->stamp);
        assert_int_equal(h.echo, headers[i]->echo);
    }
}

static void every_body_comes_back_in_order(void **state)
{
    (void)state;
    static const char expected[] = "1  request-id-of-16 tcp://*:7401\n"
                                   "2 orders 100 5000\n"
                                   "  entry first 5000 0 0 0  \n"
                                   "  entry second 0 1 35184372088832 18446744073709551615 k sixteen bytes...\n"
                                   "  entry  4294967294 0 0 0  \n"
                                   "3 orders 101 2\n"
                                   "4 orders 99\n"
                                   "5 mail 3\n"
                                   "  settle 0 11 2 0 0 \n"
                                   "  settle 1 13 1 500 503 no luck\n"
                                   "  settle 3 14 3 0 0 \n"
                                   "6 mail 5 64\n"
                                   "7 mail 2\n"
                                   "8 mail\n"
                                   "9\n"
                                   "10 orders\n"
                                   "  run 100 1 70 1\n"
                                   "  run 101 40 71 2\n"
                                   "11 orders 141 9 1 10000 10001 250 audit\n"
                                   "12 mail 3 30000 2 5\n"
                                   "  batch 11 1000 1 receipt-a\n"
                                   "    event one\n"
                                   "    event \n"
                                   "  batch 13 990 2 receipt-b\n"
                                   "    event again\n"
                                   "13 mail 3\n"
                                   "  run 11 2 0\n"
                                   "  run 13 1 5\n"
                                   "14 mail 5\n"
                                   "15 mail 1 4 1 9 2\n"
                                   "16  2048 1048576\n"
                                   "17  77 2 60000 503 receipt-a.1 no luck\n"
                                   "18  77 2\n";
    struct buf text = { 0 };
    sample_frame(&frame);
    assert_int_equal(describe_frame(buf_span(&frame), &text), FRAME_END);
    buf_add_byte(&text, '\0');
    assert_string_equal((const char *)text.data, expected);
    buf_free(&text);
}

static void bodies_of_zeros_round_trip(void **state)
{
    (void)state;
    static const struct span none = { 0 };
    struct buf text = { 0 };
    frame_add_hello(&frame, none, none);
    frame_end(&frame, frame_begin_publish(&frame, none, 0, 0));
    frame_add_seen(&frame, none, 0);
    frame_end(&frame, frame_begin_ack(&frame, none, 0));
    frame_add_credit(&frame, none, 0, 0);
    frame_add_consume(&frame, none, 0);
    frame_end(&frame, frame_begin_confirm(&frame, none));
    frame_end(&frame, frame_begin_deliver(&frame, none, 0, 0, 0));
    frame_end(&frame, frame_begin_settled(&frame, none, 0));
    frame_add_idle(&frame, none, 0);
    frame_add_turn(&frame, none, TURN_NONE, 0, false, 0, 0);
    frame_add_window(&frame, 0, 0);
    frame_add_receipt_ack(&frame, &(struct receipt_ack){ .receipt = none });
    frame_add_receipt_settled(&frame, 0, SETTLED_ACKED);
    assert_int_equal(describe_frame(buf_span(&frame), &text), FRAME_END);
    buf_add_byte(&text, '\0');
    assert_string_equal((const char *)text.data,
                        "1   \n2  0 0\n4  0\n5  0\n6  0 0\n7  0\n10 \n12  0 0 0 0\n13  0\n14  0\n"
                        "15  0 0 0 0 0\n16  0 0\n17  0 0 0 0  \n18  0 0\n");
    buf_free(&text);
}

static void the_greatest_sequences_round_trip(void **state)
{
    (void)state;
    const uint64_t last = (UINT64_C(1) << 53) - 1;
    struct open_body open = frame_begin_confirm(&frame, span_str("q"));
    frame_add_run(&frame, &(struct run){ .first = last, .count = 1, .sequence = last, .flags = UINT32_MAX });
    frame_end(&frame, open);
    read_only_body(BODY_CONFIRM);
    struct run run;
    assert_int_equal(confirm_next(&body, &run), FRAME_OK);
    assert_int_equal(run.first, last);
    assert_int_equal(run.sequence, last);
    assert_int_equal(run.flags, UINT32_MAX);
}

static void an_entry_without_its_own_wait_has_the_publishs(void **state)
{
    (void)state;
    struct open_body open = frame_begin_publish(&frame, span_str("q"), 1, 700);
    struct entry e = { .event = span_str("x"), .wait_ms = 700 };
    size_t before = frame.size;
    frame_add_entry(&frame, &e, 700);
    size_t alike = frame.size - before;
    e.wait_ms = 0;
    before = frame.size;
    frame_add_entry(&frame, &e, 700);
    assert_true(frame.size - before > alike); /* the wait is written only if it differs */
    frame_end(&frame, open);
    read_only_body(BODY_PUBLISH);
    assert_int_equal(publish_next(&body, &e), FRAME_OK);
    assert_int_equal(e.wait_ms, 700);
    assert_int_equal(publish_next(&body, &e), FRAME_OK);
    assert_int_equal(e.wait_ms, 0);
    assert_int_equal(publish_next(&body, &e), FRAME_END);
}

/* The fields of an entry may come in another order than our own writer's; publish_peek_dedup finds the same hash as
 * publish_next, or none. */
static void the_hash_of_the_next_entry_is_read_without_the_entry(void **state)
{
    (void)state;
    static const uint8_t hash[EVENT_HASH_SIZE] = { 1, 2, 3 };
    struct entry e = { .event = span_str("x"), .dedup = span_of(hash, sizeof hash) };
    struct open_body open = frame_begin_publish(&frame, span_str("q"), 1, 0);
    for (unsigned i = 0; i < 4; i++) {
        e.continued = i % 2 != 0;
        e.delay_ms = i < 2 ? 0 : 5;
        frame_add_entry(&frame, &e, 0);
    }
    frame_add_entry(&frame, &(struct entry){ .event = span_str("y") }, 0);
    frame_end(&frame, open);
    read_only_body(BODY_PUBLISH);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(i >= 2 || span_equal(publish_peek_dedup(&body), e.dedup)); /* with terms it may find none */
        struct entry read;
        assert_int_equal(publish_next(&body, &read), FRAME_OK);
        assert_true(span_equal(read.event, span_str("x")));
        assert_true(span_equal(read.dedup, span_of(hash, sizeof hash)));
        assert_int_equal(read.continued, i % 2);
        assert_int_equal(read.delay_ms, i < 2 ? 0 : 5);
    }
    assert_int_equal(publish_peek_dedup(&body).size, 0);
    assert_int_equal(publish_next(&body, &e), FRAME_OK);
    assert_int_equal(e.dedup.size, 0);
    assert_int_equal(publish_peek_dedup(&body).size, 0);
    assert_int_equal(publish_next(&body, &e), FRAME_END);
}

static void a_large_event_is_a_span_into_the_frame(void **state)
{
    (void)state;
    struct buf event = { 0 };
    memset(buf_reserve(&event, 1 << 20), 'e', 1 << 20);
    event.size = 1 << 20;
    struct open_body open = frame_begin_publish(&frame, span_str("q"), 1, 0);
    frame_add_entry(&frame, &(struct entry){ .event = buf_span(&event) }, 0);
    frame_end(&frame, open);
    read_only_body(BODY_PUBLISH);
    struct entry e;
    assert_int_equal(publish_next(&body, &e), FRAME_OK);
    assert_true(span_equal(e.event, buf_span(&event)));
    assert_true(e.event.data > frame.data && e.event.data < frame.data + frame.size);
    buf_free(&event);
}

static void encoded_runs_of_events_may_be_copied_into_a_batch(void **state)
{
    (void)state;
    static const uint8_t stored[] = { BATCH_EVENT_TAG, 2, 'a', 'b', BATCH_EVENT_TAG, 1, 'c' };
    struct open_body open = frame_begin_deliver(&frame, span_str("q"), 1, 1000, 1);
    size_t mark = frame_begin_batch(&frame, 1, 1, 1, span_str("r"));
    buf_add(&frame, stored, sizeof stored);
    wire_end(&frame, mark);
    frame_end(&frame, open);
    read_only_body(BODY_DELIVER);
    struct batch batch;
    struct span event;
    assert_int_equal(deliver_next(&body, &batch), FRAME_OK);
    assert_int_equal(batch_next(&batch, &event), FRAME_OK);
    assert_text(event, "ab");
    assert_int_equal(batch_next(&batch, &event), FRAME_OK);
    assert_text(event, "c");
    assert_int_equal(batch_next(&batch, &event), FRAME_END);
    assert_int_equal(deliver_next(&body, &batch), FRAME_END);
}

static void receipts_split_at_their_last_dot(void **state)
{
    (void)state;
    struct span receipt = { 0 };
    uint64_t index = 0;
    assert_true(receipt_split(span_str("AbC-_09.17"), &receipt, &index));
    assert_text(receipt, "AbC-_09");
    assert_int_equal(index, 17);
    assert_true(receipt_split(span_str("a.b.0"), &receipt, &index));
    assert_text(receipt, "a.b");
    assert_int_equal(index, 0);
    assert_true(receipt_split(span_str("r.999999999"), &receipt, &index));
    assert_int_equal(index, 999999999);
    static const char *const bad[] = { "", ".", "a", "a.", ".1", "a.x", "a.1x", "a.-1", "a. 1", "a.1234567890", "1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(receipt_split(span_str(bad[i]), &receipt, &index));
    assert_false(receipt_split((struct span){ 0 }, &receipt, &index));
}

static void varints_round_trip_at_every_length(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        uint64_t values[] = { UINT64_C(1) << bits, (UINT64_C(1) << bits) - 1, UINT64_MAX >> bits };
        for (unsigned i = 0; i < 3; i++) {
            uint8_t bytes[10];
            size_t size = (size_t)(wire_put_varint(bytes, values[i]) - bytes);
            assert_int_equal(size, wire_varint_size(values[i]));
            struct wire_reader r = wire_open(span_of(bytes, size));
            uint64_t back = 0;
            assert_true(wire_varint(&r, &back));
            assert_true(back == values[i] && wire_done(&r));
            r = wire_open(span_of(bytes, size - 1));
            assert_false(wire_varint(&r, &back));
        }
    }
}

static void a_confirm_of_a_topic_has_targets(void **state)
{
    (void)state;
    const struct target targets[] = { { "audit", 7 }, { "mail", 41 } };
    struct open_body open = frame_begin_confirm(&frame, span_str("all"));
    frame_add_topic_run(&frame, &(struct run){ .first = 5, .count = 3, .sequence = 2, .flags = RUN_TOPIC }, targets, 2);
    frame_end(&frame, open);
    read_only_body(BODY_CONFIRM);
    struct run run;
    struct span queue;
    uint64_t sequence;
    assert_int_equal(confirm_next(&body, &run), FRAME_OK);
    assert_true(run.first == 5 && run.count == 3 && run.flags == RUN_TOPIC);
    assert_int_equal(run_target_next(&run, &queue, &sequence), FRAME_OK);
    assert_true(span_equal(queue, span_str("audit")) && sequence == 9);
    assert_int_equal(run_target_next(&run, &queue, &sequence), FRAME_OK);
    assert_true(span_equal(queue, span_str("mail")) && sequence == 43);
    assert_int_equal(run_target_next(&run, &queue, &sequence), FRAME_END);
    assert_int_equal(confirm_next(&body, &run), FRAME_END);
}

static void an_impossible_target_is_refused(void **state)
{
    (void)state;
    const uint64_t last = (UINT64_C(1) << 53) - 1;
    const struct target bad[] = { { "no name", 7 }, { "", 7 }, { "mail", last } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct run run;
        struct span queue;
        uint64_t sequence;
        buf_clear(&frame);
        struct open_body open = frame_begin_confirm(&frame, span_str("all"));
        frame_add_topic_run(&frame, &(struct run){ .first = 5, .count = 3, .flags = RUN_TOPIC }, &bad[i], 1);
        frame_end(&frame, open);
        read_only_body(BODY_CONFIRM);
        assert_int_equal(confirm_next(&body, &run), FRAME_OK);
        assert_int_equal(run_target_next(&run, &queue, &sequence), FRAME_BAD);
    }
}

static void a_refusal_names_the_topic_s_queue(void **state)
{
    (void)state;
    frame_add_refuse(&frame, span_str("all"), 4, 1, 1, 9, 9, 0, span_str("mail"));
    read_only_body(BODY_REFUSE);
    assert_true(span_equal(body.u.refuse.queue, span_str("mail")));
    assert_int_equal(body.u.refuse.depth, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_round_trips_in_its_fixed_size),
        cmocka_unit_test_teardown(every_body_comes_back_in_order, end),
        cmocka_unit_test_teardown(bodies_of_zeros_round_trip, end),
        cmocka_unit_test_teardown(the_greatest_sequences_round_trip, end),
        cmocka_unit_test_teardown(an_entry_without_its_own_wait_has_the_publishs, end),
        cmocka_unit_test_teardown(the_hash_of_the_next_entry_is_read_without_the_entry, end),
        cmocka_unit_test_teardown(a_large_event_is_a_span_into_the_frame, end),
        cmocka_unit_test_teardown(encoded_runs_of_events_may_be_copied_into_a_batch, end),
        cmocka_unit_test_teardown(a_confirm_of_a_topic_has_targets, end),
        cmocka_unit_test_teardown(an_impossible_target_is_refused, end),
        cmocka_unit_test_teardown(a_refusal_names_the_topic_s_queue, end),
        cmocka_unit_test(receipts_split_at_their_last_dot),
        cmocka_unit_test(varints_round_trip_at_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
