/* Programs that publish: single events and batches, with and without waiting for room. */
#include "tests/sim/sim.h"

#include "base/xalloc.h"

#define EVENT_SIZE_MOST 120u
#define EVENT_SIZE_DISK 900u /* large enough to fill segments */

static struct publish *new_publish(struct sim *s)
{
    if (s->publish_count == s->publish_capacity) {
        s->publish_capacity = s->publish_capacity ? s->publish_capacity * 2 : 1024;
        s->publishes = xrealloc(s->publishes, s->publish_capacity * sizeof(struct publish *));
    }
    return s->publishes[s->publish_count++] = xcalloc(1, sizeof(struct publish));
}

static size_t draw_size(struct sim *s, unsigned queue)
{
    if (s->scenario.tight)
        return sim_random(s, EVENT_SIZE_MOST - 8);
    return s->on_disk[queue] ? sim_random(s, EVENT_SIZE_DISK - 8) : 0;
}

#define AGAIN_MS 3000

/* Now and then one of the last hundred events, whose source and id the new event repeats; mostly just after a restart
 * of the broker, which has to know the earlier ones. NULL: none. */
static struct fact *draw_twin(struct sim *s, unsigned queue)
{
    size_t back = 2 + sim_random(s, 100); /* the newest is the new event itself */
    bool started = s->restarted && s->now - s->restarted < AGAIN_MS * MS;
    if (!s->scenario.repeats || !sim_chance(s, started ? 70 : 25) || back > s->fact_count)
        return NULL;
    struct fact *f = s->facts[s->fact_count - back];
    f = f->twin ? f->twin : f;
    bool same = f->origin == queue && !f->by_topic; /* publishes to the topic carry no hashes */
    return same || s->scenario.anything ? f : NULL;
}

static void put_hash(uint8_t hash[EVENT_HASH_SIZE], const struct fact *f)
{
    memset(hash, 0, EVENT_HASH_SIZE);
    wire_store64(hash, 1 + (f->twin ? f->twin->id : f->id));
}

/* Adds the facts of the events that the topic sends to `queue`: that queue's part of the batch. */
static void join_queue(struct actor *a, const struct publish *p, unsigned queue)
{
    struct sim *s = a->sim;
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        struct fact *one = s->facts[p->first + i], *other;
        if (!(one->way & queue))
            continue;
        other = fact_published(s, a, queue, count++);
        other->deadline = one->deadline;
        other->delayed = s->delay_ms[queue] > 0; /* events to the topic have no terms of their own */
        fact_join(s, one, other);
    }
}

/* Mostly all events of a batch go to all queues. */
static void draw_way(struct actor *a, struct fact *f)
{
    struct sim *s = a->sim;
    f->by_topic = true;
    f->way = sim_chance(s, 70) ? 3 : (unsigned)sim_random(s, 4);
    f->order = ++a->orders[SIM_QUEUES];
}

void publishing_act(struct actor *a)
{
    struct sim *s = a->sim;
    bool topic = s->scenario.topics && sim_chance(s, 40);
    unsigned queue = topic ? 0 : (unsigned)sim_random(s, s->queues);
    uint32_t count = sim_chance(s, 60) ? 1 : 1 + (uint32_t)sim_random(s, 5);
    static const uint32_t waits[] = { 0, 50, 1000, 5000, 20000 };
    uint32_t wait_ms = waits[sim_random(s, 5)];
    struct publish *p = new_publish(s);
    *p = (struct publish){ a, s->fact_count, count, topic };
    uint8_t bytes[5][EVENT_SIZE_DISK + SIM_EVENT_HEAD] = { { 0 } };
    uint8_t hashes[5][EVENT_HASH_SIZE];
    struct span events[5];
    struct client_terms terms[5];
    for (uint32_t i = 0; i < count; i++) {
        struct fact *f = fact_published(s, a, queue, i);
        f->deadline = s->now + wait_ms * MS;
        if (topic)
            draw_way(a, f);
        if ((count == 1 && !topic) || s->scenario.anything)
            f->twin = draw_twin(s, queue);
        put_hash(hashes[i], f);
        events[i] = span_of(bytes[i], keys_put_event(s, f, bytes[i]) + draw_size(s, queue));
        timing_terms(s, f, topic && !s->scenario.anything, &terms[i]);
    }
    for (unsigned q = 1; topic && q < s->queues; q++)
        join_queue(a, p, q);
    const struct fact *twin = s->facts[p->first]->twin;
    sim_trace(s, "c%llu publishes %u to %s from #%zu, wait %u ms%s", (unsigned long long)a->instance, count,
              topic ? SIM_TOPIC : sim_queue_name(queue), p->first, wait_ms, twin ? ", again" : "");
    struct span name = span_str(topic ? SIM_TOPIC : sim_queue_name(queue));
    enum reason why;
    bool once = s->scenario.repeats && !topic;
    bool any = s->scenario.anything;
    bool taken = topic ? client_publish_topic(a->client, name, events, any ? hashes : NULL, any ? terms : NULL, count,
                                              wait_ms, p, sim_now(s), &why)
                       : client_publish_on(a->client, name, events, once ? hashes : NULL,
                                           s->scenario.delays ? terms : NULL, count, wait_ms, p, sim_now(s), &why);
    if (!taken)
        sim_fail(s, "a small publish was not taken: %s", reason_info(why)->name);
}

/* Records the outcome as far as it concerns the fact's queue. */
static void topic_outcome(struct actor *a, struct fact *f, const struct client_outcome *o, uint32_t offset)
{
    struct client_outcome own = *o;
    const char *queue = sim_queue_name(f->queue);
    if (o->reason == REASON_ok) {
        size_t i = 0;
        while (i < o->target_count && strcmp(o->targets[i].queue, queue) != 0)
            i++;
        if (i == o->target_count) {
            sim_wrong(a->sim, "#%llu is confirmed, and not by %s", (unsigned long long)f->id, queue);
            f->outcomes++;
            return;
        }
        own.sequence += o->targets[i].sequence;
        own.flags &= ~RUN_TOPIC;
    }
    fact_outcome(a->sim, a, f, &own, offset);
}

static void topic_outcomes(struct actor *a, struct fact *f, const struct client_outcome *o, uint32_t offset)
{
    struct fact *each = f;
    size_t count = 0;
    do {
        topic_outcome(a, each, o, offset);
        each = each->sibling;
        count++;
    } while (each && each != f);
    if (o->reason == REASON_ok && o->target_count != count)
        sim_wrong(a->sim, "#%llu is confirmed by %zu queues, it goes to %zu", (unsigned long long)f->id,
                  o->target_count, count);
}

void publishing_outcome(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o)
{
    struct actor *a = ctx;
    struct publish *p = cookie;
    sim_trace(a->sim, "c%llu learns #%zu+%u: %s %llu", (unsigned long long)a->instance, p->first + index, count,
              reason_info(o->reason)->name, (unsigned long long)o->sequence);
    if (index + count > p->count) {
        sim_fail(a->sim, "an outcome beyond its publish");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct fact *f = a->sim->facts[p->first + index + i];
        if (p->topic) {
            topic_outcomes(a, f, o, i);
        } else {
            fact_outcome(a->sim, a, f, o, i);
        }
    }
}

bool publishing_number_is_taken(const struct sim *s, const struct actor *a, const struct fact *f, uint64_t number)
{
    for (size_t i = 0; i < s->fact_count; i++) {
        const struct fact *g = s->facts[i];
        bool there = g->by_topic == f->by_topic && (f->by_topic || g->origin == f->origin);
        bool same = g->producer == f->producer && g->order == f->order; /* of a topic: in another of its queues */
        if (g->sent && there && !same && g->number == number && token_equal(g->sent_as, a->producer))
            return true;
    }
    return false;
}
