/* The call that explains one event, and its answer. */
#include "proto/control_priv.h"

const char *blocked_by_name(enum blocked_by what)
{
    static const char *const names[] = { "",          "in_flight", "delayed", "back_off",    "dead_letter",
                                         "dead",      "disk",      "paused",  "no_consumer", "key",
                                         "no_credit", "link",      "behind",  "expired" };
    return names[what];
}

const char *next_step_name(enum next_step what)
{
    static const char *const names[] = { "", "lease_end", "ready", "dead_letter" };
    return names[what];
}

const char *attempt_outcome_name(enum attempt_outcome how)
{
    static const char *const names[] = { "in_flight", "nacked",  "lease_expired", "connection_lost",
                                         "deferred",  "dropped", "returned" };
    return names[how];
}

void control_explain_pack_request(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Explain e = SLUICE__V1__EXPLAIN__INIT;
    e.queue = control_borrow(r->queue);
    e.sequence = r->u.explain.sequence;
    m->call_case = SLUICE__V1__REQUEST__CALL_EXPLAIN;
    m->explain = &e;
    control_pack(&m->base, out);
}

static void write_attempt(const struct attempt_info *a, Sluice__V1__Attempt *out)
{
    sluice__v1__attempt__init(out);
    out->number = a->number;
    out->outcome = a->outcome;
    out->delivered_ms = (uint64_t)a->delivered_ms;
    out->latency_ms = a->latency_ms;
    out->status = a->status;
    out->consumer = control_borrow(a->consumer);
    out->error = control_borrow(a->error);
}

static bool read_attempt(const Sluice__V1__Attempt *m, struct attempt_info *out)
{
    *out = (struct attempt_info){ .number = m->number,
                                  .outcome = (enum attempt_outcome)m->outcome,
                                  .delivered_ms = (int64_t)m->delivered_ms,
                                  .latency_ms = m->latency_ms,
                                  .status = m->status,
                                  .consumer = m->consumer,
                                  .error = m->error };
    return m->outcome < ATTEMPT_OUTCOMES;
}

static bool read_attempts(const Sluice__V1__Explained *m, struct explained *out)
{
    out->attempts_older = m->attempts_older;
    out->attempt_count = (uint32_t)m->n_attempts;
    if (m->n_attempts > sizeof out->attempts / sizeof *out->attempts)
        return false;
    for (size_t i = 0; i < m->n_attempts; i++) {
        if (!read_attempt(m->attempts[i], &out->attempts[i]))
            return false;
    }
    return true;
}

void control_explain_pack_reply(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    const struct explained *from = &r->u.explained;
    Sluice__V1__Explained e = SLUICE__V1__EXPLAINED__INIT;
    Sluice__V1__PeekedEvent event;
    Sluice__V1__Trouble trouble;
    Sluice__V1__Attempt attempts[ATTEMPTS_KEPT + 1], *pointers[ATTEMPTS_KEPT + 1];
    for (uint32_t i = 0; i < from->attempt_count; i++) {
        write_attempt(&from->attempts[i], &attempts[i]);
        pointers[i] = &attempts[i];
    }
    e.n_attempts = from->attempt_count;
    e.attempts = pointers;
    e.attempts_older = from->attempts_older;
    control_peeked_write(&from->event, &event, &trouble);
    e.event = &event;
    e.accepted_ms = (uint64_t)from->accepted_ms;
    e.blocked = from->blocked;
    e.behind = from->behind;
    e.blocker = from->blocker;
    e.consumer = control_borrow(from->consumer);
    e.next = from->next;
    e.next_ms = (uint64_t)from->next_ms;
    e.now_ms = (uint64_t)from->now_ms;
    m->result_case = SLUICE__V1__REPLY__RESULT_EXPLAINED;
    m->explained = &e;
    control_pack(&m->base, out);
}

bool control_explain_read_reply(const Sluice__V1__Reply *m, struct reply *out)
{
    const Sluice__V1__Explained *e = m->explained;
    if (!e->event || !control_peeked_read(e->event, &out->u.explained.event))
        return false;
    out->result = RESULT_EXPLAINED;
    out->u.explained.accepted_ms = (int64_t)e->accepted_ms;
    out->u.explained.blocked = (enum blocked_by)e->blocked;
    out->u.explained.behind = e->behind;
    out->u.explained.blocker = e->blocker;
    out->u.explained.consumer = e->consumer;
    out->u.explained.next = (enum next_step)e->next;
    out->u.explained.next_ms = (int64_t)e->next_ms;
    out->u.explained.now_ms = (int64_t)e->now_ms;
    return e->blocked < BLOCKED_CAUSES && e->next < NEXT_STEPS && read_attempts(e, &out->u.explained);
}
