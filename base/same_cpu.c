#include "base/same_cpu.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How often their place is thought over: both are free for one wake-up then. */
#define LOOK_MS 50
/* Shares of one processor, in per cent: below the first they are kept together, above the second let go. */
#define TOGETHER 60
#define APART    75

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

void same_cpu_open(struct same_cpu *c, int other, mono_t now)
{
    *c = (struct same_cpu){ .looked = now };
    if (!other || sched_getaffinity(0, sizeof c->allowed, &c->allowed) != 0 || CPU_COUNT(&c->allowed) < 2)
        return;
    c->other = other;
    c->placing = true;
    c->used = used(c);
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
    int64_t sum = used(c), share = (sum - c->used) * 100 / passed;
    c->looked = now;
    c->used = sum;
    if (c->together)
        allow(c, &c->allowed);
    c->placing = share < (c->together ? APART : TOGETHER);
    c->together = false;
}
