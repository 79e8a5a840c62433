/* Time, randomness, and the order in which all participants take their steps. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t sim_random(struct sim *s, uint64_t below)
{
    uint64_t z = (s->random += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

bool sim_chance(struct sim *s, unsigned percent)
{
    return sim_random(s, 100) < percent;
}

struct now sim_now(const struct sim *s)
{
    return (struct now){ { s->now }, { 1700000000000 + s->wall_offset_ms + s->now / MS } };
}

__attribute__((format(printf, 2, 0))) static void fail(struct sim *s, const char *format, va_list args)
{
    if (s->failed)
        return;
    vsnprintf(s->failure, sizeof s->failure, format, args);
    s->failed = true;
}

void sim_fail(struct sim *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail(s, format, args);
    va_end(args);
}

void sim_wrong(struct sim *s, const char *format, ...)
{
    va_list args;
    if (s->scenario.anything)
        return;
    va_start(args, format);
    fail(s, format, args);
    va_end(args);
}

void sim_trace(const struct sim *s, const char *format, ...)
{
    if (!s->trace)
        return;
    va_list args;
    printf("%10.3f ", (double)s->now / 1e9);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

const char *sim_queue_name(unsigned queue)
{
    static const char *const names[SIM_QUEUES] = { "alpha", "beta", "gamma" };
    return names[queue];
}

unsigned sim_queue_index(const char *name)
{
    return name[0] == 'a' ? 0 : name[0] == 'b' ? 1 : 2;
}

/* ------------------------------------------------------------------ stepping */

#define RESTLESS_MOST 2000u

/* Fails when the broker, or its log, asks for one turn after the other while nobody else has anything to do: it would
 * keep a processor busy. */
static void check_rest(struct sim *s, int64_t core)
{
    s->restless = core <= s->now || storing_log_due(s) <= s->now ? s->restless + 1 : 0;
    if (s->restless > RESTLESS_MOST)
        sim_fail(s, "the broker asks for one turn after the other");
}

static int64_t next_time(struct sim *s)
{
    int64_t due = s->end_at, core = core_due(s->core).ns, storing = storing_due(s);
    check_rest(s, core);
    due = core < due ? core : due;
    due = storing < due ? storing : due;
    due = s->stops_at > s->now && s->stops_at < due ? s->stops_at : due; /* later it waits for the log */
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        const struct actor *a = &s->actors[i];
        int64_t own[] = { pipes_due(a->to_broker), pipe_due(&a->control_out), client_next(a) };
        for (unsigned k = 0; k < 3; k++)
            due = own[k] < due ? own[k] : due;
    }
    return due > s->now ? due : s->now + 1000;
}

static void some_fault(struct sim *s)
{
    struct actor *a = &s->actors[sim_random(s, SIM_CLIENTS)];
    switch (sim_random(s, s->disk ? 20 : 16)) {
    case 0:
        if (a->client)
            client_death(a);
        break;
    case 1:
    case 2:
        if (a->client)
            client_freeze(a);
        break;
    case 16:
    case 17:
    case 18:
    case 19: storing_fault(s); break;
    case 3: s->wall_offset_ms += (int64_t)sim_random(s, 7200000) - 3600000; break;
    default: net_fault(s, a);
    }
}

static void become_calm(struct sim *s)
{
    s->calm = true;
    sim_trace(s, "calm: faults are over");
    storing_heal(s);
    timing_become_calm(s);
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        struct actor *a = &s->actors[i];
        net_heal(a);
        a->frozen_until = 0;
        a->disturbed = s->now;
        if (!a->client && a->reborn > s->now)
            a->reborn = s->now;
    }
}

static void step(struct sim *s)
{
    s->now = next_time(s);
    s->steps++;
    if (!s->calm && s->now >= s->calm_at)
        become_calm(s);
    if (!s->calm && sim_random(s, 300) == 0)
        some_fault(s);
    broker_step(s);
    for (unsigned i = 0; i < SIM_CLIENTS && !s->failed; i++)
        client_step(&s->actors[i]);
    check_step(s);
}

static void draw_scenario(struct sim *s)
{
    s->scenario = (struct scenario){
        .purges = sim_chance(s, 15),
        .deletes = sim_chance(s, 15),
        .restarts = sim_chance(s, 25),
        .lowers = sim_chance(s, 50),
        .tight = sim_chance(s, 20),
        .repeats = sim_chance(s, 30),
        .dies = sim_chance(s, 40),
        .delays = sim_chance(s, 40),
        .long_leases = sim_chance(s, 30),
        .disk = sim_chance(s, 60),
        .slow_disk = sim_chance(s, 40),
        .full_disk = sim_chance(s, 30),
        .failing_disk = sim_chance(s, 30),
    };
    s->scenario.dead_letters = s->scenario.dies && !s->scenario.purges && !s->scenario.deletes && sim_chance(s, 60);
    s->scenario.redrives = s->scenario.dies && !s->scenario.dead_letters && sim_chance(s, 60);
    s->scenario.topics = !s->scenario.dead_letters && !s->scenario.deletes && !s->scenario.tight && sim_chance(s, 50);
    s->scenario.drops = s->scenario.dies && !s->scenario.topics && sim_chance(s, 30);
    s->scenario.expiries = s->scenario.delays && s->scenario.dies && sim_chance(s, 50);
    /* Taken from the seed rather than drawn, so that the worlds of other seeds stay what they were. */
    s->scenario.cramped = s->scenario.disk && s->seed % 4 == 1;
    s->scenario.repairs = s->scenario.disk && s->seed % 5 == 2;
    s->scenario.in_step = s->seed % 7 == 3;
    s->scenario.restarts |= s->scenario.dead_letters;
    s->scenario.restarts |= s->scenario.disk && sim_chance(s, 70);
    anything_draw(s);
    keys_pinch(s);
}

bool sim_run(uint64_t seed, bool trace, struct sim *s)
{
    *s = (struct sim){ .seed = seed, .random = seed * 0x2545f4914f6cdd1du, .trace = trace };
    s->now = 1000 * MS;
    s->calm_at = s->now + 40000 * MS;
    draw_scenario(s);
    /* On a cramped disk dead events find room little by little: they are tried again every 5 s. */
    s->end_at = s->calm_at + (s->scenario.cramped && s->scenario.dead_letters ? 200000 : 100000) * MS;
    s->queues = s->scenario.topics ? 3 : 2;
    broker_draw(s);
    broker_start(s);
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        s->actors[i] = (struct actor){ .sim = s, .index = i };
        client_birth(&s->actors[i]);
    }
    while (!s->failed && s->now < s->end_at)
        step(s);
    if (!s->failed)
        check_end(s);
    return !s->failed;
}

void sim_free(struct sim *s)
{
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        struct actor *a = &s->actors[i];
        if (a->client)
            client_free(a->client);
        pipes_free(&a->to_broker);
        pipes_free(&a->from_broker);
        pipe_empty(&a->control_in);
        pipe_empty(&a->control_out);
        free(a->asked);
    }
    broker_free(s);
    facts_free(s);
    ranges_free(&s->cleared);
}
