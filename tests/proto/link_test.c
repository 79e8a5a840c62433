/* One end of a link against another, frame by frame: loss, repeats, gaps, resending, heartbeats, doubt, resuming.
 * Each frame carries one letter; `got` spells what an end took as new. */
#include "proto/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct end {
    struct link link;
    char got[64];
    size_t count;
};

static struct end client, broker;
static mono_t now;
static const struct token token = { 0x1234, 0x5678 };
static const struct link_limits client_limits = {
    .frames = 64, .bytes = 1 << 16, .heartbeat_ms = 3000, .silence_ms = 9000, .proof_ms = 6000
};
static const struct link_limits broker_limits = {
    .frames = 64, .bytes = 1 << 16, .heartbeat_ms = 3000, .silence_ms = 0, .proof_ms = 6000
};

static int begin(void **state)
{
    (void)state;
    now = (mono_t){ 5 * MONO_MS };
    memset(&client, 0, sizeof client);
    memset(&broker, 0, sizeof broker);
    link_init(&client.link, token, 1, client_limits, now);
    link_init(&broker.link, token, 1, broker_limits, now);
    link_opened(&client.link, now, now);
    link_opened(&broker.link, now, now);
    return 0;
}

static int end(void **state)
{
    (void)state;
    link_free(&client.link);
    link_free(&broker.link);
    return 0;
}

static void pass(int64_t ms)
{
    now = mono_add_ms(now, ms);
}

static struct frame *seal(struct end *from, char letter)
{
    struct buf bodies = { 0 };
    frame_add_leave(&bodies, span_of(&letter, 1));
    struct frame *f = link_seal(&from->link, &bodies, now);
    assert_int_equal(bodies.size, 0);
    buf_free(&bodies);
    return f;
}

static enum link_verdict receive(struct end *to, struct span bytes)
{
    struct frame_header header;
    struct wire_reader bodies;
    struct body body;
    assert_int_equal(frame_open(bytes, &header, &bodies), FRAME_OK);
    bool has_bodies = !wire_done(&bodies);
    enum link_verdict verdict = link_receive(&to->link, &header, has_bodies, now);
    if (verdict == LINK_FRESH) {
        assert_int_equal(frame_next(&bodies, &body), FRAME_OK);
        assert_true(body.name.size == 1 && to->count < sizeof to->got - 1);
        to->got[to->count++] = (char)body.name.data[0];
    }
    return verdict;
}

/* The frame arrives; its share is given back. */
static enum link_verdict arrive(struct end *to, struct frame *f)
{
    assert_non_null(f);
    enum link_verdict verdict = receive(to, span_of(f->data, f->size));
    frame_drop(f);
    return verdict;
}

static void lose(struct frame *f)
{
    assert_non_null(f);
    frame_drop(f);
}

static enum link_verdict heartbeat(struct end *from, struct end *to)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    link_heartbeat(&from->link, now, bytes);
    return receive(to, span_of(bytes, sizeof bytes));
}

/* Sends all that waits for resending; how many frames that were. */
static unsigned resend(struct end *from, struct end *to)
{
    unsigned count = 0;
    for (struct frame *f; (f = link_resend(&from->link, now)) != NULL; count++) {
        if (to)
            arrive(to, f);
        else
            lose(f);
    }
    return count;
}

static void frames_arrive_in_order_and_are_let_go_once_acknowledged(void **state)
{
    (void)state;
    for (const char *c = "hello"; *c; c++)
        assert_int_equal(arrive(&broker, seal(&client, *c)), LINK_FRESH);
    assert_string_equal(broker.got, "hello");
    assert_int_equal(client.link.ring_count, 5);
    assert_int_equal(arrive(&client, seal(&broker, '!')), LINK_FRESH); /* tells what was received */
    assert_int_equal(client.link.ring_count, 0);
    assert_int_equal(client.link.ring_bytes, 0);
    assert_int_equal(client.link.acknowledged, 5);
    assert_int_equal(broker.link.ring_count, 1);
}

static void a_repeated_frame_is_taken_once(void **state)
{
    (void)state;
    struct frame *f = seal(&client, 'a');
    assert_int_equal(arrive(&broker, frame_hold(f)), LINK_FRESH);
    assert_int_equal(arrive(&broker, frame_hold(f)), LINK_REPEAT);
    assert_int_equal(arrive(&broker, seal(&client, 'b')), LINK_FRESH);
    assert_int_equal(arrive(&broker, f), LINK_REPEAT);
    assert_string_equal(broker.got, "ab");
}

static void what_follows_a_gap_waits_for_the_resend(void **state)
{
    (void)state;
    lose(seal(&client, 'a'));
    assert_int_equal(arrive(&broker, seal(&client, 'b')), LINK_REPEAT);
    assert_int_equal(arrive(&broker, seal(&client, 'c')), LINK_REPEAT);
    assert_string_equal(broker.got, "");
    pass(199);
    assert_false(link_tick(&client.link, now) & LINK_RESEND);
    pass(1);
    assert_true(link_tick(&client.link, now) & LINK_RESEND);
    assert_int_equal(resend(&client, &broker), 3);
    assert_string_equal(broker.got, "abc");
    assert_int_equal(client.link.resent, 3);
}

static void a_lost_tail_is_sent_again(void **state)
{
    (void)state;
    assert_int_equal(arrive(&broker, seal(&client, 'a')), LINK_FRESH);
    lose(seal(&client, 'b'));
    assert_int_equal(heartbeat(&broker, &client), LINK_HEARTBEAT);
    pass(200);
    assert_true(link_tick(&client.link, now) & LINK_RESEND);
    assert_int_equal(resend(&client, &broker), 1); /* not what was acknowledged */
    assert_string_equal(broker.got, "ab");
}

static void frames_sealed_during_a_resend_keep_their_turn(void **state)
{
    (void)state;
    lose(seal(&client, 'a'));
    lose(seal(&client, 'b'));
    pass(200);
    assert_true(link_tick(&client.link, now) & LINK_RESEND);
    assert_int_equal(arrive(&broker, link_resend(&client.link, now)), LINK_FRESH);
    assert_null(seal(&client, 'c'));
    assert_int_equal(resend(&client, &broker), 2);
    assert_string_equal(broker.got, "abc");
    assert_int_equal(arrive(&broker, seal(&client, 'd')), LINK_FRESH); /* straight again */
}

static void acknowledgements_cut_a_resend_short(void **state)
{
    (void)state;
    for (const char *c = "abc"; *c; c++)
        assert_int_equal(arrive(&broker, seal(&client, *c)), LINK_FRESH);
    pass(200);
    assert_true(link_tick(&client.link, now) & LINK_RESEND);
    assert_int_equal(heartbeat(&broker, &client), LINK_HEARTBEAT); /* was under way */
    assert_null(link_resend(&client.link, now));
    assert_false(link_tick(&client.link, now) & LINK_RESEND);
    assert_int_equal(arrive(&broker, seal(&client, 'd')), LINK_FRESH);
}

static void an_acknowledgement_of_some_sends_nothing_again(void **state)
{
    (void)state;
    assert_int_equal(arrive(&broker, seal(&client, 'a')), LINK_FRESH);
    struct frame *f = seal(&client, 'b'); /* on its way */
    assert_int_equal(heartbeat(&broker, &client), LINK_HEARTBEAT);
    assert_int_equal(client.link.ring_count, 1);
    assert_false(link_tick(&client.link, now) & LINK_RESEND);
    assert_int_equal(arrive(&broker, seal(&client, 'c')), LINK_REPEAT); /* it goes at once, and has overtaken */
    assert_int_equal(arrive(&broker, f), LINK_FRESH);
}

static void a_peer_without_progress_is_sent_ever_more_rarely_and_16_frames_at_most(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++)
        lose(seal(&client, 'x'));
    static const int64_t waits[] = { 200, 400, 800 };
    for (unsigned i = 0; i < 3; i++) {
        pass(waits[i] - 1);
        assert_false(link_tick(&client.link, now) & LINK_RESEND);
        pass(1);
        assert_true(link_tick(&client.link, now) & LINK_RESEND);
        assert_int_equal(resend(&client, NULL), 16);
        assert_false(link_tick(&client.link, now) & LINK_RESEND);
        assert_null(seal(&client, 'y')); /* waits for its turn */
    }
}

static void a_peer_that_was_away_and_is_back_is_sent_again_soon(void **state)
{
    (void)state;
    lose(seal(&broker, 'a'));
    for (unsigned i = 0; i < 6; i++) { /* 12.6 s, and the next one would be 12.8 s later */
        pass(200 << i);
        assert_true(link_tick(&broker.link, now) & LINK_RESEND);
        assert_int_equal(resend(&broker, NULL), 1);
    }
    assert_int_equal(heartbeat(&client, &broker), LINK_HEARTBEAT);
    pass(200);
    assert_true(link_tick(&broker.link, now) & LINK_RESEND);
    assert_int_equal(resend(&broker, &client), 1);
    assert_string_equal(client.got, "a");
}

static void bytes_a_transport_still_reads_do_not_change(void **state)
{
    (void)state;
    uint8_t before[512];
    struct frame *held = seal(&client, 'a');
    assert_true(held->size <= sizeof before);
    memcpy(before, held->data, held->size);
    assert_int_equal(arrive(&client, seal(&broker, 'z')), LINK_FRESH); /* changes what the header would say */
    pass(200);
    link_tick(&client.link, now);
    struct frame *again = link_resend(&client.link, now);
    assert_non_null(again);
    assert_ptr_not_equal(again, held);
    assert_memory_equal(held->data, before, held->size);
    assert_memory_not_equal(again->data, before, held->size);
    frame_drop(held);
    assert_int_equal(arrive(&broker, again), LINK_FRESH);
}

static void a_heartbeat_tells_the_next_sequence_and_consumes_none(void **state)
{
    (void)state;
    assert_int_equal(arrive(&broker, seal(&client, 'a')), LINK_FRESH);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(heartbeat(&client, &broker), LINK_HEARTBEAT);
    assert_int_equal(broker.link.received, 1);
    assert_int_equal(arrive(&broker, seal(&client, 'b')), LINK_FRESH);
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_header h;
    struct wire_reader bodies;
    link_heartbeat(&client.link, now, bytes);
    assert_int_equal(frame_open(span_of(bytes, sizeof bytes), &h, &bodies), FRAME_OK);
    assert_int_equal(h.sequence, 3);
}

static void heartbeats_are_due_after_a_time_without_sending(void **state)
{
    (void)state;
    pass(2999);
    assert_int_equal(link_tick(&broker.link, now), LINK_NOTHING);
    pass(1);
    assert_int_equal(link_tick(&broker.link, now), LINK_SEND_HEARTBEAT);
    heartbeat(&broker, &client);
    assert_int_equal(link_tick(&broker.link, now), LINK_NOTHING);
}

static void what_arrived_is_told_within_25_ms_or_8_frames(void **state)
{
    (void)state;
    arrive(&broker, seal(&client, 'a'));
    pass(24);
    assert_int_equal(link_tick(&broker.link, now), LINK_NOTHING);
    pass(1);
    assert_int_equal(link_tick(&broker.link, now), LINK_SEND_HEARTBEAT);
    heartbeat(&broker, &client);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(link_tick(&broker.link, now), LINK_NOTHING);
        arrive(&broker, seal(&client, 'b'));
    }
    assert_int_equal(link_tick(&broker.link, now), LINK_SEND_HEARTBEAT);
}

static void a_repeat_is_told_too_for_the_first_word_was_lost(void **state)
{
    (void)state;
    struct frame *f = seal(&client, 'a');
    arrive(&broker, frame_hold(f));
    uint8_t lost[FRAME_HEADER_SIZE];
    link_heartbeat(&broker.link, now, lost);
    assert_int_equal(link_tick(&broker.link, now), LINK_NOTHING);
    arrive(&broker, f);
    pass(25);
    assert_int_equal(link_tick(&broker.link, now), LINK_SEND_HEARTBEAT);
}

static void silence_is_doubt_to_a_client_but_not_to_the_broker(void **state)
{
    (void)state;
    pass(8999);
    assert_false(link_tick(&client.link, now) & LINK_DOUBT);
    pass(1);
    assert_true(link_tick(&client.link, now) & LINK_DOUBT);
    assert_false(link_tick(&broker.link, now) & LINK_DOUBT);
    heartbeat(&client, &broker);
    heartbeat(&broker, &client);
    assert_false(link_tick(&client.link, now) & LINK_DOUBT);
}

/* Only one direction is broken: heartbeats come, and none of them echoes what was sent of late. */
static void a_client_that_hears_and_is_not_heard_doubts(void **state)
{
    (void)state;
    pass(1000);
    heartbeat(&client, &broker); /* the last one that is heard, at 1,000 ms */
    for (unsigned i = 0; i < 3; i++) {
        pass(2999);
        heartbeat(&broker, &client);
        assert_false(link_tick(&client.link, now) & LINK_DOUBT);
    }
    pass(3);
    assert_true(link_tick(&client.link, now) & LINK_DOUBT);
    assert_false(link_tick(&broker.link, now) & LINK_DOUBT);
}

static void a_second_without_progress_is_doubt(void **state)
{
    (void)state;
    pass(500); /* idle before: does not count */
    lose(seal(&client, 'a'));
    pass(999);
    heartbeat(&broker, &client); /* heard, but no progress */
    assert_false(link_tick(&client.link, now) & LINK_DOUBT);
    pass(1);
    assert_true(link_tick(&client.link, now) & LINK_DOUBT);
}

static void other_tokens_and_epochs_are_stale(void **state)
{
    (void)state;
    struct frame_header h = { .token = token, .epoch = 1, .sequence = 1 };
    h.token.low++;
    assert_int_equal(link_receive(&broker.link, &h, true, now), LINK_STALE);
    h.token = token, h.epoch = 2;
    assert_int_equal(link_receive(&broker.link, &h, true, now), LINK_STALE);
    h.epoch = 0;
    assert_int_equal(link_receive(&broker.link, &h, true, now), LINK_STALE);
    h.epoch = 1;
    assert_int_equal(link_receive(&broker.link, &h, true, now), LINK_FRESH);
}

static void acknowledging_what_was_never_sent_breaks_the_link(void **state)
{
    (void)state;
    arrive(&broker, seal(&client, 'a'));
    struct frame_header h = { .token = token, .epoch = 1, .sequence = 1, .received = 2 };
    assert_int_equal(link_receive(&client.link, &h, true, now), LINK_BROKEN);
    h.received = UINT64_MAX;
    assert_int_equal(link_receive(&client.link, &h, false, now), LINK_BROKEN);
    assert_int_equal(client.link.ring_count, 1);
    assert_int_equal(client.link.received, 0);
    h.received = 1;
    assert_int_equal(link_receive(&client.link, &h, true, now), LINK_FRESH);
    assert_int_equal(client.link.ring_count, 0);
}

static void old_acknowledgements_do_no_harm(void **state)
{
    (void)state;
    for (const char *c = "abc"; *c; c++)
        arrive(&broker, seal(&client, *c));
    heartbeat(&broker, &client);
    struct frame_header h = { .token = token, .epoch = 1, .sequence = 1, .received = 1 };
    assert_int_equal(link_receive(&client.link, &h, false, now), LINK_HEARTBEAT);
    assert_int_equal(client.link.acknowledged, 3);
}

static void unacknowledged_frames_and_bytes_are_capped(void **state)
{
    (void)state;
    struct link_limits few = client_limits, little = client_limits;
    few.frames = 3;
    client.link.limits = few;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(link_room(&client.link));
        arrive(&broker, seal(&client, 'a'));
    }
    assert_false(link_room(&client.link));
    heartbeat(&broker, &client);
    assert_true(link_room(&client.link));
    little.bytes = 2 * FRAME_HEADER_SIZE;
    client.link.limits = little;
    arrive(&broker, seal(&client, 'b'));
    assert_true(link_room(&client.link));
    arrive(&broker, seal(&client, 'b'));
    assert_false(link_room(&client.link));
}

static void many_bodies_become_a_frame_where_they_are(void **state)
{
    (void)state;
    struct buf bodies = { .head = FRAME_HEAD };
    while (bodies.size < 10000)
        frame_add_leave(&bodies, span_str("x"));
    const uint8_t *where = bodies.data;
    size_t size = bodies.size;
    struct frame *f = link_seal(&client.link, &bodies, now);
    assert_ptr_equal(f->data + FRAME_HEADER_SIZE, where);
    assert_int_equal(f->size, FRAME_HEADER_SIZE + size);
    assert_int_equal(bodies.size, 0);
    assert_int_equal(arrive(&broker, f), LINK_FRESH);
    frame_add_leave(&bodies, span_str("y")); /* few of them are copied, and the buffer keeps its memory */
    where = bodies.data;
    f = link_seal(&client.link, &bodies, now);
    assert_ptr_equal(bodies.data, where);
    assert_int_equal(arrive(&broker, f), LINK_FRESH);
    assert_string_equal(broker.got, "xy");
    buf_free(&bodies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
        T(frames_arrive_in_order_and_are_let_go_once_acknowledged),
        T(a_repeated_frame_is_taken_once),
        T(what_follows_a_gap_waits_for_the_resend),
        T(a_lost_tail_is_sent_again),
        T(frames_sealed_during_a_resend_keep_their_turn),
        T(acknowledgements_cut_a_resend_short),
        T(an_acknowledgement_of_some_sends_nothing_again),
        T(a_peer_without_progress_is_sent_ever_more_rarely_and_16_frames_at_most),
        T(a_peer_that_was_away_and_is_back_is_sent_again_soon),
        T(bytes_a_transport_still_reads_do_not_change),
        T(a_heartbeat_tells_the_next_sequence_and_consumes_none),
        T(heartbeats_are_due_after_a_time_without_sending),
        T(what_arrived_is_told_within_25_ms_or_8_frames),
        T(a_repeat_is_told_too_for_the_first_word_was_lost),
        T(silence_is_doubt_to_a_client_but_not_to_the_broker),
        T(a_client_that_hears_and_is_not_heard_doubts),
        T(a_second_without_progress_is_doubt),
        T(other_tokens_and_epochs_are_stale),
        T(acknowledging_what_was_never_sent_breaks_the_link),
        T(old_acknowledgements_do_no_harm),
        T(unacknowledged_frames_and_bytes_are_capped),
        T(many_bodies_become_a_frame_where_they_are)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
