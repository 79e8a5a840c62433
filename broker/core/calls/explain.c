/* Explains one event: its state, what stands between it and its next delivery, and when something happens by itself.
 * Except for the attempt histories (attempts.h) nothing is stored for this: it is computed on request, at worst by a
 * walk over what the queue holds. */
#include "broker/core/calls/explain.h"

#include "broker/core/deliver/attempts.h"
#include "broker/core/deliver/doomed.h"
#include "broker/core/partition/partition.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* At most so many events are read from the disk for this at a time; further requests are refused as busy. */
#define EXPLANATIONS_MOST 16u

/* A request whose event is being read from the disk. */
struct explanation {
    uint64_t tag;
    struct route route;
    struct token id; /* of the request */
    uint32_t queue;
    uint64_t sequence;
    struct explanation *next;
};

/* ------------------------------------------------------------------ when */

static int64_t wall_of(const struct core *c, mono_t due)
{
    return c->now.wall.ms + mono_since_ms(due, c->now.mono);
}

/* When the event was accepted, wall clock; never later than its first delivery, and always the same answer. Both
 * clocks count whole milliseconds, which do not begin at the same moment, so the difference between them varies by
 * one; start_ms is therefore kept as long as it is at most 2 ms off. */
static int64_t accepted_ms(struct core *c, const struct item *item)
{
    int64_t start = c->now.wall.ms - mono_since_ms(c->now.mono, c->started);
    if (start < c->start_ms || start > c->start_ms + 2)
        c->start_ms = start; /* the first request, or the wall clock was set */
    return c->start_ms + (int64_t)item->accepted * 100;
}

static void put_next(struct explained *e, enum next_step what, int64_t at_ms)
{
    e->next = what;
    e->next_ms = at_ms;
}

static bool is_doomed(const struct queue *q, uint64_t sequence)
{
    return q->schedule && doomed_has(q->schedule, sequence);
}

static void explain_delayed(const struct core *c, const struct queue *q, const struct trouble *t, struct explained *e)
{
    if (q->schedule)
        schedule_describe(c, q, &e->event, 1);
    bool held = e->event.trouble.held != HOLD_NOT, failed = t && (t->failures || t->crashes);
    e->blocked = held ? BLOCKED_DEAD_LETTER : failed ? BLOCKED_BACK_OFF : BLOCKED_DELAYED;
    if (!held && is_doomed(q, e->event.sequence))
        e->blocked = doomed_by_failure(q->schedule, e->event.sequence) ? BLOCKED_DEAD_LETTER : BLOCKED_EXPIRED;
    if (e->event.ready_ms)
        put_next(e, held ? NEXT_DEAD_LETTER : NEXT_READY, e->event.ready_ms);
}

static void explain_in_flight(struct core *c, const struct queue *q, const struct item *item, struct explained *e)
{
    const struct lease *l = lease_of(c, q, item);
    e->blocked = BLOCKED_IN_FLIGHT;
    e->consumer = l->consumer->session->name;
    put_next(e, NEXT_LEASE_END, wall_of(c, l->timer.due));
}

/* ------------------------------------------------------------------ a ready event */

struct walk {
    uint64_t end, ready;
};

static bool count_ready(void *ctx, uint64_t sequence, struct item *item)
{
    struct walk *w = ctx;
    if (sequence >= w->end)
        return false;
    w->ready += item->state == ITEM_READY;
    return true;
}

/* The number of older ready events. They go first, except those of another partition's consumer. */
static uint64_t count_before(struct queue *q, uint64_t sequence)
{
    struct walk w = { .end = sequence };
    queue_each(q, 0, count_ready, &w);
    uint64_t spilled = q->partitions ? spill_set_count_in(&q->partitions->spill.all, 0, sequence) : 0;
    return w.ready + spilled + (q->durable ? ranges_count_in(&q->durable->backlog, 0, sequence) : 0);
}

/* The hash of the event's key; 0: it has none, or its bytes were not read. */
static uint64_t key_of(struct span event)
{
    char number[EVENT_KEY_NUMBER];
    return event.size ? event_key_hash(event_key(event, number)) : 0;
}

/* The consumer that will get the event; NULL: none. */
static struct consumer *consumer_of(const struct queue *q, const struct item *item, const struct explained *e)
{
    const struct partitions *p = q->partitions;
    if (p && item && item->place)
        return p->at[item->place - 1].owner;
    uint64_t key = p && !item ? key_of(e->event.event) : 0, sequence = e->event.sequence;
    if (p && !item && !key && backlog_where(q, sequence) == BACKLOG_SPILLED)
        return p->at[spill_partition(p, sequence)].owner;
    return key ? p->at[key % p->count].owner : q->active;
}

static enum blocked_by blocked_before(const struct queue *q, const struct consumer *k, uint64_t sequence)
{
    if (q->durable && sequence >= q->durable->end)
        return BLOCKED_DISK;
    if (q->paused)
        return BLOCKED_PAUSED;
    return k ? BLOCKED_NOT : BLOCKED_NO_CONSUMER;
}

static void explain_ready(struct core *c, struct queue *q, const struct item *item, struct explained *e)
{
    uint64_t sequence = e->event.sequence;
    const struct consumer *k = consumer_of(q, item, e);
    bool ordered = q->partitions && q->partitions->ordered;
    e->consumer = k ? k->session->name : "";
    e->behind = count_before(q, sequence);
    e->blocked = blocked_before(q, k, sequence);
    e->blocker = ordered ? key_blocker(q, item ? partition_key(c, q, item) : key_of(e->event.event), sequence) : 0;
    if (e->blocked != BLOCKED_NOT)
        return;
    if (e->blocker)
        e->blocked = BLOCKED_KEY;
    else if (k->next_delivery > k->limit)
        e->blocked = BLOCKED_NO_CREDIT;
    else if (!k->session->link.open || !link_room(&k->session->link))
        e->blocked = BLOCKED_LINK;
    else if (e->behind)
        e->blocked = BLOCKED_BEHIND;
    else if (sequence >= queue_deliverable_end(q))
        e->blocked = BLOCKED_DISK;
}

/* ------------------------------------------------------------------ the event */

/* Fills `e`, whose sequence and event are set. `item` NULL: the event is on disk only, or dead. */
static void explain(struct core *c, struct queue *q, const struct item *item, struct explained *e)
{
    const struct trouble *t = trouble_find(q, e->event.sequence);
    e->consumer = "";
    e->now_ms = c->now.wall.ms;
    e->event.trouble = trouble_info(t);
    attempts_describe(c, q, item, e);
    if (t && t->dead) {
        e->event.state = STATE_DEAD;
        e->event.attempt = t->attempt;
        e->blocked = BLOCKED_DEAD;
        return;
    }
    e->event.attempt = item ? item->attempt : backlog_attempt(q, e->event.sequence);
    bool parked = !item && backlog_where(q, e->event.sequence) == BACKLOG_PARKED;
    e->event.state = parked                               ? STATE_DELAYED
                     : !item || item->state == ITEM_READY ? STATE_READY
                     : item->state == ITEM_IN_FLIGHT      ? STATE_IN_FLIGHT
                                                          : STATE_DELAYED;
    if (q->schedule)
        schedule_describe_expiry(q, &e->event, 1);
    if (e->event.state == STATE_READY)
        explain_ready(c, q, item, e);
    else if (e->event.state == STATE_IN_FLIGHT)
        explain_in_flight(c, q, item, e);
    else
        explain_delayed(c, q, t, e);
}

void explain_absence(const struct queue *q, uint64_t sequence, struct error *why)
{
    if (q->next_sequence == 1)
        error_set(why, "never existed: queue '%s' has accepted no event yet", q->name);
    else if (sequence == 0 || sequence >= q->next_sequence)
        error_set(why, "never existed: queue '%s' has accepted events up to sequence %llu", q->name,
                  (unsigned long long)(q->next_sequence - 1));
    else
        error_set(why,
                  "settled: event %llu of queue '%s' was acknowledged, cancelled, expired, dropped, purged or "
                  "dead-lettered to another queue; which of these is not remembered",
                  (unsigned long long)sequence, q->name);
}

static bool not_found(const struct queue *q, uint64_t sequence, struct reply *reply, struct error *why)
{
    explain_absence(q, sequence, why);
    reply->reason = REASON_not_found;
    reply->detail = why->text;
    return true;
}

static bool is_on_disk(const struct queue *q, uint64_t sequence)
{
    const struct trouble *t = trouble_find(q, sequence);
    return q->durable && ((t && t->dead) || backlog_where(q, sequence) != BACKLOG_NOWHERE);
}

static bool load(struct core *c, const struct queue *q, const struct request *r, const struct route *route,
                 struct reply *reply)
{
    unsigned count = 0;
    for (const struct explanation *x = c->explanations; x; x = x->next)
        count++;
    if (count >= EXPLANATIONS_MOST) {
        reply->reason = REASON_busy;
        reply->detail = "too many events are being read from the disk already; retry in a moment";
        return true;
    }
    struct explanation *x = xcalloc(1, sizeof *x);
    *x = (struct explanation){
        .tag = load_tag(LOAD_EXPLAIN, ++c->load_counter), .route = *route, .id = r->id, .queue = q->id
    };
    x->sequence = r->u.explain.sequence;
    LL_PREPEND(c->explanations, x);
    c->disk->ops->load(c->disk, q->id, x->sequence, 1, x->tag);
    return false;
}

bool explain_request(struct core *c, struct queue *q, const struct request *r, const struct route *route,
                     struct reply *reply, struct error *why)
{
    uint64_t sequence = r->u.explain.sequence;
    struct item *item = queue_item(q, sequence);
    const struct trouble *t = trouble_find(q, sequence);
    store_locator at = item ? item->at : t && t->dead ? t->at : 0;
    struct explained *e = &reply->u.explained;
    if (!item && !at && is_on_disk(q, sequence) && (sequence < q->durable->end || (t && t->dead)))
        return load(c, q, r, route, reply);
    if (!item && !at && !is_on_disk(q, sequence))
        return not_found(q, sequence, reply, why);
    reply->result = RESULT_EXPLAINED;
    *e = (struct explained){ .event.sequence = sequence };
    if (at)
        e->event.event = queue_event(c, q, at);
    if (item)
        e->accepted_ms = accepted_ms(c, item);
    explain(c, q, item, e);
    return true;
}

/* ------------------------------------------------------------------ from the disk */

static struct explanation *take_out(struct core *c, uint64_t tag)
{
    struct explanation *x = c->explanations;
    while (x && x->tag != tag)
        x = x->next;
    if (x)
        LL_DELETE(c->explanations, x);
    return x;
}

static void answer(struct core *c, const struct explanation *x, struct queue *q, const struct store_completion *done)
{
    struct reply reply = { .id = x->id, .detail = "" };
    struct error why = { "" };
    const struct store_loaded *e = done->count ? &done->events[0] : NULL;
    if (!q) {
        reply.reason = REASON_deleted;
    } else if (!e || e->sequence != x->sequence) {
        not_found(q, x->sequence, &reply, &why);
    } else {
        reply.result = RESULT_EXPLAINED;
        reply.u.explained = (struct explained){ .event.sequence = x->sequence, .accepted_ms = e->accepted_ms };
        reply.u.explained.event.event = queue_event(c, q, e->locator);
        explain(c, q, queue_item(q, x->sequence), &reply.u.explained);
    }
    core_reply(c, &x->route, &reply);
}

void explain_loaded(struct core *c, const struct store_completion *done)
{
    struct explanation *x = take_out(c, done->tag);
    if (x)
        answer(c, x, queue_by_id(c, x->queue), done);
    for (size_t i = 0; i < done->count; i++)
        c->disk->ops->release(c->disk, done->queue, done->events[i].locator);
    free(x);
}

void explain_free(struct core *c)
{
    struct explanation *x;
    while ((x = c->explanations) != NULL) {
        LL_DELETE(c->explanations, x);
        free(x);
    }
}
