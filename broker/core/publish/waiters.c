/* Entries that wait for room, in order of arrival. A waiting run holds the entries of one Publish as they came, in
 * one block of memory; admission goes on scanning where it stopped. */
#include "broker/core/publish/waiters.h"
#include "broker/core/topic/topic.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

bool waiting_is_decided(const struct waiting *w, uint32_t index)
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

void waiting_take_entry(struct wire_reader *rest, uint32_t wait_ms, struct entry *e)
{
    bool whole = take_entry(rest, wait_ms, e);
    assert(whole);
    (void)whole;
}

/* A reader at the entry of that index, found by scanning. Only refusals need it. */
static struct wire_reader entries_from(const struct waiting *w, uint32_t index)
{
    /* The scan begins at `rest` where possible: from the start it would take quadratic time over all refusals of a
     * run. */
    bool behind = index < w->next;
    struct wire_reader r = behind ? wire_open(span_of(w->bytes, w->byte_count)) : w->rest;
    struct entry e;
    for (uint32_t i = behind ? 0 : w->next; i < index; i++) {
        bool whole = take_entry(&r, w->wait_ms, &e);
        assert(whole); /* it was scanned when it arrived */
        (void)whole;
    }
    return r;
}

struct waiting *waiting_of(struct destination *d, uint64_t sequence)
{
    struct waiting *w;
    DL_FOREACH2(d->waiters, w, destination_next)
    {
        if (sequence >= w->first && sequence < w->first + w->count)
            return w;
    }
    return NULL;
}

static struct waiting **line_of(const struct waiting *w)
{
    return w->topic ? &w->topic->waiters : &w->queue->waiters;
}

static uint64_t *count_of(const struct waiting *w)
{
    return w->topic ? &w->topic->waiting : &w->queue->waiting;
}

/* The runs behind it are tried: one may be first now, or fit. */
static void run_line(struct core *c, struct topic *t, struct queue *q)
{
    if (t)
        topic_wake(c, t);
    else
        core_run_queue(c, q);
}

void waiting_start(struct core *c, struct destination *d, struct queue *q, struct topic *t, struct group *g)
{
    if (g->count == 0)
        return;
    size_t byte_count = (size_t)(g->end - g->start);
    struct waiting *w = xmalloc(sizeof *w + byte_count);
    *w = (struct waiting){ 0 }; /* not the bytes behind it, which are copied below */
    w->destination = d;
    w->queue = q;
    w->topic = t;
    w->lacks = *line_of(w) ? NULL : g->lacks; /* set only in the first of a line */
    w->arrival = ++c->arrivals;
    w->first = g->first;
    w->count = w->undecided = g->count;
    w->size = g->size;
    w->wait_ms = g->wait_ms;
    w->blocked = g->blocked;
    w->byte_count = byte_count;
    memcpy(w->bytes, g->start, byte_count);
    w->rest = wire_open(span_of(w->bytes, byte_count));
    c->waiting_bytes += byte_count;
    DL_APPEND2(*line_of(w), w, prev, next_waiting);
    DL_APPEND2(d->waiters, w, destination_prev, destination_next);
    timers_set(&c->wait_timers, &w->deadline, mono_add_ms(c->now.mono, w->wait_ms));
    g->count = 0;
}

/* The earliest arrival that waits for room in the queue; NULL: nobody does. */
static const struct waiting *first_for(const struct queue *q)
{
    const struct waiting *own = q->waiters;
    const struct topic *t = q->topic_count ? topic_oldest(q) : NULL;
    return t && (!own || t->waiters->arrival < own->arrival) ? t->waiters : own;
}

/* A run that is not the first of its line was never tried, and a topic's first may wait behind that of a queue: they
 * know only that somebody is before them. */
enum reason waiting_reason(const struct queue *q, const struct topic *t)
{
    const struct waiting *first = q ? first_for(q) : t->waiters;
    if (first && first->topic && first->blocked == REASON_full && first->lacks)
        first = first_for(first->lacks);
    return first ? first->blocked : REASON_full;
}

/* ------------------------------------------------------------------ refused */

void waiting_entry_leaves(struct waiting *w, uint64_t size)
{
    w->undecided--;
    w->size -= size;
    --*count_of(w);
    w->destination->waiting_events--;
    w->destination->waiting_bytes -= size;
}

void waiting_free(struct core *c, struct waiting *w)
{
    *count_of(w) -= w->undecided;
    w->destination->waiting_events -= w->undecided;
    w->destination->waiting_bytes -= w->size;
    c->waiting_bytes -= w->byte_count;
    timers_clear(&c->wait_timers, &w->deadline);
    DL_DELETE2(*line_of(w), w, prev, next_waiting);
    DL_DELETE2(w->destination->waiters, w, destination_prev, destination_next);
    free(w->decided);
    free(w);
}

static void refuse_by(struct core *c, struct waiting *w, uint32_t index, uint64_t size, enum reason why,
                      const struct queue *by)
{
    if (!w->decided)
        w->decided = xcalloc(w->count, 1);
    w->decided[index] = 1;
    waiting_entry_leaves(w, size);
    ++*(w->topic ? &w->topic->refused : &w->queue->refused);
    admission_refuse(c, w->destination, by, w->first + index, why, 1, size);
}

static void refuse_index(struct core *c, struct waiting *w, uint32_t index, uint64_t size, enum reason why)
{
    refuse_by(c, w, index, size, why, w->topic ? w->topic->waiters->lacks : w->queue);
}

/* Refuses the entries that continue a refused one, in this run from `index` on and in the runs behind it: a batch is
 * admitted as a prefix. */
static void refuse_continuations(struct core *c, struct waiting *w, uint32_t index, enum reason why)
{
    for (; w; w = w->destination_next, index = 0) {
        struct wire_reader rest = entries_from(w, index);
        for (; index < w->count; index++) {
            struct entry e;
            if (!take_entry(&rest, w->wait_ms, &e) || !e.continued || MUTATED(break_prefix))
                return;
            if (!waiting_is_decided(w, index))
                refuse_index(c, w, index, e.event.size, why);
        }
        if (!w->destination_next || w->destination_next->first != w->first + w->count)
            return;
    }
}

void waiting_refuse(struct core *c, struct waiting *w, uint32_t index, uint64_t size, enum reason why,
                    const struct queue *by)
{
    refuse_by(c, w, index, size, why, by);
    refuse_continuations(c, w, index + 1, why);
}

void waiting_free_decided(struct core *c, struct destination *d)
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
        if (!waiting_is_decided(w, i))
            refuse_index(c, w, i, e.event.size, why);
    }
}

void publish_expire(struct core *c, struct waiting *w)
{
    struct queue *q = w->queue;
    struct topic *t = w->topic;
    enum reason why = waiting_reason(q, t);
    if (w->next_waiting)
        w->next_waiting->blocked = why; /* in case its deadline is over, too, before it is tried */
    refuse_run(c, w, why);
    if (w->destination_next && w->destination_next->first == w->first + w->count)
        refuse_continuations(c, w->destination_next, 0, why);
    for (struct waiting *next; w && w->undecided == 0; w = next) {
        next = w->destination_next;
        waiting_free(c, w);
    }
    run_line(c, t, q); /* a smaller entry behind it may fit */
}

void publish_refuse_all(struct core *c, struct queue *q, struct topic *t, enum reason why)
{
    struct waiting **line = t ? &t->waiters : &q->waiters;
    while (*line) {
        refuse_run(c, *line, why);
        waiting_free(c, *line);
    }
}

void publish_drop_session(struct core *c, struct session *s)
{
    if (!s->producer)
        return;
    for (struct destination *d = s->producer->destinations; d; d = d->hh.next) {
        while (d->waiters) {
            run_line(c, d->waiters->topic, d->waiters->queue);
            waiting_free(c, d->waiters);
        }
    }
}

uint64_t waiting_skip(struct core *c, struct waiting *w, uint64_t sequence, uint64_t end)
{
    uint32_t index = (uint32_t)(sequence - w->first);
    struct wire_reader rest = entries_from(w, index);
    for (; index < w->count && w->first + index < end; index++) {
        struct entry e;
        bool whole = take_entry(&rest, w->wait_ms, &e);
        assert(whole);
        (void)whole;
        if (!waiting_is_decided(w, index))
            refuse_index(c, w, index, e.event.size, REASON_skipped);
    }
    if (index < w->count)
        refuse_continuations(c, w, index, REASON_skipped);
    else if (w->destination_next && w->destination_next->first == w->first + index)
        refuse_continuations(c, w->destination_next, 0, REASON_skipped);
    return w->first + index;
}

/* ------------------------------------------------------------------ admission */

/* Tries to admit the next entry of a run. REASON_ok: it is decided; else the reason why it still waits. An entry
 * that cannot be accepted any more, as the queue has changed, is refused: otherwise it would block those behind it
 * in vain, and drop_oldest would empty the queue for it. */
static enum reason admit_next(struct admission *a, struct waiting *w, const struct entry *e)
{
    uint64_t sequence = w->first + w->next;
    if (admission_duplicate(a, sequence, e)) {
        waiting_entry_leaves(w, e->event.size);
        return REASON_ok;
    }
    enum reason why = admission_hopeless(a->core, a->queue, e);
    if (why != REASON_ok) {
        admission_flush(a);
        waiting_refuse(a->core, w, w->next, e->event.size, why, a->queue);
        return REASON_ok;
    }
    why = admission_take_room(a, e->event.size);
    if (why != REASON_ok)
        return why;
    waiting_entry_leaves(w, e->event.size);
    admission_accept(a, sequence, e);
    return REASON_ok;
}

/* Admits the entries of one run in order. False: it stopped because there is no room. */
static bool admit_run(struct admission *a, struct waiting *w)
{
    while (w->next < w->count) {
        struct wire_reader rest = w->rest;
        struct entry e;
        waiting_take_entry(&rest, w->wait_ms, &e);
        enum reason why =
            waiting_is_decided(w, w->next) ? REASON_ok : admit_next(a, w, &e); /* decided: refused out of turn */
        if (why != REASON_ok) {
            w->blocked = why;
            if (why == REASON_disk)
                durable_starved(a->core, a->room.budget);
            return false;
        }
        w->next++;
        w->rest = rest;
    }
    return true;
}

/* Whether it waits for the oldest event to be dead-lettered, which is not possible now. */
static bool waits_in_vain(const struct queue *q, const struct waiting *w)
{
    return w->blocked == REASON_full && q->durable && q->settings.overflow == OVERFLOW_DROP_OLDEST &&
           q->settings.dead_letter_dropped && !q->durable->drop_waits;
}

/* Admits from the first run of the queue's own line. False: it is still there, because there is no room. */
static bool admit_own(struct core *c, struct queue *q)
{
    struct waiting *w = q->waiters;
    /* The run's bytes count against the memory budget until it is freed, so they may be replaced by its events. Not
     * on disk. */
    struct admission a = { .core = c, .destination = w->destination, .queue = q, .own = w->byte_count };
    admission_refresh(&a);
    bool whole = admit_run(&a, w);
    admission_flush(&a);
    if (whole) {
        waiting_free(c, w);
    } else if (waits_in_vain(q, w)) {
        publish_refuse_all(c, q, NULL, REASON_full);
        return true; /* a topic's first may have waited behind this line */
    }
    return whole;
}

/* The same for a topic's line. False: its first run has not moved, and waits for this queue or for the broker's
 * budget. */
static bool admit_topic(struct core *c, struct queue *q, struct topic *t)
{
    const struct waiting *before = t->waiters;
    uint32_t next = before->next;
    fanout_admit(c, t);
    const struct waiting *now = t->waiters;
    return !now || now != before || now->next != next || (now->lacks && now->lacks != q);
}

void publish_admit(struct core *c, struct queue *q)
{
    for (;;) {
        struct topic *t = q->topic_count ? topic_oldest(q) : NULL;
        bool topic_first = t && (!q->waiters || t->waiters->arrival < q->waiters->arrival);
        if (!topic_first && !q->waiters)
            return;
        if (topic_first ? !admit_topic(c, q, t) : !admit_own(c, q))
            return;
    }
}
