/* Returns freed memory to the system once it is a lot and has stayed free for a while. By itself glibc returns only
 * the end of the heap, where there is always something recent: after a backlog of 200 MB had been consumed, a broker
 * kept 200 MB. But every page that is returned and needed again costs a fault, so memory that comes and goes with
 * the traffic is kept. */
#ifndef SLUICE_BASE_HEAP_TRIM_H
#define SLUICE_BASE_HEAP_TRIM_H

#include "base/mono.h"

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: ready. The loop's thread owns it. */
struct heap_trim {
    mono_t next;       /* earliest time of the next look */
    bool waits;        /* that look is due even if nothing else happens */
    uint32_t seen;     /* consecutive looks that found much */
    uint64_t remained; /* bytes that the last trim could not return: they are not malloc's */
};

/* One look, which found that many bytes in use and resident. True: it is time to trim. */
bool heap_trim_look(struct heap_trim *h, uint64_t used, uint64_t resident);
/* Call once per loop turn. Looks at most every five seconds; an idle process is woken only while a trim is pending. */
void heap_trim_turn(struct heap_trim *h, mono_t now);
/* When to call heap_trim_turn even if nothing else is to be done. */
mono_t heap_trim_due(const struct heap_trim *h);

#endif
