#include "base/same_cpu.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How often their place is thought over: both are free for one wake-up then. */
#define LOOK_MS 50
/* Shares of one processor, in per cent: below the first they are kept together, above the second let go. */
#define TOGETHER 60
#define APART    75
/* The share of the time that they waited for others above which they are let go, and for how long. */
#define CROWDED    10
#define CROWDED_MS 2000

static bool is_named(const char *thread, const char *name)
{
    char path[64], found[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.16s/comm", thread);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    if (fgets(found, sizeof found, f))
        found[strcspn(found, "\n")] = '\0';
    fclose(f);
    return strcmp(found, name) == 0;
}

int same_cpu_find(const char *name)
{
    int thread = 0;
    const struct dirent *entry;
    DIR *threads = opendir("/proc/self/task");
    while (threads && !thread && (entry = readdir(threads))) {
        if (is_named(entry->d_name, name))
            thread = atoi(entry->d_name);
    }
    if (threads)
        closedir(threads);
    return thread;
}

static int64_t read_clock(clockid_t id)
{
    struct timespec t = { 0 };
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A thread's CPU time by its number, as pthread_getcpuclockid makes it for a thread of one's own. */
static clockid_t clock_of(int thread)
{
    return (clockid_t)((~(unsigned)thread << 3) | 6u);
}

static int64_t used(const struct same_cpu *c)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID) + read_clock(clock_of(c->other));
}

/* How long it was ready to run and did not; 0 where the kernel does not tell. */
static int64_t waited_by(int thread)
{
    char path[64];
    long long ran, waited = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", thread);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%lld %lld", &ran, &waited) != 2)
        waited = 0;
    if (f)
        fclose(f);
    return waited;
}

static int64_t waited(const struct same_cpu *c)
{
    return waited_by(gettid()) + waited_by(c->other);
}

bool same_cpu_is_crowded(int64_t waited, int64_t used, int64_t passed)
{
    return (waited - used) * 100 > passed * CROWDED;
}

void same_cpu_open(struct same_cpu *c, int other, mono_t now)
{
    *c = (struct same_cpu){ .looked = now };
    if (!other || sched_getaffinity(0, sizeof c->allowed, &c->allowed) != 0 || CPU_COUNT(&c->allowed) < 2)
        return;
    c->other = other;
    c->placing = true;
    c->used = used(c);
    c->waited = waited(c);
}

static void allow(const struct same_cpu *c, const cpu_set_t *set)
{
    sched_setaffinity(c->other, sizeof *set, set);
    sched_setaffinity(0, sizeof *set, set);
}

/* Where the loop woke up. */
static void settle(struct same_cpu *c)
{
    cpu_set_t one;
    int cpu = sched_getcpu();
    c->placing = false;
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    CPU_ZERO(&one);
    CPU_SET((unsigned)cpu, &one);
    allow(c, &one);
    c->together = true;
}

void same_cpu_turn(struct same_cpu *c, mono_t now)
{
    if (!c->other)
        return;
    if (c->placing)
        settle(c);
    int64_t passed = now.ns - c->looked.ns;
    if (passed < LOOK_MS * MONO_MS)
        return;
    int64_t run = used(c) - c->used, idle = waited(c) - c->waited, share = run * 100 / passed;
    c->looked = now;
    c->used += run;
    c->waited += idle;
    if (c->together && same_cpu_is_crowded(idle, run, passed))
        c->crowded = mono_add_ms(now, CROWDED_MS);
    if (c->together)
        allow(c, &c->allowed);
    c->placing = share < (c->together ? APART : TOGETHER) && !mono_before(now, c->crowded);
    c->together = false;
}
