/* Programs that consume, with changing demand: they ack, nack, extend, release, drop, defer, forget, and try receipts
 * of others, late and twice. */
#include "tests/sim/sim.h"

#include "base/xalloc.h"

#include <stdio.h>

/* ------------------------------------------------------------------ outstanding settlements */

static struct asked take_asked(struct actor *a, size_t i)
{
    struct asked w = a->asked[i];
    memmove(a->asked + i, a->asked + i + 1, (--a->asked_count - i) * sizeof *a->asked);
    return w;
}

/* A turn ended: answers to settlements by number no longer matter. */
static void forget_asked(struct actor *a, unsigned queue)
{
    for (size_t i = 0; i < a->asked_count;) {
        if (a->asked[i].request == 0 && a->asked[i].queue == queue)
            take_asked(a, i);
        else
            i++;
    }
}

/* ------------------------------------------------------------------ demand */

static void want(struct actor *a, unsigned queue, uint64_t wanted)
{
    client_credit(a->client, span_str(sim_queue_name(queue)), wanted);
}

static void change(struct actor *a)
{
    struct sim *s = a->sim;
    unsigned q = (unsigned)sim_random(s, s->queues);
    struct span name = span_str(sim_queue_name(q));
    if (a->consuming[q] && sim_chance(s, 10)) {
        client_leave(a->client, name);
        a->consuming[q] = false;
        forget_asked(a, q);
        return;
    }
    client_consume(a->client, name);
    a->consuming[q] = true;
    want(a, q, s->scenario.lowers ? sim_random(s, 12) : 12);
}

void consuming_idle(void *ctx, const char *queue, uint64_t generation)
{
    (void)ctx;
    (void)queue;
    (void)generation;
}

/* ------------------------------------------------------------------ deliveries */

void consuming_delivery(void *ctx, const struct client_delivery *d)
{
    struct actor *a = ctx;
    struct sim *s = a->sim;
    struct receipt_seen seen;
    struct fact *f = fact_handed_over(s, a, d, &seen);
    if (!f)
        return;
    sim_trace(s, "c%llu gets #%llu of %s: delivery %llu attempt %u epoch %llu", (unsigned long long)a->instance,
              (unsigned long long)f->id, d->queue, (unsigned long long)d->delivery, d->attempt,
              (unsigned long long)d->consumer_epoch);
    if (sim_chance(s, 10))
        s->receipts[sim_random(s, SIM_RECEIPTS)] = seen;
    if (a->held_count == sizeof a->held / sizeof *a->held || (!s->calm && sim_chance(s, 4)))
        return; /* the program forgets it: the lease will run out */
    uint64_t mostly = s->scenario.pinched ? 3000 : 800;
    int64_t busy = (int64_t)sim_random(s, s->calm ? 5 : sim_chance(s, 5) ? 15000 : mostly);
    a->held[a->held_count++] = (struct held){ seen, sim_queue_index(d->queue), s->now + busy * MS };
}

static struct asked *ask(struct actor *a, const struct receipt_seen *seen, unsigned queue, enum settle_kind kind)
{
    if (a->asked_count == a->asked_capacity) {
        a->asked_capacity = a->asked_capacity ? a->asked_capacity * 2 : 32;
        a->asked = xrealloc(a->asked, a->asked_capacity * sizeof *a->asked);
    }
    struct asked *w = &a->asked[a->asked_count++];
    seen->fact->ack_asked |= kind == SETTLE_ACK;
    seen->fact->release_asked |= kind == SETTLE_RELEASE && !fact_is_void(seen);
    *w = (struct asked){ .seen = *seen, .queue = queue, .kind = kind };
    w->newer = fact_is_void(seen) ? seen->fact->life : NULL;
    sim_trace(a->sim, "c%llu settles #%llu (epoch %llu delivery %llu): kind %d%s", (unsigned long long)a->instance,
              (unsigned long long)seen->fact->id, (unsigned long long)seen->epoch, (unsigned long long)seen->delivery,
              (int)kind, w->newer ? ", void" : "");
    return w;
}

static void ask_by_receipt(struct actor *a, const struct receipt_seen *seen, unsigned queue, enum settle_kind kind,
                           uint64_t ms)
{
    struct asked *w = ask(a, seen, queue, kind);
    w->request = client_settle_receipt(
        a->client, &(struct receipt_ack){ .kind = kind, .receipt = span_str(seen->text), .ms = ms }, sim_now(a->sim));
}

static enum settle_kind draw_kind(struct sim *s, uint64_t *ms)
{
    *ms = 0;
    if (s->calm || sim_chance(s, 75))
        return SETTLE_ACK;
    if (sim_chance(s, 60)) {
        *ms = sim_chance(s, 50) ? sim_random(s, 3000) : 0;
        return SETTLE_NACK;
    }
    if (sim_chance(s, 60)) {
        *ms = 3000;
        return SETTLE_EXTEND;
    }
    if (s->scenario.dies && sim_chance(s, 30))
        return SETTLE_DROP;
    *ms = sim_chance(s, 50) ? sim_random(s, 3000) : 0;
    if (sim_chance(s, 50))
        return SETTLE_DEFER;
    *ms = 0;
    return SETTLE_RELEASE;
}

/* Settles a held event; false: it only extended the lease and holds on to the event. */
static bool settle(struct actor *a, struct held *h)
{
    struct sim *s = a->sim;
    uint64_t ms;
    enum settle_kind kind = draw_kind(s, &ms);
    uint64_t fails_for = keys_fails_for(s, h->seen.fact);
    if (fails_for) {
        kind = SETTLE_NACK;
        ms = fails_for;
    }
    if (sim_chance(s, 30)) {
        ask_by_receipt(a, &h->seen, h->queue, kind, ms);
    } else {
        ask(a, &h->seen, h->queue, kind);
        client_settle(a->client, span_str(sim_queue_name(h->queue)), h->seen.epoch,
                      &(struct settle){ .kind = kind, .first = h->seen.delivery, .count = 1, .ms = ms });
    }
    h->until = s->now + (int64_t)sim_random(s, 2000) * MS;
    return kind != SETTLE_EXTEND;
}

void consuming_settle_due(struct actor *a)
{
    for (size_t i = 0; i < a->held_count;) {
        if (a->held[i].until <= a->sim->now && settle(a, &a->held[i]))
            a->held[i] = a->held[--a->held_count];
        else
            i++;
    }
}

static void try_some_receipt(struct actor *a)
{
    const struct receipt_seen *seen = &a->sim->receipts[sim_random(a->sim, SIM_RECEIPTS)];
    if (seen->fact)
        ask_by_receipt(a, seen, seen->queue, SETTLE_ACK, 0);
}

/* ------------------------------------------------------------------ answers */

static bool fits(const struct asked *w, enum settle_result result)
{
    return result == SETTLED_EXPIRED || result == asked_for(w->kind);
}

/* Answers come in the order of the requests, except those that wait for the disk: each is matched with the oldest
 * request for its delivery that it fits. */
static void settled_one(struct actor *a, unsigned queue, uint64_t epoch, uint64_t delivery, enum settle_result result)
{
    for (size_t i = 0; i < a->asked_count; i++) {
        const struct asked *w = &a->asked[i];
        if (w->request != 0 || w->queue != queue || w->seen.epoch != epoch || w->seen.delivery != delivery ||
            !fits(w, result))
            continue;
        struct asked answered = take_asked(a, i);
        fact_settled(a->sim, a, &answered, result);
        return;
    }
}

void consuming_settled(void *ctx, const char *name, uint64_t epoch, uint64_t first, uint64_t count,
                       enum settle_result result)
{
    for (uint64_t i = 0; i < count; i++)
        settled_one(ctx, sim_queue_index(name), epoch, first + i, result);
}

void consuming_receipt_settled(void *ctx, uint64_t request, enum settle_result result)
{
    struct actor *a = ctx;
    for (size_t i = 0; i < a->asked_count; i++) {
        if (a->asked[i].request != request)
            continue;
        struct asked answered = take_asked(a, i);
        fact_settled(a->sim, a, &answered, result);
        return;
    }
    sim_fail(a->sim, "an answer to a settlement that nobody asked for");
}

void consuming_turn(void *ctx, const char *name, enum turn_state state, uint64_t epoch, bool contended,
                    enum reason reason)
{
    struct actor *a = ctx;
    sim_trace(a->sim, "c%llu on %s: turn %d epoch %llu%s %s", (unsigned long long)a->instance, name, (int)state,
              (unsigned long long)epoch, contended ? " contended" : "", reason_info(reason)->name);
    if (state == TURN_NONE)
        a->consuming[sim_queue_index(name)] = false;
    if (state == TURN_NONE || state == TURN_REVOKED)
        forget_asked(a, sim_queue_index(name));
}

void consuming_lost(struct actor *a)
{
    a->held_count = 0;
    a->asked_count = 0;
    memset(a->consuming, 0, sizeof a->consuming);
}

void consuming_act(struct actor *a)
{
    struct sim *s = a->sim;
    if (s->calm) {
        for (unsigned q = 0; q < s->queues; q++) {
            client_consume(a->client, span_str(sim_queue_name(q)));
            want(a, q, 20);
        }
        return;
    }
    change(a);
    if (sim_chance(s, 5))
        try_some_receipt(a);
}
