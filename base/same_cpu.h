/* A loop and libzmq's I/O thread hand over to each other at every frame. A wake-up that goes to another processor, which
 * sleeps, costs an interrupt and the sleeper's start: in a virtual machine up to 30 us, of which both pay most in CPU, against
 * 1.5 us on the same processor. So while the two mostly wait they are kept on one; when together they need most of it, they
 * are let go. Which one it is stays the kernel's choice, which is asked again and again.
 *
 * Others may want that processor, too. Where the two wait for it, they are let go for a moment, to see whether that helps: only if they
 * wait much less then, they stay free for a while. On a machine that is busy everywhere they wait as long wherever they are. */
#ifndef SLUICE_BASE_SAME_CPU_H
#define SLUICE_BASE_SAME_CPU_H

#include "base/mono.h"

#include <sched.h>
#include <stdbool.h>

/* What two threads did, together; of a stretch of time, or since they began. */
struct same_cpu_stretch {
    int64_t used;   /* ns on a processor */
    int64_t waited; /* ns ready to run, and did not */
    int64_t starts; /* how often they got a processor */
};

enum same_cpu_place {
    SAME_CPU_BUSY,     /* wherever the kernel likes, for they need a processor each */
    SAME_CPU_TRIAL,    /* the same, to be compared with how it was together */
    SAME_CPU_APART,    /* the same, for it was better */
    SAME_CPU_PLACING,  /* the same until it has woken the loop somewhere */
    SAME_CPU_TOGETHER, /* where that was */
};

/* Zeroed: it does nothing. The loop's thread owns it. Threads that this one starts from then on may run only where it runs:
 * start them before. */
struct same_cpu {
    int other;         /* the other thread; 0: there is nothing to keep together */
    cpu_set_t allowed; /* what both may use when they are free */
    enum same_cpu_place place;
    mono_t looked;                    /* when this was seen last … */
    struct same_cpu_stretch so_far;   /* … and what both had done by then */
    struct same_cpu_stretch together; /* in a trial: how it was before */
    mono_t settled;                   /* what the last trial said holds until then */
};

/* The process's thread of that name; 0: there is none. */
int same_cpu_find(const char *name);
/* On the loop's thread; `other` 0, where only one processor is allowed and where the kernel does not tell who waits: does nothing. */
void same_cpu_open(struct same_cpu *c, int other, mono_t now);
/* Where they are to be after having been at `place` (not PLACING) for so many ns. `settled`: as in same_cpu, not yet over. */
enum same_cpu_place same_cpu_next(enum same_cpu_place place, const struct same_cpu_stretch *now, int64_t passed,
                                  const struct same_cpu_stretch *together, bool settled);
/* Once a turn of the loop. Never fails: what the kernel refuses is left as it is. */
void same_cpu_turn(struct same_cpu *c, mono_t now);

#endif
