/* What a start finds on disk and reads when its turn comes. */
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

/* As if it had been accepted at the start, which none that came later is older than. */
static void it_has_none_where_that_was_set_back(void **state)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(its_age_goes_on_by_the_wall_clock),
        on_disk(it_has_none_where_that_was_set_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
