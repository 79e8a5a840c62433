/* The growable buffer. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_holds(const struct buf *b, const char *text)
{
    assert_int_equal(b->size, strlen(text));
    assert_memory_equal(b->data, text, b->size);
}

static void what_was_added_survives_growth(void **state)
{
    (void)state;
    struct buf b = { 0 };
    for (unsigned i = 0; i < 5000; i++)
        buf_add_byte(&b, (uint8_t)(i * 7));
    assert_int_equal(b.size, 5000);
    assert_true(b.capacity >= b.size);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(b.data[i], (uint8_t)(i * 7));
    buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.size, 0);
    assert_int_equal(b.capacity, 0);
}

static void growth_is_geometric(void **state)
{
    (void)state;
    struct buf b = { 0 };
    unsigned moves = 0;
    size_t capacity = 0;
    for (unsigned i = 0; i < 1 << 16; i++) {
        buf_add_byte(&b, 0);
        moves += b.capacity != capacity;
        capacity = b.capacity;
    }
    assert_true(moves < 20);
    buf_free(&b);
}

static void pieces_of_all_kinds_join(void **state)
{
    (void)state;
    struct buf b = { 0 };
    buf_add(&b, "ab", 2);
    buf_add_byte(&b, 'c');
    buf_add_str(&b, "de");
    buf_printf(&b, "%d-%s", 42, "f");
    assert_holds(&b, "abcde42-f");
    assert_true(span_equal(buf_span(&b), span_str("abcde42-f")));
    buf_free(&b);
}

static void adding_nothing_changes_nothing(void **state)
{
    (void)state;
    struct buf b = { 0 };
    buf_add(&b, NULL, 0);
    buf_add_str(&b, "");
    buf_printf(&b, "%s", "");
    assert_int_equal(b.size, 0);
    assert_true(span_equal(buf_span(&b), span_str(NULL)));
    buf_free(&b);
}

static void reserved_room_is_not_yet_used(void **state)
{
    (void)state;
    struct buf b = { 0 };
    buf_add_str(&b, "head");
    uint8_t *to = buf_reserve(&b, 1000);
    assert_int_equal(b.size, 4);
    assert_true(b.capacity >= 1004);
    assert_ptr_equal(to, b.data + 4);
    memset(to, 'x', 1000);
    assert_ptr_equal(buf_reserve(&b, 1000), to); /* asking again moves nothing */
    assert_holds(&b, "head");
    buf_free(&b);
}

static void long_prints_are_whole(void **state)
{
    (void)state;
    struct buf b = { 0 };
    buf_printf(&b, "%05000d", 1);
    assert_int_equal(b.size, 5000);
    assert_int_equal(b.data[4998], '0');
    assert_int_equal(b.data[4999], '1');
    buf_free(&b);
}

static void a_cleared_buffer_keeps_its_memory(void **state)
{
    (void)state;
    struct buf b = { 0 };
    buf_add_str(&b, "something");
    uint8_t *data = b.data;
    buf_clear(&b);
    assert_int_equal(b.size, 0);
    buf_add_str(&b, "else");
    assert_ptr_equal(b.data, data);
    assert_holds(&b, "else");
    buf_free(&b);
}

static void a_shrunk_buffer_holds_what_it_held_and_grows_again(void **state)
{
    (void)state;
    struct buf b = { .head = 24 };
    buf_shrink(&b);
    buf_reserve(&b, 10000);
    buf_shrink(&b); /* nothing in it: for what comes next */
    assert_true(b.capacity >= 10000);
    buf_add_str(&b, "kept");
    buf_shrink(&b);
    assert_int_equal(b.capacity, 4);
    buf_add_str(&b, " and more");
    assert_holds(&b, "kept and more");
    buf_free(&b);
}

static void spans_compare_by_their_bytes(void **state)
{
    (void)state;
    assert_true(span_equal(span_str("a"), span_of("ab", 1)));
    assert_false(span_equal(span_str("a"), span_str("b")));
    assert_false(span_equal(span_str("a"), span_str("ab")));
    assert_true(span_equal(span_str(NULL), span_str("")));
    assert_true(span_equal(span_of("\0a", 2), span_of("\0a", 2)));
    assert_false(span_equal(span_of("\0a", 2), span_of("\0b", 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_survives_growth),
        cmocka_unit_test(growth_is_geometric),
        cmocka_unit_test(pieces_of_all_kinds_join),
        cmocka_unit_test(adding_nothing_changes_nothing),
        cmocka_unit_test(reserved_room_is_not_yet_used),
        cmocka_unit_test(long_prints_are_whole),
        cmocka_unit_test(a_cleared_buffer_keeps_its_memory),
        cmocka_unit_test(a_shrunk_buffer_holds_what_it_held_and_grows_again),
        cmocka_unit_test(spans_compare_by_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
