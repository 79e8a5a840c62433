/* Resuming a link, proof of being heard, and both ends over a network that drops, duplicates, delays and reorders
 * frames, with a new epoch at each doubt: everything arrives once and in order. */
#include "proto/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define FLYING 256u

struct flying {
    struct frame *frame;
    unsigned to;
    mono_t due;
};

/* Frames carry dense numbers: the next one each end sends, and expects. */
static struct world {
    struct link ends[2];
    uint64_t sent[2], taken[2];
    struct flying flying[FLYING];
    unsigned flying_count;
    uint64_t random;
    unsigned loss; /* of 100 */
    unsigned resumed;
    mono_t now;
} w;

static const struct token token = { 1, 2 };

static void open_world(uint64_t seed, unsigned loss)
{
    const struct link_limits limits[] = {
        { .frames = 20, .bytes = 1 << 16, .heartbeat_ms = 300, .silence_ms = 900, .proof_ms = 600 },
        { .frames = 20, .bytes = 1 << 16, .heartbeat_ms = 300, .silence_ms = 0, .proof_ms = 600 },
    };
    memset(&w, 0, sizeof w);
    w.random = seed * 0x9e3779b97f4a7c15u + 1;
    w.loss = loss;
    for (unsigned i = 0; i < 2; i++) {
        link_init(&w.ends[i], token, 1, limits[i], w.now);
        link_opened(&w.ends[i], w.now, w.now);
    }
}

static void close_world(void)
{
    while (w.flying_count)
        frame_drop(w.flying[--w.flying_count].frame);
    link_free(&w.ends[0]);
    link_free(&w.ends[1]);
}

static unsigned chance(unsigned below)
{
    w.random ^= w.random << 13, w.random ^= w.random >> 7, w.random ^= w.random << 17;
    return (unsigned)(w.random >> 33) % below;
}

/* Puts a frame onto the network, with its reference: it is lost, or arrives after some time, perhaps twice. */
static void launch(unsigned from, struct frame *f)
{
    unsigned copies = chance(100) < w.loss ? 0 : chance(20) ? 1 : 2;
    for (unsigned i = 0; i < copies && w.flying_count < FLYING; i++) {
        int64_t delay = 5 + (chance(8) ? 0 : chance(60)); /* now and then one overtakes another */
        w.flying[w.flying_count++] = (struct flying){ frame_hold(f), 1 - from, mono_add_ms(w.now, delay) };
    }
    frame_drop(f);
}

static void send_number(unsigned from)
{
    struct buf bodies = { 0 };
    frame_add_seen(&bodies, span_str("q"), ++w.sent[from]);
    struct frame *f = link_seal(&w.ends[from], &bodies, w.now);
    if (f)
        launch(from, f);
    buf_free(&bodies);
}

static void take(unsigned to, const struct frame *f)
{
    struct frame_header header;
    struct wire_reader bodies;
    struct body body;
    assert_int_equal(frame_open(span_of(f->data, f->size), &header, &bodies), FRAME_OK);
    enum link_verdict verdict = link_receive(&w.ends[to], &header, !wire_done(&bodies), w.now);
    assert_int_not_equal(verdict, LINK_BROKEN);
    if (verdict != LINK_FRESH)
        return;
    assert_int_equal(frame_next(&bodies, &body), FRAME_OK);
    assert_int_equal(body.u.seen.through, ++w.taken[to]); /* the next one, and no other */
}

static void land_what_is_due(void)
{
    for (unsigned i = 0; i < w.flying_count;) {
        struct flying f = w.flying[i];
        if (mono_before(w.now, f.due)) {
            i++;
            continue;
        }
        memmove(&w.flying[i], &w.flying[i + 1], (--w.flying_count - i) * sizeof f);
        take(f.to, f.frame);
        frame_drop(f.frame);
    }
}

/* The client attaches again: a new epoch on both ends. What is in flight stays there. */
static void attach_again(void)
{
    uint64_t received[] = { w.ends[0].received, w.ends[1].received };
    uint32_t epoch = w.ends[0].epoch + 1;
    for (unsigned i = 0; i < 2; i++) {
        assert_true(link_resume(&w.ends[i], epoch, received[1 - i], w.now));
        link_opened(&w.ends[i], w.now, w.now);
    }
    w.resumed++;
}

static void tick(unsigned end)
{
    unsigned actions = link_tick(&w.ends[end], w.now);
    if (actions & LINK_DOUBT) {
        attach_again();
        return;
    }
    if (actions & LINK_SEND_HEARTBEAT) {
        struct frame *f = frame_new(0);
        link_heartbeat(&w.ends[end], w.now, f->data);
        launch(end, f);
    }
    for (struct frame *f; (actions & LINK_RESEND) && (f = link_resend(&w.ends[end], w.now)) != NULL;)
        launch(end, f);
}

static void run_world(unsigned steps, bool sending)
{
    for (unsigned step = 0; step < steps; step++) {
        w.now = mono_add_ms(w.now, 1 + chance(10));
        land_what_is_due();
        for (unsigned end = 0; end < 2; end++) {
            tick(end);
            if (sending && chance(3) == 0 && link_room(&w.ends[end]))
                send_number(end);
        }
    }
}

static void everything_arrives_once_and_in_order_over_a_bad_network(void **state)
{
    (void)state;
    unsigned resumed = 0;
    uint64_t taken = 0;
    for (unsigned seed = 1; seed <= 60; seed++) {
        open_world(seed, seed % 6 * 10);
        run_world(1500, true);
        w.loss = 0;
        run_world(1500, false);
        for (unsigned end = 0; end < 2; end++) {
            assert_true(w.taken[end] == w.sent[1 - end]);
            assert_int_equal(w.ends[end].ring_count, 0);
        }
        resumed += w.resumed;
        taken += w.taken[0] + w.taken[1];
        close_world();
    }
    assert_true(resumed > 20 && taken > 10000); /* otherwise the network was too good to test anything */
}

static void a_dead_network_is_doubted_again_and_again(void **state)
{
    (void)state;
    open_world(1, 100);
    run_world(2000, true);
    assert_true(w.resumed >= 5);
    assert_int_equal(w.taken[0] + w.taken[1], 0);
    w.loss = 0;
    run_world(1500, false);
    assert_true(w.taken[0] == w.sent[1] && w.taken[1] == w.sent[0]);
    close_world();
}

static void resuming_sends_only_what_the_other_side_lacks(void **state)
{
    (void)state;
    open_world(1, 100);
    for (unsigned i = 0; i < 5; i++)
        send_number(0);
    assert_true(link_resume(&w.ends[0], 2, 3, w.now));
    assert_null(link_resend(&w.ends[0], w.now)); /* closed */
    link_opened(&w.ends[0], w.now, w.now);
    for (uint64_t sequence = 4; sequence <= 5; sequence++) {
        struct frame *f = link_resend(&w.ends[0], w.now);
        struct frame_header h;
        struct wire_reader bodies;
        assert_non_null(f);
        assert_int_equal(frame_open(span_of(f->data, f->size), &h, &bodies), FRAME_OK);
        assert_int_equal(h.sequence, sequence);
        assert_int_equal(h.epoch, 2);
        frame_drop(f);
    }
    assert_null(link_resend(&w.ends[0], w.now));
    close_world();
}

static void a_fresh_lane_takes_all_that_waits_at_once(void **state)
{
    (void)state;
    open_world(1, 100);
    for (unsigned i = 0; i < 20; i++)
        send_number(0);
    assert_true(link_resume(&w.ends[0], 2, 0, w.now));
    link_opened(&w.ends[0], w.now, w.now);
    unsigned count = 0;
    for (struct frame *f; (f = link_resend(&w.ends[0], w.now)) != NULL; count++)
        frame_drop(f);
    assert_int_equal(count, 20);
    close_world();
}

static void a_peer_that_claims_what_was_never_sent_cannot_resume(void **state)
{
    (void)state;
    open_world(1, 100);
    send_number(0);
    assert_false(link_resume(&w.ends[0], 2, 2, w.now));
    assert_false(link_resume(&w.ends[0], 2, UINT64_MAX, w.now));
    assert_true(w.ends[0].open && w.ends[0].epoch == 1);
    assert_true(link_resume(&w.ends[0], 2, 1, w.now));
    close_world();
}

static void nothing_is_sent_before_the_link_is_open(void **state)
{
    (void)state;
    open_world(1, 0);
    link_free(&w.ends[0]);
    link_init(&w.ends[0], token, 1, w.ends[1].limits, w.now);
    send_number(0);
    send_number(0);
    assert_int_equal(w.flying_count, 0);
    assert_null(link_resend(&w.ends[0], w.now));
    assert_int_equal(link_tick(&w.ends[0], w.now), LINK_NOTHING);
    assert_int_equal(link_due(&w.ends[0]).ns, INT64_MAX);
    struct frame_header h = { .token = token, .epoch = 1, .sequence = 1 };
    assert_int_equal(link_receive(&w.ends[0], &h, true, w.now), LINK_STALE);
    link_opened(&w.ends[0], w.now, w.now);
    assert_int_equal(link_tick(&w.ends[0], w.now), LINK_RESEND);
    run_world(100, false);
    assert_int_equal(w.taken[1], 2);
    close_world();
}

/* ------------------------------------------------------------------ proof */

static struct frame_header heartbeat_of(unsigned from)
{
    struct frame_header h;
    struct wire_reader bodies;
    uint8_t bytes[FRAME_HEADER_SIZE];
    link_heartbeat(&w.ends[from], w.now, bytes);
    assert_int_equal(frame_open(span_of(bytes, sizeof bytes), &h, &bodies), FRAME_OK);
    return h;
}

static void hear(unsigned to, struct frame_header h)
{
    assert_int_equal(link_receive(&w.ends[to], &h, false, w.now), LINK_HEARTBEAT);
}

static void receiving_does_not_prove_being_heard(void **state)
{
    (void)state;
    open_world(1, 0);
    assert_true(link_proven(&w.ends[0], w.now)); /* the echoed Hello proved it */
    for (unsigned i = 0; i < 6; i++) {
        w.now = mono_add_ms(w.now, 100);
        hear(0, heartbeat_of(1)); /* the broker sends, but echoes nothing */
    }
    assert_false(link_proven(&w.ends[0], w.now));
    hear(1, heartbeat_of(0));
    hear(0, heartbeat_of(1));
    assert_true(link_proven(&w.ends[0], w.now));
    close_world();
}

static void proof_counts_from_when_the_echoed_frame_was_sent(void **state)
{
    (void)state;
    open_world(1, 0);
    w.now = mono_add_ms(w.now, 1000);
    struct frame_header sent = heartbeat_of(0);
    w.now = mono_add_ms(w.now, 400); /* on its way */
    hear(1, sent);
    struct frame_header echo = heartbeat_of(1);
    w.now = mono_add_ms(w.now, 150);
    hear(0, echo);
    assert_true(link_proven(&w.ends[0], w.now));
    w.now = mono_add_ms(w.now, 50);
    assert_false(link_proven(&w.ends[0], w.now)); /* 600 ms after it was sent */
    hear(0, echo);                                /* an old echo proves nothing new */
    assert_false(link_proven(&w.ends[0], w.now));
    close_world();
}

static void a_closed_link_proves_nothing(void **state)
{
    (void)state;
    open_world(1, 0);
    assert_true(link_resume(&w.ends[0], 2, 0, w.now));
    assert_false(link_proven(&w.ends[0], w.now));
    link_opened(&w.ends[0], w.now, w.now);
    assert_true(link_proven(&w.ends[0], w.now));
    close_world();
}

static void round_trips_are_learnt_but_not_from_frames_sent_twice(void **state)
{
    (void)state;
    open_world(1, 100);
    w.now = mono_add_ms(w.now, 1);
    send_number(0);
    w.now = mono_add_ms(w.now, 80);
    struct frame_header h = { .token = token, .epoch = 1, .sequence = 1, .received = 1 };
    hear(0, h);
    assert_int_equal(w.ends[0].rtt_ms, 80);
    send_number(0);
    w.now = mono_add_ms(w.now, 320); /* 4 round trips */
    assert_true(link_tick(&w.ends[0], w.now) & LINK_RESEND);
    frame_drop(link_resend(&w.ends[0], w.now));
    h.received = 2;
    hear(0, h);
    assert_int_equal(w.ends[0].rtt_ms, 80);
    close_world();
}

static void the_time_a_link_is_due_is_when_it_has_something_to_do(void **state)
{
    (void)state;
    open_world(7, 30);
    for (unsigned step = 0; step < 3000; step++) {
        for (unsigned end = 0; end < 2; end++) {
            mono_t due = link_due(&w.ends[end]);
            bool early = mono_before(w.now, due);
            struct link copy = w.ends[end]; /* link_tick changes timers, so it is called on a copy */
            assert_int_equal(link_tick(&copy, w.now) == LINK_NOTHING, early);
        }
        run_world(1, true);
    }
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_arrives_once_and_in_order_over_a_bad_network),
        cmocka_unit_test(a_dead_network_is_doubted_again_and_again),
        cmocka_unit_test(resuming_sends_only_what_the_other_side_lacks),
        cmocka_unit_test(a_fresh_lane_takes_all_that_waits_at_once),
        cmocka_unit_test(a_peer_that_claims_what_was_never_sent_cannot_resume),
        cmocka_unit_test(nothing_is_sent_before_the_link_is_open),
        cmocka_unit_test(receiving_does_not_prove_being_heard),
        cmocka_unit_test(proof_counts_from_when_the_echoed_frame_was_sent),
        cmocka_unit_test(a_closed_link_proves_nothing),
        cmocka_unit_test(round_trips_are_learnt_but_not_from_frames_sent_twice),
        cmocka_unit_test(the_time_a_link_is_due_is_when_it_has_something_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
