/* What waits for the disk while the queue, or the publisher, that it is about goes away, and while the disk has no room. */
#include "tests/broker/core/disk_driver.h"

#include <stdlib.h>

/* Put in, and not answered before the disk has it. */
static void call_only(enum call call, const char *settings)
{
    struct request r = { .call = call, .queue = "mail" };
    if (call == CALL_DECLARE)
        r.u.declare.settings = settings_of(settings);
    else
        r.u.delete_.force = true;
    ask_only(bench.d, &r);
}

static void a_confirm_outlives_its_queue(void **state)
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

static void what_a_forgotten_publisher_sent_is_delivered_once_it_is_durable(void **state)
{
    struct driver *d = *state;
    struct peer *k = joined("k"), *p = joined("p");
    consume(k, "orders");
    credit(k, "orders", 10);
    settle_disk();
    heard(k);
    publish(p, "orders", 0, "one");
    bye(p);
    struct producer *known = NULL;
    pass(d, d->config.producer_memory_ms);
    HASH_FIND(hh, d->core->producers, &p->producer, sizeof p->producer, known);
    assert_null(known);
    assert_string_equal(heard(k), "");
    settle_disk();
    assert_non_null(strstr(heard(k), "deliver orders d1 s1 a1 one"));
}

/* Its publisher must not hear "refused" of what was accepted. */
static void an_outcome_on_its_way_is_known_though_its_queue_gave_way_to_others(void **state)
{
    struct driver *d = *state;
    declare_durably("mail", "durability=disk");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one");
    call_only(CALL_DELETE, NULL);
    call_only(CALL_DECLARE, "durability=memory");
    publish(p, "mail", 0, "two");
    call_only(CALL_DELETE, NULL);
    call_only(CALL_DECLARE, "durability=disk");
    settle_disk();
    crash(0);
    struct producer *known = NULL;
    HASH_FIND(hh, d->core->producers, &p->producer, sizeof p->producer, known);
    assert_non_null(known);
    const struct destination *to = destination_of(known, span_str("mail"));
    assert_int_equal(to->next, 3);
    assert_true(destination_decided(to, 1) && destination_decided(to, 2));
    for (uint32_t i = 0; i < to->outcome_count; i++)
        assert_int_equal(to->outcomes[i].reason, REASON_ok);
}

static uint64_t no_room(const struct store *s)
{
    (void)s;
    return 0;
}

/* It says that the first one is accepted, which a crash may undo until the disk has that. */
static void a_duplicate_waits_for_the_first_one_where_there_is_no_room_for_word_of_it(void **state)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_confirm_outlives_its_queue),
        on_disk(what_a_forgotten_publisher_sent_is_delivered_once_it_is_durable),
        on_disk(an_outcome_on_its_way_is_known_though_its_queue_gave_way_to_others),
        on_disk(a_duplicate_waits_for_the_first_one_where_there_is_no_room_for_word_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
