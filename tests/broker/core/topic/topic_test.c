/* Topics: events go to every bound queue whose filter matches, to all of them or to none. For entries that wait for
 * room see topic_wait_test.c. */
#include "tests/broker/core/topic_driver.h"

#include <stdio.h>

static void an_event_goes_to_every_queue_that_matches(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b c");
    bind_filter(d, "all", "b", "{\"exact\":{\"type\":\"red\"}}");
    bind_filter(d, "all", "c", "{\"not\":{\"exact\":{\"type\":\"red\"}}}");
    publish(p, "all", 0, RED " " BLUE " " BLUE);
    assert_string_equal(heard(p), "confirm all 1 -> a:1 b:1; confirm all 2..3 -> a:2 c:1");
    assert_string_equal(ledger(d, "a"), "accepted 3 acked 0 purged 0 dropped 0 remaining 3");
    assert_string_equal(ledger(d, "c"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
    struct topic_info t = topic_of(d, "all");
    assert_int_equal(t.accepted, 3);
    assert_int_equal(t.bindings[0].matched, 3);
    assert_int_equal(t.bindings[1].matched, 1);
    assert_int_equal(t.bindings[2].matched, 2);
}

static void each_queue_delivers_and_settles_by_itself(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    make_topic(d, "all", "a b");
    publish(p, "all", 0, "one two three");
    consume(k, "a");
    credit(k, "a", 9);
    ack(k, "a", 1, 3);
    consume(k, "b");
    credit(k, "b", 9);
    assert_string_equal(heard(k), "turn a active e1; deliver a d1..3 s1..3 a1 one two three; idle a g1; settled a 1..3 "
                                  "acked; turn b active e1; deliver b d1..3 s1..3 a1 one two three; idle b g1");
    assert_string_equal(ledger(d, "b"), "accepted 3 acked 0 purged 0 dropped 0 remaining 3");
    ack(k, "b", 1, 3);
    assert_string_equal(ledger(d, NULL), "accepted 6 acked 6 purged 0 dropped 0 remaining 0");
}

/* Neighbours are confirmed as one run only if their sequences are neighbours in every queue. */
static void sequences_run_on_beside_those_of_direct_publishes(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    publish(p, "a", 0, "x");
    publish(p, "all", 0, "one");
    publish(p, "all", 0, "two");
    publish(p, "b", 0, "y");
    publish(p, "all", 0, "three");
    assert_string_equal(heard(p), "confirm a 1 -> 1; confirm all 1 -> a:2 b:1; confirm all 2 -> a:3 b:2; "
                                  "confirm b 1 -> 3; confirm all 3 -> a:4 b:4");
}

static void all_or_none(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    declare(d, "b", "capacity=1");
    publish(p, "all", 0, "one two");
    assert_string_equal(heard(p), "confirm all 1 -> a:1 b:1; refuse all 2 full 1/1 by b");
    assert_string_equal(ledger(d, "a"), "accepted 1 acked 0 purged 0 dropped 0 remaining 1");
    assert_int_equal(topic_of(d, "all").refused, 1);
    publish(p, "all", 1000, "three +four");
    pass(d, 1000);
    assert_int_equal(topic_of(d, "all").refused, 3);
}

/* Waiting for a would not help: b refuses the entry, in whichever order they are asked. */
static void a_queue_that_rejects_decides_before_others_are_waited_for(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b c");
    declare(d, "a", "capacity=1");
    declare(d, "b", "capacity=2 overflow=reject");
    declare(d, "c", "capacity=1");
    publish(p, "all", 0, "one");
    publish(p, "b", 0, "two");
    heard(p);
    publish(p, "all", 9000, "three");
    assert_string_equal(heard(p), "refuse all 2 full 2/2 by b");
    operate(d, CALL_PURGE, "b");
    publish(p, "all", 9000, "four");
    assert_string_equal(heard(p), ""); /* now it waits */
    operate(d, CALL_PURGE, "c");
    assert_string_equal(heard(p), "");
    operate(d, CALL_PURGE, "a");
    assert_string_equal(heard(p), "confirm all 3 -> a:2 b:3 c:2");
}

static void events_of_one_frame_have_their_own_terms(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    publish(p, "all", 0, "one two~50 three~50 four!80 five");
    assert_string_equal(heard(p), "confirm all 1..5 -> a:1 b:1");
    for (const char *q = "a"; q; q = *q == 'a' ? "b" : NULL) {
        assert_int_equal(describe(d, q).delayed, 2);
        assert_int_equal(describe(d, q).ready, 3);
    }
    pass(d, 50);
    assert_int_equal(describe(d, "b").ready, 5);
    pass(d, 30);
    assert_int_equal(describe(d, "b").ready, 4);
    assert_int_equal(describe(d, "a").ledger.expired, 1);
}

static void overflow_is_each_queue_s_own(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    declare(d, "a", "capacity=1 overflow=drop_oldest");
    declare(d, "b", "capacity=2 overflow=reject");
    publish(p, "all", 9000, "one two three");
    assert_string_equal(heard(p), "confirm all 1..2 -> a:1 b:1; refuse all 3 full 2/2 by b");
    assert_string_equal(ledger(d, "a"), "accepted 2 acked 0 purged 0 dropped 1 remaining 1"); /* nothing for "three" */
    operate(d, CALL_PURGE, "b");
    publish(p, "all", 0, "four");
    assert_string_equal(heard(p), "confirm all 4 -> a:3 b:3");
    assert_string_equal(ledger(d, "a"), "accepted 3 acked 0 purged 0 dropped 2 remaining 1");
}

static void a_queue_that_takes_nothing_refuses_the_whole_and_is_named(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    operate(d, CALL_CLOSE, "b");
    publish(p, "all", 5000, "one");
    assert_string_equal(heard(p), "refuse all 1 closed 0/100 by b");
    operate(d, CALL_OPEN, "b");
    declare(d, "b", "require_consumer=true");
    publish(p, "all", 5000, "two");
    assert_string_equal(heard(p), "refuse all 2 no_consumer 0/100 by b");
    declare(d, "b", "require_consumer=false capacity_bytes=64KiB");
    publish(p, "all", 5000, "big:70000");
    assert_string_equal(heard(p), "refuse all 3 too_large 0/100 by b");
    assert_string_equal(ledger(d, NULL), "accepted 0 acked 0 purged 0 dropped 0 remaining 0");
}

static void a_queue_that_has_the_event_counts_as_satisfied(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    publish(p, "b", 0, "x one@1");
    publish(p, "all", 0, "one@1");
    publish(p, "all", 0, "one@1");
    assert_string_equal(heard(p), "confirm b 1..2 -> 1; confirm all 1 -> a:1 b:2; confirm all 2 -> a:1 b:2 duplicate");
    publish(p, "all", 0, "two@2 two@2");
    assert_string_equal(heard(p), "confirm all 3 -> a:2 b:3; confirm all 4 -> a:2 b:3 duplicate");
    assert_string_equal(ledger(d, "b"), "accepted 3 acked 0 purged 0 dropped 0 remaining 3");
    assert_int_equal(topic_of(d, "all").duplicates, 2);
    assert_int_equal(describe(d, "a").duplicates, 2);
    assert_int_equal(describe(d, "b").duplicates, 2);
    assert_int_equal(topic_of(d, "all").in_rate_milli, 200); /* of ten seconds */
    declare(d, "a", "capacity=2");                           /* full, but it has the event already */
    publish(p, "all", 0, "one@1");
    assert_string_equal(heard(p), "confirm all 5 -> a:1 b:2 duplicate");
}

static void what_nothing_matches(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a");
    declare(d, "rest", "capacity=9");
    bind_filter(d, "all", "a", "{\"exact\":{\"type\":\"red\"}}");
    publish(p, "all", 5000, BLUE);
    assert_string_equal(heard(p), "refuse all 1 unrouted 0/0");
    assert_string_equal(set_unrouted(d, "all", UNROUTED_DROP, ""), "ok");
    publish(p, "all", 0, BLUE " " RED " " BLUE);
    assert_string_equal(heard(p), "confirm all 2 -> nowhere; confirm all 3 -> a:1; confirm all 4 -> nowhere");
    assert_int_equal(topic_of(d, "all").dropped, 2);
    assert_int_equal(topic_of(d, "all").accepted, 3);
    assert_string_equal(set_unrouted(d, "all", UNROUTED_QUEUE, "none"), "unknown_queue");
    assert_string_equal(set_unrouted(d, "all", UNROUTED_QUEUE, "rest"), "ok");
    publish(p, "all", 0, BLUE " " RED);
    assert_string_equal(heard(p), "confirm all 5 -> rest:1; confirm all 6 -> a:2");
    assert_string_equal(topic_of(d, "all").catch_all, "rest");
}

static void names_are_shared_with_queues(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a");
    assert_string_equal(declare(d, "all", "capacity=9"), "conflict");
    assert_string_equal(put_topic(d, "a"), "conflict");
    assert_string_equal(put_topic(d, "no name"), "invalid");
    struct open_body open = frame_begin_publish(&p->out, span_str("a"), 1, 0);
    frame_add_entry(&p->out, &(struct entry){ .event = span_str("x"), .topic = true }, 0);
    frame_end(&p->out, open);
    push(p);
    assert_string_equal(heard(p), "refuse a 1 unknown_topic 0/0");
    assert_int_equal(queue_find(d->core, span_str("a"))->refused, 0); /* it was not asked */
}

static void what_a_topic_may_have_is_bounded(void **state)
{
    struct driver *d = *state;
    d->config.max_queues = TOPIC_BINDINGS_MAX + 1;
    driver_restart(d);
    attached(d, "p");
    put_topic(d, "all");
    for (unsigned i = 0; i <= TOPIC_BINDINGS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "q%u", i);
        assert_string_equal(declare(d, name, ""), "ok");
        assert_string_equal(bind_filter(d, "all", name, NULL), i < TOPIC_BINDINGS_MAX ? "ok" : "conflict");
    }
    assert_non_null(strstr(d->reply.detail, "which is the maximum"));
    assert_string_equal(bind_filter(d, "all", "q0", NULL), "ok"); /* it is bound already */
    assert_int_equal(topic_of(d, "all").binding_count, TOPIC_BINDINGS_MAX);
}

static void topics_are_limited_as_queues_are(void **state)
{
    struct driver *d = *state;
    d->config.max_queues = 2;
    driver_restart(d);
    attached(d, "p");
    assert_string_equal(put_topic(d, "a"), "ok");
    assert_string_equal(put_topic(d, "b"), "ok");
    assert_string_equal(put_topic(d, "c"), "conflict");
    assert_non_null(strstr(d->reply.detail, "max_queues (2)"));
    assert_string_equal(put_topic(d, "b"), "ok");
    assert_string_equal(topic_call_on(d, CALL_DELETE_TOPIC, "a"), "ok");
    assert_string_equal(put_topic(d, "c"), "ok");
}

static void a_filter_that_nobody_understands_binds_nothing(void **state)
{
    struct driver *d = *state;
    attached(d, "p");
    make_topic(d, "all", "a");
    struct request r = { .call = CALL_BIND, .topic = "all", .queue = "a", .u.bind.filter = span_str("\377no filter") };
    assert_int_equal(ask(d, &r)->reason, REASON_invalid);
    assert_int_equal(topic_of(d, "all").bindings[0].filter.size, 0);
}

/* A typo in a topic's name does not declare a queue. */
static void what_is_meant_for_a_topic_declares_no_queue(void **state)
{
    struct driver *d = *state;
    d->config.auto_declare = true;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    struct open_body open = frame_begin_publish(&p->out, span_str("typo"), 1, 0);
    frame_add_entry(&p->out, &(struct entry){ .event = span_str("x"), .topic = true }, 0);
    frame_end(&p->out, open);
    push(p);
    assert_string_equal(heard(p), "refuse typo 1 unknown_topic 0/0");
    assert_string_equal(operate(d, CALL_DESCRIBE, "typo"), "unknown_queue");
}

static void a_bound_queue_is_deleted_by_force_only(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    make_topic(d, "more", "b");
    set_unrouted(d, "more", UNROUTED_QUEUE, "b");
    const struct reply *r = ask(d, &(struct request){ .call = CALL_DELETE, .queue = "b" });
    assert_int_equal(r->reason, REASON_bound);
    assert_non_null(strstr(r->detail, "to the topics all, more; unbind"));
    r = ask(d, &(struct request){ .call = CALL_DELETE, .queue = "a" });
    assert_non_null(strstr(r->detail, "to the topic all; unbind"));
    r = ask(d, &(struct request){ .call = CALL_DELETE, .queue = "b", .u.delete_.force = true });
    assert_int_equal(r->reason, REASON_ok);
    assert_int_equal(topic_of(d, "all").binding_count, 1);
    assert_int_equal(topic_of(d, "more").binding_count, 0);
    assert_int_equal(topic_of(d, "more").unrouted, UNROUTED_REFUSE);
    publish(p, "all", 0, "one");
    assert_string_equal(heard(p), "confirm all 1 -> a:1");
}

static void a_batch_is_admitted_as_a_prefix(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a");
    bind_filter(d, "all", "a", "{\"exact\":{\"type\":\"red\"}}");
    publish(p, "all", 0, RED " +" BLUE " +" RED);
    assert_string_equal(heard(p), "confirm all 1 -> a:1; refuse all 2..3 unrouted 0/0");
}

static void the_bytes_are_kept_once(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b c d e f g h");
    uint64_t before = broker(d).memory_used;
    publish(p, "all", 0, "big:100000");
    assert_true(broker(d).memory_used - before < 110000);
    for (const char *q = "abcdefg"; *q; q++)
        operate(d, CALL_PURGE, (char[]){ *q, '\0' });
    assert_true(broker(d).memory_used - before > 100000);
    operate(d, CALL_PURGE, "h");
    assert_true(broker(d).memory_used <= before);
}

static void the_broker_s_budget_counts_bytes_once(void **state)
{
    struct driver *d = *state;
    d->config.memory_budget = 300000;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    make_topic(d, "all", "a b");
    publish(p, "all", 0, "big:200000 big:150000");
    assert_string_equal(heard(p), "confirm all 1 -> a:1 b:1; refuse all 2 budget 0/0");
    operate(d, CALL_PURGE, "a");
    publish(p, "all", 0, "big:150000"); /* b has it still */
    assert_string_equal(heard(p), "refuse all 3 budget 0/0");
    operate(d, CALL_PURGE, "b");
    publish(p, "all", 0, "big:150000");
    assert_string_equal(heard(p), "confirm all 4 -> a:2 b:2");
}

static void a_list_shows_pages(void **state)
{
    struct driver *d = *state;
    make_topic(d, "x", "a");
    make_topic(d, "y", "a b");
    make_topic(d, "z", "");
    struct request r = { .call = CALL_LIST_TOPICS, .u.list = { "", "", 2 } };
    const struct reply *reply = ask(d, &r);
    assert_int_equal(reply->u.topics.count, 2);
    assert_string_equal(reply->u.topics.topics[1].topic, "y");
    assert_string_equal(reply->u.topics.topics[1].bindings[1].queue, "b");
    assert_string_equal(reply->u.topics.next, "y");
    struct request next = { .call = CALL_LIST_TOPICS, .u.list = { "", "y", 2 } };
    reply = ask(d, &next);
    assert_int_equal(reply->u.topics.count, 1);
    assert_string_equal(reply->u.topics.topics[0].topic, "z");
    assert_string_equal(reply->u.topics.next, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(an_event_goes_to_every_queue_that_matches),
        driven(each_queue_delivers_and_settles_by_itself),
        driven(sequences_run_on_beside_those_of_direct_publishes),
        driven(all_or_none),
        driven(a_queue_that_rejects_decides_before_others_are_waited_for),
        driven(events_of_one_frame_have_their_own_terms),
        driven(overflow_is_each_queue_s_own),
        driven(a_queue_that_takes_nothing_refuses_the_whole_and_is_named),
        driven(a_queue_that_has_the_event_counts_as_satisfied),
        driven(what_nothing_matches),
        driven(names_are_shared_with_queues),
        driven(what_a_topic_may_have_is_bounded),
        driven(topics_are_limited_as_queues_are),
        driven(a_filter_that_nobody_understands_binds_nothing),
        driven(what_is_meant_for_a_topic_declares_no_queue),
        driven(a_bound_queue_is_deleted_by_force_only),
        driven(a_batch_is_admitted_as_a_prefix),
        driven(the_bytes_are_kept_once),
        driven(the_broker_s_budget_counts_bytes_once),
        driven(a_list_shows_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
