/* Redrive: makes dead events new ones, at the tail of their queue or of another.
 *
 *   - Without a rate, they go at once, as far as there is room. Those on disk are read first, some at a time, and the
 *     answer follows when all are handled.
 *   - With a rate, the answer comes at once and the redrive goes on by itself; it waits where there is no room. It is
 *     shown with its queue until it is through or stopped. It ends with an orderly stop and does not survive a restart:
 *     what it has not moved is dead as before. */
#include "broker/core/calls/redrive.h"

#include "base/xalloc.h"
#include "proto/filter.h"

#include <stdlib.h>

/* At most so many redrives without a rate read from the disk at a time; further requests are refused as busy. */
#define REDRIVES_MOST 4u
/* How often a redrive that waits for room tries again. */
#define ROOM_MS 250

/* ------------------------------------------------------------------ selecting events */

static int ascending(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static bool is_asked_for(const struct trouble *t, const struct request *r)
{
    return t && t->dead && (!r->u.redrive.reason || t->dead == r->u.redrive.reason);
}

/* The dead events that the request selects, ascending and once each: those it names, or all if it names none; only
 * those of its reason if it has one. The caller owns the result. */
static uint64_t *select_dead(struct queue *q, const struct request *r, size_t *count)
{
    const uint64_t *named = r->u.redrive.sequences;
    size_t named_count = r->u.redrive.count;
    uint64_t *out = xmalloc((named_count ? named_count : q->dead + 1) * sizeof *out);
    *count = 0;
    for (struct trouble *t = named_count ? NULL : dead_next(q, NULL); t; t = dead_next(q, t)) {
        if (is_asked_for(t, r))
            out[(*count)++] = t->sequence;
    }
    for (size_t i = 0; i < named_count; i++) {
        if (is_asked_for(trouble_find(q, named[i]), r))
            out[(*count)++] = named[i];
    }
    qsort(out, *count, sizeof *out, ascending);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (kept == 0 || out[kept - 1] != out[i])
            out[kept++] = out[i];
    }
    *count = kept;
    return out;
}

/* ------------------------------------------------------------------ redrives under way */

static struct redrive *find_tag(const struct core *c, uint64_t tag)
{
    struct redrive *r = c->redrives;
    while (r && r->tag != tag)
        r = r->next;
    return r;
}

/* The queue's redrive with a rate, of which it has at most one; NULL: none. */
static struct redrive *find_of(const struct core *c, const struct queue *q)
{
    struct redrive *r = c->redrives;
    while (r && (r->rate == 0 || r->queue != q->id))
        r = r->next;
    return r;
}

/* Is a redrive without a rate under way for the request of that id? */
static bool is_running(const struct core *c, struct token id)
{
    const struct redrive *r = token_is_zero(id) ? NULL : c->redrives; /* a request without an id cannot be repeated */
    while (r && (r->rate || !token_equal(r->id, id)))
        r = r->next;
    return r != NULL;
}

static void free_redrive(struct core *c, struct redrive *r)
{
    timers_clear(&c->redrive_timers, &r->timer);
    buf_free(&r->request);
    buf_free(&r->filter);
    free(r->sequences);
    free(r);
}

static void write_answer(const struct redrive *r, struct reply *reply)
{
    reply->result = RESULT_REDRIVEN;
    reply->u.redriven.redriven = r->redriven;
    reply->u.redriven.left = r->count - r->at;
}

static void answer_later(struct core *c, struct redrive *r)
{
    struct reply reply = { .id = r->id, .detail = "" };
    write_answer(r, &reply);
    core_reply(c, &r->route, &reply);
    if (!token_is_zero(r->id))
        reply_cache_add(c, r->id, buf_span(&r->request), &c->effects[c->effect_count - 1]);
    durable_hold_reply(c, c->disk->ops->settled_ticket(c->disk));
}

static void finish(struct core *c, struct redrive *r, const struct queue *q)
{
    if (r->rate == 0)
        answer_later(c, r);
    else
        core_log(c, LOG_INFO, q, NULL, "its redrive ended: %llu events redriven, %llu not looked at",
                 (unsigned long long)r->redriven, (unsigned long long)(r->count - r->at));
    LL_DELETE(c->redrives, r);
    free_redrive(c, r);
}

/* ------------------------------------------------------------------ steps */

/* Decides what to do after a step. */
static void follow(struct core *c, struct redrive *r, struct queue *q, enum redrive_step step)
{
    r->waits = step == REDRIVE_FULL;
    if (step == REDRIVE_LOAD)
        redrive_load(c, r, q);
    else if (step == REDRIVE_DONE || r->rate == 0)
        finish(c, r, q);
    else if (step == REDRIVE_FULL)
        timers_set(&c->redrive_timers, &r->timer, mono_add_ms(c->now.mono, ROOM_MS));
    else
        timers_set(&c->redrive_timers, &r->timer, redrive_allowed_next(r, c->now.mono));
}

/* With a rate, an event is read from the disk only when it may be moved, unless a filter has to see it. */
static enum redrive_step begin_step(struct core *c, struct redrive *r, struct queue *q, struct queue *to)
{
    enum redrive_step step = redrive_move(c, r, q, to);
    bool early = step == REDRIVE_LOAD && r->rate && r->filter.size == 0 && r->allowance < 1000;
    return early ? REDRIVE_ENOUGH : step;
}

void redrive_due(struct core *c, struct redrive *r)
{
    struct queue *q = queue_by_id(c, r->queue), *to = queue_by_id(c, r->to);
    if (!q || !to || c->stopping) {
        finish(c, r, q);
        return;
    }
    if (r->waits) /* do not save up the allowance of a time without room */
        r->allowance = 1000;
    redrive_allow(r, c->now.mono);
    follow(c, r, q, begin_step(c, r, q, to));
}

void redrive_loaded(struct core *c, const struct store_completion *done)
{
    struct redrive *r = find_tag(c, done->tag);
    struct queue *q = r ? queue_by_id(c, r->queue) : NULL, *to = r ? queue_by_id(c, r->to) : NULL;
    enum redrive_step step = REDRIVE_DONE;
    if (q && to && r->rate)
        redrive_allow(r, c->now.mono);
    if (q && to)
        step = redrive_move_loaded(c, r, q, to, done);
    for (size_t i = 0; i < done->count; i++)
        c->disk->ops->release(c->disk, done->queue, done->events[i].locator);
    if (q && to && step == REDRIVE_LOAD)
        step = begin_step(c, r, q, to);
    if (r)
        follow(c, r, q, step);
}

/* ------------------------------------------------------------------ requests */

static bool refuse(struct reply *reply, enum reason why, const char *detail)
{
    reply->reason = why;
    reply->detail = detail;
    return false;
}

/* As a queue on disk may not have its dead letters in memory. */
static bool refuse_memory(struct reply *reply, const struct queue *q, const struct queue *to, struct error *why)
{
    error_set(why,
              "queue '%s' is on disk and '%s' is in memory, where a restart loses events; redrive to a queue with "
              "durability disk",
              q->name, to->name);
    return refuse(reply, REASON_conflict, why->text);
}

static bool may_run(struct core *c, const struct request *r, const struct queue *q, const struct queue *to,
                    struct reply *reply, struct error *why)
{
    unsigned reading = 0;
    for (const struct redrive *other = c->redrives; other; other = other->next)
        reading += other->rate == 0;
    if (!filter_valid(r->u.redrive.filter))
        return refuse(reply, REASON_invalid, "this broker does not understand the filter");
    if (!to)
        return refuse(reply, REASON_unknown_queue, "the queue to redrive to does not exist; declare it first");
    if (q->durable && !to->durable)
        return refuse_memory(reply, q, to, why);
    if (to->closed && !r->u.redrive.dry_run)
        return refuse(reply, REASON_closed, "");
    if (r->u.redrive.rate && !r->u.redrive.dry_run && find_of(c, q))
        return refuse(reply, REASON_conflict, "a redrive of this queue is under way; stop it first, or let it end");
    if (r->u.redrive.rate == 0 && reading >= REDRIVES_MOST)
        return refuse(reply, REASON_busy, "too many redrives are under way already; retry in a moment");
    return true;
}

static void stop(struct core *c, const struct queue *q, struct reply *reply)
{
    struct redrive *r = find_of(c, q);
    reply->result = RESULT_REDRIVEN;
    if (!r)
        return;
    write_answer(r, reply);
    finish(c, r, q);
}

static struct redrive *make(struct core *c, const struct request *asked, struct queue *q, const struct queue *to)
{
    struct redrive *r = xcalloc(1, sizeof *r);
    *r = (struct redrive){ .tag = load_tag(LOAD_REDRIVE, ++c->load_counter), .queue = q->id, .to = to->id };
    r->dry_run = asked->u.redrive.dry_run;
    r->rate = r->dry_run ? 0 : asked->u.redrive.rate;
    r->sequences = select_dead(q, asked, &r->count);
    if (asked->u.redrive.filter.size)
        buf_add(&r->filter, asked->u.redrive.filter.data, asked->u.redrive.filter.size);
    if (r->dry_run && r->filter.size == 0) /* all match, so nothing has to be read */
        r->redriven = r->at = r->count;
    return r;
}

static void start_with_rate(struct core *c, struct redrive *r, struct reply *reply)
{
    write_answer(r, reply);
    reply->u.redriven.running = r->count > 0;
    if (r->count == 0) {
        free_redrive(c, r);
        return;
    }
    r->allowance = 1000;
    r->allowed_at = c->now.mono;
    LL_PREPEND(c->redrives, r);
    timers_set(&c->redrive_timers, &r->timer, c->now.mono);
}

bool redrive_request(struct core *c, struct queue *q, const struct request *asked, const struct route *route,
                     struct reply *reply, struct error *why)
{
    struct queue *to = asked->u.redrive.to[0] ? queue_find(c, span_str(asked->u.redrive.to)) : q;
    if (is_running(c, asked->id))
        return false; /* a repeated request: the answer will come */
    if (asked->u.redrive.stop) {
        stop(c, q, reply);
        return true;
    }
    if (!may_run(c, asked, q, to, reply, why))
        return true;
    struct redrive *r = make(c, asked, q, to);
    if (r->rate) {
        start_with_rate(c, r, reply);
        return true;
    }
    if (redrive_move(c, r, q, to) != REDRIVE_LOAD) {
        write_answer(r, reply);
        free_redrive(c, r);
        return true;
    }
    r->route = *route;
    r->id = asked->id;
    request_pack(asked, &r->request);
    LL_PREPEND(c->redrives, r);
    redrive_load(c, r, q);
    return false;
}

void redrive_describe(const struct core *c, const struct queue *q, struct redriving_info *out)
{
    const struct redrive *r = c->redrives ? find_of(c, q) : NULL;
    const struct queue *to = r ? queue_by_id((struct core *)(uintptr_t)c, r->to) : NULL;
    *out = (struct redriving_info){ .to = "" };
    if (r)
        *out = (struct redriving_info){ r->redriven, r->count - r->at, r->rate, to ? to->name : "", r->waits };
}

void redrive_free(struct core *c)
{
    while (c->redrives) {
        struct redrive *r = c->redrives;
        c->redrives = r->next;
        free_redrive(c, r);
    }
}
