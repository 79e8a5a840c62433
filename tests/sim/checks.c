/* What must hold, told from outside: by what publishers were told and what consumers were given. */
#include "tests/sim/sim.h"

#include "base/xalloc.h"

#include <stdlib.h>

struct fact *check_published(struct sim *s, struct actor *a, unsigned queue, uint64_t batch, uint32_t index)
{
    struct fact *f = xcalloc(1, sizeof *f);
    if (s->fact_count == s->fact_capacity) {
        s->fact_capacity = s->fact_capacity ? s->fact_capacity * 2 : 1024;
        s->facts = xrealloc(s->facts, s->fact_capacity * sizeof(struct fact *));
    }
    f->id = s->fact_count;
    f->queue = queue;
    f->producer = a->instance;
    f->order = ++a->orders[queue];
    f->batch = batch;
    f->batch_index = index;
    s->facts[s->fact_count++] = f;
    return f;
}

static bool refused(const struct fact *f)
{
    return f->outcomes && f->reason != REASON_ok && f->reason != REASON_unknown;
}

/* An entry of the batch that was refused for certain before this one? */
static bool prefix_refused(const struct sim *s, const struct fact *f)
{
    for (uint32_t back = 1; back <= f->batch_index; back++) {
        if (refused(s->facts[f->id - back]))
            return true;
    }
    return false;
}

/* The queue has the event for certain. */
static void check_accepted(struct sim *s, struct fact *f, uint64_t sequence)
{
    if (refused(f))
        sim_fail(s, "#%llu was refused (%s) and yet is in the queue", (unsigned long long)f->id,
                 reason_info(f->reason)->name);
    if (f->sequence && f->sequence != sequence)
        sim_fail(s, "#%llu has sequences %llu and %llu: doubled", (unsigned long long)f->id,
                 (unsigned long long)f->sequence, (unsigned long long)sequence);
    f->sequence = sequence;
    if (prefix_refused(s, f))
        sim_fail(s, "#%llu was accepted behind a refused entry of its batch", (unsigned long long)f->id);
}

void check_outcome(struct sim *s, struct fact *f, const struct client_outcome *o, uint32_t offset)
{
    if (f->outcomes++)
        sim_fail(s, "#%llu got two outcomes", (unsigned long long)f->id);
    f->reason = o->reason;
    if (o->reason == REASON_ok)
        check_accepted(s, f, o->sequence + offset);
    else if (o->reason != REASON_unknown && f->sequence)
        sim_fail(s, "#%llu is in the queue and yet was refused (%s)", (unsigned long long)f->id,
                 reason_info(o->reason)->name);
}

struct fact *check_handed_over(struct sim *s, const struct client_delivery *d, unsigned queue)
{
    uint64_t id = d->event.size == 8 ? wire_load64(d->event.data) : UINT64_MAX;
    if (id >= s->fact_count || s->facts[id]->queue != queue) {
        sim_fail(s, "an event that nobody published to %s", d->queue);
        return NULL;
    }
    struct fact *f = s->facts[id];
    check_accepted(s, f, d->sequence);
    if (f->acked)
        sim_fail(s, "#%llu was delivered after its ack was confirmed", (unsigned long long)id);
    if (d->consumer_epoch < s->last_epoch[queue])
        sim_fail(s, "#%llu was handed over under epoch %u after epoch %u", (unsigned long long)id, d->consumer_epoch,
                 s->last_epoch[queue]);
    s->last_epoch[queue] = d->consumer_epoch;
    uint64_t *last = &s->last_order[f->producer % 64][queue];
    if (d->attempt == 1 && f->handed_over == 0 && f->producer < 64) {
        if (f->order < *last)
            sim_fail(s, "#%llu of c%llu came after a later one of %s", (unsigned long long)id,
                     (unsigned long long)f->producer, d->queue);
        *last = f->order;
    }
    f->handed_over++;
    s->handed_over++;
    return f;
}

void check_settled(struct sim *s, struct fact *f, enum settle_result result)
{
    (void)s;
    if (result == SETTLED_ACKED)
        f->acked = true;
}

static void check_queue(struct sim *s, const struct queue *q)
{
    if (queue_remaining(q) > q->settings.capacity)
        sim_fail(s, "%s holds %llu of %llu", q->name, (unsigned long long)queue_remaining(q),
                 (unsigned long long)q->settings.capacity);
    const struct consumer *k;
    DL_FOREACH2(q->consumers, k, queue_next)
    {
        if (!s->lowers && !s->calm && k->next_delivery > k->limit + 1)
            sim_fail(s, "%s delivered %llu with credit up to %llu", q->name, (unsigned long long)k->next_delivery - 1,
                     (unsigned long long)k->limit);
        if (k->next_delivery > k->most_granted + 1)
            sim_fail(s, "%s delivered past every credit", q->name);
    }
    const struct waiting *w;
    if (q->waiters && !q->runnable) { /* the first waiter has no room, or it would not wait */
        w = q->waiters;
        struct room room = queue_room(s->core, q);
        if (room.events > 0 && w->undecided == w->count - w->next && room.bytes > 100000)
            sim_fail(s, "%s has room and yet somebody waits", q->name);
    }
}

void check_step(struct sim *s)
{
    for (uint32_t i = 0; i < s->core->queue_count; i++)
        check_queue(s, s->core->by_name[i]);
    if (s->steps % 16 == 0)
        core_validate(s->core);
}

void check_end(struct sim *s)
{
    uint64_t lost = 0;
    core_validate(s->core);
    for (size_t i = 0; i < s->fact_count && !s->failed; i++) {
        struct fact *f = s->facts[i];
        bool publisher_lives = false;
        for (unsigned a = 0; a < SIM_CLIENTS; a++)
            publisher_lives |= s->actors[a].client && s->actors[a].instance == f->producer;
        if (publisher_lives && f->outcomes == 0)
            sim_fail(s, "#%llu never got an outcome", (unsigned long long)f->id);
        if (f->outcomes && f->reason == REASON_ok && f->handed_over == 0)
            lost++;
    }
    struct broker_info info;
    core_info(s->core, &info, sim_now(s));
    if (lost > info.ledger.purged)
        sim_fail(s, "%llu confirmed events never arrived", (unsigned long long)lost);
    if (info.ledger.remaining)
        sim_fail(s, "%llu events never drained", (unsigned long long)info.ledger.remaining);
    if (info.ledger.accepted != info.ledger.acked + info.ledger.purged + info.ledger.dropped)
        sim_fail(s, "the ledger does not balance");
    for (unsigned a = 0; a < SIM_CLIENTS; a++) {
        if (!s->actors[a].client || !client_is_attached(s->actors[a].client))
            sim_fail(s, "client %u is not attached at the end", a);
    }
}
