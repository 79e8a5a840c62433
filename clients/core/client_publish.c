/* Publishing: entries wait unsent until the window has room, get their number when they are sent, and are kept until
 * their outcome is known (client_outcome.c). Unsent entries have no number, so that giving one up leaves no gap. */
#include "clients/core/client_records.h"

#include <stdlib.h>

#define SEEN_EVERY 256u
#define SKIPS_MOST 1000u /* entries in one Skip */
/* Most bytes of an entry besides its event. */
#define ENTRY_MOST 100u
/* Larger events are not worth writing in place. */
#define RESERVE_MOST (4u << 10)
#define CACHE_LINE   64u
/* What is in `out` may be moved behind a lent block, up to this many bytes, if its order does not matter. */
#define BESIDE_MOST (4u << 10)

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

static void add_entry(struct client *c, struct outlet *o, struct record *r, const struct entry *e)
{
    struct block *block = block_for(c, o, ENTRY_MOST + e->event.size);
    size_t offset = block->bytes.size;
    frame_add_entry(&block->bytes, e, e->wait_ms);
    block_add(block, offset, r);
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

/* An entry with wait_ms 0 must be sent before it is given up: allow for the next flush, or the end of the linger. */
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
    mono_t deadline = mono_add_ms(now.mono, wait_ms);
    mono_t act = act_at(c, deadline);
    for (uint32_t i = 0; i < count; i++) {
        struct entry e = { .event = events[i], .continued = i > 0, .topic = topic };
        if (hashes && event_hash_is_set(hashes[i]))
            e.dedup = span_of(hashes[i], EVENT_HASH_SIZE);
        if (terms) {
            e.expires_ms = terms[i].expires_ms;
            e.not_before_ms = terms[i].not_before_ms;
            e.delay_ms = terms[i].delay_ms;
        }
        struct record *r = record_push(&o->unsent);
        *r = (struct record){ .cookie = cookie,
                              .size = (uint32_t)events[i].size,
                              .index = i,
                              .deadline = deadline,
                              .act = act,
                              .continued = i > 0,
                              .once = wait_ms == 0 };
        add_entry(c, o, r, &e);
    }
    count_unsent(c, o, count, bytes, act);
    return true;
}

/* Prefetches the next event's room while this one is written: little of a window of hundreds is in the cache, and a
 * write that misses it delays everything after it. */
uint8_t *client_reserve(struct client *c, struct span queue, size_t most)
{
    struct outlet *o = c->last_outlet;
    if (!o || !span_equal(span_of(o->name, o->name_size), queue))
        o = name_valid(queue) ? outlet_of(c, queue) : NULL;
    if (!o || most > RESERVE_MOST)
        return NULL;
    size_t room = ENTRY_HEAD + most + ENTRY_TAIL;
    struct buf *b = &block_for(c, o, room)->bytes;
    uint8_t *at = b->data + b->size;
    for (size_t i = room; i < 2 * room && b->size + i < b->capacity; i += CACHE_LINE)
        __builtin_prefetch(at + i, 1);
    c->reserved_outlet = o;
    return at + ENTRY_HEAD;
}

bool client_publish_reserved(struct client *c, size_t size, const uint8_t *hash, uint32_t wait_ms, void *cookie,
                             struct now now, enum reason *why)
{
    struct span event = { .size = size };
    struct outlet *o = c->reserved_outlet;
    struct block *block = c->open_block;
    uint64_t bytes;
    c->now = now;
    if (!check(c, &event, 1, &bytes, why))
        return false;
    mono_t deadline = mono_add_ms(now.mono, wait_ms);
    struct record *r = record_push(&o->unsent);
    *r = (struct record){
        .cookie = cookie, .size = (uint32_t)size, .deadline = deadline, .act = act_at(c, deadline), .once = wait_ms == 0
    };
    size_t offset = block->bytes.size;
    frame_add_entry_in_place(&block->bytes, size, hash);
    block_add(block, offset, r);
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

/* Only what is not being given up already. The deadline changes, too, because what is sent again acts by it. */
static void end_wait(struct client *c, struct outlet *o, const struct records *records, const void *cookie)
{
    mono_t now = c->now.mono;
    for (uint32_t i = 0; i < records->count; i++) {
        struct record *r = record_at(records, i);
        if (r->cookie != cookie || (r->state != RECORD_UNSENT && r->state != RECORD_SENT))
            continue;
        r->deadline = mono_min(r->deadline, now);
        r->act = mono_min(r->act, now);
        o->act = mono_min(o->act, now);
    }
}

void client_publish_end_wait(struct client *c, void *cookie)
{
    for (struct outlet *o = c->outlets; o; o = o->hh.next) {
        end_wait(c, o, &o->sent, cookie);
        end_wait(c, o, &o->unsent, cookie);
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

static void note_sent(struct client *c, struct record *r)
{
    c->sent_events++;
    c->sent_bytes += r->size;
    if (r->state == RECORD_UNSENT || r->state == RECORD_SENT) {
        r->state = RECORD_SENT;
        r->act = mono_add_ms(r->deadline, r->once ? ANSWER_MS : GRACE_MS);
    }
}

static void write_entry(struct client *c, struct record *r, uint32_t wait_ms)
{
    frame_add_entry_again(&c->out, record_content(r), time_left(c, r), wait_ms);
    block_spoil(r->block);
    note_sent(c, r);
}

/* Decisions nearly always arrive in order, so a frame's remaining entries are at the front. */
static void move_out_of_thin_frame(struct client *c, struct outlet *o)
{
    struct block *b = o->sent.count ? record_at(&o->sent, 0)->block : NULL;
    if (b && block_is_thin(c, b))
        records_move_out(&o->sent, b);
}

/* Sent at the latest one second after a decision. */
static void write_seen(struct client *c, struct outlet *o)
{
    o->seen_due = MONO_NEVER;
    move_out_of_thin_frame(c, o);
    if (o->base - 1 == o->seen_told)
        return;
    o->seen_told = o->base - 1;
    frame_add_seen(&c->out, span_str(o->name), o->seen_told);
}

/* Skips for entries that this session has sent; write_again handles the rest. False when the link has no room for
 * all. */
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

/* Skips and Seens need no window, so they must not wait behind entries that do. */
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

/* After a lost session: sends undecided entries again under their old numbers, or as a Skip if nobody waits for them
 * any more. False when the window or the link had no room for all. */
static bool write_again(struct client *c, struct outlet *o)
{
    if (o->resend && o->resend < o->base)
        o->resend = o->base; /* decided meanwhile; there may be no record left */
    while (o->resend && o->resend < o->base + o->sent.count) {
        struct record *r = record_at(&o->sent, (uint32_t)(o->resend - o->base));
        if (r->state == RECORD_DECIDED) {
            o->resend++;
            continue;
        }
        if (r->state != RECORD_SENT || r->doomed) {
            c->out_comes_first = true;
            frame_add_skip(&c->out, span_str(o->name), o->resend++, 1);
            continue;
        }
        if (!window_open(c, r) || !client_next_frame(c))
            return false;
        c->out_comes_first = true;
        uint32_t wait_ms = time_left(c, r);
        struct open_body open = frame_begin_publish(&c->out, span_str(o->name), o->resend, wait_ms);
        for (; r->state == RECORD_SENT && !r->doomed && window_open(c, r) && !client_frame_is_full(c);) {
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

static struct record *move_to_sent(struct client *c, struct outlet *o)
{
    struct record *to = record_push(&o->sent);
    *to = *record_at(&o->unsent, 0);
    record_pop(&o->unsent);
    c->unsent_events--;
    c->unsent_bytes -= to->size;
    return to;
}

/* Can the block of the first unsent entry be lent? It becomes one Publish, so all its entries must have the same
 * wait, and the window must have room for all of them. */
static bool may_lend(const struct client *c, const struct outlet *o)
{
    const struct record *first = record_at(&o->unsent, 0);
    uint32_t count = first->block->entries;
    uint64_t bytes = 0;
    if (first->block->outlet != o || !block_may_lend(c, first->block) || c->sent_events + count > c->window_events)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct record *r = record_at(&o->unsent, i);
        bool waits_as_long = r->deadline.ns == first->deadline.ns && r->once == first->once;
        if (!waits_as_long && time_left(c, r) != time_left(c, first))
            return false;
        bytes += r->size;
    }
    return c->sent_bytes + bytes <= c->window_bytes;
}

/* False when the link has no room for it. */
static bool lend(struct client *c, struct outlet *o)
{
    if (c->lent_block || c->out_comes_first || c->out.size > BESIDE_MOST)
        client_seal(c);
    if (!link_room(&c->link))
        return false;
    struct record *first = record_at(&o->unsent, 0);
    uint32_t count = first->block->entries;
    block_lend(c, first->block, o->base + o->sent.count, time_left(c, first));
    for (; count; count--) {
        struct record *r = move_to_sent(c, o);
        note_sent(c, r);
        o->act = mono_min(o->act, r->act);
    }
    return true;
}

/* Copies entries into one Publish until the frame is full or the window is used up, so that no block of this
 * destination is sent before it. */
static void copy(struct client *c, struct outlet *o)
{
    uint32_t wait_ms = time_left(c, record_at(&o->unsent, 0));
    struct open_body open = frame_begin_publish(&c->out, span_str(o->name), o->base + o->sent.count, wait_ms);
    while (o->unsent.count && window_open(c, record_at(&o->unsent, 0)) && !client_frame_is_full(c)) {
        struct record *r = move_to_sent(c, o);
        write_entry(c, r, wait_ms);
        o->act = mono_min(o->act, r->act);
        record_drop_decided(&o->unsent);
    }
    frame_end(&c->out, open);
}

/* Sends unsent entries, as one Publish per frame. False when window or link had no room for all. */
static bool write_new(struct client *c, struct outlet *o)
{
    for (record_drop_decided(&o->unsent); o->unsent.count; record_drop_decided(&o->unsent)) {
        if (!window_open(c, record_at(&o->unsent, 0)) || !client_next_frame(c))
            return false;
        write_seen(c, o);
        if (!may_lend(c, o))
            copy(c, o);
        else if (!lend(c, o))
            return false;
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
    mono_t due =
        client_lingers(c) ? c->linger_due : MONO_NEVER; /* past that, something other than time holds them back */
    bool may_write = client_may_write(c);               /* otherwise a Seen waits for more than its time */
    for (const struct outlet *o = c->outlets; o; o = o->hh.next)
        due = mono_min(due, mono_min(may_write ? o->seen_due : MONO_NEVER, o->act));
    return due;
}

void publish_free(struct client *c)
{
    struct outlet *o, *next;
    HASH_ITER (hh, c->outlets, o, next)
        outlet_free(c, o);
    block_close(c);
    buf_free(&c->spare);
}
