/* Redriving dead events of a queue on disk: they are read, and become new events that are durable before they are
 * delivered. */
#include "tests/broker/core/disk_driver.h"

#define QUEUE "jobs"

/* Makes a queue on disk, whose first `count` events of `words` are dead; returns its consumer. */
static struct peer *with_dead(const char *words, uint64_t count)
{
    struct peer *p = joined("p");
    assert_string_equal(declare_durably(QUEUE, "max_deliveries=1"), "ok");
    consume(p, QUEUE);
    credit(p, QUEUE, 100);
    publish(p, QUEUE, 0, words);
    settle_disk();
    assert_non_null(strstr(heard(p), "deliver"));
    settle(p, QUEUE, SETTLE_NACK, 1, count, 0);
    settle_disk();
    heard(p);
    assert_int_equal(queue_find(bench.d->core, span_str(QUEUE))->dead, count);
    return p;
}

static void redrive(uint64_t count)
{
    ask_only(bench.d, &(struct request){ .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive.to = "" });
    settle_disk();
    assert_int_equal(bench.d->reply.result, RESULT_REDRIVEN);
    assert_int_equal(bench.d->reply.u.redriven.redriven, count);
}

static void redriven_events_are_delivered_though_nobody_publishes(void **state)
{
    (void)state;
    struct peer *p = with_dead("one two", 2);
    redrive(2);
    const char *said = heard(p);
    assert_non_null(strstr(said, "s3"));
    assert_non_null(strstr(said, "one"));
    assert_non_null(strstr(said, "two"));
}

static void redriven_events_are_there_after_a_crash_and_the_dead_are_not(void **state)
{
    (void)state;
    with_dead("one two", 2);
    redrive(2);
    crash(0);
    struct peer *p = joined("next");
    consume(p, QUEUE);
    credit(p, QUEUE, 100);
    settle_disk();
    assert_non_null(strstr(heard(p), "one two"));
    const struct queue *q = queue_find(bench.d->core, span_str(QUEUE));
    assert_true(q->dead == 0 && q->ledger.dead_lettered == 2 && q->ledger.accepted == 4);
}

/* Events are read as the rate allows. What was moved survives the broker, the redrive does not. */
static void a_rate_goes_on_over_the_disk_until_the_broker_ends(void **state)
{
    struct driver *d = *state;
    with_dead("one two three four five six", 6);
    ask_only(d, &(struct request){ .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive = { .to = "", .rate = 2 } });
    settle_disk();
    assert_true(d->reply.u.redriven.running && d->reply.u.redriven.left == 6);
    for (unsigned i = 0; i < 4; i++) {
        pass(d, 500);
        settle_disk();
    }
    assert_int_equal(describe(d, QUEUE).redrive.redriven, 5);
    assert_int_equal(describe(d, QUEUE).dead, 1);
    crash(0);
    assert_int_equal(describe(d, QUEUE).redrive.rate, 0);
    assert_int_equal(describe(d, QUEUE).dead, 1);
    assert_int_equal(describe(d, QUEUE).ledger.accepted, 11);
    ask_only(d, &(struct request){ .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive = { .to = "", .rate = 2 } });
    settle_disk();
    pass(d, 500);
    settle_disk();
    assert_int_equal(describe(d, QUEUE).dead, 0);
    assert_int_equal(describe(d, QUEUE).redrive.rate, 0);
}

/* A restart would lose there what is safe here, as with a dead-letter queue in memory. */
static void to_a_queue_in_memory_is_refused(void **state)
{
    (void)state;
    with_dead("one two", 2);
    assert_string_equal(declare_durably("cache", "durability=memory max_deliveries=1"), "ok");
    for (unsigned i = 0; i < 3; i++) {
        struct request r = { .call = CALL_REDRIVE,
                             .queue = QUEUE,
                             .u.redrive = { .to = "cache", .rate = i == 1 ? 1000 : 0, .dry_run = i == 2 } };
        assert_string_equal(ask_durably(&r), "conflict");
        assert_non_null(strstr(bench.d->reply.detail, "'jobs' is on disk and 'cache' is in memory"));
    }
    assert_true(describe(bench.d, QUEUE).dead == 2 && describe(bench.d, "cache").ledger.accepted == 0);
}

static void from_memory_to_disk_is_done(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("cache", "durability=memory max_deliveries=1"), "ok");
    struct peer *p = joined("p");
    consume(p, "cache");
    credit(p, "cache", 1);
    publish(p, "cache", 0, "one");
    turn(bench.d);
    settle(p, "cache", SETTLE_NACK, 1, 1, 0);
    settle_disk();
    assert_int_equal(describe(bench.d, "cache").dead, 1);
    struct request r = { .call = CALL_REDRIVE, .queue = "cache", .u.redrive = { .to = "orders" } };
    assert_string_equal(ask_durably(&r), "ok");
    assert_int_equal(bench.d->reply.u.redriven.redriven, 1);
    crash(0);
    assert_int_equal(describe(bench.d, "orders").ready, 1);
}

/* It would go on writing behind the last checkpoint. */
static void an_orderly_stop_ends_one_with_a_rate(void **state)
{
    struct driver *d = *state;
    with_dead("one two three four five six", 6);
    ask_only(d, &(struct request){ .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive = { .to = "", .rate = 2 } });
    settle_disk();
    uint64_t dead = describe(d, QUEUE).dead;
    core_stop(d->core, d->now);
    pass(d, 3000);
    settle_disk();
    assert_int_equal(describe(d, QUEUE).redrive.rate, 0);
    assert_int_equal(describe(d, QUEUE).dead, dead);
}

static void a_redrive_can_be_stopped_while_it_reads(void **state)
{
    struct driver *d = *state;
    with_dead("one two three", 3);
    ask_only(d, &(struct request){ .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive = { .to = "", .rate = 1000 } });
    ask_only(d, &(struct request){ .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive = { .to = "", .stop = true } });
    settle_disk();
    pass(d, 1000);
    settle_disk();
    assert_int_equal(d->reply.u.redriven.left, 3);
    assert_int_equal(describe(d, QUEUE).dead, 3);
}

/* A repeated request does not begin another redrive, a new request does. */
static void two_redrives_at_once_are_both_answered(void **state)
{
    struct driver *d = *state;
    with_dead("one two three", 3);
    unsigned before = d->replies;
    struct request first = { .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive.to = "", .id = { 1, 1 } };
    struct request second = { .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive.to = "orders", .id = { 2, 2 } };
    ask_only(d, &first);
    ask_only(d, &second);
    ask_only(d, &first);
    settle_disk();
    assert_int_equal(d->replies, before + 2);
    assert_int_equal(describe(d, QUEUE).dead, 0);
    assert_int_equal(describe(d, QUEUE).ledger.accepted + describe(d, "orders").ledger.accepted, 6);
}

static void two_redrives_without_an_id_are_both_answered(void **state)
{
    struct driver *d = *state;
    struct buf bytes = { 0 };
    struct route route = { .id = { 255, 1 }, .size = 2 };
    with_dead("one two three", 3);
    unsigned before = d->replies;
    request_pack(&(struct request){ .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive.to = "" }, &bytes);
    for (unsigned i = 0; i < 2; i++)
        core_control(d->core, buf_span(&bytes), &route, "inproc", d->now);
    buf_free(&bytes);
    settle_disk();
    assert_int_equal(d->replies, before + 2);
}

static void purging_while_it_reads_leaves_nothing_to_redrive(void **state)
{
    struct driver *d = *state;
    with_dead("one two three", 3);
    ask_only(d, &(struct request){ .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive.to = "" });
    ask_only(d, &(struct request){ .call = CALL_PURGE, .queue = QUEUE, .u.purge.dead = true });
    settle_disk();
    assert_int_equal(describe(d, QUEUE).dead, 0);
    assert_int_equal(describe(d, QUEUE).ledger.accepted, 3);
}

/* Each holds in memory what it read, until it is through. */
static void too_many_redrives_at_once_are_refused(void **state)
{
    struct driver *d = *state;
    with_dead("one two three", 3);
    unsigned before = d->replies;
    for (unsigned i = 0; i < 5; i++)
        ask_only(d, &(struct request){ .call = CALL_REDRIVE, .queue = QUEUE, .u.redrive.to = "" });
    assert_int_equal(d->replies, before + 1);
    assert_int_equal(d->reply.reason, REASON_busy);
    for (unsigned i = 0; i < 8 && d->replies < before + 5; i++)
        settle_disk();
    assert_int_equal(d->replies, before + 5);
    assert_int_equal(describe(d, QUEUE).ledger.accepted, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(redriven_events_are_delivered_though_nobody_publishes),
        on_disk(redriven_events_are_there_after_a_crash_and_the_dead_are_not),
        on_disk(a_rate_goes_on_over_the_disk_until_the_broker_ends),
        on_disk(to_a_queue_in_memory_is_refused),
        on_disk(from_memory_to_disk_is_done),
        on_disk(an_orderly_stop_ends_one_with_a_rate),
        on_disk(a_redrive_can_be_stopped_while_it_reads),
        on_disk(two_redrives_at_once_are_both_answered),
        on_disk(two_redrives_without_an_id_are_both_answered),
        on_disk(purging_while_it_reads_leaves_nothing_to_redrive),
        on_disk(too_many_redrives_at_once_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
