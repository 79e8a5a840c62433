/* Admission of entries to a topic's queues. An entry is checked against all of them before any of them changes, so
 * that it enters all or none. Neighbours that go to the same queues are appended together, and their bytes are
 * stored once. */
#include "broker/core/durable/persist_fields.h"
#include "broker/core/publish/admission.h"
#include "broker/core/publish/waiters.h"
#include "broker/core/topic/targets.h"
#include "broker/core/topic/topic.h"

#include "base/mutation.h"
#include "proto/filter.h"

#include <assert.h>

void fanout_begin(struct fanout *f, struct core *c, struct destination *d, struct topic *t, uint64_t arrival)
{
    f->core = c;
    f->destination = d;
    f->topic = t;
    f->arrival = arrival;
    f->next.count = f->set.count = f->count = 0;
    f->bytes = f->own = 0;
    f->hashed = false;
    f->lacks = NULL;
    f->may_wait = false;
    destination_set_persistent(c, d,
                               topic_is_durable(t)); /* also for a waiting run: other queues may be bound by now */
}

/* ------------------------------------------------------------------ where it goes */

static void add_route(struct fanout *f, struct binding *b, struct queue *q, const struct entry *e)
{
    uint64_t has = duplicate_of(f->core, q, e->dedup);
    f->next.items[f->next.count++] = (struct queue_route){ b, q, has };
    f->next.had += has != 0;
}

static void find_routes(struct fanout *f, const struct entry *e)
{
    struct topic *t = f->topic;
    f->next.count = f->next.had = 0;
    for (uint32_t i = 0; i < t->binding_count; i++) {
        if (filter_matches(buf_span(&t->bindings[i].filter), e->event))
            add_route(f, &t->bindings[i], t->bindings[i].queue, e);
    }
    if (f->next.count == 0 && t->unrouted == UNROUTED_QUEUE)
        add_route(f, NULL, t->catch_all, e);
    if (MUTATED(fan_out_to_one) && f->next.count > 1)
        f->next.count = 1;
}

/* ------------------------------------------------------------------ appended */

/* Records the outcome of an entry that enters no queue: no run in the log tells of it. If the disk has no room for
 * the record, a restart turns an outcome that the publisher has not seen into a refusal, and the publisher tries
 * again. A duplicate is confirmed only when the first one is durable. */
static uint64_t keep_outcome(struct fanout *f, struct outcome *o)
{
    struct core *c = f->core;
    struct room room = { .budget = c->disk->ops->room(c->disk), .short_of = REASON_disk };
    o->flags |= c->config.confirm_synced ? RUN_DURABLE : 0;
    return room_take_record(&room) ? persist_outcome(c, f->destination, NULL, o) : durable_newest(c);
}

static void decide_outcome(struct fanout *f, const struct queue_routes *routes, uint64_t first, uint64_t count,
                           uint64_t bytes, uint32_t flags, uint64_t ticket)
{
    struct target targets[TOPIC_BINDINGS_MAX];
    struct outcome o = { .first = first, .count = count, .reason = REASON_ok, .flags = flags };
    for (size_t i = 0; i < routes->count; i++)
        targets[i] = (struct target){ routes->items[i].queue->name, routes->items[i].has };
    targets_share(&f->destination->newest, targets, routes->count, &o);
    if (ticket == 0 && topic_is_durable(f->topic))
        ticket = keep_outcome(f, &o);
    durable_outcome(f->core, f->destination, NULL, ticket, &o, count, bytes);
}

static void enter_queue(struct fanout *f, struct queue_route *r, bool kept, uint64_t ticket)
{
    struct queue *q = r->queue;
    struct terms terms = schedule_terms(q, &f->terms, f->core->now.wall.ms);
    queue_enter(f->core, q, f->events, f->count, f->bytes, kept, &terms);
    if (r->binding)
        r->binding->matched += f->count;
    durable_accepted(f->core, q, ticket, q->next_sequence - 1);
    core_run_queue(f->core, q);
}

/* Appends the pending entries to the queues that do not have them yet. In the others the sequence of the first one
 * counts. */
static void append(struct fanout *f, uint64_t *ticket)
{
    struct core *c = f->core;
    bool durable = topic_is_durable(f->topic);
    struct store *store = durable ? c->disk : c->store;
    struct buf note = { 0 }, more = { 0 };
    struct store_target targets[TOPIC_BINDINGS_MAX];
    bool enters[TOPIC_BINDINGS_MAX];
    struct store_share share = {
        .owner = f->topic->id, .targets = targets, .events = f->events, .count = f->count, .accepted_ms = c->now.wall.ms
    };
    for (size_t i = 0; i < f->set.count; i++) {
        struct queue *q = f->set.items[i].queue;
        enters[i] = !f->set.items[i].has;
        if (!enters[i])
            continue;
        struct terms terms = schedule_terms(q, &f->terms, c->now.wall.ms);
        targets[share.target_count++] = (struct store_target){ q->id, q->next_sequence, queue_keeps(c, q, &terms) };
        f->set.items[i].has = q->next_sequence;
    }
    if (durable)
        persist_topic_origin(&note, f->destination, f->first, f->hashes, f->hashed ? f->count : 0, &f->set);
    if (durable && f->hashed)
        wire_add_bytes(&more, ORIGIN_HASHES, span_of(f->hashes, f->count * DEDUP_HASH_SIZE));
    if (durable && (f->terms.not_before_ms || f->terms.expires_ms)) {
        persist_terms(&note, &f->terms);
        persist_terms(&more, &f->terms);
    }
    share.note = buf_span(&note);
    share.other_note = buf_span(&more);
    enum store_status status = store->ops->share(store, &share, ticket);
    assert(status == STORE_OK || status == STORE_LATER || status == STORE_FAILED); /* its room was taken */
    c->failed |= status == STORE_FAILED;
    buf_free(&note);
    buf_free(&more);
    for (size_t i = 0, k = 0; i < f->set.count; i++) {
        if (enters[i])
            enter_queue(f, &f->set.items[i], targets[k++].keep && f->events[0].locator, *ticket);
    }
}

void fanout_flush(struct fanout *f)
{
    uint64_t ticket = 0;
    if (f->count == 0)
        return;
    append(f, &ticket);
    f->topic->accepted += f->count;
    rate_add(&f->topic->in_rate, f->count, f->core->now.mono);
    decide_outcome(f, &f->set, f->first, f->count, f->bytes, 0, ticket);
    f->count = 0;
    f->bytes = 0;
    f->hashed = false;
}

/* ------------------------------------------------------------------ accepting */

static bool goes_the_same_way(const struct fanout *f)
{
    bool same = f->set.count == f->next.count && f->next.had == 0 && f->set.had == 0;
    for (size_t i = 0; same && i < f->next.count; i++)
        same = f->set.items[i].queue == f->next.items[i].queue;
    return same;
}

static void set_routes(struct fanout *f)
{
    f->set.count = f->next.count;
    f->set.had = f->next.had;
    for (size_t i = 0; i < f->next.count; i++)
        f->set.items[i] = f->next.items[i];
}

static void keep_hash(struct fanout *f, struct span hash)
{
    uint8_t *to = f->hashes[f->count];
    memset(to, 0, DEDUP_HASH_SIZE);
    if (hash.size != DEDUP_HASH_SIZE)
        return;
    memcpy(to, hash.data, DEDUP_HASH_SIZE);
    f->hashed = true;
    for (size_t i = 0; i < f->set.count; i++) {
        struct queue *q = f->set.items[i].queue;
        if (!f->set.items[i].has)
            duplicate_enter(f->core, q, hash, q->next_sequence + f->count);
    }
}

static bool has_same_terms(const struct fanout *f, const struct terms *t)
{
    return t->not_before_ms == f->terms.not_before_ms && t->expires_ms == f->terms.expires_ms;
}

static void accept(struct fanout *f, uint64_t sequence, const struct entry *e)
{
    struct terms terms = admission_has_terms(e) ? admission_terms(f->core, e) : (struct terms){ 0 };
    if (f->count && (f->first + f->count != sequence || !goes_the_same_way(f) || !has_same_terms(f, &terms)))
        fanout_flush(f);
    if (f->count == 0) {
        f->terms = terms;
        f->first = sequence;
        set_routes(f);
    }
    keep_hash(f, e->dedup);
    f->events[f->count++] = (struct store_event){ .event = e->event };
    f->bytes += e->event.size;
    if (f->count == APPEND_AT_ONCE || f->set.had)
        fanout_flush(f);
}

/* Accepts an entry that enters no queue: all have it already, or none matches. */
static void accept_nowhere(struct fanout *f, uint64_t sequence, const struct entry *e)
{
    struct topic *t = f->topic;
    fanout_flush(f); /* keeps outcomes in order; and the first one may be pending */
    t->accepted += f->next.count == 0;
    t->dropped += f->next.count == 0;
    t->duplicates += f->next.count > 0;
    for (size_t i = 0; i < f->next.count; i++)
        f->next.items[i].queue->duplicates++;
    decide_outcome(f, &f->next, sequence, 1, e->event.size, f->next.count ? RUN_DUPLICATE : 0, 0);
}

enum reason fanout_take(struct fanout *f, uint64_t sequence, const struct entry *e, bool in_line)
{
    f->lacks = NULL;
    f->may_wait = false;
    find_routes(f, e);
    bool satisfied = f->next.count && f->next.count == f->next.had;
    if (!satisfied) {
        enum reason why = fanout_hopeless(f, e);
        if (why != REASON_ok)
            return why;
    }
    bool nowhere = satisfied || f->next.count == 0;
    if (in_line && !satisfied) {
        f->may_wait = true;
        f->lacks = f->topic->waiters ? f->topic->waiters->lacks : NULL;
        return REASON_full;
    }
    if (nowhere) {
        accept_nowhere(f, sequence, e);
        return REASON_ok;
    }
    enum reason why = fanout_room(f, e);
    if (why == REASON_ok)
        accept(f, sequence, e);
    return why;
}

/* ------------------------------------------------------------------ waiters */

static enum reason admit_next(struct fanout *f, struct waiting *w, const struct entry *e)
{
    enum reason why = fanout_take(f, w->first + w->next, e, false);
    if (why == REASON_ok) {
        waiting_entry_leaves(w, e->event.size);
        return REASON_ok;
    }
    bool waits = why == REASON_budget || why == REASON_disk || (why == REASON_full && f->may_wait);
    if (waits)
        return why;
    fanout_flush(f);
    waiting_refuse(f->core, w, w->next, e->event.size, why, f->lacks);
    return REASON_ok;
}

/* False: it stopped because there is no room. */
static bool admit_run(struct fanout *f, struct waiting *w)
{
    while (w->next < w->count) {
        struct wire_reader rest = w->rest;
        struct entry e;
        waiting_take_entry(&rest, w->wait_ms, &e);
        enum reason why = waiting_is_decided(w, w->next) ? REASON_ok : admit_next(f, w, &e);
        if (why != REASON_ok) {
            w->blocked = why;
            w->lacks = f->lacks;
            return false;
        }
        w->next++;
        w->rest = rest;
    }
    return true;
}

void fanout_admit(struct core *c, struct topic *t)
{
    struct fanout f;
    while (t->waiters) {
        struct waiting *w = t->waiters;
        fanout_begin(&f, c, w->destination, t, w->arrival);
        f.own = w->byte_count;
        bool whole = admit_run(&f, w);
        fanout_flush(&f);
        if (!whole)
            return;
        waiting_free(c, w);
    }
}
