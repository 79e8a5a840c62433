/* Events that are on disk only: their age after a restart, their room, and the memory that they leave to others. */
#include "tests/broker/core/disk_driver.h"

static uint64_t oldest_ms(void)
{
    return describe(bench.d, "orders").oldest_age_ms;
}

static void its_age_goes_on_by_the_wall_clock(void **state)
{
    struct driver *d = *state;
    publish_durably(joined("p"), "one");
    pass(d, 2000);
    crash(60000);
    settle_disk();
    assert_int_equal(oldest_ms(), 62000);
    pass(d, 3000);
    assert_int_equal(oldest_ms(), 65000);
}

/* Its age counts from the start, as if it had been accepted then; so no later event is older. */
static void it_begins_at_the_start_if_the_clock_was_set_back(void **state)
{
    struct driver *d = *state;
    publish_durably(joined("p"), "one");
    pass(d, 2000);
    crash(-60000);
    settle_disk();
    assert_int_equal(oldest_ms(), 0);
    pass(d, 3000);
    assert_int_equal(oldest_ms(), 3000);
}

/* Also that of an event that is on disk only. */
static void the_room_of_a_cancelled_event_goes_to_a_waiter(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    assert_string_equal(declare_durably("mail", "durability=disk capacity=1"), "ok");
    publish(p, "mail", 0, "one~90000");
    settle_disk();
    assert_string_equal(heard(p), "confirm mail 1 -> 1");
    publish(p, "mail", 60000, "two");
    settle_disk();
    assert_string_equal(heard(p), "");
    struct request cancel = { .call = CALL_CANCEL, .queue = "mail", .u.cancel.sequence = 1 };
    assert_string_equal(ask_durably(&cancel), "ok");
    assert_string_equal(heard(p), "confirm mail 2 -> 2");
}

static void a_backlog_on_disk_leaves_half_of_the_memory_budget_to_queues_in_memory(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    assert_string_equal(declare_durably("mail", "durability=memory"), "ok");
    d->core->config.memory_budget = 100000;
    for (int i = 0; i < 11; i++)
        publish_durably(p, "e:5000");
    assert_int_equal(describe(d, "orders").ready, 11);
    heard(p);
    publish(p, "mail", 0, "m:5000");
    assert_string_equal(heard(p), "confirm mail 1 -> 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(its_age_goes_on_by_the_wall_clock),
        on_disk(it_begins_at_the_start_if_the_clock_was_set_back),
        on_disk(the_room_of_a_cancelled_event_goes_to_a_waiter),
        on_disk(a_backlog_on_disk_leaves_half_of_the_memory_budget_to_queues_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
