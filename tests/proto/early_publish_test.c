/* Publishes that are built before their numbers are known, and entries that are written in place or written again. */
#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* An entry that is written in place, or again with its own wait, reads like one that was added. */
static void a_publish_whose_numbers_come_last_reads_like_any_other(void **state)
{
    (void)state;
    uint8_t hash[EVENT_HASH_SIZE] = { 1, 2, 3 };
    struct buf frame = { 0 };
    struct early_publish early = frame_begin_early_publish(&frame, span_str("orders"));
    size_t at = frame.size;
    memcpy(buf_reserve(&frame, ENTRY_HEAD + 5 + ENTRY_TAIL) + ENTRY_HEAD, "first", 5);
    frame_add_entry_in_place(&frame, 5, hash);
    struct span content = frame_entry_content(&frame, at);
    struct buf copy = { 0 };
    buf_add(&copy, content.data, content.size);
    frame_add_entry_again(&frame, buf_span(&copy), 300, 300);
    frame_add_entry_again(&frame, buf_span(&copy), 0, 300);
    frame_add_entry_again(&frame, buf_span(&copy), UINT32_MAX, 300);
    frame_end_early_publish(&frame, early, (UINT64_C(1) << 53) - 10, 300);
    struct wire_reader bodies = wire_open(buf_span(&frame));
    struct body b;
    assert_int_equal(frame_next(&bodies, &b), FRAME_OK);
    assert_true(wire_done(&bodies));
    assert_int_equal(b.kind, BODY_PUBLISH);
    assert_true(span_equal(b.name, span_str("orders")));
    assert_int_equal(b.u.publish.first, (UINT64_C(1) << 53) - 10);
    const uint32_t waits[] = { 300, 300, 0, UINT32_MAX };
    for (size_t i = 0; i < 4; i++) {
        struct entry e;
        assert_int_equal(publish_next(&b, &e), FRAME_OK);
        assert_true(span_equal(e.event, span_str("first")));
        assert_memory_equal(e.dedup.data, hash, sizeof hash);
        assert_int_equal(e.wait_ms, waits[i]);
        assert_false(e.continued);
    }
    struct entry none;
    assert_int_equal(publish_next(&b, &none), FRAME_END);
    buf_free(&copy);
    buf_free(&frame);
}

static void the_largest_entry_in_place_is_read(void **state)
{
    (void)state;
    struct buf frame = { 0 };
    struct early_publish early = frame_begin_early_publish(&frame, span_str("q"));
    memset(buf_reserve(&frame, ENTRY_HEAD + 15900 + ENTRY_TAIL), 'x', ENTRY_HEAD + 15900);
    frame_add_entry_in_place(&frame, 15900, NULL);
    frame_end_early_publish(&frame, early, 1, 0);
    struct wire_reader bodies = wire_open(buf_span(&frame));
    struct body b;
    struct entry e;
    assert_int_equal(frame_next(&bodies, &b), FRAME_OK);
    assert_int_equal(publish_next(&b, &e), FRAME_OK);
    assert_int_equal(e.event.size, 15900);
    assert_int_equal(e.dedup.size, 0);
    buf_free(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_whose_numbers_come_last_reads_like_any_other),
        cmocka_unit_test(the_largest_entry_in_place_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
