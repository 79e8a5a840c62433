/* Delays and expiries of a queue on disk: read when they are due, and kept by restarts and checkpoints. */
#include "tests/broker/core/disk_driver.h"

#include "broker/core/queue/schedule.h"

#include <stdio.h>

static struct queue *orders(void)
{
    return queue_find(bench.d->core, span_str("orders"));
}

static const char *cancel(uint64_t sequence)
{
    return ask_durably(&(struct request){ .call = CALL_CANCEL, .queue = "orders", .u.cancel.sequence = sequence });
}

/* A page of delayed events as text: sequence, event, ms until it is ready: "1:one +50"; and " next N". */
static const char *delayed(uint64_t from)
{
    static char text[1000];
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek = { .state = STATE_DELAYED, .from = from } };
    assert_string_equal(ask_durably(&r), "ok");
    const struct reply *reply = &bench.d->reply;
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < reply->u.peeked.count; i++) {
        const struct peeked *e = &reply->u.peeked.events[i];
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu:%.*s %+lld", i ? "; " : "",
                                 (unsigned long long)e->sequence, (int)e->event.size, (const char *)e->event.data,
                                 (long long)(e->ready_ms - bench.d->now.wall.ms));
    }
    if (reply->u.peeked.next)
        snprintf(text + size, sizeof text - size, " next %llu", (unsigned long long)reply->u.peeked.next);
    return text;
}

/* ------------------------------------------------------------------ read when due */

static void a_delayed_event_is_read_when_it_is_due(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one~50 two");
    assert_string_equal(heard(p), "deliver orders d1 s2 a1 two; confirm orders 1..2 -> 1");
    assert_null(queue_item(orders(), 1));
    assert_int_equal(describe(bench.d, "orders").delayed, 1);
    wait_ms(49);
    assert_string_equal(heard(p), "");
    wait_ms(1);
    assert_string_equal(heard(p), "deliver orders d2 s1 a1 one");
    ack(p, "orders", 1, 2);
    assert_string_equal(ledger(bench.d, "orders"), "accepted 2 acked 2 purged 0 dropped 0 remaining 0");
}

static void they_come_in_order_of_their_time(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one~300 two~200 three~100");
    heard(p);
    for (unsigned i = 0; i < 3; i++)
        wait_ms(100);
    assert_string_equal(heard(p), "deliver orders d1 s3 a1 three; deliver orders d2 s2 a1 two; "
                                  "deliver orders d3 s1 a1 one");
}

/* Due events take their places between items in memory and backlog. */
static void they_lie_among_backlog(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    bench.d->core->config.memory_budget = 1; /* nothing more is kept in memory */
    publish_durably(p, "one two~10 three four~20 five six~90000");
    wait_ms(20);
    assert_int_equal(describe(bench.d, "orders").ready, 5);
    assert_int_equal(describe(bench.d, "orders").delayed, 1);
    heard(p);
    consume(p, "orders");
    credit(p, "orders", 100);
    settle_disk();
    ack(p, "orders", 1, 5);
    settle_disk();
    assert_string_equal(ledger(bench.d, "orders"), "accepted 6 acked 5 purged 0 dropped 0 remaining 1");
}

static void one_that_may_have_been_delivered_says_so_after_a_crash(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one~50 two~50 three~90000");
    wait_ms(50);
    assert_non_null(strstr(heard(p), "deliver orders d1 s1 a1 one"));
    crash(0);
    p = orders_consumer();
    wait_ms(0);
    assert_int_equal(describe(bench.d, "orders").in_flight, 2);
    assert_true(queue_item(orders(), 1)->attempt == 2 && queue_item(orders(), 2)->attempt == 2);
}

/* ------------------------------------------------------------------ restarts */

static void a_delay_survives_a_crash(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish_durably(p, "one~5000 two~90000 three");
    crash(2000);
    assert_int_equal(describe(bench.d, "orders").delayed, 2);
    assert_string_equal(delayed(0), "1:one +3000; 2:two +88000");
    p = orders_consumer();
    ack(p, "orders", 1, 1);
    wait_ms(2999);
    assert_null(strstr(heard(p), "one"));
    wait_ms(1);
    assert_non_null(strstr(heard(p), "one"));
}

static void one_that_became_due_meanwhile_is_ready(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish_durably(p, "one~5000");
    crash(6000);
    assert_int_equal(describe(bench.d, "orders").ready, 1);
    p = orders_consumer();
    settle_disk();
    assert_int_equal(describe(bench.d, "orders").in_flight, 1);
}

static void an_orderly_stop_keeps_delays_in_the_checkpoint(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish_durably(p, "one~5000 two~90000!100000 three");
    stop_orderly();
    stop_orderly(); /* from a checkpoint alone */
    assert_string_equal(delayed(0), "1:one +5000; 2:two +90000");
    p = orders_consumer();
    assert_int_equal(describe(bench.d, "orders").in_flight, 1);
    wait_ms(5000);
    assert_non_null(strstr(heard(p), "s1 a1 one")); /* it was certainly never delivered */
    bench.d->now.wall.ms += 100000;
    wait_ms(1000);
    assert_int_equal(describe(bench.d, "orders").ledger.expired, 1);
}

/* The clock was set back and the broker crashed, so that a delivered event is delayed again. An orderly stop after
 * that must not count it as never delivered. */
static void a_delivered_event_that_is_delayed_again_is_not_fresh(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one~50 two~90000");
    wait_ms(50);
    assert_non_null(strstr(heard(p), "deliver orders d1 s1 a1 one"));
    crash(-3600000);
    assert_string_equal(delayed(0), "1:one +3600000; 2:two +3689950");
    stop_orderly();
    p = orders_consumer();
    bench.d->now.wall.ms += 3700000;
    wait_ms(1000);
    assert_non_null(strstr(heard(p), "s1 a2 one"));
}

/* What an orderly stop knew about events that were never delivered is void after the next run, even though that run
 * wrote nothing about their delivery. */
static void one_delivered_after_an_orderly_stop_is_not_fresh_after_a_crash(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one~5000 two");
    ack(p, "orders", 1, 1);
    settle_disk();
    stop_orderly();
    p = orders_consumer();
    wait_ms(5000);
    assert_non_null(strstr(heard(p), "s1 a1 one"));
    crash(-3600000);
    assert_string_equal(delayed(0), "1:one +3600000");
    p = orders_consumer();
    bench.d->now.wall.ms += 3700000;
    wait_ms(1000);
    assert_non_null(strstr(heard(p), "s1 a2 one"));
}

static void a_back_off_goes_on_after_a_restart(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one");
    settle(p, "orders", SETTLE_NACK, 1, 1, 60000);
    settle_disk();
    crash(20000);
    assert_int_equal(describe(bench.d, "orders").delayed, 1);
    assert_string_equal(delayed(0), "1:one +40000");
    crash(-3600000); /* nobody knows how long it was: it begins again */
    assert_string_equal(delayed(0), "1:one +60000");
    p = orders_consumer();
    wait_ms(60000);
    assert_non_null(strstr(heard(p), "s1 a2 one"));
}

static void expiry_survives_and_takes_what_was_never_loaded(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish_durably(p, "one!5000 two!90000 three");
    crash(6000);
    turn(bench.d);
    assert_int_equal(describe(bench.d, "orders").ledger.expired, 1);
    assert_int_equal(describe(bench.d, "orders").ready, 2);
    stop_orderly();
    crash(100000);
    turn(bench.d);
    assert_int_equal(describe(bench.d, "orders").ledger.expired, 2);
    assert_string_equal(ledger(bench.d, "orders"), "accepted 3 acked 0 purged 0 dropped 0 remaining 1");
}

static void one_in_flight_that_expired_is_gone_after_a_restart(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one!5000");
    wait_ms(6000);
    assert_int_equal(describe(bench.d, "orders").in_flight, 1);
    stop_orderly();
    turn(bench.d);
    assert_int_equal(describe(bench.d, "orders").ledger.expired, 1);
}

static void a_backlog_under_a_ttl_makes_room_as_it_expires(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    struct queue_settings settings = settings_of("capacity=5 ttl=5s");
    assert_true(core_configure_queue(bench.d->core, "orders", &settings, NULL, bench.d->now));
    bench.d->core->config.memory_budget = 1; /* so that all of it is backlog */
    publish_durably(p, "one:200 two:200 three:200 four:200 five:200");
    bench.d->core->config.memory_budget = 1u << 30;
    publish(p, "orders", 8000, "six");
    heard(p);
    wait_ms(5000);
    assert_string_equal(heard(p), "confirm orders 6 -> 6");
    assert_int_equal(describe(bench.d, "orders").ledger.expired, 5);
    crash(0);
    turn(bench.d);
    assert_string_equal(ledger(bench.d, "orders"), "accepted 6 acked 0 purged 0 dropped 0 remaining 1");
}

/* A consumer whose credit arrives just then would take Idle for an empty queue. */
static void no_idle_is_sent_while_it_is_read(void **state)
{
    (void)state;
    struct peer *k = joined("k");
    consume(k, "orders");
    publish_durably(joined("p"), "one~50");
    pass(bench.d, 50);
    credit(k, "orders", 10);
    assert_null(strstr(heard(k), "idle"));
    settle_disk();
    assert_string_equal(heard(k), "deliver orders d1 s1 a1 one; idle orders g1");
}

/* They are not stored with the entry; they follow from the queue's settings when it was accepted. */
static void the_queues_own_delay_and_ttl_go_on_across_a_crash(void **state)
{
    (void)state;
    struct queue_settings settings = settings_of("delay=10s ttl=20s");
    assert_true(core_configure_queue(bench.d->core, "orders", &settings, NULL, bench.d->now));
    publish_durably(joined("p"), "one");
    wait_ms(4000);
    crash(0);
    assert_string_equal(delayed(0), "1:one +6000");
    wait_ms(5999);
    assert_int_equal(describe(bench.d, "orders").ready, 0);
    wait_ms(1);
    assert_int_equal(describe(bench.d, "orders").ready, 1);
    wait_ms(19999);
    assert_int_equal(describe(bench.d, "orders").ready, 1);
    wait_ms(1);
    assert_int_equal(describe(bench.d, "orders").ledger.expired, 1);
}

/* ------------------------------------------------------------------ cancelled, purged, looked at */

static void cancelling_is_answered_once_it_is_on_disk(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish_durably(p, "one~90000 two~90000 three");
    unsigned before = bench.d->replies;
    ask_only(bench.d, &(struct request){ .call = CALL_CANCEL, .queue = "orders", .u.cancel.sequence = 1 });
    assert_int_equal(bench.d->replies, before);
    settle_disk();
    assert_int_equal(bench.d->replies, before + 1);
    crash(0);
    assert_string_equal(delayed(0), "2:two +90000");
    assert_string_equal(cancel(1), "unknown_event");
    assert_string_equal(cancel(3), "not_delayed");
    assert_string_equal(cancel(2), "ok");
    assert_string_equal(ledger(bench.d, "orders"), "accepted 3 acked 0 purged 2 dropped 0 remaining 1");
}

static void purge_takes_what_is_delayed_on_disk(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish_durably(p, "one~90000 two three~90000 four");
    crash(0);
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "orders" }), "ok");
    assert_int_equal(bench.d->reply.u.purged.purged, 4);
    assert_string_equal(ledger(bench.d, "orders"), "accepted 4 acked 0 purged 4 dropped 0 remaining 0");
    assert_int_equal(orders()->bytes, 0);
}

/* Some delayed events are in memory (they failed), others on disk: peeking lists each once. */
static void peeking_goes_through_memory_and_disk(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one two~90000 three four~80000");
    settle(p, "orders", SETTLE_NACK, 1, 2, 60000);
    settle_disk();
    assert_string_equal(delayed(0), "1:one +60000 next 2");
    assert_string_equal(delayed(2), "2:two +90000; 3:three +60000 next 4");
    assert_string_equal(delayed(3), "3:three +60000 next 4");
    assert_string_equal(delayed(4), "4:four +80000");
}

static void many_come_due_at_once_with_little_memory(void **state)
{
    (void)state;
    char words[64 * 8];
    struct peer *p = orders_consumer();
    bench.d->core->config.memory_budget = 1;
    for (unsigned round = 0; round < 8; round++) {
        size_t size = 0;
        for (unsigned i = 0; i < 50; i++)
            size += (size_t)snprintf(words + size, sizeof words - size, "%se~%u", i ? " " : "", 100 + i % 7);
        publish_durably(p, words);
    }
    heard(p);
    wait_ms(200);
    for (unsigned i = 0; i < 100 && describe(bench.d, "orders").in_flight < 400; i++)
        settle_disk();
    assert_int_equal(describe(bench.d, "orders").in_flight, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_delayed_event_is_read_when_it_is_due),
        on_disk(they_come_in_order_of_their_time),
        on_disk(they_lie_among_backlog),
        on_disk(one_that_may_have_been_delivered_says_so_after_a_crash),
        on_disk(a_delay_survives_a_crash),
        on_disk(one_that_became_due_meanwhile_is_ready),
        on_disk(an_orderly_stop_keeps_delays_in_the_checkpoint),
        on_disk(a_delivered_event_that_is_delayed_again_is_not_fresh),
        on_disk(one_delivered_after_an_orderly_stop_is_not_fresh_after_a_crash),
        on_disk(a_back_off_goes_on_after_a_restart),
        on_disk(expiry_survives_and_takes_what_was_never_loaded),
        on_disk(one_in_flight_that_expired_is_gone_after_a_restart),
        on_disk(a_backlog_under_a_ttl_makes_room_as_it_expires),
        on_disk(no_idle_is_sent_while_it_is_read),
        on_disk(the_queues_own_delay_and_ttl_go_on_across_a_crash),
        on_disk(cancelling_is_answered_once_it_is_on_disk),
        on_disk(purge_takes_what_is_delayed_on_disk),
        on_disk(peeking_goes_through_memory_and_disk),
        on_disk(many_come_due_at_once_with_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
