/* Memory that was freed goes back to the system once it is much, and stays free. By itself glibc gives back only what lies at
 * the heap's end, and something young always lies there: after a backlog of 200 MB had been consumed, a broker kept 200 MB.
 * But pages that are given back and wanted again cost a fault each, so what comes and goes with the traffic is kept. */
#ifndef SLUICE_BASE_HEAP_TRIM_H
#define SLUICE_BASE_HEAP_TRIM_H

#include "base/mono.h"

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: ready. The loop's thread owns it. */
struct heap_trim {
    mono_t next;       /* not looked at before */
    bool waits;        /* … and then it is, though nothing happened */
    uint32_t seen;     /* looks at a stretch that found much */
    uint64_t remained; /* bytes that were not given back the last time: they are not malloc's */
};

/* A look finds so many bytes in use, and resident. True: it is time to give back. */
bool heap_trim_look(struct heap_trim *h, uint64_t used, uint64_t resident);
/* Once a turn of the loop: looks at most once in five seconds, and at a process that does nothing no more than needed. */
void heap_trim_turn(struct heap_trim *h, mono_t now);
/* When heap_trim_turn wants to be called without anything else to do. */
mono_t heap_trim_due(const struct heap_trim *h);

#endif
