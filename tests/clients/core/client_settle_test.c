/* Settlements, and what they wait for: the pure client against a scripted broker. */
#include "clients/core/client_priv.h"
#include "tests/clients/core/script.h"

#include <stdlib.h>

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

static void acks_of_handed_over_events_join_their_neighbours_only(void **state)
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

static void a_status_and_an_error_are_of_one_event_only(void **state)
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

/* Nacks "orders" 1 .. count, each with the longest text. */
static void nack_with_many_words(struct script *s, uint64_t count)
{
    char words[TROUBLE_ERROR_MAX];
    memset(words, 'x', sizeof words);
    for (uint64_t i = 1; i <= count; i++)
        client_settle(s->client, span_str("orders"), 7,
                      &(struct settle){ SETTLE_NACK, i, 1, 0, 503, span_of(words, sizeof words) });
}

/* How many were received since the last call; the trace is too long to compare as one. */
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

/* The broker accepts at most 8 MiB: a larger frame would be sent again and again. */
static void many_settlements_go_in_several_frames(void **state)
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

/* The broker accepts no settlement of more, but a long linger can gather more. */
static void a_long_run_of_acks_goes_as_several_settlements(void **state)
{
    struct script *s = active(state);
    client_settle(s->client, span_str("orders"), 7,
                  &(struct settle){ .kind = SETTLE_ACK, .first = 1, .count = SETTLE_COUNT_MAX });
    settle(s, "orders", 7, SETTLE_ACK, SETTLE_COUNT_MAX + 1, SETTLE_COUNT_MAX + 5);
    assert_string_equal(trace(s), "ack orders e7 1..1000000; ack orders e7 1000001..2000000; "
                                  "ack orders e7 2000001..2000005");
    settle(s, "orders", 7, SETTLE_NACK, 1, SETTLE_COUNT_MAX);
    assert_string_equal(trace(s), "nack orders e7 1..1000000");
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

static void messages_sent_at_once_take_lingering_acks_along(void **state)
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

static void events_that_go_back_unseen_take_lingering_acks_along(void **state)
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

static void a_frame_of_published_entries_takes_lingering_acks_along(void **state)
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
    client_end_linger(s->client);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        scripted(neighbouring_settlements_are_one_run),
        scripted(acks_of_handed_over_events_join_their_neighbours_only),
        scripted(a_status_and_an_error_are_of_one_event_only),
        scripted(many_settlements_go_in_several_frames),
        scripted(settlements_that_find_no_room_on_the_link_go_later_and_in_order),
        scripted(a_long_run_of_acks_goes_as_several_settlements),
        scripted(settling_in_an_epoch_that_is_over_is_expired),
        scripted(acks_linger_with_what_is_published),
        scripted(messages_sent_at_once_take_lingering_acks_along),
        scripted(events_that_go_back_unseen_take_lingering_acks_along),
        scripted(a_nack_does_not_wait_with_the_acks_behind_it),
        scripted(a_frame_of_published_entries_takes_lingering_acks_along),
        scripted(a_linger_can_be_ended),
        scripted(a_receipt_is_settled_through_any_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
