/* Peeked events, with their failures. */
#include "proto/control_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

const char *dead_reason_name(enum dead_reason why)
{
    static const char *const names[] = { "", "max_deliveries", "crash_loop", "dropped_by_app", "dropped", "expired" };
    return names[why];
}

const char *dead_hold_name(enum dead_hold why)
{
    static const char *const names[] = { "", "dead_letter_full", "dead_letter_closed", "dead_letter_missing",
                                         "dead_letter_disk" };
    return names[why];
}

/* ------------------------------------------------------------------ packing */

/* False: there were no failures. */
static bool write_trouble(const struct trouble_info *t, Sluice__V1__Trouble *out)
{
    sluice__v1__trouble__init(out);
    out->failures = t->failures;
    out->crashes = t->crashes;
    out->dead = t->dead;
    out->first_ms = (uint64_t)t->first_ms;
    out->last_ms = (uint64_t)t->last_ms;
    out->status = t->status;
    out->error = control_borrow(t->error);
    out->held = t->held;
    return trouble_is(t);
}

void control_peeked_write(const struct peeked *e, Sluice__V1__PeekedEvent *out, Sluice__V1__Trouble *trouble)
{
    sluice__v1__peeked_event__init(out);
    out->sequence = e->sequence;
    out->state = e->state;
    out->attempt = e->attempt;
    out->parked_behind = e->parked_behind;
    out->ready_ms = (uint64_t)e->ready_ms;
    out->expires_ms = (uint64_t)e->expires_ms;
    out->event = (ProtobufCBinaryData){ e->event.size, (uint8_t *)(uintptr_t)e->event.data };
    if (write_trouble(&e->trouble, trouble))
        out->trouble = trouble;
}

void control_pack_peeked(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__Peeked p = SLUICE__V1__PEEKED__INIT;
    size_t count = r->u.peeked.count;
    Sluice__V1__PeekedEvent *events = xcalloc(count, sizeof *events);
    Sluice__V1__Trouble *troubles = xcalloc(count, sizeof *troubles);
    p.events = xcalloc(count, sizeof *p.events);
    for (size_t i = 0; i < count; i++) {
        control_peeked_write(&r->u.peeked.events[i], &events[i], &troubles[i]);
        p.events[i] = &events[i];
    }
    p.n_events = count;
    p.next = r->u.peeked.next;
    m->result_case = SLUICE__V1__REPLY__RESULT_PEEKED;
    m->peeked = &p;
    control_pack(&m->base, out);
    free(p.events);
    free(troubles);
    free(events);
}

/* ------------------------------------------------------------------ unpacking */

static bool read_trouble(const Sluice__V1__Trouble *m, struct trouble_info *out)
{
    *out = (struct trouble_info){ .error = "" };
    if (!m)
        return true;
    *out = (struct trouble_info){
        .failures = m->failures,
        .crashes = m->crashes,
        .dead = (enum dead_reason)m->dead,
        .first_ms = (int64_t)m->first_ms,
        .last_ms = (int64_t)m->last_ms,
        .status = m->status,
        .error = m->error,
        .held = (enum dead_hold)m->held,
    };
    return m->dead <= DEAD_LAST && m->held < DEAD_HOLDS;
}

bool control_peeked_read(const Sluice__V1__PeekedEvent *m, struct peeked *out)
{
    *out = (struct peeked){ .sequence = m->sequence,
                            .state = m->state <= STATE_DEAD ? (enum event_state)m->state : STATE_READY,
                            .attempt = m->attempt,
                            .parked_behind = m->parked_behind,
                            .ready_ms = (int64_t)m->ready_ms,
                            .expires_ms = (int64_t)m->expires_ms,
                            .event = span_of(m->event.data, m->event.len) };
    return m->state <= STATE_DEAD && read_trouble(m->trouble, &out->trouble);
}

bool control_read_peeked(const Sluice__V1__Peeked *m, struct arena *arena, struct reply *out)
{
    struct peeked *events = arena_alloc(arena, m->n_events * sizeof *events);
    if (!events)
        return false;
    for (size_t i = 0; i < m->n_events; i++) {
        if (!control_peeked_read(m->events[i], &events[i]))
            return false;
    }
    out->result = RESULT_PEEKED;
    out->u.peeked.events = events;
    out->u.peeked.count = m->n_events;
    out->u.peeked.next = m->next;
    return true;
}
