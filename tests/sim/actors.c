/* What the clients' programs do: publish batches, consume with changing demand, ack, nack, extend, forget, die. */
#include "tests/sim/sim.h"

#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>

#define MS INT64_C(1000000)

const char *sim_queue_name(unsigned queue)
{
    static const char *const names[SIM_QUEUES] = { "alpha", "beta" };
    return names[queue];
}

static unsigned queue_index(const char *name)
{
    return name[0] == 'a' ? 0 : 1;
}

/* ------------------------------------------------------------------ publishing */

static void publish(struct actor *a)
{
    struct sim *s = a->sim;
    unsigned queue = (unsigned)sim_random(s, SIM_QUEUES);
    uint32_t count = sim_chance(s, 60) ? 1 : 1 + (uint32_t)sim_random(s, 5);
    static const uint32_t waits[] = { 0, 50, 1000, 5000 };
    uint32_t wait_ms = waits[sim_random(s, 4)];
    struct publish *p = xcalloc(1, sizeof *p);
    s->publishes = xrealloc(s->publishes, (s->publish_count + 1) * sizeof(struct publish *));
    s->publishes[s->publish_count++] = p;
    *p = (struct publish){ a, s->fact_count, count };
    uint8_t bytes[5][8];
    struct span events[5];
    uint64_t batch = ++s->batches;
    for (uint32_t i = 0; i < count; i++) {
        struct fact *f = check_published(s, a, queue, batch, i);
        wire_store64(bytes[i], f->id);
        events[i] = span_of(bytes[i], 8);
    }
    sim_trace(s, "c%llu publishes %u to %s from #%zu, wait %u ms", (unsigned long long)a->instance, count,
              sim_queue_name(queue), p->first, wait_ms);
    enum reason why;
    if (!client_publish(a->client, span_str(sim_queue_name(queue)), events, count, wait_ms, p, sim_now(s), &why))
        sim_fail(s, "a small publish was not taken: %s", reason_info(why)->name);
}

static void outcome(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o)
{
    struct actor *a = ctx;
    struct publish *p = cookie;
    sim_trace(a->sim, "c%llu learns #%zu+%u: %s %llu", (unsigned long long)a->instance, p->first + index, count,
              reason_info(o->reason)->name, (unsigned long long)o->sequence);
    if (index + count > p->count) {
        sim_fail(a->sim, "an outcome beyond its publish");
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        check_outcome(a->sim, a->sim->facts[p->first + index + i], o, i);
}

/* ------------------------------------------------------------------ consuming */

static void want(struct actor *a, unsigned queue, uint64_t wanted)
{
    client_credit(a->client, span_str(sim_queue_name(queue)), wanted);
}

static void turn(void *ctx, const char *name, enum turn_state state, uint32_t epoch, bool contended, enum reason reason)
{
    struct actor *a = ctx;
    sim_trace(a->sim, "c%llu on %s: turn %d epoch %u", (unsigned long long)a->instance, name, (int)state, epoch);
    (void)contended;
    (void)reason;
}

static void delivery(void *ctx, const struct client_delivery *d)
{
    struct actor *a = ctx;
    struct sim *s = a->sim;
    unsigned queue = queue_index(d->queue);
    struct fact *f = check_handed_over(s, d, queue);
    if (!f)
        return;
    sim_trace(s, "c%llu gets #%llu of %s: delivery %llu attempt %u epoch %u", (unsigned long long)a->instance,
              (unsigned long long)f->id, d->queue, (unsigned long long)d->delivery, d->attempt, d->consumer_epoch);
    if (a->held_count == sizeof a->held / sizeof *a->held || (!s->calm && sim_chance(s, 4)))
        return; /* its program forgets about it: the lease will run out */
    struct held *h = &a->held[a->held_count++];
    *h = (struct held){ f,           queue, d->consumer_epoch,
                        d->delivery, "",    s->now + (int64_t)sim_random(s, s->calm ? 5 : 800) * MS };
    snprintf(h->receipt, sizeof h->receipt, "%.*s.%llu", (int)d->receipt.size, (const char *)d->receipt.data,
             (unsigned long long)d->receipt_index);
}

static void ask(struct actor *a, const struct held *h, uint64_t request)
{
    if (a->asked_count == a->asked_capacity) {
        a->asked_capacity = a->asked_capacity ? a->asked_capacity * 2 : 32;
        a->asked = xrealloc(a->asked, a->asked_capacity * sizeof *a->asked);
    }
    a->asked[a->asked_count++] = (struct asked){ h->delivery, request, h->queue, h->epoch, h->fact };
}

static void settle(struct actor *a, struct held *h)
{
    struct sim *s = a->sim;
    struct span queue = span_str(sim_queue_name(h->queue));
    enum settle_kind kind = SETTLE_ACK;
    uint64_t ms = 0;
    if (!s->calm && sim_chance(s, 25)) {
        kind = sim_chance(s, 60) ? SETTLE_NACK : sim_chance(s, 70) ? SETTLE_EXTEND : SETTLE_RELEASE;
        ms = kind == SETTLE_NACK && sim_chance(s, 50) ? sim_random(s, 3000) : kind == SETTLE_EXTEND ? 3000 : 0;
    }
    uint64_t request = 0;
    bool by_receipt = sim_chance(s, 30);
    if (kind == SETTLE_ACK && !by_receipt)
        ask(a, h, 0);
    if (by_receipt)
        request = client_settle_receipt(a->client, kind, span_str(h->receipt), ms, sim_now(s));
    else
        client_settle(a->client, queue, h->epoch, &(struct settle){ kind, h->delivery, 1, ms });
    if (kind == SETTLE_ACK && by_receipt)
        ask(a, h, request);
    sim_trace(s, "c%llu settles #%llu: kind %d", (unsigned long long)a->instance, (unsigned long long)h->fact->id,
              (int)kind);
    if (kind == SETTLE_EXTEND)
        h->until = s->now + (int64_t)sim_random(s, 2000) * MS;
    else
        *h = a->held[--a->held_count];
}

static void settled(void *ctx, const char *name, uint32_t epoch, uint64_t first, uint64_t count,
                    enum settle_result result)
{
    struct actor *a = ctx;
    for (size_t i = 0; i < a->asked_count;) {
        struct asked *w = &a->asked[i];
        if (w->request != 0 || w->queue != queue_index(name) || w->epoch != epoch || w->delivery < first ||
            w->delivery >= first + count) {
            i++;
            continue;
        }
        check_settled(a->sim, w->fact, result);
        *w = a->asked[--a->asked_count];
    }
}

static void receipt_settled(void *ctx, uint64_t request, enum settle_result result)
{
    struct actor *a = ctx;
    for (size_t i = 0; i < a->asked_count; i++) {
        if (a->asked[i].request != request)
            continue;
        check_settled(a->sim, a->asked[i].fact, result);
        a->asked[i] = a->asked[--a->asked_count];
        return;
    }
}

void actor_lost(struct actor *a)
{
    a->held_count = 0;
    a->asked_count = 0;
    memset(a->consuming, 0, sizeof a->consuming);
    memset(a->orders, 0, sizeof a->orders);
}

/* ------------------------------------------------------------------ the rest */

static void attached(void *ctx, bool resumed)
{
    struct actor *a = ctx;
    sim_trace(a->sim, "c%llu attached%s", (unsigned long long)a->instance, resumed ? " again" : "");
}

static void away(void *ctx, const char *why)
{
    struct actor *a = ctx;
    sim_trace(a->sim, "c%llu away: %s", (unsigned long long)a->instance, why);
}

static void idle(void *ctx, const char *queue, uint64_t generation)
{
    (void)ctx;
    (void)queue;
    (void)generation;
}

static void replied(void *ctx, void *cookie, const struct reply *reply)
{
    struct actor *a = ctx;
    (void)cookie;
    if (reply->result == RESULT_PURGED)
        a->sim->purged += reply->u.purged.purged;
}

static void operate(struct actor *a)
{
    struct sim *s = a->sim;
    static const enum call calls[] = { CALL_PAUSE, CALL_RESUME, CALL_RESUME, CALL_CLOSE,
                                       CALL_OPEN,  CALL_OPEN,   CALL_PURGE };
    struct request r = { .call = calls[sim_random(s, s->purges ? 7 : 6)] };
    r.queue = sim_queue_name((unsigned)sim_random(s, SIM_QUEUES));
    client_call(a->client, &r, a, 3000, sim_now(s));
}

static void set_right(struct actor *a) /* in the calm nothing stays paused or closed */
{
    for (unsigned q = 0; q < SIM_QUEUES; q++) {
        struct request r = { .call = CALL_RESUME, .queue = sim_queue_name(q) };
        client_call(a->client, &r, a, 3000, sim_now(a->sim));
        r.call = CALL_OPEN;
        client_call(a->client, &r, a, 3000, sim_now(a->sim));
    }
}

static void change_consuming(struct actor *a)
{
    struct sim *s = a->sim;
    unsigned q = (unsigned)sim_random(s, SIM_QUEUES);
    struct span name = span_str(sim_queue_name(q));
    if (a->consuming[q] && sim_chance(s, 15)) {
        client_leave(a->client, name);
        a->consuming[q] = false;
        return;
    }
    client_consume(a->client, name);
    a->consuming[q] = true;
    if (s->lowers || s->calm)
        want(a, q, sim_random(s, 12));
    else
        want(a, q, 12);
}

void actor_act(struct actor *a)
{
    struct sim *s = a->sim;
    for (size_t i = 0; i < a->held_count;) {
        if (a->held[i].until <= s->now)
            settle(a, &a->held[i]);
        else
            i++;
        if (a->held_count == 0 || i >= a->held_count)
            break;
    }
    if (s->calm) {
        if (a->index == 0 && sim_chance(s, 5))
            set_right(a);
        for (unsigned q = 0; q < SIM_QUEUES; q++) {
            client_consume(a->client, span_str(sim_queue_name(q)));
            want(a, q, 20);
        }
        a->next_action = s->now + (int64_t)sim_random(s, 60) * MS;
        return;
    }
    if (a->index < 3)
        publish(a);
    if (a->index > 0)
        change_consuming(a);
    if (sim_chance(s, 1))
        operate(a);
    a->next_action = s->now + (int64_t)sim_random(s, 300) * MS;
}

const struct client_handler actor_handler = {
    .control_open = world_control_open,
    .control_send = world_control_send,
    .ingress_open = world_ingress_open,
    .ingress_send = world_ingress_send,
    .attached = attached,
    .away = away,
    .outcome = outcome,
    .turn = turn,
    .delivery = delivery,
    .idle = idle,
    .settled = settled,
    .receipt_settled = receipt_settled,
    .replied = replied,
};
