/* Frames from a broken, hostile or newer peer: malformed ones are FRAME_BAD, unknown fields are skipped. */
#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/proto/sample_frame.h"

static struct buf frame;

static int end(void **state)
{
    (void)state;
    buf_free(&frame);
    return 0;
}

/* Reads a copy that ends where its memory ends, so that a sanitizer detects a read beyond it. */
static enum frame_status read_whole(struct span bytes)
{
    struct buf text = { 0 };
    uint8_t *copy = malloc(bytes.size + !bytes.size);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    enum frame_status status = describe_frame(span_of(copy, bytes.size), &text);
    free(copy);
    buf_free(&text);
    return status;
}

static enum frame_status read_frame(void)
{
    return read_whole(buf_span(&frame));
}

static void a_frame_cut_anywhere_but_between_its_fields_is_bad(void **state)
{
    (void)state;
    sample_frame(&frame);
    size_t boundaries[64], count = 0, bad = 0;
    struct wire_reader r = wire_open(buf_span(&frame));
    struct wire_field f;
    for (boundaries[count++] = 0; !wire_done(&r);) {
        assert_true(count < 64 && wire_next(&r, &f));
        boundaries[count++] = (size_t)(r.at - frame.data);
    }
    for (size_t size = 0, next = 0; size <= frame.size; size++) {
        bool whole = size == boundaries[next];
        next += whole;
        if (read_whole(span_of(frame.data, size)) != (whole ? FRAME_END : FRAME_BAD))
            fail_msg("%zu of %zu bytes were judged wrongly", size, frame.size);
        bad += !whole;
    }
    assert_true(bad > 500);
}

static void flipped_bits_never_read_outside(void **state)
{
    (void)state;
    sample_frame(&frame);
    for (size_t bit = 0; bit < frame.size * 8; bit++) {
        frame.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum frame_status status = read_frame();
        assert_true(status == FRAME_END || status == FRAME_BAD);
        frame.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(read_frame(), FRAME_END);
}

static void random_bytes_never_read_outside(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252u;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t bytes[48];
        size_t size = round % sizeof bytes;
        for (size_t i = 0; i < size; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            bytes[i] = (uint8_t)(random >> 32) & (round % 2 ? 0x1f : 0xff); /* small ones look like fields */
        }
        enum frame_status status = read_whole(span_of(bytes, size));
        assert_true(status == FRAME_END || status == FRAME_BAD);
    }
}

static void an_empty_frame_is_a_heartbeat_of_zeros(void **state)
{
    (void)state;
    struct frame_header h;
    struct wire_reader bodies;
    assert_int_equal(frame_open(span_str(""), &h, &bodies), FRAME_OK);
    assert_true(wire_done(&bodies));
    assert_true(token_is_zero(h.token));
}

static void impossible_fields_are_bad(void **state)
{
    (void)state;
    static const struct {
        const char *why, *bytes;
        size_t size;
    } cases[] = {
        { "tag 0", "\x00\x01", 2 },
        { "a group", "\x0b\x0c", 2 },
        { "wire type 6", "\x0e", 1 },
        { "wire type 7", "\x0f", 1 },
        { "a key beyond 32 bits", "\x80\x80\x80\x80\x80\x01\x00", 7 },
        { "a varint of 11 bytes", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 },
        { "a varint beyond 64 bits", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 },
        { "a length beyond the end",
          "\x42\x05"
          "abcd",
          6 },
        { "a length near 2^64", "\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },
        { "a cut fixed64",
          "\x09"
          "1234567",
          8 },
        { "a cut fixed32",
          "\x1d"
          "123",
          4 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (read_whole(span_of(cases[i].bytes, cases[i].size)) != FRAME_BAD)
            fail_msg("%s was accepted", cases[i].why);
    }
}

/* Writes a body of that kind with the numbers as fields 1, 2, ...; a 0 is left out. */
static void write_numbers(enum body_kind kind, const uint64_t *numbers, uint32_t count)
{
    buf_clear(&frame);
    size_t outer = wire_begin(&frame, 8), inner = wire_begin(&frame, (uint32_t)kind);
    for (uint32_t i = 0; i < count; i++)
        wire_add_number(&frame, i + 1, numbers[i]);
    wire_end(&frame, inner);
    wire_end(&frame, outer);
}

/* The same with the numbers in an element, field `tag` of the body. */
static void write_element(enum body_kind kind, uint32_t tag, const uint64_t *numbers, uint32_t count)
{
    buf_clear(&frame);
    size_t outer = wire_begin(&frame, 8), inner = wire_begin(&frame, (uint32_t)kind), element = wire_begin(&frame, tag);
    for (uint32_t i = 0; i < count; i++)
        wire_add_number(&frame, i + 1, numbers[i]);
    wire_end(&frame, element);
    wire_end(&frame, inner);
    wire_end(&frame, outer);
}

#define BIG (UINT64_C(1) << 53)

static void ranges_of_sequences_must_be_whole_and_below_2_to_53(void **state)
{
    (void)state;
    static const struct {
        uint64_t first, count;
        enum frame_status expected;
    } cases[] = { { 5, 1, FRAME_END },       { 0, 1, FRAME_END },          { 5, 0, FRAME_BAD },
                  { BIG - 1, 1, FRAME_END }, { BIG - 1, 2, FRAME_BAD },    { BIG, 1, FRAME_BAD },
                  { 1, BIG, FRAME_BAD },     { UINT64_MAX, 1, FRAME_BAD }, { 2, UINT64_MAX, FRAME_BAD },
                  { 0, BIG, FRAME_BAD } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t first = cases[i].first, count = cases[i].count;
        write_numbers(BODY_SKIP, (uint64_t[]){ 0, first, count }, 3);
        assert_int_equal(read_frame(), cases[i].expected);
        write_numbers(BODY_REFUSE, (uint64_t[]){ 0, first, count }, 3);
        assert_int_equal(read_frame(), cases[i].expected);
        write_element(BODY_ACK, 3, (uint64_t[]){ 0, first, count }, 3);
        assert_int_equal(read_frame(), cases[i].expected);
        write_element(BODY_SETTLED, 3, (uint64_t[]){ first, count }, 2);
        assert_int_equal(read_frame(), cases[i].expected);
        write_element(BODY_CONFIRM, 2, (uint64_t[]){ first, count, 1 }, 3);
        assert_int_equal(read_frame(), cases[i].expected);
        if (count) {
            write_element(BODY_CONFIRM, 2, (uint64_t[]){ 1, count, first }, 3); /* the queue's sequences, too */
            assert_int_equal(read_frame(), cases[i].expected);
        }
    }
}

static void single_sequences_must_be_below_2_to_53(void **state)
{
    (void)state;
    write_numbers(BODY_PUBLISH, (uint64_t[]){ 0, BIG - 1 }, 2);
    assert_int_equal(read_frame(), FRAME_END);
    write_numbers(BODY_PUBLISH, (uint64_t[]){ 0, BIG }, 2);
    assert_int_equal(read_frame(), FRAME_BAD);
    write_numbers(BODY_CREDIT, (uint64_t[]){ 0, 1, BIG }, 3);
    assert_int_equal(read_frame(), FRAME_BAD);
    write_element(BODY_DELIVER, 4, (uint64_t[]){ BIG, 1 }, 2);
    assert_int_equal(read_frame(), FRAME_BAD);
    write_element(BODY_DELIVER, 4, (uint64_t[]){ 1, BIG }, 2);
    assert_int_equal(read_frame(), FRAME_BAD);
}

static void values_go_to_the_last_of_their_enum(void **state)
{
    (void)state;
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        enum frame_status expected = beyond ? FRAME_BAD : FRAME_END;
        write_numbers(BODY_TURN, (uint64_t[]){ 0, TURN_REVOKED + beyond }, 2);
        assert_int_equal(read_frame(), expected);
        write_numbers(BODY_RECEIPT_ACK, (uint64_t[]){ 1, SETTLE_LAST + beyond }, 2);
        assert_int_equal(read_frame(), expected);
        write_numbers(BODY_RECEIPT_SETTLED, (uint64_t[]){ 1, SETTLED_LAST + beyond }, 2);
        assert_int_equal(read_frame(), expected);
        write_element(BODY_ACK, 3, (uint64_t[]){ SETTLE_LAST + beyond, 1, 1 }, 3);
        assert_int_equal(read_frame(), expected);
        write_element(BODY_SETTLED, 3, (uint64_t[]){ 1, 1, SETTLED_LAST + beyond }, 3);
        assert_int_equal(read_frame(), expected);
    }
    write_numbers(BODY_TURN, (uint64_t[]){ 0, UINT64_C(1) << 32 }, 2); /* not cut to 0 */
    assert_int_equal(read_frame(), FRAME_BAD);
}

/* Fields of every wire type, with a number that no version uses. */
static void add_unknown_fields(struct buf *b)
{
    wire_add_number(b, 1000, 5);
    wire_add_bytes(b, 1001, span_str("\xff\xff\xff"));
    wire_add_fixed64(b, 1002, 5);
    uint8_t *to = wire_put_varint(buf_reserve(b, 10), UINT64_C(1003) << 3 | WIRE_FIXED32);
    b->size = (size_t)(to - b->data);
    buf_add(b, "abcd", 4);
}

/* Copies a message and puts unknown fields before, between and after its own; nested ones (fields of bytes) of
 * `levels` levels get them as well. */
static void copy_with_unknown(struct span message, struct buf *to, unsigned levels)
{
    struct wire_reader r = wire_open(message);
    add_unknown_fields(to);
    while (!wire_done(&r)) {
        struct wire_reader before = r;
        struct wire_field f;
        assert_true(wire_next(&r, &f));
        if (levels > 0 && f.type == WIRE_BYTES) {
            size_t mark = wire_begin(to, f.tag);
            copy_with_unknown(f.bytes, to, levels - 1);
            wire_end(to, mark);
        } else {
            buf_add(to, before.at, (size_t)(r.at - before.at));
        }
        add_unknown_fields(to);
    }
}

static void unknown_fields_are_skipped_in_frame_body_and_member(void **state)
{
    (void)state;
    struct buf extended = { 0 }, expected = { 0 }, text = { 0 };
    sample_frame(&frame);
    assert_int_equal(describe_frame(buf_span(&frame), &expected), FRAME_END);
    copy_with_unknown(buf_span(&frame), &extended, 0);
    assert_int_equal(describe_frame(buf_span(&extended), &text), FRAME_END);
    assert_true(span_equal(buf_span(&text), buf_span(&expected)));
    buf_clear(&extended), buf_clear(&text);
    copy_with_unknown(buf_span(&frame), &extended, 2);
    assert_int_equal(describe_frame(buf_span(&extended), &text), FRAME_END);
    assert_true(span_equal(buf_span(&text), buf_span(&expected)));
    buf_free(&extended), buf_free(&expected), buf_free(&text);
}

static void unknown_bodies_are_skipped(void **state)
{
    (void)state;
    struct buf text = { 0 };
    size_t mark = wire_begin(&frame, 8);
    wire_add_bytes(&frame, 200, span_str("of a newer version"));
    wire_end(&frame, mark);
    wire_add_bytes(&frame, 8, span_str("")); /* without any member */
    frame_add_leave(&frame, span_str("mail"));
    assert_int_equal(describe_frame(buf_span(&frame), &text), FRAME_END);
    assert_true(span_equal(buf_span(&text), span_str("8 mail\n")));
    buf_free(&text);
}

/* A oneof's last member counts, and nothing of an earlier one may remain in it: a number read as the pointer of a span
 * would let a peer choose which memory is read. */
static void the_last_member_of_a_body_stands_alone(void **state)
{
    (void)state;
    struct frame_header h;
    struct wire_reader bodies;
    struct body body;
    for (uint32_t first = BODY_HELLO; first <= BODY_RECEIPT_SETTLED; first++) {
        for (uint32_t last = BODY_HELLO; last <= BODY_RECEIPT_SETTLED; last++) {
            if (last == BODY_SKIP || last == BODY_REFUSE)
                continue; /* not valid when empty */
            buf_clear(&frame);
            size_t outer = wire_begin(&frame, 8), inner = wire_begin(&frame, first);
            for (uint32_t tag = 1; tag <= 7; tag++)
                wire_add_number(&frame, tag, 1);
            wire_end(&frame, inner);
            wire_end(&frame, wire_begin(&frame, last));
            wire_end(&frame, outer);
            assert_int_equal(frame_open(buf_span(&frame), &h, &bodies), FRAME_OK);
            assert_int_equal(frame_next(&bodies, &body), FRAME_OK);
            assert_int_equal(body.kind, last);
            if (body.kind == BODY_HELLO)
                assert_true(body.u.hello.request_id.size == 0 && body.u.hello.ingress.size == 0);
            if (body.kind == BODY_RECEIPT_ACK)
                assert_true(body.u.receipt_ack.receipt.size == 0 && body.u.receipt_ack.request == 0);
            if (body.kind == BODY_PUBLISH)
                assert_true(body.u.publish.first == 0 && body.u.publish.wait_ms == 0);
            if (body.kind == BODY_DELIVER)
                assert_true(body.u.deliver.lease_ms == 0 && body.u.deliver.consumption == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_frame_cut_anywhere_but_between_its_fields_is_bad, end),
        cmocka_unit_test_teardown(flipped_bits_never_read_outside, end),
        cmocka_unit_test(random_bytes_never_read_outside),
        cmocka_unit_test(an_empty_frame_is_a_heartbeat_of_zeros),
        cmocka_unit_test(impossible_fields_are_bad),
        cmocka_unit_test_teardown(ranges_of_sequences_must_be_whole_and_below_2_to_53, end),
        cmocka_unit_test_teardown(single_sequences_must_be_below_2_to_53, end),
        cmocka_unit_test_teardown(values_go_to_the_last_of_their_enum, end),
        cmocka_unit_test_teardown(unknown_fields_are_skipped_in_frame_body_and_member, end),
        cmocka_unit_test_teardown(unknown_bodies_are_skipped, end),
        cmocka_unit_test_teardown(the_last_member_of_a_body_stands_alone, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
