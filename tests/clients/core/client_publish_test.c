/* Publishing, from the call to the wire: the pure client against a scripted broker. */
#include "tests/clients/core/script.h"

#include <stdio.h>
#include <stdlib.h>

static struct script *attached(void **state)
{
    struct script *s = *state;
    attach(s);
    return s;
}

/* ------------------------------------------------------------------ going out */

static void entries_are_numbered_densely_per_destination(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 0, "one two");
    publish(s, "mail", 0, "three");
    publish(s, "orders", 500, "four");
    assert_string_equal(trace(s), "publish orders 1 one +two; publish mail 1 three; publish orders 3 four(500)");
}

static void an_event_written_in_reserved_room_is_sent_like_any_other(void **state)
{
    struct script *s = attached(state);
    enum reason why;
    publish(s, "orders", 0, "zero");
    trace(s);
    uint8_t *at = client_reserve(s->client, span_str("orders"), 100);
    memcpy(at, "one", 3);
    assert_true(client_publish_reserved(s->client, 3, NULL, 0, script_cookie('b'), s->now, &why));
    at = client_reserve(s->client, span_str("mail"), 100);
    memcpy(at, "two", 3);
    assert_true(client_publish_reserved(s->client, 3, NULL, 0, script_cookie('c'), s->now, &why));
    assert_int_equal(s->client->unsent_events, 2);
    assert_int_equal(s->client->undecided_bytes, strlen("zero") + strlen("one") + strlen("two"));
    publish(s, "orders", 0, "three");
    assert_string_equal(trace(s), "publish orders 2 one three; publish mail 1 two");
    confirm(s, "orders", 1, 2, 7);
    assert_string_equal(trace(s), "outcome a 0 accepted 7; outcome b 0 accepted 8");
}

static void reserved_room_is_refused_to_large_events_and_without_a_name(void **state)
{
    struct script *s = attached(state);
    assert_null(client_reserve(s->client, span_str("orders"), 1u << 20));
    assert_null(client_reserve(s->client, span_str("no spaces"), 100));
    flush(s);
    assert_string_equal(trace(s), "");
}

static void one_publish_body_carries_the_entries_of_several_calls(void **state)
{
    struct script *s = *state;
    publish(s, "orders", 9000, "one"); /* away: they wait */
    publish(s, "orders", 8000, "two three");
    until_asked(s);
    hello(s);
    trace(s);
    accept_attach(s);
    assert_string_equal(trace(s), "attached; publish orders 1 one(9000) two(8000) +three(8000)");
}

static void the_time_that_remains_is_sent(void **state)
{
    struct script *s = *state;
    until_asked(s);
    publish(s, "orders", 9000, "one");
    pass(s, 1000);
    hello(s);
    trace(s);
    accept_attach(s);
    assert_string_equal(trace(s), "attached; publish orders 1 one(8000)");
}

static void lingering_entries_are_sent_together(void **state)
{
    struct script *s = *state;
    script_linger(s, 20);
    attach(s);
    pass_to_a_multiple_of(s, 20);
    publish(s, "orders", 0, "one");
    pass(s, 15);
    publish(s, "orders", 0, "two");
    pass(s, 4);
    assert_string_equal(trace(s), "");
    pass(s, 1);
    assert_string_equal(trace(s), "publish orders 1 one two");
}

/* Whenever they began: processes of one machine share the clock, and so do not wake the broker one by one. */
static void all_lingers_end_at_the_same_times(void **state)
{
    struct script *s = *state;
    script_linger(s, 20);
    attach(s);
    for (int64_t after = 1; after < 20; after += 6) {
        pass_to_a_multiple_of(s, 20);
        pass(s, after);
        publish(s, "orders", 0, "one");
        pass(s, 19 - after);
        assert_string_equal(trace(s), "");
        pass(s, 1);
        assert_string_not_equal(trace(s), "");
    }
}

static void a_lingering_publish_without_wait_is_sent_all_the_same(void **state)
{
    struct script *s = *state;
    script_linger(s, 20);
    attach(s);
    publish(s, "orders", 0, "one");
    publish(s, "orders", 5, "two");
    pass(s, 20);
    assert_string_equal(trace(s), "publish orders 1 one two(1)");
}

static void entries_that_lingered_before_the_window_opened_do_not_linger_again(void **state)
{
    struct script *s = *state;
    script_linger(s, 20);
    s->window_events = 2;
    attach(s);
    publish(s, "orders", 9000, "one two three");
    pass(s, 20);
    assert_non_null(strstr(trace(s), "two"));
    frame_add_window(&s->out, 4, 1u << 20);
    say(s);
    assert_non_null(strstr(trace(s), "three"));
}

static void an_entry_that_lingers_while_away_waits_for_the_broker(void **state)
{
    struct script *s = *state;
    script_linger(s, 20);
    until_asked(s);
    publish(s, "orders", 9000, "one");
    assert_true(client_lingers(s->client));
    pass(s, 1000); /* and is not due all the time */
    assert_false(client_lingers(s->client));
    hello(s);
    trace(s);
    accept_attach(s);
    assert_string_equal(trace(s), "attached; publish orders 1 one(8000)");
}

static void a_full_frame_does_not_linger(void **state)
{
    struct script *s = *state;
    script_linger(s, 1000);
    attach(s);
    char *big = calloc(1, 65537);
    memset(big, 'x', 65536);
    publish(s, "orders", 0, big);
    free(big);
    assert_int_equal(s->received, 1);
}

/* ------------------------------------------------------------------ the window */

static void only_a_window_goes_out(void **state)
{
    struct script *s = *state;
    s->window_events = 2;
    attach(s);
    publish(s, "orders", 9000, "one two three four");
    assert_string_equal(trace(s), "publish orders 1 one(9000) +two(9000)");
    confirm(s, "orders", 1, 2, 1); /* decisions alone open no window */
    assert_string_equal(trace(s), "outcome a 0..1 accepted 1");
    frame_add_window(&s->out, 3, 1u << 20);
    say(s);
    assert_string_equal(trace(s), "seen orders 2; publish orders 3 +three(9000)");
    frame_add_window(&s->out, 2, 1); /* an older one that arrives late */
    say(s);
    frame_add_window(&s->out, 4, 1u << 20);
    say(s);
    assert_string_equal(trace(s), "publish orders 4 +four(9000)");
}

static void bytes_count_against_the_window_too(void **state)
{
    struct script *s = *state;
    s->window_bytes = 7;
    attach(s);
    publish(s, "orders", 9000, "one two three");
    assert_string_equal(trace(s), "publish orders 1 one(9000) +two(9000)");
    frame_add_window(&s->out, 1000, 11);
    say(s);
    assert_string_equal(trace(s), "publish orders 3 +three(9000)");
}

static void a_window_that_stays_shut_is_full_at_the_deadline(void **state)
{
    struct script *s = *state;
    s->window_events = 0;
    attach(s);
    publish(s, "orders", 1000, "one");
    pass(s, 1000);
    assert_string_equal(trace(s), "");
    pass(s, 1);
    assert_string_equal(trace(s), "outcome a 0 full");
}

/* ------------------------------------------------------------------ what is not taken */

static void more_than_the_buffer_holds_is_refused(void **state)
{
    struct script *s = attached(state);
    s->client->config.buffer_bytes = 8;
    assert_true(publish_as(s, 'a', "orders", 9000, "four five"));
    assert_false(publish_as(s, 'b', "orders", 9000, "x"));
    confirm(s, "orders", 1, 1, 1);
    assert_true(publish_as(s, 'b', "orders", 9000, "x"));
    assert_false(client_is_quiet(s->client));
}

static void an_event_in_reserved_room_beyond_the_buffer_is_refused_too(void **state)
{
    struct script *s = attached(state);
    enum reason why;
    const struct {
        uint32_t max_event;
        uint64_t buffer_bytes;
        enum reason why;
    } narrow[] = { { 2, 100, REASON_too_large }, { 100, 2, REASON_busy } };
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        s->client->max_event = narrow[i].max_event;
        s->client->config.buffer_bytes = narrow[i].buffer_bytes;
        memcpy(client_reserve(s->client, span_str("orders"), 100), "one", 3);
        assert_false(client_publish_reserved(s->client, 3, NULL, 0, script_cookie('b'), s->now, &why));
        assert_int_equal(why, narrow[i].why);
    }
    assert_true(client_is_quiet(s->client));
    publish(s, "orders", 0, "x"); /* nothing was left over */
    assert_string_equal(trace(s), "publish orders 1 x");
}

static void events_beyond_max_event_and_malformed_names_are_refused(void **state)
{
    struct script *s = attached(state);
    enum reason why;
    struct span large = span_of("", (1u << 20) + 1);
    assert_false(client_publish(s->client, span_str("orders"), &large, 1, 0, NULL, s->now, &why));
    assert_int_equal(why, REASON_too_large);
    struct span small = span_str("x");
    assert_false(client_publish(s->client, span_str("no such/name"), &small, 1, 0, NULL, s->now, &why));
    assert_int_equal(why, REASON_invalid);
    assert_string_equal(trace(s), "");
}

/* ------------------------------------------------------------------ seen */

static void outcomes_are_reported_as_seen_after_a_second(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 0, "one two");
    confirm(s, "orders", 1, 2, 1);
    trace(s);
    pass(s, 999);
    assert_string_equal(trace(s), "");
    pass(s, 1);
    assert_string_equal(trace(s), "seen orders 2");
}

/* Counted from the first of them, however many come after it. */
static void further_outcomes_do_not_put_off_the_seen_report(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one two three");
    confirm(s, "orders", 1, 1, 1);
    pass(s, 600);
    confirm(s, "orders", 2, 1, 2);
    trace(s);
    pass(s, 399);
    assert_string_equal(trace(s), "");
    pass(s, 1);
    assert_string_equal(trace(s), "seen orders 2");
}

/* A session that publishes twice a second sends Seens with its publishes, and nothing else. */
static void seen_outcomes_that_a_publish_carried_are_not_reported_again(void **state)
{
    struct script *s = attached(state);
    for (uint64_t n = 1; n <= 5; n++) {
        publish(s, "orders", 9000, "one");
        confirm(s, "orders", n, 1, n);
        trace(s);
        pass(s, 600);
        assert_string_equal(trace(s), "");
    }
    publish(s, "sales", 9000, "one"); /* another destination's publish does not carry it */
    confirm(s, "sales", 1, 1, 1);
    trace(s);
    pass(s, 400);
    assert_string_equal(trace(s), "seen orders 5");
    pass(s, 600);
    assert_string_equal(trace(s), "seen sales 1");
}

static void outcomes_are_seen_up_to_the_first_undecided_only(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 9000, "one");
    publish(s, "orders", 9000, "two");
    publish(s, "orders", 0, "three");
    refuse_entries(s, "orders", 3, 1, REASON_full);
    confirm(s, "orders", 1, 1, 1);
    pass(s, 1000);
    trace(s);
    confirm(s, "orders", 2, 1, 2);
    pass(s, 1000);
    assert_string_equal(trace(s), "outcome a 0 accepted 2; seen orders 3");
}

/* Otherwise each of ten thousand destinations would keep some kilobytes. */
static void a_destination_that_is_left_keeps_no_room_for_entries(void **state)
{
    struct script *s = attached(state);
    publish(s, "orders", 0, "one");
    confirm(s, "orders", 1, 1, 1);
    publish(s, "mail", 0, "two");
    struct outlet *o = NULL;
    HASH_FIND(hh, s->client->outlets, "orders", 6, o);
    assert_null(o->sent.ring);
    assert_null(o->unsent.ring);
    trace(s);
    publish(s, "orders", 0, "three");
    assert_string_equal(trace(s), "seen orders 1; publish orders 2 three");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scripted(entries_are_numbered_densely_per_destination),
        scripted(further_outcomes_do_not_put_off_the_seen_report),
        scripted(seen_outcomes_that_a_publish_carried_are_not_reported_again),
        scripted(an_event_written_in_reserved_room_is_sent_like_any_other),
        scripted(reserved_room_is_refused_to_large_events_and_without_a_name),
        scripted(one_publish_body_carries_the_entries_of_several_calls),
        scripted(the_time_that_remains_is_sent),
        scripted(lingering_entries_are_sent_together),
        scripted(all_lingers_end_at_the_same_times),
        scripted(a_lingering_publish_without_wait_is_sent_all_the_same),
        scripted(entries_that_lingered_before_the_window_opened_do_not_linger_again),
        scripted(an_entry_that_lingers_while_away_waits_for_the_broker),
        scripted(a_full_frame_does_not_linger),
        scripted(only_a_window_goes_out),
        scripted(bytes_count_against_the_window_too),
        scripted(a_window_that_stays_shut_is_full_at_the_deadline),
        scripted(more_than_the_buffer_holds_is_refused),
        scripted(an_event_in_reserved_room_beyond_the_buffer_is_refused_too),
        scripted(events_beyond_max_event_and_malformed_names_are_refused),
        scripted(outcomes_are_reported_as_seen_after_a_second),
        scripted(a_destination_that_is_left_keeps_no_room_for_entries),
        scripted(outcomes_are_seen_up_to_the_first_undecided_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
