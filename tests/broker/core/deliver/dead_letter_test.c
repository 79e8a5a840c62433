/* Dead-letter queues in memory: which may be declared, what arrives there, and what is held back. */
#include "tests/broker/core/driver.h"

#include <stdio.h>

static const char *sentence(struct driver *d, const char *queue, const char *settings)
{
    static char text[400];
    struct request r = { .call = CALL_DECLARE, .queue = queue, .u.declare.settings = settings_of(settings) };
    const struct reply *reply = ask(d, &r);
    snprintf(text, sizeof text, "%s: %s", reason_info(reply->reason)->name, reply->detail);
    return text;
}

static void assert_says(const char *sentence, const char *what)
{
    if (!strstr(sentence, what))
        fail_msg("'%s' is not in \"%s\"", what, sentence);
}

/* "orders" has the dead-letter queue "parking"; returns a consumer of both, to which `words` are delivered. */
static struct peer *delivered(struct driver *d, const char *orders, const char *parking, const char *words)
{
    char settings[200];
    struct peer *p = attached(d, "p");
    snprintf(settings, sizeof settings, "dead_letter=parking %s", orders);
    assert_string_equal(declare(d, "parking", parking), "ok");
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

static const char *parked(struct peer *p)
{
    consume(p, "parking");
    credit(p, "parking", 100);
    return heard(p);
}

/* "1:dead_letter_full" of each event of "orders" that is delayed. */
static const char *held(struct driver *d)
{
    static char text[200];
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek.state = STATE_DELAYED };
    const struct reply *reply = ask(d, &r);
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < reply->u.peeked.count; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu:%s", i ? " " : "",
                                 (unsigned long long)reply->u.peeked.events[i].sequence,
                                 dead_hold_name(reply->u.peeked.events[i].trouble.held));
    return text;
}

/* ------------------------------------------------------------------ what may be declared */

static void a_queue_cannot_be_its_own_dead_letter_queue(void **state)
{
    struct driver *d = *state;
    declare(d, "orders", "");
    assert_says(sentence(d, "orders", "dead_letter=orders"), "invalid: queue 'orders' cannot be its own dead_letter");
    assert_says(sentence(d, "new", "dead_letter=new"), "invalid: queue 'new' cannot be its own dead_letter");
    assert_null(queue_find(d->core, span_str("new")));
}

static void circles_are_refused_and_named(void **state)
{
    struct driver *d = *state;
    declare(d, "c", "");
    declare(d, "b", "dead_letter=c");
    declare(d, "a", "dead_letter=b");
    assert_says(sentence(d, "b", "dead_letter=a"), "conflict: dead letters would go in a circle: b -> a -> b;");
    assert_says(sentence(d, "c", "dead_letter=a"), "conflict: dead letters would go in a circle: c -> a -> b -> c;");
    assert_string_equal(declare(d, "d", "dead_letter=a"), "ok"); /* no circle: nothing leads back to d */
    assert_string_equal(describe(d, "b").settings.dead_letter, "c");
}

static void a_circle_is_not_closed_by_a_queue_that_was_deleted_meanwhile(void **state)
{
    struct driver *d = *state;
    declare(d, "b", "");
    declare(d, "a", "dead_letter=b");
    struct request r = { .call = CALL_DELETE, .queue = "b", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_says(sentence(d, "b", "dead_letter=a"), "conflict: dead letters would go in a circle: b -> a -> b;");
    assert_string_equal(declare(d, "b", ""), "ok");
}

static void the_configuration_cannot_close_a_circle_either(void **state)
{
    struct driver *d = *state;
    struct error e = { "" };
    struct queue_settings settings = settings_of("dead_letter=a");
    declare(d, "b", "");
    declare(d, "a", "dead_letter=b");
    assert_false(core_configure_queue(d->core, "b", &settings, &e, d->now));
    assert_says(e.text, "b -> a -> b");
}

static void a_target_must_be_there(void **state)
{
    struct driver *d = *state;
    assert_says(sentence(d, "orders", "dead_letter=parking"),
                "unknown_queue: there is no queue 'parking' for the dead letters of 'orders'");
    assert_null(queue_find(d->core, span_str("orders")));
    d->core->config.auto_declare = true;
    assert_string_equal(declare(d, "orders", "dead_letter=parking"), "ok");
    assert_non_null(queue_find(d->core, span_str("parking")));
}

static void a_missing_target_does_not_prevent_other_changes(void **state)
{
    struct driver *d = *state;
    delivered(d, "", "", "one");
    struct request r = { .call = CALL_DELETE, .queue = "parking", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_string_equal(declare(d, "orders", "dead_letter=parking capacity=5"), "ok");
    assert_string_equal(declare(d, "orders", "dead_letter="), "ok");
    assert_string_equal(describe(d, "orders").settings.dead_letter, "");
}

static void a_target_is_deleted_by_force_only(void **state)
{
    struct driver *d = *state;
    delivered(d, "", "", "one");
    struct request r = { .call = CALL_DELETE, .queue = "parking" };
    const struct reply *reply = ask(d, &r);
    assert_int_equal(reply->reason, REASON_conflict);
    assert_says(reply->detail, "the dead letters of queue 'orders' go to this queue");
    r = (struct request){ .call = CALL_DELETE, .queue = "parking", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
}

/* ------------------------------------------------------------------ what dies */

static void a_dead_letter_says_what_went_wrong(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "", "one two");
    frame_add_receipt_ack(&p->out, &(struct receipt_ack){ .kind = SETTLE_NACK,
                                                          .receipt = span_str(receipt_of(p, "orders", 2)),
                                                          .status = 503,
                                                          .error = span_str("no luck") });
    push(p);
    heard(p);
    assert_says(parked(p), "deliver parking d1 s1 a1 two{orders/2 max_deliveries no luck}");
    assert_int_equal(describe(d, "orders").dead, 0);
    assert_int_equal(describe(d, "orders").ledger.dead_lettered, 1);
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 0 dropped 0 remaining 1");
    assert_string_equal(ledger(d, "parking"), "accepted 1 acked 0 purged 0 dropped 0 remaining 1");
}

static void a_dead_letter_begins_a_new_life(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "max_deliveries=2", "one");
    nack(p, 1);
    assert_says(parked(p), "deliver parking d1 s1 a1 one{");
    settle(p, "parking", SETTLE_NACK, 1, 1, 0);
    assert_says(heard(p), "deliver parking d2 s1 a2 one{");
    settle(p, "parking", SETTLE_NACK, 2, 1, 0);
    assert_int_equal(describe(d, "parking").dead, 1); /* and dies there, into the dead store */
}

static void a_dead_letter_goes_on_along_a_chain(void **state)
{
    struct driver *d = *state;
    declare(d, "last", "");
    struct peer *p = delivered(d, "max_deliveries=1", "max_deliveries=1 dead_letter=last", "one");
    nack(p, 1);
    parked(p);
    settle(p, "parking", SETTLE_NACK, 1, 1, 0);
    consume(p, "last");
    credit(p, "last", 1);
    assert_says(heard(p), "deliver last d1 s1 a1 one{");
    /* These words are no CloudEvents, so no attributes are replaced; see tests/proto/dead_letter_test.c for events. */
    assert_int_equal(broker(d).ledger.dead_lettered, 2);
    assert_int_equal(broker(d).ledger.accepted, 3);
}

static void a_crash_loop_makes_a_dead_letter_too(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_crashes=1", "", "one");
    p->silent = true;
    pass(d, 11000);
    assert_says(parked(attached(d, "q")), "one{orders/1 crash_loop}");
}

static void a_move_to_the_dead_letter_queue_makes_room_for_waiters(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1 capacity=1", "", "one");
    publish(p, "orders", 1000, "two");
    nack(p, 1);
    assert_says(heard(p), "confirm orders 2 -> 2");
}

static void earlier_dead_events_stay_in_the_dead_store(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "", "one two");
    assert_string_equal(declare(d, "orders", "dead_letter="), "ok");
    nack(p, 1);
    assert_string_equal(declare(d, "orders", "dead_letter=parking"), "ok");
    nack(p, 2);
    assert_int_equal(describe(d, "orders").dead, 1);
    assert_int_equal(describe(d, "parking").ready, 1);
}

/* ------------------------------------------------------------------ what is held back */

static void a_full_target_holds_events_back(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "capacity=1", "one two");
    nack(p, 1);
    nack(p, 2);
    assert_string_equal(held(d), "2:dead_letter_full");
    assert_int_equal(describe(d, "orders").dead_letter_held, 1);
    pass(d, 20000);
    assert_null(strstr(heard(p), "deliver orders"));
    assert_says(parked(p), "one{orders/1");
    ack(p, "parking", 1, 1);
    pass(d, 5000);
    assert_says(heard(p), "two{orders/2 max_deliveries}");
    assert_int_equal(describe(d, "orders").dead_letter_held, 0);
}

static void a_closed_target_holds_events_back(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "", "one");
    operate(d, CALL_CLOSE, "parking");
    nack(p, 1);
    assert_string_equal(held(d), "1:dead_letter_closed");
    operate(d, CALL_OPEN, "parking");
    pass(d, 5000);
    assert_says(parked(p), "one{");
}

static void a_missing_target_holds_events_back_until_it_is_back(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "", "one");
    struct request r = { .call = CALL_DELETE, .queue = "parking", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    nack(p, 1);
    pass(d, 60000);
    assert_string_equal(held(d), "1:dead_letter_missing");
    declare(d, "parking", "");
    pass(d, 5000);
    assert_says(parked(p), "one{");
}

static void an_event_too_large_for_the_target_is_held(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "capacity_bytes=1024", "big:1000");
    nack(p, 1);
    assert_string_equal(held(d), "1:dead_letter_full"); /* with the added attributes it is too large */
    declare(d, "parking", "capacity_bytes=4096");
    pass(d, 5000);
    assert_int_equal(describe(d, "parking").ready, 1);
}

static void events_that_are_held_back_can_be_purged(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "capacity=1", "one two three");
    nack(p, 1);
    nack(p, 2);
    struct request r = { .call = CALL_PURGE, .queue = "orders" };
    assert_int_equal(ask(d, &r)->u.purged.purged, 1); /* the third is in flight */
    assert_int_equal(describe(d, "orders").dead_letter_held, 0);
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 1 dropped 0 remaining 1");
}

static void a_higher_max_deliveries_lets_a_held_event_come_again(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "capacity=1", "one two");
    nack(p, 1);
    nack(p, 2);
    heard(p);
    declare(d, "orders", "max_deliveries=5");
    pass(d, 5000);
    assert_says(heard(p), "deliver orders d3 s2 a2 two");
    assert_int_equal(describe(d, "orders").dead_letter_held, 0);
}

static void deleting_a_source_leaves_what_it_sent(void **state)
{
    struct driver *d = *state;
    struct peer *p = delivered(d, "max_deliveries=1", "capacity=1", "one two");
    nack(p, 1);
    nack(p, 2);
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_says(parked(p), "one{orders/1 max_deliveries}");
    assert_string_equal(operate(d, CALL_DELETE, "parking"), "not_empty");
}

static void a_budget_with_no_room_left_does_not_stop_deaths(void **state)
{
    struct driver *d = *state;
    d->config.memory_budget = 20000;
    driver_restart(d);
    struct peer *p = delivered(d, "max_deliveries=1", "", "big:6000 big:6000");
    do
        publish(p, "orders", 0, "big:100");
    while (!strstr(heard(p), "budget"));
    nack(p, 1);
    assert_int_equal(describe(d, "parking").ready, 1);
}

/* ------------------------------------------------------------------ what is dropped for want of room */

static void an_event_that_drop_oldest_drops_is_dead_and_counts_as_dropped(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=2 overflow=drop_oldest dead_letter_dropped=true");
    publish(p, "orders", 0, "one two three");
    assert_int_equal(describe(d, "orders").dead, 1);
    assert_int_equal(describe(d, "orders").ledger.dead_lettered, 0);
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 0 dropped 1 remaining 2");
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek.state = STATE_DEAD };
    const struct trouble_info *t = &ask(d, &r)->u.peeked.events[0].trouble;
    assert_string_equal(dead_reason_name(t->dead), "dropped");
    assert_int_equal(t->last_ms, d->now.wall.ms);
}

static void a_dropped_event_can_become_a_dead_letter(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "parking", "");
    declare(d, "orders", "capacity=2 overflow=drop_oldest dead_letter_dropped=true dead_letter=parking");
    publish(p, "orders", 0, "one two three");
    assert_says(parked(p), "one{orders/1 dropped}");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 0 dropped 1 remaining 2");
}

static void without_room_for_the_dropped_event_the_publish_is_refused(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=2 overflow=drop_oldest dead_letter_dropped=true dead_capacity=1");
    publish(p, "orders", 1000, "one two three four");
    assert_says(heard(p), "refuse orders 4 full 2/2");
    assert_int_equal(describe(d, "orders").dead_letter_held, 0);
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 0 dropped 1 remaining 2");
    consume(p, "orders");
    credit(p, "orders", 9);
    assert_says(heard(p), "deliver orders d1..2 s2..3 a1 two three");
}

static void an_event_that_failed_and_cannot_be_dropped_is_unchanged(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1 overflow=drop_oldest dead_letter_dropped=true dead_capacity=0");
    consume(p, "orders");
    credit(p, "orders", 1);
    publish(p, "orders", 0, "one");
    nack(p, 1);
    heard(p);
    publish(p, "orders", 0, "two");
    assert_says(heard(p), "refuse orders 2 full");
    struct request r = { .call = CALL_PEEK, .queue = "orders" };
    const struct trouble_info *t = &ask(d, &r)->u.peeked.events[0].trouble;
    assert_int_equal(t->failures, 1);
    assert_int_equal(t->held, HOLD_NOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_queue_cannot_be_its_own_dead_letter_queue),
        driven(circles_are_refused_and_named),
        driven(a_circle_is_not_closed_by_a_queue_that_was_deleted_meanwhile),
        driven(the_configuration_cannot_close_a_circle_either),
        driven(a_target_must_be_there),
        driven(a_missing_target_does_not_prevent_other_changes),
        driven(a_target_is_deleted_by_force_only),
        driven(a_dead_letter_says_what_went_wrong),
        driven(a_dead_letter_begins_a_new_life),
        driven(a_dead_letter_goes_on_along_a_chain),
        driven(a_crash_loop_makes_a_dead_letter_too),
        driven(a_move_to_the_dead_letter_queue_makes_room_for_waiters),
        driven(earlier_dead_events_stay_in_the_dead_store),
        driven(a_full_target_holds_events_back),
        driven(a_closed_target_holds_events_back),
        driven(a_missing_target_holds_events_back_until_it_is_back),
        driven(an_event_too_large_for_the_target_is_held),
        driven(events_that_are_held_back_can_be_purged),
        driven(a_higher_max_deliveries_lets_a_held_event_come_again),
        driven(deleting_a_source_leaves_what_it_sent),
        driven(a_budget_with_no_room_left_does_not_stop_deaths),
        driven(an_event_that_drop_oldest_drops_is_dead_and_counts_as_dropped),
        driven(a_dropped_event_can_become_a_dead_letter),
        driven(without_room_for_the_dropped_event_the_publish_is_refused),
        driven(an_event_that_failed_and_cannot_be_dropped_is_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
