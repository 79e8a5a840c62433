/* Programs that publish: single events and batches, with and without waiting for room. */
#include "tests/sim/sim.h"

#include "base/xalloc.h"

#define EVENT_SIZE_MOST 120u
#define EVENT_SIZE_DISK 900u /* so that segments fill */

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
    if (s->mood.tight)
        return sim_random(s, EVENT_SIZE_MOST - 8);
    return s->on_disk[queue] ? sim_random(s, EVENT_SIZE_DISK - 8) : 0;
}

/* An event of the same source and id as one of the last hundred, now and then. */
static struct fact *draw_twin(struct sim *s, unsigned queue)
{
    size_t back = 2 + sim_random(s, 100); /* the newest is the one that looks for a twin */
    if (!s->mood.repeats || !sim_chance(s, 25) || back > s->fact_count)
        return NULL;
    struct fact *f = s->facts[s->fact_count - back];
    f = f->twin ? f->twin : f;
    return f->queue == queue ? f : NULL;
}

static void put_hash(uint8_t hash[EVENT_HASH_SIZE], const struct fact *f)
{
    memset(hash, 0, EVENT_HASH_SIZE);
    wire_store64(hash, 1 + (f->twin ? f->twin->id : f->id));
}

void publishing_act(struct actor *a)
{
    struct sim *s = a->sim;
    unsigned queue = (unsigned)sim_random(s, SIM_QUEUES);
    uint32_t count = sim_chance(s, 60) ? 1 : 1 + (uint32_t)sim_random(s, 5);
    static const uint32_t waits[] = { 0, 50, 1000, 5000, 20000 };
    uint32_t wait_ms = waits[sim_random(s, 5)];
    struct publish *p = new_publish(s);
    *p = (struct publish){ a, s->fact_count, count };
    uint8_t bytes[5][EVENT_SIZE_DISK + SIM_EVENT_HEAD] = { { 0 } };
    uint8_t hashes[5][EVENT_HASH_SIZE];
    struct span events[5];
    for (uint32_t i = 0; i < count; i++) {
        struct fact *f = fact_published(s, a, queue, i);
        f->deadline = s->now + wait_ms * MS;
        if (count == 1)
            f->twin = draw_twin(s, queue);
        put_hash(hashes[i], f);
        events[i] = span_of(bytes[i], keys_put_event(s, f, bytes[i]) + draw_size(s, queue));
    }
    const struct fact *twin = s->facts[p->first]->twin;
    sim_trace(s, "c%llu publishes %u to %s from #%zu, wait %u ms%s", (unsigned long long)a->instance, count,
              sim_queue_name(queue), p->first, wait_ms, twin ? ", again" : "");
    struct span name = span_str(sim_queue_name(queue));
    enum reason why;
    if (!client_publish_once(a->client, name, events, s->mood.repeats ? hashes : NULL, count, wait_ms, p, sim_now(s),
                             &why))
        sim_fail(s, "a small publish was not taken: %s", reason_info(why)->name);
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
    for (uint32_t i = 0; i < count; i++)
        fact_outcome(a->sim, a, a->sim->facts[p->first + index + i], o, i);
}
