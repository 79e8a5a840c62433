/* What waits for the disk. Everything that is put into the log gets a ticket. What depends on it (the outcome of
 * accepted entries, the answer to a call or to an ack) is kept here in the order of tickets, and released when the log
 * reports the ticket as durable. This is the only place where confirms of queues on disk are released, so nothing is
 * confirmed before it is durable.
 *
 * A queue on disk delivers only what is
 *   - durable: otherwise a crash would erase a delivered event and give its sequence to another one; and
 *   - below its mark: a note in the log, written ahead of need, that events up to there may have been
 *     delivered, so that after a crash they come with `attempt` 2. */
#include "broker/core/calls/explain.h"
#include "broker/core/deliver/doomed.h"
#include "broker/core/partition/spill.h"
#include "broker/core/topic/targets.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

#define MARK_AHEAD_GROWS 32u

/* ------------------------------------------------------------------ holding */

static struct pending *add_pending(struct core *c, uint64_t ticket)
{
    struct pending *p = c->spare_pending;
    if (p)
        c->spare_pending = p->next;
    else
        p = xmalloc(sizeof *p);
    *p = (struct pending){ .ticket = ticket };
    assert(!c->last_pending || c->last_pending->ticket <= ticket);
    if (c->last_pending)
        c->last_pending->next = p;
    else
        c->pending = p;
    c->last_pending = p;
    return p;
}

static void add_to_destination(struct destination *d, struct pending *p)
{
    if (d->first_pending)
        d->last_pending->destination_next = p;
    else
        d->first_pending = p;
    d->last_pending = p;
}

void durable_outcome(struct core *c, struct destination *d, struct queue *q, uint64_t ticket, const struct outcome *o,
                     uint64_t events, uint64_t bytes)
{
    if (ticket == 0) {
        destination_decide(c, d, o, q, events, bytes);
        return;
    }
    struct pending *p = add_pending(c, ticket);
    p->kind = PENDING_OUTCOME;
    p->session = d->producer->session ? d->producer->session->token : (struct token){ 0 };
    p->destination = d;
    p->queue = q;
    p->outcome = *o;
    outcome_hold(o);
    p->outcome.flags |= c->config.confirm_synced ? RUN_DURABLE : 0;
    p->events = events;
    p->bytes = bytes;
    if (MUTATED(confirm_unsynced)) {
        destination_decide(c, d, &p->outcome, q, events, bytes);
        p->destination = NULL;
        return;
    }
    add_to_destination(d, p);
}

void durable_accepted(struct core *c, struct queue *q, uint64_t ticket, uint64_t sequence)
{
    if (ticket == 0)
        return;
    struct pending *p = add_pending(c, ticket);
    p->kind = PENDING_OUTCOME;
    p->queue = q;
    p->outcome = (struct outcome){ .sequence = sequence, .count = 1 };
}

/* Looks only at what is of this destination: of a topic's events core->pending has one for each queue as well. */
bool durable_is_pending(const struct destination *d, uint64_t sequence)
{
    for (const struct pending *p = d->first_pending; p; p = p->destination_next) {
        if (sequence - p->outcome.first < p->outcome.count)
            return true;
    }
    return false;
}

void durable_hold_reply(struct core *c, uint64_t ticket)
{
    if (ticket == 0 || MUTATED(reply_unsynced))
        return;
    struct effect *e = &c->effects[--c->effect_count];
    assert(e->kind == EFFECT_REPLY);
    struct pending *p = add_pending(c, ticket);
    p->kind = PENDING_REPLY;
    p->route = e->route;
    p->text = e->bytes; /* passes */
}

void durable_hold_bodies(struct core *c, struct session *s, size_t start, uint64_t ticket)
{
    if (ticket == 0 || s->out.size == start)
        return;
    struct pending *p = add_pending(c, ticket);
    p->kind = PENDING_BODY;
    p->session = s->token;
    buf_add(&p->text, s->out.data + start, s->out.size - start);
    s->out.size = start;
}

void durable_forget_destinations(struct core *c, const struct producer *producer)
{
    for (struct pending *p = c->pending; p; p = p->next) {
        if (p->kind == PENDING_OUTCOME && p->destination && p->destination->producer == producer)
            p->destination = NULL;
    }
}

void durable_forget_queue(struct core *c, const struct queue *q)
{
    for (struct pending *p = c->pending; p; p = p->next) {
        if (p->queue == q)
            p->queue = NULL;
    }
}

uint64_t durable_newest(const struct core *c)
{
    return c->last_pending ? c->last_pending->ticket : 0;
}

void durable_free(struct core *c)
{
    while (c->pending) {
        struct pending *p = c->pending;
        c->pending = p->next;
        buf_free(&p->text);
        outcome_drop(&p->outcome);
        free(p);
    }
    while (c->spare_pending) {
        struct pending *p = c->spare_pending;
        c->spare_pending = p->next;
        free(p);
    }
    c->last_pending = NULL;
}

/* ------------------------------------------------------------------ releasing */

static void release_outcome(struct core *c, const struct pending *p)
{
    struct destination *d = p->destination;
    if (p->queue) {
        uint64_t end = p->outcome.sequence + p->outcome.count;
        if (p->queue->durable->end < end)
            p->queue->durable->end = end;
        core_run_queue(c, p->queue);
    }
    if (!d)
        return;
    assert(d->first_pending == p);
    d->first_pending = p->destination_next;
    /* If a later session sent the entries again, they were given back to its window when they arrived. */
    const struct session *s = d->producer->session;
    bool same = s && token_equal(s->token, p->session);
    destination_decide(c, d, &p->outcome, p->queue, same ? p->events : 0, same ? p->bytes : 0);
}

static void release_body(struct core *c, const struct pending *p)
{
    struct session *s = session_find(c, p->session);
    if (!s)
        return;
    session_flush_full(c, s);
    buf_add(&s->out, p->text.data, p->text.size);
    session_touch(c, s);
}

static void release_reply(struct core *c, struct pending *p)
{
    struct effect *e = core_effect(c, EFFECT_REPLY);
    e->route = p->route;
    e->bytes = p->text; /* passes */
    p->text = (struct buf){ 0 };
}

static void release_mark(struct core *c, const struct pending *p)
{
    if (!p->queue)
        return;
    p->queue->durable->mark = p->queue->durable->mark_written;
    p->queue->durable->mark_pending = false;
    core_run_queue(c, p->queue);
}

static void release_through(struct core *c, uint64_t ticket)
{
    while (c->pending && c->pending->ticket <= ticket) {
        struct pending *p = c->pending;
        c->pending = p->next;
        if (!c->pending)
            c->last_pending = NULL;
        switch (p->kind) {
        case PENDING_OUTCOME: release_outcome(c, p); break;
        case PENDING_BODY: release_body(c, p); break;
        case PENDING_REPLY: release_reply(c, p); break;
        case PENDING_MARK: release_mark(c, p); break;
        }
        buf_free(&p->text);
        outcome_drop(&p->outcome);
        p->next = c->spare_pending;
        c->spare_pending = p;
    }
}

/* ------------------------------------------------------------------ the mark */

uint64_t queue_deliverable_end(const struct queue *q)
{
    if (!q->durable)
        return UINT64_MAX;
    if (MUTATED(deliver_unsynced))
        return q->durable->mark;
    if (MUTATED(deliver_unmarked))
        return q->durable->end;
    return q->durable->end < q->durable->mark ? q->durable->end : q->durable->mark;
}

void durable_move_mark(struct core *c, struct queue *q)
{
    struct durable *d = q->durable;
    uint64_t most = (uint64_t)c->config.mark_ahead * MARK_AHEAD_GROWS;
    if (!d || c->failed || d->mark_pending) /* one mark at a time */
        return;
    if (q->next_ready + d->mark_ahead / 2 < d->mark)
        return;
    if (q->next_ready >= d->mark && d->mark > 1) /* deliveries had to wait for it: go farther ahead */
        d->mark_ahead = d->mark_ahead * 2 < most ? d->mark_ahead * 2 : most;
    if (d->mark_ahead < c->config.mark_ahead)
        d->mark_ahead = c->config.mark_ahead;
    d->mark_written = q->next_ready + d->mark_ahead;
    uint64_t ticket = persist_mark(c, q, d->mark_written);
    if (ticket == 0)
        return;
    struct pending *p = add_pending(c, ticket);
    p->kind = PENDING_MARK;
    p->queue = q;
    d->mark_pending = true;
}

bool durable_comes(const struct queue *q)
{
    const struct durable *d = q->durable;
    if (d && q->schedule && schedule_comes(q))
        return true;
    if (!d || q->next_ready >= d->end)
        return false;
    if (q->next_ready < q->loaded)
        return q->next_ready >= d->mark; /* loaded, and waiting for its mark */
    return d->backlog_events > 0 && (d->loading || q->loaded < d->end);
}

/* ------------------------------------------------------------------ room */

/* Warn at most so often: under a steady load each ack makes a little room, which is used up at once. */
#define TELL_FULL_MS 60000

static void tell_full(struct core *c)
{
    if (c->disk_full_told.ns && mono_since_ms(c->now.mono, c->disk_full_told) < TELL_FULL_MS)
        return;
    c->disk_full_told = c->now.mono;
    struct log_info log;
    log_info(c->disk, &log);
    core_log(
        c, LOG_WARN, NULL, NULL,
        "no room on the disk for more events (%llu of %llu bytes are used): durable publishes wait, or are refused, "
        "until consumers ack events that are stored there; or enlarge disk_budget, or the disk",
        (unsigned long long)log.disk_bytes, (unsigned long long)log.disk_budget);
}

/* Once nobody has lacked room for as long as that. */
static void tell_room(struct core *c)
{
    if (c->disk_starved)
        c->disk_lacked = c->now.mono;
    if (!c->disk_full_told.ns || mono_since_ms(c->now.mono, c->disk_lacked) < TELL_FULL_MS)
        return;
    c->disk_full_told = (mono_t){ 0 };
    core_log(c, LOG_INFO, NULL, NULL, "there is room on the disk again");
}

void durable_starved(struct core *c, uint64_t left)
{
    if (!c->disk_starved || left < c->disk_starved_at)
        c->disk_starved_at = left;
    c->disk_starved = true;
}

bool durable_disk_is_full(const struct core *c)
{
    return c->disk_starved && log_is_full(c->disk);
}

bool durable_has_room(const struct core *c)
{
    return c->disk_starved && c->disk->ops->room(c->disk) > c->disk_starved_at;
}

/* ------------------------------------------------------------------ completions */

static void loaded(struct core *c, const struct store_completion *done)
{
    switch ((enum load_kind)(done->tag >> 32)) {
    case LOAD_BACKLOG: backlog_loaded(c, done); return;
    case LOAD_PEEK: peek_loaded(c, done); return;
    case LOAD_REDRIVE: redrive_loaded(c, done); return;
    case LOAD_EXPLAIN: explain_loaded(c, done); return;
    case LOAD_UNPARKED: schedule_loaded(c, done); return;
    case LOAD_DOOMED: doomed_loaded(c, done); return;
    case LOAD_SPILLED: spill_loaded(c, done); return;
    case LOAD_DROP: drop_loaded(c, done); return;
    }
}

void core_disk(struct core *c, struct now now)
{
    struct store_completion done;
    c->now = now;
    while (!c->failed && c->disk->ops->poll(c->disk, &done)) {
        if (done.status == STORE_FAILED) {
            c->failed = true;
            return;
        }
        if (done.kind == STORE_LOADED) {
            loaded(c, &done);
            continue;
        }
        c->on_disk = done.ticket;
        release_through(c, done.ticket);
    }
    tell_room(c);
    if (!durable_has_room(c)) {
        if (durable_disk_is_full(c))
            tell_full(c);
        return;
    }
    c->disk_starved = false; /* set again by whoever still lacks room */
    topics_wake_all(c);
    for (uint32_t i = 0; i < c->queue_count; i++) {
        if (c->by_name[i]->waiters)
            core_run_queue(c, c->by_name[i]);
    }
}

bool core_disk_failed(const struct core *c)
{
    return c->failed;
}
