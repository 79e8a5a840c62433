/* Expired events of a queue on disk that are dead-lettered: also those that were never read, and across crashes and
 * stops. */
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>

/* "dead 1 held 0 ready 2 delayed 0 expired 1 remaining 2" */
static const char *books(void)
{
    static char text[2][200];
    static unsigned turns;
    char *out = text[turns++ % 2];
    struct queue_info q = describe(bench.d, "mail");
    assert_int_equal(q.ledger.dead_lettered, 0);
    snprintf(out, sizeof text[0], "dead %llu held %llu ready %llu delayed %llu expired %llu remaining %llu",
             (unsigned long long)q.dead, (unsigned long long)q.dead_letter_held, (unsigned long long)q.ready,
             (unsigned long long)q.delayed, (unsigned long long)q.ledger.expired,
             (unsigned long long)q.ledger.remaining);
    return out;
}

/* … and once more, for what the first work led to. */
static void wait_twice(int64_t ms)
{
    wait_ms(ms);
    wait_ms(0);
}

static struct peer *keeping(const char *settings)
{
    char text[200];
    snprintf(text, sizeof text, "durability=disk dead_letter_expired=true %s", settings);
    assert_string_equal(declare_durably("mail", text), "ok");
    return joined("p");
}

static void publish_to_disk(struct peer *p, const char *words)
{
    publish(p, "mail", 0, words);
    settle_disk();
}

/* The dead events as text ("1:one expired"), read from the disk page by page. */
static const char *dead(void)
{
    static char text[400];
    struct request r = { .call = CALL_PEEK, .queue = "mail", .u.peek.state = STATE_DEAD };
    size_t size = 0;
    text[0] = '\0';
    do {
        assert_string_equal(ask_durably(&r), "ok");
        const struct reply *reply = &bench.d->reply;
        for (size_t i = 0; i < reply->u.peeked.count; i++) {
            const struct peeked *e = &reply->u.peeked.events[i];
            size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu:%.*s %s", size ? "; " : "",
                                     (unsigned long long)e->sequence, (int)e->event.size, (const char *)e->event.data,
                                     dead_reason_name(e->trouble.dead));
        }
        r.u.peek.from = reply->u.peeked.next;
    } while (r.u.peek.from);
    return text;
}

static void what_was_never_read_is_read_and_kept(void **state)
{
    (void)state;
    struct peer *p = keeping("");
    bench.d->core->config.memory_budget = 0; /* nothing is kept in memory */
    publish_to_disk(p, "one!5000 two three!5000 four~90000!5000 five");
    wait_twice(5000);
    assert_string_equal(books(), "dead 3 held 0 ready 2 delayed 0 expired 3 remaining 2");
    assert_string_equal(dead(), "1:one expired; 3:three expired; 4:four expired");
    crash(0);
    assert_string_equal(books(), "dead 3 held 0 ready 2 delayed 0 expired 3 remaining 2");
    assert_string_equal(dead(), "1:one expired; 3:three expired; 4:four expired");
    stop_orderly();
    assert_string_equal(books(), "dead 3 held 0 ready 2 delayed 0 expired 3 remaining 2");
}

static void what_expired_while_the_broker_was_away_is_kept(void **state)
{
    (void)state;
    struct peer *p = keeping("");
    publish_to_disk(p, "one!5000 two~90000!5000 three");
    crash(6000);
    wait_twice(0);
    assert_string_equal(books(), "dead 2 held 0 ready 1 delayed 0 expired 2 remaining 1");
    p = joined("c");
    consume(p, "mail");
    credit(p, "mail", 9);
    settle_disk();
    assert_non_null(strstr(heard(p), "three"));
    assert_string_equal(dead(), "1:one expired; 2:two expired");
}

static void what_is_held_for_want_of_room_outlives_crashes_and_stops(void **state)
{
    (void)state;
    struct peer *p = keeping("dead_capacity=1");
    bench.d->core->config.memory_budget = 0;
    publish_to_disk(p, "one!5000 two!5000 three!5000");
    wait_twice(5000);
    assert_string_equal(books(), "dead 1 held 2 ready 0 delayed 2 expired 1 remaining 2");
    crash(0);
    wait_twice(0);
    assert_string_equal(books(), "dead 1 held 2 ready 0 delayed 2 expired 1 remaining 2");
    stop_orderly();
    wait_twice(0);
    stop_orderly(); /* from a checkpoint that was written while they were held */
    wait_twice(0);
    assert_string_equal(books(), "dead 1 held 2 ready 0 delayed 2 expired 1 remaining 2");
    assert_string_equal(declare_durably("mail", "dead_capacity=9"), "ok");
    wait_twice(5000);
    assert_string_equal(books(), "dead 3 held 0 ready 0 delayed 0 expired 3 remaining 0");
    assert_string_equal(dead(), "1:one expired; 2:two expired; 3:three expired");
}

static void it_goes_to_another_queue_and_is_in_exactly_one(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("parking", "durability=disk capacity=2"), "ok");
    struct peer *p = keeping("dead_letter=parking");
    bench.d->core->config.memory_budget = 0;
    publish_to_disk(p, "one!5000 two!5000 three!5000 four");
    wait_twice(5000);
    assert_string_equal(books(), "dead 0 held 1 ready 1 delayed 1 expired 2 remaining 2");
    crash(0);
    bench.d->core->config.memory_budget = 0;
    wait_twice(0);
    assert_string_equal(books(), "dead 0 held 1 ready 1 delayed 1 expired 2 remaining 2");
    p = joined("c");
    consume(p, "parking");
    credit(p, "parking", 9);
    settle_disk();
    const char *said = heard(p);
    assert_non_null(strstr(said, "one{mail/1 expired}"));
    assert_non_null(strstr(said, "two{mail/2 expired}"));
    ack(p, "parking", 1, 1);
    ack(p, "parking", 2, 1);
    settle_disk();
    wait_twice(5000);
    assert_non_null(strstr(heard(p), "three{mail/3 expired}"));
    assert_string_equal(books(), "dead 0 held 0 ready 1 delayed 0 expired 3 remaining 1");
}

static void what_expires_before_the_disk_has_it_is_kept_once_it_has(void **state)
{
    (void)state;
    struct peer *p = keeping("");
    bench.d->core->config.memory_budget = 0;
    publish(p, "mail", 0, "one!5000 two!5000 three");
    pass(bench.d, 5000);
    pass(bench.d, 60000);
    assert_string_equal(books(), "dead 0 held 0 ready 1 delayed 2 expired 0 remaining 3");
    assert_int_equal(bench.d->core->delay_timers.count, 0); /* no timer tries it again and again */
    settle_disk();
    turn(bench.d);
    settle_disk();
    assert_string_equal(books(), "dead 2 held 0 ready 1 delayed 0 expired 2 remaining 1");
    assert_string_equal(dead(), "1:one expired; 2:two expired");
}

static void those_that_lie_apart_are_read_with_what_lies_between_or_without(void **state)
{
    (void)state;
    struct peer *p = keeping("");
    bench.d->core->config.memory_budget = 0;
    publish_to_disk(p, "one!5000 two three!5000");
    for (unsigned i = 0; i < 20; i++)
        publish_to_disk(p, "a b c d");
    publish_to_disk(p, "last!5000");
    wait_twice(5000);
    wait_twice(0);
    assert_string_equal(books(), "dead 3 held 0 ready 81 delayed 0 expired 3 remaining 81");
    assert_string_equal(dead(), "1:one expired; 3:three expired; 84:last expired");
}

static void what_is_held_on_disk_is_purged(void **state)
{
    (void)state;
    struct peer *p = keeping("dead_capacity=0");
    bench.d->core->config.memory_budget = 0;
    publish_to_disk(p, "one!5000 two!5000");
    wait_twice(5000);
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "mail" }), "ok");
    assert_string_equal(books(), "dead 0 held 0 ready 0 delayed 0 expired 0 remaining 0");
    assert_int_equal(queue_find(bench.d->core, span_str("mail"))->bytes, 0);
    crash(0);
    wait_twice(6000);
    assert_string_equal(books(), "dead 0 held 0 ready 0 delayed 0 expired 0 remaining 0");
}

static void one_in_flight_that_comes_back_is_kept(void **state)
{
    (void)state;
    struct peer *p = keeping("");
    consume(p, "mail");
    credit(p, "mail", 9);
    settle_disk();
    publish_to_disk(p, "one!5000");
    heard(p);
    wait_twice(6000);
    settle(p, "mail", SETTLE_NACK, 1, 1, 0);
    wait_twice(0);
    assert_string_equal(books(), "dead 1 held 0 ready 0 delayed 0 expired 1 remaining 0");
    crash(0);
    assert_string_equal(books(), "dead 1 held 0 ready 0 delayed 0 expired 1 remaining 0");
}

/* Else events that expire all the time would be settled behind the last checkpoint. */
static void what_expires_during_an_orderly_stop_is_kept_by_the_next_start(void **state)
{
    (void)state;
    struct peer *p = keeping("");
    publish_to_disk(p, "one!5000 two");
    core_stop(bench.d->core, bench.d->now);
    wait_twice(5000);
    assert_string_equal(books(), "dead 0 held 0 ready 2 delayed 0 expired 0 remaining 2");
    stop_orderly();
    wait_twice(0);
    assert_string_equal(books(), "dead 1 held 0 ready 1 delayed 0 expired 1 remaining 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(what_was_never_read_is_read_and_kept),
        on_disk(what_expired_while_the_broker_was_away_is_kept),
        on_disk(what_is_held_for_want_of_room_outlives_crashes_and_stops),
        on_disk(it_goes_to_another_queue_and_is_in_exactly_one),
        on_disk(what_expires_before_the_disk_has_it_is_kept_once_it_has),
        on_disk(those_that_lie_apart_are_read_with_what_lies_between_or_without),
        on_disk(what_is_held_on_disk_is_purged),
        on_disk(one_in_flight_that_comes_back_is_kept),
        on_disk(what_expires_during_an_orderly_stop_is_kept_by_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
