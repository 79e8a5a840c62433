/* CloudEvents: which are valid, and the messages for those that are not. */
#include "tests/proto/event_driver.h"

#include <string.h>

static void assert_invalid(const struct event *e, const char *what)
{
    assert_false(event_check(e, &why));
    if (!strstr(why.text, what))
        fail_msg("'%s' is not in \"%s\"", what, why.text);
    assert_false(event_check(e, NULL));
}

static void required_attributes_must_have_a_value(void **state)
{
    (void)state;
    struct event e = minimal(NULL, 0);
    e.id = S("");
    assert_invalid(&e, "attribute 'id' is missing");
    e = minimal(NULL, 0), e.source = (struct span){ 0 };
    assert_invalid(&e, "attribute 'source' is missing");
    e = minimal(NULL, 0), e.type = S("");
    assert_invalid(&e, "attribute 'type' is missing");
}

static void strings_hold_no_control_or_noncharacters_and_are_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = { "a\nb",
                                       "\x1f",
                                       "\x7f",
                                       "\xc2\x80",
                                       "\xc2\x9f",
                                       "\xff",
                                       "\xed\xa0\x80",
                                       "\xef\xb7\x90",
                                       "\xef\xb7\xaf",
                                       "\xef\xbf\xbe",
                                       "\xef\xbf\xbf",
                                       "\xf0\x9f\xbf\xbe",
                                       "x\xf4\x8f\xbf\xbf" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct attribute a = { S("ext"), ATTRIBUTE_STRING, S(bad[i]) };
        struct event e = minimal(&a, 1);
        assert_invalid(&e, "attribute 'ext' must be UTF-8 text without control characters and noncharacters");
        e = minimal(NULL, 0), e.id = S(bad[i]);
        assert_invalid(&e, "attribute 'id'");
    }
    struct event e = minimal(NULL, 0);
    e.id = span_of("a\0b", 3);
    assert_invalid(&e, "attribute 'id'");
    e.id =
        S("\xc2\xa0 \xf0\x9f\x98\x80 \xef\xb7\x8f\xef\xb7\xb0\xef\xbf\xbd\xf0\x9f\xbf\xbd\xf0\x9e\xbf\xbf\xef\xbb\xbf");
    assert_true(event_check(&e, &why));
}

static void names_are_lower_case_letters_and_digits(void **state)
{
    (void)state;
    static const char *const bad[] = { "",     "Ext", "my-ext", "my_ext", "a b",        "\xc3\xa9",
                                       "data", "id",  "source", "type",   "specversion" };
    char longest[66];
    memset(longest, 'n', sizeof longest);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct attribute a = { S(bad[i]), ATTRIBUTE_STRING, S("x") };
        struct event e = minimal(&a, 1);
        assert_invalid(&e, "not a valid attribute name");
    }
    struct attribute a = { span_of(longest, 64), ATTRIBUTE_STRING, S("x") };
    struct event e = minimal(&a, 1);
    assert_true(event_check(&e, &why));
    a.name.size = 65;
    assert_invalid(&e, "not a valid attribute name");
    a.name = S("7up");
    assert_true(event_check(&e, &why));
}

static void a_name_is_given_once(void **state)
{
    (void)state;
    struct attribute attributes[] = { { S("a"), ATTRIBUTE_STRING, S("1") },
                                      { S("b"), ATTRIBUTE_STRING, S("2") },
                                      { S("a"), ATTRIBUTE_STRING, S("3") } };
    struct event e = minimal(attributes, 3);
    assert_invalid(&e, "attribute 'a' is given twice");
}

static void values_must_fit_their_type(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum attribute_type type;
        const char *text, *wanted;
    } cases[] = {
        { "n", ATTRIBUTE_INTEGER, "2147483648", "an integer of 32 bits" },
        { "n", ATTRIBUTE_INTEGER, "-2147483649", "an integer of 32 bits" },
        { "n", ATTRIBUTE_INTEGER, "1.0", "an integer of 32 bits" },
        { "n", ATTRIBUTE_INTEGER, "-", "an integer of 32 bits" },
        { "n", ATTRIBUTE_INTEGER, "+1", "an integer of 32 bits" },
        { "n", ATTRIBUTE_INTEGER, "", "a value" },
        { "b", ATTRIBUTE_BOOLEAN, "True", "true or false" },
        { "b", ATTRIBUTE_BOOLEAN, "1", "true or false" },
        { "t", ATTRIBUTE_TIMESTAMP, "yesterday", "an RFC 3339 timestamp" },
        { "time", ATTRIBUTE_STRING, "2024-13-01T00:00:00Z", "an RFC 3339 timestamp" },
        { "time", ATTRIBUTE_STRING, "", "a value" },
        { "u", ATTRIBUTE_URI, "/relative", "an absolute URI" },
        { "u", ATTRIBUTE_URI, ":no-scheme", "an absolute URI" },
        { "u", ATTRIBUTE_URI, "1http://x", "an absolute URI" },
        { "u", ATTRIBUTE_URI, "a_b:x", "an absolute URI" },
        { "u", ATTRIBUTE_URI, "no-scheme", "an absolute URI" },
        { "dataschema", ATTRIBUTE_STRING, "schema.json", "an absolute URI" },
        { "dataschema", ATTRIBUTE_STRING, "", "a value" },
        { "subject", ATTRIBUTE_STRING, "", "a value" },
        { "datacontenttype", ATTRIBUTE_STRING, "", "a value" },
        { "datacontenttype", ATTRIBUTE_INTEGER, "7", "a string" },
        { "subject", ATTRIBUTE_BOOLEAN, "true", "a string" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct attribute a = { S(cases[i].name), cases[i].type, S(cases[i].text) };
        struct event e = minimal(&a, 1);
        assert_invalid(&e, cases[i].wanted);
    }
}

static void text_data_must_be_utf8_but_binary_data_need_not(void **state)
{
    (void)state;
    struct event e = minimal(NULL, 0);
    e.data_kind = DATA_TEXT, e.data = S("\xff");
    assert_invalid(&e, "the data is not UTF-8");
    e.data_kind = DATA_BINARY;
    assert_true(event_check(&e, &why));
    e.data_kind = DATA_TEXT, e.data = span_of("a\0\n", 3); /* data is no String of the type system */
    assert_true(event_check(&e, &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(required_attributes_must_have_a_value),
        T(strings_hold_no_control_or_noncharacters_and_are_utf8),
        T(names_are_lower_case_letters_and_digits),
        T(a_name_is_given_once),
        T(values_must_fit_their_type),
        T(text_data_must_be_utf8_but_binary_data_need_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
