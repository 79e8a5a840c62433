/* Redrives by filter, by reason, at a rate, and beside publishers that wait, in memory. */
#include "tests/broker/core/topic_driver.h"

#include "proto/event.h"
#include "proto/filter.h"

#include <stdio.h>

static struct buf filter;

/* Makes "orders" with `count` dead events of `words`, and a consumer of "target". */
static struct peer *with_dead(struct driver *d, const char *target, const char *words, uint64_t count)
{
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "max_deliveries=1");
    declare(d, "target", target);
    consume(p, "orders");
    credit(p, "orders", 100);
    publish(p, "orders", 0, words);
    settle(p, "orders", SETTLE_NACK, 1, count, 0);
    leave(p, "orders");
    assert_int_equal(describe(d, "orders").dead, count);
    return k;
}

static struct request request(uint32_t rate)
{
    return (
        struct request){ .call = CALL_REDRIVE, .queue = "orders", .u.redrive.to = "target", .u.redrive.rate = rate };
}

/* "redriven 2 left 1 running", or the reason's name. */
static const char *redrive(struct driver *d, struct request r)
{
    static char text[64];
    const struct reply *reply = ask(d, &r);
    if (reply->reason != REASON_ok)
        return reason_info(reply->reason)->name;
    snprintf(text, sizeof text, "redriven %llu left %llu%s", (unsigned long long)reply->u.redriven.redriven,
             (unsigned long long)reply->u.redriven.left, reply->u.redriven.running ? " running" : "");
    return text;
}

static const char *under_way(struct driver *d)
{
    static char text[64];
    struct redriving_info r = describe(d, "orders").redrive;
    snprintf(text, sizeof text, "%llu left %llu at %u to %s%s", (unsigned long long)r.redriven,
             (unsigned long long)r.left, r.rate, r.to, r.waits ? ", waits" : "");
    return text;
}

static uint64_t arrived(struct driver *d)
{
    return describe(d, "target").ready;
}

static struct span filter_of(const char *json)
{
    struct error e = { "" };
    buf_clear(&filter);
    if (!filter_from_text(span_str(json), "filter", &filter, &e))
        fail_msg("%s", e.text);
    return buf_span(&filter);
}

/* ------------------------------------------------------------------ which */

/* Unlike the words that other tests publish, these are CloudEvents: of type "t1", "t2", …, with the word as data. */
static struct peer *with_typed(struct driver *d, unsigned count)
{
    struct peer *p = attached(d, "p");
    declare(d, "orders", "max_deliveries=1");
    declare(d, "target", "");
    consume(p, "orders");
    credit(p, "orders", 100);
    for (unsigned i = 1; i <= count; i++) {
        char type[8];
        struct buf bytes = { 0 };
        snprintf(type, sizeof type, "t%u", i);
        event_encode(&(struct event){ .id = span_str("1"), .source = span_str("/s"), .type = span_str(type) }, &bytes);
        struct open_body open = frame_begin_publish(&p->out, span_str("orders"), i, 0);
        frame_add_entry(&p->out, &(struct entry){ .event = buf_span(&bytes) }, 0);
        frame_end(&p->out, open);
        push(p);
        buf_free(&bytes);
    }
    settle(p, "orders", SETTLE_NACK, 1, count, 0);
    assert_int_equal(describe(d, "orders").dead, count);
    return p;
}

static void a_filter_selects_events(void **state)
{
    struct driver *d = *state;
    struct request r = request(0);
    with_typed(d, 4);
    r.u.redrive.filter = filter_of("{\"any\":[{\"exact\":{\"type\":\"t2\"}},{\"exact\":{\"type\":\"t4\"}}]}");
    r.u.redrive.dry_run = true;
    assert_string_equal(redrive(d, r), "redriven 2 left 0");
    assert_int_equal(arrived(d), 0);
    r.id = (struct token){ 0 };
    r.u.redrive.dry_run = false;
    assert_string_equal(redrive(d, r), "redriven 2 left 0");
    assert_int_equal(arrived(d), 2);
    assert_int_equal(describe(d, "orders").dead, 2);
}

static void an_invalid_filter_is_refused(void **state)
{
    struct driver *d = *state;
    struct request r = request(0);
    with_dead(d, "", "one", 1);
    r.u.redrive.filter = span_str("\xff");
    assert_string_equal(redrive(d, r), "invalid");
    assert_int_equal(describe(d, "orders").dead, 1);
}

static void a_reason_selects_events(void **state)
{
    struct driver *d = *state;
    struct request r = request(0);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "max_deliveries=1 capacity=1 overflow=drop_oldest dead_letter_dropped=true");
    declare(d, "target", "");
    publish(p, "orders", 0, "one two");
    consume(p, "orders");
    credit(p, "orders", 1);
    settle(p, "orders", SETTLE_NACK, 1, 1, 0);
    r.u.redrive.reason = DEAD_DROPPED;
    assert_string_equal(redrive(d, r), "redriven 1 left 0");
    consume(p, "target");
    credit(p, "target", 1);
    assert_non_null(strstr(heard(p), "s1 a1 one"));
}

/* ------------------------------------------------------------------ at a rate */

static void a_rate_goes_on_by_itself_and_is_shown(void **state)
{
    struct driver *d = *state;
    with_dead(d, "", "a b c d e f g h i j", 10);
    assert_string_equal(redrive(d, request(4)), "redriven 0 left 10 running");
    assert_int_equal(arrived(d), 1);
    assert_string_equal(under_way(d), "1 left 9 at 4 to target");
    pass(d, 1000);
    assert_int_equal(arrived(d), 5);
    pass(d, 1000);
    assert_int_equal(arrived(d), 9);
    pass(d, 1000);
    assert_int_equal(arrived(d), 10);
    assert_int_equal(describe(d, "orders").redrive.rate, 0);
    assert_true(logged(d, "its redrive ended: 10 events redriven, 0 not looked at"));
}

static void a_queue_has_one_redrive_with_a_rate_at_a_time_and_it_can_be_stopped(void **state)
{
    struct driver *d = *state;
    struct request stop = { .call = CALL_REDRIVE, .queue = "orders", .u.redrive = { .to = "", .stop = true } };
    with_dead(d, "", "a b c d", 4);
    assert_string_equal(redrive(d, stop), "redriven 0 left 0");
    redrive(d, request(1));
    pass(d, 1000);
    assert_string_equal(redrive(d, request(1)), "conflict");
    stop.id = (struct token){ 0 };
    assert_string_equal(redrive(d, stop), "redriven 2 left 2");
    pass(d, 5000);
    assert_int_equal(arrived(d), 2);
    assert_int_equal(describe(d, "orders").dead, 2);
    assert_string_equal(redrive(d, request(1000)), "redriven 0 left 2 running");
}

static void a_redrive_waits_for_room_and_does_not_catch_up_in_a_burst(void **state)
{
    struct driver *d = *state;
    struct peer *k = with_dead(d, "capacity=2", "a b c d e f", 6);
    redrive(d, request(10));
    pass(d, 5000);
    assert_string_equal(under_way(d), "2 left 4 at 10 to target, waits");
    operate(d, CALL_CLOSE, "target");
    consume(k, "target");
    credit(k, "target", 100);
    ack(k, "target", 1, 2);
    pass(d, 1000);
    assert_string_equal(under_way(d), "2 left 4 at 10 to target, waits");
    operate(d, CALL_OPEN, "target");
    declare(d, "target", "capacity=100");
    pass(d, 260);
    assert_in_range(describe(d, "orders").redrive.redriven, 3, 5);
    pass(d, 1000);
    assert_int_equal(describe(d, "orders").dead, 0);
}

static void nothing_dead_is_nothing_to_do(void **state)
{
    struct driver *d = *state;
    declare(d, "orders", "");
    declare(d, "target", "");
    assert_string_equal(redrive(d, request(5)), "redriven 0 left 0");
    assert_int_equal(describe(d, "orders").redrive.rate, 0);
}

static void a_dry_run_has_no_rate(void **state)
{
    struct driver *d = *state;
    struct request r = request(5);
    with_dead(d, "", "a b", 2);
    r.u.redrive.dry_run = true;
    assert_string_equal(redrive(d, r), "redriven 2 left 0");
    pass(d, 1000);
    assert_int_equal(arrived(d), 0);
}

static void a_purge_or_deletion_ends_a_redrive(void **state)
{
    struct driver *d = *state;
    with_dead(d, "", "a b c d", 4);
    redrive(d, request(1));
    struct request purge = { .call = CALL_PURGE, .queue = "orders", .u.purge.dead = true };
    assert_int_equal(ask(d, &purge)->u.purged.purged, 3);
    pass(d, 1000);
    assert_int_equal(describe(d, "orders").redrive.rate, 0);
    assert_int_equal(arrived(d), 1);
    struct request delete = { .call = CALL_DELETE, .queue = "target", .u.delete_.force = true };
    assert_int_equal(ask(d, &delete)->reason, REASON_ok);
    declare(d, "target", "");
    consume(d->peers[0], "orders");
    credit(d->peers[0], "orders", 9);
    publish(d->peers[0], "orders", 0, "e f");
    settle(d->peers[0], "orders", SETTLE_NACK, 1, 2, 0);
    redrive(d, request(1));
    delete.id = (struct token){ 0 };
    assert_int_equal(ask(d, &delete)->reason, REASON_ok);
    pass(d, 3000);
    assert_int_equal(describe(d, "orders").redrive.rate, 0);
    assert_int_equal(describe(d, "orders").dead, 1);
}

/* ------------------------------------------------------------------ beside publishers */

static void waiting_publishers_come_first(void **state)
{
    struct driver *d = *state;
    struct peer *k = with_dead(d, "capacity_bytes=1024", "a b c", 3), *p = attached(d, "w");
    publish(p, "target", 0, "big:1000");
    publish(p, "target", 60000, "big:1000");
    assert_string_equal(redrive(d, request(0)), "redriven 0 left 3"); /* though they would fit */
    redrive(d, request(100));
    pass(d, 1000);
    assert_string_equal(under_way(d), "0 left 3 at 100 to target, waits");
    consume(k, "target");
    credit(k, "target", 100);
    ack(k, "target", 1, 1);
    pass(d, 1000);
    assert_non_null(strstr(heard(p), "confirm target 2 -> 2"));
    assert_int_equal(describe(d, "orders").dead, 0);
}

static void publishers_waiting_at_a_topic_come_first_too(void **state)
{
    struct driver *d = *state;
    struct peer *k = with_dead(d, "capacity_bytes=1024", "a b c", 3), *p = attached(d, "w");
    make_topic(d, "all", "target");
    publish(p, "target", 0, "big:1000");
    publish(p, "all", 60000, "big:1010");
    assert_string_equal(redrive(d, request(0)), "redriven 0 left 3");
    consume(k, "target");
    credit(k, "target", 100);
    ack(k, "target", 1, 1);
    assert_non_null(strstr(heard(p), "confirm all 1 -> target:2"));
}

/* Otherwise a budget that is full of dead events could never be freed. */
static void dead_events_that_use_up_the_budget_can_be_redriven(void **state)
{
    struct driver *d = *state;
    with_dead(d, "", "big:600 big:600 big:600", 3);
    d->core->config.memory_budget = broker(d).memory_used;
    assert_string_equal(redrive(d, request(0)), "redriven 3 left 0");
}

static int free_filter(void **state)
{
    (void)state;
    buf_free(&filter);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_filter_selects_events),
        driven(an_invalid_filter_is_refused),
        driven(a_reason_selects_events),
        driven(a_rate_goes_on_by_itself_and_is_shown),
        driven(a_queue_has_one_redrive_with_a_rate_at_a_time_and_it_can_be_stopped),
        driven(a_redrive_waits_for_room_and_does_not_catch_up_in_a_burst),
        driven(nothing_dead_is_nothing_to_do),
        driven(a_dry_run_has_no_rate),
        driven(a_purge_or_deletion_ends_a_redrive),
        driven(waiting_publishers_come_first),
        driven(publishers_waiting_at_a_topic_come_first_too),
        driven(dead_events_that_use_up_the_budget_can_be_redriven),
    };
    return cmocka_run_group_tests(tests, NULL, free_filter);
}
