/* Where confirms do not wait for the sync, a start after an unclean stop skips 2^24 sequences. A queue with events
 * from before and after has a gap that its ring does not span. */
#include "tests/broker/core/disk_driver.h"

#define SKIPPED (UINT64_C(1) << 24)

static struct queue *orders(void)
{
    return queue_find(bench.d->core, span_str("orders"));
}

/* The broker crashes and starts again; its publisher goes on from that number. */
static void start_again(uint64_t number, const char *words)
{
    crash(0);
    publish_from(joined("p"), "orders", number, 0, words);
    settle_disk();
}

static void each_unclean_start_skips_some(void **state)
{
    (void)state;
    bench.d->config.confirm_synced = false;
    start_again(1, "one two");
    assert_int_equal(orders()->next_sequence, 3 + SKIPPED);
    start_again(3, "three");
    assert_int_equal(orders()->next_sequence, 4 + 2 * SKIPPED);
    start_again(4, "four");
    assert_int_equal(orders()->next_sequence, 5 + 3 * SKIPPED);
    assert_int_equal(queue_remaining(orders()), 4);
}

/* Events behind the next gap are not read before the ready ones before it were delivered, whatever is redelivered
 * meanwhile. */
static void what_stands_before_a_gap_keeps_its_turn(void **state)
{
    (void)state;
    bench.d->config.confirm_synced = false;
    start_again(1, "one two");
    start_again(3, "three");
    start_again(4, "four");
    crash(0);
    struct peer *k = joined("k");
    consume(k, "orders");
    credit(k, "orders", 2);
    settle_disk();
    assert_int_equal(orders()->in_flight, 2);
    assert_int_equal(orders()->loaded, 4 + 2 * SKIPPED);
    assert_non_null(orders()->stragglers);
    heard(k);
    credit(k, "orders", 1); /* so that the released event is not delivered at once */
    settle(k, "orders", SETTLE_RELEASE, 1, 1, 0);
    settle_disk();
    credit(k, "orders", 9);
    settle_disk();
    const char *all = heard(k);
    const char *first = strstr(all, " one"), *second = strstr(all, " three"), *third = strstr(all, " four");
    assert_true(first && second && third && first < second && second < third);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(each_unclean_start_skips_some),
        on_disk(what_stands_before_a_gap_keeps_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
