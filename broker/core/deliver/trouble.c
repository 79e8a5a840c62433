/* Failure records of events, and the dead store: how often each event failed or was in flight when its consumer
 * vanished, the newest error, and which events are dead. On disk a dead event stays where it is in the log, and its
 * bytes are read again when they are needed. */
#include "broker/core/deliver/trouble.h"

#include "base/utf8.h"
#include "base/xalloc.h"
#include "broker/core/deliver/attempts.h"
#include "broker/core/deliver/dead_letter.h"

#include <assert.h>
#include <stdlib.h>

struct trouble *trouble_find(const struct queue *q, uint64_t sequence)
{
    struct trouble *t = NULL;
    HASH_FIND(hh, q->troubles, &sequence, sizeof sequence, t);
    return t;
}

struct trouble *trouble_of(struct queue *q, uint64_t sequence)
{
    struct trouble *t = trouble_find(q, sequence);
    if (t)
        return t;
    t = xcalloc(1, sizeof *t);
    t->sequence = sequence;
    HASH_ADD(hh, q->troubles, sequence, sizeof t->sequence, t);
    return t;
}

void trouble_forget(struct queue *q, struct trouble *t)
{
    trouble_unhold(q, t);
    attempts_free(q, t);
    HASH_DEL(q->troubles, t);
    free(t->error);
    free(t);
}

static void hold(struct queue *q, struct trouble *t, enum dead_hold why)
{
    q->held += why != HOLD_NOT;
    q->held -= t->held != HOLD_NOT;
    t->held = why;
}

void trouble_unhold(struct queue *q, struct trouble *t)
{
    hold(q, t, HOLD_NOT);
}

void trouble_settled(struct queue *q, uint64_t sequence)
{
    struct trouble *t = q->troubles ? trouble_find(q, sequence) : NULL;
    if (t && !t->dead)
        trouble_forget(q, t);
}

struct span trouble_clip_error(struct span error)
{
    error = utf8_cut(error, TROUBLE_ERROR_MAX);
    if (!utf8_valid(error))
        error.size = 0; /* a peek could not show it */
    return error;
}

void trouble_set_error(struct trouble *t, uint32_t status, struct span error)
{
    error = trouble_clip_error(error);
    free(t->error);
    t->error = NULL;
    t->status = (uint16_t)(status <= UINT16_MAX ? status : 0);
    if (error.size == 0)
        return;
    t->error = xmalloc(error.size + 1);
    memcpy(t->error, error.data, error.size);
    t->error[error.size] = '\0';
}

struct trouble_info trouble_info(const struct trouble *t)
{
    if (!t)
        return (struct trouble_info){ .error = "" };
    return (struct trouble_info){
        .failures = t->failures,
        .crashes = t->crashes,
        .dead = t->dead,
        .first_ms = t->first_ms,
        .last_ms = t->last_ms,
        .status = t->status,
        .error = t->error ? t->error : "",
        .held = t->held,
    };
}

/* ------------------------------------------------------------------ the dead store */

static enum store_cause cause_of(enum dead_reason why)
{
    return why == DEAD_DROPPED ? CAUSE_DROPPED : why == DEAD_EXPIRED ? CAUSE_EXPIRED : CAUSE_DEAD;
}

uint64_t *dead_counter(struct ledger *l, enum dead_reason why)
{
    return ledger_of(l, cause_of(why));
}

/* Puts the event into the dead store. Of a queue on disk it stays in the log, and its bytes in memory are released. */
static enum dead_hold keep(struct core *c, struct queue *q, struct trouble *t, const struct item *item)
{
    if (q->dead >= q->settings.dead_capacity)
        return HOLD_FULL;
    t->attempt = item->attempt;
    t->size = item->size;
    t->at = item->at;
    if (q->durable) {
        c->disk->ops->release(c->disk, q->id, item->at);
        t->at = 0;
    }
    q->dead++;
    q->dead_bytes += item->size;
    return HOLD_NOT;
}

/* Do its dead events move to a dead-letter queue? */
static bool is_sent(const struct queue *q)
{
    return q->settings.dead_letter[0] != '\0';
}

/* Puts the event into the dead store or the dead-letter queue; false: that is not possible, and t->held says why. */
static bool die(struct core *c, struct queue *q, struct trouble *t, const struct item *item, enum dead_reason why)
{
    t->dead = why;
    if (t->first_ms == 0) /* it never failed */
        t->first_ms = t->last_ms = c->now.wall.ms;
    enum dead_hold stands = is_sent(q) ? dead_letter_send(c, q, item, t, cause_of(why)) : keep(c, q, t, item);
    hold(q, t, stands);
    if (stands != HOLD_NOT)
        t->dead = DEAD_NOT;
    return stands == HOLD_NOT;
}

/* Counts and records the death, once the event has left its queue. */
static void died(struct core *c, struct queue *q, struct trouble *t)
{
    ++*dead_counter(&q->ledger, t->dead);
    q->died[t->dead]++;
    if (is_sent(q))
        trouble_forget(q, t);
    else
        persist_trouble(c, q, t);
}

bool dead_bury(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum dead_reason why)
{
    struct trouble *t = trouble_of(q, sequence);
    if (!die(c, q, t, item, why))
        return false;
    queue_remove(c, q, sequence, item);
    died(c, q, t);
    return true;
}

/* It cannot be dead now: puts its trouble back as it was `before` (there was one). The caller keeps the reason. */
static enum dead_hold stay(struct queue *q, struct trouble *t, bool before)
{
    enum dead_hold why = t->held;
    if (before)
        trouble_unhold(q, t);
    else
        trouble_forget(q, t);
    return why;
}

enum dead_hold dead_try(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum dead_reason why)
{
    bool before = trouble_find(q, sequence) != NULL;
    return dead_bury(c, q, sequence, item, why) ? HOLD_NOT : stay(q, trouble_find(q, sequence), before);
}

enum dead_hold dead_bury_loaded(struct core *c, struct queue *q, const struct store_loaded *e, enum dead_reason why)
{
    bool before = trouble_find(q, e->sequence) != NULL;
    struct trouble *t = trouble_of(q, e->sequence);
    struct item item = { .at = e->locator, .size = e->size, .attempt = backlog_attempt(q, e->sequence) };
    if (!die(c, q, t, &item, why))
        return stay(q, t, before);
    backlog_left(c, q, e->sequence, e->size);
    died(c, q, t);
    return HOLD_NOT;
}

void dead_restore(struct queue *q, struct trouble *t)
{
    q->dead++;
    q->dead_bytes += t->size;
}

void dead_remove(struct core *c, struct queue *q, struct trouble *t)
{
    struct store *store = queue_store(c, q);
    assert(t->dead);
    if (store) /* NULL: the log could not be opened, see queue_free */
        store->ops->settle(store, q->id, t->sequence, t->at, t->size, CAUSE_REMOVED);
    dead_forget(q, t);
}

void dead_forget(struct queue *q, struct trouble *t)
{
    q->dead--;
    q->dead_bytes -= t->size;
    trouble_forget(q, t);
}

static int by_sequence(const struct trouble *a, const struct trouble *b)
{
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

struct trouble *dead_next(struct queue *q, struct trouble *after)
{
    if (!after)
        HASH_SORT(q->troubles, by_sequence);
    struct trouble *t = after ? after->hh.next : q->troubles;
    while (t && !t->dead)
        t = t->hh.next;
    return t;
}

uint64_t dead_purge(struct core *c, struct queue *q)
{
    uint64_t count = q->dead;
    struct trouble *t, *next;
    HASH_ITER (hh, q->troubles, t, next) {
        if (t->dead)
            dead_remove(c, q, t);
    }
    assert(q->dead == 0 && q->dead_bytes == 0);
    return count;
}

void trouble_free(struct queue *q)
{
    struct trouble *t, *next;
    HASH_ITER (hh, q->troubles, t, next)
        trouble_forget(q, t);
}
