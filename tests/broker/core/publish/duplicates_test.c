/* Duplicates from the publisher's side: confirmed with the first one's sequence, not accepted, and without taking
 * room. */
#include "tests/broker/core/driver.h"

#include <stdio.h>

static void the_second_gets_the_first_one_s_sequence(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    declare(d, "orders", "capacity=9");
    publish(p, "orders", 0, "zero one@1");
    publish(p, "orders", 0, "again@1");
    publish(q, "orders", 0, "again@1"); /* another producer's, too */
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1; confirm orders 3 -> 2 duplicate");
    assert_string_equal(heard(q), "confirm orders 1 -> 2 duplicate");
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
    assert_int_equal(describe(d, "orders").duplicates, 2);
}

static void without_a_hash_every_event_is_new(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    publish(p, "orders", 0, "one one one");
    assert_string_equal(heard(p), "confirm orders 1..3 -> 1");
    assert_int_equal(describe(d, "orders").duplicates, 0);
}

static void another_queue_has_a_window_of_its_own(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    declare(d, "mails", "capacity=9");
    publish(p, "orders", 0, "one@1");
    publish(p, "mails", 0, "one@1");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; confirm mails 1 -> 1");
}

static void duplicates_within_a_batch_are_told_apart(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    publish(p, "orders", 0, "one@1 +two@2 +again@1 +again@2 +three@3");
    assert_string_equal(heard(p),
                        "confirm orders 1..2 -> 1; confirm orders 3..4 -> 1 duplicate; confirm orders 5 -> 3");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 0 dropped 0 remaining 3");
}

static void after_the_window_it_is_new(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9 dedup_window=2s");
    publish(p, "orders", 0, "one@1");
    pass(d, 1900);
    publish(p, "orders", 0, "again@1");
    pass(d, 200);
    publish(p, "orders", 0, "again@1");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; confirm orders 2 -> 1 duplicate; confirm orders 3 -> 2");
}

static void a_window_of_0_takes_everything(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9 dedup_window=0s");
    publish(p, "orders", 0, "one@1 one@1");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1");
}

static void the_oldest_is_forgotten_early_and_counted(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9 dedup_entries=2");
    publish(p, "orders", 0, "one@1 two@2 three@3 again@1 again@3");
    assert_string_equal(heard(p), "confirm orders 1..4 -> 1; confirm orders 5 -> 3 duplicate");
    assert_int_equal(describe(d, "orders").dedup_evicted, 2);
}

static void consumed_or_purged_it_stays_a_duplicate(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *c = attached(d, "c");
    declare(d, "orders", "capacity=9");
    consume(c, "orders");
    credit(c, "orders", 1);
    publish(p, "orders", 0, "one@1 two@2");
    ack(c, "orders", 1, 1);
    operate(d, CALL_PURGE, "orders");
    publish(p, "orders", 0, "one@1 two@2");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1; confirm orders 3..4 -> 1 duplicate");
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 1 purged 1 dropped 0 remaining 0");
}

/* Otherwise a peer could make up ids that all collide. */
static void where_a_hash_falls_is_each_brokers_own(void **state)
{
    struct driver *d = *state;
    uint8_t keys[2][16], none[16] = { 0 };
    for (uint8_t i = 0; i < 2; i++) {
        d->config.seed[0] = i;
        driver_restart(d);
        declare(d, "orders", "");
        memcpy(keys[i], queue_find(d->core, span_str("orders"))->dedup.key, sizeof keys[i]);
    }
    assert_memory_not_equal(keys[0], none, sizeof none);
    assert_memory_not_equal(keys[0], keys[1], sizeof keys[0]);
}

static void a_deleted_queue_forgets(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    publish(p, "orders", 0, "one@1");
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(operate(d, CALL_DELETE, "orders"), "ok");
    declare(d, "orders", "capacity=9");
    heard(p);
    publish(p, "orders", 0, "one@1");
    assert_string_equal(heard(p), "confirm orders 2 -> 1");
    assert_int_equal(describe(d, "orders").duplicates, 0);
}

/* ------------------------------------------------------------------ room, refusals, waiting */

static void a_full_queue_still_knows_what_it_has(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "one@1");
    publish(p, "orders", 0, "again@1");
    publish(p, "orders", 0, "two@2");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; confirm orders 2 -> 1 duplicate; refuse orders 3 full 1/1");
    operate(d, CALL_CLOSE, "orders");
    publish(p, "orders", 0, "again@1");
    publish(p, "orders", 0, "two@2");
    assert_string_equal(heard(p), "confirm orders 4 -> 1 duplicate; refuse orders 5 closed 1/1");
}

static void what_was_refused_was_never_entered(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1 overflow=reject");
    publish(p, "orders", 0, "one two@2");
    operate(d, CALL_PURGE, "orders");
    publish(p, "orders", 0, "two@2");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2 full 1/1; confirm orders 3 -> 2");
}

static void a_batch_stays_a_prefix(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "one@1");
    publish(p, "orders", 0, "two@2 +again@1");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2..3 full 1/1");
    publish(p, "orders", 1000, "two@2 +again@1"); /* now it waits, and what follows too */
    assert_string_equal(heard(p), "");
    pass(d, 1001);
    assert_string_equal(heard(p), "refuse orders 4..5 full 1/1");
}

static void a_copy_of_one_that_waits_waits_with_it(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q"), *c = attached(d, "c");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "one");
    publish(p, "orders", 9000, "two@2");
    publish(q, "orders", 9000, "two@2");
    assert_int_equal(describe(d, "orders").waiting_publishers, 2);
    consume(c, "orders");
    credit(c, "orders", 9);
    ack(c, "orders", 1, 1);
    assert_string_equal(heard(p), "confirm orders 1 -> 1; confirm orders 2 -> 2");
    assert_string_equal(heard(q), "confirm orders 1 -> 2 duplicate");
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 1 purged 0 dropped 0 remaining 1");
}

static void a_copy_of_one_that_gave_up_is_the_first(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "one");
    publish(p, "orders", 500, "two@2");
    publish(q, "orders", 9000, "two@2");
    pass(d, 600);
    operate(d, CALL_PURGE, "orders");
    turn(d);
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2 full 1/1");
    assert_string_equal(heard(q), "confirm orders 1 -> 2");
}

static void a_duplicate_passes_waiters_of_others(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "one@1");
    publish(p, "orders", 9000, "two@2");
    publish(q, "orders", 0, "one@1");
    assert_string_equal(heard(q), "confirm orders 1 -> 1 duplicate");
    assert_int_equal(describe(d, "orders").waiting_publishers, 1);
}

static void drop_oldest_drops_nothing_for_a_duplicate(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=2 overflow=drop_oldest");
    publish(p, "orders", 0, "one@1 two@2 again@1 three@3 again@1");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1; confirm orders 3 -> 1 duplicate; confirm orders 4 -> 3; "
                                  "confirm orders 5 -> 1 duplicate");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 0 dropped 1 remaining 2");
}

/* ------------------------------------------------------------------ sessions, windows, memory */

static void a_duplicate_gives_its_window_back(void **state)
{
    struct driver *d = *state;
    d->config.window_events = 4;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    for (unsigned i = 0; i < 12; i++)
        publish(p, "orders", 0, "one@1");
    assert_true(is_attached(p));
    assert_int_equal(describe(d, "orders").duplicates, 11);
}

static void an_outcome_is_kept_for_a_later_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    publish(p, "orders", 0, "one@1 two@2");
    p->deaf = true;
    publish(p, "orders", 0, "one@1");
    p->token = (struct token){ 0 };
    p->deaf = false;
    attach(p);
    seen(p, "orders", 2);
    publish_from(p, "orders", 3, 0, "one@1"); /* again under its number: decided already */
    assert_int_equal(describe(d, "orders").duplicates, 1);
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
}

static void its_memory_counts_and_goes_by_itself(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9 dedup_window=5s");
    publish(p, "orders", 0, "one");
    uint64_t without = broker(d).memory_used;
    publish(p, "orders", 0, "two@2");
    assert_true(broker(d).memory_used >= without + 32);
    pass(d, 20000);
    assert_int_equal(broker(d).memory_used, without);
    assert_int_equal(describe(d, "orders").dedup_evicted, 0);
}

static void it_takes_an_eighth_of_the_budget_at_most(void **state)
{
    struct driver *d = *state;
    d->config.memory_budget = 64000;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1000000");
    for (unsigned i = 0; i < 500; i++) {
        char word[32];
        snprintf(word, sizeof word, "x@%u", i);
        publish(p, "orders", 0, word);
    }
    assert_true(broker(d).memory_used <= d->config.memory_budget);
    assert_int_equal(describe(d, "orders").dedup_evicted, 500 - 128); /* 128 entries take 5 of the 8 KB it may have */
    publish(p, "orders", 0, "x@499");
    assert_int_equal(describe(d, "orders").duplicates, 1);
}

static void a_hash_of_another_size_is_a_violation(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    struct open_body open = frame_begin_publish(&p->out, span_str("orders"), 1, 0);
    frame_add_entry(&p->out, &(struct entry){ .event = span_str("one"), .dedup = span_str("short") }, 0);
    frame_end(&p->out, open);
    push(p);
    assert_false(is_attached(p));
    assert_int_equal(describe(d, "orders").ready, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(the_second_gets_the_first_one_s_sequence),
        driven(without_a_hash_every_event_is_new),
        driven(another_queue_has_a_window_of_its_own),
        driven(duplicates_within_a_batch_are_told_apart),
        driven(after_the_window_it_is_new),
        driven(a_window_of_0_takes_everything),
        driven(the_oldest_is_forgotten_early_and_counted),
        driven(consumed_or_purged_it_stays_a_duplicate),
        driven(where_a_hash_falls_is_each_brokers_own),
        driven(a_deleted_queue_forgets),
        driven(a_full_queue_still_knows_what_it_has),
        driven(what_was_refused_was_never_entered),
        driven(a_batch_stays_a_prefix),
        driven(a_copy_of_one_that_waits_waits_with_it),
        driven(a_copy_of_one_that_gave_up_is_the_first),
        driven(a_duplicate_passes_waiters_of_others),
        driven(drop_oldest_drops_nothing_for_a_duplicate),
        driven(a_duplicate_gives_its_window_back),
        driven(an_outcome_is_kept_for_a_later_session),
        driven(its_memory_counts_and_goes_by_itself),
        driven(it_takes_an_eighth_of_the_budget_at_most),
        driven(a_hash_of_another_size_is_a_violation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
