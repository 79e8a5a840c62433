#include "base/one_thread.h"

#include <sched.h>
#include <time.h>

/* The period between two looks. */
#define LOOK_MS 50
/* Mean bytes per message: with those of the first a switch between threads is most of a message's work, with those of
 * the second it is not. In between everything stays as it is. */
#define SMALL (16u << 10)
#define LARGE (24u << 10)
/* Per cent of one processor above which one is not enough. Two threads use more for the same messages, so that the way
 * back begins lower. */
#define CALM    70
#define CRAMPED 90

static int64_t cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000 * MONO_MS + t.tv_nsec;
}

void one_thread_open(struct one_thread *o, mono_t now)
{
    cpu_set_t cpus;
    bool several = sched_getaffinity(0, sizeof cpus, &cpus) != 0 || CPU_COUNT(&cpus) > 1;
    *o = (struct one_thread){ .allowed = true, .alone = !several, .one = true, .looked = now, .used = cpu_time() };
}

void one_thread_not_now(struct one_thread *o)
{
    o->one = false;
}

bool one_thread_next(bool one, int64_t passed, int64_t used, struct traffic traffic)
{
    uint64_t mean = traffic.messages ? traffic.bytes / traffic.messages : 0;
    return mean < (one ? LARGE : SMALL) && used * 100 / passed < (one ? CRAMPED : CALM);
}

bool one_thread_turn(struct one_thread *o, mono_t now, struct traffic traffic)
{
    int64_t passed = now.ns - o->looked.ns;
    if (!o->allowed || passed < LOOK_MS * MONO_MS)
        return o->one;
    int64_t used = cpu_time();
    struct traffic t = { traffic.messages - o->so_far.messages, traffic.bytes - o->so_far.bytes };
    o->one = o->alone || one_thread_next(o->one, passed, used - o->used, t);
    o->looked = now;
    o->used = used;
    o->so_far = traffic;
    return o->one;
}
