/* Admission: one path for every entry. It is accepted at once when nothing stands before it; else it waits in order of
 * arrival, up to its deadline; else it is refused with the reason. A wait keeps the entries' own bytes, one block for
 * what one Publish left waiting, and admission scans on from where it stopped. */
#include "broker/core/state.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

#define APPEND_AT_ONCE 64u
/* Names a producer may have published to; beyond it the producer is forgotten. */
#define DESTINATIONS_MAX 65536u

/* Entries accepted and not yet appended: neighbours go to the store together. */
struct admission {
    struct core *core;
    struct destination *destination;
    struct queue *queue;
    struct room room;
    struct store_event events[APPEND_AT_ONCE];
    size_t count;
    uint64_t first, bytes; /* of the pending ones */
};

static void append_pending(struct admission *a)
{
    if (a->count == 0)
        return;
    uint64_t sequence = a->queue->next_sequence;
    queue_accept(a->core, a->queue, a->events, a->count);
    struct outcome o = { .first = a->first, .count = a->count, .reason = REASON_ok, .sequence = sequence };
    destination_decide(a->core, a->destination, &o, a->queue, a->count, a->bytes);
    core_run_queue(a->core, a->queue);
    a->count = 0;
    a->bytes = 0;
}

static void accept_entry(struct admission *a, uint64_t sequence, struct span event)
{
    if (a->count == 0)
        a->first = sequence;
    a->events[a->count++] = (struct store_event){ .event = event };
    a->bytes += event.size;
    if (a->count == APPEND_AT_ONCE)
        append_pending(a);
}

static void refuse(struct core *c, struct destination *d, const struct queue *q, uint64_t sequence, enum reason why,
                   uint64_t events, uint64_t bytes)
{
    struct outcome o = { .first = sequence, .count = 1, .reason = why };
    destination_decide(c, d, &o, q, events, bytes);
}

/* ------------------------------------------------------------------ waiting entries */

static bool is_decided(const struct waiting *w, uint32_t index)
{
    return index < w->next || (w->decided && w->decided[index]);
}

static bool take_entry(struct wire_reader *rest, uint32_t wait_ms, struct entry *e)
{
    struct body b = { .kind = BODY_PUBLISH };
    b.u.publish.entries = *rest;
    b.u.publish.wait_ms = wait_ms;
    enum frame_status status = publish_next(&b, e);
    *rest = b.u.publish.entries;
    return status == FRAME_OK;
}

/* The entry of that index, by scanning from the start: only what is refused out of turn needs it. */
static struct entry entry_at(const struct waiting *w, uint32_t index)
{
    struct wire_reader r = wire_open(span_of(w->bytes, w->byte_count));
    struct entry e = { 0 };
    for (uint32_t i = 0; i <= index; i++) {
        bool whole = take_entry(&r, w->wait_ms, &e);
        assert(whole); /* it was scanned when it arrived */
        (void)whole;
    }
    return e;
}

static void entry_leaves(struct waiting *w, uint64_t size)
{
    w->undecided--;
    w->size -= size;
    w->queue->waiting--;
    w->destination->waiting_events--;
    w->destination->waiting_bytes -= size;
}

void waiting_free(struct core *c, struct waiting *w)
{
    w->queue->waiting -= w->undecided;
    w->destination->waiting_events -= w->undecided;
    w->destination->waiting_bytes -= w->size;
    c->waiting_bytes -= w->byte_count;
    timers_clear(&c->wait_timers, &w->deadline);
    DL_DELETE2(w->queue->waiters, w, prev, next_waiting);
    DL_DELETE2(w->destination->waiters, w, destination_prev, destination_next);
    free(w->decided);
    free(w);
}

static void refuse_index(struct core *c, struct waiting *w, uint32_t index, uint64_t size, enum reason why)
{
    if (!w->decided)
        w->decided = xcalloc(w->count, 1);
    w->decided[index] = 1;
    entry_leaves(w, size);
    refuse(c, w->destination, w->queue, w->first + index, why, 1, size);
}

/* A batch is admitted as a prefix: what continues a refused entry is refused with it, here and in the runs behind.
 * `index` is the first to look at; `chained` says that the entry before it was refused. */
static void refuse_continuations(struct core *c, struct waiting *w, uint32_t index, enum reason why)
{
    for (; w; w = w->destination_next, index = 0) {
        for (; index < w->count; index++) {
            struct entry e = entry_at(w, index);
            if (!e.continued || MUTATED(break_prefix))
                return;
            if (!is_decided(w, index))
                refuse_index(c, w, index, e.event.size, why);
        }
        if (!w->destination_next || w->destination_next->first != w->first + w->count)
            return;
    }
}

static void free_decided(struct core *c, struct destination *d)
{
    struct waiting *w, *next;
    DL_FOREACH_SAFE2(d->waiters, w, next, destination_next)
    {
        if (w->undecided == 0)
            waiting_free(c, w);
    }
}

/* Refuses every undecided entry of a run. */
static void refuse_run(struct core *c, struct waiting *w, enum reason why)
{
    struct wire_reader rest = w->rest;
    for (uint32_t i = w->next; i < w->count; i++) {
        struct entry e;
        bool whole = take_entry(&rest, w->wait_ms, &e);
        assert(whole);
        (void)whole;
        if (!is_decided(w, i))
            refuse_index(c, w, i, e.event.size, why);
    }
}

void publish_expire(struct core *c, struct waiting *w)
{
    struct destination *d = w->destination;
    struct queue *q = w->queue;
    refuse_run(c, w, w->blocked);
    if (w->destination_next && w->destination_next->first == w->first + w->count)
        refuse_continuations(c, w->destination_next, 0, w->blocked);
    free_decided(c, d);
    core_run_queue(c, q); /* a smaller one behind it may fit */
}

void publish_refuse_all(struct core *c, struct queue *q, enum reason why)
{
    while (q->waiters) {
        refuse_run(c, q->waiters, why);
        waiting_free(c, q->waiters);
    }
}

void publish_drop_session(struct core *c, struct session *s)
{
    if (!s->producer)
        return;
    for (struct destination *d = s->producer->destinations; d; d = d->hh.next) {
        while (d->waiters) {
            core_run_queue(c, d->waiters->queue); /* whoever waited behind them may be first now */
            waiting_free(c, d->waiters);
        }
    }
}

/* Admits from one run as far as there is room. False when it stopped for want of it. */
static bool admit_run(struct admission *a, struct waiting *w)
{
    while (w->next < w->count) {
        struct wire_reader rest = w->rest;
        struct entry e;
        bool whole = take_entry(&rest, w->wait_ms, &e);
        assert(whole);
        (void)whole;
        if (!is_decided(w, w->next)) {
            enum reason room = room_take(&a->room, e.event.size);
            if (room != REASON_ok) {
                w->blocked = room;
                a->core->starved |= room == REASON_budget;
                return false;
            }
            entry_leaves(w, e.event.size);
            accept_entry(a, w->first + w->next, e.event);
        }
        w->next++;
        w->rest = rest;
    }
    return true;
}

void publish_admit(struct core *c, struct queue *q)
{
    while (q->waiters) {
        struct waiting *w = q->waiters;
        struct admission a = { .core = c, .destination = w->destination, .queue = q, .room = queue_room(c, q) };
        /* The run's own bytes count against the budget until it is gone: they make room for themselves. */
        a.room.budget += w->byte_count;
        bool whole = admit_run(&a, w);
        append_pending(&a);
        if (!whole)
            return;
        waiting_free(c, w);
    }
}

/* ------------------------------------------------------------------ arriving entries */

/* Why an entry can never be accepted as things are; REASON_ok when it can, maybe later. */
static enum reason hopeless(const struct core *c, const struct destination *d, const struct queue *q,
                            const struct entry *e, uint64_t sequence)
{
    if (!MUTATED(break_prefix) && e->continued && d->refused_tail != 0 && d->refused_tail + 1 == sequence)
        return d->refused_reason;
    if (c->stopping)
        return REASON_draining;
    if (!q)
        return REASON_unknown_queue;
    if (q->closed)
        return REASON_closed;
    if (e->event.size > c->config.max_event || e->event.size > q->settings.capacity_bytes)
        return REASON_too_large;
    if (q->settings.require_consumer && !q->active)
        return REASON_no_consumer;
    return REASON_ok;
}

static struct waiting *waiting_of(struct destination *d, uint64_t sequence)
{
    struct waiting *w;
    DL_FOREACH2(d->waiters, w, destination_next)
    {
        if (sequence >= w->first && sequence < w->first + w->count)
            return w;
    }
    return NULL;
}

/* Counts an entry against the session's window and the numbering. False: a violation. *known: it was decided already
 * (sent again after a lost session). */
static bool count_entry(struct session *s, struct destination *d, uint64_t sequence, uint64_t size, bool *known)
{
    s->sent_events++;
    s->sent_bytes += size;
    if (s->sent_events > s->told_events || s->sent_bytes > s->told_bytes || sequence > d->next)
        return false;
    *known = false;
    if (sequence == d->next) {
        d->next++;
    } else if (destination_decided(d, sequence)) {
        *known = true;
        s->decided_events++;
        s->decided_bytes += size;
    } else if (waiting_of(d, sequence)) {
        return false;
    }
    return true;
}

/* Neighbouring entries of one frame that will wait with the same deadline; their bytes are still the frame's. */
struct group {
    uint64_t first, size;
    uint32_t count, wait_ms;
    enum reason blocked;
    const uint8_t *start, *end;
};

struct arrival {
    struct core *core;
    struct session *session;
    struct destination *destination;
    struct queue *queue;
    struct admission admission;
    struct group group;
};

/* Copies the group out of the frame and puts it behind those that wait. */
static void start_waiting(struct arrival *a)
{
    struct group *g = &a->group;
    if (g->count == 0)
        return;
    size_t byte_count = (size_t)(g->end - g->start);
    struct waiting *w = xcalloc(1, sizeof *w + byte_count);
    w->destination = a->destination;
    w->queue = a->queue;
    w->first = g->first;
    w->count = w->undecided = g->count;
    w->size = g->size;
    w->wait_ms = g->wait_ms;
    w->blocked = g->blocked;
    w->byte_count = byte_count;
    memcpy(w->bytes, g->start, byte_count);
    w->rest = wire_open(span_of(w->bytes, byte_count));
    a->core->waiting_bytes += byte_count;
    DL_APPEND2(a->queue->waiters, w, prev, next_waiting);
    DL_APPEND2(a->destination->waiters, w, destination_prev, destination_next);
    timers_set(&a->core->wait_timers, &w->deadline, mono_add_ms(a->core->now.mono, w->wait_ms));
    g->count = 0;
}

static void wait_entry(struct arrival *a, uint64_t sequence, const struct entry *e, enum reason blocked,
                       const uint8_t *start, const uint8_t *end)
{
    struct group *g = &a->group;
    append_pending(&a->admission);
    if (g->count && (g->wait_ms != e->wait_ms || g->first + g->count != sequence))
        start_waiting(a);
    if (g->count == 0)
        *g = (struct group){ .first = sequence, .wait_ms = e->wait_ms, .blocked = blocked, .start = start };
    g->count++;
    g->size += e->event.size;
    g->end = end;
    a->queue->waiting++;
    a->destination->waiting_events++;
    a->destination->waiting_bytes += e->event.size;
}

static bool may_wait(const struct arrival *a, const struct entry *e, enum reason *why)
{
    const struct core_config *config = &a->core->config;
    const struct destination *d = a->destination;
    *why = REASON_full;
    if (a->queue->settings.overflow != OVERFLOW_WAIT || e->wait_ms == 0)
        return false;
    if (d->waiting_events >= config->window_events / 2 || d->waiting_bytes + e->event.size > config->window_bytes / 2)
        return false;
    if (core_budget_left(a->core) < a->group.size + e->event.size) {
        *why = REASON_budget;
        return false;
    }
    return true;
}

/* Room for one more by dropping the oldest, where the queue says so. */
static enum reason take_room(struct arrival *a, uint64_t size)
{
    enum reason room = room_take(&a->admission.room, size);
    if (room != REASON_full || a->queue->settings.overflow != OVERFLOW_DROP_OLDEST)
        return room;
    append_pending(&a->admission);
    do {
        if (!queue_drop_oldest(a->core, a->queue))
            return room;
        a->admission.room = queue_room(a->core, a->queue);
        room = room_take(&a->admission.room, size);
    } while (room == REASON_full);
    return room;
}

/* Accepts the entry or says why not; *waits: it may wait instead. */
static enum reason judge(struct arrival *a, uint64_t sequence, const struct entry *e, bool *waits)
{
    *waits = false;
    enum reason why = hopeless(a->core, a->destination, a->queue, e, sequence);
    if (why != REASON_ok)
        return why;
    if ((!a->queue->waiters && a->group.count == 0) || MUTATED(overtake_waiters)) {
        why = take_room(a, e->event.size);
        if (why == REASON_ok) {
            accept_entry(&a->admission, sequence, e->event);
            return REASON_ok;
        }
        a->core->starved |= why == REASON_budget;
    } else {
        why = REASON_full;
    }
    enum reason no_wait;
    *waits = may_wait(a, e, &no_wait);
    return *waits || why == REASON_budget ? why : no_wait;
}

static void refuse_arrived(struct arrival *a, uint64_t sequence, enum reason why, uint64_t size)
{
    append_pending(&a->admission);
    refuse(a->core, a->destination, a->queue, sequence, why, 1, size);
    if (a->queue)
        a->queue->refused++;
}

/* Every entry of a Publish, in order. False: a violation, or malformed. */
static bool arrive(struct arrival *a, struct body *b)
{
    for (uint64_t sequence = b->u.publish.first;; sequence++) {
        const uint8_t *start = b->u.publish.entries.at;
        struct entry e;
        enum frame_status status = publish_next(b, &e);
        if (status != FRAME_OK)
            return status == FRAME_END;
        bool known, waits;
        if (!count_entry(a->session, a->destination, sequence, e.event.size, &known))
            return false;
        if (known)
            continue;
        enum reason why = judge(a, sequence, &e, &waits);
        if (waits)
            wait_entry(a, sequence, &e, why, start, b->u.publish.entries.at);
        else if (why != REASON_ok)
            refuse_arrived(a, sequence, why, e.event.size);
    }
}

bool publish_body(struct core *c, struct session *s, struct body *b)
{
    if (!name_valid(b->name) || b->u.publish.first == 0)
        return false;
    if (HASH_COUNT(s->producer->destinations) > DESTINATIONS_MAX)
        return false;
    struct arrival a = { .core = c, .session = s, .destination = destination_of(s->producer, b->name) };
    a.queue = queue_find(c, b->name);
    if (!a.queue && c->config.auto_declare && !c->stopping)
        operate_declare(c, b->name, NULL, false, false, &a.queue, NULL, NULL);
    a.admission = (struct admission){ .core = c, .destination = a.destination, .queue = a.queue };
    if (a.queue)
        a.admission.room = queue_room(c, a.queue);
    bool fine = arrive(&a, b);
    append_pending(&a.admission);
    start_waiting(&a);
    return fine;
}

/* ------------------------------------------------------------------ giving up */

static void skip_one(struct core *c, struct destination *d, uint64_t sequence)
{
    if (sequence == d->next)
        d->next++;
    else if (destination_decided(d, sequence))
        return;
    struct waiting *w = waiting_of(d, sequence);
    if (!w) {
        refuse(c, d, NULL, sequence, REASON_skipped, 0, 0);
        return;
    }
    uint32_t index = (uint32_t)(sequence - w->first);
    if (!is_decided(w, index))
        refuse_index(c, w, index, entry_at(w, index).event.size, REASON_skipped);
    if (index + 1 < w->count)
        refuse_continuations(c, w, index + 1, REASON_skipped);
    else if (w->destination_next && w->destination_next->first == sequence + 1)
        refuse_continuations(c, w->destination_next, 0, REASON_skipped);
}

bool publish_skip(struct core *c, struct session *s, const struct body *b)
{
    uint64_t first = b->u.skip.first, count = b->u.skip.count;
    if (!name_valid(b->name) || first == 0 || count == 0 || count > c->config.window_events)
        return false;
    struct destination *d = destination_of(s->producer, b->name);
    struct queue *q = queue_find(c, b->name);
    for (uint64_t i = 0; i < count; i++) {
        if (first + i > d->next)
            return false;
        skip_one(c, d, first + i);
    }
    free_decided(c, d);
    if (q)
        core_run_queue(c, q);
    return true;
}
