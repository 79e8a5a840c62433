/* Timers of a link: heartbeats, acknowledgements, and doubt. */
#include "tests/proto/link_driver.h"

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

static void received_frames_are_acknowledged_within_25_ms_or_8_frames(void **state)
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

static void a_repeated_frame_is_acknowledged_again(void **state)
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

/* Only one direction is broken: heartbeats arrive, but none echoes what was sent recently. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_heartbeat_tells_the_next_sequence_and_consumes_none),
        T(heartbeats_are_due_after_a_time_without_sending),
        T(received_frames_are_acknowledged_within_25_ms_or_8_frames),
        T(a_repeated_frame_is_acknowledged_again),
        T(silence_is_doubt_to_a_client_but_not_to_the_broker),
        T(a_client_that_hears_and_is_not_heard_doubts),
        T(a_second_without_progress_is_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
