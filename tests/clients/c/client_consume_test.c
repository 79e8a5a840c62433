/* Turns, credit, deliveries and settlements: the pure client against a scripted broker. */
#include "clients/c/client_priv.h"
#include "tests/clients/c/script.h"

#include <stdlib.h>

/* Attached, and active on "orders" in epoch 7 with credit for three; nothing in the trace. */
static struct script *active(void **state)
{
    struct script *s = *state;
    attach(s);
    consume(s, "orders");
    credit(s, "orders", 3);
    give_turn(s, "orders", TURN_ACTIVE, 7);
    trace(s);
    return s;
}

/* ------------------------------------------------------------------ turns and credit */

static void consuming_is_said_once_and_credit_follows(void **state)
{
    struct script *s = *state;
    consume(s, "orders"); /* while away it holds until attached */
    client_credit(s->client, span_str("orders"), 3);
    attach(s);
    consume(s, "orders");
    assert_string_equal(trace(s), "");
    give_turn(s, "orders", TURN_STANDBY, 0);
    give_turn(s, "orders", TURN_ACTIVE, 7);
    assert_string_equal(trace(s), "turn orders standby e0; turn orders active e7");
}

static void what_is_wanted_while_away_is_said_when_attached(void **state)
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
}

static void a_hole_between_deliveries_breaks_the_protocol(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 2, "two");
    assert_string_equal(trace(s), "away: the broker sent a malformed frame");
}

/* The limit was lowered while they were on their way. They go back, in order, and so does everything behind them until
 * the broker has taken them back: what follows must not overtake. */
static void what_comes_above_the_limit_goes_back_unseen_and_so_does_what_follows(void **state)
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

static void what_the_program_releases_is_followed_by_what_comes_until_it_was_answered(void **state)
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

/* What is left of the frame is of the consumption that ended, and so are its numbers. */
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

/* The echo in the Deliver's own header proves that what was sent a moment ago was heard. */
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
    assert_int_equal(s->heartbeats, before + 1); /* which asks for the proof */
    deliver(s, "orders", 7, 1, "one");           /* sent again, and now with the proof */
    assert_string_equal(trace(s), "delivery orders d1 one");
}

/* The process stood still between its echo and reading the answer: meanwhile the broker may have ended the session. */
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

/* ------------------------------------------------------------------ settlements */

static void neighbouring_settlements_are_one_run(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 1, "one two three");
    trace(s);
    for (uint64_t i = 1; i <= 2; i++)
        client_settle(s->client, span_str("orders"), 7, &(struct settle){ .kind = SETTLE_ACK, .first = i, .count = 1 });
    client_settle(s->client, span_str("orders"), 7, &(struct settle){ .kind = SETTLE_NACK, .first = 3, .count = 1 });
    flush(s);
    assert_string_equal(trace(s), "ack orders e7 1..2; nack orders e7 3");
    settled(s, "orders", 7, 1, 2, SETTLED_ACKED);
    assert_string_equal(trace(s), "settled orders e7 1..2 acked");
}

static void acks_of_what_is_handed_over_join_their_neighbours_only(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 1, "one two three");
    trace(s);
    struct client_delivery d = { .queue = s->client->last_consumption->name, .consumer_epoch = 7 };
    const uint64_t acked[] = { 1, 2, 4, 6 };
    for (size_t i = 0; i < sizeof acked / sizeof *acked; i++) {
        if (acked[i] == 6)
            client_settle(s->client, span_str("orders"), 7,
                          &(struct settle){ .kind = SETTLE_NACK, .first = 5, .count = 1 });
        d.delivery = acked[i];
        client_ack(s->client, &d);
    }
    d.delivery = 7;
    d.consumer_epoch = 6; /* of an earlier turn */
    client_ack(s->client, &d);
    flush(s);
    assert_string_equal(
        trace(s),
        "settled orders e6 7 expired; ack orders e7 1..2; ack orders e7 4; nack orders e7 5; ack orders e7 6");
}

static void what_is_said_of_one_is_said_of_no_other(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 1, "one two three");
    trace(s);
    char error[] = "no luck";
    struct settle because = { SETTLE_NACK, 2, 1, 0, 503, span_str(error) };
    client_settle(s->client, span_str("orders"), 7, &(struct settle){ .kind = SETTLE_NACK, .first = 1, .count = 1 });
    client_settle(s->client, span_str("orders"), 7, &because);
    memset(error, 'x', sizeof error - 1); /* it was copied */
    client_settle(s->client, span_str("orders"), 7, &(struct settle){ .kind = SETTLE_NACK, .first = 3, .count = 1 });
    flush(s);
    assert_string_equal(trace(s), "nack orders e7 1; nack orders e7 2 (503 no luck); nack orders e7 3");
}

/* Nacks "orders" 1 .. count, each with as many words as there may be. */
static void nack_with_many_words(struct script *s, uint64_t count)
{
    char words[TROUBLE_ERROR_MAX];
    memset(words, 'x', sizeof words);
    for (uint64_t i = 1; i <= count; i++)
        client_settle(s->client, span_str("orders"), 7,
                      &(struct settle){ SETTLE_NACK, i, 1, 0, 503, span_of(words, sizeof words) });
}

/* How many were heard since the last call; the trace is too long to be read as one. */
static unsigned nacks_heard(struct script *s, bool *credit)
{
    unsigned count = 0;
    buf_add_byte(&s->trace, 0);
    const char *text = (const char *)s->trace.data;
    *credit = strstr(text, "credit orders g2 5") != NULL;
    while ((text = strstr(text, "nack orders")) != NULL) {
        text++;
        count++;
    }
    buf_clear(&s->trace);
    return count;
}

/* 8 MiB is the most that the broker takes: what is larger would be sent again and again. */
static void many_words_go_in_several_frames(void **state)
{
    struct script *s = active(state);
    uint64_t before = s->client->stats.frames_out;
    bool credited;
    nack_with_many_words(s, 1000);
    flush(s);
    assert_int_equal(nacks_heard(s, &credited), 1000);
    assert_true(s->client->stats.frames_out - before >= 4);
}

static void settlements_that_find_no_room_on_the_link_go_later_and_in_order(void **state)
{
    struct script *s = active(state);
    s->client->link.limits.frames = 2;
    nack_with_many_words(s, 1000);
    credit(s, "orders", 5);
    bool credited;
    unsigned nacks = nacks_heard(s, &credited);
    assert_in_range(nacks, 1, 999);
    assert_false(credited); /* it would overtake what is given back */
    while (nacks < 1000) {
        say(s); /* what was sent is acknowledged */
        flush(s);
        unsigned more = nacks_heard(s, &credited);
        assert_int_not_equal(more, 0);
        nacks += more;
        assert_int_equal(credited, nacks == 1000);
    }
    assert_int_equal(nacks, 1000);
}

/* The broker takes no word that names more, and a long linger can gather them. */
static void a_long_run_of_acks_goes_as_several_words(void **state)
{
    struct script *s = active(state);
    client_settle(s->client, span_str("orders"), 7,
                  &(struct settle){ .kind = SETTLE_ACK, .first = 1, .count = SETTLE_COUNT_MAX });
    settle(s, "orders", 7, SETTLE_ACK, SETTLE_COUNT_MAX + 1, SETTLE_COUNT_MAX + 5);
    assert_string_equal(trace(s), "ack orders e7 1..1000000; ack orders e7 1000001..2000000; "
                                  "ack orders e7 2000001..2000005");
}

static void settling_in_an_epoch_that_is_over_is_expired(void **state)
{
    struct script *s = active(state);
    deliver(s, "orders", 7, 1, "one");
    give_turn(s, "orders", TURN_REVOKED, 7);
    trace(s);
    settle(s, "orders", 7, SETTLE_ACK, 1, 1);
    assert_string_equal(trace(s), "settled orders e7 1 expired");
}

static struct script *active_and_lingering(void **state)
{
    script_linger(*state, 20);
    struct script *s = active(state);
    pass_to_a_multiple_of(s, 20);
    trace(s);
    return s;
}

static void acks_linger_with_what_is_published(void **state)
{
    struct script *s = active_and_lingering(state);
    deliver(s, "orders", 7, 1, "one two three");
    settle(s, "orders", 7, SETTLE_ACK, 1, 1);
    pass(s, 10);
    settle(s, "orders", 7, SETTLE_ACK, 2, 1);
    publish(s, "mail", 9000, "four");
    pass(s, 9);
    assert_string_equal(trace(s), "delivery orders d1 one; delivery orders d2 two; delivery orders d3 three");
    uint64_t frames = s->received;
    pass(s, 1);
    assert_string_equal(trace(s), "ack orders e7 1..2; publish mail 1 four(8990)");
    assert_int_equal(s->received, frames + 1);
}

static void what_is_said_at_once_takes_lingering_acks_along(void **state)
{
    struct script *s = active_and_lingering(state);
    deliver(s, "orders", 7, 1, "one two three");
    trace(s);
    settle(s, "orders", 7, SETTLE_ACK, 1, 1);
    assert_string_equal(trace(s), "");
    credit(s, "orders", 5);
    assert_string_equal(trace(s), "ack orders e7 1; credit orders g2 8");
    settle(s, "orders", 7, SETTLE_ACK, 2, 1);
    settle(s, "orders", 7, SETTLE_NACK, 3, 1);
    assert_string_equal(trace(s), "ack orders e7 2; nack orders e7 3");
}

static void what_goes_back_unseen_takes_lingering_acks_along(void **state)
{
    struct script *s = active_and_lingering(state);
    deliver(s, "orders", 7, 1, "one");
    credit(s, "orders", 0);
    settle(s, "orders", 7, SETTLE_ACK, 1, 1);
    trace(s);
    deliver(s, "orders", 7, 2, "two");
    assert_string_equal(trace(s), "ack orders e7 1; release orders e7 2");
}

/* What is acked after it, before the flush, begins no linger for it. */
static void a_nack_does_not_wait_with_the_acks_behind_it(void **state)
{
    struct script *s = active_and_lingering(state);
    deliver(s, "orders", 7, 1, "one two");
    trace(s);
    client_settle(s->client, span_str("orders"), 7, &(struct settle){ .kind = SETTLE_NACK, .first = 1, .count = 1 });
    settle(s, "orders", 7, SETTLE_ACK, 2, 1);
    assert_string_equal(trace(s), "nack orders e7 1; ack orders e7 2");
}

static void a_frame_of_what_is_published_takes_lingering_acks_along(void **state)
{
    struct script *s = active_and_lingering(state);
    char *big = calloc(1, 65537);
    memset(big, 'x', 65536);
    deliver(s, "orders", 7, 1, "one");
    settle(s, "orders", 7, SETTLE_ACK, 1, 1);
    uint64_t frames = s->received;
    publish(s, "mail", 9000, big);
    assert_int_equal(s->received, frames + 1);
    assert_non_null(strstr(trace(s), "; ack orders e7 1"));
    free(big);
}

static void a_linger_can_be_ended(void **state)
{
    struct script *s = active_and_lingering(state);
    deliver(s, "orders", 7, 1, "one");
    settle(s, "orders", 7, SETTLE_ACK, 1, 1);
    publish(s, "mail", 9000, "two");
    trace(s);
    client_hurry(s->client);
    assert_false(client_lingers(s->client));
    flush(s);
    leave(s, "orders");
    assert_string_equal(trace(s), "ack orders e7 1; publish mail 1 two(9000); leave orders");
}

static void settle_by(struct script *s, enum settle_kind kind, const char *receipt)
{
    client_settle_receipt(s->client, &(struct receipt_ack){ .kind = kind, .receipt = span_str(receipt) }, s->now);
}

static void a_receipt_is_settled_through_any_session(void **state)
{
    struct script *s = *state;
    attach(s);
    settle_by(s, SETTLE_ACK, "RECEIPT.0");
    settle_by(s, SETTLE_NACK, "RECEIPT.1");
    flush(s);
    assert_string_equal(trace(s), "receipt 1 ack RECEIPT.0; receipt 2 nack RECEIPT.1");
    frame_add_receipt_settled(&s->out, 1, SETTLED_ACKED);
    frame_add_receipt_settled(&s->out, 9, SETTLED_ACKED);
    say(s);
    assert_string_equal(trace(s), "receipt 1 acked");
    pass(s, 5000);
    assert_string_equal(trace(s), "receipt 2 unknown");
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
        scripted(consuming_is_said_once_and_credit_follows),
        scripted(what_is_wanted_while_away_is_said_when_attached),
        scripted(credit_is_absolute_and_each_change_has_a_generation),
        scripted(idle_tells_its_generation),
        scripted(deliveries_are_handed_over_in_order),
        scripted(a_hole_between_deliveries_breaks_the_protocol),
        scripted(what_comes_above_the_limit_goes_back_unseen_and_so_does_what_follows),
        scripted(what_the_program_releases_is_followed_by_what_comes_until_it_was_answered),
        scripted(a_program_may_leave_and_begin_again_from_within_a_delivery),
        scripted(deliveries_of_another_epoch_or_consumption_are_dropped),
        scripted(a_delivery_that_proves_itself_is_handed_over_at_once),
        scripted(a_delivery_without_proof_waits_for_it),
        scripted(an_answer_read_late_proves_nothing),
        scripted(neighbouring_settlements_are_one_run),
        scripted(acks_of_what_is_handed_over_join_their_neighbours_only),
        scripted(what_is_said_of_one_is_said_of_no_other),
        scripted(many_words_go_in_several_frames),
        scripted(settlements_that_find_no_room_on_the_link_go_later_and_in_order),
        scripted(a_long_run_of_acks_goes_as_several_words),
        scripted(settling_in_an_epoch_that_is_over_is_expired),
        scripted(acks_linger_with_what_is_published),
        scripted(what_is_said_at_once_takes_lingering_acks_along),
        scripted(what_goes_back_unseen_takes_lingering_acks_along),
        scripted(a_nack_does_not_wait_with_the_acks_behind_it),
        scripted(a_frame_of_what_is_published_takes_lingering_acks_along),
        scripted(a_linger_can_be_ended),
        scripted(a_receipt_is_settled_through_any_session),
        scripted(a_resumed_session_keeps_the_turn),
        scripted(a_new_session_revokes_the_turn_and_consumes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
