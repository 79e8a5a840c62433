/* Consumer epochs are fencing tokens: a later turn has a higher one, whatever happens to the queue or the broker. */
#include "tests/broker/core/driver.h"

static uint64_t turn_of(struct peer *p, const char *queue)
{
    consume(p, queue);
    return known(p, queue)->consumer_epoch;
}

static void each_turn_raises_the_epoch(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=3");
    uint64_t first = turn_of(p, "orders");
    leave(p, "orders");
    assert_true(turn_of(p, "orders") > first);
}

static void a_queue_declared_again_goes_on_above_its_former_epochs(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=3");
    turn_of(p, "orders");
    leave(p, "orders");
    uint64_t last = turn_of(p, "orders");
    assert_string_equal(operate(d, CALL_DELETE, "orders"), "ok");
    declare(d, "orders", "capacity=3");
    assert_true(turn_of(p, "orders") > last);
}

static void a_broker_started_again_goes_on_above_its_former_epochs(void **state)
{
    struct driver *d = *state;
    declare(d, "orders", "capacity=3");
    uint64_t before = turn_of(attached(d, "p"), "orders");
    d->config.incarnation++;
    driver_restart(d);
    declare(d, "orders", "capacity=3");
    assert_true(turn_of(attached(d, "p"), "orders") > before);
}

/* A late ack for a delivery of the deleted queue, under the same delivery number. */
static void a_late_ack_of_a_deleted_queue_settles_nothing_of_its_successor(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    for (unsigned life = 0; life < 2; life++) {
        declare(d, "orders", "capacity=3");
        publish_from(p, "orders", life + 1, 0, "one");
        consume(p, "orders");
        credit(p, "orders", 1);
        if (life == 0) {
            struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
            ask(d, &r);
        }
    }
    uint64_t current = known(p, "orders")->consumer_epoch;
    heard(p);
    known(p, "orders")->consumer_epoch = current - 1;
    ack(p, "orders", 1, 1);
    assert_string_equal(heard(p), "settled orders 1 expired");
    known(p, "orders")->consumer_epoch = current;
    ack(p, "orders", 1, 1);
    assert_string_equal(heard(p), "settled orders 1 acked");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(each_turn_raises_the_epoch),
        driven(a_queue_declared_again_goes_on_above_its_former_epochs),
        driven(a_broker_started_again_goes_on_above_its_former_epochs),
        driven(a_late_ack_of_a_deleted_queue_settles_nothing_of_its_successor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
