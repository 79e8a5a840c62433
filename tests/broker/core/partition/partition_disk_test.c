/* Partitions and order by key of queues on disk: events are read back and sorted again, in order, and the number in
 * memory is bounded. Of two partitions the keys a, b and c are in the second, d, e and f in the first. */
#include "broker/core/partition/partition.h"
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>

static void filled(const char *settings, const char *words)
{
    char text[200];
    snprintf(text, sizeof text, "durability=disk backoff=0s %s", settings);
    assert_string_equal(declare_durably("mail", text), "ok");
    struct peer *p = joined("p");
    publish(p, "mail", 0, words);
    settle_disk();
    bye(p);
}

static const struct partitions *partitions(void)
{
    return queue_find(bench.d->core, span_str("mail"))->partitions;
}

static void order_by_key_holds_over_a_crash(void **state)
{
    (void)state;
    filled("ordered=key", "a1#a a2#a b1#b a3#a");
    struct peer *k = mail_consumer("k", 9);
    assert_string_equal(heard(k),
                        "turn mail active e1; deliver mail d1 s1 a1 a1; deliver mail d2 s3 a1 b1; idle mail g1");
    crash(0);
    k = mail_consumer("k2", 9);
    assert_string_equal(heard(k),
                        "turn mail active e1; deliver mail d1 s1 a2 a1; deliver mail d2 s3 a2 b1; idle mail g1");
    ack(k, "mail", 1, 1);
    settle_disk();
    assert_string_equal(heard(k), "settled mail 1 acked; deliver mail d3 s2 a2 a2");
}

static void what_was_looked_at_and_not_delivered_comes_first_after_an_orderly_stop(void **state)
{
    (void)state;
    filled("ordered=key", "a1#a b1#b a2#a a3#a");
    struct peer *k = mail_consumer("k", 9);
    assert_string_equal(heard(k), "turn mail active e1; deliver mail d1..2 s1..2 a1 a1 b1; idle mail g1");
    stop_orderly();
    crash(0);
    k = mail_consumer("k2", 9);
    assert_string_equal(heard(k),
                        "turn mail active e1; deliver mail d1 s1 a2 a1; deliver mail d2 s2 a2 b1; idle mail g1");
    ack(k, "mail", 1, 1);
    settle_disk();
    assert_string_equal(heard(k), "settled mail 1 acked; deliver mail d3 s3 a1 a2");
}

static void partitions_are_what_they_were_after_a_crash(void **state)
{
    (void)state;
    filled("partitions=2", "a1#a d1#d a2#a d2#d");
    crash(0);
    assert_true(partitions() && partitions()->count == 2);
    struct peer *k = mail_consumer("k", 0), *other = mail_consumer("other", 0);
    heard(k);
    heard(other);
    credit(k, "mail", 9);
    credit(other, "mail", 9);
    settle_disk();
    const char *mine = heard(k), *theirs = heard(other);
    const char *second = strstr(mine, "a1") ? mine : theirs, *first = second == mine ? theirs : mine;
    assert_true(strstr(second, "s1 ") && strstr(second, "s3 ") && strstr(second, "s1 ") < strstr(second, "s3 "));
    assert_true(strstr(first, "s2 ") && strstr(first, "s4 ") && strstr(first, "s2 ") < strstr(first, "s4 "));
    assert_null(strstr(second, "s2 "));
}

static void a_stalled_key_costs_a_bounded_part_of_a_backlog(void **state)
{
    (void)state;
    char words[8000] = "";
    for (unsigned i = 0; i < 200; i++)
        snprintf(words + strlen(words), sizeof words - strlen(words), "%s%u#a", i ? " " : "", i);
    filled("ordered=key", words);
    bench.d->config.look_ahead = 50;
    bench.cache_bytes = 0;
    crash(0);
    struct peer *k = mail_consumer("k", 9);
    struct queue *q = queue_find(bench.d->core, span_str("mail"));
    for (uint64_t loaded = 0; loaded != q->loaded; settle_disk())
        loaded = q->loaded;
    assert_int_equal(q->in_flight, 1);
    assert_int_equal(partitions()->sorted, 50);
    heard(k);
    for (uint64_t i = 1; i < 200; i++) {
        ack(k, "mail", i, 1);
        credit(k, "mail", 9 + i);
        settle_disk();
        assert_true(partitions()->sorted <= 50);
    }
    assert_int_equal(q->ready, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(order_by_key_holds_over_a_crash),
        on_disk(what_was_looked_at_and_not_delivered_comes_first_after_an_orderly_stop),
        on_disk(partitions_are_what_they_were_after_a_crash),
        on_disk(a_stalled_key_costs_a_bounded_part_of_a_backlog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
