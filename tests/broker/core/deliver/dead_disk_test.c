/* Dead events on disk: they survive the broker together with what went wrong, and are read again when they are
 * needed. */
#include "broker/core/deliver/trouble.h"
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>

static struct peer *consuming(const char *name)
{
    struct peer *p = joined(name);
    consume(p, "mail");
    credit(p, "mail", 100);
    settle_disk();
    return p;
}

/* Makes queue "mail", where the first `count` events of `words` died at their first failure. */
static void with_dead(const char *words, uint64_t count)
{
    declare_durably("mail", "durability=disk max_deliveries=1 backoff=0s");
    struct peer *p = consuming("p");
    publish(p, "mail", 0, words);
    settle_disk();
    for (uint64_t i = 1; i <= count; i++) {
        frame_add_receipt_ack(&p->out, &(struct receipt_ack){ .kind = SETTLE_NACK,
                                                              .receipt = span_str(receipt_of(p, "mail", i)),
                                                              .status = 503,
                                                              .error = span_str("no luck") });
        push(p);
    }
    settle_disk();
    assert_int_equal(describe(bench.d, "mail").dead, count);
}

/* "1:one/1 2:two/1 next 3" */
static const char *dead(uint64_t from, uint32_t max)
{
    static char text[1000];
    struct request r = { .call = CALL_PEEK, .queue = "mail" };
    r.u.peek.state = STATE_DEAD, r.u.peek.from = from, r.u.peek.max = max;
    assert_string_equal(ask_durably(&r), "ok");
    const struct reply *reply = &bench.d->reply;
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < reply->u.peeked.count; i++) {
        const struct peeked *e = &reply->u.peeked.events[i];
        assert_string_equal(e->trouble.error, "no luck");
        assert_int_equal(e->trouble.status, 503);
        assert_int_equal(e->trouble.dead, DEAD_MAX_DELIVERIES);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu:%.*s/%u", i ? " " : "",
                                 (unsigned long long)e->sequence, (int)e->event.size, (const char *)e->event.data,
                                 e->attempt);
    }
    if (reply->u.peeked.next)
        snprintf(text + size, sizeof text - size, " next %llu", (unsigned long long)reply->u.peeked.next);
    return text;
}

static const char *redrive(const char *to)
{
    static char text[64];
    struct request r = { .call = CALL_REDRIVE, .queue = "mail", .u.redrive.to = to };
    assert_string_equal(ask_durably(&r), "ok");
    snprintf(text, sizeof text, "redriven %llu left %llu", (unsigned long long)bench.d->reply.u.redriven.redriven,
             (unsigned long long)bench.d->reply.u.redriven.left);
    return text;
}

static const char *books(void)
{
    static char text[128];
    struct queue_info i = describe(bench.d, "mail");
    snprintf(text, sizeof text, "accepted %llu acked %llu dead %llu purged %llu remaining %llu | %llu",
             (unsigned long long)i.ledger.accepted, (unsigned long long)i.ledger.acked,
             (unsigned long long)i.ledger.dead_lettered, (unsigned long long)i.ledger.purged,
             (unsigned long long)i.ledger.remaining, (unsigned long long)i.dead);
    return text;
}

static void dead_events_are_shown_from_the_disk(void **state)
{
    (void)state;
    with_dead("one two three", 2);
    assert_string_equal(dead(0, 0), "1:one/1 2:two/1");
    assert_string_equal(dead(2, 0), "2:two/1");
    assert_string_equal(dead(0, 1), "1:one/1 next 2");
}

static void dead_events_survive_a_crash(void **state)
{
    (void)state;
    with_dead("one two three", 2);
    crash(0);
    assert_string_equal(books(), "accepted 3 acked 0 dead 2 purged 0 remaining 1 | 2");
    assert_string_equal(dead(0, 0), "1:one/1 2:two/1");
    assert_non_null(strstr(heard(consuming("q")), "s3 a2 three")); /* and are not delivered */
}

static void dead_events_survive_an_orderly_stop(void **state)
{
    (void)state;
    with_dead("one two three", 2);
    stop_orderly();
    stop_orderly(); /* now only the snapshot has them */
    assert_string_equal(books(), "accepted 3 acked 0 dead 2 purged 0 remaining 1 | 2");
    assert_string_equal(dead(0, 0), "1:one/1 2:two/1");
}

/* They have left the queue, whose capacity_bytes are for others; the log still counts them. */
static void dead_events_take_no_capacity_bytes_after_a_crash_either(void **state)
{
    (void)state;
    with_dead("big:500 small:20", 1);
    assert_int_equal(describe(bench.d, "mail").bytes, 20);
    crash(0);
    assert_int_equal(describe(bench.d, "mail").bytes, 20);
    stop_orderly();
    assert_int_equal(describe(bench.d, "mail").bytes, 20);
    settle_disk(); /* the other is read */
    assert_string_equal(redrive(""), "redriven 1 left 0");
    assert_int_equal(describe(bench.d, "mail").bytes, 520);
}

static void neighbours_of_a_dead_event_leave_without_it(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk max_deliveries=1 backoff=0s");
    struct peer *p = consuming("p");
    publish(p, "mail", 0, "one two three");
    settle_disk();
    settle(p, "mail", SETTLE_NACK, 2, 1, 0);
    settle_disk();
    ack(p, "mail", 1, 1);
    ack(p, "mail", 3, 1);
    settle_disk();
    pass(bench.d, 100);
    settle_disk(); /* lazily */
    crash(0);
    assert_string_equal(books(), "accepted 3 acked 2 dead 1 purged 0 remaining 0 | 1");
    assert_string_equal(redrive(""), "redriven 1 left 0");
}

/* They are between events that a purge takes, and nothing has been read yet. */
static void a_purge_after_a_start_leaves_the_dead(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk max_deliveries=1 backoff=0s");
    struct peer *p = consuming("p");
    publish(p, "mail", 0, "one two three four");
    settle_disk();
    settle(p, "mail", SETTLE_NACK, 2, 1, 0);
    settle(p, "mail", SETTLE_NACK, 4, 1, 0);
    settle_disk();
    for (unsigned i = 0; i < 2; i++) {
        crash(0);
        struct request r = { .call = CALL_PURGE, .queue = "mail" };
        assert_string_equal(ask_durably(&r), "ok");
        assert_int_equal(bench.d->reply.u.purged.purged, i == 0 ? 2 : 0);
        assert_string_equal(books(), "accepted 4 acked 0 dead 2 purged 2 remaining 0 | 2");
    }
    assert_string_equal(redrive(""), "redriven 2 left 0");
}

static void a_purge_forgets_the_troubles_of_its_events(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk max_deliveries=9 backoff=0s");
    struct peer *p = consuming("p");
    publish(p, "mail", 0, "one two three");
    settle_disk();
    settle(p, "mail", SETTLE_NACK, 1, 2, 0);
    settle_disk();
    crash(0);
    const struct queue *q = queue_find(bench.d->core, span_str("mail"));
    assert_int_equal(HASH_COUNT(q->troubles), 2);
    struct request r = { .call = CALL_PURGE, .queue = "mail" };
    assert_string_equal(ask_durably(&r), "ok"); /* none of them was read */
    assert_int_equal(HASH_COUNT(q->troubles), 0);
    assert_int_equal(bench.d->core->history_bytes, 0);
}

static void failures_survive_a_restart(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk max_deliveries=2 backoff=0s");
    struct peer *p = consuming("p");
    publish(p, "mail", 0, "one");
    settle_disk();
    settle(p, "mail", SETTLE_NACK, 1, 1, 0);
    settle_disk();
    crash(0);
    p = consuming("q");
    settle(p, "mail", SETTLE_NACK, 1, 1, 0);
    settle_disk();
    assert_int_equal(describe(bench.d, "mail").dead, 1);
}

static enum dead_reason reason_of_first(void)
{
    struct request r = { .call = CALL_PEEK, .queue = "mail", .u.peek.state = STATE_DEAD };
    assert_string_equal(ask_durably(&r), "ok");
    return bench.d->reply.u.peeked.events[0].trouble.dead;
}

/* The answer promises that the event will not be redelivered: no later crash may bring it back. */
static void a_drop_is_durable_before_its_consumer_is_told(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    struct peer *p = consuming("p");
    publish(p, "mail", 0, "one two three");
    settle_disk();
    heard(p);
    settle(p, "mail", SETTLE_DROP, 1, 1, 0);
    settle_by(p, 4, SETTLE_DROP, receipt_of(p, "mail", 2), 0);
    assert_null(strstr(heard(p), "dropped"));
    settle_disk();
    assert_string_equal(heard(p), "settled mail 1 dropped; receipt 4 dropped");
    crash(0);
    assert_string_equal(books(), "accepted 3 acked 0 dead 2 purged 0 remaining 1 | 2");
    assert_int_equal(reason_of_first(), DEAD_DROPPED_BY_APP);
}

/* Waits until events that are held back are tried again. */
static void wait_for_room(void)
{
    pass(bench.d, 5000);
    settle_disk();
    pass(bench.d, 0);
    settle_disk();
}

static void a_drop_without_room_survives_a_restart(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk dead_capacity=1");
    struct peer *p = consuming("p");
    publish(p, "mail", 0, "one two");
    settle_disk();
    settle(p, "mail", SETTLE_DROP, 1, 2, 0);
    settle_disk();
    stop_orderly();
    struct request r = { .call = CALL_PURGE, .queue = "mail", .u.purge.dead = true };
    p = consuming("q");
    assert_string_equal(heard(p), "turn mail active e1; idle mail g1"); /* it is not redelivered, … */
    assert_int_equal(describe(bench.d, "mail").dead_letter_held, 1);
    stop_orderly(); /* … however often the broker ends */
    crash(0);
    wait_for_room();
    assert_int_equal(describe(bench.d, "mail").dead_letter_held, 1);
    assert_string_equal(ask_durably(&r), "ok");
    wait_for_room();
    assert_int_equal(describe(bench.d, "mail").dead, 1);
    assert_int_equal(reason_of_first(), DEAD_DROPPED_BY_APP);
    crash(0);
    assert_string_equal(books(), "accepted 2 acked 0 dead 2 purged 0 remaining 0 | 1");
}

/* If max_deliveries is raised meanwhile, it is redelivered instead. */
static void an_event_that_failed_too_often_waits_for_room_after_a_restart_too(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk dead_capacity=0 max_deliveries=1 backoff=0s");
    struct peer *p = consuming("p");
    publish(p, "mail", 0, "one two");
    settle_disk();
    settle(p, "mail", SETTLE_NACK, 1, 2, 0);
    settle_disk();
    crash(0);
    wait_for_room();
    p = consuming("q");
    assert_string_equal(heard(p), "turn mail active e1; idle mail g1");
    assert_string_equal(books(), "accepted 2 acked 0 dead 0 purged 0 remaining 2 | 0");
    declare_durably("mail", "durability=disk dead_capacity=0 max_deliveries=2");
    wait_for_room();
    assert_string_equal(heard(p), "deliver mail d1 s1 a2 one; deliver mail d2 s2 a2 two");
}

static void dead_events_are_redriven_from_the_disk_and_gone_after_a_crash(void **state)
{
    (void)state;
    with_dead("one two three", 3);
    crash(0);
    assert_string_equal(redrive(""), "redriven 3 left 0");
    assert_string_equal(books(), "accepted 6 acked 0 dead 3 purged 0 remaining 3 | 0");
    crash(0);
    assert_string_equal(books(), "accepted 6 acked 0 dead 3 purged 0 remaining 3 | 0");
    assert_non_null(strstr(heard(consuming("q")), "s4..6 a2 one two three"));
}

static void a_redrive_to_another_queue_goes_as_far_as_that_has_room(void **state)
{
    (void)state;
    with_dead("one two", 2);
    declare_durably("parking", "durability=disk capacity=1");
    assert_string_equal(redrive("parking"), "redriven 1 left 1");
    assert_string_equal(dead(0, 0), "2:two/1");
}

static void the_same_redrive_asked_again_is_done_once(void **state)
{
    struct driver *d = *state;
    with_dead("one two", 2);
    struct request r = { .id = { 5, 5 }, .call = CALL_REDRIVE, .queue = "mail", .u.redrive.to = "" };
    unsigned before = d->replies;
    ask_only(d, &r);
    ask_only(d, &r);
    assert_int_equal(d->replies, before);
    settle_disk();
    assert_int_equal(d->replies, before + 1);
    ask_only(d, &r); /* from the reply cache */
    settle_disk();
    assert_int_equal(d->replies, before + 2);
    assert_int_equal(d->reply.u.redriven.redriven, 2);
    assert_string_equal(books(), "accepted 4 acked 0 dead 2 purged 0 remaining 2 | 0");
}

static void purging_the_dead_survives_a_crash(void **state)
{
    (void)state;
    with_dead("one two three", 2);
    struct request r = { .call = CALL_PURGE, .queue = "mail", .u.purge.dead = true };
    assert_string_equal(ask_durably(&r), "ok");
    assert_int_equal(bench.d->reply.u.purged.purged, 2);
    crash(0);
    assert_string_equal(books(), "accepted 3 acked 0 dead 2 purged 0 remaining 1 | 0");
}

static void a_purge_of_backlog_leaves_the_dead_among_it(void **state)
{
    (void)state;
    with_dead("one two three", 2);
    crash(0);
    ask_only(bench.d, &(struct request){ .call = CALL_PURGE, .queue = "mail" }); /* nothing is loaded yet */
    settle_disk();
    assert_string_equal(books(), "accepted 3 acked 0 dead 2 purged 1 remaining 0 | 2");
    crash(0);
    assert_string_equal(books(), "accepted 3 acked 0 dead 2 purged 1 remaining 0 | 2");
    assert_string_equal(dead(0, 0), "1:one/1 2:two/1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(dead_events_are_shown_from_the_disk),
        on_disk(dead_events_survive_a_crash),
        on_disk(dead_events_survive_an_orderly_stop),
        on_disk(dead_events_take_no_capacity_bytes_after_a_crash_either),
        on_disk(neighbours_of_a_dead_event_leave_without_it),
        on_disk(a_purge_after_a_start_leaves_the_dead),
        on_disk(a_purge_forgets_the_troubles_of_its_events),
        on_disk(failures_survive_a_restart),
        on_disk(a_drop_is_durable_before_its_consumer_is_told),
        on_disk(a_drop_without_room_survives_a_restart),
        on_disk(an_event_that_failed_too_often_waits_for_room_after_a_restart_too),
        on_disk(dead_events_are_redriven_from_the_disk_and_gone_after_a_crash),
        on_disk(a_redrive_to_another_queue_goes_as_far_as_that_has_room),
        on_disk(the_same_redrive_asked_again_is_done_once),
        on_disk(purging_the_dead_survives_a_crash),
        on_disk(a_purge_of_backlog_leaves_the_dead_among_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
