/* Attaching, resuming, back-off: the pure client against a scripted broker. */
#include "tests/clients/core/script.h"

static void a_client_attaches_by_echoing_the_hello(void **state)
{
    struct script *s = *state;
    until_asked(s);
    assert_string_equal(trace(s), "control; attach new");
    assert_false(client_is_attached(s->client));
    hello(s);
    assert_string_equal(trace(s), "ingress tcp://*:7700; echo");
    assert_false(client_is_attached(s->client));
    accept_attach(s);
    assert_string_equal(trace(s), "attached");
    assert_string_equal(client_attach_error(s->client), "");
}

static void the_hello_of_another_attempt_is_not_echoed(void **state)
{
    struct script *s = *state;
    until_asked(s);
    trace(s);
    s->attach_id.low ^= 1;
    hello(s);
    assert_string_equal(trace(s), "");
    reply_to(s, s->attach_id, REASON_denied); /* and its reply is ignored */
    assert_string_equal(trace(s), "");
    s->attach_id.low ^= 1;
    attach(s);
}

static void a_hello_of_odd_sizes_is_not_echoed(void **state)
{
    struct script *s = *state;
    char endpoint[202];
    uint8_t id[17] = { 0 };
    memset(endpoint, 'x', sizeof endpoint);
    until_asked(s);
    trace(s);
    wire_store64(id, s->attach_id.high);
    wire_store64(id + 8, s->attach_id.low);
    const struct {
        size_t id, endpoint;
    } odd[] = { { 15, 1 }, { 17, 1 }, { 0, 0 }, { 16, 201 } };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        frame_add_hello(&s->out, span_of(id, odd[i].id), span_of(endpoint, odd[i].endpoint));
        struct frame_header h = header(s, 0);
        say_as(s, &h);
        assert_string_equal(trace(s), "");
    }
    attach(s);
}

static void an_attempt_without_an_answer_is_over_after_2500_ms(void **state)
{
    struct script *s = *state;
    until_asked(s);
    trace(s);
    pass(s, 2499);
    assert_string_equal(trace(s), "");
    s->asked = false;
    pass(s, 1);
    assert_string_equal(trace(s), "away: the broker does not answer");
    until_asked(s);
    hello(s);
    trace(s);
    s->asked = false;
    pass(s, 2500);
    assert_non_null(strstr(trace(s), "away: the broker did not finish the attach"));
}

/* Full jitter: from 0 up to a bound that doubles. The mean of many waits distinguishes it from waiting for the
 * bound. */
static void every_further_attempt_waits_a_random_time_below_a_bound_that_doubles(void **state)
{
    struct script *s = *state;
    int64_t bound = 50, sum = 0, bounds = 0, longest = 0;
    until_asked(s);
    for (unsigned i = 0; i < 200; i++) {
        mono_t refused = s->now.mono;
        refuse_attach(s, REASON_draining, "the broker is stopping");
        until_asked(s);
        int64_t waited = mono_since_ms(s->asked_at, refused);
        assert_in_range(waited, 0, bound);
        sum += waited;
        bounds += bound;
        longest = waited > longest ? waited : longest;
        bound = bound * 2 < 5000 ? bound * 2 : 5000;
    }
    assert_in_range(100 * sum / bounds, 40, 60);
    assert_true(longest > 4500);
    assert_string_equal(client_attach_error(s->client), "the broker is stopping");
    hello(s);
    accept_attach(s);
    say(s);
    s->silent = true; /* once attached the bound starts again */
    pass(s, 6500);
    assert_false(client_is_attached(s->client));
    pass(s, 50);
    assert_true(s->asked);
}

static void a_silent_broker_is_attached_to_again_and_the_session_resumed(void **state)
{
    struct script *s = *state;
    attach(s);
    frame_add_window(&s->out, 1000, 1u << 20);
    say(s);
    s->silent = true;
    pass(s, 6499);
    trace(s);
    until_asked(s);
    assert_string_equal(trace(s), "away: the broker is silent; control; attach again");
    assert_true(token_equal(s->resumes, s->session));
    assert_int_equal(s->attach_received, 1);
    hello(s);
    accept_attach(s);
    assert_string_equal(trace(s), "ingress tcp://*:7700; echo; attached again");
    struct client_stats stats;
    client_stats(s->client, &stats);
    assert_int_equal(stats.attaches, 2);
    assert_int_equal(stats.resumes, 1);
    assert_int_equal(stats.frames_in, 1);
    assert_int_equal(stats.incarnation, s->incarnation);
}

static void lost_frames_are_sent_again_when_the_session_is_resumed(void **state)
{
    struct script *s = *state;
    attach(s);
    s->deaf = true;
    publish(s, "orders", 9000, "one two");
    pass(s, 900);
    s->deaf = false;
    s->silent = true;
    until_asked(s); /* a second without progress */
    publish(s, "orders", 9000, "three");
    trace(s);
    hello(s);
    accept_attach(s);
    assert_string_equal(trace(s), "ingress tcp://*:7700; echo; attached again; publish orders 1 one(9000) +two(9000); "
                                  "publish orders 3 three(9000)");
}

static void a_lost_session_is_replaced_by_a_new_one(void **state)
{
    struct script *s = *state;
    attach(s);
    s->silent = true;
    until_asked(s);
    trace(s);
    refuse_attach(s, REASON_unknown_session, "this session is gone; attach anew");
    until_asked(s);
    assert_string_equal(trace(s), "away: this session is gone; attach anew; control; attach new");
    hello(s);
    accept_attach(s);
    assert_string_equal(trace(s), "ingress tcp://*:7700; echo; attached");
}

static void an_answer_that_does_not_fit_ends_the_session(void **state)
{
    struct script *s = *state;
    attach(s);
    s->silent = true;
    until_asked(s);
    hello(s);
    trace(s);
    s->received = 9; /* never sent */
    accept_attach(s);
    until_asked(s);
    assert_string_equal(trace(s), "away: the broker's word about the session does not fit; control; attach new");
}

static void a_producer_id_is_held_under_the_epoch_of_the_answer(void **state)
{
    struct script *s = *state;
    s->producer_epoch = 4;
    attach(s);
    assert_int_equal(s->attach_epoch, 0);
    s->silent = true;
    attach(s); /* resumes */
    s->silent = true;
    until_asked(s);
    assert_int_equal(s->attach_epoch, 4);
    refuse_attach(s, REASON_unknown_session, "");
    until_asked(s);
    assert_int_equal(s->attach_epoch, 4);
}

/* A newer client holds the id: what was sent stays unknown; what was not is sent under a new id, from number 1. */
static void a_fenced_client_reports_it_and_goes_on_under_another_id(void **state)
{
    struct script *s = *state;
    s->producer_epoch = 4;
    attach(s);
    publish(s, "orders", 60000, "one two");
    confirm(s, "orders", 1, 1, 1);
    frame_add_bye(&s->out);
    say(s);
    until_asked(s);
    struct token fenced = s->producer;
    publish_as(s, 'b', "orders", 60000, "three");
    hello(s);
    trace(s);
    refuse_attach(s, REASON_fenced, "a newer holder of this producer id has attached");
    assert_string_equal(trace(s), "outcome a 1 unknown; away: a newer holder of this producer id has attached");
    for (unsigned i = 0; i < 3; i++) {
        until_asked(s);
        assert_false(token_equal(s->producer, fenced));
        assert_int_equal(s->attach_epoch, 0);
        refuse_attach(s, REASON_draining, "");
    }
    until_asked(s);
    hello(s);
    trace(s);
    accept_attach(s);
    assert_int_equal(strncmp(trace(s), "attached; publish orders 1 three(", 33), 0);
}

/* Numbering starts again, so a destination without waiting entries need not be remembered. */
static void destinations_of_which_nothing_waits_end_with_the_producer(void **state)
{
    struct script *s = *state;
    attach(s);
    publish(s, "orders", 60000, "one");
    publish(s, "mail", 60000, "two");
    confirm(s, "orders", 1, 1, 1);
    frame_add_bye(&s->out);
    say(s);
    until_asked(s);
    publish(s, "bills", 60000, "three");
    assert_int_equal(HASH_COUNT(s->client->outlets), 3);
    hello(s);
    trace(s);
    accept_attach(s); /* and does not know the producer */
    assert_string_equal(trace(s), "bye; outcome a 0 unknown");
    until_asked(s);
    hello(s);
    trace(s);
    accept_attach(s);
    assert_int_equal(strncmp(trace(s), "attached; publish bills 1 three(", 32), 0);
    assert_int_equal(HASH_COUNT(s->client->outlets), 1);
    publish(s, "orders", 0, "four");
    assert_string_equal(trace(s), "publish orders 1 four");
}

/* Only what it sends is lost. The broker would end its session after 10 s of silence. */
static void a_client_that_is_not_heard_attaches_again_before_the_broker_gives_it_up(void **state)
{
    struct script *s = *state;
    attach(s);
    pass(s, 20000);
    trace(s);
    mono_t heard = s->now.mono;
    s->deaf = true;
    until_asked(s);
    assert_string_equal(trace(s), "away: the broker is silent; control; attach again");
    assert_in_range(mono_since_ms(s->asked_at, heard), 3000, 7000);
}

static void a_quiet_link_is_never_doubted(void **state)
{
    struct script *s = *state;
    attach(s);
    pass(s, 600000);
    assert_string_equal(trace(s), "");
    assert_true(client_is_attached(s->client));
    assert_in_range(s->heartbeats, 600 / 3 - 5, 600 / 3 + 5);
}

static void a_broker_that_says_goodbye_is_left_with_its_session(void **state)
{
    struct script *s = *state;
    attach(s);
    frame_add_bye(&s->out);
    say(s);
    until_asked(s);
    assert_string_equal(trace(s), "away: the broker is stopping; control; attach new");
}

static void goodbye_is_done_once_flushed_and_at_once_when_not_attached(void **state)
{
    struct script *s = *state;
    assert_true(client_has_said_bye(s->client)); /* not attached */
    attach(s);
    assert_false(client_has_said_bye(s->client));
    client_bye(s->client, s->now);
    assert_false(client_has_said_bye(s->client));
    client_flush(s->client, s->now);
    assert_true(client_has_said_bye(s->client));
}

static void a_broker_that_breaks_the_protocol_is_left_with_its_session(void **state)
{
    struct script *s = *state;
    attach(s);
    buf_add(&s->out, "\x42\x03\x52\x01\x0a", 5); /* a body cut short */
    say(s);
    until_asked(s);
    assert_string_equal(trace(s), "away: the broker sent a malformed frame; control; attach new");
    hello(s);
    accept_attach(s);
    trace(s);
    struct frame_header h = header(s, 1);
    h.received = 1000;
    say_as(s, &h);
    until_asked(s);
    assert_string_equal(trace(s), "away: the broker acknowledged what was never sent; control; attach new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scripted(a_client_attaches_by_echoing_the_hello),
        scripted(the_hello_of_another_attempt_is_not_echoed),
        scripted(a_hello_of_odd_sizes_is_not_echoed),
        scripted(an_attempt_without_an_answer_is_over_after_2500_ms),
        scripted(every_further_attempt_waits_a_random_time_below_a_bound_that_doubles),
        scripted(a_silent_broker_is_attached_to_again_and_the_session_resumed),
        scripted(lost_frames_are_sent_again_when_the_session_is_resumed),
        scripted(a_lost_session_is_replaced_by_a_new_one),
        scripted(an_answer_that_does_not_fit_ends_the_session),
        scripted(a_producer_id_is_held_under_the_epoch_of_the_answer),
        scripted(a_fenced_client_reports_it_and_goes_on_under_another_id),
        scripted(destinations_of_which_nothing_waits_end_with_the_producer),
        scripted(a_client_that_is_not_heard_attaches_again_before_the_broker_gives_it_up),
        scripted(a_quiet_link_is_never_doubted),
        scripted(a_broker_that_says_goodbye_is_left_with_its_session),
        scripted(goodbye_is_done_once_flushed_and_at_once_when_not_attached),
        scripted(a_broker_that_breaks_the_protocol_is_left_with_its_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
