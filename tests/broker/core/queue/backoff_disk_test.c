/* Back-offs of events that had been delayed before their first delivery, across a crash. */
#include "tests/broker/core/disk_driver.h"

#include <string.h>

static void a_back_off_of_an_event_that_was_delayed_goes_on_after_a_crash(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one~50");
    wait_ms(50);
    assert_string_equal(heard(p), "confirm orders 1 -> 1; deliver orders d1 s1 a1 one");
    settle(p, "orders", SETTLE_NACK, 1, 1, 60000);
    settle_disk();
    crash(20000);
    turn(bench.d);
    assert_int_equal(describe(bench.d, "orders").delayed, 1);
    p = orders_consumer();
    wait_ms(1000);
    assert_string_equal(heard(p), "");
    wait_ms(39000);
    assert_non_null(strstr(heard(p), "s1 a2 one"));
}

static void a_deferral_of_an_event_of_a_queue_with_a_delay_goes_on_after_a_crash(void **state)
{
    (void)state;
    struct queue_settings settings = settings_of("delay=1s");
    assert_true(core_configure_queue(bench.d->core, "orders", &settings, NULL, bench.d->now));
    struct peer *p = orders_consumer();
    publish_durably(p, "one");
    wait_ms(1000);
    assert_string_equal(heard(p), "confirm orders 1 -> 1; deliver orders d1 s1 a1 one");
    settle(p, "orders", SETTLE_DEFER, 1, 1, 60000);
    settle_disk();
    crash(20000);
    turn(bench.d);
    assert_int_equal(describe(bench.d, "orders").delayed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_back_off_of_an_event_that_was_delayed_goes_on_after_a_crash),
        on_disk(a_deferral_of_an_event_of_a_queue_with_a_delay_goes_on_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
