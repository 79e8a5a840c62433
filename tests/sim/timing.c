/* Delays and expiries: draws them for what is published, and checks that nothing is delivered before or after its
 * time, by the broker's clock at that step. */
#include "tests/sim/sim.h"

#include "broker/core/deliver/doomed.h"

#define ID(f) ((unsigned long long)(f)->id)
/* The longest delay of an event; no queue has a longer one. */
#define DELAY_MOST_MS 3000

static int64_t wall(const struct sim *s)
{
    return sim_now(s).wall.ms;
}

void timing_draw(struct sim *s)
{
    for (unsigned q = 0; q < s->queues && s->scenario.delays; q++) {
        s->ttl_ms[q] = sim_chance(s, 15) ? 1 + sim_random(s, 20000) : 0;
        s->delay_ms[q] = sim_chance(s, 15) ? 1 + sim_random(s, 2000) : 0;
    }
}

void timing_terms(struct sim *s, struct fact *f, bool none, struct client_terms *out)
{
    *out = (struct client_terms){ 0 };
    f->delayed = s->delay_ms[f->queue] > 0;
    if (!s->scenario.delays || none)
        return;
    if (sim_chance(s, 15)) {
        out->delay_ms = 1 + sim_random(s, DELAY_MOST_MS);
    } else if (sim_chance(s, 20)) {
        out->not_before_ms = wall(s) + (int64_t)sim_random(s, sim_chance(s, 10) ? 3000000 : 4000) - 500;
        f->not_before_ms = out->not_before_ms;
    }
    if (sim_chance(s, 15))
        f->expires_ms = out->expires_ms = wall(s) + (int64_t)sim_random(s, 6000) - 200;
    f->delayed |= out->delay_ms || out->not_before_ms;
    if (f->not_before_ms > s->not_before_most_ms)
        s->not_before_most_ms = f->not_before_ms;
}

/* A delivery that began in this step. */
static void began(struct sim *s, struct fact *f, const struct item *item)
{
    bool first = f->flight_attempt == 0;
    f->flight_attempt = item->attempt;
    f->flight_run = s->config.incarnation;
    if (first && f->not_before_ms > s->wall_most_ms) /* once due, it stays so when the clock is set back */
        sim_wrong(s, "#%llu is delivered %lld ms before its time", ID(f),
                  (long long)(f->not_before_ms - s->wall_most_ms));
    if (f->expires_ms && f->expires_ms <= wall(s))
        sim_wrong(s, "#%llu is delivered %lld ms after it expired", ID(f), (long long)(wall(s) - f->expires_ms));
}

struct looking {
    struct sim *sim;
    struct queue *queue;
};

/* Is it an expired event that is kept, undelivered, until it can be dead? Of a queue in memory only while there is no
 * room. */
static bool is_kept(const struct sim *s, const struct queue *q, uint64_t sequence, const struct item *item)
{
    return s->scenario.expiries && item->state == ITEM_DELAYED && doomed_has(q->schedule, sequence) &&
           (q->durable || q->schedule->doomed_hold != HOLD_NOT);
}

static bool look(void *context, uint64_t sequence, struct item *item)
{
    const struct looking *at = context;
    struct sim *s = at->sim;
    struct span event = queue_event(s->core, at->queue, item->at);
    uint64_t id = event.size >= 9 ? wire_load64(event.data + 1) : UINT64_MAX; /* as facts.c reads it */
    struct fact *f = id < s->fact_count ? s->facts[id] : NULL;
    if (!f || f->origin != sim_queue_index(at->queue->name)) /* a dead letter has no terms any more */
        return true;
    bool known = f->flight_run == s->config.incarnation && f->flight_attempt == item->attempt;
    if (item->state == ITEM_IN_FLIGHT && f->flight_run != s->config.incarnation)
        keys_check_began(s, at->queue, sequence, item);
    if (item->state == ITEM_IN_FLIGHT && !known)
        began(s, f, item);
    else if (item->state != ITEM_IN_FLIGHT && f->expires_ms && f->expires_ms <= wall(s) &&
             !is_kept(s, at->queue, sequence, item))
        sim_wrong(s, "#%llu expired, and is still in its queue", ID(f));
    return true;
}

static bool is_in_hand(void *context, uint64_t sequence, struct item *item)
{
    const struct looking *at = context;
    if (item->state == ITEM_IN_FLIGHT && doomed_has(at->queue->schedule, sequence))
        sim_wrong(at->sim, "%s: event %llu expired, and is delivered again", at->queue->name,
                  (unsigned long long)sequence);
    return true;
}

/* Doomed events are not in flight; and once there is room for them, those in memory die at the next try. */
static void check_doomed(struct sim *s, struct queue *q)
{
    const struct schedule *k = q->schedule;
    bool roomy = !q->settings.dead_letter[0] && q->dead < q->settings.dead_capacity;
    bool waits = k && k->doomed_events && roomy && !q->durable;
    int64_t *since = &s->doomed_since[sim_queue_index(q->name)];
    if (k && k->doomed_events)
        queue_each(q, 0, is_in_hand, &(struct looking){ s, q });
    if (!waits || *since == 0)
        *since = waits ? s->now : 0;
    if (waits && s->now - *since > 5001 * MS)
        sim_wrong(s, "%s has room for its dead, and what expired is not among them", q->name);
}

void timing_check(struct sim *s)
{
    for (uint32_t i = 0; s->scenario.expiries && !s->stops_at && i < s->core->queue_count; i++)
        check_doomed(s, s->core->by_name[i]);
    if (wall(s) > s->wall_most_ms)
        s->wall_most_ms = wall(s);
    if (!s->scenario.delays || s->scenario.redrives || s->stops_at) /* redriven events have no terms any more */
        return;
    for (uint32_t i = 0; i < s->core->queue_count; i++)
        queue_each(s->core->by_name[i], 0, look, &(struct looking){ s, s->core->by_name[i] });
}

/* A delay counts from acceptance and is kept by the wall clock; one that began before the clock was set back waits
 * until the clock gets there again. So the clock is set past the latest of them. */
void timing_become_calm(struct sim *s)
{
    int64_t latest = s->not_before_most_ms;
    if (s->scenario.delays && s->wall_most_ms > wall(s) && s->wall_most_ms + DELAY_MOST_MS > latest)
        latest = s->wall_most_ms + DELAY_MOST_MS;
    int64_t behind = latest - wall(s);
    if (behind > 0)
        s->wall_offset_ms += behind;
}

bool timing_may_have_expired(const struct sim *s, const struct fact *f)
{
    bool own = f->expires_ms && !fact_is_dead_letter(f); /* a dead letter has only its queue's terms */
    /* wall_most_ms lacks this step if the broker ends in it. */
    int64_t latest = s->wall_most_ms > wall(s) ? s->wall_most_ms : wall(s);
    return s->ttl_ms[f->queue] || (own && f->expires_ms <= latest);
}

bool timing_may_be_gone(const struct sim *s, const struct fact *f)
{
    return !s->scenario.expiries && timing_may_have_expired(s, f);
}
