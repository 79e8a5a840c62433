/* Peek: shows events without taking them. A page starts with what is in memory and is answered at once; if there is
 * nothing in memory to start with, it is read from the disk and the answer follows. A page may be shorter than asked
 * for; `next` says where to go on. */
#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define PEEK_DEFAULT    10u
#define PEEK_MOST       1000u
#define PEEK_BYTES_MOST (4u << 20)
/* At most so many pages are read from the disk at a time; further requests are refused as busy. */
#define PENDING_PEEKS_MOST 16u

/* A request whose page is being read from the disk. */
struct pending_peek {
    uint64_t tag;
    struct route route;
    struct token id; /* of the request */
    uint32_t queue, max;
    enum event_state state;
    size_t max_bytes;
    struct pending_peek *next;
};

struct page {
    struct core *core;
    struct queue *queue;
    enum event_state state;
    struct peeked *events;
    size_t count, max, bytes, max_bytes;
    uint64_t next;
    uint64_t limit; /* the first event on disk only, where the page ends; 0: none */
};

static enum event_state state_of(const struct item *item)
{
    return item->state == ITEM_READY ? STATE_READY : item->state == ITEM_IN_FLIGHT ? STATE_IN_FLIGHT : STATE_DELAYED;
}

/* The event of the same key that ready event `sequence`, with bytes `event`, waits for; 0: none. */
static uint64_t blocker(const struct queue *q, uint64_t sequence, struct span event)
{
    char number[EVENT_KEY_NUMBER];
    if (!q->partitions || !q->partitions->ordered)
        return 0;
    return key_blocker(q, event_key_hash(event_key(event, number)), sequence);
}

/* Adds an event; false when the page is full and the next one begins with it. */
static bool add(struct page *p, uint64_t sequence, store_locator at, uint32_t size, uint16_t attempt)
{
    if (p->count == p->max || (p->count && p->bytes + size > p->max_bytes)) {
        p->next = sequence;
        return false;
    }
    struct span event = queue_event(p->core, p->queue, at);
    p->events[p->count++] = (struct peeked){
        .sequence = sequence,
        .state = p->state,
        .attempt = attempt,
        .event = event,
        .parked_behind = p->state == STATE_READY ? blocker(p->queue, sequence, event) : 0,
        .trouble = trouble_info(trouble_find(p->queue, sequence)),
    };
    p->bytes += size;
    return true;
}

static bool add_item(void *ctx, uint64_t sequence, struct item *item)
{
    struct page *p = ctx;
    if (p->limit && sequence >= p->limit)
        return false;
    return state_of(item) != p->state || add(p, sequence, item->at, item->size, item->attempt);
}

/* Adds the dead events whose bytes are in memory. */
static void add_dead(struct page *p, uint64_t from)
{
    for (struct trouble *t = dead_next(p->queue, NULL); t; t = dead_next(p->queue, t)) {
        if (t->sequence >= from && t->at && !add(p, t->sequence, t->at, t->size, t->attempt))
            return;
    }
}

static void answer(const struct page *p, struct reply *reply)
{
    if (p->state == STATE_DELAYED && p->count && p->queue->schedule)
        schedule_describe(p->core, p->queue, p->events, p->count);
    if (p->state != STATE_DEAD && p->count && p->queue->schedule)
        schedule_describe_expiry(p->queue, p->events, p->count);
    reply->result = RESULT_PEEKED;
    reply->u.peeked.events = p->events;
    reply->u.peeked.count = p->count;
    reply->u.peeked.next = p->next;
}

/* The first dead event >= from that is on disk only; 0: none. */
static uint64_t first_dead(struct queue *q, uint64_t from)
{
    struct trouble *t = dead_next(q, NULL);
    while (t && (t->sequence < from || t->at))
        t = dead_next(q, t);
    return t ? t->sequence : 0;
}

/* The first event >= from in that state that is on disk only; 0: none. */
static uint64_t first_on_disk(struct queue *q, enum event_state state, uint64_t from)
{
    uint64_t first = UINT64_MAX, unparked, spilled, end;
    if (state == STATE_DEAD)
        return first_dead(q, from);
    if (!q->durable || state == STATE_IN_FLIGHT)
        return 0;
    if (state == STATE_DELAYED)
        return q->schedule && ranges_next(&q->schedule->parked, from, &first, &end) && first < q->durable->end ? first
                                                                                                               : 0;
    if (!ranges_next(&q->durable->backlog, from, &first, &end))
        first = UINT64_MAX;
    if (q->schedule && ranges_next(&q->schedule->unparked, from, &unparked, &end) && unparked < first)
        first = unparked;
    if (q->partitions && spill_set_next(&q->partitions->spill.all, from, &spilled) && spilled < first)
        first = spilled;
    return first < q->durable->end ? first : 0;
}

struct search {
    enum event_state state;
    uint64_t found;
};

static bool find_state(void *ctx, uint64_t sequence, struct item *item)
{
    struct search *s = ctx;
    if (state_of(item) == s->state)
        s->found = sequence;
    return s->found == 0;
}

/* The first item >= from in that state; 0: none. */
static uint64_t first_item(struct queue *q, enum event_state state, uint64_t from)
{
    struct search s = { state, 0 };
    if (state != STATE_DEAD)
        queue_each(q, from, find_state, &s);
    return s.found;
}

static void load_page(struct core *c, const struct page *p, uint64_t from, const struct request *r,
                      const struct route *route)
{
    uint64_t bytes = p->max * (p->queue->bytes / (queue_remaining(p->queue) + 1) + 200);
    struct pending_peek *peek = xcalloc(1, sizeof *peek);
    *peek = (struct pending_peek){
        .tag = load_tag(LOAD_PEEK, ++c->load_counter),
        .route = *route,
        .id = r->id,
        .queue = p->queue->id,
        .state = p->state,
        .max = (uint32_t)p->max,
        .max_bytes = p->max_bytes,
        .next = c->pending_peeks,
    };
    c->pending_peeks = peek;
    c->pending_peek_count++;
    c->disk->ops->load(c->disk, peek->queue, from, bytes < p->max_bytes ? bytes : p->max_bytes, peek->tag);
}

static uint32_t least(uint32_t wanted, uint32_t fallback, uint32_t most)
{
    uint32_t value = wanted ? wanted : fallback;
    return value < most ? value : most;
}

bool peek_request(struct core *c, struct queue *q, const struct request *r, const struct route *route,
                  struct reply *reply, struct arena *arena)
{
    struct page p = { .core = c, .queue = q, .state = r->u.peek.state };
    p.max = least(r->u.peek.max, PEEK_DEFAULT, PEEK_MOST);
    p.max_bytes = least(r->u.peek.max_bytes, PEEK_BYTES_MOST, PEEK_BYTES_MOST);
    p.events = arena_alloc(arena, p.max * sizeof *p.events);
    p.limit = p.state == STATE_DEAD ? 0 : first_on_disk(q, p.state, r->u.peek.from);
    if (p.state == STATE_DEAD)
        add_dead(&p, r->u.peek.from);
    else
        queue_each(q, r->u.peek.from, add_item, &p);
    uint64_t on_disk = p.next ? 0 : p.limit ? p.limit : first_on_disk(q, p.state, r->u.peek.from);
    if (on_disk && p.count == 0 && c->pending_peek_count < PENDING_PEEKS_MOST) {
        load_page(c, &p, on_disk, r, route);
        return false;
    }
    if (on_disk && p.count == 0) {
        reply->reason = REASON_busy;
        reply->detail = "too many pages are being read from the disk already; retry in a moment";
        return true;
    }
    p.next = p.next ? p.next : on_disk;
    answer(&p, reply);
    return true;
}

/* ------------------------------------------------------------------ from the disk */

static struct pending_peek *take_pending(struct core *c, uint64_t tag)
{
    struct pending_peek **at = &c->pending_peeks;
    while (*at && (*at)->tag != tag)
        at = &(*at)->next;
    struct pending_peek *peek = *at;
    if (peek) {
        *at = peek->next;
        c->pending_peek_count--;
    }
    return peek;
}

/* Is the loaded event still in the state that was asked for? Sets its `attempt`. */
static bool is_shown(const struct page *p, uint64_t sequence, uint16_t *attempt)
{
    struct queue *q = p->queue;
    const struct item *item = queue_item(q, sequence);
    const struct trouble *t = p->state == STATE_DEAD ? trouble_find(q, sequence) : NULL;
    *attempt = t ? t->attempt : item ? item->attempt : backlog_attempt(q, sequence);
    if (p->state == STATE_DEAD)
        return t && t->dead;
    if (item)
        return state_of(item) == p->state;
    enum backlog_place where = backlog_where(q, sequence);
    return where != BACKLOG_NOWHERE && (where == BACKLOG_PARKED) == (p->state == STATE_DELAYED);
}

/* The smaller one; 0 means none. */
static uint64_t first_of(uint64_t a, uint64_t b)
{
    return a && (!b || a < b) ? a : b;
}

/* Fills the page with the loaded events that are still in the state that was asked for. */
static void add_loaded(struct page *p, const struct store_completion *done)
{
    struct queue *q = p->queue;
    uint64_t last = 0, item = done->count ? first_item(q, p->state, done->events[0].sequence) : 0;
    for (size_t i = 0; i < done->count; i++) {
        const struct store_loaded *e = &done->events[i];
        uint16_t attempt;
        if (item && item < e->sequence)
            break; /* an event in memory comes before this one */
        if (is_shown(p, e->sequence, &attempt) && !add(p, e->sequence, e->locator, e->size, attempt))
            return;
        last = e->sequence;
    }
    p->next = last ? first_of(first_on_disk(q, p->state, last + 1), first_item(q, p->state, last + 1)) : 0;
}

void peek_loaded(struct core *c, const struct store_completion *done)
{
    struct pending_peek *peek = take_pending(c, done->tag);
    struct arena arena;
    struct reply reply = { .id = peek->id, .detail = "" };
    struct page p = { .core = c, .state = peek->state, .max = peek->max, .max_bytes = peek->max_bytes };
    arena_init(&arena, 1u << 20);
    p.events = arena_alloc(&arena, p.max * sizeof *p.events);
    p.queue = queue_by_id(c, peek->queue);
    if (p.queue)
        add_loaded(&p, done);
    answer(&p, &reply);
    if (!p.queue) {
        reply.reason = REASON_deleted;
        reply.result = RESULT_NONE;
    }
    core_reply(c, &peek->route, &reply);
    for (size_t i = 0; i < done->count; i++)
        c->disk->ops->release(c->disk, done->queue, done->events[i].locator);
    arena_free(&arena);
    free(peek);
}

void peek_free(struct core *c)
{
    while (c->pending_peeks) {
        struct pending_peek *peek = c->pending_peeks;
        c->pending_peeks = peek->next;
        free(peek);
    }
}
