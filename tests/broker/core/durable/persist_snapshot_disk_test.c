/* What the snapshot of an orderly stop says about deliveries: the next start counts on from what really was delivered. */
#include "tests/broker/core/disk_driver.h"

/* Nobody consumes any more. */
static void end_consuming(struct peer *p)
{
    leave(p, "orders");
    settle_disk();
    heard(p);
}

/* What a new consumer is delivered. */
static const char *delivered(void)
{
    struct peer *p = joined("next");
    consume(p, "orders");
    credit(p, "orders", 1000);
    settle_disk();
    return heard(p);
}

/* It became due, and nobody consumed. */
static void one_due_was_not_delivered(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one~50 two three");
    ack(p, "orders", 1, 2);
    end_consuming(p);
    pass(bench.d, 100);
    settle_disk();
    assert_int_equal(describe(bench.d, "orders").ready, 1);
    stop_orderly();
    assert_non_null(strstr(delivered(), "s1 a1 one"));
}

static void one_released_was_not_delivered(void **state)
{
    (void)state;
    struct peer *p = joined("c");
    consume(p, "orders");
    credit(p, "orders", 1);
    publish_durably(p, "one");
    assert_non_null(strstr(heard(p), "s1 a1 one"));
    settle(p, "orders", SETTLE_RELEASE, 1, 1, 0);
    stop_orderly();
    assert_non_null(strstr(delivered(), "s1 a1 one"));
}

static void one_accepted_below_the_mark_of_a_crashed_run_was_not_delivered(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one");
    heard(p);
    crash(0);
    publish_from(joined("p"), "orders", 2, 0, "two");
    settle_disk();
    stop_orderly();
    const char *all = delivered();
    assert_non_null(strstr(all, "s1 a2 one"));
    assert_non_null(strstr(all, "s2 a1 two"));
}

static void one_that_its_key_kept_back_was_not_delivered(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("mail", "durability=disk ordered=key"), "ok");
    publish(joined("p"), "mail", 0, "a1#a a2#a b1#b");
    settle_disk();
    assert_non_null(strstr(heard(mail_consumer("k", 9)), "s3 a1 b1"));
    stop_orderly();
    struct peer *k = mail_consumer("k", 9);
    assert_non_null(strstr(heard(k), "s3 a2 b1"));
    ack(k, "mail", 1, 1);
    settle_disk();
    assert_string_equal(heard(k), "settled mail 1 acked; deliver mail d3 s2 a1 a2");
}

/* What the first stop knew holds until the event is delivered, and no longer. */
static void it_holds_for_several_stops(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one~50 two~50 three");
    ack(p, "orders", 1, 1);
    end_consuming(p);
    pass(bench.d, 100);
    settle_disk();
    stop_orderly();
    stop_orderly();
    p = joined("c");
    consume(p, "orders");
    credit(p, "orders", 1);
    settle_disk();
    assert_string_equal(heard(p), "turn orders active e1; deliver orders d1 s1 a1 one");
    stop_orderly();
    const char *all = delivered();
    assert_non_null(strstr(all, "s1 a2 one"));
    assert_non_null(strstr(all, "s2 a1 two"));
}

/* After a crash every event below the mark may have been. */
static void it_is_void_after_a_crash(void **state)
{
    (void)state;
    struct peer *p = orders_consumer();
    publish_durably(p, "one~50 two");
    ack(p, "orders", 1, 1);
    end_consuming(p);
    pass(bench.d, 100);
    settle_disk();
    stop_orderly();
    crash(0);
    assert_non_null(strstr(delivered(), "s1 a2 one"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(one_due_was_not_delivered),
        on_disk(one_released_was_not_delivered),
        on_disk(one_accepted_below_the_mark_of_a_crashed_run_was_not_delivered),
        on_disk(one_that_its_key_kept_back_was_not_delivered),
        on_disk(it_holds_for_several_stops),
        on_disk(it_is_void_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
