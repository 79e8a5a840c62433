/* Partitions: who consumes which, how they change hands, and the order within each. Of two partitions the keys a, b,
 * c, g and k are in the second, d, e, f, h and m in the first; of four a, b, c and g are in partition 3, k in 1, d,
 * f and h in 2, e and m in 0. */
#include "broker/core/partition/partition.h"
#include "tests/broker/core/driver.h"

#include <stdio.h>

static struct peer *consumer(struct driver *d, const char *name, uint64_t wanted)
{
    struct peer *k = attached(d, name);
    consume(k, "orders");
    credit(k, "orders", wanted);
    return k;
}

static struct peer *publisher(struct driver *d, const char *settings, const char *words)
{
    struct peer *p = attached(d, "publisher");
    assert_string_equal(declare(d, "orders", settings), "ok");
    if (*words)
        publish(p, "orders", 0, words);
    return p;
}

/* "k:2 other:1": how many partitions each owns, in the order of the queue's consumers. */
static const char *shares(struct driver *d)
{
    static char text[200];
    const struct queue *q = queue_find(d->core, span_str("orders"));
    size_t at = 0;
    text[0] = '\0';
    for (const struct consumer *k = q->consumers; k; k = k->queue_next) {
        unsigned count = 0;
        for (uint32_t i = 0; i < q->partitions->count; i++)
            count += q->partitions->at[i].owner == k;
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s:%u", at ? " " : "", k->session->name, count);
    }
    return text;
}

/* ------------------------------------------------------------------ shares */

static void consumers_share_evenly_and_more_than_there_are_partitions_stand_by(void **state)
{
    struct driver *d = *state;
    publisher(d, "partitions=4", "");
    struct peer *a = consumer(d, "a", 9);
    assert_string_equal(heard(a), "turn orders active e1; idle orders g1");
    assert_string_equal(shares(d), "a:4");
    struct peer *b = consumer(d, "b", 9);
    assert_string_equal(shares(d), "a:2 b:2");
    struct peer *c = consumer(d, "c", 9);
    assert_string_equal(shares(d), "a:1 b:2 c:1");
    consumer(d, "d", 9);
    assert_string_equal(shares(d), "a:1 b:1 c:1 d:1");
    heard(a);
    struct peer *e = consumer(d, "e", 9);
    assert_string_equal(shares(d), "a:1 b:1 c:1 d:1 e:0");
    assert_string_equal(heard(e), "turn orders standby");
    assert_string_equal(heard(a), "turn orders active e1 contended");
    assert_int_equal(describe(d, "orders").standbys, 1);
    leave(b, "orders");
    assert_string_equal(shares(d), "a:1 c:1 d:1 e:1");
    assert_string_equal(heard(a), "turn orders active e1");
    bye(c);
    bye(e);
    assert_string_equal(shares(d), "a:2 d:2");
    leave(a, "orders");
    assert_string_equal(shares(d), "d:4");
    assert_string_equal(describe(d, "orders").consumer, "d");
}

static void a_partition_is_drained_before_it_changes_hands(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "partitions=2", "a1#a d1#d");
    struct peer *k = consumer(d, "k", 9);
    assert_string_equal(
        heard(k), "turn orders active e1; deliver orders d1 s2 a1 d1; deliver orders d2 s1 a1 a1; idle orders g1");
    struct peer *other = consumer(d, "other", 9);
    assert_string_equal(heard(other), "turn orders standby");
    publish(p, "orders", 0, "a2#a d2#d");
    const char *first = heard(k);
    bool gives_second = strcmp(first, "deliver orders d3 s4 a1 d2") == 0;
    assert_true(gives_second || strcmp(first, "deliver orders d3 s3 a1 a2") == 0);
    ack(k, "orders", gives_second ? 2 : 1, 1);
    assert_string_equal(heard(other), gives_second
                                          ? "turn orders active e3; deliver orders d1 s3 a1 a2; idle orders g1"
                                          : "turn orders active e3; deliver orders d1 s4 a1 d2; idle orders g1");
    assert_string_equal(shares(d), "k:1 other:1");
    assert_string_equal(ledger(d, "orders"), "accepted 4 acked 1 purged 0 dropped 0 remaining 3");
}

static void a_lease_that_runs_out_ends_the_draining(void **state)
{
    struct driver *d = *state;
    publisher(d, "partitions=2 lease=1s", "a1#a d1#d");
    struct peer *k = consumer(d, "k", 2);
    heard(k);
    struct peer *other = consumer(d, "other", 9);
    assert_string_equal(heard(other), "turn orders standby");
    pass(d, 1000);
    const char *taken = heard(other);
    assert_true(strcmp(taken, "turn orders active e3; deliver orders d1 s1 a2 a1; idle orders g1") == 0 ||
                strcmp(taken, "turn orders active e3; deliver orders d1 s2 a2 d1; idle orders g1") == 0);
}

/* The lease ran out, perhaps while the delivery was on its way: the heir must wait until the frame was acknowledged. */
static void a_partition_is_not_drained_before_what_was_delivered_has_come(void **state)
{
    struct driver *d = *state;
    publisher(d, "partitions=2 lease=1s", "a1#a d1#d");
    struct peer *k = consumer(d, "k", 2);
    heard(k);
    k->silent = true;
    struct peer *other = consumer(d, "other", 9);
    pass(d, 1000);
    assert_string_equal(heard(other), "turn orders standby");
    heartbeat(k);
    turn(d);
    assert_string_equal(heard(other), "turn orders active e3; deliver orders d1 s2 a2 d1; idle orders g1");
}

static void a_consumer_that_vanishes_leaves_its_partitions_to_the_others(void **state)
{
    struct driver *d = *state;
    publisher(d, "partitions=2", "a1#a d1#d a2#a d2#d");
    struct peer *k = consumer(d, "k", 9), *other = consumer(d, "other", 9);
    heard(k);
    leave(k, "orders");
    assert_string_equal(shares(d), "other:2");
    const char *all = heard(other);
    assert_non_null(strstr(all, "s1 a2 a1"));
    assert_non_null(strstr(all, "s2 a2 d1"));
    assert_true(strstr(all, "s1 a2 a1") < strstr(all, " a2; ") || strstr(all, "s3 "));
    assert_true(strstr(all, "s1 ") < strstr(all, "s3 ") && strstr(all, "s2 ") < strstr(all, "s4 "));
}

static void the_fencing_token_grows_with_every_partition_gained(void **state)
{
    struct driver *d = *state;
    publisher(d, "partitions=2", "");
    consumer(d, "k", 9);
    struct peer *other = consumer(d, "other", 9);
    struct queue *q = queue_find(d->core, span_str("orders"));
    struct consumer *first = q->consumers;
    uint64_t epoch = first->epoch, theirs = first->queue_next->fence;
    assert_true(first->fence >= epoch && theirs > first->fence);
    leave(other, "orders");
    assert_true(first->epoch == epoch && first->fence > theirs);
}

/* ------------------------------------------------------------------ events */

static void a_key_has_one_partition_and_its_order(void **state)
{
    struct driver *d = *state;
    publisher(d, "partitions=2", "a1#a d1#d a2#a g1#g e1#e");
    struct peer *k = consumer(d, "k", 0), *other = consumer(d, "other", 0);
    heard(k);
    heard(other);
    credit(k, "orders", 9);
    credit(other, "orders", 9);
    const char *mine = heard(k), *theirs = heard(other);
    const char *second = strstr(mine, "a1") && strstr(mine, "s1") ? mine : theirs;
    const char *first = second == mine ? theirs : mine;
    assert_string_equal(second, "deliver orders d1 s1 a1 a1; deliver orders d2..3 s3..4 a1 a2 g1; idle orders g2");
    assert_string_equal(first, "deliver orders d1 s2 a1 d1; deliver orders d2 s5 a1 e1; idle orders g2");
}

static void a_stalled_consumer_holds_up_its_own_partitions_only(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "partitions=2", "");
    struct peer *k = consumer(d, "k", 0), *other = consumer(d, "other", 0);
    const struct queue *q = queue_find(d->core, span_str("orders"));
    bool k_has_second = strcmp(q->partitions->at[1].owner->session->name, "k") == 0;
    publish(p, "orders", 0, "a1#a a2#a d1#d a3#a d2#d");
    struct peer *goes = k_has_second ? other : k, *stalls = k_has_second ? k : other;
    heard(goes);
    credit(goes, "orders", 9);
    assert_string_equal(heard(goes), "deliver orders d1 s3 a1 d1; deliver orders d2 s5 a1 d2; idle orders g2");
    heard(stalls);
    credit(stalls, "orders", 9);
    assert_string_equal(heard(stalls),
                        "deliver orders d1..2 s1..2 a1 a1 a2; deliver orders d3 s4 a1 a3; idle orders g2");
}

static void events_without_a_key_go_to_who_wants_some(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "partitions=2", "");
    struct peer *k = consumer(d, "k", 0), *other = consumer(d, "other", 2);
    heard(other);
    publish(p, "orders", 0, "x# y# z#");
    assert_string_equal(heard(other), "deliver orders d1..2 s1..2 a1 x y");
    credit(k, "orders", 5);
    assert_non_null(strstr(heard(k), "deliver orders d1 s3 a1 z"));
    ack(k, "orders", 1, 1);
    ack(other, "orders", 1, 2);
    heard(k);
    heard(other);
    credit(other, "orders", 9);
    publish(p, "orders", 0, "1# 2# 3# 4#");
    assert_non_null(strstr(heard(k), "deliver"));
    assert_non_null(strstr(heard(other), "deliver")); /* not all to one */
}

static void partitions_and_order_by_key_go_together(void **state)
{
    struct driver *d = *state;
    publisher(d, "partitions=2 ordered=key", "a1#a d1#d a2#a g1#g d2#d");
    struct peer *k = consumer(d, "k", 9);
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1 s2 a1 d1; deliver orders d2 s1 a1 a1; "
                                  "deliver orders d3 s4 a1 g1; idle orders g1");
    ack(k, "orders", 1, 2);
    assert_string_equal(heard(k), "settled orders 1..2 acked; deliver orders d4 s5 a1 d2; deliver orders d5 s3 a1 a2");
}

/* ------------------------------------------------------------------ changing them */

static void partitions_change_only_while_the_queue_is_empty(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d, "partitions=2", "a1#a");
    struct peer *k = consumer(d, "k", 9), *other = consumer(d, "other", 9);
    assert_string_equal(declare(d, "orders", "partitions=4"), "conflict");
    assert_string_equal(declare(d, "orders", "partitions=2"), "ok");
    ack(k, "orders", 1, 1);
    assert_int_equal(describe(d, "orders").in_flight, 0);
    heard(k);
    heard(other);
    assert_string_equal(declare(d, "orders", "partitions=1"), "ok");
    assert_string_equal(heard(k), "turn orders active e4 contended");
    assert_string_equal(heard(other), "turn orders standby");
    publish(p, "orders", 0, "a2#a d1#d");
    assert_string_equal(heard(other), "");
    assert_string_equal(heard(k), "deliver orders d2..3 s2..3 a1 a2 d1");
    ack(k, "orders", 2, 2);
    assert_string_equal(declare(d, "orders", "partitions=3"), "ok");
    assert_string_equal(shares(d), "k:2 other:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(consumers_share_evenly_and_more_than_there_are_partitions_stand_by),
        driven(a_partition_is_drained_before_it_changes_hands),
        driven(a_lease_that_runs_out_ends_the_draining),
        driven(a_partition_is_not_drained_before_what_was_delivered_has_come),
        driven(a_consumer_that_vanishes_leaves_its_partitions_to_the_others),
        driven(the_fencing_token_grows_with_every_partition_gained),
        driven(a_key_has_one_partition_and_its_order),
        driven(a_stalled_consumer_holds_up_its_own_partitions_only),
        driven(events_without_a_key_go_to_who_wants_some),
        driven(partitions_and_order_by_key_go_together),
        driven(partitions_change_only_while_the_queue_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
