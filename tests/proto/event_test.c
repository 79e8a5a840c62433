/* CloudEvents: round trips through the encoding. Validation is in event_check_test.c, hostile bytes in
 * event_bad_test.c. */
#include "tests/proto/event_driver.h"

#include <stdio.h>
#include <string.h>

static void assert_text(struct span s, const char *text)
{
    if (!span_equal(s, S(text)))
        fail_msg("\"%.*s\" is not \"%s\"", (int)s.size, (const char *)s.data, text);
}

/* libsluice encodes events into memory that cannot grow. */
static void assert_it_keeps_to_its_bound(const struct event *e)
{
    size_t most = event_encoded_most(e);
    struct buf b = { 0 };
    uint8_t *at = buf_reserve(&b, most);
    b.capacity = most;
    event_encode(e, &b);
    assert_ptr_equal(b.data, at);
    assert_int_equal(b.capacity, most);
    buf_free(&b);
}

static struct event round_trip(const struct event *e)
{
    struct event back;
    if (!event_check(e, &why))
        fail_msg("not valid: %s", why.text);
    assert_it_keeps_to_its_bound(e);
    buf_clear(&encoded);
    event_encode(e, &encoded);
    if (!event_decode(buf_span(&encoded), &arena, &back, &why))
        fail_msg("does not come back: %s", why.text);
    assert_true(span_equal(back.id, e->id) && span_equal(back.source, e->source) && span_equal(back.type, e->type));
    assert_int_equal(back.attribute_count, e->attribute_count);
    for (size_t i = 0; i < e->attribute_count; i++) {
        assert_true(span_equal(back.attributes[i].name, e->attributes[i].name));
        if (!span_equal(back.attributes[i].text, e->attributes[i].text))
            fail_msg("'%.*s' came back as '%.*s'", (int)e->attributes[i].text.size,
                     (const char *)e->attributes[i].text.data, (int)back.attributes[i].text.size,
                     (const char *)back.attributes[i].text.data);
    }
    assert_int_equal(back.data_kind, e->data_kind);
    assert_true(span_equal(back.data, e->data));
    return back;
}

static void a_minimal_event_round_trips(void **state)
{
    (void)state;
    struct event e = minimal(NULL, 0);
    round_trip(&e);
}

static void attributes_of_every_type_come_back_as_published(void **state)
{
    (void)state;
    static struct attribute attributes[] = {
        { { 0 }, ATTRIBUTE_STRING, { 0 } },  { { 0 }, ATTRIBUTE_BOOLEAN, { 0 } },   { { 0 }, ATTRIBUTE_BOOLEAN, { 0 } },
        { { 0 }, ATTRIBUTE_INTEGER, { 0 } }, { { 0 }, ATTRIBUTE_INTEGER, { 0 } },   { { 0 }, ATTRIBUTE_INTEGER, { 0 } },
        { { 0 }, ATTRIBUTE_BYTES, { 0 } },   { { 0 }, ATTRIBUTE_BYTES, { 0 } },     { { 0 }, ATTRIBUTE_URI, { 0 } },
        { { 0 }, ATTRIBUTE_URI_REF, { 0 } }, { { 0 }, ATTRIBUTE_TIMESTAMP, { 0 } }, { { 0 }, ATTRIBUTE_STRING, { 0 } },
    };
    static const char *const texts[][2] = {
        { "text", "gr\xc3\xbc\xc3\x9f dich" },
        { "yes", "true" },
        { "no", "false" },
        { "zero", "0" },
        { "least", "-2147483648" },
        { "most", "2147483647" },
        { "bin", "AP/+" },
        { "nobin", "" },
        { "uri", "z9+-.A://example.com/a?b#c" },
        { "ref", "../a" },
        { "when", "2024-05-01T12:00:00.5Z" },
        { "empty", "" },
    };
    size_t count = sizeof attributes / sizeof *attributes;
    for (size_t i = 0; i < count; i++) {
        attributes[i].name = S(texts[i][0]);
        attributes[i].text = S(texts[i][1]);
    }
    struct event e = minimal(attributes, count);
    struct event back = round_trip(&e);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(back.attributes[i].type, attributes[i].type);
}

static void the_bound_holds_for_as_many_attributes_as_there_may_be(void **state)
{
    (void)state;
    static const struct {
        enum attribute_type type;
        const char *text;
    } kinds[] = { { ATTRIBUTE_STRING, "" },
                  { ATTRIBUTE_BOOLEAN, "true" },
                  { ATTRIBUTE_INTEGER, "-1" },
                  { ATTRIBUTE_BYTES, "" },
                  { ATTRIBUTE_TIMESTAMP, "0001-01-01T00:00:00Z" },
                  { ATTRIBUTE_TIMESTAMP, "2024-05-01T12:00:00.999999999Z" } };
    static struct attribute attributes[EVENT_ATTRIBUTES_MAX];
    static char names[EVENT_ATTRIBUTES_MAX][8];
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        for (size_t i = 0; i < EVENT_ATTRIBUTES_MAX; i++) {
            snprintf(names[i], sizeof names[i], "a%zu", i);
            attributes[i] = (struct attribute){ S(names[i]), kinds[kind].type, S(kinds[kind].text) };
        }
        struct event e = minimal(attributes, EVENT_ATTRIBUTES_MAX);
        round_trip(&e);
    }
}

/* Everything that RFC 3339 allows, including what google.protobuf.Timestamp cannot hold or would write differently. */
static void timestamps_come_back_letter_by_letter(void **state)
{
    (void)state;
    static const char *const times[] = {
        "2024-05-01T12:00:00Z",      "2024-05-01T12:00:00.123456789Z",
        "2024-05-01T12:00:00.100Z",  "2024-05-01T14:00:00+02:00",
        "2024-05-01T12:00:00-00:00", "2024-05-01t12:00:00z",
        "1969-12-31T23:59:59Z",      "2024-05-01T12:00:00.1234567891234Z",
        "2016-12-31T23:59:60Z",      "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",      "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
        "0000-01-01T00:00:00Z",      "0000-12-31T23:59:59.5Z",
        "2024-02-29T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct attribute time = { S("time"), ATTRIBUTE_TIMESTAMP, S(times[i]) };
        struct event e = minimal(&time, 1);
        struct event back = round_trip(&e);
        bool canonical = i < 2 || i == 6 || i == 9 || i == 10 || i == 16; /* kept by protobuf's type */
        assert_int_equal(back.attributes[0].type, canonical ? ATTRIBUTE_TIMESTAMP : ATTRIBUTE_STRING);
    }
}

/* An Integer is a number, not a text: -0 is 0, as in protobuf and in JSON. */
static void integers_come_back_in_their_canonical_form(void **state)
{
    (void)state;
    static const char *const texts[][2] = { { "-0", "0" }, { "007", "7" }, { "-2147483648", "-2147483648" } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct attribute a = { S("n"), ATTRIBUTE_INTEGER, S(texts[i][0]) };
        struct event e = minimal(&a, 1), back;
        buf_clear(&encoded);
        assert_true(event_check(&e, &why));
        event_encode(&e, &encoded);
        assert_true(event_decode(buf_span(&encoded), &arena, &back, &why));
        assert_int_equal(back.attributes[0].type, ATTRIBUTE_INTEGER);
        assert_text(back.attributes[0].text, texts[i][1]);
    }
}

static void bytes_that_are_no_base64_are_kept_as_the_text_they_are(void **state)
{
    (void)state;
    static const char *const texts[] = { "AP/", "AB==", "not base64", "AP/+AP", "_-8=", "AP\xc3\xa9" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct attribute a = { S("bin"), ATTRIBUTE_BYTES, S(texts[i]) };
        struct event e = minimal(&a, 1);
        round_trip(&e);
    }
}

static void data_of_every_kind_round_trips(void **state)
{
    (void)state;
    static const enum data_kind kinds[] = { DATA_BINARY, DATA_TEXT, DATA_PROTO };
    for (size_t i = 0; i < 3; i++) {
        struct event e = minimal(NULL, 0);
        e.data_kind = kinds[i];
        round_trip(&e); /* empty data differs from no data */
        e.data = kinds[i] == DATA_TEXT ? S("{\"a\": 1e400}") : span_of("\0\xff\x80", 3);
        round_trip(&e);
    }
}

static void attributes_are_found_by_name(void **state)
{
    (void)state;
    struct attribute attributes[] = { { S("subject"), ATTRIBUTE_STRING, S("42") },
                                      { S("ext"), ATTRIBUTE_STRING, S("") } };
    struct event e = minimal(attributes, 2);
    assert_text(event_attribute(&e, "id"), "1");
    assert_text(event_attribute(&e, "source"), "/shop");
    assert_text(event_attribute(&e, "type"), "order.placed");
    assert_text(event_attribute(&e, "specversion"), "1.0");
    assert_text(event_attribute(&e, "subject"), "42");
    assert_non_null(event_attribute(&e, "ext").data);
    assert_null(event_attribute(&e, "time").data);
}

/* What is accepted must be readable at the other end, or it would be stuck in its queue. */
static void an_event_has_as_many_attributes_as_can_be_read_again(void **state)
{
    (void)state;
    static struct attribute attributes[257];
    static char names[257][8];
    for (size_t i = 0; i < 257; i++) {
        snprintf(names[i], sizeof names[i], "a%zu", i);
        attributes[i] = (struct attribute){ S(names[i]), ATTRIBUTE_STRING, S("x") };
    }
    struct event e = minimal(attributes, 256);
    round_trip(&e);
    e.attribute_count = 257;
    assert_false(event_check(&e, &why));
    assert_non_null(strstr(why.text, "at most 256 attributes"));
}

/* Known answers, so that no version's hashes differ from another's: b2sum -l 128 of source, NUL, id. */
static void a_hash_is_of_source_and_id(void **state)
{
    (void)state;
    static const uint8_t known[EVENT_HASH_SIZE] = { 0x3c, 0x84, 0x6c, 0x85, 0x24, 0x95, 0x0a, 0x13,
                                                    0xaa, 0x8d, 0x24, 0x15, 0xb8, 0x3c, 0xae, 0xed };
    static char longest[300];
    uint8_t hash[EVENT_HASH_SIZE], other[EVENT_HASH_SIZE];
    event_hash(S("/s"), S("1"), hash);
    assert_memory_equal(hash, known, sizeof hash);
    event_hash(S("/s1"), S(""), other);
    assert_memory_not_equal(hash, other, sizeof hash);
    event_hash(S("/t"), S("1"), other);
    assert_memory_not_equal(hash, other, sizeof hash);
    memset(longest, 'a', sizeof longest - 1);
    static const uint8_t known_longest[EVENT_HASH_SIZE] = { 0x84, 0x12, 0x95, 0xac, 0x3f, 0x08, 0x24, 0x96,
                                                            0x1f, 0x23, 0xed, 0x06, 0x3f, 0xf1, 0x99, 0x35 };
    event_hash(S("/s"), S(longest), hash);
    assert_memory_equal(hash, known_longest, sizeof hash);
    static const struct { /* around 256 bytes, up to which it is hashed in one piece */
        size_t source, id;
        uint8_t known[EVENT_HASH_SIZE];
    } sizes[] = {
        { 200, 55, { 0xfd, 0x14, 0xb2, 0x3f, 0x40, 0x92, 0xe8, 0xda, 0x34, 0xc4, 0x30, 0x10, 0x24, 0x92, 0x70, 0xfb } },
        { 200, 56, { 0x82, 0x65, 0x55, 0x97, 0xb9, 0x41, 0xbf, 0x87, 0x53, 0xb5, 0x8c, 0xaa, 0x13, 0xcc, 0xda, 0x1a } },
        { 255, 1, { 0x04, 0x8d, 0x1a, 0xf2, 0x3b, 0x88, 0xfa, 0x73, 0xaf, 0xee, 0x75, 0x36, 0xda, 0xd7, 0x98, 0xd5 } }
    };
    for (size_t i = 0; i < 3; i++) {
        char source[256], text[64];
        memset(source, 's', sizeof source);
        memset(text, 'i', sizeof text);
        event_hash(span_of(source, sizes[i].source), span_of(text, sizes[i].id), hash);
        assert_memory_equal(hash, sizes[i].known, sizeof hash);
    }
}

static void source_and_id_are_found_in_encoded_events(void **state)
{
    (void)state;
    struct event e = minimal(NULL, 0);
    struct buf b = { 0 };
    struct span source, id;
    event_encode(&e, &b);
    assert_true(event_identity(buf_span(&b), &source, &id));
    assert_true(span_equal(source, e.source) && span_equal(id, e.id));
    assert_false(event_identity(span_of(b.data, b.size - 1), &source, &id));
    assert_false(event_identity(S("\x0a\x01x"), &source, &id));
    buf_free(&b);
}

static void uuids_are_of_version_4(void **state)
{
    (void)state;
    static const uint8_t zeros[16] = { 0 };
    uint8_t ones[16];
    char text[37];
    memset(ones, 0xff, sizeof ones);
    uuid_format(zeros, text);
    assert_string_equal(text, "00000000-0000-4000-8000-000000000000");
    uuid_format(ones, text);
    assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

static void text_is_checked_byte_by_byte_whatever_its_size(void **state)
{
    static const uint8_t bad[] = { 0x00, 0x1f, 0x7f, 0x80, 0xff }, good[] = { 0x20, 0x7e };
    uint8_t text[50];
    (void)state;
    for (size_t size = 1; size <= sizeof text; size++) {
        memset(text, 'a', sizeof text);
        assert_true(event_text_valid(span_of(text, size)));
        for (size_t at = 0; at < size; at++) {
            for (size_t i = 0; i < sizeof bad; i++) {
                text[at] = bad[i];
                assert_false(event_text_valid(span_of(text, size)));
            }
            for (size_t i = 0; i < sizeof good; i++) {
                text[at] = good[i];
                assert_true(event_text_valid(span_of(text, size)));
            }
            text[at] = 'a';
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(text_is_checked_byte_by_byte_whatever_its_size),
        T(a_minimal_event_round_trips),
        T(attributes_of_every_type_come_back_as_published),
        T(the_bound_holds_for_as_many_attributes_as_there_may_be),
        T(timestamps_come_back_letter_by_letter),
        T(integers_come_back_in_their_canonical_form),
        T(bytes_that_are_no_base64_are_kept_as_the_text_they_are),
        T(data_of_every_kind_round_trips),
        T(attributes_are_found_by_name),
        T(an_event_has_as_many_attributes_as_can_be_read_again),
        T(a_hash_is_of_source_and_id),
        T(source_and_id_are_found_in_encoded_events),
        T(uuids_are_of_version_4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
