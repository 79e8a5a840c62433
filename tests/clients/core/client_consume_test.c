/* Turns, credit and deliveries: the pure client against a scripted broker. Settling is in client_settle_test.c. */
#include "clients/core/client_priv.h"
#include "tests/clients/core/script.h"

#include <stdio.h>

/* ------------------------------------------------------------------ turns and credit */

static void consume_is_sent_once_and_credit_follows(void **state)
{
    struct script *s = *state;
    consume(s, "orders"); /* held until attached */
    client_credit(s->client, span_str("orders"), 3);
    attach(s);
    consume(s, "orders");
    assert_string_equal(trace(s), "");
    give_turn(s, "orders", TURN_STANDBY, 0);
    give_turn(s, "orders", TURN_ACTIVE, 7);
    assert_string_equal(trace(s), "turn orders standby e0; turn orders active e7");
}

static void queues_wanted_while_away_are_consumed_when_attached(void **state)
{
    struct script *s = *state;
    consume(s, "orders");
    credit(s, "orders", 3);
    until_asked(s);
    hello(s);
    trace(s);
    accept_attach(s);
    assert_string_equal(trace(s), "attached; consume orders 1; credit orders g2 3");
}

static void a_name_may_be_as_long_as_there_are(void **state)
{
    struct script *s = *state;
    char name[NAME_MAX_SIZE + 2] = "", said[NAME_MAX_SIZE + 20];
    memset(name, 'q', NAME_MAX_SIZE + 1);
    attach(s);
    consume(s, name); /* no queue has that name */
    assert_string_equal(trace(s), "");
    name[NAME_MAX_SIZE] = '\0';
    consume(s, name);
    snprintf(said, sizeof said, "consume %s 1", name);
    assert_string_equal(trace(s), said);
}

static void credit_is_absolute_and_each_change_has_a_generation(void **state)
{
    struct script *s = active(state);
    credit(s, "orders", 3);
    assert_string_equal(trace(s), ""); /* the same again */
    credit(s, "orders", 5);
    credit(s, "orders", 1);
    assert_string_equal(trace(s), "credit orders g2 5; credit orders g3 1");
    deliver(s, "orders", 7, 1, "one");
    credit(s, "orders", 2);
    assert_string_equal(trace(s), "delivery orders d1 one; credit orders g4 3");
}

static void a_client_without_a_queue_asks_again_when_the_program_does(void **state)
{
    struct script *s = active(state);
    give_turn(s, "orders", TURN_NONE, 0);
    credit(s, "orders", 9);
    pass(s, 5000);
    assert_string_equal(trace(s), "turn orders none e0");
    consume(s, "orders");
    credit(s, "orders", 2);
    assert_string_equal(trace(s), "consume orders 2; credit orders g1 0; credit orders g2 2");
}

static void consume_a_hundred(struct script *s)
{
    for (unsigned i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "queue-%u", i);
        client_consume(s->client, span_str(name));
        client_credit(s->client, span_str(name), 3);
    }
}

static unsigned told_of(const struct script *s)
{
    unsigned count = 0;
    for (const struct consumption *k = s->client->consumptions; k; k = k->hh.next)
        count += k->told && k->generation_told == k->generation;
    return count;
}

/* The broker accepts at most 8 MiB: a larger frame would be sent again and again. */
static void many_queues_are_consumed_in_several_frames(void **state)
{
    struct script *s = *state;
    script_frames(s, 512);
    consume_a_hundred(s);
    attach(s);
    assert_int_equal(told_of(s), 100);
    assert_true(s->client->stats.frames_out >= 6);
}

static void queues_beyond_the_links_room_are_consumed_later(void **state)
{
    struct script *s = *state;
    script_frames(s, 512);
    s->client->limits.frames = 2;
    consume_a_hundred(s);
    publish(s, "orders", 60000, "x");
    attach(s);
    assert_int_equal(s->client->stats.frames_out, 2);
    assert_in_range(told_of(s), 1, 99);
    assert_int_equal(s->client->unsent_events, 1);
    for (unsigned i = 0; i < 10; i++)
        say(s); /* what was sent is acknowledged */
    assert_int_equal(told_of(s), 100);
    assert_int_equal(s->client->unsent_events, 0);
}

static void idle_tells_its_generation(void **state)
{
    struct script *s = active(state);
    frame_add_idle(&s->out, span_str("orders"), 1);
    frame_add_idle(&s->out, span_str("nowhere"), 1);
    say(s);
    assert_string_equal(trace(s), "idle orders g1");
}

/* ------------------------------------------------------------------ deliveries */

static void deliveries_are_handed_over_in_order(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 1, "one two");
    deliver(s, "orders", 7, 3, "three");
    assert_string_equal(trace(s), "delivery orders d1 one; delivery orders d2 two; delivery orders d3 three");
    assert_int_equal(s->client->stats.delivered, 3);
}

static void a_hole_between_deliveries_breaks_the_protocol(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 2, "two");
    assert_string_equal(trace(s), "away: the broker sent a malformed frame");
}

/* The limit was lowered while they were on their way. They go back, in order, and so does everything behind them until
 * the broker has taken them back: what follows must not overtake. */
static void deliveries_above_the_limit_and_those_behind_them_go_back_unseen(void **state)
{
    struct script *s = active(state);
    credit(s, "orders", 1);
    trace(s);
    deliver(s, "orders", 7, 1, "one two three");
    assert_string_equal(trace(s), "delivery orders d1 one; release orders e7 2..3");
    credit(s, "orders", 5);
    deliver(s, "orders", 7, 4, "four");
    assert_string_equal(trace(s), "credit orders g3 8; release orders e7 4");
    settled(s, "orders", 7, 2, 2, SETTLED_RELEASED);
    deliver(s, "orders", 7, 5, "two");
    assert_string_equal(trace(s), "settled orders e7 2..3 released; release orders e7 5");
    settled(s, "orders", 7, 4, 2, SETTLED_RELEASED);
    deliver(s, "orders", 7, 6, "two");
    assert_string_equal(trace(s), "settled orders e7 4..5 released; delivery orders d6 two");
}

/* Releases before it are answered under the earlier turn, if at all. */
static void a_new_turn_hands_over_again(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 1, "one two three four");
    trace(s);
    give_turn(s, "orders", TURN_ACTIVE, 8);
    credit(s, "orders", 2);
    trace(s);
    deliver(s, "orders", 8, 5, "five");
    assert_string_equal(trace(s), "delivery orders d5 five");
}

static void after_a_release_deliveries_go_back_until_it_is_answered(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 1, "one");
    settle(s, "orders", 7, SETTLE_RELEASE, 1, 1);
    deliver(s, "orders", 7, 2, "two");
    settled(s, "orders", 7, 1, 2, SETTLED_RELEASED);
    deliver(s, "orders", 7, 3, "one");
    assert_string_equal(trace(s), "delivery orders d1 one; release orders e7 1; release orders e7 2; "
                                  "settled orders e7 1..2 released; delivery orders d3 one");
}

static void begin_again(struct script *s)
{
    s->on_delivery = NULL;
    client_leave(s->client, span_str("orders"));
    client_consume(s->client, span_str("orders"));
    client_credit(s->client, span_str("orders"), 3);
}

/* The rest of the frame, and its numbers, belong to the consumption that ended. */
static void a_program_may_leave_and_begin_again_from_within_a_delivery(void **state)
{
    struct script *s = active(state);
    s->on_delivery = begin_again;
    add_deliver(s, "orders", 7, 1, "one two");
    deliver(s, "orders", 7, 3, "three");
    assert_string_equal(trace(s), "delivery orders d1 one; leave orders; consume orders 2; credit orders g2 3");
    give_turn(s, "orders", TURN_ACTIVE, 8);
    deliver(s, "orders", 8, 1, "one");
    assert_string_equal(trace(s), "turn orders active e8; delivery orders d1 one");
}

static void deliveries_of_another_epoch_or_consumption_are_dropped(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 6, 1, "old");
    deliver(s, "elsewhere", 7, 1, "foreign");
    assert_string_equal(trace(s), "");
    add_deliver(s, "orders", 7, 1, "left"); /* written for consumption 1 */
    leave(s, "orders");
    consume(s, "orders");
    say(s);
    assert_string_equal(trace(s), "leave orders; consume orders 2; credit orders g1 0");
    give_turn(s, "orders", TURN_ACTIVE, 7);
    credit(s, "orders", 1);
    deliver(s, "orders", 7, 1, "one");
    assert_string_equal(trace(s), "turn orders active e7; credit orders g2 1; delivery orders d1 one");
}

/* ------------------------------------------------------------------ being heard */

/* The echo in the header of the Deliver itself proves that what was just sent was heard. */
static void a_delivery_that_proves_itself_is_handed_over_at_once(void **state)
{
    struct script *s = active(state);
    s->silent = true;
    pass(s, 3500); /* its heartbeat at 3 s was heard … */
    uint32_t heard = s->heard_stamp;
    mono_t proven = s->client->link.proven;
    pass(s, 2600); /* … and by now nothing older proves anything */
    assert_true(client_is_attached(s->client));
    assert_false(link_proven(&s->client->link, s->now.mono));
    assert_true(mono_before(proven, s->now.mono));
    add_deliver(s, "orders", 7, 1, "one");
    s->heard_stamp = heard;
    say(s);
    assert_string_equal(trace(s), "delivery orders d1 one");
}

static void a_delivery_without_proof_waits_for_it(void **state)
{
    struct script *s = active(state);
    uint32_t old = s->heard_stamp;
    s->silent = true;
    pass(s, 6100);
    assert_false(link_proven(&s->client->link, s->now.mono));
    unsigned before = s->heartbeats;
    add_deliver(s, "orders", 7, 1, "one");
    struct frame_header h = header(s, s->sent + 1);
    h.echo = old;
    say_as(s, &h);
    assert_string_equal(trace(s), "");
    assert_int_equal(s->heartbeats, before + 1); /* its echo will be the proof */
    deliver(s, "orders", 7, 1, "one");           /* sent again, and now with the proof */
    assert_string_equal(trace(s), "delivery orders d1 one");
}

/* Three fifths of the session timeout: after that the broker may have given the deliveries to another session. */
static void the_broker_s_session_timeout_says_how_old_a_proof_may_be(void **state)
{
    struct script *s = *state;
    s->session_timeout_ms = 5000;
    active(state);
    s->silent = true;
    pass(s, 2990);
    assert_true(link_proven(&s->client->link, s->now.mono));
    pass(s, 20);
    assert_false(link_proven(&s->client->link, s->now.mono));
}

/* The process was stopped between its echo and reading the answer: the broker may have ended the session meanwhile. */
static void an_answer_read_late_proves_nothing(void **state)
{
    struct script *s = *state;
    consume(s, "orders");
    credit(s, "orders", 3);
    until_asked(s);
    hello(s);
    s->now.mono = mono_add_ms(s->now.mono, 7000);
    accept_attach(s);
    frame_add_turn(&s->out, span_str("orders"), TURN_ACTIVE, 7, false, 0, 1);
    struct frame_header h = header(s, ++s->sent);
    h.echo = 0;
    say_as(s, &h);
    trace(s);
    add_deliver(s, "orders", 7, 1, "one");
    h = header(s, ++s->sent);
    h.echo = 0;
    say_as(s, &h);
    assert_string_equal(trace(s), "");
}

/* ------------------------------------------------------------------ sessions */

static void a_resumed_session_keeps_the_turn(void **state)
{
    struct script *s = active(state);
    s->silent = true;
    until_asked(s);
    hello(s);
    accept_attach(s);
    trace(s);
    deliver(s, "orders", 7, 1, "one");
    assert_string_equal(trace(s), "delivery orders d1 one");
}

static void a_new_session_revokes_the_turn_and_consumes_again(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 1, "one");
    frame_add_bye(&s->out);
    say(s);
    until_asked(s);
    hello(s);
    trace(s);
    accept_attach(s);
    assert_string_equal(trace(s), "turn orders revoked e7; attached; consume orders 1; credit orders g2 2");
    settle(s, "orders", 7, SETTLE_ACK, 1, 1);
    assert_string_equal(trace(s), "settled orders e7 1 expired");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scripted(consume_is_sent_once_and_credit_follows),
        scripted(queues_wanted_while_away_are_consumed_when_attached),
        scripted(a_name_may_be_as_long_as_there_are),
        scripted(credit_is_absolute_and_each_change_has_a_generation),
        scripted(a_client_without_a_queue_asks_again_when_the_program_does),
        scripted(many_queues_are_consumed_in_several_frames),
        scripted(queues_beyond_the_links_room_are_consumed_later),
        scripted(idle_tells_its_generation),
        scripted(deliveries_are_handed_over_in_order),
        scripted(a_hole_between_deliveries_breaks_the_protocol),
        scripted(deliveries_above_the_limit_and_those_behind_them_go_back_unseen),
        scripted(a_new_turn_hands_over_again),
        scripted(after_a_release_deliveries_go_back_until_it_is_answered),
        scripted(a_program_may_leave_and_begin_again_from_within_a_delivery),
        scripted(deliveries_of_another_epoch_or_consumption_are_dropped),
        scripted(a_delivery_that_proves_itself_is_handed_over_at_once),
        scripted(a_delivery_without_proof_waits_for_it),
        scripted(the_broker_s_session_timeout_says_how_old_a_proof_may_be),
        scripted(an_answer_read_late_proves_nothing),
        scripted(a_resumed_session_keeps_the_turn),
        scripted(a_new_session_revokes_the_turn_and_consumes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
