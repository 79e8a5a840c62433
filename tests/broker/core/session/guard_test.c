/* Denial of peers, rebinding the ingress, and the limit on pending attaches. */
#include "tests/broker/core/driver.h"

#include <stdio.h>

static const uint8_t junk[65536 - 64]; /* costs 64 KiB with what libzmq holds of it */

static void small_limit(struct driver *d)
{
    d->config.flood_bytes = 1u << 20; /* 16 times the junk */
    driver_restart(d);
}

static void flood(struct driver *d, const char *peer, unsigned times)
{
    while (times--)
        core_frame(d->core, span_of(junk, sizeof junk), peer, d->now);
    turn(d);
}

static bool admits(struct driver *d, const char *peer)
{
    return core_admits(d->core, peer, d->now);
}

/* Sends well-formed frames of a session that is gone. */
static void late(struct driver *d, const char *peer, unsigned times)
{
    static uint8_t frame[65536 - 64];
    struct frame_header h = { .token = { 9, 9 }, .epoch = 1, .sequence = 1 };
    frame_header_write(frame, &h);
    uint8_t *at = frame + FRAME_HEADER_SIZE; /* one unknown body of the rest */
    size_t rest = sizeof frame - FRAME_HEADER_SIZE - 4;
    at[0] = 8 << 3 | WIRE_BYTES;
    at[1] = (uint8_t)(rest & 0x7f) | 0x80;
    at[2] = (uint8_t)(rest >> 7 & 0x7f) | 0x80;
    at[3] = (uint8_t)(rest >> 14);
    while (times--)
        core_frame(d->core, span_of(frame, sizeof frame), peer, d->now);
    turn(d);
}

static void a_flood_of_garbage_denies_its_origin_and_binds_the_ingress_again(void **state)
{
    struct driver *d = *state;
    small_limit(d);
    flood(d, "ip:10.0.0.66", 15);
    assert_true(admits(d, "ip:10.0.0.66"));
    assert_int_equal(d->rebinds, 0);
    flood(d, "ip:10.0.0.66", 1);
    assert_false(admits(d, "ip:10.0.0.66"));
    assert_true(admits(d, "ip:10.0.0.67"));
    assert_int_equal(d->rebinds, 1);
    assert_true(logged(d, "ip:10.0.0.66 sent 1048576 bytes of garbage"));
    assert_int_equal(broker(d).denied, 1);
    assert_int_equal(broker(d).rebinds, 1);
    assert_int_equal(broker(d).rejected, 16);
    assert_int_equal(broker(d).rejected_bytes, 16 * sizeof junk);
}

static void denial_ends(void **state)
{
    struct driver *d = *state;
    small_limit(d);
    flood(d, "uid:666", 16);
    pass(d, 29999);
    assert_false(admits(d, "uid:666"));
    pass(d, 1);
    assert_true(admits(d, "uid:666"));
}

static void a_slow_trickle_is_only_counted(void **state)
{
    struct driver *d = *state;
    small_limit(d);
    for (unsigned i = 0; i < 10; i++) {
        flood(d, "ip:10.0.0.66", 15);
        pass(d, 10000);
    }
    assert_true(admits(d, "ip:10.0.0.66"));
    assert_int_equal(d->rebinds, 0);
    assert_int_equal(broker(d).rejected, 150);
}

static void small_messages_cost_what_libzmq_holds_of_them(void **state)
{
    struct driver *d = *state;
    small_limit(d);
    for (unsigned i = 0; i < (1u << 20) / 65 + 1; i++)
        core_frame(d->core, span_of(junk, 1), "ip:10.0.0.66", d->now);
    turn(d);
    assert_int_equal(d->rebinds, 1);
}

static void an_address_with_attached_sessions_is_not_denied(void **state)
{
    struct driver *d = *state;
    small_limit(d);
    struct peer *p = attached(d, "neighbour");
    flood(d, p->identity, 16);
    assert_true(admits(d, p->identity));
    assert_true(is_attached(p));
    assert_int_equal(d->rebinds, 1); /* which drops the flooder's connection, and the neighbour sends again */
    bye(p);
    flood(d, p->identity, 16);
    assert_false(admits(d, p->identity));
}

static void a_key_is_denied_with_its_sessions(void **state)
{
    struct driver *d = *state;
    small_limit(d);
    struct peer *p = peer_new(d, "keyed"), *other = attached(d, "other");
    snprintf(p->identity, sizeof p->identity, "key:abc@10.0.0.1");
    attach(p);
    flood(d, p->identity, 16);
    assert_false(is_attached(p));
    assert_true(is_attached(other));
    assert_false(admits(d, p->identity));
    assert_true(logged(d, "keyed: session ended"));
}

static void late_frames_deny_nobody(void **state)
{
    struct driver *d = *state;
    small_limit(d);
    late(d, "ip:10.0.0.1", 16);
    assert_true(admits(d, "ip:10.0.0.1"));
    assert_int_equal(broker(d).rejected, 16);
    assert_int_equal(d->rebinds, 1);
}

static void binding_again_is_spaced_out_while_a_flood_lasts(void **state)
{
    struct driver *d = *state;
    small_limit(d);
    attached(d, "neighbour");
    for (unsigned i = 0; i < 20; i++) { /* seconds of it */
        flood(d, "ip:10.0.0.1", 20);
        pass(d, 1000);
    }
    assert_int_equal(d->rebinds, 7); /* at 0, 1, 3, 7, 11, 15, 19 s */
    pass(d, 60000);
    flood(d, "ip:10.0.0.1", 16);
    assert_int_equal(d->rebinds, 8); /* at once again */
    flood(d, "ip:10.0.0.1", 16);
    assert_int_equal(d->rebinds, 8);
    pass(d, 1000);
    flood(d, "ip:10.0.0.1", 1);
    assert_int_equal(d->rebinds, 9); /* and spaced out from the beginning */
}

static void garbage_on_control_denies_without_touching_the_ingress(void **state)
{
    struct driver *d = *state;
    struct route route = { .id = { 255 }, .size = 1 };
    small_limit(d);
    for (unsigned i = 0; i < 16; i++)
        core_control(d->core, span_of(junk, sizeof junk), &route, "ip:10.0.0.66", d->now);
    turn(d);
    assert_int_equal(d->replies, 16); /* each was answered: invalid */
    assert_int_equal(d->rebinds, 0);
    assert_false(admits(d, "ip:10.0.0.66"));
    core_control(d->core, span_of(junk, sizeof junk), &route, "ip:10.0.0.66", d->now);
    core_refused(d->core, 100, "ip:10.0.0.66", d->now);
    turn(d);
    assert_int_equal(d->replies, 16); /* it gets no answers any more */
    assert_int_equal(broker(d).rejected, 17);
}

static void inproc_is_trusted(void **state)
{
    struct driver *d = *state;
    small_limit(d);
    flood(d, "inproc", 100);
    assert_true(admits(d, "inproc"));
    assert_int_equal(d->rebinds, 0);
}

static void pending_attaches_of_one_address_are_bounded(void **state)
{
    struct driver *d = *state;
    d->config.max_sessions = 80; /* 10 may be pending from one place */
    driver_restart(d);
    struct peer *p = peer_new(d, "loop"), *other = peer_new(d, "other");
    for (unsigned i = 0; i < 10; i++) {
        p->token = (struct token){ 0, 0 };
        request_attach(p);
    }
    assert_string_equal(heard(p), "hello tcp://*:7700; hello tcp://*:7700; hello tcp://*:7700; hello tcp://*:7700; "
                                  "hello tcp://*:7700; hello tcp://*:7700; hello tcp://*:7700; hello tcp://*:7700; "
                                  "hello tcp://*:7700; hello tcp://*:7700");
    p->token = (struct token){ 0, 0 };
    request_attach(p);
    assert_string_equal(heard(p), "attach refused busy");
    attach(other);
    pass(d, 2000); /* the pending ones time out */
    assert_int_equal(broker(d).sessions, 1);
    p->token = (struct token){ 0, 0 };
    attach(p);
    for (unsigned i = 0; i < 10; i++) { /* an attached session does not count as pending */
        p->token = (struct token){ 0, 0 };
        request_attach(p);
    }
    assert_null(strstr(heard(p), "busy"));
}

static void whoever_cycles_addresses_does_not_grow_the_broker(void **state)
{
    struct driver *d = *state;
    char peer[32];
    d->config.max_sessions = 10;
    small_limit(d);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(peer, sizeof peer, "ip:fd00::%x", i);
        core_frame(d->core, span_of(junk, 10), peer, d->now);
    }
    assert_true(HASH_COUNT(d->core->origins) <= 1034);
    pass(d, 10000);
    core_frame(d->core, span_of(junk, 10), "ip:fd01::1", d->now);
    turn(d);
    assert_true(HASH_COUNT(d->core->origins) < 10);
    attached(d, "honest");
}

static void a_resume_that_acknowledges_what_was_never_sent_ends_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    p->received += 1000;
    request_attach(p);
    assert_string_equal(heard(p), "lane closed; attach refused unknown_session");
    assert_false(is_attached(p));
    assert_true(logged(d, "session ended: it acknowledged what was never sent"));
    p->token = (struct token){ 0 };
    p->sent = p->received = 0;
    attach(p);
    assert_true(is_attached(p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_resume_that_acknowledges_what_was_never_sent_ends_the_session),
        driven(a_flood_of_garbage_denies_its_origin_and_binds_the_ingress_again),
        driven(denial_ends),
        driven(a_slow_trickle_is_only_counted),
        driven(small_messages_cost_what_libzmq_holds_of_them),
        driven(an_address_with_attached_sessions_is_not_denied),
        driven(a_key_is_denied_with_its_sessions),
        driven(late_frames_deny_nobody),
        driven(binding_again_is_spaced_out_while_a_flood_lasts),
        driven(garbage_on_control_denies_without_touching_the_ingress),
        driven(inproc_is_trusted),
        driven(pending_attaches_of_one_address_are_bounded),
        driven(whoever_cycles_addresses_does_not_grow_the_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
