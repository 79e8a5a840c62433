/* Explaining one event: its state, what stands before it, and what happens to it by itself. */
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>

/* "ready a0 no_consumer behind 2"; with a consumer "of NAME", with a next step "lease_end in 1000"; or "not_found:
 * …". */
static const char *told(struct driver *d)
{
    static char text[4][300];
    static unsigned turns;
    static const char *const states[] = { "ready", "in_flight", "delayed", "dead" };
    char *out = text[turns++ % 4];
    const struct reply *reply = &d->reply;
    const struct explained *e = &reply->u.explained;
    if (reply->reason != REASON_ok) {
        snprintf(out, sizeof text[0], "%s: %s", reason_info(reply->reason)->name, reply->detail);
        return out;
    }
    assert_int_equal(reply->result, RESULT_EXPLAINED);
    int size = snprintf(out, sizeof text[0], "%s a%u %.*s: %s", states[e->event.state], e->event.attempt,
                        (int)e->event.event.size, (const char *)e->event.event.data,
                        e->blocked ? blocked_by_name(e->blocked) : "next");
    if (e->behind)
        size += snprintf(out + size, sizeof text[0] - (size_t)size, " behind %llu", (unsigned long long)e->behind);
    if (*e->consumer)
        size += snprintf(out + size, sizeof text[0] - (size_t)size, " of %s", e->consumer);
    if (e->next)
        snprintf(out + size, sizeof text[0] - (size_t)size, ", %s in %lld", next_step_name(e->next),
                 (long long)(e->next_ms - e->now_ms));
    return out;
}

static const char *explain(struct driver *d, uint64_t sequence)
{
    ask(d, &(struct request){ .call = CALL_EXPLAIN, .queue = "orders", .u.explain.sequence = sequence });
    return told(d);
}

static void a_ready_event_says_what_it_waits_for(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "lease=1s");
    publish(p, "orders", 0, "one two three");
    assert_string_equal(explain(d, 3), "ready a0 three: no_consumer behind 2");
    consume(p, "orders");
    assert_string_equal(explain(d, 1), "ready a0 one: no_credit of p");
    operate(d, CALL_PAUSE, "orders");
    assert_string_equal(explain(d, 1), "ready a0 one: paused of p");
    credit(p, "orders", 2);
    assert_string_equal(explain(d, 2), "ready a0 two: paused behind 1 of p");
    operate(d, CALL_RESUME, "orders");
    assert_string_equal(explain(d, 2), "in_flight a1 two: in_flight of p, lease_end in 1000");
    assert_string_equal(explain(d, 3), "ready a0 three: no_credit of p");
    pass(d, 400);
    assert_string_equal(explain(d, 2), "in_flight a1 two: in_flight of p, lease_end in 600");
    settle(p, "orders", SETTLE_EXTEND, 2, 1, 5000);
    assert_string_equal(explain(d, 2), "in_flight a1 two: in_flight of p, lease_end in 5000");
}

static void a_failed_event_says_until_when_it_waits(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "max_deliveries=2");
    consume(p, "orders");
    credit(p, "orders", 2);
    publish(p, "orders", 0, "one two");
    settle(p, "orders", SETTLE_NACK, 1, 1, 700);
    settle(p, "orders", SETTLE_DEFER, 2, 1, 900);
    assert_string_equal(explain(d, 1), "delayed a1 one: back_off, ready in 700");
    assert_int_equal(d->reply.u.explained.event.trouble.failures, 1);
    assert_string_equal(explain(d, 2), "delayed a1 two: delayed, ready in 900");
    assert_int_equal(d->reply.u.explained.now_ms - d->reply.u.explained.accepted_ms, 0);
    pass(d, 700);
    credit(p, "orders", 3);
    declare(d, "orders", "dead_capacity=0");
    settle(p, "orders", SETTLE_NACK, 3, 1, 0);
    assert_string_equal(explain(d, 1), "delayed a2 one: dead_letter, dead_letter in 5000");
    declare(d, "orders", "dead_capacity=1");
    pass(d, 5000);
    assert_string_equal(explain(d, 1), "dead a2 one: dead");
}

/* The clocks count whole milliseconds that do not begin together, and it is asked for in varying parts of a tenth of a
 * second. */
static void the_time_of_acceptance_never_varies_and_is_before_the_delivery(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    pass(d, 1277);
    publish(p, "orders", 0, "one");
    int64_t accepted = d->now.wall.ms;
    explain(d, 1);
    int64_t told_first = d->reply.u.explained.accepted_ms;
    assert_in_range(accepted - told_first, 0, 100);
    for (unsigned i = 0; i < 20; i++) {
        pass(d, 37);
        d->now.wall.ms += i % 2 ? -1 : 1;
        explain(d, 1);
        assert_true(d->reply.u.explained.accepted_ms == told_first);
    }
    d->now.wall.ms += 3600000;
    explain(d, 1);
    assert_true(d->reply.u.explained.accepted_ms == told_first + 3600000);
}

static void an_event_that_waits_for_its_key_names_the_one_before_it(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "ordered=key backoff=1h");
    consume(p, "orders");
    credit(p, "orders", 9);
    publish(p, "orders", 0, "one#a two#a");
    for (unsigned i = 0; i < 2; i++) { /* while it is in flight, and while it is parked */
        explain(d, 2);
        assert_int_equal(d->reply.u.explained.blocked, BLOCKED_KEY);
        assert_int_equal(d->reply.u.explained.blocker, 1);
        settle(p, "orders", SETTLE_NACK, 1, 1, 0);
    }
    explain(d, 1);
    assert_int_equal(d->reply.u.explained.blocked, BLOCKED_BACK_OFF);
}

static void an_event_that_is_not_there_is_explained(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "one");
    consume(p, "orders");
    credit(p, "orders", 1);
    ack(p, "orders", 1, 1);
    assert_non_null(strstr(explain(d, 1), "not_found: settled: event 1 of queue 'orders'"));
    assert_string_equal(explain(d, 2), "not_found: never existed: queue 'orders' has accepted events up to sequence 1");
    assert_non_null(strstr(explain(d, 0), "not_found: never existed"));
    declare(d, "new", "");
    struct request first = { .call = CALL_EXPLAIN, .queue = "new", .u.explain.sequence = 1 };
    assert_string_equal(ask(d, &first)->detail, "never existed: queue 'new' has accepted no event yet");
    struct request r = { .call = CALL_EXPLAIN, .queue = "nobody", .u.explain.sequence = 1 };
    assert_int_equal(ask(d, &r)->reason, REASON_unknown_queue);
}

static void an_event_that_is_not_durable_says_so_and_backlog_is_read(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish(p, "orders", 0, "one two");
    assert_string_equal(explain(d, 1), "ready a0 one: disk");
    settle_disk();
    assert_string_equal(explain(d, 1), "ready a0 one: no_consumer");
    crash(0);
    struct request r = { .call = CALL_EXPLAIN, .queue = "orders", .u.explain.sequence = 2 };
    assert_string_equal(ask_durably(&r), "ok");
    assert_string_equal(told(d), "ready a0 two: no_consumer behind 1");
    assert_int_equal(d->reply.u.explained.accepted_ms, d->now.wall.ms);
}

/* The next event to deliver waits for its mark, which is not durable yet. */
static void an_event_that_waits_for_its_mark_and_one_behind_it(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish_durably(p, "one two");
    consume(p, "orders");
    credit(p, "orders", 9);
    assert_string_equal(explain(d, 1), "ready a0 one: disk of p");
    assert_string_equal(explain(d, 2), "ready a0 two: behind behind 1 of p");
    settle_disk();
    assert_string_equal(explain(d, 1), "in_flight a1 one: in_flight of p, lease_end in 30000");
}

static void explain_from_disk(struct driver *d, uint64_t sequence)
{
    ask_only(d, &(struct request){ .call = CALL_EXPLAIN, .queue = "orders", .u.explain.sequence = sequence });
}

static void an_event_that_leaves_while_it_is_read_is_reported_as_gone(void **state)
{
    struct driver *d = *state;
    publish_durably(joined("p"), "one!5000 two");
    crash(0);
    unsigned before = d->replies;
    explain_from_disk(d, 1);
    assert_int_equal(d->replies, before);
    pass(d, 5000); /* the load finds the next event instead */
    settle_disk();
    assert_int_equal(d->replies, before + 1);
    assert_int_equal(d->reply.reason, REASON_not_found);
    assert_non_null(strstr(d->reply.detail, "settled: event 1 "));
}

static void a_queue_that_is_deleted_while_it_is_read_is_reported(void **state)
{
    struct driver *d = *state;
    publish_durably(joined("p"), "one two");
    crash(0);
    unsigned before = d->replies;
    explain_from_disk(d, 2);
    queue_delete(d->core, queue_find(d->core, span_str("orders")), REASON_deleted);
    assert_int_equal(d->replies, before);
    for (unsigned i = 0; i < 4; i++)
        settle_disk();
    assert_int_equal(d->replies, before + 1);
    assert_int_equal(d->reply.reason, REASON_deleted);
}

static void too_many_reads_at_once_are_refused(void **state)
{
    struct driver *d = *state;
    publish_durably(joined("p"), "one two");
    crash(0);
    unsigned before = d->replies;
    for (unsigned i = 0; i < 17; i++)
        explain_from_disk(d, 1 + i % 2);
    assert_int_equal(d->replies, before + 1);
    assert_int_equal(d->reply.reason, REASON_busy);
    for (unsigned i = 0; i < 40 && d->replies < before + 17; i++)
        settle_disk();
    assert_int_equal(d->replies, before + 17);
    assert_int_equal(d->reply.result, RESULT_EXPLAINED);
    crash(0);
    explain_from_disk(d, 1); /* the broker ends before it is answered */
}

static void a_dead_event_on_disk_is_read_too(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    struct queue_settings settings = settings_of("max_deliveries=1 backoff=0s");
    assert_true(core_configure_queue(d->core, "orders", &settings, NULL, d->now));
    consume(p, "orders");
    credit(p, "orders", 9);
    publish(p, "orders", 0, "one");
    settle_disk();
    settle(p, "orders", SETTLE_NACK, 1, 1, 0);
    settle_disk();
    struct request r = { .call = CALL_EXPLAIN, .queue = "orders", .u.explain.sequence = 1 };
    assert_string_equal(ask_durably(&r), "ok");
    assert_string_equal(told(d), "dead a1 one: dead");
}

static void an_expired_event_says_why_it_is_not_dead_yet(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    struct queue_settings settings = settings_of("dead_letter_expired=true");
    assert_true(core_configure_queue(d->core, "orders", &settings, NULL, d->now));
    d->core->config.memory_budget = 0; /* nothing is kept in memory */
    publish(p, "orders", 0, "one!5000");
    pass(d, 5000);
    assert_string_equal(explain(d, 1), "delayed a0 : expired"); /* the disk does not have it yet */
    settings = settings_of("dead_capacity=0");
    assert_true(core_configure_queue(d->core, "orders", &settings, NULL, d->now));
    settle_disk();
    pass(d, 1000);
    struct request r = { .call = CALL_EXPLAIN, .queue = "orders", .u.explain.sequence = 1 };
    assert_string_equal(ask_durably(&r), "ok");
    assert_string_equal(told(d), "delayed a0 one: dead_letter, dead_letter in 4000");
    const struct trouble_info *t = &d->reply.u.explained.event.trouble;
    assert_int_equal(t->held, HOLD_FULL);
    assert_true(t->first_ms == d->now.wall.ms - 1000 && t->last_ms == t->first_ms);
    settings = settings_of("dead_capacity=1");
    assert_true(core_configure_queue(d->core, "orders", &settings, NULL, d->now));
    pass(d, 4000);
    settle_disk();
    assert_string_equal(ask_durably(&r), "ok");
    assert_string_equal(told(d), "dead a0 one: dead");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_ready_event_says_what_it_waits_for),
        driven(a_failed_event_says_until_when_it_waits),
        driven(the_time_of_acceptance_never_varies_and_is_before_the_delivery),
        driven(an_event_that_waits_for_its_key_names_the_one_before_it),
        driven(an_event_that_is_not_there_is_explained),
        on_disk(an_event_that_is_not_durable_says_so_and_backlog_is_read),
        on_disk(an_event_that_waits_for_its_mark_and_one_behind_it),
        on_disk(an_event_that_leaves_while_it_is_read_is_reported_as_gone),
        on_disk(a_queue_that_is_deleted_while_it_is_read_is_reported),
        on_disk(too_many_reads_at_once_are_refused),
        on_disk(a_dead_event_on_disk_is_read_too),
        on_disk(an_expired_event_says_why_it_is_not_dead_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
