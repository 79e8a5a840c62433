/* What happens to events that fail, in memory: back-off, too many failures, crashes; and what is done with dead
 * events. */
#include "tests/broker/core/driver.h"

#include <stdio.h>

/* A consumer of "orders" with enough credit, to which everything that was published is delivered. */
static struct peer *delivered(struct driver *d, const char *settings, const char *words)
{
    struct peer *p = attached(d, "p");
    assert_string_equal(declare(d, "orders", settings), "ok");
    consume(p, "orders");
    credit(p, "orders", 100);
    publish(p, "orders", 0, words);
    heard(p);
    return p;
}

static void nack(struct peer *p, uint64_t delivery)
{
    settle(p, "orders", SETTLE_NACK, delivery, 1, 0);
}

/* "3:three/2 max_deliveries f2 c0 503 no luck" of each dead event; " next N". */
static const char *dead(struct driver *d)
{
    static char text[1000];
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek.state = STATE_DEAD };
    const struct reply *reply = ask(d, &r);
    size_t size = 0;
    text[0] = '\0';
    assert_int_equal(reply->result, RESULT_PEEKED);
    for (size_t i = 0; i < reply->u.peeked.count; i++) {
        const struct peeked *e = &reply->u.peeked.events[i];
        const struct trouble_info *t = &e->trouble;
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu:%.*s/%u %s f%u c%u %u %s", i ? "; " : "",
                                 (unsigned long long)e->sequence, (int)e->event.size, (const char *)e->event.data,
                                 e->attempt, dead_reason_name(t->dead), t->failures, t->crashes, t->status, t->error);
    }
    return text;
}

/* "redriven 2 left 1", or the reason's name. */
static const char *redrive(struct driver *d, const uint64_t *sequences, size_t count, const char *to, bool dry_run)
{
    static char text[64];
    struct request r = { .call = CALL_REDRIVE, .queue = "orders" };
    r.u.redrive.sequences = sequences, r.u.redrive.count = count;
    r.u.redrive.to = to, r.u.redrive.dry_run = dry_run;
    const struct reply *reply = ask(d, &r);
    if (reply->reason != REASON_ok)
        return reason_info(reply->reason)->name;
    assert_int_equal(reply->result, RESULT_REDRIVEN);
    snprintf(text, sizeof text, "redriven %llu left %llu", (unsigned long long)reply->u.redriven.redriven,
             (unsigned long long)reply->u.redriven.left);
    return text;
}

/* ------------------------------------------------------------------ back-off */

static void a_failed_event_is_redelivered_within_its_back_off(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "backoff=1s", "one");
    nack(p, 1);
    assert_string_equal(heard(p), "settled orders 1 nacked");
    assert_int_equal(describe(d, "orders").delayed, 1);
    pass(d, 1000);
    assert_string_equal(heard(p), "deliver orders d2 s1 a2 one");
}

/* Over many events: all are within the cap, and spread over it. */
static void back_off_doubles_up_to_its_maximum_with_full_jitter(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "backoff=1s backoff_max=3s max_deliveries=250", "one");
    uint64_t delivery = 0, longest = 0, shortest = UINT64_MAX;
    for (unsigned failure = 1; failure <= 40; failure++) {
        int64_t cap = failure == 1 ? 1000 : failure == 2 ? 2000 : 3000, waited = 0;
        nack(p, ++delivery);
        heard(p);
        for (; describe(d, "orders").delayed; waited += 10)
            pass(d, 10);
        heard(p);
        assert_in_range(waited, 1, cap + 10);
        longest = failure > 2 && (uint64_t)waited > longest ? (uint64_t)waited : longest;
        shortest = failure > 2 && (uint64_t)waited < shortest ? (uint64_t)waited : shortest;
    }
    assert_true(longest > 2000 && shortest < 1000);
}

static void a_nack_s_own_delay_wins_over_the_back_off(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "backoff=1h", "one");
    settle(p, "orders", SETTLE_NACK, 1, 1, 50);
    pass(d, 49);
    heard(p);
    pass(d, 1);
    assert_string_equal(heard(p), "deliver orders d2 s1 a2 one");
}

static void a_lease_that_runs_out_is_a_failure(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "lease=1s max_deliveries=2", "one");
    pass(d, 1000);
    assert_string_equal(heard(p), "deliver orders d2 s1 a2 one");
    pass(d, 1000);
    assert_string_equal(dead(d), "1:one/2 max_deliveries f2 c0 0 the lease ran out");
}

/* ------------------------------------------------------------------ dying */

static void an_event_that_failed_too_often_is_dead(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=2", "one two");
    nack(p, 1);
    assert_string_equal(heard(p), "settled orders 1 nacked; deliver orders d3 s1 a2 one");
    nack(p, 3);
    assert_string_equal(heard(p), "settled orders 3 nacked");
    struct queue_info info = describe(d, "orders");
    assert_int_equal(info.dead, 1);
    assert_int_equal(info.bytes, 3);
    assert_int_equal(info.ledger.dead_lettered, 1);
    assert_int_equal(info.ledger.remaining, 1);
    assert_string_equal(dead(d), "1:one/2 max_deliveries f2 c0 0 ");
}

static void a_dead_event_keeps_status_and_error(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "one");
    frame_add_receipt_ack(&p->out, &(struct receipt_ack){ .request = 7,
                                                          .kind = SETTLE_NACK,
                                                          .receipt = span_str(receipt_of(p, "orders", 1)),
                                                          .status = 503,
                                                          .error = span_str("no luck") });
    push(p);
    assert_non_null(strstr(heard(p), "receipt 7 nacked"));
    assert_string_equal(dead(d), "1:one/1 max_deliveries f1 c0 503 no luck");
}

static void status_and_error_of_a_nack_by_number_are_kept_with_each_event(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "one two three");
    struct open_body open = frame_begin_ack(&p->out, span_str("orders"), known(p, "orders")->consumer_epoch);
    frame_add_settle(&p->out, &(struct settle){ SETTLE_NACK, 1, 2, 0, 503, span_str("no luck") });
    frame_add_settle(&p->out, &(struct settle){ SETTLE_DROP, 3, 1, 0, 404, span_str("") });
    frame_end(&p->out, open);
    push(p);
    assert_string_equal(heard(p), "settled orders 1..2 nacked; settled orders 3 dropped");
    assert_string_equal(dead(d), "1:one/1 max_deliveries f1 c0 503 no luck; 2:two/1 max_deliveries f1 c0 503 no luck; "
                                 "3:three/1 dropped_by_app f1 c0 404 ");
}

static void a_long_error_is_cut_between_characters(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "one");
    char error[300] = "x";
    for (unsigned i = 1; i + 2 < sizeof error; i += 2)
        memcpy(error + i, "\xc3\xa9", 2);
    frame_add_receipt_ack(&p->out, &(struct receipt_ack){ .kind = SETTLE_NACK,
                                                          .receipt = span_str(receipt_of(p, "orders", 1)),
                                                          .error = span_of(error, 299) });
    push(p);
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek.state = STATE_DEAD };
    assert_int_equal(strlen(ask(d, &r)->u.peeked.events[0].trouble.error), 249);
}

static void an_error_that_is_not_utf8_is_not_kept(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "one");
    frame_add_receipt_ack(&p->out, &(struct receipt_ack){ .kind = SETTLE_NACK,
                                                          .receipt = span_str(receipt_of(p, "orders", 1)),
                                                          .status = 500,
                                                          .error = span_str("\xff\xfe") });
    push(p);
    assert_string_equal(dead(d), "1:one/1 max_deliveries f1 c0 500 ");
}

static void a_death_makes_room_for_waiting_publishers(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1 capacity=1", "one");
    publish(p, "orders", 1000, "two");
    assert_string_equal(heard(p), "");
    nack(p, 1);
    assert_non_null(strstr(heard(p), "confirm orders 2 -> 2"));
}

static void a_consumer_that_vanishes_counts_apart(void **state)
{
    struct driver *d = *state;
    delivered(d, "max_crashes=2 max_deliveries=1", "one");
    for (unsigned i = 0; i < 2; i++) {
        struct peer *k = d->peers[i];
        k->silent = true;
        pass(d, 11000);
        assert_false(is_attached(k));
        if (i == 1)
            break;
        struct peer *next = attached(d, "next");
        consume(next, "orders");
        credit(next, "orders", 10);
        assert_non_null(strstr(heard(next), "deliver orders d1 s1 a2 one"));
    }
    assert_string_equal(dead(d), "1:one/2 crash_loop f0 c2 0 ");
}

static void an_orderly_leave_counts_as_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_crashes=1 max_deliveries=1", "one");
    leave(p, "orders");
    consume(p, "orders");
    credit(p, "orders", 1);
    bye(p);
    struct peer *next = attached(d, "next");
    consume(next, "orders");
    credit(next, "orders", 1);
    assert_non_null(strstr(heard(next), "s1 a3 one"));
    assert_string_equal(dead(d), "");
}

static void a_full_dead_store_keeps_events_in_their_queue(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1 dead_capacity=1", "one two");
    nack(p, 1);
    nack(p, 2);
    struct queue_info info = describe(d, "orders");
    assert_int_equal(info.dead, 1);
    assert_int_equal(info.delayed, 1);
    pass(d, 20000);
    assert_null(strstr(heard(p), "deliver")); /* it is not tried again either */
    struct request r = { .call = CALL_PURGE, .queue = "orders", .u.purge.dead = true };
    assert_int_equal(ask(d, &r)->u.purged.purged, 1);
    pass(d, 5000);
    assert_string_equal(dead(d), "2:two/1 max_deliveries f1 c0 0 ");
}

static void an_event_that_is_acked_in_the_end_leaves_no_trace(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=2", "one two");
    nack(p, 1);
    ack(p, "orders", 3, 1);
    assert_null(queue_find(d->core, span_str("orders"))->troubles);
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 1 purged 0 dropped 0 remaining 1");
}

static void a_dead_event_s_receipt_settles_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "one");
    nack(p, 1);
    heard(p);
    settle_by(p, 5, SETTLE_ACK, receipt_of(p, "orders", 1), 0);
    assert_string_equal(heard(p), "receipt 5 expired");
    assert_int_equal(describe(d, "orders").dead, 1);
}

/* ------------------------------------------------------------------ drops and deferrals */

static void a_drop_makes_the_event_dead_at_once(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=10", "one two");
    settle(p, "orders", SETTLE_DROP, 1, 1, 0);
    frame_add_receipt_ack(&p->out, &(struct receipt_ack){ .request = 8,
                                                          .kind = SETTLE_DROP,
                                                          .receipt = span_str(receipt_of(p, "orders", 2)),
                                                          .status = 404,
                                                          .error = span_str("who is that") });
    push(p);
    assert_string_equal(heard(p), "settled orders 1 dropped; receipt 8 dropped");
    assert_string_equal(dead(d), "1:one/1 dropped_by_app f1 c0 0 ; 2:two/1 dropped_by_app f1 c0 404 who is that");
    assert_int_equal(describe(d, "orders").ledger.dead_lettered, 2);
    assert_int_equal(describe(d, "orders").ledger.remaining, 0);
    settle(p, "orders", SETTLE_DROP, 1, 1, 0);
    assert_string_equal(heard(p), "settled orders 1 expired");
}

static void a_drop_into_a_full_store_waits_for_room_and_is_not_redelivered(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "dead_capacity=1", "one two");
    settle(p, "orders", SETTLE_DROP, 1, 2, 0);
    assert_string_equal(heard(p), "settled orders 1..2 dropped");
    assert_int_equal(describe(d, "orders").delayed, 1);
    pass(d, 20000);
    assert_null(strstr(heard(p), "deliver"));
    struct request r = { .call = CALL_PURGE, .queue = "orders", .u.purge.dead = true };
    ask(d, &r);
    pass(d, 5000);
    assert_string_equal(dead(d), "2:two/1 dropped_by_app f1 c0 0 ");
}

static void an_event_that_was_dropped_and_redriven_is_like_any_other(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "backoff=0s", "one");
    settle(p, "orders", SETTLE_DROP, 1, 1, 0);
    heard(p);
    assert_string_equal(redrive(d, NULL, 0, "", false), "redriven 1 left 0");
    assert_string_equal(heard(p), "deliver orders d2 s2 a1 one");
    nack(p, 2);
    assert_string_equal(heard(p), "settled orders 2 nacked; deliver orders d3 s2 a2 one");
}

static void a_deferral_only_delays(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "one two");
    settle(p, "orders", SETTLE_DEFER, 1, 1, 2000);
    settle_by(p, 7, SETTLE_DEFER, receipt_of(p, "orders", 2), 0);
    assert_string_equal(heard(p), "settled orders 1 deferred; receipt 7 deferred; deliver orders d3 s2 a2 two");
    assert_int_equal(describe(d, "orders").delayed, 1);
    pass(d, 1999);
    assert_string_equal(heard(p), "");
    pass(d, 1);
    assert_string_equal(heard(p), "deliver orders d4 s1 a2 one");
    for (uint64_t delivery = 4; delivery < 24; delivery++)
        settle(p, "orders", SETTLE_DEFER, delivery, 1, 0);
    heard(p);
    assert_string_equal(dead(d), "");
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek.state = STATE_IN_FLIGHT };
    assert_int_equal(ask(d, &r)->u.peeked.count, 2);
    assert_false(trouble_is(&d->reply.u.peeked.events[0].trouble));
    assert_false(trouble_is(&d->reply.u.peeked.events[1].trouble));
    ack(p, "orders", 24, 1);
    ack(p, "orders", 3, 1);
    assert_null(queue_find(d->core, span_str("orders"))->troubles);
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 2 purged 0 dropped 0 remaining 0");
}

static void a_delay_is_at_most_twelve_hours(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "", "one");
    settle(p, "orders", SETTLE_DEFER, 1, 1, UINT64_MAX);
    heard(p);
    pass(d, 12 * 3600 * 1000);
    assert_non_null(strstr(heard(p), "deliver orders d2 s1 a2 one"));
}

/* ------------------------------------------------------------------ redrive and purge */

static struct peer *with_dead(struct driver *d, const char *settings, const char *words, uint64_t count)
{
    struct peer *p = delivered(d, settings, words);
    for (uint64_t i = 1; i <= count; i++)
        nack(p, i);
    heard(p);
    assert_int_equal(describe(d, "orders").dead, count);
    return p;
}

static void redriven_events_are_new_ones_at_the_tail(void **state)
{
    struct driver *d = *state;
    struct peer *p = with_dead(d, "max_deliveries=1", "one two", 2);
    assert_string_equal(redrive(d, NULL, 0, "", true), "redriven 2 left 0");
    assert_int_equal(describe(d, "orders").dead, 2); /* that was a dry run */
    assert_string_equal(redrive(d, NULL, 0, "", false), "redriven 2 left 0");
    assert_non_null(strstr(heard(p), "s3..4 a1 one two"));
    assert_int_equal(describe(d, "orders").dead, 0);
    assert_int_equal(describe(d, "orders").ledger.accepted, 4);
    assert_int_equal(describe(d, "orders").ledger.dead_lettered, 2);
}

static void some_are_redriven_by_sequence(void **state)
{
    struct driver *d = *state;
    struct peer *p = with_dead(d, "max_deliveries=1", "one two three", 3);
    assert_string_equal(redrive(d, (uint64_t[]){ 3, 99, 1, 3 }, 4, "", false), "redriven 2 left 0");
    assert_non_null(strstr(heard(p), "s4..5 a1 one three"));
    assert_string_equal(dead(d), "2:two/1 max_deliveries f1 c0 0 ");
}

static void dead_events_can_be_redriven_to_another_queue(void **state)
{
    struct driver *d = *state;
    with_dead(d, "max_deliveries=1", "one", 1);
    assert_string_equal(redrive(d, NULL, 0, "parking", false), "unknown_queue");
    declare(d, "parking", "");
    assert_string_equal(redrive(d, NULL, 0, "parking", false), "redriven 1 left 0");
    assert_string_equal(ledger(d, "parking"), "accepted 1 acked 0 purged 0 dropped 0 remaining 1");
    operate(d, CALL_CLOSE, "parking");
    assert_string_equal(redrive(d, NULL, 0, "parking", false), "closed");
}

static void as_many_are_redriven_as_there_is_room_for(void **state)
{
    struct driver *d = *state;
    with_dead(d, "max_deliveries=1", "one two three", 3);
    declare(d, "parking", "capacity=2");
    assert_string_equal(redrive(d, NULL, 0, "parking", false), "redriven 2 left 1");
    assert_string_equal(dead(d), "3:three/1 max_deliveries f1 c0 0 ");
}

static void a_queue_with_dead_events_is_not_empty(void **state)
{
    struct driver *d = *state;
    with_dead(d, "max_deliveries=1", "one", 1);
    assert_string_equal(operate(d, CALL_DELETE, "orders"), "not_empty");
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_int_equal(broker(d).memory_used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_failed_event_is_redelivered_within_its_back_off),
        driven(back_off_doubles_up_to_its_maximum_with_full_jitter),
        driven(a_nack_s_own_delay_wins_over_the_back_off),
        driven(a_lease_that_runs_out_is_a_failure),
        driven(an_event_that_failed_too_often_is_dead),
        driven(a_dead_event_keeps_status_and_error),
        driven(status_and_error_of_a_nack_by_number_are_kept_with_each_event),
        driven(a_long_error_is_cut_between_characters),
        driven(an_error_that_is_not_utf8_is_not_kept),
        driven(a_death_makes_room_for_waiting_publishers),
        driven(a_consumer_that_vanishes_counts_apart),
        driven(an_orderly_leave_counts_as_nothing),
        driven(a_full_dead_store_keeps_events_in_their_queue),
        driven(an_event_that_is_acked_in_the_end_leaves_no_trace),
        driven(a_dead_event_s_receipt_settles_nothing),
        driven(a_drop_makes_the_event_dead_at_once),
        driven(a_drop_into_a_full_store_waits_for_room_and_is_not_redelivered),
        driven(an_event_that_was_dropped_and_redriven_is_like_any_other),
        driven(a_deferral_only_delays),
        driven(a_delay_is_at_most_twelve_hours),
        driven(redriven_events_are_new_ones_at_the_tail),
        driven(some_are_redriven_by_sequence),
        driven(dead_events_can_be_redriven_to_another_queue),
        driven(as_many_are_redriven_as_there_is_room_for),
        driven(a_queue_with_dead_events_is_not_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
