/* The course of a subscription, pure: how many pushes may be under way now, and when to try again. What happens comes in
 * with the time and randomness; push.c carries out what it says. */
#ifndef SLUICE_SIDECAR_PUSH_COURSE_H
#define SLUICE_SIDECAR_PUSH_COURSE_H

#include "sidecar/push/verdict.h"

struct course {
    enum subscription_state state; /* never SUBSCRIPTION_STANDBY */
    mono_t until;                  /* nothing is pushed or asked before; MONO_NEVER: nothing is waited for */
    unsigned tries;                /* connections, handshakes or queues that failed in a row */
    bool asking;                   /* a handshake is under way */
};

/* A new subscription, or one that was put again. */
void course_begin(struct course *c, bool handshake);
/* Time goes by: waits end. */
void course_tick(struct course *c, mono_t now);
/* How many slots may be in use: pushes under way and events waited for. Those under way above it go on. */
uint32_t course_slots(const struct course *c, uint32_t concurrency);
/* Shall the application be asked now whether it wants events? Then the next input is course_asked. */
bool course_shall_ask(const struct course *c);
void course_asked(struct course *c);
/* Its answer; `reached`: there was one. */
void course_allowed(struct course *c, bool reached, bool allowed, mono_t now, uint32_t random);
/* A push ended. */
void course_pushed(struct course *c, const struct push_verdict *v, mono_t now, uint32_t random);
/* The queue cannot be consumed. */
void course_no_queue(struct course *c, mono_t now, uint32_t random);
/* Nothing new begins any more. */
void course_drain(struct course *c);

#endif
