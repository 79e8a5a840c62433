/* Inputs and their effects as a readable trace: after each step the state, how many of 8 slots may be used, and after
 * how many ms the next try is made (-1: no wait). The random number is 0, which gives the shortest waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "sidecar/push/lifecycle.h"

struct trace {
    struct lifecycle lifecycle;
    mono_t now;
    char text[2048];
    size_t used;
};

static void note(struct trace *t, const char *what)
{
    const struct lifecycle *c = &t->lifecycle;
    int64_t ms = mono_wait_ms(c->until, t->now);
    t->used += (size_t)snprintf(t->text + t->used, sizeof t->text - t->used, "%s: %s %u %lld%s\n", what,
                                subscription_state_name(c->state), lifecycle_slots(c, 8), (long long)ms,
                                lifecycle_needs_handshake(c) ? " ask" : "");
    assert_true(t->used < sizeof t->text);
}

static void begin(struct trace *t, bool handshake)
{
    *t = (struct trace){ .now = { 1000 * MONO_MS } };
    lifecycle_begin(&t->lifecycle, handshake);
    note(t, "begin");
}

static void after(struct trace *t, int64_t ms)
{
    char what[32];
    t->now = mono_add_ms(t->now, ms);
    lifecycle_tick(&t->lifecycle, t->now);
    snprintf(what, sizeof what, "+%lld", (long long)ms);
    note(t, what);
}

static void push(struct trace *t, enum push_result result, int64_t pause_ms)
{
    const struct push_verdict v = { .result = result, .pause_ms = pause_ms };
    lifecycle_push_ended(&t->lifecycle, &v, t->now, 0);
    note(t, push_result_name(result));
}

static void answered(struct trace *t, bool reached, bool allowed)
{
    assert_true(lifecycle_needs_handshake(&t->lifecycle));
    lifecycle_handshake_sent(&t->lifecycle);
    assert_false(lifecycle_needs_handshake(&t->lifecycle));
    lifecycle_handshake_ended(&t->lifecycle, reached, allowed, t->now, 0);
    note(t, allowed ? "allowed" : reached ? "not allowed" : "not reached");
}

static void acks_and_failures_leave_it_active(void **state)
{
    struct trace t;
    (void)state;
    begin(&t, false);
    push(&t, PUSH_ACKED, 0);
    push(&t, PUSH_FAILED, 0);
    after(&t, 100000);
    assert_string_equal(t.text, "begin: active 8 -1\n"
                                "acked: active 8 -1\n"
                                "failed: active 8 -1\n"
                                "+100000: active 8 -1\n");
}

static void an_unreachable_application_is_retried_by_one_event_with_growing_waits(void **state)
{
    struct trace t;
    (void)state;
    begin(&t, false);
    push(&t, PUSH_UNREACHABLE, 0);
    push(&t, PUSH_UNREACHABLE, 0); /* at the same moment: counts as one failure */
    after(&t, 124);
    after(&t, 1);
    push(&t, PUSH_UNREACHABLE, 0);
    after(&t, 250);
    push(&t, PUSH_FAILED, 0); /* it answers again, even if by a failure */
    push(&t, PUSH_UNREACHABLE, 0);
    assert_string_equal(t.text, "begin: active 8 -1\n"
                                "unreachable: unreachable 0 125\n"
                                "unreachable: unreachable 0 125\n"
                                "+124: unreachable 0 1\n"
                                "+1: unreachable 1 -1\n"
                                "unreachable: unreachable 0 250\n"
                                "+250: unreachable 1 -1\n"
                                "failed: active 8 -1\n"
                                "unreachable: unreachable 0 125\n");
}

static void retry_after_pauses_all_and_the_longest_counts(void **state)
{
    struct trace t;
    (void)state;
    begin(&t, false);
    push(&t, PUSH_THROTTLED, 5000);
    push(&t, PUSH_ACKED, 0); /* sent before the pause */
    push(&t, PUSH_UNREACHABLE, 0);
    push(&t, PUSH_THROTTLED, 1000);
    push(&t, PUSH_THROTTLED, 7000);
    after(&t, 6999);
    after(&t, 1);
    assert_string_equal(t.text, "begin: active 8 -1\n"
                                "throttled: throttled 0 5000\n"
                                "acked: throttled 0 5000\n"
                                "unreachable: throttled 0 5000\n"
                                "throttled: throttled 0 5000\n"
                                "throttled: throttled 0 7000\n"
                                "+6999: throttled 0 1\n"
                                "+1: active 8 -1\n");
}

static void gone_is_final_until_it_begins_again(void **state)
{
    struct trace t;
    (void)state;
    begin(&t, false);
    push(&t, PUSH_GONE, 0);
    push(&t, PUSH_ACKED, 0);
    push(&t, PUSH_THROTTLED, 1000);
    after(&t, 1000000);
    lifecycle_drain(&t.lifecycle);
    note(&t, "drain");
    lifecycle_begin(&t.lifecycle, false);
    note(&t, "begin");
    assert_string_equal(t.text, "begin: active 8 -1\n"
                                "gone: stopped 0 -1\n"
                                "acked: stopped 0 -1\n"
                                "throttled: stopped 0 -1\n"
                                "+1000000: stopped 0 -1\n"
                                "drain: stopped 0 -1\n"
                                "begin: active 8 -1\n");
}

static void a_handshake_is_asked_until_it_is_granted(void **state)
{
    struct trace t;
    (void)state;
    begin(&t, true);
    answered(&t, false, false);
    after(&t, 125);
    answered(&t, true, false);
    after(&t, 249);
    after(&t, 1);
    answered(&t, true, true);
    push(&t, PUSH_UNREACHABLE, 0); /* waits start at the minimum again, and there is no new handshake */
    after(&t, 125);
    push(&t, PUSH_ACKED, 0);
    assert_string_equal(t.text, "begin: handshaking 0 -1 ask\n"
                                "not reached: refused 0 125\n"
                                "+125: handshaking 0 -1 ask\n"
                                "not allowed: refused 0 250\n"
                                "+249: refused 0 1\n"
                                "+1: handshaking 0 -1 ask\n"
                                "allowed: active 8 -1\n"
                                "unreachable: unreachable 0 125\n"
                                "+125: unreachable 1 -1\n"
                                "acked: active 8 -1\n");
}

static void a_missing_queue_is_asked_for_again(void **state)
{
    struct trace t;
    (void)state;
    begin(&t, false);
    for (unsigned i = 0; i < 8; i++) /* once for each slot */
        lifecycle_no_queue(&t.lifecycle, t.now, 0);
    note(&t, "no queue");
    after(&t, 125);
    lifecycle_no_queue(&t.lifecycle, t.now, 0);
    note(&t, "no queue");
    after(&t, 250);
    push(&t, PUSH_ACKED, 0);
    assert_string_equal(t.text, "begin: active 8 -1\n"
                                "no queue: no_queue 0 125\n"
                                "+125: active 8 -1\n"
                                "no queue: no_queue 0 250\n"
                                "+250: active 8 -1\n"
                                "acked: active 8 -1\n");
}

static void a_drain_begins_nothing_and_is_not_undone(void **state)
{
    struct trace t;
    (void)state;
    begin(&t, true);
    lifecycle_handshake_sent(&t.lifecycle);
    lifecycle_drain(&t.lifecycle);
    note(&t, "drain");
    lifecycle_handshake_ended(&t.lifecycle, true, true, t.now, 0);
    note(&t, "allowed");
    push(&t, PUSH_ACKED, 0);
    push(&t, PUSH_THROTTLED, 1000);
    push(&t, PUSH_UNREACHABLE, 0);
    lifecycle_no_queue(&t.lifecycle, t.now, 0);
    note(&t, "no queue");
    assert_string_equal(t.text, "begin: handshaking 0 -1 ask\n"
                                "drain: draining 0 -1\n"
                                "allowed: draining 0 -1\n"
                                "acked: draining 0 -1\n"
                                "throttled: draining 0 -1\n"
                                "unreachable: draining 0 -1\n"
                                "no queue: draining 0 -1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acks_and_failures_leave_it_active),
        cmocka_unit_test(an_unreachable_application_is_retried_by_one_event_with_growing_waits),
        cmocka_unit_test(retry_after_pauses_all_and_the_longest_counts),
        cmocka_unit_test(gone_is_final_until_it_begins_again),
        cmocka_unit_test(a_handshake_is_asked_until_it_is_granted),
        cmocka_unit_test(a_missing_queue_is_asked_for_again),
        cmocka_unit_test(a_drain_begins_nothing_and_is_not_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
