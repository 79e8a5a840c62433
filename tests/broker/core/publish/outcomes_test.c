/* Numbering and outcomes: what a producer is told after it lost its session, and what it sends again. */
#include "broker/core/durable/persist_fields.h"
#include "tests/broker/core/driver.h"

#include <stdio.h>

/* Attaches the same producer in a new session; returns what the answer says. */
static const char *attach_anew(struct peer *p)
{
    static char text[400];
    p->token = (struct token){ 0 };
    p->sent = p->received = 0;
    request_attach(p);
    heard(p);
    echo(p);
    snprintf(text, sizeof text, "%s", heard(p));
    return text;
}

static void decided_numbers_sent_again_change_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=2");
    publish(p, "orders", 0, "one two three");
    heard(p);
    operate(d, CALL_PURGE, "orders");
    publish_from(p, "orders", 1, 0, "one two three four");
    assert_string_equal(heard(p), "confirm orders 4 -> 3");
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 2 dropped 0 remaining 1");
}

static void a_gap_in_the_numbers_is_a_violation(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    publish_from(p, "orders", 2, 0, "two");
    assert_false(is_attached(p));
    assert_int_equal(describe(d, "orders").ready, 0);
}

static void outcomes_seen_are_forgotten(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    publish(p, "orders", 0, "one two three");
    seen(p, "orders", 2);
    bye(p);
    assert_string_equal(attach_anew(p), "attached known | orders through 3: 3 -> 3");
    seen(p, "orders", 4);
    assert_false(is_attached(p)); /* a Seen for what was never published ends the session */
}

static void attaching_anew_tells_every_unseen_outcome(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=2");
    p->deaf = true;
    publish(p, "orders", 0, "one two");
    publish(p, "orders", 0, "three");
    publish(p, "orders", 9000, "four five");
    give_up(p, "orders", 5, 1);
    publish(p, "nowhere", 0, "six");
    bye(p);
    p->deaf = false;
    assert_string_equal(attach_anew(p), "attached known | orders through 3: 1..2 -> 1, 3 full, 5 skipped"
                                        " | nowhere through 1: 1 unknown_queue");
    assert_int_equal(describe(d, "orders").waiting_publishers, 0); /* undecided: the client sends it again */
    operate(d, CALL_PURGE, "orders");
    publish_from(p, "orders", 4, 9000, "four");
    publish_from(p, "orders", 6, 9000, "six");
    assert_string_equal(heard(p), "confirm orders 4 -> 3; confirm orders 6 -> 4");
}

/* Three sessions: a batch waits, and is sent again after a later entry was refused. */
static void what_continues_a_refused_entry_is_refused_when_it_is_sent_again(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1 capacity_bytes=2048");
    publish(p, "orders", 0, "full");
    publish(p, "orders", 9000, "big:1500 +b +c");
    publish(p, "orders", 0, "later");
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 5 full 1/1");
    bye(p);
    assert_string_equal(attach_anew(p), "attached known | orders through 1: 1 -> 1, 5 full");
    declare(d, "orders", "capacity=9 capacity_bytes=1024");
    publish_from(p, "orders", 2, 0, "big:1500 +b");
    assert_string_equal(heard(p), "refuse orders 2..3 too_large 1/9");
    seen(p, "orders", 3);
    publish_from(p, "orders", 4, 0, "+c");
    assert_string_equal(heard(p), "refuse orders 4 too_large 1/9");
    publish(p, "orders", 0, "new");
    assert_string_equal(heard(p), "confirm orders 6 -> 2");
}

static void a_producer_is_remembered_for_a_while(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    publish(p, "orders", 0, "one");
    bye(p);
    pass(d, d->config.producer_memory_ms - 1);
    assert_string_equal(attach_anew(p), "attached known | orders through 1: 1 -> 1");
    bye(p);
    pass(d, d->config.producer_memory_ms);
    assert_string_equal(attach_anew(p), "attached");
}

/* Three entries waited and the second was given up. The others are sent again and are neighbours now. */
static void what_was_decided_in_between_keeps_its_number(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 0, "full");
    publish(p, "orders", 9000, "two three four");
    give_up(p, "orders", 3, 1);
    bye(p);
    assert_string_equal(attach_anew(p), "attached known | orders through 1: 1 -> 1, 3 skipped");
    declare(d, "orders", "capacity=9");
    publish_from(p, "orders", 2, 0, "two three four");
    assert_string_equal(heard(p), "confirm orders 2 -> 2; confirm orders 4 -> 3");
    bye(p);
    assert_string_equal(attach_anew(p), "attached known | orders through 4: 1..2 -> 1, 3 skipped, 4 -> 3");
}

/* ------------------------------------------------------------------ epochs of a producer id */

/* Attaches in a new session, with the producer epoch it was given; returns what it heard. */
static const char *come_back(struct peer *p)
{
    p->producer_epoch = p->told_epoch;
    return attach_anew(p);
}

/* Otherwise the window of a publisher that reattaches often enough would stay closed for good. */
static void decided_entries_sent_again_take_no_window(void **state)
{
    struct driver *d = *state;
    d->config.window_events = 8;
    d->config.window_bytes = 80;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=100");
    publish(p, "orders", 0, "one:10 two:10");
    heartbeat(p);
    assert_non_null(strstr(come_back(p), "attached known"));
    for (unsigned i = 0; i < 20; i++)
        publish_from(p, "orders", 1, 0, "one:10 two:10");
    assert_true(is_attached(p));
    assert_int_equal(describe(d, "orders").ready, 2);
}

static void each_session_of_a_producer_has_the_next_epoch(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    assert_int_equal(p->told_epoch, 1);
    heartbeat(p);
    assert_string_equal(come_back(p), "attached known");
    assert_int_equal(p->told_epoch, 2);
    attach(p); /* resuming changes nothing */
    assert_int_equal(p->told_epoch, 2);
    heartbeat(p);
    p->producer_epoch = 0; /* as a client that knows nothing of epochs */
    assert_string_equal(attach_anew(p), "attached known");
    assert_int_equal(p->told_epoch, 3);
}

/* Copies of one process: without producer epochs they would end each other's sessions in turn, for ever. */
static void of_two_holders_of_one_id_the_older_is_fenced(void **state)
{
    struct driver *d = *state;
    struct peer *older = attached(d, "older"), *newer = peer_new(d, "newer");
    heartbeat(older);
    newer->producer = older->producer;
    newer->told_epoch = older->told_epoch;
    assert_string_equal(come_back(newer), "attached known");
    heartbeat(newer);
    assert_false(is_attached(older));
    assert_string_equal(come_back(older), "attach refused fenced; lane closed");
    assert_true(is_attached(newer));
    assert_int_equal(broker(d).sessions, 1);
    assert_string_equal(come_back(newer), "attached known");
}

static void an_answer_that_was_lost_fences_nobody(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    heartbeat(p);
    for (unsigned i = 0; i < 3; i++) { /* each answer is lost: it still holds epoch 1 */
        p->told_epoch = 1;
        assert_string_equal(come_back(p), "attached known");
        assert_int_equal(p->told_epoch, 2);
    }
    heartbeat(p);
    p->told_epoch = 1;
    assert_string_equal(come_back(p), "attach refused fenced; lane closed");
}

/* Each name that a producer has used, even in a skip, is kept: without a limit the broker's memory would grow
 * without end. The client goes on under another id; under this one its sessions would always be ended. */
static void a_producer_of_too_many_names_is_fenced(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    for (unsigned i = 0; i < 70000 && is_attached(p); i++) {
        char name[16];
        snprintf(name, sizeof name, "q%u", i);
        frame_add_skip(&p->out, span_str(name), 1, 1);
        if (i % 500 == 0)
            push(p);
    }
    assert_false(is_attached(p));
    assert_true(logged(d, "its producer id was used for too many names"));
    heard(p);
    assert_string_equal(come_back(p), "attach refused fenced; lane closed");
    p->producer.low++;
    p->told_epoch = 0;
    assert_string_equal(come_back(p), "attached");
    publish(p, "orders", 0, "one");
    assert_string_equal(heard(p), "confirm orders 1 -> 1");
}

/* The client would number its events from 1 again, under an id that another state of the broker's data may know. */
static void a_producer_id_that_the_broker_does_not_know_is_not_begun_anew(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    bye(p);
    heard(p);
    pass(d, d->config.producer_memory_ms);
    p->token = (struct token){ 0 };
    p->producer_epoch = p->told_epoch;
    for (unsigned i = 0; i < 2; i++) { /* the request has not made it known */
        request_attach(p);
        assert_string_equal(heard(p), "attach refused fenced"); /* and no lane was opened */
    }
    p->producer.low++;
    p->told_epoch = 0;
    assert_string_equal(come_back(p), "attached");
}

static void the_epoch_outlives_a_restart(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    for (unsigned i = 0; i < 2; i++) {
        heartbeat(p);
        come_back(p);
    }
    assert_int_equal(p->told_epoch, 3);
    struct buf snapshot = { 0 };
    core_snapshot(d->core, &snapshot);
    driver_restart(d);
    struct log_replay replay = core_replay(d->core);
    assert_true(replay.restore(replay.context, buf_span(&snapshot)));
    buf_free(&snapshot);
    p = peer_new(d, "p");
    p->told_epoch = 1;
    assert_string_equal(come_back(p), "attach refused fenced; lane closed");
    p->told_epoch = 3;
    assert_string_equal(come_back(p), "attached known");
}

/* ------------------------------------------------------------------ told by a log */

static void replay_outcome(struct peer *p, uint64_t first, uint64_t count, uint64_t sequence, enum reason why)
{
    struct buf note = { 0 };
    struct log_replay replay = core_replay(p->driver->core);
    size_t mark = wire_begin(&note, NOTE_OUTCOME);
    wire_add_number(&note, OUTCOME_HIGH, p->producer.high);
    wire_add_number(&note, OUTCOME_LOW, p->producer.low);
    wire_add_bytes(&note, OUTCOME_TOPIC, span_str("orders"));
    size_t run = wire_begin(&note, OUTCOME_RUN);
    wire_add_number(&note, RUN_FIRST, first);
    wire_add_number(&note, RUN_COUNT, count);
    wire_add_number(&note, RUN_SEQUENCE, sequence);
    wire_add_number(&note, RUN_REASON, why);
    wire_end(&note, run);
    wire_end(&note, mark);
    replay.note(replay.context, buf_span(&note));
    buf_free(&note);
}

static void replay_accepted(struct peer *p, uint64_t first, uint64_t count, uint64_t sequence)
{
    replay_outcome(p, first, count, sequence, REASON_ok);
}

/* In a repaired log the record of a run may be lost in part; a later record then contains the whole run, and the
 * parts that are known must not be doubled. */
static void a_run_of_which_a_part_is_known_is_known_wholly(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "p");
    declare(d, "orders", "");
    replay_accepted(p, 4, 2, 14);
    replay_accepted(p, 8, 1, 18);
    replay_accepted(p, 3, 7, 13);
    replay_accepted(p, 1, 4, 11);
    assert_string_equal(attach_anew(p),
                        "attached known | orders through 9: 1..2 -> 11, 3 -> 13, 4..7 -> 14, 8..9 -> 18");
}

/* Else the rest of a batch could get in; the client may not have heard of the refusal (session_list_outcomes). */
static void what_continues_a_refused_entry_is_refused_after_a_restart(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "p");
    declare(d, "orders", "");
    replay_outcome(p, 1, 2, 0, REASON_draining);
    assert_string_equal(attach_anew(p), "attached known | orders through 2: 1..2 draining");
    publish_from(p, "orders", 2, 0, "two +three");
    assert_string_equal(heard(p), "refuse orders 3 draining 0/10000");
}

/* A client that attaches under ever new ids must not make the broker grow: the producer that is without a session
 * for longest is forgotten. */
static void only_so_many_producers_without_a_session_are_remembered(void **state)
{
    struct driver *d = *state;
    struct peer *first = attached(d, "first"), *second = attached(d, "second"), *there = attached(d, "there");
    bye(first);
    pass(d, 1);
    bye(second);
    pass(d, 1);
    for (uint64_t i = 1; i < PRODUCERS_REMEMBERED; i++)
        producer_release(d->core, producer_add(d->core, (struct token){ 7777, i }));
    assert_int_equal(HASH_COUNT(d->core->producers), PRODUCERS_REMEMBERED + 1);
    assert_string_equal(attach_anew(second), "attached known");
    bye(second);
    assert_true(is_attached(there));
    assert_string_equal(attach_anew(first), "attached");
}

/* The broker keeps each outcome until the client has seen it: a client that never says so must not make the broker
 * grow. */
static void a_client_that_never_says_what_it_saw_is_stopped(void **state)
{
    struct driver *d = *state;
    d->config.window_events = 8;
    driver_restart(d);
    struct peer *mute = attached(d, "mute"), *fair = attached(d, "fair");
    declare(d, "orders", "");
    unsigned published = 0;
    for (; is_attached(mute) && published < 100; published++) {
        publish(mute, "orders", 0, "x");
        publish(fair, "orders", 0, "y"); /* in between, so that each outcome is a run of its own */
        seen(fair, "orders", published + 1);
    }
    assert_int_equal(published, 4 * 8 + 2);
    assert_true(is_attached(fair));
}

static void a_skip_reaches_over_runs_and_what_continues_them(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 60000, "one two three");
    publish(p, "orders", 50000, "four +five");
    publish(p, "orders", 40000, "+six seven");
    heard(p);
    give_up(p, "orders", 2, 3); /* two, three, four: five and six belong to four's batch */
    assert_string_equal(heard(p), "refuse orders 2..6 skipped 1/1");
    assert_int_equal(describe(d, "orders").waiting_publishers, 1);
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "confirm orders 7 -> 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_client_that_never_says_what_it_saw_is_stopped),
        driven(a_skip_reaches_over_runs_and_what_continues_them),
        driven(decided_numbers_sent_again_change_nothing),
        driven(a_gap_in_the_numbers_is_a_violation),
        driven(outcomes_seen_are_forgotten),
        driven(attaching_anew_tells_every_unseen_outcome),
        driven(what_continues_a_refused_entry_is_refused_when_it_is_sent_again),
        driven(what_was_decided_in_between_keeps_its_number),
        driven(a_producer_is_remembered_for_a_while),
        driven(decided_entries_sent_again_take_no_window),
        driven(each_session_of_a_producer_has_the_next_epoch),
        driven(of_two_holders_of_one_id_the_older_is_fenced),
        driven(an_answer_that_was_lost_fences_nobody),
        driven(a_producer_of_too_many_names_is_fenced),
        driven(a_producer_id_that_the_broker_does_not_know_is_not_begun_anew),
        driven(the_epoch_outlives_a_restart),
        driven(a_run_of_which_a_part_is_known_is_known_wholly),
        driven(what_continues_a_refused_entry_is_refused_after_a_restart),
        driven(only_so_many_producers_without_a_session_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
