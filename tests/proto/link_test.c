/* Frames of a link: loss, repeats, gaps, resending, and frames of other links. Timers are in link_time_test.c, resuming
 * in link_resume_test.c. */
#include "tests/proto/link_driver.h"

static void frames_arrive_in_order_and_are_freed_once_acknowledged(void **state)
{
    (void)state;
    for (const char *c = "hello"; *c; c++)
        assert_int_equal(arrive(&broker, seal(&client, *c)), LINK_FRESH);
    assert_string_equal(broker.got, "hello");
    assert_int_equal(client.link.ring_count, 5);
    assert_int_equal(arrive(&client, seal(&broker, '!')), LINK_FRESH); /* acknowledges what was received */
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

static void frames_behind_a_gap_wait_for_the_resend(void **state)
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
    assert_int_equal(arrive(&broker, seal(&client, 'd')), LINK_FRESH); /* in sequence again */
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

static void a_partial_acknowledgement_sends_nothing_again(void **state)
{
    (void)state;
    assert_int_equal(arrive(&broker, seal(&client, 'a')), LINK_FRESH);
    struct frame *f = seal(&client, 'b'); /* on its way */
    assert_int_equal(heartbeat(&broker, &client), LINK_HEARTBEAT);
    assert_int_equal(client.link.ring_count, 1);
    assert_false(link_tick(&client.link, now) & LINK_RESEND);
    assert_int_equal(arrive(&broker, seal(&client, 'c')), LINK_REPEAT); /* sent at once; it has overtaken 'b' */
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
        assert_null(seal(&client, 'y')); /* link_resend returns it later */
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
    assert_int_equal(arrive(&client, seal(&broker, 'z')), LINK_FRESH); /* changes what the header would contain */
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
        T(frames_arrive_in_order_and_are_freed_once_acknowledged),
        T(a_repeated_frame_is_taken_once),
        T(frames_behind_a_gap_wait_for_the_resend),
        T(a_lost_tail_is_sent_again),
        T(frames_sealed_during_a_resend_keep_their_turn),
        T(acknowledgements_cut_a_resend_short),
        T(a_partial_acknowledgement_sends_nothing_again),
        T(a_peer_without_progress_is_sent_ever_more_rarely_and_16_frames_at_most),
        T(a_peer_that_was_away_and_is_back_is_sent_again_soon),
        T(bytes_a_transport_still_reads_do_not_change),
        T(other_tokens_and_epochs_are_stale),
        T(acknowledging_what_was_never_sent_breaks_the_link),
        T(old_acknowledgements_do_no_harm),
        T(unacknowledged_frames_and_bytes_are_capped),
        T(many_bodies_become_a_frame_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
