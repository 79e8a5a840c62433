/* The state machine of a subscription: how many pushes may be under way, and when to try again. Pure: the functions are
 * told what happened, the time and a random number, and push.c acts on the state. */
#ifndef SLUICE_SIDECAR_PUSH_LIFECYCLE_H
#define SLUICE_SIDECAR_PUSH_LIFECYCLE_H

#include "sidecar/push/verdict.h"

struct lifecycle {
    enum subscription_state state; /* never SUBSCRIPTION_STANDBY */
    mono_t until;                  /* no push and no handshake before this; MONO_NEVER: no wait */
    unsigned tries;                /* failed connections, handshakes or takes in a row */
    bool handshaking;              /* a handshake is under way */
};

/* Starts (again) with a subscription that was created or changed. */
void lifecycle_begin(struct lifecycle *c, bool handshake);
/* Ends the wait if it is over. */
void lifecycle_tick(struct lifecycle *c, mono_t now);
/* How many slots may be in use, for pushes and for takes that wait. Pushes beyond it that are under way go on. */
uint32_t lifecycle_slots(const struct lifecycle *c, uint32_t concurrency);
/* Must a handshake be sent now? If so, call lifecycle_handshake_sent next. */
bool lifecycle_needs_handshake(const struct lifecycle *c);
void lifecycle_handshake_sent(struct lifecycle *c);
/* The handshake's result; `reached`: there was an answer; `allowed`: it allows pushes from this application. */
void lifecycle_handshake_ended(struct lifecycle *c, bool reached, bool allowed, mono_t now, uint32_t random);
/* A push ended with this verdict. */
void lifecycle_push_ended(struct lifecycle *c, const struct push_verdict *v, mono_t now, uint32_t random);
/* The queue cannot be consumed. */
void lifecycle_no_queue(struct lifecycle *c, mono_t now, uint32_t random);
/* Drains: no new pushes. A stopped subscription stays stopped. */
void lifecycle_drain(struct lifecycle *c);

#endif
