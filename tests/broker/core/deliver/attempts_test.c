/* Attempt histories: how each delivery ended that did not settle its event, when, and how long it took. */
#include "tests/broker/core/disk_driver.h"

#include "broker/core/deliver/attempts.h"

#include <stdio.h>

static struct queue *orders(struct driver *d)
{
    return queue_find(d->core, span_str("orders"));
}

/* "1 nacked +200 p 503 no luck; 2 in_flight +0 p", with "(2 older) " before it. */
static const char *told(const struct reply *reply)
{
    static char text[4][3000];
    static unsigned turns;
    char *out = text[turns++ % 4];
    const struct explained *e = &reply->u.explained;
    assert_int_equal(reply->result, RESULT_EXPLAINED);
    size_t size = 0, most = sizeof text[0];
    out[0] = '\0';
    if (e->attempts_older)
        size = (size_t)snprintf(out, most, "(%llu older) ", (unsigned long long)e->attempts_older);
    for (uint32_t i = 0; i < e->attempt_count; i++) {
        const struct attempt_info *a = &e->attempts[i];
        size += (size_t)snprintf(out + size, most - size, "%s%u %s +%u %s", i ? "; " : "", a->number,
                                 attempt_outcome_name(a->outcome), a->latency_ms, a->consumer);
        if (a->status || *a->error)
            size += (size_t)snprintf(out + size, most - size, " %u %s", a->status, a->error);
    }
    return out;
}

static const char *attempts(struct driver *d, uint64_t sequence)
{
    return told(ask(d, &(struct request){ .call = CALL_EXPLAIN, .queue = "orders", .u.explain.sequence = sequence }));
}

/* The same where the event may have to be read from the disk first. */
static const char *attempts_durably(uint64_t sequence)
{
    struct request r = { .call = CALL_EXPLAIN, .queue = "orders", .u.explain.sequence = sequence };
    assert_string_equal(ask_durably(&r), "ok");
    return told(&bench.d->reply);
}

static struct peer *consumer(struct driver *d, const char *name)
{
    struct peer *p = attached(d, name);
    consume(p, "orders");
    credit(p, "orders", 1000);
    return p;
}

/* Declares "orders" with these settings; returns its first consumer. */
static struct peer *consumer_of(struct driver *d, const char *settings)
{
    assert_string_equal(declare(d, "orders", settings), "ok");
    return consumer(d, "p");
}

static void say(struct peer *p, uint64_t delivery, enum settle_kind kind, uint64_t ms, uint32_t status,
                const char *error)
{
    frame_add_receipt_ack(&p->out, &(struct receipt_ack){ .request = 1,
                                                          .ms = ms,
                                                          .kind = kind,
                                                          .receipt = span_str(receipt_of(p, "orders", delivery)),
                                                          .status = status,
                                                          .error = span_str(error) });
    push(p);
}

static void every_attempt_says_how_it_ended_and_how_long_it_took(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer_of(d, "lease=1s max_deliveries=9");
    publish(p, "orders", 0, "one");
    pass(d, 200);
    assert_string_equal(attempts(d, 1), "1 in_flight +200 p");
    say(p, 1, SETTLE_NACK, 300, 503, "no luck");
    assert_string_equal(attempts(d, 1), "1 nacked +200 p 503 no luck");
    int64_t first = d->reply.u.explained.attempts[0].delivered_ms;
    assert_int_equal(first, d->now.wall.ms - 200);
    pass(d, 300);
    pass(d, 1000);
    assert_string_equal(attempts(d, 1), "1 nacked +200 p 503 no luck; 2 lease_expired +1000 p 0 the lease ran out; "
                                        "3 in_flight +0 p");
    assert_int_equal(d->reply.u.explained.attempts[1].delivered_ms - first, 500);
    settle(p, "orders", SETTLE_DEFER, 3, 1, 400);
    pass(d, 400);
    leave(p, "orders");
    assert_string_equal(attempts(d, 1) +
                            strlen("1 nacked +200 p 503 no luck; 2 lease_expired +1000 p 0 the lease ran out; "),
                        "3 deferred +0 p; 4 returned +0 p");
    struct peer *other = consumer(d, "other");
    say(other, 1, SETTLE_DROP, 0, 404, "");
    assert_non_null(strstr(attempts(d, 1), "; 4 returned +0 p; 5 dropped +0 other 404 "));
    assert_int_equal(d->reply.u.explained.event.state, STATE_DEAD);
    assert_int_equal(d->reply.u.explained.event.trouble.failures, 3);
}

static void a_deferral_keeps_status_and_error_and_one_of_0_ms_only_hands_back(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer_of(d, "max_deliveries=1");
    publish(p, "orders", 0, "one");
    say(p, 1, SETTLE_DEFER, 400, 503, "busy");
    assert_string_equal(attempts(d, 1), "1 deferred +0 p 503 busy");
    pass(d, 400);
    say(p, 2, SETTLE_DEFER, 0, 0, "its stream ended");
    assert_string_equal(attempts(d, 1),
                        "1 deferred +0 p 503 busy; 2 returned +0 p 0 its stream ended; 3 in_flight +0 p");
    struct open_body open = frame_begin_ack(&p->out, span_str("orders"), known(p, "orders")->consumer_epoch);
    frame_add_settle(&p->out, &(struct settle){ SETTLE_DEFER, 3, 1, 0, 429, span_str("slowly") });
    frame_end(&p->out, open);
    push(p);
    assert_non_null(strstr(attempts(d, 1), "; 3 returned +0 p 429 slowly; 4 in_flight"));
    assert_int_equal(d->reply.u.explained.event.trouble.failures, 0);
}

static void an_attempt_whose_consumer_vanished_says_so(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer_of(d, "lease=1h");
    publish(p, "orders", 0, "one two");
    settle(p, "orders", SETTLE_EXTEND, 2, 1, 7200000); /* a lease of its own, counted from the delivery */
    p->silent = true;
    pass(d, 120000);
    assert_false(is_attached(p));
    assert_non_null(strstr(attempts(d, 1), "1 connection_lost +"));
    assert_string_equal(attempts(d, 1), attempts(d, 2));
    assert_true(d->reply.u.explained.attempts[0].latency_ms >= 1000);
    assert_int_equal(d->reply.u.explained.event.trouble.crashes, 1);
}

static void the_newest_attempts_are_kept_and_older_ones_counted(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer_of(d, "max_deliveries=100");
    publish(p, "orders", 0, "one");
    for (uint64_t delivery = 1; delivery <= 10; delivery++)
        settle(p, "orders", SETTLE_NACK, delivery, 1, 0);
    assert_string_equal(
        attempts(d, 1),
        "(2 older) 3 nacked +0 p; 4 nacked +0 p; 5 nacked +0 p; 6 nacked +0 p; 7 nacked +0 p; 8 nacked +0 p; "
        "9 nacked +0 p; 10 nacked +0 p; 11 in_flight +0 p");
}

static void an_event_that_never_failed_or_is_settled_has_no_history(void **state)
{
    struct driver *d = *state;
    struct peer *p = consumer_of(d, "");
    publish(p, "orders", 0, "one two");
    assert_string_equal(attempts(d, 1), "1 in_flight +0 p");
    assert_null(orders(d)->histories);
    settle(p, "orders", SETTLE_RELEASE, 1, 1, 0); /* not an attempt */
    assert_null(orders(d)->histories);
    settle(p, "orders", SETTLE_DEFER, 2, 1, 0);
    settle(p, "orders", SETTLE_NACK, 3, 1, 0);
    assert_true(orders(d)->history_bytes && d->core->history_bytes == orders(d)->history_bytes);
    ack(p, "orders", 4, 2);
    assert_null(orders(d)->histories);
    assert_null(orders(d)->troubles);
    assert_true(d->core->history_bytes == 0);
}

/* Beyond the bound the history that began first is dropped; the failures stay counted. */
static void a_queue_s_histories_are_bounded(void **state)
{
    struct driver *d = *state;
    char error[TROUBLE_ERROR_MAX + 1];
    memset(error, 'x', TROUBLE_ERROR_MAX);
    error[TROUBLE_ERROR_MAX] = '\0';
    struct peer *p = consumer_of(d, "capacity=5000 backoff=1h");
    for (uint64_t delivery = 1; delivery <= 4000; delivery++) {
        publish(p, "orders", 0, "one");
        credit(p, "orders", delivery + 1000);
        say(p, delivery, SETTLE_NACK, 0, 500, error);
        assert_true(orders(d)->history_bytes <= HISTORY_BYTES);
    }
    assert_string_equal(attempts(d, 1), "");
    assert_int_equal(d->reply.u.explained.event.trouble.failures, 1);
    assert_non_null(strstr(attempts(d, 4000), "1 nacked +0 p 500 xxx"));
    assert_true(orders(d)->history_bytes > HISTORY_BYTES / 2);
    struct request purge = { .call = CALL_PURGE, .queue = "orders" };
    assert_int_equal(ask(d, &purge)->u.purged.purged, 4000);
    assert_true(d->core->history_bytes == 0);
}

/* Histories take no more than their share of a small budget. */
static void a_small_budget_is_not_spent_on_histories(void **state)
{
    struct driver *d = *state;
    d->config.memory_budget = 160000;
    driver_restart(d);
    struct peer *p = consumer_of(d, "capacity=5000 backoff=1h");
    for (uint64_t delivery = 1; delivery <= 300; delivery++) {
        publish(p, "orders", 0, "one");
        say(p, delivery, SETTLE_NACK, 0, 500, "no luck");
        assert_true(d->core->history_bytes <= 10000);
    }
    assert_string_equal(attempts(d, 1), "");
    assert_string_equal(attempts(d, 300), "1 nacked +0 p 500 no luck");
}

/* A consumer that leaves in order with many events in flight does not make the broker record all of them. */
static void handed_back_deliveries_are_recorded_up_to_a_bound(void **state)
{
    struct driver *d = *state;
    declare(d, "orders", "capacity=5000");
    struct peer *p = attached(d, "p");
    for (unsigned i = 0; i < 3000; i++)
        publish(p, "orders", 0, "one");
    consume(p, "orders");
    credit(p, "orders", 3000);
    assert_int_equal(describe(d, "orders").in_flight, 3000);
    leave(p, "orders");
    assert_string_equal(attempts(d, 1), "1 returned +0 p");
    assert_string_equal(attempts(d, 3000), "");
    assert_true(orders(d)->history_bytes <= HISTORY_BYTES / 16 + 1000);
    consume(p, "orders");
    credit(p, "orders", 3000);
    settle(p, "orders", SETTLE_NACK, 3000, 1, 60000); /* a failure is recorded all the same */
    assert_string_equal(attempts(d, 3000), "2 nacked +0 p");
}

static void configure(struct driver *d, const char *text)
{
    struct queue_settings settings = settings_of(text);
    assert_true(core_configure_queue(d->core, "orders", &settings, NULL, d->now));
}

static struct peer *durable_consumer(void)
{
    struct peer *p = joined("c");
    consume(p, "orders");
    credit(p, "orders", 1000);
    settle_disk();
    return p;
}

static void histories_survive_a_crash_and_a_checkpoint(void **state)
{
    struct driver *d = *state;
    struct peer *p = durable_consumer();
    publish_durably(p, "one two");
    pass(d, 100);
    say(p, 1, SETTLE_NACK, 1, 503, "no luck");
    pass(d, 1);
    settle_disk();
    settle(p, "orders", SETTLE_NACK, 3, 1, 60000);
    settle_disk();
    const char *before = attempts(d, 1);
    assert_string_equal(before, "1 nacked +100 c 503 no luck; 2 nacked +0 c");
    crash(1000);
    assert_string_equal(attempts_durably(1), before);
    stop_orderly();
    stop_orderly(); /* from a checkpoint alone */
    assert_string_equal(attempts_durably(1), before);
    assert_true(orders(d)->histories && !orders(d)->histories->next);
    struct request purge = { .call = CALL_PURGE, .queue = "orders" };
    assert_string_equal(ask_durably(&purge), "ok");
    assert_true(orders(d)->troubles == NULL && d->core->history_bytes == 0);
}

static void the_count_of_older_attempts_survives_too(void **state)
{
    struct driver *d = *state;
    configure(d, "max_deliveries=100 backoff=0s");
    struct peer *p = durable_consumer();
    publish_durably(p, "one");
    for (uint64_t delivery = 1; delivery <= 10; delivery++) {
        settle(p, "orders", SETTLE_NACK, delivery, 1, delivery == 10 ? 60000 : 0);
        settle_disk();
    }
    crash(0);
    assert_non_null(strstr(attempts_durably(1), "(2 older) 3 nacked +0 c; "));
    stop_orderly();
    assert_non_null(strstr(attempts_durably(1), "(2 older) 3 nacked +0 c; "));
    assert_true(d->reply.u.explained.attempt_count == ATTEMPTS_KEPT);
}

static void a_dead_event_keeps_its_history(void **state)
{
    struct driver *d = *state;
    configure(d, "max_deliveries=1 backoff=0s");
    struct peer *p = durable_consumer();
    publish_durably(p, "one");
    say(p, 1, SETTLE_NACK, 0, 422, "bad");
    settle_disk();
    assert_string_equal(attempts_durably(1), "1 nacked +0 c 422 bad");
    crash(0);
    assert_string_equal(attempts_durably(1), "1 nacked +0 c 422 bad");
    assert_int_equal(d->reply.u.explained.event.state, STATE_DEAD);
}

static void a_deferral_goes_on_after_a_restart(void **state)
{
    struct driver *d = *state;
    struct peer *p = durable_consumer();
    publish_durably(p, "one two");
    say(p, 1, SETTLE_DEFER, 60000, 503, "busy");
    settle(p, "orders", SETTLE_NACK, 2, 1, 5);
    pass(d, 5);
    settle_disk();
    settle(p, "orders", SETTLE_DEFER, 3, 1, 50000); /* its failure was at another time */
    settle_disk();
    crash(20000);
    assert_string_equal(attempts_durably(1), "1 deferred +0 c 503 busy");
    assert_int_equal(d->reply.u.explained.blocked, BLOCKED_DELAYED);
    assert_int_equal(d->reply.u.explained.next_ms - d->now.wall.ms, 39995);
    assert_int_equal(d->reply.u.explained.event.trouble.failures, 0);
    attempts_durably(2);
    assert_int_equal(d->reply.u.explained.next_ms - d->now.wall.ms, 30000);
    assert_int_equal(d->reply.u.explained.event.trouble.failures, 1);
    stop_orderly();
    crash(-3600000); /* the time spent is unknown: the delay begins again */
    attempts_durably(1);
    assert_int_equal(d->reply.u.explained.next_ms - d->now.wall.ms, 60000);
    p = durable_consumer();
    pass(d, 60000);
    settle_disk();
    assert_non_null(strstr(heard(p), "s1 a2 one"));
}

/* Whether a note or a checkpoint has them, and whichever way the event is read again. */
static void attempt_numbers_continue_after_a_restart(void **state)
{
    (void)state;
    configure(*state, "backoff=0s max_deliveries=9");
    struct peer *p = durable_consumer();
    publish_durably(p, "one two");
    settle(p, "orders", SETTLE_NACK, 1, 1, 0);
    settle(p, "orders", SETTLE_NACK, 3, 1, 0);
    leave(p, "orders"); /* the leave hands the third delivery back */
    settle_disk();
    stop_orderly();
    p = durable_consumer();
    assert_non_null(strstr(heard(p), "s1 a4 one; deliver orders d2 s2 a2 two"));
    settle(p, "orders", SETTLE_NACK, 1, 1, 1000);
    settle_disk();
    assert_string_equal(attempts_durably(1), "1 nacked +0 c; 2 nacked +0 c; 3 returned +0 c; 4 nacked +0 c");
    assert_int_equal(bench.d->reply.u.explained.event.attempt, 4);
    crash(0);
    p = durable_consumer();
    pass(bench.d, 1000);
    settle_disk();
    assert_non_null(strstr(heard(p), "s1 a5 one"));
}

/* Although the event comes with a later attempt number. */
static void a_late_ack_settles_until_the_event_is_delivered_again(void **state)
{
    struct driver *d = *state;
    configure(d, "backoff=0s max_deliveries=9");
    struct peer *p = durable_consumer();
    publish_durably(p, "one two");
    settle(p, "orders", SETTLE_NACK, 1, 2, 0);
    settle_disk();
    char first[RECEIPT_MAX_SIZE], second[RECEIPT_MAX_SIZE];
    snprintf(first, sizeof first, "%s", receipt_of(p, "orders", 3));
    snprintf(second, sizeof second, "%s", receipt_of(p, "orders", 4));
    d->config.incarnation++;
    crash(0);
    p = joined("d");
    settle_by(p, 1, SETTLE_ACK, first, 0); /* not delivered again yet */
    settle_disk();
    assert_string_equal(heard(p), "receipt 1 acked");
    p = durable_consumer();
    settle(p, "orders", SETTLE_NACK, 1, 1, 0);
    leave(p, "orders");
    settle_by(p, 2, SETTLE_ACK, second, 0);
    settle_disk();
    assert_non_null(strstr(heard(p), "receipt 2 expired"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(every_attempt_says_how_it_ended_and_how_long_it_took),
        driven(a_deferral_keeps_status_and_error_and_one_of_0_ms_only_hands_back),
        driven(an_attempt_whose_consumer_vanished_says_so),
        driven(the_newest_attempts_are_kept_and_older_ones_counted),
        driven(an_event_that_never_failed_or_is_settled_has_no_history),
        driven(a_queue_s_histories_are_bounded),
        driven(a_small_budget_is_not_spent_on_histories),
        driven(handed_back_deliveries_are_recorded_up_to_a_bound),
        on_disk(histories_survive_a_crash_and_a_checkpoint),
        on_disk(the_count_of_older_attempts_survives_too),
        on_disk(a_dead_event_keeps_its_history),
        on_disk(a_deferral_goes_on_after_a_restart),
        on_disk(attempt_numbers_continue_after_a_restart),
        on_disk(a_late_ack_settles_until_the_event_is_delivered_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
