/* Keys: in some worlds a queue has partitions or is ordered by key, and events have one of a few keys or none. Of each
 * key: first deliveries come in the order of their publisher; in a queue ordered by key, none comes before an earlier
 * event of the key is settled; and they go to one consumer at a time, whose fencing token never decreases. */
#include "tests/sim/sim.h"

#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"

#define ID(f) ((unsigned long long)(f)->id)

/* Not from the seed's own stream of numbers, so that worlds without keys stay what they were before there were keys. */
static uint64_t draw(const struct sim *s, unsigned queue, uint64_t below)
{
    uint64_t z = s->seed * 2 + queue + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* Not drawn either. Now and then every key and partition of the queue is stalled, behind more events than may be
 * looked at, and what is spilled takes all the memory that it may. Every ready event has to be delivered in the end,
 * to whoever wants it. */
void keys_pinch(struct sim *s)
{
    struct scenario *m = &s->scenario;
    m->pinched = s->seed % 12 == 2 || s->seed % 12 == 6;
    if (!m->pinched)
        return;
    m->tight = m->disk = true;
    m->deletes = m->topics = m->dead_letters = m->drops = m->full_disk = m->failing_disk = false;
}

static void draw_pinched(struct sim *s)
{
    s->config.look_ahead = 1 + (uint32_t)draw(s, 2, 8);
    s->config.memory_budget = 600 + draw(s, 5, 3500);
    s->capacity[0] = 40 + draw(s, 6, 200);
    s->partitions[0] = 1 + draw(s, 7, 4);
    s->ordered[0] = s->partitions[0] == 1 || draw(s, 8, 5) < 3;
    s->stubborn[0] = s->ordered[0] && draw(s, 9, 2);
}

void keys_draw(struct sim *s)
{
    s->config.look_ahead = 1 + (uint32_t)draw(s, 2, s->scenario.anything ? 5 : 20);
    for (unsigned q = 0; q < s->queues; q++) {
        uint64_t kind = draw(s, q, 16);
        s->ordered[q] = kind < 4;
        s->stubborn[q] = s->ordered[q] && draw(s, 3 + q, 2);
        s->partitions[q] = kind >= 2 && kind < 8 ? 2 + draw(s, q, 48) / 16 : 1;
    }
    if (s->scenario.drops &&
        s->scenario.disk) { /* so that sometimes an event that was spilled is dropped, and has room */
        s->partitions[0] += s->partitions[0] == 1;
        s->config.look_ahead = 1 + (uint32_t)draw(s, 2, 3);
        s->dead_capacity[0] = draw(s, 4, 4) ? 10000 : s->dead_capacity[0];
    }
    if (s->scenario.pinched)
        draw_pinched(s);
}

static bool has_keys(const struct sim *s, unsigned queue)
{
    return s->ordered[queue] || s->partitions[queue] > 1;
}

unsigned keys_of(const struct sim *s, unsigned queue, uint64_t id)
{
    return has_keys(s, queue) ? (unsigned)((id * 0x9e3779b97f4a7c15u >> 40) % SIM_KEYS) : 0;
}

/* A field of 64 bits, a type and a key where there are any, then the padding: enough for the broker to find the key
 * and match the filters; nothing else looks inside. */
size_t keys_put_event(const struct sim *s, const struct fact *f, uint8_t out[SIM_EVENT_HEAD])
{
    static const char attribute[] = "\x2a\x13\x0a\x0cpartitionkey\x12\x03\x1a\x01";
    size_t size = 9;
    (void)s;
    out[0] = 15 << 3 | WIRE_FIXED64;
    wire_store64(out + 1, f->id);
    if (f->by_topic) { /* the type: "a" to "d" */
        out[size++] = 4 << 3 | WIRE_BYTES;
        out[size++] = 1;
        out[size++] = (uint8_t)('a' + f->way);
    }
    if (f->key == 0)
        return size;
    memcpy(out + size, attribute, sizeof attribute - 1);
    out[size + sizeof attribute - 1] = (uint8_t)('a' + f->key);
    return size + sizeof attribute;
}

/* ------------------------------------------------------------------ order */

void keys_check_order(struct sim *s, const struct fact *f, struct life *life)
{
    if (f->producer >= sizeof life->newest_first[0] / sizeof life->newest_first[0][0])
        return;
    if (s->partitions[f->queue] > 1 && f->key == 0)
        return; /* an event without a key goes to any partition */
    uint64_t *newest = &life->newest_first[f->by_topic][f->producer][f->key];
    if (f->order < *newest)
        sim_wrong(s, "#%llu of c%llu came after a later one", ID(f), (unsigned long long)f->producer);
    *newest = f->order;
}

/* Is the event in the queue and unsettled? One that is doomed by failure has left its key already. */
static bool is_unsettled(struct sim *s, const struct fact *f, const struct life *life)
{
    bool there = s->on_disk[f->queue] || f->incarnation == life->incarnation;
    bool leaves = storing_is_dead(s, f) || storing_is_doomed_by_failure(s, f) || timing_may_have_expired(s, f);
    return f->sequence && there && !f->ack_asked && !f->duplicate && !leaves;
}

/* Must `g` be settled before `f` is delivered? So it must if it was delivered, whichever was accepted first; or if it
 * was not, and was accepted before and never delayed (keys_check_began knows when delayed events were due). */
static bool stands_before(const struct sim *s, const struct fact *g, const struct fact *f, const struct life *life)
{
    bool came = g->handed_over && g->life == life, delayed = g->delayed || s->delay_ms[g->queue];
    if (g->sequence > f->sequence) /* a delivery whose lease ran out may arrive late */
        return came && s->scenario.long_leases;
    return g->sequence < f->sequence && (came || !delayed);
}

static void check_alone(struct sim *s, const struct fact *f, const struct life *life)
{
    bool may_vanish = s->scenario.purges || s->scenario.deletes || s->scenario.redrives ||
                      (s->scenario.dead_letters && f->queue == f->origin);
    if (!s->ordered[f->queue] || f->key == 0 || may_vanish || life->incarnation != s->config.incarnation)
        return;
    for (size_t i = s->fact_count; i-- > 0;) {
        const struct fact *g = s->facts[i];
        if (g->queue == f->queue && g->key == f->key && stands_before(s, g, f, life) && is_unsettled(s, g, life))
            sim_wrong(s, "#%llu came while #%llu of the same key was not settled", ID(f), ID(g));
    }
}

void keys_check_delivery(struct sim *s, const struct fact *f, const struct client_delivery *d, struct life *life)
{
    check_alone(s, f, life);
    uint64_t *newest = &life->newest_fence[f->key];
    if (f->key == 0 || !s->scenario.long_leases) /* a delivery whose lease ran out may arrive late */
        return;
    if (d->fence < *newest)
        sim_wrong(s, "#%llu was handed over under token %llu after token %llu", ID(f), (unsigned long long)d->fence,
                  (unsigned long long)*newest);
    *newest = d->fence;
}

struct beginning {
    const struct core *core;
    struct queue *queue;
    uint64_t key, sequence, other;
    bool failed; /* before this run: it was its key's current event already */
};

static bool find_other(void *context, uint64_t sequence, struct item *item)
{
    struct beginning *b = context;
    bool ordered = b->queue->partitions->ordered;
    bool earlier = item->state == ITEM_READY && sequence < b->sequence && !b->failed;
    bool beside = ordered && item->state == ITEM_IN_FLIGHT && sequence != b->sequence;
    if ((earlier || beside) && partition_key(b->core, b->queue, item) == b->key)
        b->other = sequence;
    return b->other == 0;
}

void keys_check_began(struct sim *s, struct queue *q, uint64_t sequence, const struct item *item)
{
    struct beginning b = { .core = s->core, .queue = q, .sequence = sequence };
    b.key = q->partitions ? partition_key(s->core, q, item) : 0;
    b.failed = trouble_find(q, sequence) != NULL;
    if (b.key)
        queue_each(q, 0, find_other, &b);
    if (b.other)
        sim_fail(s, "%s delivers %llu, and %llu of the same key is to be settled before it", q->name,
                 (unsigned long long)sequence, (unsigned long long)b.other);
}

/* ------------------------------------------------------------------ shares */

void keys_check_shares(struct sim *s, const struct queue *q)
{
    uint64_t least = UINT64_MAX, most = 0, owned = 0, active = 0;
    const struct partitions *p = q->partitions;
    if (!p || !q->consumers)
        return;
    for (const struct consumer *k = q->consumers; k && active < p->count; k = k->queue_next, active++) {
        uint64_t share = 0;
        for (uint32_t i = 0; i < p->count; i++)
            share += (p->at[i].heir ? p->at[i].heir : p->at[i].owner) == k;
        least = share < least ? share : least;
        most = share > most ? share : most;
        owned += share;
    }
    if (owned != p->count || most > least + 1)
        sim_fail(s, "%s: of %u partitions one consumer has %llu, another %llu", q->name, p->count,
                 (unsigned long long)most, (unsigned long long)least);
}

/* ------------------------------------------------------------------ stalled keys and partitions */

#define STUBBORN_KEY 1u
#define STUBBORN_MS  8000u
/* A key is stalled at the latest when its newest delivery has been in flight for a second (SPILL_STALLED_MS). */
#define STILL_MOST_MS 5000

uint64_t keys_fails_for(struct sim *s, const struct fact *f)
{
    bool stubborn = !s->calm && s->stubborn[f->queue] && f->key == STUBBORN_KEY;
    return stubborn && sim_chance(s, 80) ? STUBBORN_MS : 0;
}

/* Does a consumer want more, while none of its events has been looked at? */
static bool is_hungry(const struct queue *q)
{
    for (uint32_t i = 0; i < q->partitions->count; i++) {
        const struct partition *p = &q->partitions->at[i];
        const struct link *l = p->owner ? &p->owner->session->link : NULL;
        if (partition_wants(p) && l->open && link_room(l) && p->ready.count == 0 && p->spill.events == 0)
            return true;
    }
    return false;
}

void keys_check_progress(struct sim *s, struct queue *q)
{
    unsigned i = sim_queue_index(q->name);
    uint64_t end = queue_deliverable_end(q);
    /* A stopping broker delivers no more. In a pinched world, where consumers are slow, each redelivery starts anew. */
    bool flows = q->partitions && q->durable && !q->paused && !s->stops_at && !s->scenario.pinched;
    bool still = flows && partition_is_full(s->core, q) && !spill_is_exhausted(s->core) && q->next_ready < q->loaded &&
                 q->next_ready < end && is_hungry(q);
    if (!still || s->still_since[i] == 0 || s->still_at[i] != q->next_ready) {
        s->still_since[i] = still ? s->now : 0;
        s->still_at[i] = q->next_ready;
    }
    if (still && s->now - s->still_since[i] > STILL_MOST_MS * MS)
        sim_fail(s, "%s: stalled events hold up the others from %llu on", q->name, (unsigned long long)q->next_ready);
}
