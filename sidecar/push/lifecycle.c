#include "sidecar/push/lifecycle.h"

static void enter(struct lifecycle *c, enum subscription_state state)
{
    c->state = state;
    c->until = MONO_NEVER;
}

static void wait_ms(struct lifecycle *c, enum subscription_state state, mono_t now, int64_t ms)
{
    c->state = state;
    c->until = mono_add_ms(now, ms);
}

static void back_off(struct lifecycle *c, enum subscription_state state, mono_t now, uint32_t random)
{
    c->tries++;
    wait_ms(c, state, now, push_reconnect_ms(c->tries, random));
}

static bool is_final(const struct lifecycle *c)
{
    return c->state == SUBSCRIPTION_STOPPED || c->state == SUBSCRIPTION_DRAINING;
}

void lifecycle_begin(struct lifecycle *c, bool handshake)
{
    *c = (struct lifecycle){ 0 };
    enter(c, handshake ? SUBSCRIPTION_HANDSHAKING : SUBSCRIPTION_ACTIVE);
}

void lifecycle_tick(struct lifecycle *c, mono_t now)
{
    if (mono_before(now, c->until))
        return;
    switch (c->state) {
    case SUBSCRIPTION_THROTTLED:
    case SUBSCRIPTION_NO_QUEUE: enter(c, SUBSCRIPTION_ACTIVE); return;
    case SUBSCRIPTION_REFUSED: enter(c, SUBSCRIPTION_HANDSHAKING); return;
    default: c->until = MONO_NEVER; /* SUBSCRIPTION_UNREACHABLE: a single event tries the connection again */
    }
}

uint32_t lifecycle_slots(const struct lifecycle *c, uint32_t concurrency)
{
    if (c->until.ns != MONO_NEVER.ns)
        return 0;
    switch (c->state) {
    case SUBSCRIPTION_ACTIVE: return concurrency;
    case SUBSCRIPTION_UNREACHABLE: return 1;
    default: return 0;
    }
}

bool lifecycle_needs_handshake(const struct lifecycle *c)
{
    return c->state == SUBSCRIPTION_HANDSHAKING && !c->handshaking;
}

void lifecycle_handshake_sent(struct lifecycle *c)
{
    c->handshaking = true;
}

void lifecycle_handshake_ended(struct lifecycle *c, bool reached, bool allowed, mono_t now, uint32_t random)
{
    c->handshaking = false;
    if (c->state != SUBSCRIPTION_HANDSHAKING)
        return;
    if (reached && allowed) {
        c->tries = 0;
        enter(c, SUBSCRIPTION_ACTIVE);
    } else {
        back_off(c, SUBSCRIPTION_REFUSED, now, random);
    }
}

/* Pushes that were sent in parallel end one after the other. The state that one of them led to stays, unless a later
 * one asks for a longer wait or ends the subscription. */
void lifecycle_push_ended(struct lifecycle *c, const struct push_verdict *v, mono_t now, uint32_t random)
{
    if (is_final(c))
        return;
    switch (v->result) {
    case PUSH_GONE: enter(c, SUBSCRIPTION_STOPPED); return;
    case PUSH_THROTTLED:
        c->tries = 0;
        if (c->state != SUBSCRIPTION_THROTTLED || mono_before(c->until, mono_add_ms(now, v->pause_ms)))
            wait_ms(c, SUBSCRIPTION_THROTTLED, now, v->pause_ms);
        return;
    case PUSH_UNREACHABLE:
        if (c->state == SUBSCRIPTION_ACTIVE || (c->state == SUBSCRIPTION_UNREACHABLE && c->until.ns == MONO_NEVER.ns))
            back_off(c, SUBSCRIPTION_UNREACHABLE, now, random);
        return;
    default:
        if (c->state == SUBSCRIPTION_UNREACHABLE)
            enter(c, SUBSCRIPTION_ACTIVE);
        if (c->state == SUBSCRIPTION_ACTIVE)
            c->tries = 0;
    }
}

void lifecycle_no_queue(struct lifecycle *c, mono_t now, uint32_t random)
{
    if (c->state == SUBSCRIPTION_ACTIVE || c->state == SUBSCRIPTION_UNREACHABLE)
        back_off(c, SUBSCRIPTION_NO_QUEUE, now, random);
}

void lifecycle_drain(struct lifecycle *c)
{
    if (c->state != SUBSCRIPTION_STOPPED)
        enter(c, SUBSCRIPTION_DRAINING);
}
