/* Operating queues: purge, delete, pause, close; and that a repeated request is done once. */
#include "tests/broker/core/driver.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ purge and delete */

static void purge_takes_ready_and_delayed_but_not_what_is_in_flight(void **state)
{
    struct driver *d = *state;
    struct peer *p = mixed(d);
    const struct reply *reply = ask(d, &(struct request){ .call = CALL_PURGE, .queue = "orders" });
    assert_int_equal(reply->result, RESULT_PURGED);
    assert_int_equal(reply->u.purged.purged, 3);
    assert_string_equal(ledger(d, "orders"), "accepted 6 acked 1 purged 3 dropped 0 remaining 2");
    credit(p, "orders", 9);
    ack(p, "orders", 1, 2);
    pass(d, 6000); /* the delayed one does not come back */
    assert_string_equal(heard(p), "idle orders g2; settled orders 1..2 acked");
    assert_string_equal(ledger(d, "orders"), "accepted 6 acked 3 purged 3 dropped 0 remaining 0");
    assert_int_equal(describe(d, "orders").bytes, 0);
}

static void an_event_in_flight_during_a_purge_can_be_redelivered(void **state)
{
    struct driver *d = *state;
    struct peer *p = mixed(d);
    operate(d, CALL_PURGE, "orders");
    settle(p, "orders", SETTLE_NACK, 1, 1, 0);
    credit(p, "orders", 5);
    assert_string_equal(heard(p), "settled orders 1 nacked; deliver orders d5 s1 a2 one");
}

static void a_purge_lets_waiters_in(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 60000, "one two");
    heard(p);
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "confirm orders 2 -> 2");
}

static void a_queue_with_events_is_deleted_by_force_only(void **state)
{
    struct driver *d = *state;
    mixed(d);
    assert_string_equal(operate(d, CALL_DELETE, "orders"), "not_empty");
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_string_equal(operate(d, CALL_DESCRIBE, "orders"), "unknown_queue");
    assert_string_equal(ledger(d, NULL), "accepted 6 acked 1 purged 5 dropped 0 remaining 0");
}

static void deleting_tells_waiters_consumers_and_stand_bys(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k"), *s = attached(d, "s");
    declare(d, "orders", "capacity=1");
    consume(k, "orders");
    consume(s, "orders");
    credit(k, "orders", 1);
    publish(p, "orders", 60000, "one two +three");
    heard(p), heard(k), heard(s);
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_string_equal(heard(p), "refuse orders 2..3 deleted 1/1");
    assert_string_equal(heard(k), "turn orders none deleted");
    assert_string_equal(heard(s), "turn orders none deleted");
    ack(k, "orders", 1, 1); /* crossed the deletion */
    assert_string_equal(heard(k), "settled orders 1 expired");
    assert_true(is_attached(k));
}

static void a_queue_declared_anew_begins_anew(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    char old[RECEIPT_MAX_SIZE];
    declare(d, "orders", "");
    publish(p, "orders", 0, "one");
    consume(p, "orders");
    credit(p, "orders", 1);
    snprintf(old, sizeof old, "%s", receipt_of(p, "orders", 1));
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    ask(d, &r);
    declare(d, "orders", "");
    publish(p, "orders", 0, "two");
    consume(p, "orders");
    credit(p, "orders", 1);
    heard(p);
    settle_by(p, 7, SETTLE_ACK, old, 0); /* a receipt of the deleted queue: same sequence, same delivery number */
    assert_string_equal(heard(p), "receipt 7 expired");
    assert_string_equal(ledger(d, "orders"), "accepted 1 acked 0 purged 0 dropped 0 remaining 1");
}

/* ------------------------------------------------------------------ pause, resume, close, open */

static void pause_stops_delivery_and_resume_goes_on(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    consume(p, "orders");
    credit(p, "orders", 2);
    heard(p);
    assert_string_equal(operate(d, CALL_PAUSE, "orders"), "ok");
    assert_true(d->reply.u.queue.paused);
    assert_string_equal(operate(d, CALL_PAUSE, "orders"), "ok");
    publish(p, "orders", 0, "one two");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1");
    assert_string_equal(operate(d, CALL_RESUME, "orders"), "ok");
    assert_false(d->reply.u.queue.paused);
    assert_string_equal(heard(p), "deliver orders d1..2 s1..2 a1 one two");
}

static void acks_are_taken_while_paused(void **state)
{
    struct driver *d = *state;
    struct peer *p = mixed(d);
    operate(d, CALL_PAUSE, "orders");
    ack(p, "orders", 1, 1);
    settle(p, "orders", SETTLE_NACK, 2, 1, 0);
    credit(p, "orders", 9);
    const char *words = heard(p);
    assert_non_null(strstr(words, "settled orders 1 acked; settled orders 2 nacked"));
    assert_null(strstr(words, "deliver"));
}

static void close_refuses_publishers_while_the_receiver_drains(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "capacity=2");
    publish(p, "orders", 60000, "one two three");
    heard(p);
    assert_string_equal(operate(d, CALL_CLOSE, "orders"), "ok");
    assert_true(d->reply.u.queue.closed);
    assert_string_equal(heard(p), "refuse orders 3 closed 2/2"); /* the waiter, too */
    publish(p, "orders", 60000, "four");
    assert_string_equal(heard(p), "refuse orders 4 closed 2/2");
    consume(k, "orders");
    credit(k, "orders", 2);
    ack(k, "orders", 1, 2);
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1..2 s1..2 a1 one two; "
                                  "settled orders 1..2 acked");
    assert_string_equal(operate(d, CALL_OPEN, "orders"), "ok");
    assert_false(d->reply.u.queue.closed);
    publish(p, "orders", 0, "five");
    assert_string_equal(heard(p), "confirm orders 5 -> 3");
}

/* ------------------------------------------------------------------ requests repeated */

static void a_repeated_request_is_answered_alike_and_done_once(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "one two");
    struct request purge = { .call = CALL_PURGE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &purge)->u.purged.purged, 2);
    publish(p, "orders", 0, "three");
    assert_int_equal(ask(d, &purge)->u.purged.purged, 2); /* the same reply, not another purge */
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 2 dropped 0 remaining 1");
    purge.id.low = 6;
    assert_int_equal(ask(d, &purge)->u.purged.purged, 1);
}

static void refusals_of_mutations_are_repeated_too(void **state)
{
    struct driver *d = *state;
    struct request r = { .call = CALL_DELETE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &r)->reason, REASON_unknown_queue);
    declare(d, "orders", "");
    assert_int_equal(ask(d, &r)->reason, REASON_unknown_queue);
    assert_int_equal(describe(d, "orders").next_sequence, 1);
}

static void another_call_under_the_same_id_is_refused(void **state)
{
    struct driver *d = *state;
    declare(d, "orders", "");
    declare(d, "other", "");
    struct request pause = { .call = CALL_PAUSE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &pause)->reason, REASON_ok);
    struct request purge = { .call = CALL_PURGE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &purge)->reason, REASON_invalid);
    assert_non_null(strstr(d->reply.detail, "request id"));
    struct request elsewhere = { .call = CALL_PAUSE, .queue = "other", .id = { 5, 5 } };
    assert_int_equal(ask(d, &elsewhere)->reason, REASON_invalid);
    assert_false(describe(d, "other").paused);
    assert_int_equal(ask(d, &pause)->reason, REASON_ok); /* the first call's reply stays */
}

static void reads_are_never_answered_from_the_reply_cache(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    struct request r = { .call = CALL_DESCRIBE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &r)->u.queue.ready, 0);
    publish(p, "orders", 0, "one");
    assert_int_equal(ask(d, &r)->u.queue.ready, 1);
}

static void the_reply_cache_forgets_the_oldest_of_thousands(void **state)
{
    struct driver *d = *state;
    struct request first = { .call = CALL_DELETE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &first)->reason, REASON_unknown_queue);
    for (unsigned i = 0; i < REPLY_CACHE_MOST; i++)
        operate(d, CALL_PAUSE, "nowhere");
    assert_int_equal(d->core->reply_cache_count, REPLY_CACHE_MOST);
    declare(d, "orders", "");
    assert_int_equal(ask(d, &first)->reason, REASON_ok);
}

/* Replies may be large: one about a subscription has all subscriptions of its application. */
static void the_reply_cache_is_bounded_by_bytes_too(void **state)
{
    struct driver *d = *state;
    static uint8_t settings[SUBSCRIPTION_SETTINGS_MAX];
    struct request r = { .call = CALL_PUT_SUBSCRIPTION, .u.subscription.app = "shop" };
    char name[16];
    r.u.subscription.name = name;
    r.u.subscription.settings = span_of(settings, sizeof settings);
    for (uint64_t i = 1; i <= 200; i++) {
        snprintf(name, sizeof name, "s%u", (unsigned)i);
        r.id = (struct token){ 5, i };
        assert_int_equal(ask(d, &r)->reason, REASON_ok);
    }
    uint64_t bytes = 0;
    for (const struct cached_reply *a = d->core->reply_cache_list; a; a = a->next)
        bytes += a->request.size + a->reply.size;
    assert_in_range(bytes, 1, 16u << 20);
    assert_true(token_equal(d->core->reply_cache_list->prev->id, r.id)); /* the newest */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(purge_takes_ready_and_delayed_but_not_what_is_in_flight),
        driven(an_event_in_flight_during_a_purge_can_be_redelivered),
        driven(a_purge_lets_waiters_in),
        driven(a_queue_with_events_is_deleted_by_force_only),
        driven(deleting_tells_waiters_consumers_and_stand_bys),
        driven(a_queue_declared_anew_begins_anew),
        driven(pause_stops_delivery_and_resume_goes_on),
        driven(acks_are_taken_while_paused),
        driven(close_refuses_publishers_while_the_receiver_drains),
        driven(a_repeated_request_is_answered_alike_and_done_once),
        driven(refusals_of_mutations_are_repeated_too),
        driven(another_call_under_the_same_id_is_refused),
        driven(reads_are_never_answered_from_the_reply_cache),
        driven(the_reply_cache_forgets_the_oldest_of_thousands),
        driven(the_reply_cache_is_bounded_by_bytes_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
