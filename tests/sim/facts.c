/* What must hold, seen from outside: no confirmed event is lost, none is invented, doubled, or sent again under
 * another number; order, batches accepted as prefixes, one active consumer, attempts, receipts that settle only what
 * is current. */
#include "tests/sim/sim.h"

#include "broker/core/deliver/doomed.h"
#include "broker/core/deliver/trouble.h"

#include "base/xalloc.h"
#include "clients/core/client_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define ID(f) ((unsigned long long)(f)->id)
/* So long after the last disturbance it may still be the cause of an unknown outcome. */
#define QUIET_MS 4000
/* A client may take so long to notice that the broker was restarted. */
#define UNNOTICED_MS 8000

/* ------------------------------------------------------------------ publishing */

struct fact *fact_published(struct sim *s, struct actor *a, unsigned queue, uint32_t batch_index)
{
    struct fact *f = xcalloc(1, sizeof *f);
    if (s->fact_count == s->fact_capacity) {
        s->fact_capacity = s->fact_capacity ? s->fact_capacity * 2 : 1024;
        s->facts = xrealloc(s->facts, s->fact_capacity * sizeof(struct fact *));
    }
    f->id = s->fact_count;
    f->queue = f->origin = queue;
    f->producer = a->instance;
    f->order = ++a->orders[queue];
    f->batch_index = batch_index;
    f->key = keys_of(s, queue, f->id);
    f->published = s->now;
    s->facts[s->fact_count++] = f;
    return f;
}

void fact_join(const struct sim *s, struct fact *one, struct fact *other)
{
    other->sibling = one->sibling ? one->sibling : one;
    one->sibling = other;
    other->by_topic = true;
    other->order = one->order;
    other->key = one->key ? keys_of(s, other->queue, one->id) : 0; /* the event's key is drawn for the first queue */
}

static struct fact *fact_of(const struct sim *s, struct span event)
{
    uint64_t id = event.size >= 9 ? wire_load64(event.data + 1) : UINT64_MAX;
    return id < s->fact_count ? s->facts[id] : NULL;
}

static uint64_t sessions_begun(const struct actor *a)
{
    struct client_stats stats;
    client_stats(a->client, &stats);
    return stats.attaches - stats.resumes;
}

void fact_sent(struct sim *s, struct actor *a, struct span event, uint64_t number)
{
    struct fact *f = fact_of(s, event);
    if (!f)
        sim_fail(s, "c%llu sends an event that nobody published", (unsigned long long)a->instance);
    else if (f->sent && (f->number != number || !token_equal(f->sent_as, a->producer)))
        sim_fail(s, "#%llu is sent again under another number", ID(f));
    else if (!f->sent && publishing_number_is_taken(s, a, f, number))
        sim_fail(s, "#%llu is sent under the number of another event", ID(f));
    else {
        struct fact *each = f;
        do {
            each->sent = true;
            each->number = number;
            each->sent_as = a->producer;
            each->sent_in = sessions_begun(a);
            each = each->sibling;
        } while (each && each != f);
    }
}

static bool refused(const struct fact *f)
{
    return f->outcomes && f->reason != REASON_ok && f->reason != REASON_unknown;
}

/* Was an earlier entry of its batch certainly refused? */
static bool prefix_refused(const struct sim *s, const struct fact *f)
{
    for (uint32_t back = 1; back <= f->batch_index; back++) {
        if (refused(s->facts[f->id - back]))
            return true;
    }
    return false;
}

/* The queue certainly has, or had, the event. */
static void accepted(struct sim *s, struct fact *f, uint64_t sequence, uint64_t incarnation)
{
    if (refused(f))
        sim_wrong(s, "#%llu was refused (%s) and yet is in the queue", ID(f), reason_info(f->reason)->name);
    bool same = f->sequence == sequence && (s->on_disk[f->queue] || f->incarnation == incarnation);
    bool redriven = s->scenario.redrives; /* maybe it is a new event by now, and was never handed over as the old one */
    if (f->sequence && !same && !redriven)
        sim_wrong(s, "#%llu has sequences %llu and %llu: doubled", ID(f), (unsigned long long)f->sequence,
                  (unsigned long long)sequence);
    if (redriven && sequence < f->sequence)
        return; /* a late confirm */
    f->sequence = sequence;
    f->incarnation = incarnation;
    if (prefix_refused(s, f))
        sim_wrong(s, "#%llu was accepted behind a refused entry of its batch", ID(f));
}

#define WINDOW_MS 110000 /* a bit less than the dedup window; a tight budget may forget earlier */

/* Of events with the same source and id, a queue accepts only one within its dedup window. Across a restart ages go by
 * the wall clock, which may have been set. */
static void check_twins(struct sim *s, const struct fact *f, uint64_t sequence, uint64_t incarnation)
{
    struct fact *first = f->twin ? f->twin : s->facts[f->id];
    bool lasts = s->on_disk[f->origin] || first->kept_by == incarnation;
    bool apart = s->scenario.deletes || s->scenario.redrives || s->scenario.tight ||
                 s->now - first->published > WINDOW_MS * MS || s->wall_offset_ms != 0;
    if (first->kept && first->kept != sequence && lasts && !apart && s->scenario.repeats)
        sim_wrong(s, "#%llu is in the queue as %llu, and the same event as %llu", ID(f), (unsigned long long)sequence,
                  (unsigned long long)first->kept);
    first->kept = sequence;
    first->kept_by = incarnation;
}

static void duplicate(struct sim *s, struct fact *f, uint64_t sequence, uint64_t incarnation)
{
    if (!s->scenario.repeats || f->handed_over || f->sequence)
        sim_wrong(s, "#%llu is in the queue, and said to be a duplicate", ID(f));
    f->duplicate = true;
    check_twins(s, f, sequence, incarnation);
}

static void confirmed(struct sim *s, struct fact *f, uint64_t sequence, uint64_t incarnation, uint32_t flags)
{
    if (((flags & RUN_DURABLE) != 0) != s->on_disk[f->origin])
        sim_wrong(s, "#%llu: its receipt says %sdurable", ID(f), flags & RUN_DURABLE ? "" : "not ");
    if (flags & RUN_DUPLICATE) {
        duplicate(s, f, sequence, incarnation);
        return;
    }
    check_twins(s, f, sequence, incarnation);
    if (!fact_is_dead_letter(f)) /* else it died, and came as a dead letter before its confirm did */
        accepted(s, f, sequence, incarnation);
}

/* It was sent in an earlier session, and other entries that are sent again and wait for room fill the whole window:
 * not even a Skip can be sent. */
static bool waits_for_window(const struct actor *a, const struct fact *f)
{
    return f->sent_in != sessions_begun(a) && a->client->sent_events >= a->client->window_events;
}

static void check_unsure(struct sim *s, const struct actor *a, const struct fact *f)
{
    int64_t disturbed = waits_for_window(a, f) ? s->now : a->disturbed;
    if (s->on_disk[f->origin] && s->disk_disturbed > disturbed)
        disturbed = s->disk_disturbed;
    /* It was never sent, because the link led to a broker that was gone. */
    bool unnoticed = s->restarted && f->published - s->restarted < UNNOTICED_MS * MS;
    if (!f->sent && !unnoticed)
        sim_wrong(s, "#%llu was never sent, and yet its outcome is unknown", ID(f));
    if (s->now - disturbed > QUIET_MS * MS)
        sim_wrong(s, "#%llu: its outcome is unknown, though nothing stood between client and broker", ID(f));
    if (s->on_disk[f->origin] && s->now < f->deadline && !s->scenario.deletes)
        sim_wrong(s, "#%llu: its outcome is unknown before its time is over, though its queue is on disk", ID(f));
}

void fact_outcome(struct sim *s, struct actor *a, struct fact *f, const struct client_outcome *o, uint32_t offset)
{
    struct client_stats stats;
    client_stats(a->client, &stats);
    if (f->outcomes++)
        sim_fail(s, "#%llu got two outcomes", ID(f));
    f->reason = o->reason;
    if (o->reason == REASON_ok)
        confirmed(s, f, o->sequence + offset, stats.incarnation, o->flags);
    else if (o->reason == REASON_unknown)
        check_unsure(s, a, f);
    else if (f->sequence && s->config.confirm_synced) /* else the broker may have delivered it and lost it since */
        sim_fail(s, "#%llu is in the queue and yet was refused (%s)", ID(f), reason_info(o->reason)->name);
    else if (o->reason == REASON_unavailable && f->sent && f->sent_in == sessions_begun(a) &&
             !s->on_disk[f->origin]) /* else a restarted broker may know for certain, or an earlier session's */
        sim_wrong(s, "#%llu was sent, and yet is said to be certainly not accepted", ID(f));
}

/* ------------------------------------------------------------------ deliveries */

static struct life *life_of(struct sim *s, uint64_t incarnation, uint32_t queue_id)
{
    for (size_t i = 0; i < s->life_count; i++) {
        if (s->lives[i]->incarnation == incarnation && s->lives[i]->queue_id == queue_id)
            return s->lives[i];
    }
    if (s->life_count == sizeof s->lives / sizeof *s->lives) {
        sim_fail(s, "the queues have too many lives");
        return s->lives[0];
    }
    struct life *l = s->lives[s->life_count++] = xcalloc(1, sizeof *l);
    l->incarnation = incarnation;
    l->queue_id = queue_id;
    return l;
}

/* The queue's lifetime in which the receipt was written, found by the runs' receipt keys. */
static struct life *read_life(struct sim *s, const struct client_delivery *d)
{
    struct receipt r;
    for (uint64_t i = s->config.incarnation; i > 0; i--) {
        if (receipt_read(s->receipt_keys[i], d->receipt, &r) && r.incarnation == i)
            return life_of(s, i, r.queue_id);
    }
    sim_fail(s, "a receipt that no broker wrote");
    return NULL;
}

/* Within one activation of a consumer, and with long leases, every delivery reaches the program or goes back
 * uncounted. */
static void check_attempt(struct sim *s, const struct fact *f, const struct client_delivery *d, const struct life *life)
{
    if (!s->scenario.long_leases || s->scenario.redrives || f->handed_over == 0 || f->life != life ||
        s->partitions[f->queue] > 1 || /* another consumer may have had it meanwhile */
        f->epoch != d->consumer_epoch)
        return;
    uint32_t expected = f->attempt + (f->released ? 0 : 1);
    bool unanswered = f->release_asked && d->attempt == f->attempt; /* its answer is still waiting for the disk */
    if (d->attempt != expected && !unanswered)
        sim_wrong(s, "#%llu came with attempt %u instead of %u", ID(f), d->attempt, expected);
}

static void become_newest(struct fact *f, const struct client_delivery *d, struct life *life)
{
    f->life = life;
    f->epoch = d->consumer_epoch;
    f->attempt = d->attempt;
    f->delivery = d->delivery;
    f->released = f->release_asked = false;
}

bool fact_is_dead_letter(const struct fact *f)
{
    return f->queue != f->origin;
}

/* It is delivered from the dead-letter queue for the first time: from now on it is an event of that queue. */
static void become_dead_letter(struct sim *s, struct fact *f, unsigned queue)
{
    sim_trace(s, "#%llu comes as a dead letter", ID(f));
    f->queue = queue;
    f->sequence = 0;
    f->handed_over = 0;
    f->dropped = false;
    f->dropped_by = 0;
    f->life = NULL;
}

/* May it be delivered from that queue? *late: the delivery began before the event died there. */
static bool is_in_place(struct sim *s, struct fact *f, unsigned queue, const struct life *life, bool *late)
{
    *late = false;
    if (f->queue == queue)
        return true;
    if (s->scenario.dead_letters && !fact_is_dead_letter(f) && queue == 1) {
        become_dead_letter(s, f, queue);
        return true;
    }
    *late = fact_is_dead_letter(f) && queue == f->origin && life->incarnation <= f->life->incarnation;
    return *late;
}

/* Of an event that went to several queues: the fact for that queue; `f` itself if there is none. */
static struct fact *in_queue(struct fact *f, unsigned queue)
{
    struct fact *each = f;
    while (each->queue != queue && each->sibling != f)
        each = each->sibling;
    return each->queue == queue ? each : f;
}

struct fact *fact_handed_over(struct sim *s, struct actor *a, const struct client_delivery *d,
                              struct receipt_seen *seen)
{
    struct fact *f = fact_of(s, d->event);
    struct life *life = read_life(s, d);
    if (f && f->sibling)
        f = in_queue(f, sim_queue_index(d->queue));
    bool late = false;
    if (!f || !life || !is_in_place(s, f, sim_queue_index(d->queue), life, &late))
        sim_wrong(s, "an event that nobody published to %s, or that is elsewhere", d->queue);
    if (s->failed || late)
        return NULL;
    if (f->duplicate)
        sim_wrong(s, "#%llu was confirmed as a duplicate, and is delivered", ID(f));
    if (!fact_is_dead_letter(f))
        check_twins(s, f, d->sequence, life->incarnation);
    accepted(s, f, d->sequence, life->incarnation);
    /* (A late delivery from before the restart does not count: its run is the older one.) */
    bool counted = f->handed_over && (f->attempt > 1 || !(f->released || f->release_asked));
    if (counted && f->life->incarnation < life->incarnation && d->attempt < 2 && !s->scenario.redrives)
        sim_wrong(s, "#%llu comes again after a restart as if for the first time", ID(f));
    bool redriven =
        s->scenario.redrives && d->sequence < f->sequence; /* it died while this was in transit, and was redriven */
    if (f->acked && life->incarnation >= f->acked_by && !redriven) /* not by a late delivery, as above */
        sim_wrong(s, "#%llu was delivered after its ack was confirmed", ID(f));
    if (f->dropped && life->incarnation >= f->dropped_by)
        sim_wrong(s, "#%llu was delivered after it was dropped", ID(f));
    if (d->consumer_epoch < life->newest_epoch && s->partitions[f->queue] == 1)
        sim_wrong(s, "#%llu was handed to c%llu under epoch %llu after epoch %llu", ID(f),
                  (unsigned long long)a->instance, (unsigned long long)d->consumer_epoch,
                  (unsigned long long)life->newest_epoch);
    /* Redriven events and dead letters join at the tail, out of order. */
    if (d->attempt == 1 && f->handed_over == 0 && !s->scenario.redrives && !fact_is_dead_letter(f) && !f->delayed)
        keys_check_order(s, f, life);
    keys_check_delivery(s, f, d, life);
    check_attempt(s, f, d, life);
    life->newest_epoch = d->consumer_epoch;
    if (!f->handed_over || f->life->incarnation <= life->incarnation)
        become_newest(f, d, life);
    f->handed_over++;
    s->handed_over++;
    *seen = (struct receipt_seen){
        .fact = f, .queue = f->queue, .life = life, .epoch = d->consumer_epoch, .delivery = d->delivery
    };
    snprintf(seen->text, sizeof seen->text, "%.*s.%llu", (int)d->receipt.size, (const char *)d->receipt.data,
             (unsigned long long)d->receipt_index);
    return f;
}

/* ------------------------------------------------------------------ settlements */

static bool is_newest(const struct receipt_seen *r)
{
    const struct fact *f = r->fact;
    return f->life == r->life && f->epoch == r->epoch && f->delivery == r->delivery;
}

bool fact_is_void(const struct receipt_seen *r)
{
    return !is_newest(r);
}

static bool lives(const struct sim *s, const struct life *life)
{
    for (uint32_t i = 0; i < s->core->queue_count; i++) {
        if (s->core->by_name[i]->id == life->queue_id)
            return life->incarnation == s->config.incarnation;
    }
    return false;
}

static void check_repetition(struct sim *s, struct asked *w, enum settle_result result)
{
    const struct receipt_seen *r = &w->seen;
    bool remembered = r->acked_at && r->life->acks - r->acked_at < 200;
    if (remembered && result == SETTLED_EXPIRED && lives(s, r->life))
        sim_wrong(s, "#%llu: a repeated ack was not answered as the first was", ID(r->fact));
    for (unsigned i = 0; i < SIM_RECEIPTS && result == SETTLED_ACKED && w->request; i++) {
        if (strcmp(s->receipts[i].text, r->text) == 0 && s->receipts[i].acked_at == 0)
            s->receipts[i].acked_at = r->life->acks;
    }
}

/* If the answer was in transit when its broker crashed, the event may have come back. */
static void acked(struct sim *s, const struct actor *a, struct asked *w)
{
    struct fact *f = w->seen.fact;
    struct client_stats stats;
    client_stats(a->client, &stats);
    w->seen.life->acks++;
    if (stats.incarnation < s->config.incarnation && !s->clean[stats.incarnation] && storing_has_returned(s, f))
        return;
    f->acked = true;
    f->acked_by = stats.incarnation;
}

/* A restarted broker does not know which delivery before its start was the newest: it accepts a receipt of any. */
static bool before_start(const struct sim *s, const struct actor *a, const struct asked *w)
{
    struct client_stats stats;
    client_stats(a->client, &stats);
    bool went_back = w->seen.fact->release_asked; /* uncounted, as if it had never been delivered again */
    return s->on_disk[w->queue] && w->seen.life->incarnation < stats.incarnation &&
           (w->newer->incarnation < stats.incarnation || went_back);
}

enum settle_result asked_for(enum settle_kind kind)
{
    static const enum settle_result done_by[] = { SETTLED_ACKED,    SETTLED_NACKED,   SETTLED_EXTENDED,
                                                  SETTLED_RELEASED, SETTLED_DEFERRED, SETTLED_DROPPED };
    return done_by[kind];
}

/* When its consumer is told so, a dropped event is dead, or held back because there is no room; in both cases it is
 * never delivered again, however the broker ends. (A full disk may have no room for the note of one that is held
 * back.) */
static void dropped(struct sim *s, const struct asked *w)
{
    struct fact *f = w->seen.fact;
    struct queue *q = queue_find(s->core, span_str(sim_queue_name(f->queue)));
    bool same = q && w->seen.life->queue_id == q->id && w->seen.life->incarnation == s->config.incarnation;
    if (s->scenario.redrives || s->scenario.purges || s->scenario.deletes)
        return;
    f->dropped |= storing_is_dead(s, f);
    const struct trouble *t = same ? trouble_find(q, f->sequence) : NULL;
    bool dead_letters = s->scenario.dead_letters && f->queue == 0;
    bool held = (t && t->held) || (q && q->schedule && doomed_has(q->schedule, f->sequence));
    f->dropped |= same && held;
    if (f->dropped && f->dropped_by == 0)
        f->dropped_by = s->config.incarnation;
    bool stays =
        same && (dead_letters ? queue_item(q, f->sequence) && !held /* else it moved to the dead-letter queue */
                              : q->dead < q->settings.dead_capacity);
    if (stays && w->seen.queue == f->queue && !f->dropped && !timing_may_be_gone(s, f))
        sim_wrong(s, "#%llu was dropped, and is not dead", ID(f));
}

void fact_settled(struct sim *s, const struct actor *a, struct asked *w, enum settle_result result)
{
    struct fact *f = w->seen.fact;
    bool done = result == asked_for(w->kind);
    sim_trace(s, "#%llu (epoch %llu delivery %llu): answer %d", ID(f), (unsigned long long)w->seen.epoch,
              (unsigned long long)w->seen.delivery, (int)result);
    if (!done && result != SETTLED_EXPIRED && result != SETTLED_UNKNOWN)
        sim_wrong(s, "#%llu: an answer that does not fit the question", ID(f));
    bool own = w->seen.life->incarnation == s->config.incarnation; /* else the receipt key went with the broker */
    int64_t disturbed = a->disturbed > s->disk_disturbed ? a->disturbed : s->disk_disturbed;
    if (result == SETTLED_UNKNOWN && own && s->now - disturbed > 5000 * MS + QUIET_MS * MS)
        sim_fail(s, "#%llu: the broker does not know its own receipt", ID(f));
    if (done && w->newer && !before_start(s, a, w))
        sim_wrong(s, "#%llu was settled by what was no longer current", ID(f));
    if (w->kind == SETTLE_RELEASE && done && is_newest(&w->seen))
        f->released = true;
    if (w->kind == SETTLE_DROP && done)
        dropped(s, w);
    if (w->kind != SETTLE_ACK)
        return;
    if (done)
        acked(s, a, w);
    check_repetition(s, w, result);
}

void facts_free(struct sim *s)
{
    for (size_t i = 0; i < s->fact_count; i++)
        free(s->facts[i]);
    for (size_t i = 0; i < s->publish_count; i++)
        free(s->publishes[i]);
    for (size_t i = 0; i < s->life_count; i++)
        free(s->lives[i]);
    free(s->facts);
    free(s->publishes);
}
