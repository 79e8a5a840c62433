/* What must hold inside the broker after each step, and everywhere once faults have been over for a while. */
#include "tests/sim/sim.h"

static void check_credit(struct sim *s, const struct queue *q)
{
    const struct consumer *k;
    DL_FOREACH2(q->consumers, k, queue_next)
    {
        if (!s->mood.lowers && !s->calm && k->next_delivery > k->limit + 1)
            sim_fail(s, "%s delivered %llu with credit up to %llu", q->name, (unsigned long long)k->next_delivery - 1,
                     (unsigned long long)k->limit);
        if (k->next_delivery > k->most_granted + 1)
            sim_fail(s, "%s delivered past every credit", q->name);
    }
}

static void check_waiters(struct sim *s, const struct queue *q)
{
    const struct waiting *w = q->waiters;
    if (!w || q->runnable)
        return;
    struct room room = queue_room(s->core, q); /* the first waiter has no room, or it would not wait */
    if (room.events > 0 && room.bytes > 100000 && room.budget > 100000 && w->undecided == w->count - w->next)
        sim_fail(s, "%s has room and yet somebody waits", q->name);
    DL_FOREACH2(q->waiters, w, next_waiting)
    {
        if (w->destination->waiting_events > s->config.window_events / 2)
            sim_fail(s, "one destination waits with more than half a window");
    }
}

static void check_queue(struct sim *s, const struct queue *q)
{
    if (queue_remaining(q) > q->settings.capacity)
        sim_fail(s, "%s holds %llu of %llu", q->name, (unsigned long long)queue_remaining(q),
                 (unsigned long long)q->settings.capacity);
    check_credit(s, q);
    check_waiters(s, q);
}

void check_step(struct sim *s)
{
    uint64_t used = s->core->waiting_bytes; /* events and waiters; the store's last block may overshoot */
    for (uint32_t i = 0; i < s->core->queue_count; i++) {
        check_queue(s, s->core->by_name[i]);
        used += s->core->by_name[i]->bytes;
    }
    if (used > s->config.memory_budget)
        sim_fail(s, "the broker holds %llu bytes of %llu", (unsigned long long)used,
                 (unsigned long long)s->config.memory_budget);
    if (s->steps % 16 == 0 && mutation == MUTATION_none) /* a planted fault must show outside */
        core_validate(s->core);
}

/* ------------------------------------------------------------------ the end */

static bool is_alive(const struct sim *s, uint64_t instance)
{
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        if (s->actors[i].client && s->actors[i].instance == instance)
            return true;
    }
    return false;
}

static uint64_t check_facts(struct sim *s)
{
    uint64_t lost = 0;
    for (size_t i = 0; i < s->fact_count; i++) {
        const struct fact *f = s->facts[i];
        if (f->outcomes == 0 && is_alive(s, f->producer))
            sim_fail(s, "#%zu never got an outcome", i);
        bool confirmed = f->outcomes && f->reason == REASON_ok && f->incarnation == s->config.incarnation;
        lost += confirmed && f->handed_over == 0;
    }
    return lost;
}

void check_end(struct sim *s)
{
    struct broker_info info;
    core_info(s->core, &info, sim_now(s));
    const struct ledger *l = &info.ledger;
    if (mutation == MUTATION_none)
        core_validate(s->core);
    uint64_t lost = check_facts(s);
    if (lost > l->purged || (lost && !s->mood.purges && !s->mood.deletes))
        sim_fail(s, "%llu confirmed events never arrived", (unsigned long long)lost);
    if (l->remaining)
        sim_fail(s, "%llu events never drained", (unsigned long long)l->remaining);
    if (l->accepted != l->acked + l->purged + l->dropped)
        sim_fail(s, "the ledger does not balance");
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        if (!s->actors[i].client || !client_is_attached(s->actors[i].client))
            sim_fail(s, "client %u is not attached at the end", i);
    }
}
