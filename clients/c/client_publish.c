/* Publishing: entries wait unsent until the window lets them go; going, they get their number; numbered, they are kept
 * until their outcome is known. Each entry's publisher is told exactly once. The queue of unsent entries is not numbered,
 * so that what is given up before it was ever sent leaves no hole. */
#include "clients/c/client_priv.h"

#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

/* After an entry's deadline the broker's own refusal, which knows more, may still be on its way. */
#define GRACE_MS 50
/* How long an entry that tries once, and a Skip, wait for their answer. */
#define ANSWER_MS     1000
#define SEEN_EVERY    256u
#define SEEN_AFTER_MS 1000

/* ------------------------------------------------------------------ records */

static struct record *at(const struct records *r, uint32_t index)
{
    return &r->ring[(r->head + index) & (r->capacity - 1)];
}

static struct record *push(struct records *r)
{
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity ? r->capacity * 2 : 16;
        struct record *ring = xmalloc(capacity * sizeof *ring);
        for (uint32_t i = 0; i < r->count; i++)
            ring[i] = *at(r, i);
        free(r->ring);
        *r = (struct records){ ring, capacity, 0, r->count };
    }
    return at(r, r->count++);
}

static void pop(struct records *r)
{
    r->head = (r->head + 1) & (r->capacity - 1);
    if (--r->count == 0 && r->capacity > 1024) { /* a burst is over */
        free(r->ring);
        *r = (struct records){ 0 };
    }
}

static void release_block(struct record *r)
{
    if (r->block && --r->block->holders == 0)
        free(r->block);
    r->block = NULL;
}

static struct outlet *outlet_of(struct client *c, struct span name)
{
    struct outlet *o = NULL;
    HASH_FIND(hh, c->outlets, name.data, (unsigned)name.size, o);
    if (o || name.size > NAME_MAX_SIZE)
        return o;
    o = xcalloc(1, sizeof *o);
    memcpy(o->name, name.data, name.size);
    o->base = 1;
    o->act = MONO_NEVER;
    HASH_ADD_KEYPTR(hh, c->outlets, o->name, (unsigned)name.size, o);
    return o;
}

/* ------------------------------------------------------------------ outcomes */

/* Neighbouring entries of one publish with the same outcome, told together. */
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

static void tell(struct client *c, struct telling *t, const struct record *r, const struct client_outcome *o)
{
    bool joins = t->count && t->cookie == r->cookie && t->index + t->count == r->index &&
                 t->outcome.reason == o->reason &&
                 (o->reason != REASON_ok || t->outcome.sequence + t->count == o->sequence);
    if (joins) {
        t->count++;
        return;
    }
    tell_now(c, t);
    *t = (struct telling){ r->cookie, r->index, 1, *o };
}

/* The publisher learns the outcome; the record no longer counts as undecided. */
static void conclude(struct client *c, struct telling *t, struct record *r, const struct client_outcome *o)
{
    c->undecided_events--;
    c->undecided_bytes -= r->size;
    tell(c, t, r, o);
    r->cookie = NULL;
}

static void forget_decided(struct client *c, struct outlet *o)
{
    while (o->sent.count && at(&o->sent, 0)->state == RECORD_DECIDED) {
        pop(&o->sent);
        o->base++;
    }
    if (o->base - 1 > o->seen_told && c->seen_due.ns == INT64_MAX)
        c->seen_due = mono_add_ms(c->now.mono, SEEN_AFTER_MS);
}

/* The broker's decision on `count` numbers from `first`. */
static void decide(struct client *c, struct outlet *o, uint64_t first, uint64_t count,
                   const struct client_outcome *what)
{
    struct telling t = { 0 };
    struct client_outcome one = *what;
    uint64_t end = first + count, last = o->base + o->sent.count;
    for (uint64_t n = first > o->base ? first : o->base; n < end && n < last; n++) {
        struct record *r = at(&o->sent, (uint32_t)(n - o->base));
        if (r->state == RECORD_DECIDED)
            continue;
        one.sequence = what->reason == REASON_ok ? what->sequence + (n - first) : 0;
        if (r->state != RECORD_REPORTED)
            conclude(c, &t, r, &one);
        r->state = RECORD_DECIDED;
        release_block(r);
    }
    forget_decided(c, o);
    tell_now(c, &t);
}

static enum reason public_reason(uint32_t reason)
{
    return reason == REASON_skipped ? REASON_full : (enum reason)reason;
}

bool publish_confirm(struct client *c, struct body *b)
{
    struct outlet *o = outlet_of(c, b->name);
    struct run run;
    enum frame_status status;
    while ((status = confirm_next(b, &run)) == FRAME_OK) {
        struct client_outcome what = { .reason = REASON_ok, .sequence = run.sequence, .flags = run.flags };
        if (o)
            decide(c, o, run.first, run.count, &what);
    }
    return status == FRAME_END;
}

bool publish_refuse(struct client *c, const struct body *b)
{
    struct outlet *o = outlet_of(c, b->name);
    struct client_outcome what = {
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

/* ------------------------------------------------------------------ publish */

static struct block *copy_events(const struct span *events, uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += events[i].size;
    struct block *b = xmalloc(sizeof *b + size);
    b->holders = count;
    uint8_t *to = b->data;
    for (uint32_t i = 0; i < count; i++) {
        if (events[i].size)
            memcpy(to, events[i].data, events[i].size);
        to += events[i].size;
    }
    return b;
}

static bool check(const struct client *c, const struct span *events, uint32_t count, uint64_t *bytes, enum reason *why)
{
    *bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        *bytes += events[i].size;
        if (events[i].size > c->max_event) {
            *why = REASON_too_large;
            return false;
        }
    }
    *why = REASON_busy;
    return c->undecided_bytes + *bytes <= c->config.buffer_bytes;
}

bool client_publish(struct client *c, struct span queue, const struct span *events, uint32_t count, uint32_t wait_ms,
                    void *cookie, struct now now, enum reason *why)
{
    uint64_t bytes;
    c->now = now;
    if (!name_valid(queue) || count == 0) {
        *why = REASON_invalid;
        return false;
    }
    if (!check(c, events, count, &bytes, why))
        return false;
    struct outlet *o = outlet_of(c, queue);
    struct block *block = copy_events(events, count);
    const uint8_t *data = block->data;
    mono_t deadline = mono_add_ms(now.mono, wait_ms);
    for (uint32_t i = 0; i < count; i++) {
        *push(&o->unsent) = (struct record){
            .cookie = cookie,
            .block = block,
            .data = data,
            .size = (uint32_t)events[i].size,
            .index = i,
            .deadline = deadline,
            .act = deadline,
            .continued = i > 0,
            .once = wait_ms == 0,
        };
        data += events[i].size;
    }
    o->act = mono_min(o->act, deadline);
    if (c->unsent_events == 0 && c->config.linger_ms)
        c->linger_due = mono_add_ms(now.mono, c->config.linger_ms);
    c->unsent_events += count;
    c->unsent_bytes += bytes;
    c->undecided_events += count;
    c->undecided_bytes += bytes;
    return true;
}

static void forget(struct records *r, void *cookie)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (at(r, i)->cookie == cookie)
            at(r, i)->cookie = NULL;
    }
}

void client_publish_forget(struct client *c, void *cookie)
{
    for (struct outlet *o = c->outlets; o; o = o->hh.next) {
        forget(&o->sent, cookie);
        forget(&o->unsent, cookie);
    }
}

/* ------------------------------------------------------------------ sending */

static uint32_t time_left(const struct client *c, const struct record *r)
{
    if (r->once)
        return 0;
    int64_t left = mono_since_ms(r->deadline, c->now.mono);
    return left < 1 ? 1 : (uint32_t)left; /* 0 would mean "try once" */
}

static bool window_open(const struct client *c, const struct record *r)
{
    return c->sent_events < c->window_events && c->sent_bytes + r->size <= c->window_bytes;
}

static void write_entry(struct client *c, struct record *r, uint32_t wait_ms)
{
    struct entry e = { .event = span_of(r->data, r->size), .wait_ms = time_left(c, r), .continued = r->continued };
    frame_add_entry(&c->out, &e, wait_ms);
    c->sent_events++;
    c->sent_bytes += r->size;
    if (r->state == RECORD_UNSENT || r->state == RECORD_SENT) {
        r->state = RECORD_SENT;
        r->act = mono_add_ms(r->deadline, r->once ? ANSWER_MS : GRACE_MS);
    }
}

/* Seals when the frame is full. False when the link has no room for another. */
static bool next_frame(struct client *c)
{
    if (c->out.size < c->config.frame_bytes)
        return true;
    client_seal(c);
    return link_room(&c->link);
}

static void write_seen(struct client *c, struct outlet *o)
{
    if (o->base - 1 == o->seen_told)
        return;
    o->seen_told = o->base - 1;
    frame_add_seen(&c->out, span_str(o->name), o->seen_told);
}

static void write_skips(struct client *c, struct outlet *o)
{
    if (!o->skips)
        return;
    o->skips = false;
    for (uint32_t i = 0; i < o->sent.count; i++) {
        struct record *r = at(&o->sent, i);
        if (r->state != RECORD_SKIP)
            continue;
        uint32_t first = i;
        for (; i < o->sent.count && at(&o->sent, i)->state == RECORD_SKIP && i - first < 1000; i++)
            at(&o->sent, i)->state = RECORD_SKIPPED;
        frame_add_skip(&c->out, span_str(o->name), o->base + first, i - first);
        i--;
    }
}

/* After a lost session: what the broker has not decided goes again under its old number, or as a Skip when nobody waits
 * for it any more. False when window or link ended it early. */
static bool write_again(struct client *c, struct outlet *o)
{
    while (o->resend && o->resend < o->base + o->sent.count) {
        struct record *r = at(&o->sent, o->resend < o->base ? 0 : (uint32_t)(o->resend - o->base));
        if (o->resend < o->base)
            o->resend = o->base;
        if (r->state == RECORD_DECIDED) {
            o->resend++;
            continue;
        }
        if (r->state != RECORD_SENT) {
            frame_add_skip(&c->out, span_str(o->name), o->resend++, 1);
            continue;
        }
        if (!window_open(c, r) || !next_frame(c))
            return false;
        uint32_t wait_ms = time_left(c, r);
        struct open_body open = frame_begin_publish(&c->out, span_str(o->name), o->resend, wait_ms);
        for (; r->state == RECORD_SENT && window_open(c, r) && c->out.size < c->config.frame_bytes;) {
            write_entry(c, r, wait_ms);
            if (++o->resend == o->base + o->sent.count)
                break;
            r = at(&o->sent, (uint32_t)(o->resend - o->base));
        }
        frame_end(&c->out, open);
    }
    o->resend = 0;
    return true;
}

static void drop_dead(struct client *c, struct outlet *o)
{
    while (o->unsent.count && at(&o->unsent, 0)->state == RECORD_DECIDED)
        pop(&o->unsent);
    (void)c;
}

/* Moves records from unsent to sent, into one Publish body per frame. */
static bool write_new(struct client *c, struct outlet *o)
{
    for (drop_dead(c, o); o->unsent.count; drop_dead(c, o)) {
        struct record *r = at(&o->unsent, 0);
        if (!window_open(c, r) || !next_frame(c))
            return false;
        uint32_t wait_ms = time_left(c, r);
        write_seen(c, o);
        struct open_body open = frame_begin_publish(&c->out, span_str(o->name), o->base + o->sent.count, wait_ms);
        while (o->unsent.count && window_open(c, at(&o->unsent, 0)) && c->out.size < c->config.frame_bytes) {
            struct record *to = push(&o->sent);
            *to = *at(&o->unsent, 0);
            pop(&o->unsent);
            c->unsent_events--;
            c->unsent_bytes -= to->size;
            write_entry(c, to, wait_ms);
            o->act = mono_min(o->act, to->act);
            drop_dead(c, o);
        }
        frame_end(&c->out, open);
    }
    return true;
}

static bool lingers(const struct client *c)
{
    return c->config.linger_ms && c->now.mono.ns < c->linger_due.ns && c->unsent_bytes < c->config.frame_bytes &&
           c->unsent_events > 0;
}

void publish_write(struct client *c)
{
    bool wait = lingers(c), room = true;
    for (struct outlet *o = c->outlets; o && room; o = o->hh.next) {
        write_skips(c, o);
        if (o->base - 1 - o->seen_told >= SEEN_EVERY || c->seen_due.ns <= c->now.mono.ns)
            write_seen(c, o);
        room = write_again(c, o) && (wait || write_new(c, o));
        room = room && next_frame(c);
    }
    if (c->seen_due.ns <= c->now.mono.ns)
        c->seen_due = MONO_NEVER;
    if (!wait)
        c->linger_due = MONO_NEVER;
}

/* ------------------------------------------------------------------ deadlines */

/* An unsent entry's time is up: nothing was sent, so nothing was accepted. */
static void expire_unsent(struct client *c, struct telling *t, struct outlet *o)
{
    struct client_outcome what = { .reason = c->state == CLIENT_ATTACHED ? REASON_full : REASON_unavailable };
    bool chained = false;
    for (uint32_t i = 0; i < o->unsent.count; i++) {
        struct record *r = at(&o->unsent, i);
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
        conclude(c, t, r, &what);
        r->state = RECORD_DECIDED;
        release_block(r);
    }
    drop_dead(c, o);
}

static void expire_sent(struct client *c, struct telling *t, struct outlet *o)
{
    static const struct client_outcome unknown = { .reason = REASON_unknown };
    for (uint32_t i = 0; i < o->sent.count; i++) {
        struct record *r = at(&o->sent, i);
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
            conclude(c, t, r, &unknown);
            r->state = RECORD_REPORTED; /* its number stays until the broker has decided it */
            release_block(r);
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

mono_t publish_due(const struct client *c)
{
    mono_t due = mono_min(c->seen_due, c->linger_due);
    for (const struct outlet *o = c->outlets; o; o = o->hh.next)
        due = mono_min(due, o->act);
    return due;
}

/* ------------------------------------------------------------------ a new session */

/* The broker does not know the producer: what was sent cannot be known; the numbering starts anew. */
static void give_up_sent(struct client *c, struct outlet *o)
{
    static const struct client_outcome unknown = { .reason = REASON_unknown };
    struct telling t = { 0 };
    for (uint32_t i = 0; i < o->sent.count; i++) {
        struct record *r = at(&o->sent, i);
        if (r->state != RECORD_DECIDED && r->state != RECORD_REPORTED)
            conclude(c, &t, r, &unknown);
        release_block(r);
    }
    free(o->sent.ring);
    o->sent = (struct records){ 0 };
    o->base = 1;
    o->seen_told = 0;
    o->resend = 0;
    o->skips = false;
    tell_now(c, &t);
}

static void take_outcomes(struct client *c, const struct outcomes *listed)
{
    struct outlet *o = outlet_of(c, span_str(listed->destination));
    if (!o)
        return;
    for (size_t i = 0; i < listed->run_count; i++) {
        const struct outcome *run = &listed->runs[i];
        struct client_outcome what = {
            .reason = public_reason(run->reason),
            .sequence = run->sequence,
            .flags = run->flags,
        };
        decide(c, o, run->first, run->count, &what);
    }
    /* Decided, yet not listed: the outcome itself was forgotten. */
    if (listed->decided >= o->base)
        decide(c, o, o->base, listed->decided - o->base + 1, &(struct client_outcome){ .reason = REASON_unknown });
}

void publish_new_session(struct client *c, bool known, const struct outcomes *outcomes, size_t count)
{
    for (size_t i = 0; known && i < count; i++)
        take_outcomes(c, &outcomes[i]);
    for (struct outlet *o = c->outlets; o; o = o->hh.next) {
        if (!known) {
            give_up_sent(c, o);
            continue;
        }
        o->resend = o->sent.count ? o->base : 0;
        o->skips = false; /* write_again skips what nobody waits for */
    }
}

void publish_free(struct client *c)
{
    struct outlet *o, *next;
    HASH_ITER (hh, c->outlets, o, next) {
        HASH_DEL(c->outlets, o);
        for (uint32_t i = 0; i < o->sent.count; i++)
            release_block(at(&o->sent, i));
        for (uint32_t i = 0; i < o->unsent.count; i++)
            release_block(at(&o->unsent, i));
        free(o->sent.ring);
        free(o->unsent.ring);
        free(o);
    }
}
