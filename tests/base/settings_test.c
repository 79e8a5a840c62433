/* Settings from text and from the environment, and suggestions for unknown keys. */
#include "base/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/base/sample_settings.h"

static struct sample options;
static struct error error;

static int begin(void **state)
{
    (void)state;
    settings_defaults(&sample_settings, &options);
    error.text[0] = '\0';
    return 0;
}

static int end(void **state)
{
    (void)state;
    settings_free(&sample_settings, &options);
    return 0;
}

static bool set(const char *key, const char *value)
{
    return settings_set(&sample_settings, &options, key, value, &error);
}

static bool read_environment(const char *const *environment)
{
    return settings_read_environment(&sample_settings, &options, (char *const *)(uintptr_t)environment, &error);
}

static void assert_error_has(const char *what)
{
    if (!strstr(error.text, what))
        fail_msg("'%s' is not in \"%s\"", what, error.text);
}

static void every_field_gets_its_default(void **state)
{
    (void)state;
    assert_string_equal(options.listen, "tcp://127.0.0.1:7400");
    assert_null(options.app_name);
    assert_true(options.strict);
    assert_int_equal(options.max_queues, 1000);
    assert_int_equal(options.heartbeat, 3000);
    assert_int_equal(options.memory_budget, 1 << 20);
    assert_int_equal(options.hosts.count, 0);
}

static void values_of_every_type_are_taken(void **state)
{
    (void)state;
    assert_true(set("listen", "ipc:///run/sluice"));
    assert_true(set("app.name", "shop"));
    assert_true(set("strict", "false"));
    assert_true(set("max_queues", "77"));
    assert_true(set("heartbeat", "2.5s"));
    assert_true(set("memory_budget", "64MiB"));
    assert_true(set("allow.hosts", "a.example"));
    assert_true(set("allow.hosts", "b.example"));
    assert_string_equal(options.listen, "ipc:///run/sluice");
    assert_string_equal(options.app_name, "shop");
    assert_false(options.strict);
    assert_int_equal(options.max_queues, 77);
    assert_int_equal(options.heartbeat, 2500);
    assert_int_equal(options.memory_budget, 64 << 20);
    assert_int_equal(options.hosts.count, 2);
    assert_string_equal(options.hosts.items[1], "b.example");
}

static void a_wrong_value_is_named_with_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *wanted;
    } cases[] = { { "strict", "yes", "true or false" },
                  { "strict", "", "true or false" },
                  { "max_queues", "many", "a whole number" },
                  { "max_queues", "10k", "a whole number" },
                  { "max_queues", "1.5", "a whole number" },
                  { "max_queues", "-1", "a whole number" },
                  { "max_queues", "", "a whole number" },
                  { "heartbeat", "3", "a duration" },
                  { "heartbeat", "-3s", "a duration" },
                  { "memory_budget", "lots", "a size" },
                  { "memory_budget", "9223372036854775808", "a size" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(set(cases[i].key, cases[i].value));
        assert_error_has(cases[i].key);
        assert_error_has(cases[i].wanted);
        assert_error_has(cases[i].value);
    }
    assert_true(options.strict);
    assert_int_equal(options.max_queues, 1000);
    assert_int_equal(options.heartbeat, 3000);
}

static void values_stay_in_their_range(void **state)
{
    (void)state;
    assert_true(set("heartbeat", "100ms"));
    assert_true(set("heartbeat", "1m"));
    assert_false(set("heartbeat", "99ms"));
    assert_string_equal(error.text, "'heartbeat' must be between 100ms and 1m, not 99ms");
    assert_false(set("heartbeat", "61s"));
    assert_false(set("max_queues", "0"));
    assert_string_equal(error.text, "'max_queues' must be between 1 and 100000, not 0");
    assert_false(set("max_queues", "100001"));
    assert_true(set("max_queues", "100000"));
    assert_int_equal(options.heartbeat, 60000);
}

static void an_unknown_key_comes_with_the_closest_known_one(void **state)
{
    (void)state;
    assert_false(set("max_queue", "1"));
    assert_string_equal(error.text, "unknown key 'max_queue'; did you mean 'max_queues'?");
    assert_false(set("lisen", "x"));
    assert_string_equal(error.text, "unknown key 'lisen'; did you mean 'listen'?");
    assert_false(set("zzzzzz", "x"));
    assert_string_equal(error.text, "unknown key 'zzzzzz'");
    assert_false(set("app", "x"));
    assert_string_equal(error.text, "'app' has no value of its own, but keys below it");
}

static void the_closest_name_needs_the_fewest_changes(void **state)
{
    (void)state;
    static const char *const names[] = { "capacity", "capacity_bytes", "lease", "overflow" };
    assert_string_equal(settings_closest(names, 4, "capcity"), "capacity");
    assert_string_equal(settings_closest(names, 4, "capacity_byte"), "capacity_bytes");
    assert_string_equal(settings_closest(names, 4, "leese"), "lease");
    assert_string_equal(settings_closest(names, 4, "lease"), "lease");
    assert_string_equal(settings_closest(names, 4, "over_flow"), "overflow");
    assert_null(settings_closest(names, 4, "durability"));
    assert_null(settings_closest(names, 4, ""));
    assert_null(settings_closest(names, 0, "lease"));
}

static void over_long_names_are_close_to_nothing(void **state)
{
    (void)state;
    static const char *const names[] = { "lease" };
    char name[200];
    memset(name, 'l', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const char *const long_names[] = { name };
    assert_null(settings_closest(names, 1, name));
    assert_null(settings_closest(long_names, 1, "lease"));
}

static void an_error_may_be_of_no_interest(void **state)
{
    (void)state;
    assert_false(settings_set(&sample_settings, &options, "nowhere", "1", NULL));
    assert_false(settings_set(&sample_settings, &options, "strict", "1", NULL));
}

static void the_environment_sets_every_type(void **state)
{
    (void)state;
    static const char *const environment[] = {
        "PATH=/bin",           "SLUICE_LISTEN=tcp://0.0.0.0:1", "SLUICE_APP_NAME=a=b",       "SLUICE_STRICT=false",
        "SLUICE_MAX_QUEUES=5", "SLUICE_HEARTBEAT=1s",           "SLUICE_MEMORY_BUDGET=2MiB", NULL
    };
    assert_true(read_environment(environment));
    assert_string_equal(options.listen, "tcp://0.0.0.0:1");
    assert_string_equal(options.app_name, "a=b");
    assert_false(options.strict);
    assert_int_equal(options.max_queues, 5);
    assert_int_equal(options.heartbeat, 1000);
    assert_int_equal(options.memory_budget, 2 << 20);
}

static void a_list_in_the_environment_is_split_at_commas_and_replaces(void **state)
{
    (void)state;
    static const char *const environment[] = { "SLUICE_ALLOW_HOSTS= a.example,, b.example ,", NULL };
    assert_true(set("allow.hosts", "from.file"));
    assert_true(read_environment(environment));
    assert_int_equal(options.hosts.count, 2);
    assert_string_equal(options.hosts.items[0], "a.example");
    assert_string_equal(options.hosts.items[1], "b.example");
}

static void names_that_only_begin_alike_are_left_alone(void **state)
{
    (void)state;
    static const char *const environment[] = { "SLUICE_LISTENER=x", "SLUICE_LISTE=x",  "SLUICE_PORT=tcp://1.2.3.4:80",
                                               "XSLUICE_LISTEN=x",  "sluice_listen=x", NULL };
    assert_true(read_environment(environment));
    assert_string_equal(options.listen, "tcp://127.0.0.1:7400");
    assert_true(settings_read_environment(&sample_settings, &options, NULL, &error));
}

static void a_mistake_in_the_environment_names_the_variable(void **state)
{
    (void)state;
    static const char *const environment[] = { "SLUICE_MAX_QUEUES=lots", NULL };
    assert_false(read_environment(environment));
    assert_error_has("SLUICE_MAX_QUEUES in the environment");
    assert_error_has("'lots'");
}

static void the_config_file_is_named_by_a_flag_before_the_environment(void **state)
{
    (void)state;
    char program[] = "sluice", flag[] = "--config", value[] = "a.yaml", joined[] = "--config=b.yaml";
    char cut[] = "--conf"; /* as getopt takes it at the start */
    assert_null(settings_config_path(&sample_settings, 1, (char *[]){ program, NULL }));
    assert_int_equal(setenv("SLUICE_CONFIG", "env.yaml", 1), 0);
    assert_string_equal(settings_config_path(&sample_settings, 1, (char *[]){ program, NULL }), "env.yaml");
    assert_string_equal(settings_config_path(&sample_settings, 3, (char *[]){ program, flag, value, NULL }), "a.yaml");
    assert_string_equal(settings_config_path(&sample_settings, 3, (char *[]){ program, cut, value, NULL }), "a.yaml");
    assert_string_equal(settings_config_path(&sample_settings, 2, (char *[]){ program, joined, NULL }), "b.yaml");
    assert_string_equal(settings_config_path(&sample_settings, 2, (char *[]){ program, flag, NULL }), "env.yaml");
    assert_int_equal(unsetenv("SLUICE_CONFIG"), 0);
}

static void changed_settings_are_named_in_the_order_of_the_table(void **state)
{
    (void)state;
    struct sample other;
    char keys[64];
    settings_defaults(&sample_settings, &other);
    assert_false(settings_differ(&sample_settings, &options, &other, keys, sizeof keys));
    assert_string_equal(keys, "");
    assert_true(set("app.name", "shop") && set("strict", "false") && set("heartbeat", "4s") && set("allow.hosts", "a"));
    assert_true(settings_differ(&sample_settings, &options, &other, keys, sizeof keys));
    assert_string_equal(keys, "app.name, strict, heartbeat, allow.hosts");
    assert_true(settings_differ(&sample_settings, &other, &options, keys, 20)); /* as many as fit */
    assert_string_equal(keys, "app.name, strict");
    assert_true(settings_set(&sample_settings, &other, "app.name", "shop", &error) &&
                settings_set(&sample_settings, &other, "allow.hosts", "b", &error) && set("strict", "true") &&
                set("heartbeat", "3s"));
    assert_true(settings_differ(&sample_settings, &options, &other, keys, sizeof keys));
    assert_string_equal(keys, "allow.hosts");
    settings_free(&sample_settings, &other);
    settings_defaults(&sample_settings, &other);
    assert_true(settings_set(&sample_settings, &other, "app.name", "shop", &error) &&
                settings_set(&sample_settings, &other, "allow.hosts", "a", &error));
    assert_false(settings_differ(&sample_settings, &options, &other, keys, sizeof keys));
    settings_free(&sample_settings, &other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_field_gets_its_default, begin, end),
        cmocka_unit_test_setup_teardown(values_of_every_type_are_taken, begin, end),
        cmocka_unit_test_setup_teardown(a_wrong_value_is_named_with_what_was_expected, begin, end),
        cmocka_unit_test_setup_teardown(values_stay_in_their_range, begin, end),
        cmocka_unit_test_setup_teardown(an_unknown_key_comes_with_the_closest_known_one, begin, end),
        cmocka_unit_test(the_closest_name_needs_the_fewest_changes),
        cmocka_unit_test(over_long_names_are_close_to_nothing),
        cmocka_unit_test_setup_teardown(an_error_may_be_of_no_interest, begin, end),
        cmocka_unit_test_setup_teardown(the_environment_sets_every_type, begin, end),
        cmocka_unit_test_setup_teardown(a_list_in_the_environment_is_split_at_commas_and_replaces, begin, end),
        cmocka_unit_test_setup_teardown(names_that_only_begin_alike_are_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(a_mistake_in_the_environment_names_the_variable, begin, end),
        cmocka_unit_test(the_config_file_is_named_by_a_flag_before_the_environment),
        cmocka_unit_test_setup_teardown(changed_settings_are_named_in_the_order_of_the_table, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
