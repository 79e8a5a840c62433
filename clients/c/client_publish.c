/* Publishing: entries wait unsent until the window lets them go; going, they get their number; numbered, they are kept
 * until their outcome is known (client_outcome.c). The queue of unsent entries is not numbered, so that what is given up
 * before it was ever sent leaves no hole. */
#include "clients/c/client_records.h"

#include <stdlib.h>

#define SEEN_EVERY 256u
#define SKIPS_MOST 1000u /* of one body */

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

static bool has_terms(const struct client_terms *t)
{
    return t && (t->expires_ms || t->not_before_ms || t->delay_ms);
}

/* Copies an event, and behind it its hash and its terms where it has them, to *data, which moves behind them. */
static void copy_event(uint8_t **data, struct record *r, struct span event, const uint8_t *hash,
                       const struct client_terms *terms)
{
    r->data = *data;
    r->size = (uint32_t)event.size;
    r->hashed = hash && event_hash_is_set(hash);
    r->on_terms = has_terms(terms);
    if (event.size)
        memcpy(*data, event.data, event.size);
    *data += event.size;
    if (r->hashed) {
        memcpy(*data, hash, EVENT_HASH_SIZE);
        *data += EVENT_HASH_SIZE;
    }
    if (r->on_terms) {
        memcpy(*data, terms, sizeof *terms);
        *data += sizeof *terms;
    }
}

static void count_unsent(struct client *c, struct outlet *o, uint32_t count, uint64_t bytes, mono_t act)
{
    o->act = mono_min(o->act, act);
    if (c->unsent_events == 0)
        client_linger(c);
    c->unsent_events += count;
    c->unsent_bytes += bytes;
    c->undecided_events += count;
    c->undecided_bytes += bytes;
}

/* Whoever tries once must have been tried: the next flush, or the end of the linger, comes before the end. */
static mono_t act_at(const struct client *c, mono_t deadline)
{
    return mono_add_ms(deadline, c->config.linger_ms + 1);
}

static bool publish(struct client *c, struct span queue, bool topic, const struct span *events,
                    const uint8_t (*hashes)[EVENT_HASH_SIZE], const struct client_terms *terms, uint32_t count,
                    uint32_t wait_ms, void *cookie, struct now now, enum reason *why)
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
    uint8_t *data;
    uint64_t behind = (hashes ? EVENT_HASH_SIZE : 0) + (terms ? sizeof *terms : 0);
    struct block *block = block_for(c, count, bytes + count * behind, &data);
    mono_t deadline = mono_add_ms(now.mono, wait_ms);
    mono_t act = act_at(c, deadline);
    for (uint32_t i = 0; i < count; i++) {
        struct record *r = record_push(&o->unsent);
        *r = (struct record){
            .cookie = cookie,
            .block = block,
            .index = i,
            .deadline = deadline,
            .act = act,
            .continued = i > 0,
            .once = wait_ms == 0,
            .topic = topic,
        };
        copy_event(&data, r, events[i], hashes ? hashes[i] : NULL, terms ? &terms[i] : NULL);
    }
    count_unsent(c, o, count, bytes, act);
    return true;
}

uint8_t *client_reserve(struct client *c, size_t most)
{
    return block_reserve(c, most + EVENT_HASH_SIZE);
}

bool client_publish_reserved(struct client *c, struct span queue, size_t size, const uint8_t *hash, uint32_t wait_ms,
                             void *cookie, struct now now, enum reason *why)
{
    uint64_t bytes;
    uint8_t *data = c->open_block->data + c->open_used;
    struct span event = span_of(data, size);
    c->now = now;
    struct outlet *o = c->last_outlet;
    if (!o || !span_equal(span_of(o->name, o->name_size), queue))
        o = name_valid(queue) ? outlet_of(c, queue) : NULL;
    *why = REASON_invalid;
    if (!o || !check(c, &event, 1, &bytes, why))
        return false;
    mono_t deadline = mono_add_ms(now.mono, wait_ms);
    struct record *r = record_push(&o->unsent);
    *r = (struct record){ .cookie = cookie,
                          .block = c->open_block,
                          .data = data,
                          .size = (uint32_t)size,
                          .deadline = deadline,
                          .act = act_at(c, deadline),
                          .once = wait_ms == 0,
                          .hashed = hash != NULL };
    c->open_block->holders++;
    c->open_used += size;
    if (hash) {
        memcpy(data + size, hash, EVENT_HASH_SIZE);
        c->open_used += EVENT_HASH_SIZE;
    }
    count_unsent(c, o, 1, size, r->act);
    return true;
}

bool client_publish(struct client *c, struct span queue, const struct span *events, uint32_t count, uint32_t wait_ms,
                    void *cookie, struct now now, enum reason *why)
{
    return publish(c, queue, false, events, NULL, NULL, count, wait_ms, cookie, now, why);
}

bool client_publish_once(struct client *c, struct span queue, const struct span *events,
                         const uint8_t (*hashes)[EVENT_HASH_SIZE], uint32_t count, uint32_t wait_ms, void *cookie,
                         struct now now, enum reason *why)
{
    return publish(c, queue, false, events, hashes, NULL, count, wait_ms, cookie, now, why);
}

bool client_publish_on(struct client *c, struct span queue, const struct span *events,
                       const uint8_t (*hashes)[EVENT_HASH_SIZE], const struct client_terms *terms, uint32_t count,
                       uint32_t wait_ms, void *cookie, struct now now, enum reason *why)
{
    return publish(c, queue, false, events, hashes, terms, count, wait_ms, cookie, now, why);
}

bool client_publish_topic(struct client *c, struct span topic, const struct span *events,
                          const uint8_t (*hashes)[EVENT_HASH_SIZE], const struct client_terms *terms, uint32_t count,
                          uint32_t wait_ms, void *cookie, struct now now, enum reason *why)
{
    return publish(c, topic, true, events, hashes, terms, count, wait_ms, cookie, now, why);
}

static void forget(struct records *r, void *cookie)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (record_at(r, i)->cookie == cookie)
            record_at(r, i)->cookie = NULL;
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
    e.topic = r->topic;
    const uint8_t *behind = r->data + r->size;
    if (r->hashed)
        e.dedup = span_of(behind, EVENT_HASH_SIZE);
    if (r->on_terms) {
        struct client_terms terms;
        memcpy(&terms, behind + e.dedup.size, sizeof terms);
        e.expires_ms = terms.expires_ms;
        e.not_before_ms = terms.not_before_ms;
        e.delay_ms = terms.delay_ms;
    }
    frame_add_entry(&c->out, &e, wait_ms);
    c->sent_events++;
    c->sent_bytes += r->size;
    if (r->state == RECORD_UNSENT || r->state == RECORD_SENT) {
        r->state = RECORD_SENT;
        r->act = mono_add_ms(r->deadline, r->once ? ANSWER_MS : GRACE_MS);
    }
}

static void write_seen(struct client *c, struct outlet *o)
{
    o->seen_due = MONO_NEVER;
    if (o->base - 1 == o->seen_told)
        return;
    o->seen_told = o->base - 1;
    frame_add_seen(&c->out, span_str(o->name), o->seen_told);
}

/* Of what this session has sent: write_again skips the rest in its turn. False when the link has no room for all. */
static bool write_skips(struct client *c, struct outlet *o)
{
    uint32_t end = o->resend > o->base ? (uint32_t)(o->resend - o->base) : o->resend ? 0 : o->sent.count;
    for (uint32_t i = 0; o->skips && i < end; i++) {
        if (record_at(&o->sent, i)->state != RECORD_SKIP)
            continue;
        if (!client_next_frame(c))
            return false;
        uint32_t first = i;
        for (; i < end && record_at(&o->sent, i)->state == RECORD_SKIP && i - first < SKIPS_MOST; i++)
            record_at(&o->sent, i)->state = RECORD_SKIPPED;
        frame_add_skip(&c->out, span_str(o->name), o->base + first, i - first);
        i--;
    }
    o->skips = false;
    return true;
}

/* Skips and what was seen need no window: they must not stand behind entries that wait for one. */
static bool write_news(struct client *c)
{
    for (struct outlet *o = c->outlets; o; o = o->hh.next) {
        if (!write_skips(c, o) || !client_next_frame(c))
            return false;
        if (o->base - 1 - o->seen_told >= SEEN_EVERY || o->seen_due.ns <= c->now.mono.ns)
            write_seen(c, o);
    }
    return true;
}

/* After a lost session: what the broker has not decided goes again under its old number, or as a Skip when nobody waits
 * for it any more. False when window or link ended it early. */
static bool write_again(struct client *c, struct outlet *o)
{
    while (o->resend && o->resend < o->base + o->sent.count) {
        struct record *r = record_at(&o->sent, o->resend < o->base ? 0 : (uint32_t)(o->resend - o->base));
        if (o->resend < o->base)
            o->resend = o->base;
        if (r->state == RECORD_DECIDED) {
            o->resend++;
            continue;
        }
        if (r->state != RECORD_SENT || r->doomed) {
            frame_add_skip(&c->out, span_str(o->name), o->resend++, 1);
            continue;
        }
        if (!window_open(c, r) || !client_next_frame(c))
            return false;
        uint32_t wait_ms = time_left(c, r);
        struct open_body open = frame_begin_publish(&c->out, span_str(o->name), o->resend, wait_ms);
        for (; r->state == RECORD_SENT && !r->doomed && window_open(c, r) && c->out.size < c->config.frame_bytes;) {
            write_entry(c, r, wait_ms);
            if (++o->resend == o->base + o->sent.count)
                break;
            r = record_at(&o->sent, (uint32_t)(o->resend - o->base));
        }
        frame_end(&c->out, open);
    }
    o->resend = 0;
    return true;
}

/* Moves records from unsent to sent, into one Publish body per frame. */
static bool write_new(struct client *c, struct outlet *o)
{
    for (record_drop_decided(&o->unsent); o->unsent.count; record_drop_decided(&o->unsent)) {
        struct record *r = record_at(&o->unsent, 0);
        if (!window_open(c, r) || !client_next_frame(c))
            return false;
        uint32_t wait_ms = time_left(c, r);
        write_seen(c, o);
        struct open_body open = frame_begin_publish(&c->out, span_str(o->name), o->base + o->sent.count, wait_ms);
        while (o->unsent.count && window_open(c, record_at(&o->unsent, 0)) && c->out.size < c->config.frame_bytes) {
            struct record *to = record_push(&o->sent);
            *to = *record_at(&o->unsent, 0);
            record_pop(&o->unsent);
            c->unsent_events--;
            c->unsent_bytes -= to->size;
            write_entry(c, to, wait_ms);
            o->act = mono_min(o->act, to->act);
            record_drop_decided(&o->unsent);
        }
        frame_end(&c->out, open);
    }
    return true;
}

void publish_write(struct client *c, bool wait)
{
    bool room = write_news(c);
    for (struct outlet *o = c->outlets; o && room; o = o->hh.next)
        room = write_again(c, o) && (wait || write_new(c, o)) && client_next_frame(c);
    if (!wait)
        c->linger_due = MONO_NEVER;
}

mono_t publish_due(const struct client *c)
{
    mono_t due = client_lingers(c) ? c->linger_due : MONO_NEVER; /* past it something else holds them back, not time */
    bool may_write = client_may_write(c);                        /* else what was seen waits for more than its time */
    for (const struct outlet *o = c->outlets; o; o = o->hh.next)
        due = mono_min(due, mono_min(may_write ? o->seen_due : MONO_NEVER, o->act));
    return due;
}

void publish_free(struct client *c)
{
    struct outlet *o, *next;
    HASH_ITER (hh, c->outlets, o, next) {
        HASH_DEL(c->outlets, o);
        for (uint32_t i = 0; i < o->sent.count; i++)
            record_release(record_at(&o->sent, i));
        for (uint32_t i = 0; i < o->unsent.count; i++)
            record_release(record_at(&o->unsent, i));
        free(o->sent.ring);
        free(o->unsent.ring);
        free(o);
    }
    block_close(c);
}
