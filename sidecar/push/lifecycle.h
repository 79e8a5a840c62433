/* The lifecycle of a subscription, pure: how many pushes may be under way now, and when to try again. What happens comes in
 * with the time and randomness; push.c carries out what it says. */
#ifndef SLUICE_SIDECAR_PUSH_LIFECYCLE_H
#define SLUICE_SIDECAR_PUSH_LIFECYCLE_H

#include "sidecar/push/verdict.h"

struct lifecycle {
    enum subscription_state state; /* never SUBSCRIPTION_STANDBY */
    mono_t until;                  /* nothing is pushed or asked before; MONO_NEVER: nothing is waited for */
    unsigned tries;                /* connections, handshakes or queues that failed in a row */
    bool handshaking;              /* a handshake is under way */
};

/* A new subscription, or one that was put again. */
void lifecycle_begin(struct lifecycle *c, bool handshake);
/* Time goes by: waits end. */
void lifecycle_tick(struct lifecycle *c, mono_t now);
/* How many slots may be in use: pushes under way and events waited for. Those under way above it go on. */
uint32_t lifecycle_slots(const struct lifecycle *c, uint32_t concurrency);
/* Shall the application be asked now whether it wants events? Then the next input is lifecycle_handshake_sent. */
bool lifecycle_needs_handshake(const struct lifecycle *c);
void lifecycle_handshake_sent(struct lifecycle *c);
/* Its answer; `reached`: there was one. */
void lifecycle_handshake_ended(struct lifecycle *c, bool reached, bool allowed, mono_t now, uint32_t random);
/* A push ended. */
void lifecycle_push_ended(struct lifecycle *c, const struct push_verdict *v, mono_t now, uint32_t random);
/* The queue cannot be consumed. */
void lifecycle_no_queue(struct lifecycle *c, mono_t now, uint32_t random);
/* Nothing new begins any more. */
void lifecycle_drain(struct lifecycle *c);

#endif
