/* Arriving entries; there is one path for all of them. An entry is accepted at once if nothing waits before it and
 * there is room. Otherwise it waits in order of arrival, up to its deadline (waiters.c), or is refused with the
 * reason. */
#include "broker/core/topic/topic.h"

#include "base/mutation.h"

/* An entry for which the oldest event has to be read and dropped waits at least so long for that, whatever deadline
 * it has. */
#define DROP_WAIT_MS 5000u

/* ------------------------------------------------------------------ arriving entries */

/* Why an entry is refused before its size or the queue's state matter; REASON_ok: it is not. */
static enum reason refused_unseen(const struct core *c, const struct destination *d, const struct queue *q,
                                  const struct topic *t, const struct entry *e, uint64_t sequence)
{
    enum reason before = e->continued && !MUTATED(break_prefix) ? destination_refused(d, sequence - 1) : REASON_ok;
    if (before != REASON_ok)
        return before;
    if (c->stopping)
        return REASON_draining;
    if (e->topic && !t)
        return REASON_unknown_topic;
    return q || t ? REASON_ok : REASON_unknown_queue;
}

/* Counts an entry against the session's window, and checks its sequence. False: a protocol violation. *known: the
 * entry was sent again after a lost session and is decided already. */
static bool count_entry(struct session *s, struct destination *d, uint64_t sequence, uint64_t size, bool *known)
{
    destination_jump(d, sequence);
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
    } else if (durable_is_pending(d, sequence)) {
        *known = true; /* accepted; its confirm waits for the disk */
        s->decided_events++;
        s->decided_bytes += size;
    } else if (waiting_of(d, sequence)) {
        return false;
    }
    return true;
}

/* A Publish that is being processed. */
struct arrival {
    size_t coded; /* encoded bytes of the entry at hand */
    struct core *core;
    struct session *session;
    struct destination *destination;
    struct queue *queue;
    struct topic *topic; /* published to a topic; then `queue` is NULL */
    struct admission admission;
    struct fanout *fanout; /* of the topic */
    bool awaits_drop;      /* the entry at hand waits until the oldest event is dropped, even with deadline 0 */
    struct group group;    /* entries at the end of those seen so far that are going to wait */
};

static void flush_arrived(struct arrival *a)
{
    if (a->topic)
        fanout_flush(a->fanout);
    else
        admission_flush(&a->admission);
}

static void wait_entry(struct arrival *a, uint64_t sequence, const struct entry *e, enum reason blocked,
                       const uint8_t *start, const uint8_t *end)
{
    struct group *g = &a->group;
    uint32_t wait_ms = a->awaits_drop && e->wait_ms < DROP_WAIT_MS ? DROP_WAIT_MS : e->wait_ms;
    flush_arrived(a);
    if (g->count && (g->wait_ms != wait_ms || g->first + g->count != sequence))
        waiting_start(a->core, a->destination, a->queue, a->topic, g);
    if (g->count == 0)
        *g = (struct group){ .first = sequence,
                             .wait_ms = wait_ms,
                             .blocked = blocked,
                             .lacks = a->topic ? a->fanout->lacks : NULL,
                             .start = start };
    g->count++;
    g->size += e->event.size;
    g->end = end;
    ++*(a->topic ? &a->topic->waiting : &a->queue->waiting);
    a->destination->waiting_events++;
    a->destination->waiting_bytes += e->event.size;
}

static bool may_wait(struct arrival *a, const struct entry *e, enum reason *why)
{
    const struct core_config *config = &a->core->config;
    const struct destination *d = a->destination;
    size_t group = a->group.count ? (size_t)(a->group.end - a->group.start) : 0;
    *why = REASON_full;
    bool waits = a->topic ? a->fanout->may_wait : a->queue->settings.overflow == OVERFLOW_WAIT;
    if (!a->awaits_drop && (!waits || e->wait_ms == 0))
        return false;
    if (d->waiting_events >= config->window_events / 2 || d->waiting_bytes + e->event.size > config->window_bytes / 2)
        return false;
    flush_arrived(a); /* entries of this frame that were accepted before take memory as well */
    if (core_budget_left(a->core) < group + a->coded) {
        *why = REASON_budget;
        return false;
    }
    return true;
}

/* Whether the first waiter of a topic, which came earlier, may be waiting for this queue. */
static bool is_behind_topics(const struct queue *q)
{
    return q->topic_count && topic_oldest(q);
}

/* Why an entry that found no room waits, or is refused: those before it may wait for the disk. */
static enum reason reason_of_those_before(const struct arrival *a, const struct queue *q, const struct topic *t)
{
    return a->group.count ? a->group.blocked : waiting_reason(q, t);
}

/* Accepts the entry, or returns the reason why not. *waits: it is going to wait instead of being refused. */
static enum reason judge(struct arrival *a, uint64_t sequence, const struct entry *e, bool *waits)
{
    *waits = false;
    enum reason why = refused_unseen(a->core, a->destination, a->queue, NULL, e, sequence);
    if (why != REASON_ok)
        return why;
    /* Behind waiting entries of its own publisher even a duplicate waits, so that a batch is admitted as a prefix. */
    if (!a->destination->waiters && a->group.count == 0 && admission_duplicate(&a->admission, sequence, e))
        return REASON_ok;
    why = admission_hopeless(a->core, a->queue, e);
    if (why != REASON_ok)
        return why;
    if ((!a->queue->waiters && a->group.count == 0 && !is_behind_topics(a->queue)) || MUTATED(overtake_waiters)) {
        why = admission_take_room(&a->admission, e->event.size);
        if (why == REASON_ok) {
            admission_accept(&a->admission, sequence, e);
            return REASON_ok;
        }
        if (why == REASON_disk)
            durable_starved(a->core, a->admission.room.budget);
    } else {
        why = REASON_full;
    }
    enum reason no_wait;
    a->awaits_drop = why == REASON_full && drop_is_awaited(a->queue);
    *waits = may_wait(a, e, &no_wait);
    if (a->awaits_drop && !*waits)
        drop_for_retry(a->queue);
    if (why == REASON_full)
        why = reason_of_those_before(a, a->queue, NULL);
    return *waits || why != REASON_full ? why : no_wait;
}

/* The same for a topic. A duplicate waits behind waiting entries of its own publisher, but not behind those of
 * others. */
static enum reason judge_for_topic(struct arrival *a, uint64_t sequence, const struct entry *e, bool *waits)
{
    bool own = a->destination->waiters || a->group.count;
    *waits = false;
    enum reason why = refused_unseen(a->core, a->destination, NULL, a->topic, e, sequence), no_wait;
    if (why != REASON_ok)
        return why;
    if (own) {
        a->fanout->lacks = NULL;
        a->fanout->may_wait = true;
        why = REASON_full;
    } else {
        why = fanout_take(a->fanout, sequence, e, a->topic->waiters && !MUTATED(overtake_waiters));
        if (why != REASON_full && why != REASON_budget && why != REASON_disk)
            return why;
        a->fanout->may_wait |= why != REASON_full;
    }
    *waits = may_wait(a, e, &no_wait);
    if (why == REASON_full)
        why = reason_of_those_before(a, a->topic->waiters ? NULL : a->fanout->lacks, a->topic);
    return *waits || why != REASON_full ? why : no_wait;
}

static void refuse_arrived(struct arrival *a, uint64_t sequence, enum reason why, uint64_t size)
{
    struct queue *queue = why == REASON_unknown_topic
                              ? NULL
                              : a->queue; /* the entry asked for a topic: a queue of that name is not the reason */
    flush_arrived(a);
    admission_refuse(a->core, a->destination, a->topic ? a->fanout->lacks : queue, sequence, why, 1, size);
    if (queue)
        queue->refused++;
    if (a->topic)
        a->topic->refused++;
}

static void take_queue(struct arrival *a, struct queue *q)
{
    a->queue = q;
    a->admission.queue = q;
    a->admission.room = queue_room(a->core, q);
    destination_set_persistent(a->core, a->destination, q->durable != NULL);
}

/* Declares a queue at the first use of its name, if that is configured and the entry does not ask for a topic. */
static void declare_unseen(struct arrival *a, const struct entry *e)
{
    struct queue *q = NULL;
    if (!a->core->config.auto_declare || a->core->stopping || e->topic)
        return;
    operate_declare(a->core, span_str(a->destination->name), NULL, false, false, &q, NULL, NULL);
    if (q)
        take_queue(a, q);
}

/* If this entry has a dedup hash the next one probably has, too: the address at which that will be looked up. */
static const void *next_home(const struct arrival *a, const struct body *b, const struct entry *e)
{
    return e->dedup.size && a->queue ? duplicate_home(a->queue, publish_peek_dedup(b)) : NULL;
}

/* Processes the entries of a Publish in order. False: malformed, or a protocol violation. */
static bool arrive(struct arrival *a, struct body *b)
{
    for (uint64_t sequence = b->u.publish.first;; sequence++) {
        const uint8_t *start = b->u.publish.entries.at;
        struct entry e;
        enum frame_status status = publish_next(b, &e);
        if (status != FRAME_OK)
            return status == FRAME_END;
        a->coded = (size_t)(b->u.publish.entries.at - start);
        bool known, waits;
        if (!count_entry(a->session, a->destination, sequence, e.event.size, &known))
            return false;
        if (known)
            continue;
        if (!a->queue && !a->topic)
            declare_unseen(a, &e);
        __builtin_prefetch(next_home(a, b, &e), 1);
        enum reason why = a->topic ? judge_for_topic(a, sequence, &e, &waits) : judge(a, sequence, &e, &waits);
        if (waits)
            wait_entry(a, sequence, &e, why, start, b->u.publish.entries.at);
        else if (why != REASON_ok)
            refuse_arrived(a, sequence, why, e.event.size);
    }
}

/* A client that never says which outcomes it has seen would make the broker keep them without end. A correct client
 * says so long before this limit: it has at most one window of undecided entries. */
static bool has_too_many_unseen(const struct core *c, const struct destination *d)
{
    return d->outcome_count > 4 * c->config.window_events;
}

static bool arrive_at_topic(struct arrival *a, struct body *b)
{
    struct fanout f; /* large, so it is not zeroed; fanout_begin initialises it */
    fanout_begin(&f, a->core, a->destination, a->topic, UINT64_MAX);
    a->fanout = &f;
    bool fine = arrive(a, b);
    fanout_flush(&f);
    waiting_start(a->core, a->destination, NULL, a->topic, &a->group);
    return fine;
}

bool publish_body(struct core *c, struct session *s, struct body *b)
{
    if (!name_valid(b->name) || b->u.publish.first == 0)
        return false;
    if (producer_is_full(s->producer))
        return false;
    struct arrival a = { .core = c, .session = s, .destination = destination_of(s->producer, b->name) };
    if (has_too_many_unseen(c, a.destination))
        return false;
    struct queue *q = queue_find(c, b->name);
    a.topic = q ? NULL : topic_find(c, b->name);
    if (a.topic)
        return arrive_at_topic(&a, b);
    a.admission = (struct admission){ .core = c, .destination = a.destination };
    if (q)
        take_queue(&a, q);
    bool fine = arrive(&a, b);
    admission_flush(&a.admission);
    waiting_start(c, a.destination, a.queue, NULL, &a.group);
    return fine;
}

/* ------------------------------------------------------------------ giving up */

/* Skips at least the entry `sequence`, and none at or beyond `end`. Returns the next one to skip. */
static uint64_t skip_some(struct core *c, struct destination *d, uint64_t sequence, uint64_t end)
{
    if (sequence == d->next)
        d->next++;
    else if (destination_decided(d, sequence) || durable_is_pending(d, sequence))
        return sequence + 1;
    struct waiting *w = waiting_of(d, sequence);
    if (w)
        return waiting_skip(c, w, sequence, end);
    /* The entry never arrived, or arrived in a session that is gone: room was not the reason. */
    admission_refuse(c, d, NULL, sequence, REASON_unavailable, 0, 0);
    return sequence + 1;
}

bool publish_skip(struct core *c, struct session *s, const struct body *b)
{
    uint64_t first = b->u.skip.first, end = first + b->u.skip.count;
    if (!name_valid(b->name) || first == 0 || first == end || end - first > c->config.window_events ||
        producer_is_full(s->producer))
        return false;
    struct destination *d = destination_of(s->producer, b->name);
    struct queue *q = queue_find(c, b->name);
    if (has_too_many_unseen(c, d))
        return false;
    destination_jump(d, first);
    while (first < end) {
        if (first > d->next)
            return false;
        first = skip_some(c, d, first, end);
    }
    waiting_free_decided(c, d);
    if (q)
        core_run_queue(c, q);
    struct topic *t = q ? NULL : topic_find(c, b->name);
    if (t)
        topic_wake(c, t);
    return true;
}
