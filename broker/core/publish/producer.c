/* Producers: who published what under which sequence, and the outcomes until the client has seen them.
 *
 * A producer's entries are numbered densely per destination for as long as the producer lives; its sessions come and
 * go. Each entry gets one outcome. Outcomes are kept as runs until the client says that it has seen them, so that a
 * client that lost its session can be told exactly what was decided (docs/protocol.md, B.2). */
#include "broker/core/state.h"
#include "broker/core/topic/targets.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

struct producer *producer_add(struct core *c, struct token id)
{
    struct producer *p = xcalloc(1, sizeof *p);
    p->id = id;
    HASH_ADD(hh, c->producers, id, sizeof p->id, p);
    return p;
}

/* Each new session of a producer gets the next producer epoch, so a client that attaches with an older one is a
 * former holder. While nothing was heard from the newest session, the epoch before it is valid as well: the answer
 * to the attach may have been lost, and then it is the same client. A client without an epoch (0) takes the id over. */
static bool is_fenced(const struct producer *p, uint64_t epoch)
{
    return epoch != 0 && epoch + !p->heard < p->epoch;
}

static void raise_epoch(struct producer *p, uint64_t epoch)
{
    bool asks_again = epoch != 0 && epoch <= p->epoch && !p->heard;
    if (!asks_again)
        p->epoch = 1 + (epoch > p->epoch ? epoch : p->epoch);
    p->heard = false;
}

/* How many names a producer may publish to. Each costs memory for as long as the producer is remembered. */
#define NAMES_MOST 65536u

bool producer_is_full(const struct producer *p)
{
    return HASH_COUNT(p->destinations) > NAMES_MOST;
}

bool producer_attach(struct core *c, struct session *s, bool *known)
{
    struct producer *p = NULL;
    HASH_FIND(hh, c->producers, &s->pending_producer, sizeof s->pending_producer, p);
    *known = p != NULL;
    if (p && (is_fenced(p, s->pending_epoch) || producer_is_full(p)))
        return false;
    if (!p)
        p = producer_add(c, s->pending_producer);
    if (p->session && p->session != s)
        session_end(c, p->session, "its producer attached anew", true);
    timers_clear(&c->producer_timers, &p->expiry);
    raise_epoch(p, s->pending_epoch);
    p->session = s;
    s->producer = p;
    return true;
}

void producer_release(struct core *c, struct producer *p)
{
    p->session = NULL;
    for (struct destination *d = p->destinations; d; d = d->hh.next)
        destination_drop_unsent(d); /* the next session is told all outcomes */
    timers_set(&c->producer_timers, &p->expiry, mono_add_ms(c->now.mono, c->config.producer_memory_ms));
    if (c->producer_timers.count > PRODUCERS_REMEMBERED)
        producer_expire(c, MONO_NEVER);
}

bool producer_expire(struct core *c, mono_t due)
{
    struct timer *t = timers_pop(&c->producer_timers, due);
    if (t)
        producer_free(c, (struct producer *)(void *)((char *)t - offsetof(struct producer, expiry)));
    return t != NULL;
}

static void free_destination(struct core *c, struct destination *d)
{
    assert(!d->waiters);
    destination_unlist(c, d);
    HASH_DEL(d->producer->destinations, d);
    destination_drop_unsent(d);
    for (uint32_t i = 0; i < d->outcome_count; i++)
        outcome_drop(&d->outcomes[i]);
    targets_drop(d->newest);
    free(d->outcomes);
    free(d);
}

void producer_free(struct core *c, struct producer *p)
{
    struct destination *d, *next;
    durable_forget_destinations(c, p);
    HASH_ITER (hh, p->destinations, d, next)
        free_destination(c, d);
    timers_clear(&c->producer_timers, &p->expiry);
    HASH_DEL(c->producers, p);
    free(p);
}

static struct destination *find_destination(struct producer *p, struct span name)
{
    struct destination *d = NULL;
    HASH_FIND(hh, p->destinations, name.data, (unsigned)name.size, d);
    return d;
}

void destination_forget(struct core *c, struct producer *p, struct span name)
{
    struct destination *d = find_destination(p, name);
    if (d)
        free_destination(c, d);
}

struct destination *destination_of(struct producer *p, struct span name)
{
    struct destination *d = find_destination(p, name);
    if (d)
        return d;
    d = xcalloc(1, sizeof *d);
    memcpy(d->name, name.data, name.size);
    d->producer = p;
    d->next = 1;
    HASH_ADD_KEYPTR(hh, p->destinations, d->name, (unsigned)name.size, d);
    return d;
}

/* ------------------------------------------------------------------ outcomes */

bool outcome_continues(const struct outcome *a, const struct outcome *b)
{
    return a->count && a->first + a->count == b->first && a->reason == b->reason && a->flags == b->flags &&
           a->targets == b->targets && (a->reason != REASON_ok || a->sequence + a->count == b->sequence);
}

/* Index of the first run that ends behind `sequence`. */
static uint32_t run_behind(const struct destination *d, uint64_t sequence)
{
    uint32_t low = 0, high = d->outcome_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (d->outcomes[middle].first + d->outcomes[middle].count <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool destination_decided(const struct destination *d, uint64_t sequence)
{
    if (sequence <= d->seen)
        return true;
    uint32_t i = run_behind(d, sequence);
    if (MUTATED(plain_mark))
        return i < d->outcome_count;
    return i < d->outcome_count && d->outcomes[i].first <= sequence;
}

static enum reason outcome_of(const struct destination *d, uint64_t sequence)
{
    uint32_t i = run_behind(d, sequence);
    bool known = i < d->outcome_count && d->outcomes[i].first <= sequence;
    return known ? (enum reason)d->outcomes[i].reason : REASON_ok;
}

/* Nearly always `sequence` is the highest that was refused. It is another for entries that are sent again after a
 * lost session, because later ones were decided before. */
enum reason destination_refused(const struct destination *d, uint64_t sequence)
{
    if (d->refused_tail <= sequence)
        return d->refused_tail == sequence && sequence ? d->refused_reason : REASON_ok;
    return sequence == d->seen ? d->seen_reason : outcome_of(d, sequence);
}

static void keep_outcome(struct destination *d, const struct outcome *o)
{
    uint32_t i = run_behind(d, o->first);
    assert(i == d->outcome_count || d->outcomes[i].first >= o->first + o->count);
    if (i > 0 && outcome_continues(&d->outcomes[i - 1], o)) {
        d->outcomes[i - 1].count += o->count;
        return;
    }
    if (d->outcome_count == d->outcome_capacity) {
        d->outcome_capacity = d->outcome_capacity ? d->outcome_capacity * 2 : 4;
        d->outcomes = xrealloc(d->outcomes, d->outcome_capacity * sizeof *d->outcomes);
    }
    memmove(d->outcomes + i + 1, d->outcomes + i, (d->outcome_count - i) * sizeof *d->outcomes);
    d->outcomes[i] = *o;
    outcome_hold(o);
    d->outcome_count++;
}

static void note_refused(struct destination *d, const struct outcome *o)
{
    if (o->reason == REASON_ok || o->first + o->count <= d->refused_tail)
        return;
    d->refused_tail = o->first + o->count - 1;
    d->refused_reason = (enum reason)o->reason;
}

/* Keeps the part [first, end) of a run. */
static void keep_part(struct destination *d, const struct outcome *o, uint64_t first, uint64_t end)
{
    struct outcome part = *o;
    part.first = first;
    part.count = end - first;
    part.sequence += o->reason == REASON_ok ? first - o->first : 0;
    keep_outcome(d, &part);
}

void destination_restore(struct destination *d, const struct outcome *o)
{
    uint64_t end = o->first + o->count;
    for (uint64_t at = o->first > d->seen ? o->first : d->seen + 1; at < end;) {
        uint32_t i = run_behind(d, at);
        const struct outcome *known = i < d->outcome_count ? &d->outcomes[i] : NULL;
        if (known && known->first <= at) {
            at = known->first + known->count;
            continue;
        }
        uint64_t until = known && known->first < end ? known->first : end;
        keep_part(d, o, at, until);
        at = until;
    }
    if (end > d->next)
        d->next = end;
    note_refused(d, o);
}

static void refuse_hole(struct destination *d, uint64_t first, uint64_t end)
{
    if (first < end)
        keep_outcome(d, &(struct outcome){ .first = first, .count = end - first, .reason = REASON_unavailable });
}

void destination_close_holes(struct destination *d)
{
    uint64_t last = 0, next = d->seen + 1;
    for (uint32_t i = 0; i < d->outcome_count; i++) {
        if (d->outcomes[i].reason == REASON_ok)
            last = d->outcomes[i].first;
    }
    for (uint32_t i = 0; i < d->outcome_count && d->outcomes[i].first <= last; i++) {
        struct outcome o = d->outcomes[i]; /* a copy, as refuse_hole moves the array */
        uint32_t count = d->outcome_count;
        if (o.first > next)
            refuse_hole(d, next, o.first);
        i += d->outcome_count - count; /* 0 if the hole joined the run before it */
        next = o.first + o.count;
    }
}

void destination_jump(struct destination *d, uint64_t sequence)
{
    if (!d->producer->recovered || sequence <= d->next)
        return;
    refuse_hole(d, d->next, sequence);
    d->next = sequence;
}

void destination_seen(struct destination *d, uint64_t through)
{
    if (through <= d->seen)
        return;
    d->seen_reason = outcome_of(d, through);
    uint32_t gone = run_behind(d, through + 1);
    for (uint32_t i = 0; i < gone; i++)
        outcome_drop(&d->outcomes[i]);
    if (gone) /* else `outcomes` may be NULL */
        memmove(d->outcomes, d->outcomes + gone, (d->outcome_count - gone) * sizeof *d->outcomes);
    d->outcome_count -= gone;
    if (d->outcome_count && d->outcomes[0].first <= through) {
        struct outcome *o = &d->outcomes[0];
        uint64_t cut = through + 1 - o->first;
        o->first += cut;
        o->count -= cut;
        if (o->reason == REASON_ok)
            o->sequence += cut;
    }
    d->seen = through;
}

void destination_decide(struct core *c, struct destination *d, const struct outcome *o, const struct queue *q,
                        uint64_t events, uint64_t bytes)
{
    keep_outcome(d, o);
    note_refused(d, o);
    struct session *s = d->producer->session;
    if (!s)
        return;
    s->decided_events += events;
    s->decided_bytes += bytes;
    session_answer(c, s, d, o, q);
}
