/* Outcomes of published entries: the broker's decisions, deadlines that passed, and what a new session knows. Each
 * entry's outcome is reported exactly once. */
#include "clients/core/client_records.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <stdlib.h>

#define SEEN_AFTER_MS 1000

/* ------------------------------------------------------------------ reporting */

/* Neighbouring entries of one publish with the same outcome, reported together. */
struct telling {
    void *cookie;
    uint32_t index, count;
    struct client_outcome outcome;
};

static void count_outcome(struct client *c, enum reason why, uint32_t count)
{
    if (why == REASON_ok)
        c->stats.confirmed += count;
    else if (why == REASON_unknown)
        c->stats.unknown += count;
    else
        c->stats.refused += count;
}

static void tell_now(struct client *c, struct telling *t)
{
    if (t->count == 0)
        return;
    count_outcome(c, t->outcome.reason, t->count);
    uint32_t count = t->count;
    t->count = 0;
    if (t->cookie)
        c->handler->outcome(c->ctx, t->cookie, t->index, count, &t->outcome);
}

static void tell(struct client *c, struct telling *t, void *cookie, uint32_t index, const struct client_outcome *o)
{
    bool joins = t->count && t->cookie == cookie && t->index + t->count == index && t->outcome.reason == o->reason &&
                 t->outcome.flags == o->flags && t->outcome.targets == o->targets &&
                 (o->reason != REASON_ok || t->outcome.sequence + t->count == o->sequence);
    if (joins) {
        t->count++;
        return;
    }
    tell_now(c, t);
    *t = (struct telling){ cookie, index, 1, *o };
}

/* Reports the outcome; the record no longer counts as undecided. It must not be touched afterwards: the callback may
 * publish, which may move the ring. */
static void conclude(struct client *c, struct telling *t, struct record *r, const struct client_outcome *o,
                     enum record_state state)
{
    void *cookie = r->cookie;
    uint32_t index = r->index;
    c->undecided_events--;
    c->undecided_bytes -= r->size;
    r->cookie = NULL;
    r->state = (uint8_t)state;
    record_release(r);
    tell(c, t, cookie, index, o);
}

/* ------------------------------------------------------------------ the broker decides */

static void forget_decided(struct client *c, struct outlet *o)
{
    while (o->sent.count && record_at(&o->sent, 0)->state == RECORD_DECIDED) {
        record_pop(&o->sent);
        o->base++;
    }
    if (o->base - 1 > o->seen_told && o->seen_due.ns == INT64_MAX)
        o->seen_due = mono_add_ms(c->now.mono, SEEN_AFTER_MS);
}

/* Refuses unsent entries that continue a refused one. The broker would do the same, but one that restarted in
 * between would not know of the refusal. */
static void refuse_continuing(struct client *c, struct telling *t, struct outlet *o, const struct client_outcome *what)
{
    record_drop_decided(&o->unsent);
    while (o->unsent.count && record_at(&o->unsent, 0)->continued) {
        struct record *r = record_at(&o->unsent, 0);
        c->unsent_events--;
        c->unsent_bytes -= r->size;
        conclude(c, t, r, what, RECORD_DECIDED);
        record_drop_decided(&o->unsent);
    }
}

/* Marks sent entries from `n` on that continue a refused one: the broker refuses them, too, once they arrive. */
static void doom_continuing(struct outlet *o, uint64_t n)
{
    for (; n < o->base + o->sent.count && record_at(&o->sent, (uint32_t)(n - o->base))->continued; n++)
        record_at(&o->sent, (uint32_t)(n - o->base))->doomed = true;
}

/* How many records ahead to prefetch: whole callbacks run between two records, and little of a window of hundreds is
 * in the cache. */
#define AHEAD 4u

/* The broker's decision on `count` numbers from `first`. */
static void decide(struct client *c, struct outlet *o, uint64_t first, uint64_t count,
                   const struct client_outcome *what)
{
    struct telling t = { 0 };
    struct client_outcome one = *what;
    uint64_t end = first + count, last = o->base + o->sent.count;
    for (uint64_t n = first > o->base ? first : o->base; n < end && n < last; n++) {
        struct record *r = record_at(&o->sent, (uint32_t)(n - o->base));
        if (n + 2 * AHEAD < last) {
            __builtin_prefetch(record_at(&o->sent, (uint32_t)(n + 2 * AHEAD - o->base)), 1);
            __builtin_prefetch(record_at(&o->sent, (uint32_t)(n + AHEAD - o->base))->cookie, 1);
        }
        if (r->state == RECORD_DECIDED)
            continue;
        if (MUTATED(retry_refused) && what->reason == REASON_full && r->state == RECORD_SENT) {
            *record_push(&o->unsent) = *r;
            c->unsent_events++;
            c->unsent_bytes += r->size;
            *r = (struct record){ .state = RECORD_DECIDED };
            continue;
        }
        one.sequence = what->reason == REASON_ok ? what->sequence + (n - first) : 0;
        if (r->state == RECORD_REPORTED) /* and released */
            r->state = RECORD_DECIDED;
        else
            conclude(c, &t, r, &one, RECORD_DECIDED);
    }
    if (what->reason != REASON_ok && what->reason != REASON_unknown && end >= o->base) {
        doom_continuing(o, end);
        if (end == last)
            refuse_continuing(c, &t, o, what);
    }
    forget_decided(c, o);
    tell_now(c, &t);
}

static enum reason public_reason(uint32_t reason)
{
    return reason == REASON_skipped ? REASON_full : (enum reason)reason;
}

/* A confirm run of a topic, with its target queues. False: malformed. */
static bool decide_topic(struct client *c, struct outlet *o, struct run *run, struct client_outcome *what)
{
    struct target *targets = NULL;
    char(*names)[NAME_MAX_SIZE + 1] = NULL;
    size_t count = 0, capacity = 0;
    enum frame_status status;
    struct span queue;
    uint64_t sequence;
    while ((status = run_target_next(run, &queue, &sequence)) == FRAME_OK) {
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 8;
            targets = xrealloc(targets, capacity * sizeof *targets);
            names = xrealloc(names, capacity * sizeof *names);
        }
        memcpy(names[count], queue.data, queue.size);
        names[count][queue.size] = '\0';
        targets[count++].sequence = sequence;
    }
    for (size_t i = 0; i < count; i++)
        targets[i].queue = names[i];
    what->sequence = 0;
    what->targets = targets;
    what->target_count = count;
    if (status == FRAME_END)
        decide(c, o, run->first, run->count, what);
    free(names);
    free(targets);
    return status == FRAME_END;
}

bool publish_confirm(struct client *c, struct body *b)
{
    struct outlet *o = outlet_of(c, b->name);
    struct run run;
    enum frame_status status;
    while ((status = confirm_next(b, &run)) == FRAME_OK) {
        struct client_outcome what = { .reason = REASON_ok, .sequence = run.sequence, .flags = run.flags, .queue = "" };
        if (!o)
            continue;
        if (!(run.flags & RUN_TOPIC))
            decide(c, o, run.first, run.count, &what);
        else if (!decide_topic(c, o, &run, &what))
            return false;
    }
    return status == FRAME_END;
}

bool publish_refuse(struct client *c, const struct body *b)
{
    struct outlet *o = outlet_of(c, b->name);
    char queue[NAME_MAX_SIZE + 1] = "";
    if (name_valid(b->u.refuse.queue)) {
        memcpy(queue, b->u.refuse.queue.data, b->u.refuse.queue.size);
        queue[b->u.refuse.queue.size] = '\0';
    }
    struct client_outcome what = {
        .queue = queue,
        .reason = public_reason(b->u.refuse.reason),
        .depth = b->u.refuse.depth,
        .capacity = b->u.refuse.capacity,
        .retry_after_ms = b->u.refuse.retry_after_ms,
    };
    if (!o || what.reason == REASON_ok)
        return false;
    decide(c, o, b->u.refuse.first, b->u.refuse.count, &what);
    return true;
}

/* ------------------------------------------------------------------ time runs out */

/* Refuses unsent entries whose deadline has passed: nothing was sent, so nothing was accepted. */
static void expire_unsent(struct client *c, struct telling *t, struct outlet *o)
{
    struct client_outcome what = { .reason = c->state == CLIENT_ATTACHED ? REASON_full : REASON_unavailable,
                                   .queue = "" };
    bool chained = false;
    for (uint32_t i = 0; i < o->unsent.count; i++) {
        struct record *r = record_at(&o->unsent, i);
        if (r->state == RECORD_DECIDED) {
            continue;
        }
        if (r->act.ns > c->now.mono.ns && !(chained && r->continued)) {
            o->act = mono_min(o->act, r->act);
            chained = false;
            continue;
        }
        chained = true;
        c->unsent_events--;
        c->unsent_bytes -= r->size;
        conclude(c, t, r, &what, RECORD_DECIDED);
    }
    record_drop_decided(&o->unsent);
}

static void expire_sent(struct client *c, struct telling *t, struct outlet *o)
{
    static const struct client_outcome unknown = { .reason = REASON_unknown, .queue = "" };
    for (uint32_t i = 0; i < o->sent.count; i++) {
        struct record *r = record_at(&o->sent, i);
        if (r->state == RECORD_DECIDED || r->state == RECORD_REPORTED)
            continue;
        if (r->act.ns > c->now.mono.ns) {
            o->act = mono_min(o->act, r->act);
        } else if (r->state == RECORD_SENT) {
            r->state = RECORD_SKIP;
            r->act = mono_add_ms(c->now.mono, ANSWER_MS);
            o->skips = true;
            o->act = mono_min(o->act, r->act);
        } else {
            conclude(c, t, r, &unknown, RECORD_REPORTED); /* the number stays in use until the broker has decided it */
        }
    }
}

void publish_tick(struct client *c)
{
    struct outlet *o, *next;
    HASH_ITER (hh, c->outlets, o, next) {
        if (o->act.ns > c->now.mono.ns)
            continue;
        struct telling t = { 0 };
        o->act = MONO_NEVER;
        expire_unsent(c, &t, o);
        expire_sent(c, &t, o);
        tell_now(c, &t);
    }
}

/* ------------------------------------------------------------------ a new session */

/* The broker does not know what became of what was sent: it is unknown. The numbering goes on. */
static void give_up_sent(struct client *c, struct outlet *o)
{
    static const struct client_outcome unknown = { .reason = REASON_unknown, .queue = "" };
    struct telling t = { 0 };
    for (uint32_t i = 0; i < o->sent.count; i++) {
        struct record *r = record_at(&o->sent, i);
        if (r->state != RECORD_DECIDED && r->state != RECORD_REPORTED)
            conclude(c, &t, r, &unknown, RECORD_DECIDED);
        else
            record_release(r);
    }
    o->base += o->sent.count;
    free(o->sent.ring);
    o->sent = (struct records){ 0 };
    o->seen_told = o->base - 1;
    o->seen_due = MONO_NEVER;
    o->resend = 0;
    o->skips = false;
    tell_now(c, &t);
}

void publish_new_producer(struct client *c)
{
    struct outlet *o, *next;
    HASH_ITER (hh, c->outlets, o, next) {
        give_up_sent(c, o);
        o->base = 1;
        o->seen_told = 0;
        if (o->unsent.count == 0)
            outlet_free(c, o);
    }
}

static void take_outcomes(struct client *c, const struct outcomes *listed)
{
    struct outlet *o = outlet_of(c, span_str(listed->destination));
    if (!o)
        return;
    o->listed = true;
    for (size_t i = 0; i < listed->run_count; i++) {
        const struct outcome *run = &listed->runs[i];
        struct client_outcome what = {
            .reason = public_reason(run->reason),
            .sequence = run->sequence,
            .flags = run->flags,
            .queue = "",
            .targets = run->targets,
            .target_count = run->target_count,
        };
        decide(c, o, run->first, run->count, &what);
    }
    /* Decided but not listed: the broker has forgotten the outcome. */
    if (listed->decided >= o->base)
        decide(c, o, o->base, listed->decided - o->base + 1,
               &(struct client_outcome){ .reason = REASON_unknown, .queue = "" });
}

size_t publish_undecided(const struct client *c, const char **names, size_t most)
{
    size_t count = 0;
    for (const struct outlet *o = c->outlets; o && count < most; o = o->hh.next) {
        if (o->sent.count)
            names[count++] = o->name;
    }
    return count;
}

bool publish_is_forgotten(const struct client *c, bool known, bool restarted, size_t listed)
{
    if (known && (!restarted || listed))
        return false;
    for (const struct outlet *o = c->outlets; o; o = o->hh.next) {
        if (o->base + o->sent.count > 1)
            return true;
    }
    return false;
}

void publish_new_session(struct client *c, bool restarted, const struct outcomes *outcomes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        take_outcomes(c, &outcomes[i]);
    struct outlet *o, *next;
    HASH_ITER (hh, c->outlets, o, next) {
        /* A restarted broker knows only what was on disk. */
        bool speaks_for = !restarted || o->listed;
        o->listed = false;
        if (!speaks_for) {
            give_up_sent(c, o);
            continue;
        }
        o->resend = o->sent.count ? o->base : 0;
        o->skips = false; /* write_again sends the Skips */
    }
}
