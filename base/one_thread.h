/* Decides whether an event loop and libzmq's I/O thread are to be one thread (io_thread.h) or two.
 *
 * One thread saves a switch between threads per message. That is a third of the work where a message brings one event,
 * and next to nothing where it brings hundreds; there two threads are better, for one reads a message while the other
 * works on the one before. They are also needed where one processor is not enough. */
#ifndef SLUICE_BASE_ONE_THREAD_H
#define SLUICE_BASE_ONE_THREAD_H

#include "base/mono.h"

#include <stddef.h>

/* Messages received and sent, and their bytes, added up. */
struct traffic {
    uint64_t messages, bytes;
};

static inline void traffic_add(struct traffic *t, size_t bytes)
{
    t->messages++;
    t->bytes += bytes;
}

/* Zeroed: always two. The loop owns it. */
struct one_thread {
    bool allowed;          /* false: always two */
    bool alone;            /* there is only one processor to run on: one thread, whenever the I/O thread takes it */
    bool one;              /* what was decided last */
    mono_t looked;         /* the last look … */
    int64_t used;          /* … the process's CPU time by then, ns … */
    struct traffic so_far; /* … and its traffic */
};

/* Begins with one thread. */
void one_thread_open(struct one_thread *o, mono_t now);
/* Call when the loop begins on a thread of its own, be it that the I/O thread takes no guests yet: two threads until the
 * next look. */
void one_thread_not_now(struct one_thread *o);
/* What is better after a period of `passed` ns in which the process used `used` ns of CPU time. */
bool one_thread_next(bool one, int64_t passed, int64_t used, struct traffic traffic);
/* Call once per loop turn, with the traffic since the start. True: one thread. */
bool one_thread_turn(struct one_thread *o, mono_t now, struct traffic traffic);

#endif
