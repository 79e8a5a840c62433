#include "tests/sidecar/api/api_driver.h"

#include "sidecar/api/event_json.h"

#include <stdio.h>

struct fixture {
    struct arena arena;
    struct event event;
    struct error why;
    char text[1024];
};

/* An event with the required attributes and `members`. */
static bool read(struct fixture *f, const char *members)
{
    struct scan_value v;
    *f = (struct fixture){ 0 };
    arena_init(&f->arena, 1 << 16);
    snprintf(f->text, sizeof f->text, "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\"%s%s}",
             *members ? "," : "", members);
    assert_true(scan_text(span_str(f->text), &v));
    return event_json_read(v.raw, &f->arena, &f->event, &f->why);
}

static void end(struct fixture *f)
{
    arena_free(&f->arena);
}

static void refused(const char *members, const char *says)
{
    struct fixture f;
    assert_false(read(&f, members));
    if (!strstr(f.why.text, says))
        fail_msg("'%s' is not in: %s", says, f.why.text);
    end(&f);
}

static void attributes_keep_their_type_and_text(void **state)
{
    struct fixture f;
    (void)state;
    assert_true(read(&f,
                     "\"flag\":true,\"n\":-3,\"s\":\"\\u00e9\",\"time\":\"2024-05-01T12:00:00+02:00\",\"dataschema\":"
                     "\"urn:x\",\"gone\":null"));
    assert_int_equal(f.event.attribute_count, 5);
    static const enum attribute_type types[] = { ATTRIBUTE_BOOLEAN, ATTRIBUTE_INTEGER, ATTRIBUTE_STRING,
                                                 ATTRIBUTE_TIMESTAMP, ATTRIBUTE_URI };
    static const char *const texts[] = { "true", "-3", "\u00e9", "2024-05-01T12:00:00+02:00", "urn:x" };
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(f.event.attributes[i].type, types[i]);
        assert_true(span_equal(f.event.attributes[i].text, span_str(texts[i])));
    }
    end(&f);
}

static void data_of_json_keeps_its_own_bytes(void **state)
{
    static const char *const values[] = { "1e400", "1.0", "{\"a\" : 1, \"a\":2}", "\"\\u0041\"", "null", "[ ]" };
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct fixture f;
        char members[100];
        snprintf(members, sizeof members, "\"data\": %s ", values[i]);
        assert_true(read(&f, members));
        assert_int_equal(f.event.data_kind, DATA_TEXT);
        assert_true(span_equal(f.event.data, span_str(values[i])));
        end(&f);
    }
}

static void a_string_of_another_content_type_is_the_text_itself(void **state)
{
    struct fixture f;
    (void)state;
    assert_true(read(&f, "\"data\":\"a\\nb\",\"datacontenttype\":\"text/plain\""));
    assert_true(span_equal(f.event.data, span_str("a\nb")));
    end(&f);
}

static void base64_becomes_bytes(void **state)
{
    struct fixture f;
    (void)state;
    assert_true(read(&f, "\"data_base64\":\"AP8=\""));
    assert_int_equal(f.event.data_kind, DATA_BINARY);
    assert_true(f.event.data.size == 2 && memcmp(f.event.data.data, "\0\xff", 2) == 0);
    end(&f);
    assert_true(read(&f, "\"data_base64\":\"\""));
    assert_true(f.event.data_kind == DATA_BINARY && f.event.data.size == 0);
    end(&f);
}

static void an_event_without_data_has_none(void **state)
{
    struct fixture f;
    (void)state;
    assert_true(read(&f, ""));
    assert_int_equal(f.event.data_kind, DATA_NONE);
    end(&f);
}

static void bad_members_are_refused_by_name(void **state)
{
    (void)state;
    refused("\"id\":\"b\"", "'id' is given twice");
    refused("\"i\\u0064\":\"b\"", "'id' is given twice");
    refused("\"x\":1,\"x\":2", "'x' is given twice");
    refused("\"data\":1,\"data\":2", "'data' is given twice");
    refused("\"data\":1,\"data_base64\":\"AA==\"", "exclude each other");
    refused("\"data_base64\":\"A\"", "base64");
    refused("\"data_base64\":\"AP8\"", "base64");
    refused("\"data_base64\":7", "'data_base64' must be a string");
    refused("\"x\":1.5", "'x' must be an integer");
    refused("\"x\":2147483648", "'x' must be an integer");
    refused("\"x\":{}", "'x' must be a string");
    refused("\"x\":[]", "'x' must be a string");
    refused("\"Upper\":1", "'Upper'");
    refused("\"\":1", "''");
    refused("\"time\":\"soon\"", "'time'");
    refused("\"time\":7", "'time' must be a string");
    refused("\"subject\":true", "'subject' must be a string");
    refused("\"subject\":\"\"", "'subject'");
    refused("\"x\":\"\\ud800\"", "'x' holds an escape");
    refused("\"x\":\"\\u0000\"", "control characters");
    refused("\"data\":\"\\udc00\",\"datacontenttype\":\"text/plain\"", "'data' holds an escape");
}

static void what_is_required_is_asked_for(void **state)
{
    static const struct {
        const char *object, *says;
    } bad[] = {
        { "{}", "'specversion' is missing" },
        { "{\"specversion\":\"0.3\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\"}", "'specversion' must be" },
        { "{\"specversion\":1.0,\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\"}", "'specversion' must be a string" },
        { "{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"/s\",\"type\":\"t\"}", "'id' is missing or empty" },
        { "{\"specversion\":\"1.0\",\"id\":null,\"source\":\"/s\",\"type\":\"t\"}", "'id' is missing or empty" },
        { "{\"specversion\":\"1.0\",\"id\":\"a\",\"type\":\"t\"}", "'source' is missing or empty" },
        { "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\"}", "'type' is missing or empty" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fixture f = { 0 };
        arena_init(&f.arena, 4096);
        assert_false(event_json_read(span_str(bad[i].object), &f.arena, &f.event, &f.why));
        if (!strstr(f.why.text, bad[i].says))
            fail_msg("'%s' is not in: %s", bad[i].says, f.why.text);
        end(&f);
    }
}

static void attributes_are_bounded_in_number(void **state)
{
    static char text[8192];
    size_t used = (size_t)snprintf(text, sizeof text, "{\"specversion\":\"1.0\"");
    struct fixture f = { 0 };
    (void)state;
    for (unsigned i = 0; i < 300; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, ",\"x%u\":1", i);
    snprintf(text + used, sizeof text - used, "}");
    arena_init(&f.arena, 1 << 20);
    assert_false(event_json_read(span_str(text), &f.arena, &f.event, &f.why));
    assert_non_null(strstr(f.why.text, "at most 256 attributes"));
    end(&f);
}

static void json_media_types_are_known(void **state)
{
    (void)state;
    assert_true(media_type_is_json(span_str("")));
    assert_true(media_type_is_json(span_str("application/json")));
    assert_true(media_type_is_json(span_str("Text/JSON; charset=utf-8")));
    assert_true(media_type_is_json(span_str("application/problem+json")));
    assert_false(media_type_is_json(span_str("text/plain")));
    assert_false(media_type_is_json(span_str("application/jsonlines")));
    assert_false(media_type_is_json(span_str("text/plain; x=/json")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_keep_their_type_and_text),
        cmocka_unit_test(data_of_json_keeps_its_own_bytes),
        cmocka_unit_test(a_string_of_another_content_type_is_the_text_itself),
        cmocka_unit_test(base64_becomes_bytes),
        cmocka_unit_test(an_event_without_data_has_none),
        cmocka_unit_test(bad_members_are_refused_by_name),
        cmocka_unit_test(what_is_required_is_asked_for),
        cmocka_unit_test(attributes_are_bounded_in_number),
        cmocka_unit_test(json_media_types_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
