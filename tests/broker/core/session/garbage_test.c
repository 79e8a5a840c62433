/* Frames of a broken or hostile peer: they are counted, end at most its own session, and disturb nobody else. */
#include "tests/broker/core/bystander.h"

#include <stdio.h>
#include <string.h>

/* The header of a frame as `p` would send it; sends nothing. */
static struct frame_header header_of(const struct peer *p, uint64_t sequence)
{
    return (struct frame_header){ .token = p->token, .epoch = p->epoch, .sequence = sequence, .received = p->received };
}

static void send_as(struct driver *d, const struct frame_header *h, struct span bodies, const char *identity)
{
    struct buf frame = { 0 };
    frame_header_write(buf_reserve(&frame, FRAME_HEADER_SIZE), h);
    frame.size = FRAME_HEADER_SIZE;
    buf_add(&frame, bodies.data, bodies.size);
    core_frame(d->core, buf_span(&frame), identity, d->now);
    buf_free(&frame);
    turn(d);
}

/* Takes the bodies collected for the next frame. */
static struct buf taken(struct peer *p)
{
    struct buf bodies = p->out;
    p->out = (struct buf){ 0 };
    return bodies;
}

/* ------------------------------------------------------------------ frames of nobody */

static void random_bytes_are_counted_and_change_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d);
    uint64_t random = 1, before = broker(d).rejected;
    uint8_t bytes[300];
    for (unsigned i = 0; i < 2000; i++) {
        size_t size = random_from(&random) % sizeof bytes;
        for (size_t k = 0; k < size; k++)
            bytes[k] = (uint8_t)random_from(&random);
        core_frame(d->core, span_of(bytes, size), p->identity, d->now);
        turn(d);
    }
    assert_int_equal(broker(d).rejected, before + 2000);
    assert_undisturbed(p);
}

static void frames_larger_than_any_are_refused_unread(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    struct buf bodies = { 0 };
    uint64_t before = broker(d).rejected;
    memset(buf_reserve(&bodies, FRAME_MAX_SIZE), 0, FRAME_MAX_SIZE);
    bodies.size = FRAME_MAX_SIZE;
    struct frame_header h = header_of(bad, 1);
    send_as(d, &h, buf_span(&bodies), bad->identity);
    buf_free(&bodies);
    assert_int_equal(broker(d).rejected, before + 1);
    assert_true(is_attached(bad));
    assert_undisturbed(p);
}

static void a_token_of_nobody_is_counted(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d);
    struct frame_header h = header_of(p, p->sent + 1);
    uint64_t before = broker(d).rejected;
    h.token.low ^= 1;
    frame_add_bye(&p->out);
    struct buf bodies = taken(p);
    send_as(d, &h, buf_span(&bodies), p->identity);
    buf_free(&bodies);
    assert_int_equal(broker(d).rejected, before + 1);
    assert_undisturbed(p);
}

/* A peer that learned a session's token still cannot send for that session. */
static void anothers_session_cannot_be_claimed(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *thief = attached(d, "thief");
    struct frame_header h = header_of(p, p->sent + 1);
    uint64_t before = broker(d).rejected;
    frame_add_bye(&p->out);
    struct buf bodies = taken(p);
    send_as(d, &h, buf_span(&bodies), thief->identity);
    buf_free(&bodies);
    assert_int_equal(broker(d).rejected, before + 1);
    thief->token = p->token;
    request_attach(thief);
    assert_string_equal(heard(thief), "attach refused unknown_session");
    assert_undisturbed(p);
}

static void frames_of_another_epoch_are_stale(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d);
    uint64_t before = broker(d).rejected;
    frame_add_bye(&p->out);
    struct buf bodies = taken(p);
    struct frame_header h = header_of(p, p->sent + 1);
    h.epoch = p->epoch - 1;
    send_as(d, &h, buf_span(&bodies), p->identity);
    h.epoch = p->epoch + 1;
    send_as(d, &h, buf_span(&bodies), p->identity);
    buf_free(&bodies);
    assert_int_equal(broker(d).rejected, before + 2);
    assert_undisturbed(p);
}

static void a_frame_after_a_gap_waits_for_the_missing_one(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d);
    add_publish(p, ORDERS, 3, 0, "three");
    struct buf bodies = taken(p);
    struct frame_header h = header_of(p, p->sent + 2);
    send_as(d, &h, buf_span(&bodies), p->identity);
    assert_string_equal(heard(p), "");
    h.sequence = p->sent; /* a repeated one */
    send_as(d, &h, buf_span(&bodies), p->identity);
    assert_string_equal(heard(p), "");
    buf_free(&bodies);
    known(p, ORDERS)->next_publish = 3;
    assert_undisturbed(p);
}

/* ------------------------------------------------------------------ frames that end their own session */

/* Sends what is in `out`; expects the session to end for that reason, and nothing else to happen. */
static void assert_ends_alone(struct peer *p, struct peer *bad, const char *why)
{
    struct driver *d = p->driver;
    uint64_t before = broker(d).sessions_ended;
    logged(d, "");
    push(bad);
    assert_false(is_attached(bad));
    assert_true(logged(d, why));
    assert_int_equal(broker(d).sessions_ended, before + 1);
    assert_undisturbed(p);
}

#define FORBIDDEN "it sent a malformed or forbidden frame"

static void a_frame_cut_in_its_first_body_is_none(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    uint64_t before = broker(d).rejected;
    add_publish(bad, ORDERS, 1, 0, "cut");
    bad->out.size -= 2;
    push(bad);
    assert_string_equal(heard(bad), "");
    assert_int_equal(broker(d).rejected, before + 1);
    assert_undisturbed(p);
}

static void a_frame_cut_behind_its_first_body_ends_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    frame_add_leave(&bad->out, span_str(ORDERS));
    add_publish(bad, ORDERS, 1, 0, "cut");
    bad->out.size -= 2;
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void random_bodies_end_their_own_sessions_only(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    uint64_t random = 7;
    unsigned ended = 0;
    for (unsigned i = 0; i < 500; i++) {
        uint8_t bytes[60];
        size_t size = 1 + random_from(&random) % sizeof bytes;
        for (size_t k = 0; k < size; k++)
            bytes[k] = (uint8_t)random_from(&random);
        wire_add_bytes(&bad->out, 8, span_of(bytes, size));
        push(bad);
        if (is_attached(bad))
            continue;
        ended++;
        bad->token = (struct token){ 0 };
        bad->sent = bad->received = 0;
        attach(bad);
    }
    assert_true(ended > 250);
    assert_undisturbed(p);
}

/* Every valid body with every bit flipped once. The result may even be valid; then it concerns only the peer itself. */
static void bodies_with_a_turned_bit_disturb_nobody(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    declare(d, "own", "");
    struct buf bodies = { 0 };
    add_publish(bad, "own", 1, 1000, "a +b");
    frame_add_skip(&bad->out, span_str("own"), 1, 2);
    frame_add_consume(&bad->out, span_str("own"), 1);
    frame_add_credit(&bad->out, span_str("own"), 1, 2);
    frame_add_receipt_ack(&bad->out, &(struct receipt_ack){ .request = 1, .receipt = span_str("xyz.0") });
    frame_add_leave(&bad->out, span_str("own"));
    bodies = taken(bad);
    for (size_t bit = 0; bit < bodies.size * 8; bit++) {
        bad->token = (struct token){ 0 };
        bad->sent = bad->received = 0;
        bad->producer.low++;
        bad->deaf = false;
        request_attach(bad);
        echo(bad);
        bad->deaf = true; /* what it is sent does not matter */
        bodies.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct frame_header h = header_of(bad, 1);
        send_as(d, &h, buf_span(&bodies), bad->identity);
        bodies.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct session *s = session_find(d->core, bad->token);
        if (s) {
            h = header_of(bad, 2);
            frame_add_bye(&bad->out);
            struct buf goodbye = taken(bad);
            send_as(d, &h, buf_span(&goodbye), bad->identity);
            buf_free(&goodbye);
        }
        buf_clear(&bad->trace);
    }
    buf_free(&bodies);
    assert_undisturbed(p);
}

static void bodies_of_the_broker_end_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    frame_add_window(&bad->out, 1u << 20, 1u << 30);
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void a_hello_out_of_its_time_ends_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    frame_add_hello(&bad->out, span_of(bad->hello_id, sizeof bad->hello_id), span_str(""));
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void names_that_are_none_end_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    frame_add_consume(&bad->out, span_str("no name"), 1);
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void a_publish_beyond_the_window_ends_the_session(void **state)
{
    struct driver *d = *state;
    d->config.window_events = 16;
    driver_restart(d);
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    declare(d, "own", "capacity=1");
    publish(bad, "own", 60000, "a b c"); /* two wait */
    assert_string_equal(heard(bad), "confirm own 1 -> 1");
    add_publish(bad, "own", 4, 60000, "d e f g h i j k l m n o p q");
    assert_ends_alone(p, bad, FORBIDDEN);
    assert_int_equal(describe(d, "own").waiting_publishers, 0);
}

static void more_bytes_than_the_window_end_the_session(void **state)
{
    struct driver *d = *state;
    d->config.window_bytes = 100;
    driver_restart(d);
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    add_publish(bad, ORDERS, 1, 0, "big:101");
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void numbers_that_leave_a_hole_end_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    add_publish(bad, ORDERS, 2, 0, "second");
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void a_number_that_is_waiting_already_ends_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    declare(d, "own", "capacity=1");
    publish(bad, "own", 60000, "a b");
    heard(bad);
    add_publish(bad, "own", 2, 60000, "b");
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void skips_of_what_was_never_sent_end_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    frame_add_skip(&bad->out, span_str(ORDERS), 2, 1);
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void skips_of_more_than_a_window_end_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    frame_add_skip(&bad->out, span_str(ORDERS), 1, d->config.window_events + 1);
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void outcomes_seen_before_there_were_any_end_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    frame_add_seen(&bad->out, span_str(ORDERS), 1);
    assert_ends_alone(p, bad, FORBIDDEN);
}

static void acks_of_what_was_never_delivered_end_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    declare(d, "own", "");
    publish(bad, "own", 0, "a b");
    consume(bad, "own");
    credit(bad, "own", 1);
    struct open_body open = frame_begin_ack(&bad->out, span_str("own"), known(bad, "own")->consumer_epoch);
    frame_add_settle(&bad->out, &(struct settle){ .first = 1, .count = 2 });
    frame_end(&bad->out, open);
    assert_ends_alone(p, bad, FORBIDDEN);
    assert_string_equal(ledger(d, "own"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
}

/* The sum of first and count would wrap to a delivery that there was. */
static void acks_of_a_range_that_wraps_end_the_session(void **state)
{
    struct driver *d = *state;
    const struct settle wraps[] = { { .first = UINT64_MAX, .count = 2 }, { .first = 2, .count = UINT64_MAX } };
    for (unsigned i = 0; i < 4; i++) {
        driver_restart(d);
        struct peer *p = bystander(d), *bad = attached(d, "bad");
        declare(d, "own", "");
        publish(bad, "own", 0, "a b");
        consume(bad, "own");
        credit(bad, "own", 2);
        uint64_t epoch = known(bad, "own")->consumer_epoch + i / 2; /* also of a consumption that there is not */
        struct open_body open = frame_begin_ack(&bad->out, span_str("own"), epoch);
        frame_add_settle(&bad->out, &wraps[i % 2]);
        frame_end(&bad->out, open);
        assert_ends_alone(p, bad, FORBIDDEN);
        assert_string_equal(ledger(d, "own"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
    }
}

static void acknowledging_frames_never_sent_ends_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    bad->received = 1000;
    publish(bad, ORDERS, 0, "x");
    assert_false(is_attached(bad));
    assert_true(logged(d, "it acknowledged what was never sent"));
    assert_undisturbed(p);
}

/* It sends much, reads nothing, and stays alive: the link is full, and answers pile up. */
static void a_peer_that_leaves_its_answers_unread_is_ended(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    uint64_t most = 0;
    bad->deaf = true;
    logged(d, "");
    for (unsigned i = 0; i < 500 && is_attached(bad); i++) {
        for (unsigned k = 0; k < 30000; k++)
            frame_add_receipt_ack(&bad->out, &(struct receipt_ack){ .request = k, .receipt = span_str("x") });
        push(bad);
        const struct session *s = session_find(d->core, bad->token);
        most = s && s->out.size > most ? s->out.size : most;
    }
    assert_true(logged(d, "it leaves too many answers unread"));
    assert_in_range(most, 1u << 20, 8u << 20);
    assert_undisturbed(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(random_bytes_are_counted_and_change_nothing),
        driven(frames_larger_than_any_are_refused_unread),
        driven(a_token_of_nobody_is_counted),
        driven(anothers_session_cannot_be_claimed),
        driven(frames_of_another_epoch_are_stale),
        driven(a_frame_after_a_gap_waits_for_the_missing_one),
        driven(a_frame_cut_in_its_first_body_is_none),
        driven(a_frame_cut_behind_its_first_body_ends_the_session),
        driven(random_bodies_end_their_own_sessions_only),
        driven(bodies_with_a_turned_bit_disturb_nobody),
        driven(bodies_of_the_broker_end_the_session),
        driven(a_hello_out_of_its_time_ends_the_session),
        driven(names_that_are_none_end_the_session),
        driven(a_publish_beyond_the_window_ends_the_session),
        driven(more_bytes_than_the_window_end_the_session),
        driven(numbers_that_leave_a_hole_end_the_session),
        driven(a_number_that_is_waiting_already_ends_the_session),
        driven(skips_of_what_was_never_sent_end_the_session),
        driven(skips_of_more_than_a_window_end_the_session),
        driven(outcomes_seen_before_there_were_any_end_the_session),
        driven(acks_of_what_was_never_delivered_end_the_session),
        driven(acks_of_a_range_that_wraps_end_the_session),
        driven(acknowledging_frames_never_sent_ends_the_session),
        driven(a_peer_that_leaves_its_answers_unread_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
