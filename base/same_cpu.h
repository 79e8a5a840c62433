/* Keeps an event loop and libzmq's I/O thread on one processor while they are two threads (one_thread.h) that do not need
 * a processor each. The two wake each other at every frame. Waking a thread on another, sleeping processor costs an interrupt and that processor's wake-up: up to 30
 * us in a virtual machine, most of it as CPU time of both, against 1.5 us on the same processor. When the two together
 * need most of a processor, they are set free. Which processor they share stays the kernel's choice, and is chosen anew
 * again and again.
 *
 * Other threads may want that processor, too. If the two wait for it, they are set free for a moment as a trial;
 * only if they then wait much less do they stay free for a while. On a machine that is busy everywhere they wait as
 * long wherever they are. */
#ifndef SLUICE_BASE_SAME_CPU_H
#define SLUICE_BASE_SAME_CPU_H

#include "base/mono.h"

#include <sched.h>
#include <stdbool.h>

/* What the two threads did, added up; within a period, or since they started. */
struct same_cpu_stretch {
    int64_t used;   /* ns on a processor */
    int64_t waited; /* ns ready to run, but not running */
    int64_t starts; /* how often they were scheduled */
};

enum same_cpu_place {
    SAME_CPU_BUSY,     /* free: they need a processor each */
    SAME_CPU_TRIAL,    /* free, to compare with being together */
    SAME_CPU_APART,    /* free: the trial was better */
    SAME_CPU_PLACING,  /* free until the kernel has woken the loop somewhere */
    SAME_CPU_TOGETHER, /* both pinned to that processor */
};

/* Zeroed: does nothing. The loop's thread owns it. Start all threads before same_cpu_open: later ones would inherit
 * the pinned processor. */
struct same_cpu {
    int other;         /* the other thread's id; 0: does nothing */
    cpu_set_t allowed; /* processors for both when they are free */
    enum same_cpu_place place;
    mono_t looked;                    /* the last look … */
    struct same_cpu_stretch so_far;   /* … and what both had done by then */
    struct same_cpu_stretch together; /* during a trial: the period before it */
    mono_t settled;                   /* the last trial's result holds until then */
};

/* The id of this process's thread of that name; 0: there is none. */
int same_cpu_find(const char *name);
/* Call on the loop's thread. Does nothing from then on if `other` is 0, only one processor is allowed, or the kernel
 * has no schedstat. */
void same_cpu_open(struct same_cpu *c, int other, mono_t now);
/* The next place after a period of `passed` ns at `place` (not PLACING), in which the two did *now. `together`: the
 * period before a trial. `settled`: the last trial's result still holds. */
enum same_cpu_place same_cpu_next(enum same_cpu_place place, const struct same_cpu_stretch *now, int64_t passed,
                                  const struct same_cpu_stretch *together, bool settled);
/* Sets both free until the next same_cpu_turn. */
void same_cpu_pause(struct same_cpu *c);
/* Call once per loop turn. Never fails: what the kernel refuses stays as it is. */
void same_cpu_turn(struct same_cpu *c, mono_t now);

#endif
