/* Settings from YAML: values, sections, and mistakes with their line. */
#include "base/buf.h"
#include "base/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/base/sample_settings.h"

static struct sample options;
static struct error error;
static char scalars[512]; /* what the section was given: "key/key=value@line;" */

static bool take_scalar(void *context, const char *const *keys, size_t count, const char *value, int line,
                        struct error *e)
{
    assert_ptr_equal(context, scalars);
    if (strcmp(value, "refuse me") == 0)
        return error_set(e, "'%s' is not to be", keys[count - 1]);
    for (size_t i = 0; i < count; i++)
        snprintf(scalars + strlen(scalars), sizeof scalars - strlen(scalars), "%s%s", i ? "/" : "", keys[i]);
    snprintf(scalars + strlen(scalars), sizeof scalars - strlen(scalars), "=%s@%d;", value, line);
    return true;
}

static const struct setting_section sections[] = { { "queues", take_scalar, scalars, 2 },
                                                   { "trees", take_scalar, scalars, 0 } };
static const struct settings settings = {
    .rows = sample_rows, .count = sizeof sample_rows / sizeof *sample_rows, .sections = sections, .section_count = 2
};

static int begin(void **state)
{
    (void)state;
    settings_defaults(&settings, &options);
    error.text[0] = scalars[0] = '\0';
    return 0;
}

static int end(void **state)
{
    (void)state;
    settings_free(&settings, &options);
    return 0;
}

static bool read_text(const char *text)
{
    return settings_read_text(&settings, &options, "broker.yaml", span_str(text), &error);
}

/* Reads a text that must be refused with an error that contains `text_of_error`. */
static void assert_refused(const char *text, const char *text_of_error)
{
    if (read_text(text))
        fail_msg("was taken: %s", text);
    if (!strstr(error.text, text_of_error))
        fail_msg("'%s' is not in \"%s\"", text_of_error, error.text);
}

static void values_of_every_type_are_read(void **state)
{
    (void)state;
    assert_true(read_text("listen: tcp://0.0.0.0:7400 # a comment\n"
                          "app:\n"
                          "  name: \"shop\"\n"
                          "strict: false\n"
                          "max_queues: 12\n"
                          "heartbeat: 500ms\n"
                          "memory_budget: 1GiB\n"
                          "allow: { hosts: [a.example, 'b.example'] }\n"));
    assert_string_equal(options.listen, "tcp://0.0.0.0:7400");
    assert_string_equal(options.app_name, "shop");
    assert_false(options.strict);
    assert_int_equal(options.max_queues, 12);
    assert_int_equal(options.heartbeat, 500);
    assert_int_equal(options.memory_budget, 1 << 30);
    assert_int_equal(options.hosts.count, 2);
    assert_string_equal(options.hosts.items[0], "a.example");
    assert_string_equal(options.hosts.items[1], "b.example");
}

static void an_empty_text_changes_nothing(void **state)
{
    (void)state;
    assert_true(read_text(""));
    assert_true(settings_read_text(&settings, &options, "broker.yaml", (struct span){ 0 }, &error));
    assert_true(read_text("# only a comment\n"));
    assert_true(read_text("---\n"));
    assert_true(read_text("{}\n"));
    assert_int_equal(options.max_queues, 1000);
}

static void an_unknown_key_has_its_line_and_the_closest_known_key(void **state)
{
    (void)state;
    assert_false(read_text("strict: true\n\nmax_queus: 5\n"));
    assert_string_equal(error.text, "broker.yaml:3: unknown key 'max_queus'; did you mean 'max_queues'?");
    assert_refused("app:\n  nam: x\n", "broker.yaml:2: unknown key 'app.nam'; did you mean 'app.name'?");
    assert_refused("queus:\n  a: {capacity: 1}\n", "unknown key 'queus'; did you mean 'queues'?");
    assert_refused("ap: {name: x}\n", "broker.yaml:1: unknown key 'ap'; did you mean 'app'?");
    assert_refused("app:\n\tname: x\n", "broker.yaml:2: a tab cannot indent a line; use spaces");
    assert_refused("nothing_like_it_at_all: 1\n", "broker.yaml:1: unknown key 'nothing_like_it_at_all'");
}

static void a_wrong_value_has_its_line(void **state)
{
    (void)state;
    assert_refused("listen: x\nheartbeat: 3\n", "broker.yaml:2: 'heartbeat' must be a duration");
    assert_refused("max_queues: 0\n", "broker.yaml:1: 'max_queues' must be between 1 and 100000, not 0");
    assert_refused("strict:\n", "broker.yaml:1: 'strict' must be true or false");
}

static void a_key_given_twice_is_refused(void **state)
{
    (void)state;
    assert_refused("strict: true\nlisten: x\nstrict: true\n", "broker.yaml:3: 'strict' is given twice");
    assert_refused("queues:\n  a:\n    lease: 1s\n    lease: 2s\n", "broker.yaml:4: 'queues.a.lease' is given twice");
    assert_refused("app:\n  name: x\napp:\n  name: y\n", "broker.yaml:3: 'app' is given twice");
    assert_refused("app.name: x\napp: {name: y}\n", "broker.yaml:2: 'app.name' is given twice");
}

static void a_name_with_dots_is_no_setting_of_a_shorter_one(void **state)
{
    (void)state;
    assert_true(read_text("queues:\n  a: {lease: 1s}\n  a.lease: {}\n  a.lease.b: {}\n"));
    assert_string_equal(scalars, "a/lease=1s@2;a.lease=@3;a.lease.b=@4;");
    assert_refused("queues:\n  a.b: {}\n  a: {lease: 1s}\n  a.b: {}\n", "broker.yaml:4: 'queues.a.b' is given twice");
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    assert_refused("listen: [a, b]\n", "broker.yaml:1: a list is not expected here");
    assert_refused("listen:\n  host: a\n", "a plain value is expected here, not a mapping");
    assert_refused("app: 5\n", "broker.yaml:1: 'app' has no value of its own, but keys below it");
    assert_refused("allow:\n  hosts:\n    - [a]\n", "broker.yaml:3: a list holds plain values only");
    assert_refused("allow:\n  hosts:\n    - {a: b}\n", "a list holds plain values only");
    assert_refused("just text\n", "broker.yaml:1: 'key: value' lines are expected");
    assert_refused("- a\n- b\n", "'key: value' lines are expected");
    assert_refused("? [a]\n: b\n", "a key must be plain text");
}

static void broken_yaml_has_its_line(void **state)
{
    (void)state;
    assert_refused("strict: true\nlisten: \"x\n", "broker.yaml:");
    assert_refused("strict: true\n\tlisten: x\n", "broker.yaml:2: ");
    assert_refused("allow: {hosts: [a\n", "broker.yaml:");
    assert_refused("listen: \xff\xfe\n", "broker.yaml:");
}

static void broken_yaml_comes_with_what_was_expected(void **state)
{
    (void)state;
    assert_refused("listen: x\n  strict: true\n",
                   "broker.yaml:2: a second ': ' in one line, or a line that is indented");
    assert_refused("listen: a: b\n", "broker.yaml:1: a second ': ' in one line");
    assert_refused("listen:x\nstrict: true\n", "broker.yaml:");
    assert_refused("listen:x\n", "with a space behind the colon");
    assert_refused(
        "queues:\n  a:\n    capacity: 4\n   lease: 3s\n",
        "broker.yaml:4: a 'key: value' is expected, which begins in the column of the keys before it; nothing "
        "may follow a value in quotes (it began in line 2)");
    assert_refused("listen: 'it's'\n", "broker.yaml:1: a 'key: value' is expected");
    assert_refused("allow: {hosts: [a b}\n", "");
    assert_null(strstr(error.text, "it began"));
    assert_refused("listen: \"x\nstrict: true\n", "a quote is not closed (it began in line 1)");
    assert_refused("listen: @x\n", "broker.yaml:1: a value cannot begin with this character; put it in quotes");
    assert_refused("app: {name: x\nstrict: true\n", "a '{' is not closed (it began in line 1)");
    assert_refused("allow:\n  hosts: [a\nstrict: true\n", "a '[' is not closed (it began in line 2)");
    assert_refused("listen: \"\\d\"\n", "put the value in single quotes");
    assert_refused("listen: x\nstrict\nmax_queues: 4\n", "a ':' and a space are expected behind the key");
}

static void anchors_and_aliases_are_refused(void **state)
{
    (void)state;
    assert_refused("listen: &a x\n", "broker.yaml:1: anchors are not supported");
    assert_refused("listen: x\napp:\n  name: *a\n", "broker.yaml:3: ");
    assert_refused("allow:\n  hosts: [*a]\n", "broker.yaml:2: ");
}

static void tags_nuls_and_more_documents_are_refused(void **state)
{
    (void)state;
    assert_refused("max_queues: !!str 5\n", "broker.yaml:1: ");
    assert_refused("allow: {hosts: !!seq [a]}\n", "broker.yaml:1: tags like !!str are not supported");
    assert_refused("app: !!map {name: x}\n", "broker.yaml:1: tags like !!str are not supported");
    assert_refused("app: &a\n  name: x\n", "broker.yaml:1: anchors are not supported");
    assert_refused("allow:\n  hosts: [&a x]\n", "broker.yaml:2: anchors are not supported");
    assert_refused("strict: true\n---\nmax_queues: 3\n", "broker.yaml:2: ");
    assert_refused("listen: \"a\\0b\"\n", "broker.yaml:1: ");
    assert_string_equal(options.listen, "tcp://127.0.0.1:7400");
}

static void a_section_gets_its_scalars_with_keys_and_line(void **state)
{
    (void)state;
    assert_true(read_text("strict: true\n"
                          "queues:\n"
                          "  orders:\n"
                          "    capacity: 10\n"
                          "    lease: 30s\n"
                          "  mail: {overflow: reject}\n"));
    assert_string_equal(scalars, "orders/capacity=10@4;orders/lease=30s@5;mail/overflow=reject@6;");
}

static void a_section_gets_names_without_settings_too(void **state)
{
    (void)state;
    assert_true(read_text("queues:\n  orders: {}\n  mail:\n"));
    assert_string_equal(scalars, "orders=@2;mail=@3;");
    scalars[0] = '\0';
    assert_true(read_text("trees: {a: {}, b: {c: {d: {}}}}\nqueues:\n"));
    assert_string_equal(scalars, "a=@1;b/c/d=@1;=@2;");
    scalars[0] = '\0';
    assert_true(read_text("queues: {}\n"));
    assert_string_equal(scalars, "");
}

static void dots_in_keys_of_a_section_part_nothing(void **state)
{
    (void)state;
    assert_true(read_text("queues:\n  orders.eu: {}\n  a.b: {c.d: 1}\ntrees: {a.: {.b: {'': {..: 1}}}}\n"));
    assert_string_equal(scalars, "orders.eu=@2;a.b/c.d=1@3;a./.b//..=1@4;");
    assert_refused("queues.orders.capacity: 5\n", "broker.yaml:1: unknown key 'queues.orders.capacity'");
    assert_refused("queues.orders: {}\n", "broker.yaml:1: unknown key 'queues.orders'");
}

static void a_key_that_a_section_refuses_is_reported_with_its_line(void **state)
{
    (void)state;
    assert_false(read_text("queues:\n  orders:\n    lease: refuse me\n"));
    assert_string_equal(error.text, "broker.yaml:3: 'lease' is not to be");
}

static void depth_and_length_of_keys_are_bounded(void **state)
{
    (void)state;
    char text[2000] = "trees:\n", key[700];
    for (int depth = 1; depth < 12; depth++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%*sk:\n", depth, "");
    assert_refused(text, "mappings nest too deep");
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    snprintf(text, sizeof text, "queues:\n  %s: 1\n", key);
    assert_refused(text, "broker.yaml:2: this key is too long");
}

static void over_large_texts_are_refused_unread(void **state)
{
    (void)state;
    size_t size = (1 << 20) + 1;
    char *text = malloc(size);
    memset(text, '\n', size);
    assert_false(settings_read_text(&settings, &options, "big.yaml", span_of(text, size), &error));
    assert_string_equal(error.text, "big.yaml: larger than 1 MiB");
    assert_true(settings_read_text(&settings, &options, "big.yaml", span_of(text, size - 1), &error));
    free(text);
}

static void files_are_read_and_named_in_errors(void **state)
{
    (void)state;
    char path[] = "/tmp/sluice-settings-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "max_queues: 7\nlisen: x\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    assert_false(settings_read_file(&settings, &options, path, &error));
    assert_int_equal(options.max_queues, 7);
    assert_int_equal(strncmp(error.text, path, strlen(path)), 0);
    assert_non_null(strstr(error.text, ":2: unknown key 'lisen'"));
    assert_int_equal(unlink(path), 0);
    assert_false(settings_read_file(&settings, &options, path, &error));
    assert_non_null(strstr(error.text, "No such file"));
    assert_false(settings_read_file(&settings, &options, "/tmp", &error));
    assert_non_null(strstr(error.text, "cannot read /tmp"));
}

static void a_repeated_key_is_found_among_hundreds(void **state)
{
    (void)state;
    struct buf text = { 0 };
    buf_add_str(&text, "queues:\n");
    for (int i = 0; i < 300; i++)
        buf_printf(&text, "  q%d: {}\n", i);
    buf_add_str(&text, "  q290: {}\n");
    buf_add_byte(&text, '\0');
    assert_refused((const char *)text.data, "broker.yaml:302: 'queues.q290' is given twice");
    buf_free(&text);
}

static void a_mapping_deeper_than_its_section_is_no_part_of_a_name(void **state)
{
    (void)state;
    assert_refused("queues:\n  orders:\n    limits:\n      capacity: 5\n",
                   "broker.yaml:4: a plain value is expected here, not a mapping");
    assert_refused("queues: {orders: {limits: {}}}\n", "broker.yaml:1: a plain value is expected here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_repeated_key_is_found_among_hundreds, begin, end),
        cmocka_unit_test_setup_teardown(a_mapping_deeper_than_its_section_is_no_part_of_a_name, begin, end),
        cmocka_unit_test_setup_teardown(values_of_every_type_are_read, begin, end),
        cmocka_unit_test_setup_teardown(an_empty_text_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(an_unknown_key_has_its_line_and_the_closest_known_key, begin, end),
        cmocka_unit_test_setup_teardown(a_wrong_value_has_its_line, begin, end),
        cmocka_unit_test_setup_teardown(a_key_given_twice_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_name_with_dots_is_no_setting_of_a_shorter_one, begin, end),
        cmocka_unit_test_setup_teardown(shapes_that_do_not_fit_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(broken_yaml_has_its_line, begin, end),
        cmocka_unit_test_setup_teardown(broken_yaml_comes_with_what_was_expected, begin, end),
        cmocka_unit_test_setup_teardown(anchors_and_aliases_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(tags_nuls_and_more_documents_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_section_gets_its_scalars_with_keys_and_line, begin, end),
        cmocka_unit_test_setup_teardown(a_section_gets_names_without_settings_too, begin, end),
        cmocka_unit_test_setup_teardown(dots_in_keys_of_a_section_part_nothing, begin, end),
        cmocka_unit_test_setup_teardown(a_key_that_a_section_refuses_is_reported_with_its_line, begin, end),
        cmocka_unit_test_setup_teardown(depth_and_length_of_keys_are_bounded, begin, end),
        cmocka_unit_test_setup_teardown(over_large_texts_are_refused_unread, begin, end),
        cmocka_unit_test_setup_teardown(files_are_read_and_named_in_errors, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
