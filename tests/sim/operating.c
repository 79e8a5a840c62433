/* Programs that operate on queues under load: pause, close, purge, delete and declare, redrive. */
#include "tests/sim/sim.h"

#include "broker/core/deliver/trouble.h"

#define CLEAR_MS 5000

static void call(struct actor *a, enum call call, unsigned queue)
{
    struct sim *s = a->sim;
    struct request r = { .call = call, .queue = sim_queue_name(queue) };
    if (call == CALL_DECLARE)
        broker_settings(s, queue, &r.u.declare.settings);
    if (call == CALL_DELETE)
        r.u.delete_.force = true;
    if (call == CALL_REDRIVE) {
        r.u.redrive.to = "";
        r.u.redrive.stop = sim_chance(s, 10);
        r.u.redrive.rate = sim_chance(s, 40) ? 1 + (uint32_t)sim_random(s, 200) : 0;
    }
    if (call == CALL_CANCEL)
        r.u.cancel.sequence = 1 + sim_random(s, 200);
    if (call == CALL_PURGE)
        r.u.purge.dead = !s->scenario.purges || sim_chance(s, 20);
    sim_trace(s, "c%llu operates on %s: call %d", (unsigned long long)a->instance, r.queue, (int)call);
    client_call(a->client, &r, a, 3000, sim_now(s));
}

void operating_act(struct actor *a)
{
    struct sim *s = a->sim;
    if (sim_chance(s, 15)) {
        keeping_act(a);
        return;
    }
    if (s->scenario.anything) {
        anything_act(a);
        return;
    }
    static const enum call calls[] = { CALL_PAUSE, CALL_RESUME, CALL_RESUME, CALL_CLOSE, CALL_OPEN, CALL_OPEN };
    unsigned queue = (unsigned)sim_random(s, s->queues);
    if (s->scenario.redrives && sim_chance(s, 30))
        call(a, sim_chance(s, 80) ? CALL_REDRIVE : CALL_PURGE, queue);
    else if (s->scenario.purges && sim_chance(s, 15))
        call(a, s->scenario.delays && sim_chance(s, 80) ? CALL_CANCEL : CALL_PURGE, queue);
    else if (s->scenario.deletes && sim_chance(s, 40))
        call(a, sim_chance(s, 30) ? CALL_DELETE : CALL_DECLARE, queue);
    else
        call(a, calls[sim_random(s, 6)], queue);
}

void operating_set_right(struct actor *a)
{
    for (unsigned q = 0; q < a->sim->queues; q++) {
        call(a, CALL_DECLARE, q);
        call(a, CALL_RESUME, q);
        call(a, CALL_OPEN, q);
    }
}

/* Not by a call, because the checks must know at once which events it removed. */
void operating_clear_dead(struct sim *s)
{
    struct queue *q = queue_find(s->core, span_str(sim_queue_name(1)));
    bool full_of_dead = s->scenario.cramped && s->scenario.dead_letters && s->on_disk[1];
    if (!s->calm || !full_of_dead || !q || s->now < s->cleared_at + CLEAR_MS * MS)
        return;
    sim_trace(s, "the %llu dead of %s are purged", (unsigned long long)q->dead, q->name);
    s->cleared_at = s->now;
    for (struct trouble *t = dead_next(q, NULL); t; t = dead_next(q, t))
        ranges_add(&s->cleared, t->sequence, t->sequence + 1);
    dead_purge(s->core, q);
}

void operating_replied(void *ctx, void *cookie, const struct reply *reply)
{
    struct actor *a = ctx;
    if (keeping_replied(a->sim, cookie, reply))
        return;
    sim_trace(a->sim, "c%llu is answered: %s", (unsigned long long)a->instance, reason_info(reply->reason)->name);
}
