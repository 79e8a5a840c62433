/* A loop and libzmq's I/O thread hand over to each other at every frame. A wake-up that goes to another processor, which
 * sleeps, costs an interrupt and the sleeper's start: in a virtual machine up to 30 us, of which both pay most in CPU, against
 * 1.5 us on the same processor. So while the two mostly wait they are kept on one; when together they need most of it, they
 * are let go, and for a while when others want that processor, too. Which one it is stays the kernel's choice, which is asked again
 * and again. */
#ifndef SLUICE_BASE_SAME_CPU_H
#define SLUICE_BASE_SAME_CPU_H

#include "base/mono.h"

#include <sched.h>
#include <stdbool.h>

/* Zeroed: it does nothing. The loop's thread owns it. Threads that this one starts from then on may run only where it runs:
 * start them before. */
struct same_cpu {
    int other;         /* the other thread; 0: there is nothing to keep together */
    cpu_set_t allowed; /* what both may use when they are free */
    bool together;
    bool placing;   /* both are free until the kernel has woken the loop somewhere */
    mono_t looked;  /* when their CPU time was read last … */
    int64_t used;   /* … and what it was, ns, … */
    int64_t waited; /* … and how long they were ready to run and did not */
    mono_t crowded; /* others wanted their processor: free until then */
};

/* The process's thread of that name; 0: there is none. */
int same_cpu_find(const char *name);
/* On the loop's thread; `other` 0 and where only one processor is allowed: does nothing. */
void same_cpu_open(struct same_cpu *c, int other, mono_t now);
/* Did two threads on one processor that used it so long, and waited for it so long, wait for others than each other? ns. */
bool same_cpu_is_crowded(int64_t waited, int64_t used, int64_t passed);
/* Once a turn of the loop. Never fails: what the kernel refuses is left as it is. */
void same_cpu_turn(struct same_cpu *c, mono_t now);

#endif
