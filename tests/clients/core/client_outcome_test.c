/* Outcomes of publishes: the pure client against a scripted broker. */
#include "tests/clients/core/script.h"

#include <stdio.h>

static struct script *attached(void **state)
{
    struct script *s = *state;
    attach(s);
    return s;
}

/* Ends the session and waits until the client asks for a new one; the trace is empty. */
static void lose_session(struct script *s)
{
    frame_add_bye(&s->out);
    say(s);
    until_asked(s);
    hello(s);
    trace(s);
}

/* ------------------------------------------------------------------ the broker decides */

static void each_outcome_is_reported_once_in_runs(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one two three");
    trace(s);
    confirm(s, "orders", 1, 2, 41);
    refuse_entries(s, "orders", 3, 1, REASON_full);
    confirm(s, "orders", 1, 3, 41); /* a repeated confirm changes nothing */
    assert_string_equal(trace(s), "outcome a 0..1 accepted 41; outcome a 2 full");
    assert_true(client_is_quiet(s->client));
}

static void outcomes_of_entries_are_counted(void **state)
{
    struct script *s = attached(state);
    struct client_stats stats;
    publish(s, "orders", 1000, "one two three four");
    publish(s, "orders", 1000, "five six seven");
    confirm(s, "orders", 1, 3, 41);
    refuse_entries(s, "orders", 4, 2, REASON_full);
    client_stats(s->client, &stats);
    assert_int_equal(stats.undecided_events, 2);
    assert_int_equal(stats.undecided_bytes, strlen("six") + strlen("seven"));
    pass(s, 2050);
    client_stats(s->client, &stats);
    assert_int_equal(stats.undecided_events + stats.undecided_bytes, 0);
    assert_int_equal(stats.confirmed, 3);
    assert_int_equal(stats.refused, 2);
    assert_int_equal(stats.unknown, 2);
}

static void each_of_very_many_outcomes_is_reported(void **state)
{
    struct script *s = *state;
    s->window_events = 5000;
    attach(s);
    for (unsigned i = 0; i < 200; i++)
        publish(s, "orders", 9000, "a b c d e f g h i j");
    confirm(s, "orders", 1, 700, 1);
    confirm(s, "orders", 701, 1300, 701);
    assert_int_equal(s->client->stats.confirmed, 2000);
    assert_true(client_is_quiet(s->client));
}

static void one_confirm_is_reported_to_several_publishers(void **state)
{
    struct script *s = attached(state);
    publish_as(s, 'a', "orders", 9000, "one two");
    publish_as(s, 'b', "orders", 9000, "three");
    trace(s);
    confirm(s, "orders", 1, 3, 41);
    assert_string_equal(trace(s), "outcome a 0..1 accepted 41; outcome b 0 accepted 43");
}

/* ------------------------------------------------------------------ topics */

static void confirm_topic(struct script *s, const struct run *run, const struct target *targets, size_t count)
{
    struct open_body open = frame_begin_confirm(&s->out, span_str("sales"));
    frame_add_topic_run(&s->out, run, targets, count);
    frame_end(&s->out, open);
    say(s);
}

static void an_entry_of_a_topic_has_a_sequence_in_each_queue(void **state)
{
    struct script *s = attached(state);
    const struct target both[] = { { "audit", 100 }, { "mail", 7 } };
    publish_as(s, 'a', "sales", 9000, "one two");
    publish_as(s, 'b', "sales", 9000, "three");
    publish_as(s, 'c', "sales", 9000, "four");
    trace(s);
    confirm_topic(s, &(struct run){ .first = 1, .count = 3, .sequence = 5, .flags = RUN_TOPIC }, both, 2);
    assert_string_equal(trace(s), "outcome a 0..1 accepted audit 105 mail 12; outcome b 0 accepted audit 107 mail 14");
    confirm_topic(s, &(struct run){ .first = 4, .count = 1, .flags = RUN_TOPIC }, NULL, 0); /* nothing matched */
    assert_string_equal(trace(s), "outcome c 0 accepted");
    assert_true(client_is_quiet(s->client));
}

static void a_topic_may_have_many_queues(void **state)
{
    enum { QUEUES = 20 };
    struct script *s = attached(state);
    static char names[QUEUES][4], said[200] = "outcome a 0 accepted";
    struct target all[QUEUES];
    for (unsigned i = 0; i < QUEUES; i++) {
        snprintf(names[i], sizeof names[i], "q%u", i);
        snprintf(said + strlen(said), sizeof said - strlen(said), " %s %u", names[i], i + 1);
        all[i] = (struct target){ names[i], i + 1 };
    }
    publish(s, "sales", 9000, "one");
    trace(s);
    confirm_topic(s, &(struct run){ .first = 1, .count = 1, .flags = RUN_TOPIC }, all, QUEUES);
    assert_string_equal(trace(s), said);
}

static void the_queue_of_a_topic_that_refused_is_named(void **state)
{
    struct script *s = attached(state);
    publish(s, "sales", 9000, "one");
    trace(s);
    frame_add_refuse(&s->out, span_str("sales"), 1, 1, REASON_full, 5, 5, 0, span_str("audit"));
    say(s);
    assert_string_equal(trace(s), "outcome a 0 full by audit");
}

static void a_topic_s_outcomes_survive_the_session(void **state)
{
    struct script *s = attached(state);
    const struct target both[] = { { "audit", 100 }, { "mail", 7 } };
    publish(s, "sales", 9000, "one two");
    lose_session(s);
    struct outcome run = {
        .first = 1, .count = 2, .sequence = 1, .flags = RUN_TOPIC, .targets = both, .target_count = 2
    };
    struct outcomes known = { "sales", 2, &run, 1 };
    s->producer_known = true;
    s->outcomes = &known;
    s->outcome_count = 1;
    accept_attach(s);
    assert_non_null(strstr(trace(s), "outcome a 0..1 accepted audit 101 mail 8; attached"));
    assert_true(client_is_quiet(s->client));
}

static void a_topic_s_run_that_ends_within_a_target_is_no_run(void **state)
{
    struct script *s = attached(state);
    const struct target one[] = { { "audit", UINT64_MAX } };
    publish(s, "sales", 9000, "one");
    trace(s);
    confirm_topic(s, &(struct run){ .first = 1, .count = 1, .flags = RUN_TOPIC }, one, 1);
    assert_null(strstr(trace(s), "accepted audit"));
}

/* The window had room only for the head of a batch; when that is refused so is the rest, as admission is a prefix. */
static void the_unsent_rest_of_a_refused_batch_is_refused_with_it(void **state)
{
    struct script *s = *state;
    s->window_events = 2;
    attach(s);
    publish_as(s, 'a', "orders", 9000, "one two three");
    publish_as(s, 'b', "orders", 9000, "four");
    trace(s);
    confirm(s, "orders", 1, 1, 1);
    refuse_entries(s, "orders", 2, 1, REASON_closed);
    assert_string_equal(trace(s), "outcome a 0 accepted 1; outcome a 1..2 closed");
    assert_int_equal(s->client->unsent_events, 1);
    assert_int_equal(s->client->unsent_bytes, strlen("four"));
    frame_add_window(&s->out, 9, 1u << 20);
    say(s);
    assert_string_equal(trace(s), "seen orders 2; publish orders 3 four(9000)");
}

/* ------------------------------------------------------------------ time runs out */

static void at_its_deadline_an_entry_is_skipped_and_then_unknown(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 1000, "one two");
    trace(s);
    pass(s, 1049);
    assert_string_equal(trace(s), "");
    pass(s, 1);
    assert_string_equal(trace(s), "skip orders 1..2");
    pass(s, 999);
    assert_string_equal(trace(s), "");
    pass(s, 1);
    assert_string_equal(trace(s), "outcome a 0..1 unknown");
    confirm(s, "orders", 1, 2, 1); /* too late to report, but the number is decided */
    pass(s, 1000);
    assert_string_equal(trace(s), "seen orders 2");
}

static void each_entry_whose_time_is_up_is_skipped(void **state)
{
    struct script *s = attached(state);
    const uint32_t waits[] = { 1000, 9000, 1000, 1000, 9000, 9000, 1000 };
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        publish(s, "orders", waits[i], "x");
    trace(s);
    pass(s, 1050);
    assert_string_equal(trace(s), "skip orders 1; skip orders 3..4; skip orders 7");
}

/* The most that a broker accepts in one Skip. */
static void a_thousand_are_skipped_at_once_at_most(void **state)
{
    struct script *s = *state;
    s->window_events = 2000;
    attach(s);
    for (unsigned i = 0; i < 101; i++)
        publish(s, "orders", 1000, "a b c d e f g h i j");
    trace(s);
    pass(s, 1050);
    assert_string_equal(trace(s), "skip orders 1..1000; skip orders 1001..1010");
}

static void the_answer_to_a_skip_is_the_outcome(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 1000, "one");
    publish(s, "orders", 1000, "two");
    pass(s, 1050);
    trace(s);
    confirm(s, "orders", 1, 1, 1);
    refuse_entries(s, "orders", 2, 1, REASON_skipped);
    assert_string_equal(trace(s), "outcome a 0 accepted 1; outcome a 0 full");
}

/* The session's window is full of entries for another destination. */
/* As at a deadline, and only what was published with that cookie. */
static void a_wait_may_be_ended_early(void **state)
{
    struct script *s = *state;
    s->window_events = 4;
    attach(s);
    publish_as(s, 'a', "orders", 60000, "one");
    publish_as(s, 'b', "orders", 60000, "two three");
    publish_as(s, 'c', "orders", 60000, "four");
    publish_as(s, 'b', "mail", 60000, "five"); /* finds the window used up */
    publish_as(s, 'c', "mail", 60000, "six");
    trace(s);
    client_publish_end_wait(s->client, script_cookie('b'));
    pass(s, 0);
    assert_string_equal(trace(s), "outcome b 0 full; skip orders 2..3");
    refuse_entries(s, "orders", 2, 1, REASON_skipped);
    assert_string_equal(trace(s), "outcome b 0 full");
    confirm(s, "orders", 3, 1, 8); /* the broker had let it in */
    assert_string_equal(trace(s), "outcome b 1 accepted 8");
    pass(s, 30000);
    assert_string_equal(trace(s), ""); /* its neighbours wait on */
    confirm(s, "orders", 1, 1, 7);
    confirm(s, "orders", 4, 1, 9);
    assert_string_equal(trace(s), "outcome a 0 accepted 7; outcome c 0 accepted 9");
}

static void a_wait_that_was_ended_is_skipped_in_a_new_session_too(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 60000, "one");
    lose_session(s);
    client_publish_end_wait(s->client, script_cookie('a'));
    struct outcomes known = { "orders", 0, NULL, 0 };
    s->producer_known = true;
    s->outcomes = &known;
    s->outcome_count = 1;
    accept_attach(s);
    pass(s, 0);
    assert_null(strstr(trace(s), "publish orders 1 one(60000)"));
    refuse_entries(s, "orders", 1, 1, REASON_skipped);
    assert_string_equal(trace(s), "outcome a 0 full");
}

static void a_skip_does_not_wait_for_the_window(void **state)
{
    struct script *s = *state;
    s->window_events = 2;
    attach(s);
    publish(s, "orders", 9000, "one");
    publish(s, "mail", 100, "two");
    publish(s, "orders", 9000, "three");
    trace(s);
    pass(s, 150);
    assert_string_equal(trace(s), "skip mail 1");
}

/* Seen outcomes are reported within a second. While that cannot be sent it must not wake the client: pass() would
 * not end. */
static void seen_outcomes_wait_for_a_session(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one");
    confirm(s, "orders", 1, 1, 41);
    lose_session(s);
    pass(s, 1500);
    s->producer_known = true;
    accept_attach(s);
    assert_string_equal(trace(s), "attached; seen orders 1");
}

static void seen_outcomes_wait_for_room_on_the_link(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one");
    confirm(s, "orders", 1, 1, 41);
    pass(s, 500);
    s->deaf = true;
    s->client->link.limits.frames = 1;
    publish(s, "mail", 9000, "two");
    pass(s, 900);
    assert_false(link_room(&s->client->link));
    assert_true(client_is_attached(s->client));
}

static void a_publish_without_wait_has_a_second_for_the_answer(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 0, "one");
    trace(s);
    pass(s, 999);
    assert_string_equal(trace(s), "");
    pass(s, 1);
    assert_string_equal(trace(s), "skip orders 1");
    pass(s, 1000);
    assert_string_equal(trace(s), "outcome a 0 unknown");
}

static void entries_that_were_never_sent_are_unavailable(void **state)
{
    struct script *s = *state;
    publish(s, "orders", 1000, "one");
    publish(s, "orders", 5000, "two");
    pass(s, 1001);
    assert_non_null(strstr(trace(s), "outcome a 0 unavailable"));
    attach(s);
    confirm(s, "orders", 1, 1, 1); /* what was given up leaves no gap in the numbers */
    assert_string_equal(trace(s), "outcome a 0 accepted 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scripted(each_outcome_is_reported_once_in_runs),
        scripted(outcomes_of_entries_are_counted),
        scripted(each_of_very_many_outcomes_is_reported),
        scripted(one_confirm_is_reported_to_several_publishers),
        scripted(an_entry_of_a_topic_has_a_sequence_in_each_queue),
        scripted(a_topic_may_have_many_queues),
        scripted(the_queue_of_a_topic_that_refused_is_named),
        scripted(a_topic_s_outcomes_survive_the_session),
        scripted(a_topic_s_run_that_ends_within_a_target_is_no_run),
        scripted(the_unsent_rest_of_a_refused_batch_is_refused_with_it),
        scripted(at_its_deadline_an_entry_is_skipped_and_then_unknown),
        scripted(each_entry_whose_time_is_up_is_skipped),
        scripted(a_thousand_are_skipped_at_once_at_most),
        scripted(the_answer_to_a_skip_is_the_outcome),
        scripted(a_wait_may_be_ended_early),
        scripted(a_wait_that_was_ended_is_skipped_in_a_new_session_too),
        scripted(a_skip_does_not_wait_for_the_window),
        scripted(seen_outcomes_wait_for_a_session),
        scripted(seen_outcomes_wait_for_room_on_the_link),
        scripted(a_publish_without_wait_has_a_second_for_the_answer),
        scripted(entries_that_were_never_sent_are_unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
