#include "base/same_cpu.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The period between two looks; each one sets both free for one wake-up. */
#define LOOK_MS 50
/* Per cent of one processor: below the first they are pinned together, from the second on set free. */
#define TOGETHER 85
#define APART    95
/* Per cent of the time spent waiting for other threads above which a trial is made, and how long its result holds. */
#define CROWDED    2
#define SETTLED_MS 2000

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

/* Adds a thread's counts. False: the kernel does not give them. */
static bool add(struct same_cpu_stretch *to, int thread)
{
    char path[64];
    long long used, waited, starts;
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", thread);
    FILE *f = fopen(path, "re");
    bool told = f && fscanf(f, "%lld %lld %lld", &used, &waited, &starts) == 3;
    if (f)
        fclose(f);
    if (told)
        *to = (struct same_cpu_stretch){ to->used + used, to->waited + waited, to->starts + starts };
    return told;
}

static bool read_both(const struct same_cpu *c, struct same_cpu_stretch *to)
{
    *to = (struct same_cpu_stretch){ 0 };
    return add(to, gettid()) && add(to, c->other);
}

void same_cpu_open(struct same_cpu *c, int other, mono_t now)
{
    *c = (struct same_cpu){ .other = other, .looked = now, .place = SAME_CPU_PLACING };
    if (!other || sched_getaffinity(0, sizeof c->allowed, &c->allowed) != 0 || CPU_COUNT(&c->allowed) < 2 ||
        !read_both(c, &c->so_far))
        c->other = 0;
}

/* Did they wait for threads other than each other? */
static bool is_crowded(const struct same_cpu_stretch *s, int64_t passed)
{
    return (s->waited - s->used) * 100 > passed * CROWDED;
}

/* Was the wait per start less than half? */
static bool waits_less(const struct same_cpu_stretch *apart, const struct same_cpu_stretch *together)
{
    return apart->waited * together->starts * 2 < together->waited * apart->starts;
}

enum same_cpu_place same_cpu_next(enum same_cpu_place place, const struct same_cpu_stretch *now, int64_t passed,
                                  const struct same_cpu_stretch *together, bool settled)
{
    int64_t share = now->used * 100 / passed;
    if (share >= (place == SAME_CPU_TOGETHER ? APART : TOGETHER))
        return SAME_CPU_BUSY;
    if (place == SAME_CPU_TOGETHER)
        return !settled && is_crowded(now, passed) ? SAME_CPU_TRIAL : SAME_CPU_PLACING;
    if (place == SAME_CPU_TRIAL)
        return waits_less(now, together) ? SAME_CPU_APART : SAME_CPU_PLACING;
    return place == SAME_CPU_APART && settled ? SAME_CPU_APART : SAME_CPU_PLACING;
}

static void allow(const struct same_cpu *c, const cpu_set_t *set)
{
    sched_setaffinity(c->other, sizeof *set, set);
    sched_setaffinity(0, sizeof *set, set);
}

/* Pins both to the processor where the loop woke up. */
static void settle(struct same_cpu *c)
{
    cpu_set_t one;
    int cpu = sched_getcpu();
    c->place = SAME_CPU_BUSY;
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    CPU_ZERO(&one);
    CPU_SET((unsigned)cpu, &one);
    allow(c, &one);
    c->place = SAME_CPU_TOGETHER;
}

static void look(struct same_cpu *c, int64_t passed, mono_t now)
{
    struct same_cpu_stretch all, s;
    if (!read_both(c, &all))
        all = c->so_far;
    s = (struct same_cpu_stretch){ all.used - c->so_far.used, all.waited - c->so_far.waited,
                                   all.starts - c->so_far.starts };
    enum same_cpu_place was = c->place;
    c->so_far = all;
    c->place = same_cpu_next(was, &s, passed, &c->together, mono_before(now, c->settled));
    if (was == SAME_CPU_TRIAL)
        c->settled = mono_add_ms(now, SETTLED_MS);
    if (was == SAME_CPU_TOGETHER) {
        c->together = s;
        allow(c, &c->allowed);
    }
}

void same_cpu_pause(struct same_cpu *c)
{
    if (c->other && c->place == SAME_CPU_TOGETHER)
        allow(c, &c->allowed);
    c->place = SAME_CPU_PLACING;
}

void same_cpu_turn(struct same_cpu *c, mono_t now)
{
    if (!c->other)
        return;
    if (c->place == SAME_CPU_PLACING)
        settle(c);
    int64_t passed = now.ns - c->looked.ns;
    if (passed < LOOK_MS * MONO_MS)
        return;
    c->looked = now;
    look(c, passed, now);
}
