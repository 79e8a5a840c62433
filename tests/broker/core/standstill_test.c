/* A broker that did not run for a while: a stopped process, a disk that hangs, a machine without a free processor. */
#include "tests/broker/core/driver.h"

#include <string.h>

static void a_standstill_does_not_end_sessions(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    consume(p, "nothing");
    stand_still(d, 60000);
    turn(d);
    assert_true(is_attached(p));
    assert_true(logged(d, "the broker did not run for"));
    pass(d, 30000);
    assert_true(is_attached(p));
    assert_false(logged(d, "the broker did not run for"));
}

static void a_session_that_was_silent_before_a_standstill_ends_after_what_was_left(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    p->silent = true;
    pass(d, 4000);
    stand_still(d, 60000);
    turn(d);
    pass(d, 3000);
    assert_true(is_attached(p));
    pass(d, 3000);
    assert_false(is_attached(p));
}

/* A consumer that has taken the only event, under a lease of 5 s, before the broker stood still for 20. */
static struct peer *holding(struct driver *d)
{
    struct peer *k = attached(d, "k");
    declare(d, "orders", "lease=5s");
    publish(attached(d, "producer"), "orders", 0, "one");
    consume(k, "orders");
    credit(k, "orders", 2);
    heard(k);
    stand_still(d, 20000);
    turn(d);
    return k;
}

static void an_ack_that_arrived_during_a_standstill_is_in_time(void **state)
{
    struct driver *d = *state;
    struct peer *k = holding(d); /* its ack is still in the socket */
    ack(k, "orders", 1, 1);
    assert_string_equal(heard(k), "settled orders 1 acked");
    assert_int_equal(describe(d, "orders").redelivered, 0);
}

static void a_lease_ends_after_a_standstill_if_no_ack_comes(void **state)
{
    struct driver *d = *state;
    struct peer *k = holding(d);
    pass(d, 14900);
    assert_null(strstr(heard(k), "deliver"));
    pass(d, 200);
    assert_non_null(strstr(heard(k), "s1 a2 one"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_standstill_does_not_end_sessions),
        driven(a_session_that_was_silent_before_a_standstill_ends_after_what_was_left),
        driven(an_ack_that_arrived_during_a_standstill_is_in_time),
        driven(a_lease_ends_after_a_standstill_if_no_ack_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
