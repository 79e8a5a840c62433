/* The attempt histories agree with the counts of failures: there are as many attempts of each outcome as failures and
 * crashes were counted, except those that were too many, or found no room on the disk or in the budget; and attempt
 * numbers ascend, also across restarts. */
#include "tests/sim/sim.h"

#include "broker/core/deliver/attempts.h"

/* With so many bytes for histories none is given up: no world here has more to remember. */
#define ROOM_ENOUGH 100000u

struct seen {
    uint64_t failed, lost;
};

static struct seen look_at(struct sim *s, const struct queue *q, const struct trouble *t)
{
    struct seen seen = { 0 };
    uint16_t before = 0;
    for (const struct attempt *a = t->history ? t->history->oldest : NULL; a; a = a->next) {
        if (a->outcome == ATTEMPT_IN_FLIGHT || a->outcome >= ATTEMPT_OUTCOMES || a->number == 0)
            sim_fail(s, "%s remembers attempt %u of %llu with outcome %u", q->name, a->number,
                     (unsigned long long)t->sequence, a->outcome);
        if (a->number <= before && a->number != UINT16_MAX)
            sim_fail(s, "%s remembers attempt %u of %llu after attempt %u", q->name, a->number,
                     (unsigned long long)t->sequence, before);
        before = a->number;
        seen.lost += a->outcome == ATTEMPT_CONNECTION_LOST;
        seen.failed +=
            a->outcome != ATTEMPT_CONNECTION_LOST && a->outcome != ATTEMPT_DEFERRED && a->outcome != ATTEMPT_RETURNED;
    }
    return seen;
}

static void check_trouble(struct sim *s, const struct queue *q, const struct trouble *t)
{
    struct seen seen = look_at(s, q, t);
    bool room = s->config.memory_budget / HISTORY_PART >= ROOM_ENOUGH;
    bool all = room && !q->durable && (!t->history || t->history->older == 0);
    bool agrees = all ? seen.failed == t->failures && seen.lost == t->crashes
                      : seen.failed <= t->failures && seen.lost <= t->crashes;
    if (!agrees)
        sim_fail(s, "%s counted %u failures and %u losses of %llu, and remembers %llu and %llu", q->name, t->failures,
                 t->crashes, (unsigned long long)t->sequence, (unsigned long long)seen.failed,
                 (unsigned long long)seen.lost);
}

void remembering_check(struct sim *s)
{
    for (uint32_t i = 0; i < s->core->queue_count; i++) {
        const struct queue *q = s->core->by_name[i];
        for (const struct trouble *t = q->troubles; t; t = t->hh.next)
            check_trouble(s, q, t);
    }
}
