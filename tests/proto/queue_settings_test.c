/* A queue's settings: parsing, ranges, and the table that they come from. */
#include "base/error.h"
#include "proto/queue_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct queue_settings settings;
static struct error error;

static int begin(void **state)
{
    (void)state;
    settings = (struct queue_settings){ 0 };
    error.text[0] = '\0';
    return 0;
}

static bool parse(const char *name, const char *value)
{
    return queue_settings_parse(&settings, span_str(name), span_str(value), &error);
}

static void assert_error_has(const char *what)
{
    if (!strstr(error.text, what))
        fail_msg("'%s' is not in \"%s\"", what, error.text);
}

static void defaults_are_all_present_and_within_their_ranges(void **state)
{
    (void)state;
    settings = queue_settings_defaults();
    assert_int_equal(settings.present, (1u << QUEUE_SETTING_COUNT) - 1);
    assert_true(queue_settings_check(&settings, &error));
    assert_int_equal(settings.capacity, 10000);
    assert_int_equal(settings.capacity_bytes, 64 << 20);
    assert_int_equal(settings.durability, DURABILITY_DISK);
    assert_int_equal(settings.overflow, OVERFLOW_WAIT);
    assert_int_equal(settings.lease_ms, 30000);
    assert_false(settings.require_consumer);
    assert_int_equal(settings.dedup_window_ms, 120000);
    assert_int_equal(settings.dedup_entries, 100000);
    assert_int_equal(settings.max_deliveries, 10);
    assert_int_equal(settings.max_crashes, 20);
    assert_int_equal(settings.backoff_ms, 1000);
    assert_int_equal(settings.backoff_max_ms, 300000);
    assert_int_equal(settings.dead_capacity, 10000);
    assert_string_equal(settings.dead_letter, "");
    assert_false(settings.dead_letter_dropped);
    assert_false(settings.dead_letter_expired);
    assert_int_equal(settings.ttl_ms, 0);
    assert_int_equal(settings.delay_ms, 0);
}

static void values_of_every_setting_are_read(void **state)
{
    (void)state;
    assert_true(parse("capacity", "123456789"));
    assert_int_equal(settings.capacity, 123456789);
    assert_true(parse("capacity", "1000"));
    assert_true(parse("capacity_bytes", "64MiB"));
    assert_true(parse("durability", "disk"));
    assert_int_equal(settings.durability, DURABILITY_DISK);
    assert_true(parse("durability", "memory"));
    assert_true(parse("overflow", "drop_oldest"));
    assert_true(parse("lease", "2m"));
    assert_true(parse("require_consumer", "true"));
    assert_true(parse("dedup_window", "0s"));
    assert_int_equal(settings.dedup_window_ms, 0);
    assert_true(parse("dedup_window", "1m"));
    assert_int_equal(settings.dedup_window_ms, 60000);
    assert_true(parse("dedup_entries", "5"));
    assert_int_equal(settings.dedup_entries, 5);
    assert_true(parse("max_deliveries", "3"));
    assert_int_equal(settings.max_deliveries, 3);
    assert_true(parse("max_crashes", "4"));
    assert_int_equal(settings.max_crashes, 4);
    assert_true(parse("backoff", "0s"));
    assert_int_equal(settings.backoff_ms, 0);
    assert_true(parse("backoff_max", "2m"));
    assert_int_equal(settings.backoff_max_ms, 120000);
    assert_true(parse("dead_capacity", "7"));
    assert_int_equal(settings.dead_capacity, 7);
    assert_true(parse("dead_letter", "parking.1"));
    assert_string_equal(settings.dead_letter, "parking.1");
    assert_true(parse("ordered", "key"));
    assert_int_equal(settings.ordered, ORDERED_KEY);
    assert_true(parse("ordered", "none"));
    assert_int_equal(settings.ordered, ORDERED_NONE);
    assert_true(parse("partitions", "128"));
    assert_int_equal(settings.partitions, 128);
    assert_true(parse("dead_letter_dropped", "true"));
    assert_true(settings.dead_letter_dropped);
    assert_true(parse("dead_letter_expired", "true"));
    assert_true(settings.dead_letter_expired);
    assert_true(parse("ttl", "1500ms"));
    assert_int_equal(settings.ttl_ms, 1500);
    assert_true(parse("delay", "1m"));
    assert_int_equal(settings.delay_ms, 60000);
    assert_int_equal(settings.present, (1u << QUEUE_SETTING_COUNT) - 1);
    assert_int_equal(settings.capacity, 1000);
    assert_int_equal(settings.capacity_bytes, 64 << 20);
    assert_int_equal(settings.overflow, OVERFLOW_DROP_OLDEST);
    assert_int_equal(settings.lease_ms, 120000);
    assert_true(settings.require_consumer);
    assert_true(parse("overflow", "reject"));
    assert_int_equal(settings.overflow, OVERFLOW_REJECT);
    assert_true(parse("require_consumer", "false"));
    assert_false(settings.require_consumer);
}

static void only_settings_that_were_given_are_present(void **state)
{
    (void)state;
    assert_true(parse("require_consumer", "false"));
    assert_int_equal(settings.present, 1u << QUEUE_SETTING_require_consumer);
    assert_false(parse("lease", "never"));
    assert_int_equal(settings.present, 1u << QUEUE_SETTING_require_consumer);
    assert_int_equal(settings.lease_ms, 0);
}

static void the_ends_of_ranges_are_inside(void **state)
{
    (void)state;
    static const struct {
        const char *name, *least, *most, *below, *above;
    } cases[] = { { "capacity", "1", "1000000000", "0", "1000000001" },
                  { "capacity_bytes", "1KiB", "1TiB", "1023", "1099511627777" },
                  { "lease", "100ms", "12h", "99ms", "43201s" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(parse(cases[i].name, cases[i].least));
        assert_true(parse(cases[i].name, cases[i].most));
        assert_false(parse(cases[i].name, cases[i].below));
        assert_error_has(cases[i].name);
        assert_false(parse(cases[i].name, cases[i].above));
        assert_error_has("must be between");
    }
    assert_false(parse("lease", "13h"));
    assert_string_equal(error.text, "'lease' must be between 100ms and 12h");
}

static void wrong_values_are_named_with_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *wanted;
    } cases[] = { { "capacity", "many", "a whole number" },
                  { "capacity", "-1", "a whole number" },
                  { "capacity", "1.5", "a whole number" },
                  { "capacity", "1k", "a whole number" },
                  { "capacity", "", "a whole number" },
                  { "capacity_bytes", "big", "a size" },
                  { "lease", "30", "a duration" },
                  { "overflow", "explode", "wait, reject or drop_oldest" },
                  { "overflow", "WAIT", "wait, reject or drop_oldest" },
                  { "overflow", "", "wait, reject or drop_oldest" },
                  { "durability", "paper", "memory or disk" },
                  { "require_consumer", "1", "true or false" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (parse(cases[i].name, cases[i].value))
            fail_msg("%s '%s' was taken", cases[i].name, cases[i].value);
        assert_error_has(cases[i].name);
        assert_error_has(cases[i].wanted);
    }
    assert_int_equal(settings.present, 0);
}

static void an_unknown_setting_comes_with_the_closest_known_one(void **state)
{
    (void)state;
    assert_false(parse("capcity", "1"));
    assert_string_equal(error.text, "unknown queue setting 'capcity'; did you mean 'capacity'?");
    assert_false(parse("leese", "1s"));
    assert_error_has("did you mean 'lease'?");
    assert_false(parse("colour", "red"));
    assert_string_equal(error.text, "unknown queue setting 'colour'");
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_false(parse(name, "1"));
    assert_false(queue_settings_parse(&settings, (struct span){ 0 }, span_str("1"), &error));
}

static void an_error_may_be_of_no_interest(void **state)
{
    (void)state;
    assert_false(queue_settings_parse(&settings, span_str("leese"), span_str("1s"), NULL));
    assert_false(queue_settings_parse(&settings, span_str("lease"), span_str("1"), NULL));
    assert_false(queue_settings_parse(&settings, span_str("lease"), span_str("1ms"), NULL));
}

static void names_and_values_end_where_their_bytes_end(void **state)
{
    (void)state;
    assert_true(queue_settings_parse(&settings, span_of("leasehold", 5), span_of("30seconds", 3), &error));
    assert_int_equal(settings.lease_ms, 30000);
    assert_false(queue_settings_parse(&settings, span_of("lease", 4), span_str("30s"), &error));
}

static void only_settings_that_are_present_are_checked(void **state)
{
    (void)state;
    settings.capacity = 0;
    settings.overflow = 99;
    assert_true(queue_settings_check(&settings, &error));
    settings.present = 1u << QUEUE_SETTING_overflow;
    assert_false(queue_settings_check(&settings, &error));
    assert_error_has("overflow");
    settings.present = 1u << QUEUE_SETTING_capacity;
    assert_false(queue_settings_check(&settings, &error));
    assert_string_equal(error.text, "'capacity' must be between 1 and 1000000000");
}

static void every_row_is_found_by_its_name_and_stored_and_read_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++) {
        enum queue_setting which = (enum queue_setting)i, found;
        const struct queue_setting_info *info = queue_setting_info(which);
        assert_ptr_equal(queue_setting_find(span_str(info->name), &found), info);
        assert_int_equal(found, i);
        assert_true(info->min <= info->fallback && info->fallback <= info->max);
        assert_true(strlen(info->help) > 5);
        if (info->type == QUEUE_SETTING_NAME) {
            queue_settings_put_text(&settings, which, span_str("parking"));
            assert_string_equal(queue_settings_text(&settings, which), "parking");
        } else {
            queue_settings_put(&settings, which, info->max);
            assert_true(queue_settings_get(&settings, which) == info->max);
            assert_null(queue_settings_text(&settings, which));
        }
        assert_true(settings.present & 1u << i);
        bool choice = info->type == QUEUE_SETTING_CHOICE_DURABILITY || info->type == QUEUE_SETTING_CHOICE_OVERFLOW ||
                      info->type == QUEUE_SETTING_CHOICE_ORDERED;
        assert_int_equal(info->choices != NULL, choice);
    }
    enum queue_setting none;
    assert_null(queue_setting_find(span_str("Capacity"), &none));
    assert_null(queue_setting_find(span_str(""), &none));
}

static void a_name_is_a_queue_s_or_empty(void **state)
{
    (void)state;
    char longest[NAME_MAX_SIZE + 2];
    memset(longest, 'a', sizeof longest);
    assert_true(queue_settings_parse(&settings, span_str("dead_letter"), span_of(longest, NAME_MAX_SIZE), &error));
    assert_int_equal(strlen(settings.dead_letter), NAME_MAX_SIZE);
    assert_false(queue_settings_parse(&settings, span_str("dead_letter"), span_of(longest, NAME_MAX_SIZE + 1), &error));
    assert_false(parse("dead_letter", "no name"));
    assert_error_has("'dead_letter' must be a queue's name");
    assert_error_has("not 'no name'");
    assert_true(parse("dead_letter", ""));
    assert_string_equal(settings.dead_letter, "");
    strcpy(settings.dead_letter, ".."); /* as a peer may send it */
    assert_false(queue_settings_check(&settings, &error));
    assert_error_has("not '..'");
}

static void settings_are_copied_and_compared_of_either_kind(void **state)
{
    (void)state;
    struct queue_settings other = queue_settings_defaults();
    settings = queue_settings_defaults();
    assert_true(parse("dead_letter", "parking") && parse("capacity", "7"));
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++) {
        bool differs = i == QUEUE_SETTING_dead_letter || i == QUEUE_SETTING_capacity;
        assert_int_equal(queue_settings_same(&settings, &other, (enum queue_setting)i), !differs);
        queue_settings_copy(&other, &settings, (enum queue_setting)i);
        assert_true(queue_settings_same(&settings, &other, (enum queue_setting)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, begin)
        T(defaults_are_all_present_and_within_their_ranges),
        T(values_of_every_setting_are_read),
        T(only_settings_that_were_given_are_present),
        T(the_ends_of_ranges_are_inside),
        T(wrong_values_are_named_with_what_was_expected),
        T(an_unknown_setting_comes_with_the_closest_known_one),
        T(an_error_may_be_of_no_interest),
        T(names_and_values_end_where_their_bytes_end),
        T(only_settings_that_are_present_are_checked),
        T(a_name_is_a_queue_s_or_empty),
        T(settings_are_copied_and_compared_of_either_kind),
        T(every_row_is_found_by_its_name_and_stored_and_read_back)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
