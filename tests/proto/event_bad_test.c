/* Encoded events of others: by protobuf-c, of newer versions, cut, random, or larger than the arena. */
#include "tests/proto/event_driver.h"

#include "proto/wire.h"

#include <stdlib.h>

#include "cloudevents.pb-c.h"

typedef Io__Cloudevents__V1__CloudEvent CloudEvent;

static struct attribute sample_attributes[] = {
    { { 0 }, ATTRIBUTE_BOOLEAN, { 0 } },   { { 0 }, ATTRIBUTE_INTEGER, { 0 } }, { { 0 }, ATTRIBUTE_STRING, { 0 } },
    { { 0 }, ATTRIBUTE_BYTES, { 0 } },     { { 0 }, ATTRIBUTE_URI, { 0 } },     { { 0 }, ATTRIBUTE_URI_REF, { 0 } },
    { { 0 }, ATTRIBUTE_TIMESTAMP, { 0 } },
};

static struct event sample(void)
{
    static const char *const texts[][2] = { { "bool", "true" },
                                            { "int", "-7" },
                                            { "subject", "s" },
                                            { "bin", "AP/+" },
                                            { "uri", "urn:x" },
                                            { "ref", "/r" },
                                            { "time", "1969-12-31T23:59:59.25Z" } };
    for (size_t i = 0; i < 7; i++) {
        sample_attributes[i].name = S(texts[i][0]);
        sample_attributes[i].text = S(texts[i][1]);
    }
    return (struct event){ .id = S("1"),
                           .source = S("/shop"),
                           .type = S("t"),
                           .attributes = sample_attributes,
                           .attribute_count = 7,
                           .data_kind = DATA_BINARY,
                           .data = S("payload") };
}

static void encode_sample(void)
{
    struct event e = sample();
    buf_clear(&encoded);
    event_encode(&e, &encoded);
}

static bool decodes(struct span bytes)
{
    struct event e;
    return event_decode(bytes, &arena, &e, &why);
}

static void assert_refused(const char *what)
{
    if (decodes(buf_span(&encoded)))
        fail_msg("was taken, though %s", what);
    if (!strstr(why.text, what))
        fail_msg("'%s' is not in \"%s\"", what, why.text);
}

/* A message with these length-delimited fields, in that order. */
static void add_fields(struct buf *b, const struct wire_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wire_add_bytes(b, fields[i].tag, fields[i].bytes);
}

#define F(number, text)                                                                                                \
    {                                                                                                                  \
        .tag = number, .bytes = {(const uint8_t *)(text), sizeof(text) - 1 }                                           \
    }

/* Writers order fields by number, but readers must not rely on it. Of a repeated field the last one counts. */
static void fields_come_in_any_order_and_twice(void **state)
{
    static const struct wire_field orders[][7] = {
        { F(1, "1"), F(2, "/shop"), F(3, "1.0"), F(4, "t"), F(5, "\n\1k\22\3\32\1v"), F(7, "x"), F(9, "") },
        { F(7, "x"), F(5, "\n\1k\22\3\32\1v"), F(4, "t"), F(3, "1.0"), F(2, "/shop"), F(1, "1"), F(9, "") },
        { F(1, "0"), F(1, "1"), F(2, "/shop"), F(3, "1.0"), F(4, "t"), F(7, "x"), F(5, "\22\3\32\1v\n\1k") },
        { F(1, "1"), F(2, "/"), F(3, "0.3"), F(4, "u"), F(2, "/shop"), F(3, "1.0"), F(4, "t") },
        { F(2, "/shop"), F(1, "1"), F(3, "1.0"), F(4, "t"), F(5, "\n\1j\22\6\32\1u\32\1v\n\1k"), F(6, "y"), F(7, "x") },
        { F(1, "1"), F(2, "/shop"), F(3, "1.0"), F(4, "t"), F(5, "\n\1k\22\3\32\1u\22\3\32\1v"), F(7, "y"), F(7, "x") },
        { F(1, "1"), F(2, "/shop"), F(3, "1.0"), F(4, "t"), F(5, "\n\1k\22\5\10\1\32\1v"), F(6, "y"), F(7, "x") },
    };
    (void)state;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct event e;
        bool short_one = i == 3;
        buf_clear(&encoded);
        add_fields(&encoded, orders[i], 7);
        if (!event_decode(buf_span(&encoded), &arena, &e, &why))
            fail_msg("order %zu: %s", i, why.text);
        assert_true(span_equal(e.id, S("1")) && span_equal(e.source, S("/shop")) && span_equal(e.type, S("t")));
        assert_int_equal(e.attribute_count, !short_one);
        assert_int_equal(e.data_kind, short_one ? DATA_NONE : DATA_TEXT);
        if (short_one)
            continue;
        assert_true(span_equal(e.data, S("x")));
        assert_int_equal(e.attributes[0].type, ATTRIBUTE_STRING);
        assert_true(span_equal(e.attributes[0].name, S("k")) && span_equal(e.attributes[0].text, S("v")));
    }
}

/* The broker finds the key by a scan of its own, whose result must be what decoding the event gives. */
static void the_key_is_that_of_the_attributes_as_they_are_decoded(void **state)
{
    static const struct {
        struct wire_field entries[2];
        const char *key;
    } cases[] = {
        { { F(5, "\22\3\32\1v\n\14partitionkey"), F(5, "\n\7subject\22\3\32\1s") }, "v" },
        { { F(5, "\n\7subject\n\14partitionkey\22\3\32\1v"), F(5, "\n\7subject\22\3\32\1s") }, "v" },
        { { F(5, "\n\14partitionkey\n\7subject\22\3\32\1v"), F(5, "\n\1k\22\3\32\1x") }, "v" },
        { { F(5, "\n\14partitionkey\22\3\32\1u\22\3\32\1v"), F(5, "\n\1k\22\3\32\1x") }, "v" },
        { { F(5, "\n\14partitionkey\22\5\32\1v\10\1"), F(5, "\n\7subject\22\3\32\1s") }, "s" },
        { { F(5, "\n\14partitionkey\22\5\32\1v\72\0"), F(5, "\n\7subject\22\3\32\1s") }, "s" },
        { { F(5, "\n\14partitionkey\22\6\32\1v\102\1x"), F(5, "\n\7subject\22\3\32\1s") }, "v" },
        { { F(5, "\n\14partitionkey\22\3\62\1v"), F(5, "\n\7subject\22\3\32\1s") }, "v" }, /* a URI reference */
        { { F(5, "\n\14partitionkey\22\2\20\7"), F(5, "\n\7subject\22\3\32\1s") }, "7" },
        { { F(5, "\n\7subject\22\2\20\7"), F(5, "\n\14partitionkey\22\4\20\10\32\0") }, "7" },
        { { F(5, "\n\7subject\22\3\32\001s"), F(5, "\n\14partitionkey\22\4\20\7\32\0") }, "s" },
    };
    static const struct wire_field required[] = { F(1, "1"), F(2, "/shop"), F(3, "1.0"), F(4, "t") };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char number[EVENT_KEY_NUMBER];
        buf_clear(&encoded);
        add_fields(&encoded, required, 4);
        add_fields(&encoded, cases[i].entries, 2);
        struct span key = event_key(buf_span(&encoded), number);
        if (!span_equal(key, S(cases[i].key)))
            fail_msg("case %zu: the key is '%.*s'", i, (int)key.size, (const char *)key.data);
    }
}

/* An attribute that has no value, or half of one. */
static void a_value_is_whole_or_none(void **state)
{
    static const struct wire_field attributes[] = { F(5, "\n\1k"), F(5, "\n\1k\22\0"), F(5, "\n\1k\22\3\32\2v"),
                                                    F(5, "\n\1k\22\4\32\1v\32"), F(5, "\n\1k\22\3\32\1v\12") };
    (void)state;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        static const struct wire_field required[] = { F(1, "1"), F(2, "/shop"), F(3, "1.0"), F(4, "t") };
        buf_clear(&encoded);
        add_fields(&encoded, required, 4);
        add_fields(&encoded, &attributes[i], 1);
        assert_refused("not a protobuf CloudEvent");
    }
}

static void protobuf_c_reads_what_we_write(void **state)
{
    (void)state;
    encode_sample();
    CloudEvent *m = io__cloudevents__v1__cloud_event__unpack(NULL, encoded.size, encoded.data);
    assert_non_null(m);
    assert_int_equal(m->base.n_unknown_fields, 0);
    assert_string_equal(m->id, "1");
    assert_string_equal(m->source, "/shop");
    assert_string_equal(m->spec_version, "1.0");
    assert_string_equal(m->type, "t");
    assert_int_equal(m->n_attributes, 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(m->attributes[i]->value->attr_case, i + 1);
    assert_true(m->attributes[0]->value->ce_boolean);
    assert_int_equal(m->attributes[1]->value->ce_integer, -7);
    assert_string_equal(m->attributes[2]->key, "subject");
    assert_int_equal(m->attributes[3]->value->ce_bytes.len, 3);
    assert_int_equal(m->attributes[6]->value->ce_timestamp->seconds, -1);
    assert_int_equal(m->attributes[6]->value->ce_timestamp->nanos, 250000000);
    assert_memory_equal(m->binary_data.data, "payload", 7);
    io__cloudevents__v1__cloud_event__free_unpacked(m, NULL);
}

static void we_read_what_protobuf_c_writes(void **state)
{
    (void)state;
    struct buf theirs = { 0 };
    struct event e, expected = sample();
    encode_sample();
    CloudEvent *m = io__cloudevents__v1__cloud_event__unpack(NULL, encoded.size, encoded.data);
    assert_non_null(m);
    theirs.size = io__cloudevents__v1__cloud_event__pack(
        m, buf_reserve(&theirs, io__cloudevents__v1__cloud_event__get_packed_size(m)));
    assert_true(event_decode(buf_span(&theirs), &arena, &e, &why));
    assert_int_equal(e.attribute_count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(e.attributes[i].type, expected.attributes[i].type);
        assert_true(span_equal(e.attributes[i].text, expected.attributes[i].text));
    }
    assert_true(span_equal(e.data, expected.data));
    io__cloudevents__v1__cloud_event__free_unpacked(m, NULL);
    buf_free(&theirs);
}

/* The four required attributes as fields. */
static void add_required(const char *version)
{
    buf_clear(&encoded);
    wire_add_span(&encoded, 1, S("i"));
    wire_add_span(&encoded, 2, S("s"));
    wire_add_span(&encoded, 3, S(version));
    wire_add_span(&encoded, 4, S("t"));
}

static void only_version_1_is_read(void **state)
{
    (void)state;
    add_required("1.0");
    assert_true(decodes(buf_span(&encoded)));
    add_required("0.3");
    assert_refused("'specversion' must be 1.0");
    add_required("");
    assert_refused("'specversion' must be 1.0");
}

static void a_missing_attribute_is_named(void **state)
{
    (void)state;
    buf_clear(&encoded);
    wire_add_span(&encoded, 1, S("i"));
    wire_add_span(&encoded, 3, S("1.0"));
    wire_add_span(&encoded, 4, S("t"));
    assert_refused("attribute 'source' is missing");
    assert_false(decodes(S("")));
}

static void rules_hold_for_what_is_decoded_too(void **state)
{
    (void)state;
    add_required("1.0");
    wire_add_bytes(&encoded, 1, S("a\nb")); /* the last one counts */
    assert_refused("attribute 'id' holds control characters");
    add_required("1.0");
    wire_add_bytes(&encoded, 7, S("\xff"));
    assert_refused("the data is not UTF-8");
}

/* Appends an attribute with a value of one field. */
static void add_attribute(const char *name, uint32_t tag, struct span bytes)
{
    size_t entry = wire_begin(&encoded, 5);
    wire_add_bytes(&encoded, 1, S(name));
    size_t value = wire_begin(&encoded, 2);
    wire_add_bytes(&encoded, tag, bytes);
    wire_end(&encoded, value);
    wire_end(&encoded, entry);
}

static void attributes_without_a_value_are_malformed(void **state)
{
    (void)state;
    add_required("1.0");
    size_t entry = wire_begin(&encoded, 5);
    wire_add_bytes(&encoded, 1, S("ext"));
    wire_end(&encoded, entry);
    assert_refused("not a protobuf CloudEvent");
    add_required("1.0");
    add_attribute("ext", 99, S("a type of a newer version"));
    assert_refused("not a protobuf CloudEvent");
    add_required("1.0");
    add_attribute("a", 3, S("x"));
    add_attribute("a", 3, S("y"));
    assert_refused("attribute 'a' is given twice");
}

static void timestamps_beyond_the_years_1_to_9999_are_malformed(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        int64_t nanos;
        bool fine;
    } cases[] = { { 0, 0, true },
                  { -62135596800, 0, true },
                  { -62135596801, 0, false },
                  { 253402300799, 999999999, true },
                  { 253402300800, 0, false },
                  { INT64_MAX, 0, false },
                  { INT64_MIN, 0, false },
                  { 0, 1000000000, false },
                  { 0, -1, false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf timestamp = { 0 };
        wire_add_number(&timestamp, 1, (uint64_t)cases[i].seconds);
        wire_add_number(&timestamp, 2, (uint64_t)cases[i].nanos);
        add_required("1.0");
        add_attribute("time", 7, buf_span(&timestamp));
        assert_int_equal(decodes(buf_span(&encoded)), cases[i].fine);
        buf_free(&timestamp);
    }
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    struct event e;
    add_required("1.0");
    wire_add_number(&encoded, 100, 7);
    wire_add_fixed64(&encoded, 101, 7);
    wire_add_bytes(&encoded, 102, S("newer"));
    wire_add_number(&encoded, 1, 7); /* a known field number with another wire type */
    assert_true(event_decode(buf_span(&encoded), &arena, &e, &why));
    assert_true(span_equal(e.id, S("i")));
    assert_int_equal(e.data_kind, DATA_NONE);
}

static void too_many_attributes_are_refused_before_they_cost_memory(void **state)
{
    (void)state;
    add_required("1.0");
    for (unsigned i = 0; i < 100000; i++)
        wire_add_bytes(&encoded, 5, S(""));
    assert_refused("at most 256 attributes");
    assert_int_equal(arena.used, 0);
}

/* A value must not come back shortened because there was no room for it. */
static void every_arena_either_fits_or_refuses(void **state)
{
    (void)state;
    struct event expected = sample(), e;
    expected.attributes[3].text = S("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    buf_clear(&encoded);
    event_encode(&expected, &encoded);
    bool fitted = false;
    for (size_t cap = 0; cap < 2048; cap += 16) {
        struct arena small;
        arena_init(&small, cap);
        bool fits = event_decode(buf_span(&encoded), &small, &e, &why);
        assert_true(fits || !fitted);
        for (size_t i = 0; fits && i < 7; i++)
            assert_true(span_equal(e.attributes[i].text, expected.attributes[i].text));
        fitted = fits;
        arena_free(&small);
    }
    assert_true(fitted);
}

static void cut_and_changed_bytes_never_read_outside(void **state)
{
    (void)state;
    encode_sample();
    for (size_t size = 0; size < encoded.size; size++) {
        uint8_t *copy = malloc(size + !size);
        memcpy(copy, encoded.data, size);
        decodes(span_of(copy, size));
        for (unsigned bit = 0; bit < 8 && size > 0; bit++) {
            copy[size - 1] ^= (uint8_t)(1u << bit);
            decodes(span_of(copy, size));
            copy[size - 1] ^= (uint8_t)(1u << bit);
        }
        free(copy);
        arena_free(&arena);
    }
    for (size_t bit = 0; bit < encoded.size * 8; bit++) {
        encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        decodes(buf_span(&encoded));
        encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        arena_free(&arena);
    }
    assert_true(decodes(buf_span(&encoded)));
}

int main(void)
{
    const struct CMUnitTest tests[] = { T(fields_come_in_any_order_and_twice),
                                        T(the_key_is_that_of_the_attributes_as_they_are_decoded),
                                        T(a_value_is_whole_or_none),
                                        T(protobuf_c_reads_what_we_write),
                                        T(we_read_what_protobuf_c_writes),
                                        T(only_version_1_is_read),
                                        T(a_missing_attribute_is_named),
                                        T(rules_hold_for_what_is_decoded_too),
                                        T(attributes_without_a_value_are_malformed),
                                        T(timestamps_beyond_the_years_1_to_9999_are_malformed),
                                        T(unknown_fields_are_skipped),
                                        T(too_many_attributes_are_refused_before_they_cost_memory),
                                        T(every_arena_either_fits_or_refuses),
                                        T(cut_and_changed_bytes_never_read_outside) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
