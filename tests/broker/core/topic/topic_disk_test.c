/* Topics whose queues are on disk: all or none over crashes, and what a producer is told after one. */
#include "tests/broker/core/disk_driver.h"
#include "tests/broker/core/topic_driver.h"

#include "proto/filter.h"

static const char *bind_durably(const char *topic, const char *queue)
{
    return ask_durably(&(struct request){ .call = CALL_BIND, .topic = topic, .queue = queue });
}

static void make_durably(const char *topic, const char *first, const char *second)
{
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PUT_TOPIC, .topic = topic }), "ok");
    assert_string_equal(declare_durably(first, "capacity=100"), "ok");
    assert_string_equal(declare_durably(second, "capacity=100"), "ok");
    assert_string_equal(bind_durably(topic, first), "ok");
    assert_string_equal(bind_durably(topic, second), "ok");
}

static uint64_t held(const char *queue)
{
    return queue_remaining(queue_find(bench.d->core, span_str(queue)));
}

static void a_confirm_comes_once_all_have_it_on_disk(void **state)
{
    (void)state;
    make_durably("all", "a", "b");
    struct peer *p = joined("p");
    publish(p, "all", 0, "one two");
    assert_string_equal(heard(p), "");
    settle_disk();
    assert_string_equal(heard(p), "confirm all 1..2 -> a:1 b:1 durable");
    crash(0);
    assert_int_equal(held("a"), 2);
    assert_int_equal(held("b"), 2);
    assert_int_equal(topic_of(bench.d, "all").binding_count, 2);
}

static void what_was_not_synced_is_in_none_of_them(void **state)
{
    (void)state;
    make_durably("all", "a", "b");
    struct peer *p = joined("p");
    publish(p, "all", 0, "one");
    crash(0);
    assert_true(held("a") == held("b"));
}

static void bindings_filters_and_what_is_unrouted_come_back(void **state)
{
    (void)state;
    struct buf filter = { 0 };
    make_durably("all", "a", "b");
    assert_true(filter_from_text(span_str("{\"exact\":{\"type\":\"red\"}}"), "filter", &filter, NULL));
    struct request bind = { .call = CALL_BIND, .topic = "all", .queue = "a", .u.bind.filter = buf_span(&filter) };
    struct request put = { .call = CALL_PUT_TOPIC,
                           .topic = "all",
                           .u.put_topic = { true, UNROUTED_QUEUE, "orders", false } };
    assert_string_equal(ask_durably(&bind), "ok");
    assert_string_equal(ask_durably(&put), "ok");
    for (unsigned i = 0; i < 2; i++) { /* from notes, then from the snapshot */
        if (i)
            stop_orderly();
        else
            crash(0);
        struct topic_info t = topic_of(bench.d, "all");
        assert_int_equal(t.binding_count, 2);
        assert_true(span_equal(t.bindings[0].filter, buf_span(&filter)));
        assert_int_equal(t.bindings[1].filter.size, 0);
        assert_int_equal(t.unrouted, UNROUTED_QUEUE);
        assert_string_equal(t.catch_all, "orders");
    }
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_UNBIND, .topic = "all", .queue = "a" }), "ok");
    crash(0);
    assert_int_equal(topic_of(bench.d, "all").binding_count, 1);
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_DELETE_TOPIC, .topic = "all" }), "ok");
    crash(0);
    assert_string_equal(topic_call_on(bench.d, CALL_DESCRIBE_TOPIC, "all"), "unknown_topic");
    buf_free(&filter);
}

static void a_forced_deletion_of_a_bound_queue_comes_back_unbound(void **state)
{
    (void)state;
    make_durably("all", "a", "b");
    struct request r = { .call = CALL_DELETE, .queue = "a", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    crash(0);
    struct topic_info t = topic_of(bench.d, "all");
    assert_int_equal(t.binding_count, 1);
    assert_string_equal(t.bindings[0].queue, "b");
}

/* Attaches the same producer id in a session after the crash; returns what the answer says. */
static const char *told_again(struct token producer)
{
    struct peer *p = peer_new(bench.d, "again");
    p->producer = producer;
    request_attach(p);
    echo(p);
    settle_disk();
    return heard(p);
}

static void a_producer_is_told_where_its_events_are_after_a_crash(void **state)
{
    (void)state;
    make_durably("all", "a", "b");
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "a", 0, "x");
    publish(p, "all", 0, "one two");
    settle_disk();
    publish(p, "all", 0, "three");
    settle_disk();
    crash(0);
    assert_non_null(strstr(told_again(id), " | all through 3: 1..3 -> a:2 b:1"));
    stop_orderly(); /* from the snapshot */
    assert_non_null(strstr(told_again(id), " | all through 3: 1..3 -> a:2 b:1"));
}

static void what_entered_no_queue_is_remembered_too(void **state)
{
    (void)state;
    make_durably("all", "a", "b");
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "all", 0, "one@1");
    publish(p, "all", 0, "one@1");
    settle_disk();
    assert_string_equal(heard(p), "confirm all 1 -> a:1 b:1 durable; confirm all 2 -> a:1 b:1 duplicate durable");
    crash(0);
    assert_non_null(strstr(told_again(id), " | all through 2: 1 -> a:1 b:1, 2 -> a:1 b:1 duplicate"));
}

/* A topic without queues is not on disk until it is bound again. */
static void what_entered_no_queue_while_there_was_none_is_not_refused(void **state)
{
    (void)state;
    struct request put = { .call = CALL_PUT_TOPIC, .topic = "all", .u.put_topic = { true, UNROUTED_DROP, "", false } };
    struct request unbind = { .call = CALL_UNBIND, .topic = "all", .queue = "a" };
    assert_string_equal(ask_durably(&put), "ok");
    assert_string_equal(declare_durably("a", "capacity=100"), "ok");
    assert_string_equal(bind_durably("all", "a"), "ok");
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "all", 0, "one");
    settle_disk();
    assert_string_equal(ask_durably(&unbind), "ok");
    publish(p, "all", 0, "two");
    assert_string_equal(bind_durably("all", "a"), "ok");
    publish(p, "all", 0, "three");
    settle_disk();
    crash(0);
    assert_non_null(strstr(told_again(id), " | all through 3: 1 -> a:1, 2 -> nowhere, 3 -> a:2"));
}

/* An entry that waited for room in a topic's queue on disk enters a queue in memory, as if it had been published
 * just then. */
static void an_entry_that_waited_and_went_to_memory_is_forgotten(void **state)
{
    (void)state;
    const struct binding_config to_memory = { .queue = "m" };
    struct topic_config config = {
        .name = "all", .unrouted = UNROUTED_REFUSE, .bindings = &to_memory, .binding_count = 1
    };
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PUT_TOPIC, .topic = "all" }), "ok");
    assert_string_equal(declare_durably("a", "capacity=1"), "ok");
    assert_string_equal(declare_durably("m", "durability=memory"), "ok");
    assert_string_equal(bind_durably("all", "a"), "ok");
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "all", 60000, "one two");
    settle_disk();
    assert_true(core_configure_topic(bench.d->core, &config, NULL, bench.d->now));
    settle_disk();
    assert_string_equal(heard(p), "confirm all 1 -> a:1 durable; confirm all 2 -> m:1");
    crash(0);
    assert_null(strstr(told_again(id), "all through"));
}

static void a_queue_that_had_the_event_is_named_after_a_crash(void **state)
{
    (void)state;
    make_durably("all", "a", "b");
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "b", 0, "x one@1");
    publish(p, "all", 0, "one@1");
    settle_disk();
    crash(0);
    assert_non_null(strstr(told_again(id), " | all through 1: 1 -> a:1 b:2"));
    assert_true(held("a") == 1 && held("b") == 2);
    p = joined("next");
    publish(p, "all", 0, "one@1"); /* each queue has its dedup window again */
    settle_disk();
    assert_string_equal(heard(p), "confirm all 1 -> a:1 b:2 duplicate durable");
}

static void backlog_of_each_queue_is_delivered_after_a_crash(void **state)
{
    (void)state;
    make_durably("all", "a", "b");
    publish(joined("p"), "all", 0, "one two three");
    settle_disk();
    crash(0);
    struct peer *k = joined("k");
    consume(k, "a");
    credit(k, "a", 9);
    settle_disk();
    ack(k, "a", 1, 3);
    consume(k, "b");
    credit(k, "b", 9);
    settle_disk();
    const char *said = heard(k);
    assert_non_null(strstr(said, "deliver a d1..3 s1..3 a1 one two three"));
    assert_non_null(strstr(said, "deliver b d1..3 s1..3 a1 one two three"));
    stop_orderly();
    assert_true(held("a") == 0 && held("b") == 3);
}

static void queues_of_one_topic_have_one_durability(void **state)
{
    (void)state;
    make_durably("all", "a", "b");
    assert_string_equal(declare_durably("m", "durability=memory"), "ok");
    assert_string_equal(bind_durably("all", "m"), "conflict");
    assert_non_null(
        strstr(bench.d->reply.detail, "queue 'm' is in memory and the other queues of topic 'all' are not"));
}

static const char *send_rest_to(const char *queue)
{
    struct request put = { .call = CALL_PUT_TOPIC,
                           .topic = "all",
                           .u.put_topic = { true, UNROUTED_QUEUE, queue, false } };
    return ask_durably(&put);
}

/* It is the topic's only queue, so its durability need not agree with another's. */
static void a_catch_all_is_replaced_by_one_of_the_other_durability(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("m", "durability=memory"), "ok");
    assert_string_equal(send_rest_to("m"), "ok");
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "all", 0, "one");
    assert_string_equal(heard(p), "confirm all 1 -> m:1");
    assert_string_equal(send_rest_to("orders"), "ok");
    publish(p, "all", 0, "two");
    settle_disk();
    assert_string_equal(heard(p), "confirm all 2 -> orders:1 durable");
    crash(0);
    assert_non_null(strstr(told_again(id), " | all through 2: 1 -> m:1, 2 -> orders:1"));
    assert_string_equal(declare_durably("a", "capacity=100"), "ok");
    assert_string_equal(bind_durably("all", "a"), "ok");
    assert_string_equal(send_rest_to("m"), "conflict");
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_UNBIND, .topic = "all", .queue = "a" }), "ok");
    assert_string_equal(send_rest_to("m"), "ok");
}

static void a_full_disk_makes_it_wait(void **state)
{
    (void)state;
    make_durably("all", "a", "b");
    struct peer *p = joined("p");
    const char *said = "";
    disk_set_capacity(bench.disk, disk_used(bench.disk));
    for (unsigned i = 0; i < 100 && !strstr(said, " disk "); i++) {
        publish(p, "all", 0, "big:3000");
        settle_disk();
        said = heard(p);
    }
    assert_non_null(strstr(said, " disk "));
    assert_true(held("a") == held("b") && held("a") > 0);
    publish(p, "all", 60000, "big:3000");
    settle_disk();
    assert_string_equal(heard(p), "");
    assert_true(core_due(bench.d->core).ns > bench.d->now.mono.ns); /* it is not tried again and again meanwhile */
    disk_set_capacity(bench.disk, UINT64_MAX);
    pass(bench.d, 2000); /* the log tries again after a while */
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm all"));
    assert_true(held("a") == held("b"));
}

/* ------------------------------------------------------------------ a full disk */

static void fill_disk(struct peer *p)
{
    disk_set_capacity(bench.disk, disk_used(bench.disk));
    for (unsigned i = 0; i < 100 && !strstr(heard(p), "refuse"); i++)
        publish_durably(p, "big:4000");
}

static void behind_a_waiter_for_the_disk_all_are_refused_with_reason_disk(void **state)
{
    struct driver *d = *state;
    make_durably("all", "a", "b");
    struct peer *p = joined("p"), *q = joined("q");
    fill_disk(p);
    publish(p, "all", 5000, "big:4000");
    publish(q, "all", 1000, "big:4000");
    publish(q, "all", 0, "at_once");
    publish(q, "a", 0, "at_once");
    assert_non_null(strstr(heard(q), "refuse all 2 disk "));
    publish(q, "a", 1000, "big:4000");
    pass(d, 1000);
    const char *said = heard(q);
    assert_non_null(strstr(said, "refuse all 1 disk "));
    assert_non_null(strstr(said, "refuse a 2 disk "));
    pass(d, 4000);
    publish(p, "a", 5000, "big:4000"); /* the queue's own line is the first now */
    publish(q, "all", 1000, "big:4000");
    publish(q, "all", 0, "at_once");
    assert_non_null(strstr(heard(q), "refuse all 4 disk "));
    pass(d, 1000);
    assert_non_null(strstr(heard(q), "refuse all 3 disk "));
}

/* ------------------------------------------------------------------ dropping */

static void a_topic_behind_a_queues_own_line_is_tried_when_all_of_that_are_refused(void **state)
{
    struct driver *d = *state;
    make_durably("all", "a", "b");
    assert_string_equal(declare_durably("a", "capacity_bytes=1024"), "ok");
    struct peer *p = joined("p"), *q = joined("q");
    publish(p, "a", 0, "big:700");
    settle_disk();
    publish(p, "a", 60000, "large:600");
    publish(q, "all", 60000, "small:50");
    assert_string_equal(heard(p), "confirm a 1 -> 1");
    /* Nothing can be dropped now: there is no room for what is dropped. */
    declare_durably("a", "overflow=drop_oldest dead_letter_dropped=true dead_capacity=0");
    assert_string_equal(heard(p), "refuse a 2 full 1/100");
    assert_string_equal(heard(q), "confirm all 1 -> a:2 b:1 durable");
    assert_int_equal(topic_of(d, "all").waiting_publishers, 0);
}

static void a_deleted_topic_leaves_no_memory(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    make_durably("all", "a", "b");
    publish(p, "all", 0, "one two");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm"));
    assert_true(bench.log->ops->memory(bench.log) > 0);
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "a" }), "ok");
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "b" }), "ok");
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_DELETE_TOPIC, .topic = "all" }), "ok");
    assert_int_equal(bench.log->ops->memory(bench.log), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_confirm_comes_once_all_have_it_on_disk),
        on_disk(what_was_not_synced_is_in_none_of_them),
        on_disk(bindings_filters_and_what_is_unrouted_come_back),
        on_disk(a_forced_deletion_of_a_bound_queue_comes_back_unbound),
        on_disk(what_entered_no_queue_is_remembered_too),
        on_disk(what_entered_no_queue_while_there_was_none_is_not_refused),
        on_disk(an_entry_that_waited_and_went_to_memory_is_forgotten),
        on_disk(a_queue_that_had_the_event_is_named_after_a_crash),
        on_disk(backlog_of_each_queue_is_delivered_after_a_crash),
        on_disk(queues_of_one_topic_have_one_durability),
        on_disk(a_catch_all_is_replaced_by_one_of_the_other_durability),
        on_disk(a_full_disk_makes_it_wait),
        on_disk(a_producer_is_told_where_its_events_are_after_a_crash),
        on_disk(behind_a_waiter_for_the_disk_all_are_refused_with_reason_disk),
        on_disk(a_topic_behind_a_queues_own_line_is_tried_when_all_of_that_are_refused),
        on_disk(a_deleted_topic_leaves_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
