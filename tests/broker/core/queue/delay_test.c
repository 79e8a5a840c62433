/* Delays and expiry of events in memory. */
#include "tests/broker/core/driver.h"

#include "broker/core/queue/schedule.h"

#include <stdio.h>

static struct peer *consumer(struct driver *d, const char *settings)
{
    struct peer *p = attached(d, "p");
    assert_string_equal(declare(d, "orders", settings), "ok");
    consume(p, "orders");
    credit(p, "orders", 1000);
    heard(p);
    return p;
}

static const char *cancel(struct driver *d, uint64_t sequence)
{
    struct request r = { .call = CALL_CANCEL, .queue = "orders", .u.cancel.sequence = sequence };
    const struct reply *reply = ask(d, &r);
    assert_int_equal(reply->result, reply->reason == REASON_ok ? RESULT_CANCELLED : RESULT_NONE);
    if (reply->reason == REASON_unknown_event) /* says whether it ever was there */
        assert_non_null(strstr(reply->detail, sequence == 0 || sequence > 4 ? "never existed: " : "settled: event "));
    return reason_info(reply->reason)->name;
}

/* The delayed events as text: sequence, event, ms until it is ready: "1:one +50". */
static const char *delayed(struct driver *d)
{
    static char text[1000];
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek.state = STATE_DELAYED };
    const struct reply *reply = ask(d, &r);
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < reply->u.peeked.count; i++) {
        const struct peeked *e = &reply->u.peeked.events[i];
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu:%.*s %+lld", i ? "; " : "",
                                 (unsigned long long)e->sequence, (int)e->event.size, (const char *)e->event.data,
                                 (long long)(e->ready_ms - d->now.wall.ms));
    }
    return text;
}

/* The events in that state that expire: sequence, event, ms until then: "1:one +50". */
static const char *expiring(struct driver *d, enum event_state state)
{
    static char text[1000];
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek.state = state };
    const struct reply *reply = ask(d, &r);
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < reply->u.peeked.count; i++) {
        const struct peeked *e = &reply->u.peeked.events[i];
        if (e->expires_ms)
            size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu:%.*s %+lld", size ? "; " : "",
                                     (unsigned long long)e->sequence, (int)e->event.size, (const char *)e->event.data,
                                     (long long)(e->expires_ms - d->now.wall.ms));
    }
    return text;
}

/* ------------------------------------------------------------------ delayed */

static void a_delayed_event_comes_when_it_is_due(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    publish(p, "orders", 0, "one~50 two");
    assert_string_equal(heard(p), "deliver orders d1 s2 a1 two; confirm orders 1..2 -> 1");
    assert_int_equal(describe(d, "orders").delayed, 1);
    assert_string_equal(delayed(d), "1:one +50");
    pass(d, 49);
    assert_null(strstr(heard(p), "deliver"));
    pass(d, 1);
    assert_non_null(strstr(heard(p), "deliver orders d2 s1 a1 one"));
}

static void they_become_ready_in_order_of_their_time(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    publish(p, "orders", 0, "one~30 two~20 three~10 four~20");
    heard(p);
    pass(d, 30);
    assert_string_equal(heard(p), "deliver orders d1 s3 a1 three; deliver orders d2 s2 a1 two; deliver orders d3 s4 a1 "
                                  "four; deliver orders d4 s1 a1 one");
}

static void a_due_event_stands_in_line_by_its_sequence(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    operate(d, CALL_PAUSE, "orders");
    publish(p, "orders", 0, "one~20 two three~10 four");
    pass(d, 20);
    assert_int_equal(describe(d, "orders").ready, 4);
    heard(p);
    operate(d, CALL_RESUME, "orders");
    assert_string_equal(heard(p), "deliver orders d1..4 s1..4 a1 one two three four");
}

static void the_queue_s_delay_is_for_those_that_do_not_say(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "delay=100ms");
    publish(p, "orders", 0, "one two~20 three^30");
    assert_string_equal(delayed(d), "1:one +100; 2:two +20; 3:three +30");
    pass(d, 100);
    assert_int_equal(describe(d, "orders").delayed, 0);
}

static void a_time_that_has_passed_is_no_delay(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    publish(p, "orders", 0, "one^-5 two^0");
    assert_non_null(strstr(heard(p), "deliver orders d1..2 s1..2 a1 one two"));
}

static void a_delay_counts_from_acceptance(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "capacity=1");
    publish(p, "orders", 0, "one");
    publish(p, "orders", 1000, "two~50");
    pass(d, 500);
    ack(p, "orders", 1, 1);
    assert_string_equal(delayed(d), "2:two +50");
}

static void delayed_events_count_in_the_capacity(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "capacity=2");
    publish(p, "orders", 0, "one~50 two~50 three");
    assert_non_null(strstr(heard(p), "refuse orders 3 full"));
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
}

static void the_wall_clock_rules_not_before(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "backoff=1h");
    publish(p, "orders", 0, "one^60000 two");
    settle(p, "orders", SETTLE_NACK, 1, 1, 5000);
    heard(p);
    d->now.wall.ms -= 3600000;
    pass(d, 4999);
    assert_null(strstr(heard(p), "deliver"));
    pass(d, 1);
    assert_string_equal(heard(p), "deliver orders d2 s2 a2 two"); /* a back-off does not follow the wall clock */
    d->now.wall.ms += 3600000 + 55000;
    assert_true(mono_since_ms(core_due(d->core), d->now.mono) <= 1000); /* no event says that a clock was set */
    pass(d, 1000);
    assert_non_null(strstr(heard(p), "deliver orders d3 s1 a1 one"));
}

static void a_delayed_event_is_cancelled_by_its_sequence(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "backoff=1h");
    publish(p, "orders", 0, "one~50 two~50 three");
    assert_string_equal(cancel(d, 1), "ok");
    assert_string_equal(cancel(d, 1), "unknown_event");
    assert_string_equal(cancel(d, 3), "not_delayed"); /* in flight */
    assert_string_equal(cancel(d, 9), "unknown_event");
    settle(p, "orders", SETTLE_NACK, 1, 1, 0);
    assert_string_equal(cancel(d, 3), "ok"); /* it was delayed after its nack */
    heard(p);
    pass(d, 50);
    assert_string_equal(heard(p), "deliver orders d2 s2 a1 two");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 2 dropped 0 remaining 1");
    assert_string_equal(cancel(d, 0), "unknown_event");
}

static void purge_takes_what_is_delayed(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    publish(p, "orders", 0, "one~50 two~60 three");
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 2 dropped 0 remaining 1");
    assert_int_equal(d->core->wall_timers.count, 0);
    heard(p);
    pass(d, 100);
    assert_string_equal(heard(p), "");
}

/* ------------------------------------------------------------------ expired */

static void an_event_that_is_ready_expires_at_its_time(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "one!50 two");
    pass(d, 49);
    assert_int_equal(describe(d, "orders").ready, 2);
    pass(d, 1);
    assert_int_equal(describe(d, "orders").ready, 1);
    assert_int_equal(describe(d, "orders").ledger.expired, 1);
    consume(p, "orders");
    credit(p, "orders", 9);
    assert_non_null(strstr(heard(p), "deliver orders d1 s2 a1 two"));
}

static void a_delayed_event_may_expire_before_it_is_due(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    publish(p, "orders", 0, "one~50!50 two~50!51");
    heard(p);
    pass(d, 50);
    assert_string_equal(heard(p), "deliver orders d1 s2 a1 two");
    assert_int_equal(describe(d, "orders").ledger.expired, 1);
}

static void one_that_expired_already_is_accepted_and_counted(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    publish(p, "orders", 0, "one!-5 two!0 three");
    assert_string_equal(heard(p), "deliver orders d1 s3 a1 three; confirm orders 1..3 -> 1");
    assert_int_equal(describe(d, "orders").ledger.expired, 2);
}

static void one_in_flight_is_judged_when_it_comes_back(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "backoff=1h");
    publish(p, "orders", 0, "one!50 two!50 three!50 four!50");
    pass(d, 60);
    assert_int_equal(describe(d, "orders").in_flight, 4);
    ack(p, "orders", 1, 1);
    settle(p, "orders", SETTLE_NACK, 2, 1, 0);
    settle(p, "orders", SETTLE_RELEASE, 3, 1, 0);
    leave(p, "orders");
    struct queue_info q = describe(d, "orders");
    assert_true(q.ledger.acked == 1 && q.ledger.expired == 3 && q.ledger.remaining == 0);
    assert_int_equal(queue_find(d->core, span_str("orders"))->schedule->overdue.count, 0);
}

static void the_queue_s_ttl_holds_for_all_and_the_earlier_wins(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "ttl=100ms");
    publish(p, "orders", 0, "one two!50 three!5000 four~70");
    pass(d, 50);
    assert_int_equal(describe(d, "orders").ledger.expired, 1);
    pass(d, 50);
    assert_int_equal(describe(d, "orders").ledger.expired, 3);
    pass(d, 69); /* counted from the end of its delay */
    assert_int_equal(describe(d, "orders").ready, 1);
    pass(d, 1);
    assert_int_equal(describe(d, "orders").ledger.expired, 4);
}

static void what_expires_makes_room_for_those_who_wait(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=2 ttl=50ms");
    publish(p, "orders", 0, "one two");
    publish(p, "orders", 1000, "three");
    heard(p);
    pass(d, 50);
    assert_string_equal(heard(p), "confirm orders 3 -> 3");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 0 dropped 0 remaining 1");
}

static void the_wall_clock_rules_expiry(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "one!5000");
    d->now.wall.ms -= 100000;
    pass(d, 6000);
    assert_int_equal(describe(d, "orders").ready, 1);
    d->now.wall.ms += 100000;
    pass(d, 1000);
    assert_int_equal(describe(d, "orders").ready, 0);
}

/* ------------------------------------------------------------------ cost */

static void a_plain_queue_has_no_schedule(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    publish(p, "orders", 0, "one two");
    ack(p, "orders", 1, 2);
    assert_null(queue_find(d->core, span_str("orders"))->schedule);
}

/* The schedule of a busy queue, whose events are settled long before they expire, stays about as large as the queue. */
static void what_is_settled_before_its_time_is_swept_out(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    char word[32];
    for (unsigned i = 0; i < 9000; i++) {
        credit(p, "orders", 1000 + i);
        snprintf(word, sizeof word, "x!%u", 1000000 - i * 7 % 1000);
        publish(p, "orders", 0, word);
        seen(p, "orders", i + 1);
        ack(p, "orders", i + 1, 1);
        buf_clear(&p->trace);
    }
    assert_true(queue_find(d->core, span_str("orders"))->schedule->expiring.count <= 2048);
}

static void neighbours_under_one_ttl_are_one_run(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "ttl=1h");
    for (unsigned i = 0; i < 500; i++) {
        publish(p, "orders", 0, "x");
        pass(d, 1);
    }
    const struct schedule *k = queue_find(d->core, span_str("orders"))->schedule;
    assert_true(k->expiring.count == 0 && k->newest.count == 500);
    d->now.wall.ms = k->newest.at - 1;
    turn(d);
    assert_int_equal(describe(d, "orders").ready, 500);
    d->now.wall.ms++;
    turn(d);
    assert_int_equal(describe(d, "orders").ledger.expired, 500);
}

/* Many events expire at once: none of them is delivered, and other queues are served before all of them have left. */
static void many_that_expire_at_once_do_not_hold_up_others(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "capacity=400000 ttl=1h");
    declare(d, "other", "");
    struct queue *q = queue_find(d->core, span_str("orders"));
    for (unsigned i = 0; i < 400000; i++) {
        struct store_event e = { .event = span_str("x") };
        uint64_t ticket;
        queue_accept(d->core, q, &e, 1, (struct span){ 0 }, &ticket);
    }
    publish(p, "orders", 1000, "waits");
    d->now.wall.ms += 3600000;
    consume(k, "other");
    credit(k, "other", 9);
    assert_true(q->ledger.expired > 0 && q->ready > 0);
    consume(k, "orders");
    credit(k, "orders", 9);
    publish(p, "other", 0, "one");
    assert_true(strstr(heard(k), "deliver other") && q->out_rate.value == 0);
    pass(d, 5);
    assert_int_equal(q->ledger.expired, 400000);
    assert_non_null(strstr(heard(k), "deliver orders d1 s400001 a1 waits"));
}

/* The wall clock is set back before all of them have left: the rest is delivered. */
static void the_clock_may_be_set_back_while_many_expire(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "capacity=200000 ttl=1h");
    struct queue *q = queue_find(d->core, span_str("orders"));
    consume(k, "orders");
    credit(k, "orders", 9);
    for (unsigned i = 0; i < 100000; i++) {
        struct store_event e = { .event = span_str("x") };
        uint64_t ticket;
        queue_accept(d->core, q, &e, 1, (struct span){ 0 }, &ticket);
    }
    d->now.wall.ms += 3600000;
    publish(p, "orders", 0, "later");
    assert_true(q->ledger.expired > 0 && q->ready > 1 && q->in_flight == 0);
    d->now.wall.ms -= 3600000;
    pass(d, 5);
    assert_int_equal(q->in_flight, 9);
    assert_true(q->ledger.expired < 100000);
}

static void peek_and_explain_say_when_an_event_expires(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer(d, "");
    pass(d, 5);
    leave(p, "orders");
    publish(p, "orders", 0, "one!500 two three!700 four~50!900 five~60");
    assert_string_equal(expiring(d, STATE_READY), "1:one +500; 3:three +700");
    assert_string_equal(expiring(d, STATE_DELAYED), "4:four +900");
    consume(p, "orders");
    credit(p, "orders", 1);
    pass(d, 20);
    assert_string_equal(expiring(d, STATE_IN_FLIGHT), "1:one +480");
    assert_string_equal(expiring(d, STATE_READY), "3:three +680");
    struct request r = { .call = CALL_EXPLAIN, .queue = "orders", .u.explain.sequence = 3 };
    assert_int_equal(ask(d, &r)->u.explained.event.expires_ms - d->now.wall.ms, 680);
    r = (struct request){ .call = CALL_EXPLAIN, .queue = "orders", .u.explain.sequence = 2 };
    assert_int_equal(ask(d, &r)->u.explained.event.expires_ms, 0);
    declare(d, "orders", "ttl=3s");
    publish(p, "orders", 0, "six seven!100");
    assert_string_equal(expiring(d, STATE_READY), "3:three +680; 6:six +3000; 7:seven +100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_delayed_event_comes_when_it_is_due),
        driven(they_become_ready_in_order_of_their_time),
        driven(a_due_event_stands_in_line_by_its_sequence),
        driven(the_queue_s_delay_is_for_those_that_do_not_say),
        driven(a_time_that_has_passed_is_no_delay),
        driven(a_delay_counts_from_acceptance),
        driven(delayed_events_count_in_the_capacity),
        driven(the_wall_clock_rules_not_before),
        driven(a_delayed_event_is_cancelled_by_its_sequence),
        driven(purge_takes_what_is_delayed),
        driven(an_event_that_is_ready_expires_at_its_time),
        driven(a_delayed_event_may_expire_before_it_is_due),
        driven(one_that_expired_already_is_accepted_and_counted),
        driven(one_in_flight_is_judged_when_it_comes_back),
        driven(the_queue_s_ttl_holds_for_all_and_the_earlier_wins),
        driven(what_expires_makes_room_for_those_who_wait),
        driven(the_wall_clock_rules_expiry),
        driven(a_plain_queue_has_no_schedule),
        driven(what_is_settled_before_its_time_is_swept_out),
        driven(neighbours_under_one_ttl_are_one_run),
        driven(many_that_expire_at_once_do_not_hold_up_others),
        driven(the_clock_may_be_set_back_while_many_expire),
        driven(peek_and_explain_say_when_an_event_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
