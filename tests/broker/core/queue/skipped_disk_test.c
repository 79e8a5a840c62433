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

/* ------------------------------------------------------------------ what counts as unclean */

/* How the next start confirms. */
static void confirm(enum log_sync sync)
{
    bench.sync = sync;
    bench.d->config.confirm_synced = sync == LOG_SYNC_GROUP;
}

static struct log_info info(void)
{
    struct log_info info;
    log_info(bench.log, &info);
    return info;
}

/* Publishes until a checkpoint was written, and one event behind it. Returns the sequence that is confirmed last. */
static uint64_t publish_across_a_checkpoint(uint64_t producer)
{
    struct peer *p = peer_new(bench.d, "p");
    p->producer = (struct token){ producer, 1 };
    request_attach(p);
    echo(p);
    settle_disk();
    for (uint64_t before = info().checkpoints; info().checkpoints == before; heard(p))
        publish_durably(p, "big:3000 big:3000");
    publish_durably(p, "last");
    assert_non_null(strstr(heard(p), "confirm"));
    return orders()->next_sequence - 1;
}

/* Of what was written behind the checkpoint nothing may be left, as after an orderly stop. */
static void a_crash_behind_a_checkpoint_is_unclean(void **state)
{
    unsigned looked_orderly = 0;
    (void)state;
    confirm(LOG_SYNC_NONE);
    stop_orderly();
    for (uint64_t i = 1; i <= 12; i++) {
        bench.random = i;
        uint64_t confirmed = publish_across_a_checkpoint(i);
        crash(0);
        looked_orderly += !info().unclean;
        assert_true(orders()->next_sequence > confirmed);
    }
    assert_true(looked_orderly > 0); /* else this proves nothing */
}

static void an_orderly_stop_skips_none(void **state)
{
    (void)state;
    confirm(LOG_SYNC_NONE);
    stop_orderly();
    uint64_t confirmed = publish_across_a_checkpoint(1);
    stop_orderly();
    assert_int_equal(orders()->next_sequence, confirmed + 1);
    stop_orderly();
    assert_int_equal(orders()->next_sequence, confirmed + 1);
}

/* An operator who lost events has the next start confirm after the sync. */
static void what_counts_is_how_the_run_before_confirmed(void **state)
{
    (void)state;
    confirm(LOG_SYNC_NONE);
    stop_orderly();
    uint64_t confirmed = publish_across_a_checkpoint(1);
    confirm(LOG_SYNC_GROUP);
    crash(0);
    assert_true(orders()->next_sequence >= confirmed + SKIPPED);
    confirmed = publish_across_a_checkpoint(2);
    crash(0);
    assert_int_equal(orders()->next_sequence, confirmed + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(each_unclean_start_skips_some),
        on_disk(what_stands_before_a_gap_keeps_its_turn),
        on_disk(a_crash_behind_a_checkpoint_is_unclean),
        on_disk(an_orderly_stop_skips_none),
        on_disk(what_counts_is_how_the_run_before_confirmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
