/* Delays and expiry of queues on disk with partitions or with an order by key: events are read when they are due,
 * and times survive restarts. Of two partitions the keys a and b are in the second, d and e in the first. */
#include "tests/broker/core/disk_driver.h"

#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"

#include <stdio.h>

static struct queue *mail(void)
{
    return queue_find(bench.d->core, span_str("mail"));
}

static void publish_to_it(struct peer *p, const char *words)
{
    publish(p, "mail", 0, words);
    settle_disk();
}

static void acked(struct peer *k, uint64_t delivery)
{
    ack(k, "mail", delivery, 1);
    settle_disk();
}

static struct peer *declared(const char *settings)
{
    char text[200];
    snprintf(text, sizeof text, "durability=disk %s", settings);
    assert_string_equal(declare_durably("mail", text), "ok");
    return joined("p");
}

static void a_delayed_event_is_read_when_it_is_due_and_takes_its_place(void **state)
{
    (void)state;
    struct peer *p = declared("ordered=key"), *k = mail_consumer("k", 9);
    publish_to_it(p, "a1#a~50 a2#a a3#a");
    heard(k);
    wait_ms(50);
    assert_int_equal(mail()->delayed, 0);
    assert_string_equal(heard(k), "");
    acked(k, 1);
    assert_string_equal(heard(k), "settled mail 1 acked; deliver mail d2 s1 a1 a1");
    acked(k, 2);
    assert_string_equal(heard(k), "settled mail 2 acked; deliver mail d3 s3 a1 a3");
}

static void they_wait_over_a_crash_each_for_its_time(void **state)
{
    (void)state;
    struct peer *p = declared("ordered=key partitions=2");
    publish_to_it(p, "a1#a~1000 a2#a d1#d~500 d2#d!800");
    crash(600);
    assert_int_equal(mail()->delayed, 1);
    struct peer *k = mail_consumer("k", 9);
    const char *text = heard(k);
    assert_true(strstr(text, " s2 a1 a2") && strstr(text, " s3 a1 d1"));
    assert_null(strstr(text, " s4 "));
    wait_ms(200);
    assert_int_equal(mail()->ledger.expired, 1);
    acked(k, 1);
    acked(k, 2);
    wait_ms(199);
    assert_null(strstr(heard(k), "deliver"));
    wait_ms(1);
    assert_string_equal(heard(k), "deliver mail d3 s1 a1 a1");
}

/* Neighbours that the queue has passed while they were delayed; the mark is between them, because nobody consumed. */
static void nothing_is_delivered_beyond_the_mark(void **state)
{
    (void)state;
    bench.d->config.mark_ahead = 2;
    crash(0);
    struct peer *p = declared("partitions=2"), *k = mail_consumer("k", 9);
    publish_to_it(p, "x#a");
    acked(k, 1);
    leave(k, "mail");
    publish_to_it(p, "a1#a~50 a2#a~50 a3#a~50 a4#a~50");
    wait_ms(50);
    assert_int_equal(mail()->durable->mark, 4);
    consume(k, "mail");
    credit(k, "mail", 9);
    assert_int_equal(mail()->in_flight, 2);
    crash(0);
    k = mail_consumer("k2", 9);
    const char *text = heard(k);
    assert_true(strstr(text, " s2 a2 a1") && strstr(text, " s3 a2 a2")); /* it may have been delivered before */
}

static void a_back_off_holds_its_key_up_over_a_crash(void **state)
{
    (void)state;
    struct peer *p = declared("ordered=key"), *k = mail_consumer("k", 9);
    publish_to_it(p, "a1#a a2#a b1#b");
    settle(k, "mail", SETTLE_NACK, 1, 1, 1000);
    settle_disk();
    crash(400);
    k = mail_consumer("k2", 9);
    assert_string_equal(heard(k), "turn mail active e1; deliver mail d1 s3 a2 b1; idle mail g1");
    struct parked parked = keys_parked(mail());
    assert_true(parked.keys == 1 && mail()->delayed == 1);
    wait_ms(599);
    assert_string_equal(heard(k), "");
    wait_ms(1);
    assert_string_equal(heard(k), "deliver mail d2 s1 a2 a1");
    acked(k, 2);
    assert_string_equal(heard(k), "settled mail 2 acked; deliver mail d3 s2 a2 a2");
}

static void a_back_off_goes_on_in_its_partition(void **state)
{
    (void)state;
    struct peer *p = declared("partitions=2"), *k = mail_consumer("k", 9);
    publish_to_it(p, "a1#a");
    settle(k, "mail", SETTLE_NACK, 1, 1, 1000);
    settle_disk();
    crash(400);
    assert_int_equal(mail()->delayed, 1);
    k = mail_consumer("k2", 9);
    assert_null(strstr(heard(k), "a1"));
    wait_ms(600);
    assert_non_null(strstr(heard(k), " s1 a2 a1"));
}

/* No waiting event is in memory, and more are due at once than the look-ahead allows. */
static void many_are_due_at_once(void **state)
{
    (void)state;
    char words[9000] = "";
    struct peer *p = declared("ordered=key partitions=2 ttl=1h");
    for (unsigned i = 0; i < 200; i++)
        snprintf(words + strlen(words), sizeof words - strlen(words), "%s%u#%c~%u", i ? " " : "", i, 'a' + (int)i % 5,
                 1000 - i);
    publish_to_it(p, words);
    bench.d->config.look_ahead = 20;
    bench.cache_bytes = 0;
    crash(0);
    assert_int_equal(mail()->delayed, 200);
    assert_int_equal(mail()->loaded - mail()->base, 0);
    wait_ms(1000);
    struct peer *k = mail_consumer("k", 300);
    for (uint64_t i = 1; i <= 200; i++)
        acked(k, i);
    assert_int_equal(mail()->ledger.acked, 200);
}

/* An event that is neither loaded nor due, behind a stalled key. */
static void what_is_on_disk_only_expires_and_is_cancelled(void **state)
{
    (void)state;
    struct peer *p = declared("ordered=key"), *k = mail_consumer("k", 9);
    publish_to_it(p, "a1#a a2#a~1000!500 a3#a~1000 a4#a~1000");
    wait_ms(500);
    assert_int_equal(mail()->ledger.expired, 1);
    struct request r = { .call = CALL_CANCEL, .queue = "mail", .u.cancel.sequence = 3 };
    assert_string_equal(ask_durably(&r), "ok");
    crash(500);
    k = mail_consumer("k2", 9);
    heard(k);
    acked(k, 1); /* the mark was ahead of the other: it may have been seen */
    assert_string_equal(heard(k), "settled mail 1 acked; deliver mail d2 s4 a2 a4");
    acked(k, 2);
    assert_int_equal(queue_remaining(mail()), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_delayed_event_is_read_when_it_is_due_and_takes_its_place),
        on_disk(they_wait_over_a_crash_each_for_its_time),
        on_disk(nothing_is_delivered_beyond_the_mark),
        on_disk(a_back_off_holds_its_key_up_over_a_crash),
        on_disk(a_back_off_goes_on_in_its_partition),
        on_disk(many_are_due_at_once),
        on_disk(what_is_on_disk_only_expires_and_is_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
