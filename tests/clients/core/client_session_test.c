/* What happens in a new session to entries published before: the pure client against a scripted broker. */
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

static void undecided_entries_are_sent_again_under_their_numbers(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one two three");
    publish(s, "orders", 9000, "four");
    lose_session(s);
    struct outcome runs[] = { { .first = 1, .count = 1, .sequence = 8 },
                              { .first = 3, .count = 1, .reason = REASON_full } };
    struct outcomes known = { "orders", 1, runs, 2 };
    s->producer_known = true;
    s->outcomes = &known;
    s->outcome_count = 1;
    accept_attach(s);
    char text[256];
    snprintf(text, sizeof text, "%s", trace(s));
    assert_non_null(strstr(text, "outcome a 0 accepted 8; outcome a 2 full; attached; "));
    assert_non_null(strstr(text, "publish orders 2 +two(")); /* and not 3 */
    assert_non_null(strstr(text, "publish orders 4 four("));
    assert_null(strstr(text, "three"));
}

/* The broker waited for its disk when the session was lost, and now decides an entry that the window has not let be
 * sent again yet. */
static void entries_decided_before_the_resend_are_not_sent_again(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one two");
    publish_as(s, 'b', "disk", 9000, "three");
    lose_session(s);
    s->producer_known = true;
    s->window_events = 1;
    accept_attach(s);
    assert_non_null(strstr(trace(s), "attached; publish orders 1 one(")); /* and nothing else */
    confirm(s, "disk", 1, 1, 7);
    publish_as(s, 'c', "mail", 9000, "four"); /* frees the empty rings of disk */
    assert_string_equal(trace(s), "outcome b 0 accepted 7");
    frame_add_window(&s->out, 9, 1u << 20);
    say(s);
    assert_non_null(strstr(trace(s), "publish mail 1 four("));
}

static void decided_entries_that_are_not_listed_are_unknown(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one two");
    lose_session(s);
    struct outcome run = { .first = 2, .count = 1, .sequence = 9 };
    struct outcomes known = { "orders", 2, &run, 1 };
    s->producer_known = true;
    s->outcomes = &known;
    s->outcome_count = 1;
    accept_attach(s);
    assert_string_equal(trace(s), "outcome a 1 accepted 9; outcome a 0 unknown; attached");
}

static void without_known_outcomes_all_entries_are_unknown(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one two");
    lose_session(s);
    struct outcomes known = { "orders", 2, NULL, 0 };
    s->producer_known = true;
    s->outcomes = &known;
    s->outcome_count = 1;
    accept_attach(s);
    assert_string_equal(trace(s), "outcome a 0..1 unknown; attached");
}

/* A broker that restarted does not know of the refusal, and would accept them. */
static void entries_that_continue_a_refused_one_are_not_sent_again(void **state)
{
    struct script *s = attached(state);
    publish_as(s, 'a', "orders", 0, "zero");
    publish_as(s, 'b', "orders", 0, "one two three");
    publish_as(s, 'c', "orders", 0, "four");
    refuse_entries(s, "orders", 2, 1, REASON_full);
    lose_session(s);
    struct outcomes known = { "orders", 0, NULL, 0 };
    s->producer_known = true;
    s->outcomes = &known;
    s->outcome_count = 1;
    s->incarnation++;
    accept_attach(s);
    assert_string_equal(trace(s),
                        "attached; publish orders 1 zero; skip orders 3; skip orders 4; publish orders 5 four");
}

static void entries_past_their_deadline_are_skipped_in_the_new_session(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 1000, "one");
    publish(s, "orders", 9000, "two");
    pass(s, 1050);
    lose_session(s);
    struct outcomes known = { "orders", 0, NULL, 0 };
    s->producer_known = true;
    s->outcomes = &known;
    s->outcome_count = 1;
    accept_attach(s);
    assert_non_null(strstr(trace(s), "attached; skip orders 1; publish orders 2 two("));
}

/* The broker accepts the attach and knows nothing of what was numbered: the client leaves, and asks again at once under
 * another producer id, which the broker accepts. Returns what happened after the leave. */
static const char *under_another_id(struct script *s)
{
    struct token before = s->producer;
    assert_non_null(strstr(trace(s), "bye"));
    mono_t asked = s->now.mono;
    s->producer_known = false;
    until_asked(s);
    assert_true(s->asked_at.ns == asked.ns);
    assert_false(token_equal(s->producer, before));
    assert_int_equal(s->attach_epoch, 0);
    assert_true(token_is_zero(s->resumes));
    assert_string_equal(trace(s), "attach new");
    hello(s);
    trace(s);
    s->outcomes = NULL;
    s->outcome_count = 0;
    accept_attach(s);
    return trace(s);
}

/* Under the old id number 1 may be another event's by the word of another broker, or of this one on other data. */
static void nothing_is_sent_again_to_a_broker_that_forgot_the_producer(void **state)
{
    struct script *s = attached(state);
    publish_as(s, 'a', "orders", 9000, "one two");
    frame_add_bye(&s->out);
    say(s);
    publish_as(s, 'b', "orders", 9000, "three"); /* while away */
    until_asked(s);
    hello(s);
    trace(s);
    s->producer_known = false;
    accept_attach(s);
    char text[256];
    snprintf(text, sizeof text, "%s", trace(s));
    assert_string_equal(text, "bye; outcome a 0..1 unknown");
    pass(s, 0);
    assert_int_equal(strncmp(trace(s), "attach new", 10), 0);
    hello(s);
    trace(s);
    accept_attach(s);
    assert_int_equal(strncmp(trace(s), "attached; publish orders 1 three(", 33), 0);
}

static void decided_numbers_are_not_given_again_under_the_same_id(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one");
    confirm(s, "orders", 1, 1, 1);
    lose_session(s);
    s->producer_known = false;
    accept_attach(s);
    assert_string_equal(under_another_id(s), "attached");
    publish(s, "orders", 0, "two");
    assert_string_equal(trace(s), "publish orders 1 two");
}

static void a_client_that_never_published_keeps_its_id(void **state)
{
    struct script *s = attached(state);
    struct token id = s->producer;
    lose_session(s);
    s->producer_known = false;
    accept_attach(s);
    assert_string_equal(trace(s), "attached");
    publish(s, "orders", 0, "one");
    assert_string_equal(trace(s), "publish orders 1 one");
    assert_true(token_equal(s->producer, id));
}

/* As after a lost answer to an attach: by then a broker that never knew the id knows it. */
static void a_restarted_broker_that_lists_nothing_may_never_have_known_the_producer(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one two");
    confirm(s, "orders", 1, 1, 1);
    lose_session(s);
    s->producer_known = true;
    s->incarnation++;
    accept_attach(s);
    assert_string_equal(under_another_id(s), "attached");
    publish(s, "orders", 0, "three");
    assert_string_equal(trace(s), "publish orders 1 three");
}

/* It refuses the attach before its Hello: the new id is tried at once, and nobody need be told. */
static void a_broker_that_does_not_know_the_id_is_asked_under_another_at_once(void **state)
{
    struct script *s = *state;
    s->producer_epoch = 4;
    attach(s);
    publish(s, "orders", 9000, "one two");
    confirm(s, "orders", 1, 1, 1);
    frame_add_bye(&s->out);
    say(s);
    until_asked(s);
    struct token before = s->producer;
    trace(s);
    refuse_attach(s, REASON_fenced, "the broker does not know this producer id");
    assert_string_equal(trace(s), "outcome a 1 unknown");
    mono_t refused = s->now.mono;
    until_asked(s);
    assert_true(s->asked_at.ns == refused.ns);
    assert_string_equal(trace(s), "attach new");
    assert_false(token_equal(s->producer, before));
    refuse_attach(s, REASON_fenced, "nonsense"); /* no second time: it would ask for ever */
    assert_string_equal(trace(s), "away: nonsense");
    attach(s);
    publish(s, "orders", 0, "three");
    assert_string_equal(trace(s), "publish orders 1 three");
}

static void seen_outcomes_are_not_sent_to_a_broker_that_forgot_the_producer(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one");
    confirm(s, "orders", 1, 1, 1);
    pass(s, 1000);
    frame_add_bye(&s->out);
    say(s);
    publish(s, "orders", 9000, "two"); /* keeps the destination */
    until_asked(s);
    hello(s);
    trace(s);
    s->producer_known = false;
    accept_attach(s);
    assert_non_null(strstr(under_another_id(s), "publish orders 1 two("));
    pass(s, 500);
    assert_null(strstr(trace(s), "seen"));
}

/* After a restart the broker lists the outcomes that were on disk; the others are unknown. */
static void a_restarted_broker_speaks_for_what_is_on_disk_only(void **state)
{
    struct script *s = attached(state);
    publish_as(s, 'a', "disk", 9000, "one two");
    publish_as(s, 'b', "memory", 9000, "three");
    frame_add_bye(&s->out);
    say(s);
    trace(s);
    until_asked(s);
    assert_non_null(strstr(trace(s), "attach new disk memory")); /* the destinations whose outcomes it asks for */
    hello(s);
    trace(s);
    struct outcome run = { .first = 1, .count = 1, .sequence = 3, .flags = RUN_DURABLE };
    struct outcomes known = { "disk", 1, &run, 1 };
    s->producer_known = true;
    s->outcomes = &known;
    s->outcome_count = 1;
    s->incarnation++;
    accept_attach(s);
    char text[256];
    snprintf(text, sizeof text, "%s", trace(s));
    assert_int_equal(strncmp(text, "outcome a 0 accepted 3; outcome b 0 unknown; attached; ", 55), 0);
    assert_non_null(strstr(text, "publish disk 2 +two("));
    assert_null(strstr(text, "three"));
    publish(s, "memory", 0, "four");
    assert_string_equal(trace(s), "publish memory 2 four"); /* number 1 stays with three */
}

static void the_same_incarnation_speaks_for_all_destinations(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one");
    lose_session(s);
    s->producer_known = true; /* the entry never arrived: the broker does not list its destination */
    accept_attach(s);
    assert_non_null(strstr(trace(s), "attached; publish orders 1 one("));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scripted(undecided_entries_are_sent_again_under_their_numbers),
        scripted(entries_decided_before_the_resend_are_not_sent_again),
        scripted(decided_entries_that_are_not_listed_are_unknown),
        scripted(without_known_outcomes_all_entries_are_unknown),
        scripted(entries_that_continue_a_refused_one_are_not_sent_again),
        scripted(entries_past_their_deadline_are_skipped_in_the_new_session),
        scripted(nothing_is_sent_again_to_a_broker_that_forgot_the_producer),
        scripted(decided_numbers_are_not_given_again_under_the_same_id),
        scripted(a_client_that_never_published_keeps_its_id),
        scripted(a_restarted_broker_that_lists_nothing_may_never_have_known_the_producer),
        scripted(a_broker_that_does_not_know_the_id_is_asked_under_another_at_once),
        scripted(seen_outcomes_are_not_sent_to_a_broker_that_forgot_the_producer),
        scripted(a_restarted_broker_speaks_for_what_is_on_disk_only),
        scripted(the_same_incarnation_speaks_for_all_destinations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
