/* Duplicates on queues on disk: confirmed once the first one is durable, and recognised after a crash. */
#include "tests/broker/core/disk_driver.h"

static void a_duplicate_is_told_when_the_first_one_is_durable(void **state)
{
    (void)state;
    struct peer *p = joined("p"), *q = joined("q");
    publish(p, "orders", 0, "one@1");
    publish(q, "orders", 0, "one@1");
    assert_string_equal(heard(p), "");
    assert_string_equal(heard(q), "");
    settle_disk();
    assert_string_equal(heard(p), "confirm orders 1 -> 1");
    assert_string_equal(heard(q), "confirm orders 1 -> 1 duplicate");
    publish_durably(p, "one@1");
    assert_string_equal(heard(p), "confirm orders 2 -> 1 duplicate");
}

static void after_a_crash_it_is_known(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish_durably(p, "zero one@1 two@2");
    crash(1000);
    p = joined("p");
    publish(p, "orders", 0, "one"); /* the producer's own sequence 1: it is decided, and not a duplicate */
    publish_from(p, "orders", 4, 0, "one@1 two@2 zero three@3");
    settle_disk();
    assert_string_equal(heard(p), "confirm orders 4..5 -> 2 duplicate; confirm orders 6..7 -> 4");
    assert_string_equal(ledger(d, "orders"), "accepted 5 acked 0 purged 0 dropped 0 remaining 5");
}

static void its_age_goes_on_by_the_wall_clock(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish_durably(p, "one@1");
    pass(d, 60000);
    p = joined("p2");
    publish_durably(p, "two@2");
    crash(59999);
    p = joined("q");
    publish_from(p, "orders", 10, 0, "one@1 two@2");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 10..11 -> 1 duplicate"));
    crash(2);
    p = joined("q");
    publish_from(p, "orders", 12, 0, "one@1 two@2");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 12 -> 3; confirm orders 13 -> 2 duplicate"));
}

static void a_clock_that_was_set_back_forgets_nothing(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish_durably(p, "one@1");
    crash(-3600000);
    p = joined("q");
    publish_from(p, "orders", 10, 0, "one@1");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 10 -> 1 duplicate"));
}

static void snapshots_carry_the_window(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish_durably(p, "one@1 two@2");
    stop_orderly();
    stop_orderly(); /* now only the snapshot has it */
    p = joined("q");
    publish_from(p, "orders", 10, 0, "two@2 one@1");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 10 -> 2 duplicate; confirm orders 11 -> 1 duplicate"));
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
}

/* Without it, a restart would take the hole below a later acceptance for a refusal. */
static void the_outcome_of_a_duplicate_survives_until_it_is_seen(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish_durably(p, "one@1 again@1 two@2");
    crash(1000);
    p = joined("p");
    publish_from(p, "orders", 4, 0, "three");
    settle_disk();
    const struct producer *producer = d->core->producers;
    const struct destination *to = producer->destinations;
    assert_int_equal(to->outcome_count, 3);
    assert_int_equal(to->outcomes[1].reason, REASON_ok);
    assert_int_equal(to->outcomes[1].sequence, 1);
    assert_int_equal(to->outcomes[1].flags & RUN_DUPLICATE, RUN_DUPLICATE);
}

static void what_was_not_durable_is_new_after_a_crash(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish(p, "orders", 0, "one@1 one@1");
    crash(0);
    p = joined("q");
    publish_from(p, "orders", 1, 0, "one@1");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 1 -> 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_duplicate_is_told_when_the_first_one_is_durable),
        on_disk(after_a_crash_it_is_known),
        on_disk(its_age_goes_on_by_the_wall_clock),
        on_disk(a_clock_that_was_set_back_forgets_nothing),
        on_disk(snapshots_carry_the_window),
        on_disk(the_outcome_of_a_duplicate_survives_until_it_is_seen),
        on_disk(what_was_not_durable_is_new_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
