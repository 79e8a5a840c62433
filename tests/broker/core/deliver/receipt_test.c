/* The text of receipts: a receipt reads back as it was written, and nothing else is accepted. */
#include "broker/core/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const uint8_t key[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
static const struct receipt small = { 1, 1, 1, 1, 1, 1 };
static const struct receipt usual = { 3, 17, UINT64_C(17) << 32 | 4, 1000, 123456, 256 };
static const struct receipt large = { UINT32_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT32_MAX };

static bool reads(const char *text, struct receipt *r)
{
    return receipt_read(key, span_str(text), r);
}

static void assert_round_trip(const struct receipt *r)
{
    char text[RECEIPT_MAX_SIZE];
    struct receipt back = { 0 };
    size_t size = receipt_write(key, r, text);
    assert_int_equal(size, strlen(text));
    assert_true(reads(text, &back));
    assert_int_equal(back.queue_id, r->queue_id);
    assert_true(back.incarnation == r->incarnation && back.consumer_epoch == r->consumer_epoch);
    assert_true(back.first_delivery == r->first_delivery && back.first_sequence == r->first_sequence);
    assert_int_equal(back.count, r->count);
}

static void a_receipt_reads_back_as_written(void **state)
{
    (void)state;
    assert_round_trip(&small);
    assert_round_trip(&usual);
    assert_round_trip(&large);
}

static void the_longest_one_of_an_event_has_at_most_200_url_safe_characters(void **state)
{
    (void)state;
    char text[RECEIPT_MAX_SIZE], whole[300];
    receipt_write(key, &large, text);
    snprintf(whole, sizeof whole, "%s.%u", text, UINT32_MAX);
    assert_in_range(strlen(whole), 1, 200);
    assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), strlen(text));
}

static void a_receipt_of_another_key_is_rejected(void **state)
{
    (void)state;
    char text[RECEIPT_MAX_SIZE];
    struct receipt r;
    uint8_t other[16];
    receipt_write(key, &usual, text);
    for (unsigned bit = 0; bit < 128; bit++) {
        memcpy(other, key, sizeof other);
        other[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(receipt_read(other, span_str(text), &r));
    }
}

static void every_character_counts(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char text[RECEIPT_MAX_SIZE];
    struct receipt r;
    size_t size = receipt_write(key, &usual, text);
    for (size_t i = 0; i < size; i++) {
        char was = text[i];
        for (const char *c = alphabet; *c; c++) {
            text[i] = *c;
            assert_true(reads(text, &r) == (*c == was));
        }
        text[i] = was;
    }
    assert_true(reads(text, &r));
}

static void a_truncated_or_longer_receipt_is_rejected(void **state)
{
    (void)state;
    char text[RECEIPT_MAX_SIZE + 8], longer[RECEIPT_MAX_SIZE + 8];
    struct receipt r;
    size_t size = receipt_write(key, &usual, text);
    for (size_t left = 0; left < size; left++)
        assert_false(receipt_read(key, span_of(text, left), &r));
    static const char *const more[] = { "A", "AA", "AAAA", "=", "==", " ", "\n", "." };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        snprintf(longer, sizeof longer, "%s%s", text, more[i]);
        assert_false(reads(longer, &r));
        snprintf(longer, sizeof longer, "%s%s", more[i], text);
        assert_false(reads(longer, &r));
    }
    char huge[4096];
    memset(huge, 'A', sizeof huge);
    for (size_t long_size = RECEIPT_MAX_SIZE - 8; long_size < sizeof huge; long_size++)
        assert_false(receipt_read(key, span_of(huge, long_size), &r));
}

/* A change of any field changes the hash. */
static void each_field_is_sealed(void **state)
{
    (void)state;
    struct receipt others[6] = { usual, usual, usual, usual, usual, usual };
    others[0].queue_id++;
    others[1].incarnation++;
    others[2].consumer_epoch++;
    others[3].first_delivery++;
    others[4].first_sequence++;
    others[5].count++;
    char text[RECEIPT_MAX_SIZE], other[RECEIPT_MAX_SIZE];
    size_t size = receipt_write(key, &usual, text);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(receipt_write(key, &others[i], other), size);
        assert_string_not_equal(other + size - 20, text + size - 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_receipt_reads_back_as_written),
        cmocka_unit_test(the_longest_one_of_an_event_has_at_most_200_url_safe_characters),
        cmocka_unit_test(a_receipt_of_another_key_is_rejected),
        cmocka_unit_test(every_character_counts),
        cmocka_unit_test(a_truncated_or_longer_receipt_is_rejected),
        cmocka_unit_test(each_field_is_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
