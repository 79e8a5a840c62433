/* Declaring queues: settings, names, bounds, and who may change what. */
#include "tests/broker/core/driver.h"

#include <string.h>

static const char *detail(struct driver *d)
{
    return d->reply.detail;
}

static void assert_detail_has(struct driver *d, const char *text)
{
    if (!strstr(detail(d), text))
        fail_msg("'%s' is not in \"%s\"", text, detail(d));
}

/* ------------------------------------------------------------------ declare */

static void a_declared_queue_has_what_was_given_and_defaults(void **state)
{
    struct driver *d = *state;
    assert_string_equal(declare(d, "orders", "capacity=3 lease=2s"), "ok");
    assert_true(d->reply.u.queue.created);
    struct queue_info q = describe(d, "orders");
    assert_string_equal(q.queue, "orders");
    assert_int_equal(q.settings.capacity, 3);
    assert_int_equal(q.settings.lease_ms, 2000);
    assert_int_equal(q.settings.capacity_bytes, 64u << 20);
    assert_int_equal(q.settings.present, (1u << QUEUE_SETTING_COUNT) - 1);
    assert_int_equal(q.next_sequence, 1);
    assert_string_equal(q.consumer, "");
    assert_false(q.created || q.managed || q.paused || q.closed);
}

static void declaring_again_changes_only_what_is_given(void **state)
{
    struct driver *d = *state;
    declare(d, "orders", "capacity=3 overflow=reject");
    assert_string_equal(declare(d, "orders", "capacity=5"), "ok");
    assert_false(d->reply.u.queue.created);
    struct queue_info q = describe(d, "orders");
    assert_int_equal(q.settings.capacity, 5);
    assert_int_equal(q.settings.overflow, OVERFLOW_REJECT);
}

static void only_create_refuses_what_exists(void **state)
{
    struct driver *d = *state;
    struct request r = { .call = CALL_DECLARE, .queue = "orders", .u.declare.only_create = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    r.id = (struct token){ 0 };
    r.u.declare.settings = settings_of("capacity=9");
    assert_int_equal(ask(d, &r)->reason, REASON_exists);
    assert_int_equal(describe(d, "orders").settings.capacity, 10000);
}

static void settings_beyond_their_range_are_refused_with_the_range(void **state)
{
    struct driver *d = *state;
    struct request r = { .call = CALL_DECLARE, .queue = "orders" };
    queue_settings_put(&r.u.declare.settings, QUEUE_SETTING_capacity, 0);
    assert_int_equal(ask(d, &r)->reason, REASON_invalid);
    assert_detail_has(d, "'capacity' must be between 1 and 1000000000");
    assert_string_equal(operate(d, CALL_DESCRIBE, "orders"), "unknown_queue");
}

static void invalid_names_are_refused_by_every_call(void **state)
{
    struct driver *d = *state;
    static const enum call calls[] = { CALL_DECLARE, CALL_DESCRIBE, CALL_DELETE, CALL_PEEK, CALL_PURGE,
                                       CALL_PAUSE,   CALL_RESUME,   CALL_CLOSE,  CALL_OPEN };
    char longest[NAME_MAX_SIZE + 2];
    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_string_equal(operate(d, calls[i], ""), "invalid");
        assert_string_equal(operate(d, calls[i], "a b"), "invalid");
        assert_string_equal(operate(d, calls[i], longest), "invalid");
        assert_detail_has(d, "1 to 128 letters");
        if (calls[i] != CALL_DECLARE)
            assert_string_equal(operate(d, calls[i], "nowhere"), "unknown_queue");
    }
    assert_int_equal(broker(d).queues, 0);
}

static void max_queues_is_enforced_and_a_deletion_makes_room(void **state)
{
    struct driver *d = *state;
    d->config.max_queues = 2;
    driver_restart(d);
    assert_string_equal(declare(d, "a", ""), "ok");
    assert_string_equal(declare(d, "b", ""), "ok");
    assert_string_equal(declare(d, "c", ""), "too_many_queues");
    assert_detail_has(d, "max_queues (2)");
    assert_string_equal(declare(d, "a", "capacity=7"), "ok"); /* no new one */
    assert_string_equal(operate(d, CALL_DELETE, "a"), "ok");
    assert_string_equal(declare(d, "c", ""), "ok");
}

static void a_dead_letter_queue_that_is_declared_with_its_source_counts(void **state)
{
    struct driver *d = *state;
    d->config.max_queues = 2;
    d->config.auto_declare = true;
    driver_restart(d);
    assert_string_equal(declare(d, "a", ""), "ok");
    assert_string_equal(declare(d, "b", "dead_letter=c"), "too_many_queues");
    assert_detail_has(d, "max_queues (2) has no room for 'c', its dead_letter queue");
    assert_int_equal(broker(d).queues, 1);
    assert_string_equal(declare(d, "a", "dead_letter=c"), "ok");
    assert_int_equal(broker(d).queues, 2);
}

static void a_larger_capacity_lets_waiters_in(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 60000, "one two three");
    assert_string_equal(heard(p), "confirm orders 1 -> 1");
    declare(d, "orders", "capacity=2");
    assert_string_equal(heard(p), "confirm orders 2 -> 2");
    declare(d, "orders", "capacity=1"); /* a smaller one drops nothing and lets nobody in */
    assert_string_equal(heard(p), "");
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
}

static void configured_queues_change_in_the_configuration_only(void **state)
{
    struct driver *d = *state;
    struct queue_settings settings = settings_of("capacity=4 backoff=0s");
    struct error e = { "" };
    assert_true(core_configure_queue(d->core, "orders", &settings, &e, d->now));
    assert_true(describe(d, "orders").managed);
    assert_string_equal(declare(d, "orders", "capacity=5"), "managed");
    assert_detail_has(d, "managed by the broker's configuration file");
    assert_string_equal(declare(d, "orders", "capacity=4"), "ok"); /* these settings hold already */
    assert_string_equal(operate(d, CALL_DELETE, "orders"), "managed");
    assert_string_equal(operate(d, CALL_PAUSE, "orders"), "ok");
    settings = settings_of("capacity=6");
    assert_true(core_configure_queue(d->core, "orders", &settings, &e, d->now));
    assert_int_equal(describe(d, "orders").settings.capacity, 6);
    assert_true(describe(d, "orders").paused);
    assert_false(core_configure_queue(d->core, "not a name", &settings, &e, d->now));
    assert_non_null(strstr(e.text, "'not a name' is not a valid queue name"));
}

static void a_declared_queue_can_become_managed(void **state)
{
    struct driver *d = *state;
    struct queue_settings settings = settings_of("capacity=2");
    struct error e;
    declare(d, "orders", "capacity=1 lease=5s");
    assert_true(core_configure_queue(d->core, "orders", &settings, &e, d->now));
    struct queue_info q = describe(d, "orders");
    assert_true(q.managed);
    assert_int_equal(q.settings.capacity, 2);
    assert_int_equal(q.settings.lease_ms, 5000);
}

/* ------------------------------------------------------------------ durability */

static void without_a_data_directory_there_is_no_disk_to_change_to(void **state)
{
    struct driver *d = *state;
    assert_string_equal(declare(d, "orders", "durability=disk"), "invalid");
    assert_detail_has(d, "--data DIR");
    declare(d, "orders", "durability=memory");
    assert_string_equal(declare(d, "orders", "durability=disk"), "invalid");
    assert_detail_has(d, "--data DIR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_declared_queue_has_what_was_given_and_defaults),
        driven(declaring_again_changes_only_what_is_given),
        driven(only_create_refuses_what_exists),
        driven(settings_beyond_their_range_are_refused_with_the_range),
        driven(invalid_names_are_refused_by_every_call),
        driven(max_queues_is_enforced_and_a_deletion_makes_room),
        driven(a_dead_letter_queue_that_is_declared_with_its_source_counts),
        driven(a_larger_capacity_lets_waiters_in),
        driven(configured_queues_change_in_the_configuration_only),
        driven(a_declared_queue_can_become_managed),
        driven(without_a_data_directory_there_is_no_disk_to_change_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
