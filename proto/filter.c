/* Checking and evaluating encoded filters (their form is in filter_priv.h).
 *
 * One scan over the event's attributes: each attribute answers the tests that name it, and the filter is then
 * evaluated in three-valued logic (yes, no, unknown), so that the scan ends at the first attribute that decides.
 * Tests are numbered in the order of the bytes; two masks keep which are answered and which passed. */
#include "proto/filter_priv.h"

#include "base/units.h"
#include "base/utf8.h"
#include "proto/event.h"

#include <assert.h>
#include <stdio.h>

/* ------------------------------------------------------------------ checking */

bool filter_name_valid(struct span name)
{
    bool fine = name.size > 0 && name.size <= FILTER_NAME_MAX && !span_equal(name, span_str("data"));
    for (size_t i = 0; fine && i < name.size; i++)
        fine = (name.data[i] >= 'a' && name.data[i] <= 'z') || (name.data[i] >= '0' && name.data[i] <= '9');
    return fine;
}

bool filter_read_test(struct wire_reader *r, enum filter_op op, struct filter_test *out)
{
    unsigned name_size;
    uint64_t value_size;
    out->op = op;
    return filter_byte(r, &name_size) && filter_take(r, name_size, &out->name) && wire_varint(r, &value_size) &&
           filter_take(r, value_size, &out->value);
}

/* Does one of the first `count` tests have that name? The JSON it comes from cannot have duplicates. */
static bool is_repeated(struct wire_reader first, unsigned count, struct span name)
{
    struct filter_test test;
    while (count-- && filter_read_test(&first, FILTER_EXACT, &test)) {
        if (span_equal(test.name, name))
            return true;
    }
    return false;
}

/* Is the value's size encoded in the fewest bytes? A filter has one encoding only, so that equal filters are equal
 * bytes. */
static bool is_minimal(const struct filter_test *test)
{
    size_t size_bytes = (size_t)(test->value.data - (test->name.data + test->name.size));
    return size_bytes == wire_varint_size(test->value.size);
}

static bool check_tests(struct wire_reader *r, enum filter_op op, unsigned count, unsigned *tests)
{
    struct wire_reader first = *r;
    struct filter_test test;
    for (unsigned i = 0; i < count; i++) {
        if (++*tests > FILTER_TESTS_MAX || !filter_read_test(r, op, &test) || !is_minimal(&test) ||
            !filter_name_valid(test.name) || !utf8_valid(test.value) || memchr(test.value.data, 0, test.value.size) ||
            is_repeated(first, i, test.name))
            return false;
    }
    return true;
}

static bool check(struct wire_reader *r, unsigned depth, unsigned *tests)
{
    unsigned op, count = 1;
    if (depth > FILTER_DEPTH_MAX || !filter_byte(r, &op) || op < FILTER_EXACT || op > FILTER_NOT)
        return false;
    if (op != FILTER_NOT && (!filter_byte(r, &count) || count == 0 || count > FILTER_TESTS_MAX))
        return false;
    if (op <= FILTER_SUFFIX)
        return check_tests(r, (enum filter_op)op, count, tests);
    for (unsigned i = 0; i < count; i++) {
        if (!check(r, depth + 1, tests))
            return false;
    }
    return true;
}

bool filter_valid(struct span filter)
{
    struct wire_reader r = wire_open(filter);
    unsigned version, tests = 0;
    if (filter.size == 0)
        return true;
    return filter.size <= FILTER_SIZE_MAX && filter_byte(&r, &version) && version == FILTER_VERSION &&
           check(&r, 1, &tests) && wire_done(&r);
}

/* ------------------------------------------------------------------ an attribute's text */

/* The text of an attribute's value: the bytes themselves, or their base64, which is produced character by character. */
struct text {
    struct span bytes;
    bool base64;
    char made[40]; /* for values that are not text on the wire */
};

static size_t text_size(const struct text *t)
{
    return t->base64 ? (t->bytes.size + 2) / 3 * 4 : t->bytes.size;
}

static uint8_t base64_letter(struct span bytes, size_t index)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = index / 4 * 3;
    unsigned group = 0;
    for (size_t i = 0; i < 3; i++)
        group = group << 8 | (at + i < bytes.size ? bytes.data[at + i] : 0u);
    if (at + index % 4 > bytes.size)
        return '=';
    return (uint8_t)letters[group >> (6 * (3 - index % 4)) & 63];
}

static bool equal_at(const struct text *t, size_t from, struct span value)
{
    if (!t->base64)
        return memcmp(t->bytes.data + from, value.data, value.size) == 0;
    for (size_t i = 0; i < value.size; i++) {
        if (base64_letter(t->bytes, from + i) != value.data[i])
            return false;
    }
    return true;
}

static bool passes(const struct filter_test *test, const struct text *t)
{
    size_t size = text_size(t);
    if (test->value.size > size || (test->op == FILTER_EXACT && test->value.size != size))
        return false;
    return equal_at(t, test->op == FILTER_SUFFIX ? size - test->value.size : 0, test->value);
}

static bool read_timestamp(struct span bytes, struct text *out)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    int64_t seconds = 0, nanos = 0;
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f))
            return false;
        if (f.tag == 1 && f.type == WIRE_VARINT)
            seconds = (int64_t)f.number;
        else if (f.tag == 2 && f.type == WIRE_VARINT)
            nanos = (int64_t)f.number;
    }
    if (!timestamp_fits_protobuf(seconds, nanos))
        return false;
    timestamp_format(seconds, (int32_t)nanos, out->made);
    out->bytes = span_str(out->made);
    return true;
}

static bool read_value(struct span value, struct text *out)
{
    struct wire_reader r = wire_open(value);
    struct wire_field f;
    bool found = false;
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f))
            return false;
        if (f.tag < 1 || f.tag > 7 || f.type != (f.tag <= 2 ? WIRE_VARINT : WIRE_BYTES))
            continue;
        found = true;
        out->base64 = f.tag == 4;
        if (f.tag == 1)
            out->bytes = span_str(f.number ? "true" : "false");
        else if (f.tag == 2)
            out->bytes =
                span_of(out->made, (size_t)snprintf(out->made, sizeof out->made, "%d", (int)(int32_t)f.number));
        else if (f.tag == 7)
            found = read_timestamp(f.bytes, out);
        else
            out->bytes = f.bytes;
    }
    return found;
}

/* ------------------------------------------------------------------ evaluation */

enum verdict { NO, YES, UNKNOWN };

struct evaluation {
    struct span tests; /* the filter without its version */
    uint64_t answered, passed;
};

/* Answers the tests of that attribute; true if there was one. The value is decoded only then. */
static bool answer(struct evaluation *e, struct span name, struct span value, bool encoded)
{
    struct wire_reader r = wire_open(e->tests);
    struct text text = { .bytes = value };
    uint64_t before = e->answered, bit = 1;
    bool read = !encoded;
    while (!wire_done(&r)) {
        unsigned op = *r.at++, count = op == FILTER_NOT ? 0 : *r.at++;
        for (; op <= FILTER_SUFFIX && count; count--, bit <<= 1) {
            struct filter_test test;
            if (!filter_read_test(&r, (enum filter_op)op, &test))
                return false;
            if ((e->answered & bit) || !span_equal(test.name, name))
                continue;
            if (!read && !read_value(value, &text))
                return false;
            read = true;
            e->answered |= bit;
            e->passed |= passes(&test, &text) ? bit : 0;
        }
    }
    return e->answered != before;
}

/* Three-valued "all": NO if one is NO, YES if all are YES, else UNKNOWN. "any" is the same with YES and NO swapped.
 * `decides` is the deciding value. */
static enum verdict combine(enum verdict so_far, enum verdict next, enum verdict decides)
{
    if (so_far == decides || next == decides)
        return decides;
    return so_far == UNKNOWN || next == UNKNOWN ? UNKNOWN : next;
}

static enum verdict judge_test(const struct evaluation *e, unsigned index)
{
    uint64_t bit = UINT64_C(1) << index;
    return !(e->answered & bit) ? UNKNOWN : e->passed & bit ? YES : NO;
}

static enum verdict judge(const struct evaluation *e, struct wire_reader *r, unsigned *index)
{
    unsigned op = *r->at++;
    if (op == FILTER_NOT) {
        enum verdict v = judge(e, r, index);
        return v == UNKNOWN ? UNKNOWN : v == YES ? NO : YES;
    }
    enum verdict decides = op == FILTER_ANY ? YES : NO, v = decides == YES ? NO : YES;
    for (unsigned count = *r->at++; count; count--) {
        struct filter_test test;
        enum verdict next;
        if (op > FILTER_SUFFIX)
            next = judge(e, r, index);
        else
            next = filter_read_test(r, (enum filter_op)op, &test) ? judge_test(e, (*index)++) : NO;
        v = combine(v, next, decides);
    }
    return v;
}

static enum verdict verdict(const struct evaluation *e)
{
    struct wire_reader r = wire_open(e->tests);
    unsigned index = 0;
    return judge(e, &r, &index);
}

/* Processes a field of the event; true if it answered a test. */
static bool meet(struct evaluation *e, const struct wire_field *f)
{
    static const char *const names[] = { NULL, "id", "source", "specversion", "type" };
    struct span name, value;
    if (f->type != WIRE_BYTES || f->tag > 5)
        return false;
    if (f->tag < 5)
        return answer(e, span_str(names[f->tag]), f->bytes, false);
    return event_entry(f->bytes, &name, &value) && value.size && answer(e, name, value, true);
}

bool filter_matches(struct span filter, struct span event)
{
    if (filter.size == 0)
        return true;
    assert(filter.size > 2);
    struct evaluation e = { .tests = span_of(filter.data + 1, filter.size - 1) };
    struct wire_reader r = wire_open(event);
    struct wire_field f;
    enum verdict v = UNKNOWN;
    while (v == UNKNOWN && !wire_done(&r) && wire_next(&r, &f)) {
        if (meet(&e, &f))
            v = verdict(&e);
    }
    e.answered = UINT64_MAX; /* tests of attributes that the event does not have fail */
    return (v == UNKNOWN ? verdict(&e) : v) == YES;
}
