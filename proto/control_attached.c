/* The answer to an attach, with the outcomes of earlier publishes. */
#include "proto/control_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ packing */

struct packed_outcomes {
    Sluice__V1__Outcomes outcomes;
    Sluice__V1__Outcome *runs;
    Sluice__V1__Target *targets, **places; /* of all runs, consecutively */
};

static size_t count_targets(const struct outcomes *o)
{
    size_t count = 0;
    for (size_t i = 0; i < o->run_count; i++)
        count += o->runs[i].target_count;
    return count;
}

/* Stores the run's targets from `next` on; returns where the following run's go. */
static size_t write_targets(const struct outcome *run, struct packed_outcomes *p, size_t next, Sluice__V1__Outcome *to)
{
    to->n_targets = run->target_count;
    to->targets = p->places + next;
    for (size_t i = 0; i < run->target_count; i++, next++) {
        sluice__v1__target__init(&p->targets[next]);
        p->targets[next].queue = control_borrow(run->targets[i].queue);
        p->targets[next].sequence = run->targets[i].sequence;
        p->places[next] = &p->targets[next];
    }
    return next;
}

static void write_outcomes(const struct outcomes *o, struct packed_outcomes *p)
{
    sluice__v1__outcomes__init(&p->outcomes);
    p->outcomes.destination = control_borrow(o->destination);
    p->outcomes.decided = o->decided;
    p->outcomes.n_runs = o->run_count;
    p->outcomes.runs = xcalloc(o->run_count, sizeof *p->outcomes.runs);
    p->runs = xcalloc(o->run_count, sizeof *p->runs);
    size_t targets = count_targets(o), next = 0;
    p->targets = xcalloc(targets, sizeof *p->targets);
    p->places = xcalloc(targets, sizeof *p->places);
    for (size_t i = 0; i < o->run_count; i++) {
        const struct outcome *run = &o->runs[i];
        Sluice__V1__Outcome *to = &p->runs[i];
        sluice__v1__outcome__init(to);
        to->first = run->first;
        to->count = run->count;
        to->reason = run->reason;
        to->sequence = run->sequence;
        to->flags = run->flags;
        next = write_targets(run, p, next, to);
        p->outcomes.runs[i] = to;
    }
}

void control_pack_attached(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__Attached a = SLUICE__V1__ATTACHED__INIT;
    size_t count = r->u.attached.outcome_count;
    struct packed_outcomes *outcomes = xcalloc(count, sizeof *outcomes);
    a.outcomes = xcalloc(count, sizeof *a.outcomes);
    for (size_t i = 0; i < count; i++) {
        write_outcomes(&r->u.attached.outcomes[i], &outcomes[i]);
        a.outcomes[i] = &outcomes[i].outcomes;
    }
    a.n_outcomes = count;
    a.version = r->u.attached.version;
    a.features = r->u.attached.features;
    a.token_high = r->u.attached.token.high;
    a.token_low = r->u.attached.token.low;
    a.epoch = r->u.attached.epoch;
    a.resumed = r->u.attached.resumed;
    a.received = r->u.attached.received;
    a.producer_known = r->u.attached.producer_known;
    a.window_events = r->u.attached.window_events;
    a.window_bytes = r->u.attached.window_bytes;
    a.heartbeat_ms = r->u.attached.heartbeat_ms;
    a.session_timeout_ms = r->u.attached.session_timeout_ms;
    a.rights = r->u.attached.rights;
    a.incarnation = r->u.attached.incarnation;
    a.max_event = r->u.attached.max_event;
    a.producer_epoch = r->u.attached.producer_epoch;
    m->result_case = SLUICE__V1__REPLY__RESULT_ATTACHED;
    m->attached = &a;
    control_pack(&m->base, out);
    for (size_t i = 0; i < count; i++) {
        free(outcomes[i].outcomes.runs);
        free(outcomes[i].runs);
        free(outcomes[i].targets);
        free(outcomes[i].places);
    }
    free(a.outcomes);
    free(outcomes);
}

/* ------------------------------------------------------------------ unpacking */

static bool read_targets(const Sluice__V1__Outcome *m, struct arena *arena, struct outcome *out)
{
    struct target *targets = m->n_targets ? arena_alloc(arena, m->n_targets * sizeof *targets) : NULL;
    if (m->n_targets && !targets)
        return false;
    for (size_t i = 0; i < m->n_targets; i++)
        targets[i] = (struct target){ m->targets[i]->queue, m->targets[i]->sequence };
    out->targets = targets;
    out->target_count = m->n_targets;
    return true;
}

static bool read_outcomes(const Sluice__V1__Outcomes *m, struct arena *arena, struct outcomes *out)
{
    struct outcome *runs = arena_alloc(arena, m->n_runs * sizeof *runs);
    if (!runs)
        return false;
    for (size_t i = 0; i < m->n_runs; i++) {
        const Sluice__V1__Outcome *r = m->runs[i];
        runs[i] = (struct outcome){
            .first = r->first, .count = r->count, .reason = r->reason, .sequence = r->sequence, .flags = r->flags
        };
        if (!read_targets(r, arena, &runs[i]))
            return false;
    }
    *out = (struct outcomes){ m->destination, m->decided, runs, m->n_runs };
    return true;
}

bool control_read_attached(const Sluice__V1__Attached *m, struct arena *arena, struct reply *out)
{
    struct outcomes *outcomes = arena_alloc(arena, m->n_outcomes * sizeof *outcomes);
    if (!outcomes)
        return false;
    for (size_t i = 0; i < m->n_outcomes; i++) {
        if (!read_outcomes(m->outcomes[i], arena, &outcomes[i]))
            return false;
    }
    out->result = RESULT_ATTACHED;
    out->u.attached.version = m->version;
    out->u.attached.features = m->features;
    out->u.attached.token = (struct token){ m->token_high, m->token_low };
    out->u.attached.epoch = m->epoch;
    out->u.attached.resumed = m->resumed != 0;
    out->u.attached.producer_known = m->producer_known != 0;
    out->u.attached.received = m->received;
    out->u.attached.outcomes = outcomes;
    out->u.attached.outcome_count = m->n_outcomes;
    out->u.attached.window_events = m->window_events;
    out->u.attached.window_bytes = m->window_bytes;
    out->u.attached.heartbeat_ms = m->heartbeat_ms;
    out->u.attached.session_timeout_ms = m->session_timeout_ms;
    out->u.attached.rights = m->rights;
    out->u.attached.incarnation = m->incarnation;
    out->u.attached.max_event = m->max_event;
    out->u.attached.producer_epoch = m->producer_epoch;
    return true;
}
