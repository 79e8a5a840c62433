/* What waits for the disk while its queue or its publisher goes away, and while the disk has no room. */
#include "tests/broker/core/disk_driver.h"

#include <stdlib.h>

/* Sends a call, which is not answered before it is durable. */
static void call_only(enum call call, const char *settings)
{
    struct request r = { .call = call, .queue = "mail" };
    if (call == CALL_DECLARE)
        r.u.declare.settings = settings_of(settings);
    else
        r.u.delete_.force = true;
    ask_only(bench.d, &r);
}

static struct producer *producer_of(struct token id)
{
    struct producer *known = NULL;
    HASH_FIND(hh, bench.d->core->producers, &id, sizeof id, known);
    return known;
}

static void a_confirm_is_sent_although_its_queue_is_deleted(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one two");
    call_only(CALL_DELETE, NULL);
    call_only(CALL_DECLARE, "durability=disk");
    assert_string_equal(heard(p), "");
    settle_disk();
    assert_string_equal(heard(p), "confirm mail 1..2 -> 1");
}

static void other_queues_deliver_although_one_is_deleted(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    struct peer *k = joined("k"), *p = joined("p");
    consume(k, "orders");
    credit(k, "orders", 10);
    settle_disk();
    heard(k);
    publish(p, "orders", 0, "one two");
    call_only(CALL_DELETE, NULL);
    settle_disk();
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1");
    assert_string_equal(heard(k), "deliver orders d1..2 s1..2 a1 one two");
}

static void events_of_a_forgotten_publisher_are_delivered_once_durable(void **state)
{
    struct driver *d = *state;
    struct peer *k = joined("k"), *p = joined("p");
    consume(k, "orders");
    credit(k, "orders", 10);
    settle_disk();
    heard(k);
    publish(p, "orders", 0, "one");
    bye(p);
    pass(d, d->config.producer_memory_ms);
    assert_null(producer_of(p->producer));
    assert_string_equal(heard(k), "");
    settle_disk();
    assert_non_null(strstr(heard(k), "deliver orders d1 s1 a1 one"));
}

/* The publisher must not hear "refused" of what was accepted. */
static void a_pending_outcome_is_known_although_its_queue_was_replaced(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "mail", 0, "one");
    call_only(CALL_DELETE, NULL);
    call_only(CALL_DECLARE, "durability=memory");
    publish(p, "mail", 0, "two");
    call_only(CALL_DELETE, NULL);
    call_only(CALL_DECLARE, "durability=disk");
    settle_disk();
    crash(0);
    struct producer *known = producer_of(id);
    assert_non_null(known);
    const struct destination *to = destination_of(known, span_str("mail"));
    assert_int_equal(to->next, 3);
    assert_true(destination_decided(to, 1) && destination_decided(to, 2));
    for (uint32_t i = 0; i < to->outcome_count; i++)
        assert_int_equal(to->outcomes[i].reason, REASON_ok);
}

static void entries_sent_again_meanwhile_take_nothing_of_the_window(void **state)
{
    struct driver *d = *state;
    d->config.window_events = 8;
    d->config.window_bytes = 80;
    crash(0);
    struct peer *p = joined("p");
    publish(p, "orders", 0, "one:10 two:10");
    for (unsigned i = 0; i < 20; i++)
        publish_from(p, "orders", 1, 0, "one:10 two:10");
    assert_true(is_attached(p));
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 1..2 -> 1"));
    assert_int_equal(describe(d, "orders").ready, 2);
}

/* A known outcome would promise an event that is gone; the publisher is told that it is unknown. */
static void an_outcome_of_a_deleted_queue_in_memory_is_unknown_after_a_stop(void **state)
{
    (void)state;
    declare_durably("mail", "durability=memory");
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "mail", 0, "one");
    struct request r = { .call = CALL_DELETE, .queue = "mail", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    stop_orderly();
    const struct producer *known = producer_of(id);
    assert_true(!known || HASH_COUNT(known->destinations) == 0);
}

static uint64_t no_room(const struct store *s)
{
    (void)s;
    return 0;
}

/* Its outcome says that the first event is accepted, which a crash may undo until that is durable. */
static void a_duplicate_without_room_for_its_note_waits_for_the_first_event(void **state)
{
    (void)state;
    struct peer *p = joined("p"), *again = joined("again");
    const struct store_ops *before = bench.log->ops;
    struct store_ops ops = *before;
    ops.room = no_room;
    publish(p, "orders", 0, "one@1");
    bench.log->ops = &ops;
    publish(again, "orders", 0, "one@1");
    bench.log->ops = before;
    assert_string_equal(heard(again), "");
    settle_disk();
    assert_string_equal(heard(p), "confirm orders 1 -> 1");
    assert_string_equal(heard(again), "confirm orders 1 -> 1 duplicate");
}

/* Publishes until the disk has no room for another event. */
static void fill_with(struct peer *p, const char *name)
{
    disk_set_capacity(bench.disk, disk_used(bench.disk));
    for (unsigned i = 0; i < 200; i++) {
        publish(p, name, 0, "big:3000");
        settle_disk();
        if (strstr(heard(p), " disk "))
            return;
    }
    fail_msg("the disk has no end");
}

/* In memory, a waiting entry makes room for itself, as its bytes count already. They are not in the log, so on disk it
 * must not: the log would have no room for what was promised to fit. */
static void who_waits_for_the_disk_has_no_room_there(const char *name)
{
    struct peer *p = joined("p");
    fill_with(p, name);
    publish(p, name, 60000, "big:9000");
    struct request open = { .call = CALL_OPEN, .queue = "orders" };
    assert_string_equal(ask_durably(&open), "ok"); /* the waiter is tried again */
    assert_string_equal(heard(p), "");
    disk_set_capacity(bench.disk, UINT64_MAX);
    pass(bench.d, 2000); /* the log tries again after a while */
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm"));
}

static void a_waiter_for_the_disk_makes_no_room_for_itself(void **state)
{
    (void)state;
    who_waits_for_the_disk_has_no_room_there("orders");
}

static void a_waiter_for_the_disk_at_a_topic_makes_no_room_for_itself(void **state)
{
    (void)state;
    struct request put = { .call = CALL_PUT_TOPIC, .topic = "all" };
    struct request bind = { .call = CALL_BIND, .topic = "all", .queue = "orders" };
    assert_string_equal(ask_durably(&put), "ok");
    assert_string_equal(ask_durably(&bind), "ok");
    who_waits_for_the_disk_has_no_room_there("all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_confirm_is_sent_although_its_queue_is_deleted),
        on_disk(other_queues_deliver_although_one_is_deleted),
        on_disk(events_of_a_forgotten_publisher_are_delivered_once_durable),
        on_disk(a_pending_outcome_is_known_although_its_queue_was_replaced),
        on_disk(entries_sent_again_meanwhile_take_nothing_of_the_window),
        on_disk(an_outcome_of_a_deleted_queue_in_memory_is_unknown_after_a_stop),
        on_disk(a_duplicate_without_room_for_its_note_waits_for_the_first_event),
        on_disk(a_waiter_for_the_disk_makes_no_room_for_itself),
        on_disk(a_waiter_for_the_disk_at_a_topic_makes_no_room_for_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
