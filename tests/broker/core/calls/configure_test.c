/* Applying the configuration file, and applying it again when it was reloaded. */
#include "broker/core/topic/topic.h"
#include "tests/broker/core/disk_driver.h"

static bool configure_queue(const char *name, const char *settings)
{
    struct queue_settings s = settings_of(settings);
    return core_configure_queue(bench.d->core, name, &s, NULL, bench.d->now);
}

/* A topic bound to that queue; unrouted events go to `catch_all`, or are refused if that is NULL. */
static bool configure_topic(const char *queue, const char *catch_all, struct error *e)
{
    struct binding_config binding = { .queue = queue };
    struct topic_config config = { .name = "news",
                                   .unrouted = catch_all ? UNROUTED_QUEUE : UNROUTED_REFUSE,
                                   .catch_all = catch_all,
                                   .bindings = &binding,
                                   .binding_count = 1 };
    return core_configure_topic(bench.d->core, &config, e, bench.d->now);
}

static const struct topic *news(void)
{
    return topic_find(bench.d->core, span_str("news"));
}

static bool is_in_no_file(const void *context, bool topic, const char *name)
{
    (void)context;
    (void)topic;
    (void)name;
    return false;
}

static void a_managed_queue_changes_in_the_file_only_until_the_file_drops_it(void **state)
{
    (void)state;
    struct queue_settings settings;
    assert_true(configure_queue("mail", "durability=disk capacity=5"));
    assert_true(configure_topic("mail", NULL, NULL));
    assert_string_equal(declare_durably("mail", "capacity=6"), "managed");
    assert_string_equal(declare_durably("mail", "capacity=5"), "ok"); /* these settings hold already */
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_DELETE, .queue = "mail" }), "managed");
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_UNBIND, .topic = "news", .queue = "mail" }),
                        "managed");
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_DELETE_TOPIC, .topic = "news" }), "managed");
    core_unmanage(bench.d->core, is_in_no_file, NULL);
    assert_string_equal(declare_durably("mail", "capacity=6"), "ok");
    assert_true(core_queue_settings(bench.d->core, "mail", &settings) && settings.capacity == 6);
    assert_false(core_queue_settings(bench.d->core, "none", &settings));
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_DELETE_TOPIC, .topic = "news" }), "ok");
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_DELETE, .queue = "mail" }), "ok");
}

static void a_topic_moves_to_queues_of_the_other_durability(void **state)
{
    (void)state;
    assert_true(configure_queue("fast", "durability=memory"));
    assert_true(configure_queue("mail", "durability=disk"));
    assert_true(configure_topic("mail", "orders", NULL));
    assert_true(configure_topic("fast", NULL, NULL));
    assert_true(news()->binding_count == 1 && !news()->catch_all && !topic_is_durable(news()));
    assert_true(configure_topic("mail", "mail", NULL));
    assert_true(news()->binding_count == 1 && news()->catch_all && topic_is_durable(news()));
}

static void a_topic_of_queues_of_different_durability_is_refused(void **state)
{
    (void)state;
    struct error e = { "" };
    assert_true(configure_queue("fast", "durability=memory"));
    assert_false(configure_topic("fast", "orders", &e));
    assert_non_null(strstr(e.text, "they must all have the same durability"));
    assert_false(configure_topic("none", NULL, &e));
    assert_non_null(strstr(e.text, "there is no queue 'none'; declare it under queues:"));
    assert_false(configure_topic("fast", "none", &e));
    assert_non_null(strstr(e.text, "there is no queue 'none'; declare it under queues:"));
}

static void a_topic_is_bound_as_far_as_possible(void **state)
{
    (void)state;
    struct error e = { "" };
    assert_true(configure_queue("fast", "durability=memory"));
    assert_true(configure_queue("mail", "durability=disk"));
    struct binding_config bindings[] = {
        { .queue = "gone" }, { .queue = "orders" }, { .queue = "fast" }, { .queue = "mail" }
    };
    struct topic_config config = {
        .name = "news", .unrouted = UNROUTED_QUEUE, .catch_all = "mail", .bindings = bindings, .binding_count = 4
    };
    assert_false(core_configure_topic(bench.d->core, &config, &e, bench.d->now));
    assert_non_null(strstr(e.text, "there is no queue 'gone'")); /* the first of two */
    assert_true(news()->binding_count == 2 && news()->unrouted == UNROUTED_QUEUE && news()->catch_all);
}

static void a_queue_whose_configured_settings_are_refused_is_managed_all_the_same(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("mail", "durability=disk"), "ok");
    assert_false(configure_queue("mail", "durability=memory"));
    assert_string_equal(declare_durably("mail", "capacity=6"), "managed");
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_DELETE, .queue = "mail" }), "managed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_managed_queue_changes_in_the_file_only_until_the_file_drops_it),
        on_disk(a_topic_moves_to_queues_of_the_other_durability),
        on_disk(a_topic_of_queues_of_different_durability_is_refused),
        on_disk(a_topic_is_bound_as_far_as_possible),
        on_disk(a_queue_whose_configured_settings_are_refused_is_managed_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
