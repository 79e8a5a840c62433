/* Expired events in memory that are dead-lettered: in the dead store, in another queue, or held while there is no
 * room. */
#include "tests/broker/core/driver.h"

#include <stdio.h>

static void assert_says(const char *sentence, const char *what)
{
    if (!strstr(sentence, what))
        fail_msg("'%s' is not in \"%s\"", what, sentence);
}

static struct peer *keeping(struct driver *d, const char *settings)
{
    char text[200];
    snprintf(text, sizeof text, "dead_letter_expired=true %s", settings);
    struct peer *p = attached(d, "p");
    assert_string_equal(declare(d, "orders", text), "ok");
    return p;
}

/* The events in that state as text: why they are dead or held, and ms until it is tried again: "1 expired +0; 2
 * dead_letter_full +5000". */
static const char *seen_in(struct driver *d, enum event_state state)
{
    static char text[400];
    struct request r = { .call = CALL_PEEK, .queue = "orders", .u.peek.state = state };
    const struct reply *reply = ask(d, &r);
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < reply->u.peeked.count; i++) {
        const struct peeked *e = &reply->u.peeked.events[i];
        const char *why = e->trouble.dead ? dead_reason_name(e->trouble.dead) : dead_hold_name(e->trouble.held);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu %s %+lld", i ? "; " : "",
                                 (unsigned long long)e->sequence, why,
                                 e->ready_ms ? (long long)(e->ready_ms - d->now.wall.ms) : 0LL);
    }
    return text;
}

/* "dead 1 held 0 delayed 0 expired 1"; asserts that nothing counts as dead-lettered. */
static const char *books(struct driver *d)
{
    static char text[200];
    struct queue_info q = describe(d, "orders");
    assert_int_equal(q.ledger.dead_lettered, 0);
    snprintf(text, sizeof text, "dead %llu held %llu delayed %llu expired %llu", (unsigned long long)q.dead,
             (unsigned long long)q.dead_letter_held, (unsigned long long)q.delayed,
             (unsigned long long)q.ledger.expired);
    return text;
}

static void what_expires_is_dead_and_counts_as_expired(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "");
    publish(p, "orders", 0, "one!50 two~90!70 three");
    pass(d, 49);
    assert_string_equal(books(d), "dead 0 held 0 delayed 1 expired 0");
    pass(d, 21);
    assert_string_equal(books(d), "dead 2 held 0 delayed 0 expired 2");
    assert_string_equal(seen_in(d, STATE_DEAD), "1 expired +0; 2 expired +0");
    assert_int_equal(describe(d, "orders").died[DEAD_EXPIRED], 2);
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 0 dropped 0 remaining 1");
    pass(d, 100);
    consume(p, "orders");
    credit(p, "orders", 9);
    assert_says(heard(p), "deliver orders d1 s3 a1 three");
}

static void without_the_setting_it_is_gone(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "one!50");
    pass(d, 50);
    assert_string_equal(books(d), "dead 0 held 0 delayed 0 expired 1");
}

static void it_may_go_to_another_queue(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "parking", "");
    declare(d, "orders", "dead_letter=parking dead_letter_expired=true ttl=50ms");
    publish(p, "orders", 0, "one two");
    heard(p);
    pass(d, 50);
    assert_string_equal(books(d), "dead 0 held 0 delayed 0 expired 2");
    consume(p, "parking");
    credit(p, "parking", 9);
    const char *said = heard(p);
    assert_says(said, "one{orders/1 expired}");
    assert_says(said, "two{orders/2 expired}");
}

static void without_room_it_stays_delayed_and_nobody_gets_it(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "ttl=50ms dead_capacity=1");
    publish(p, "orders", 0, "one two three");
    pass(d, 50);
    assert_string_equal(books(d), "dead 1 held 2 delayed 2 expired 1");
    assert_string_equal(seen_in(d, STATE_DELAYED), "2 dead_letter_full +5000; 3 dead_letter_full +5000");
    heard(p);
    consume(p, "orders");
    credit(p, "orders", 9);
    declare(d, "orders", "dead_capacity=2");
    pass(d, 4999);
    assert_string_equal(books(d), "dead 1 held 2 delayed 2 expired 1");
    pass(d, 1);
    assert_string_equal(books(d), "dead 2 held 1 delayed 1 expired 2");
    assert_null(strstr(heard(p), "deliver"));
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 0 dropped 0 remaining 1");
}

static void what_is_delayed_beside_it_is_told_by_itself(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "ttl=50ms dead_capacity=1");
    publish(p, "orders", 0, "one two~60000 three");
    pass(d, 50);
    assert_string_equal(seen_in(d, STATE_DELAYED), "2  +59950; 3 dead_letter_full +5000");
}

static void where_its_queue_is_closed_or_missing_it_stays_and_says_so(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "parking", "capacity=1");
    declare(d, "orders", "dead_letter=parking dead_letter_expired=true");
    publish(p, "orders", 0, "one!50 two!50");
    pass(d, 50);
    assert_string_equal(books(d), "dead 0 held 1 delayed 1 expired 1");
    assert_string_equal(seen_in(d, STATE_DELAYED), "2 dead_letter_full +5000");
    operate(d, CALL_CLOSE, "parking");
    pass(d, 5000);
    assert_string_equal(seen_in(d, STATE_DELAYED), "2 dead_letter_closed +5000");
    struct request r = { .call = CALL_DELETE, .queue = "parking", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    pass(d, 5000);
    assert_string_equal(seen_in(d, STATE_DELAYED), "2 dead_letter_missing +5000");
    declare(d, "parking", "");
    pass(d, 5000);
    assert_string_equal(books(d), "dead 0 held 0 delayed 0 expired 2");
    assert_string_equal(ledger(d, "parking"), "accepted 1 acked 0 purged 0 dropped 0 remaining 1");
}

static void its_delay_does_not_end_while_it_is_held(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "dead_capacity=0");
    consume(p, "orders");
    credit(p, "orders", 9);
    publish(p, "orders", 0, "one~90!50");
    pass(d, 200);
    assert_string_equal(books(d), "dead 0 held 1 delayed 1 expired 0");
    assert_null(strstr(heard(p), "deliver"));
}

static void one_that_is_held_is_cancelled_or_purged(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "ttl=50ms dead_capacity=0");
    publish(p, "orders", 0, "one two");
    pass(d, 50);
    struct request r = { .call = CALL_CANCEL, .queue = "orders", .u.cancel.sequence = 1 };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_string_equal(books(d), "dead 0 held 1 delayed 1 expired 0");
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(books(d), "dead 0 held 0 delayed 0 expired 0");
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 2 dropped 0 remaining 0");
    pass(d, 10000);
    assert_int_equal(d->core->delay_timers.count, 0);
}

static void held_ones_go_when_they_are_not_kept_any_more(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "ttl=50ms dead_capacity=0");
    publish(p, "orders", 0, "one two");
    pass(d, 50);
    declare(d, "orders", "dead_letter_expired=false");
    pass(d, 5000);
    assert_string_equal(books(d), "dead 0 held 0 delayed 0 expired 2");
}

static void one_in_flight_is_kept_when_it_comes_back(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "backoff=1h dead_capacity=2");
    consume(p, "orders");
    credit(p, "orders", 9);
    publish(p, "orders", 0, "one!50 two!50 three!50 four!50");
    pass(d, 60);
    ack(p, "orders", 1, 1);
    settle(p, "orders", SETTLE_NACK, 2, 1, 0);
    settle(p, "orders", SETTLE_RELEASE, 3, 1, 0);
    leave(p, "orders");
    turn(d);
    assert_string_equal(books(d), "dead 2 held 1 delayed 1 expired 2");
    assert_string_equal(seen_in(d, STATE_DEAD), "2 expired +0; 3 expired +0");
    assert_string_equal(ledger(d, "orders"), "accepted 4 acked 1 purged 0 dropped 0 remaining 1");
}

static void one_that_is_held_holds_up_neither_its_key_nor_its_partition(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "ordered=key partitions=2 backoff=1h backoff_max=1h dead_capacity=0");
    consume(p, "orders");
    credit(p, "orders", 1);
    publish(p, "orders", 0, "one#a!60 two#a!60 three#a four#a!70");
    settle(p, "orders", SETTLE_NACK, 1, 1, 0); /* one blocks its key */
    credit(p, "orders", 9);
    heard(p);
    pass(d, 49);
    assert_null(strstr(heard(p), "deliver"));
    pass(d, 11); /* one and two expired */
    assert_string_equal(books(d), "dead 0 held 2 delayed 2 expired 0");
    assert_says(heard(p), "s3 a1 three");
    pass(d, 10);
    ack(p, "orders", 2, 1);
    assert_null(strstr(heard(p), "deliver"));
    assert_string_equal(books(d), "dead 0 held 3 delayed 3 expired 0");
    declare(d, "orders", "dead_capacity=3");
    pass(d, 5000);
    assert_string_equal(seen_in(d, STATE_DEAD), "1 expired +0; 2 expired +0; 4 expired +0");
    assert_string_equal(ledger(d, "orders"), "accepted 4 acked 1 purged 0 dropped 0 remaining 0");
}

static void one_that_was_held_for_another_reason_counts_once(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "max_deliveries=1 dead_capacity=0");
    consume(p, "orders");
    credit(p, "orders", 9);
    publish(p, "orders", 0, "one!50");
    settle(p, "orders", SETTLE_NACK, 1, 1, 0);
    assert_string_equal(books(d), "dead 0 held 1 delayed 1 expired 0");
    pass(d, 50);
    assert_string_equal(books(d), "dead 0 held 1 delayed 1 expired 0");
    declare(d, "orders", "dead_capacity=1");
    pass(d, 5000);
    assert_string_equal(books(d), "dead 1 held 0 delayed 0 expired 1");
    assert_string_equal(seen_in(d, STATE_DEAD), "1 expired +0");
}

static void a_redriven_one_does_not_expire_again(void **state)
{
    struct driver *d = *state;
    struct peer *p = keeping(d, "");
    publish(p, "orders", 0, "one!50");
    pass(d, 50);
    struct request r = { .call = CALL_REDRIVE, .queue = "orders", .u.redrive.reason = DEAD_EXPIRED };
    ask(d, &r);
    pass(d, 100);
    struct queue_info q = describe(d, "orders");
    assert_true(q.dead == 0 && q.ready == 1 && q.ledger.accepted == 2 && q.ledger.expired == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(what_expires_is_dead_and_counts_as_expired),
        driven(without_the_setting_it_is_gone),
        driven(it_may_go_to_another_queue),
        driven(without_room_it_stays_delayed_and_nobody_gets_it),
        driven(what_is_delayed_beside_it_is_told_by_itself),
        driven(where_its_queue_is_closed_or_missing_it_stays_and_says_so),
        driven(its_delay_does_not_end_while_it_is_held),
        driven(one_that_is_held_is_cancelled_or_purged),
        driven(held_ones_go_when_they_are_not_kept_any_more),
        driven(one_in_flight_is_kept_when_it_comes_back),
        driven(one_that_is_held_holds_up_neither_its_key_nor_its_partition),
        driven(one_that_was_held_for_another_reason_counts_once),
        driven(a_redriven_one_does_not_expire_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
