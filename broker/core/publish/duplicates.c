/* Duplicates: the core's use of its queues' dedup windows (dedup.h). An entry whose hash a queue accepted within its
 * window is answered with the sequence of the first one, and nothing enters the queue (docs/protocol.md, B.7). */
#include "broker/core/state.h"

#define SWEEP_EVERY_MS 10000
/* All windows together take at most 1/BUDGET_SHARE of the memory budget, so that hashes of past events leave room for
 * events. */
#define BUDGET_SHARE 8u

static struct dedup_limits limits_of(const struct queue *q)
{
    return (struct dedup_limits){ q->settings.dedup_entries, (int64_t)q->settings.dedup_window_ms };
}

static bool is_hash(struct span hash)
{
    return hash.size == DEDUP_HASH_SIZE && event_hash_is_set(hash.data);
}

uint64_t duplicate_of(const struct core *c, const struct queue *q, struct span hash)
{
    struct dedup_limits limits = limits_of(q);
    return is_hash(hash) ? dedup_find(&q->dedup, hash.data, c->now.mono, &limits) : 0;
}

const void *duplicate_home(const struct queue *q, struct span hash)
{
    return hash.size == DEDUP_HASH_SIZE ? dedup_home(&q->dedup, hash.data) : NULL;
}

static bool may_take(const struct core *c, uint64_t bytes)
{
    return bytes == 0 ||
           (c->dedup_bytes + bytes <= c->config.memory_budget / BUDGET_SHARE && bytes <= core_budget_left(c));
}

static void enter(struct core *c, struct queue *q, const uint8_t *hash, uint64_t sequence, mono_t at)
{
    struct dedup_limits limits = limits_of(q);
    struct dedup_entry e = { .sequence = sequence, .at = at };
    uint64_t before = dedup_memory(&q->dedup);
    memcpy(e.hash, hash, sizeof e.hash);
    dedup_enter(&q->dedup, &e, c->now.mono, &limits, may_take(c, dedup_growth(&q->dedup)));
    c->dedup_bytes += dedup_memory(&q->dedup) - before;
}

void duplicate_enter(struct core *c, struct queue *q, struct span hash, uint64_t sequence)
{
    if (is_hash(hash) && q->settings.dedup_window_ms)
        enter(c, q, hash.data, sequence, c->now.mono);
}

void duplicate_restore(struct core *c, struct queue *q, struct span hash, uint64_t sequence, int64_t accepted_ms)
{
    int64_t age = c->now.wall.ms - accepted_ms;
    if (!is_hash(hash) || sequence == 0 || age > (int64_t)q->settings.dedup_window_ms)
        return;
    age = age > 0 ? age : 0; /* the clock was set back: better to remember it for too long than to forget it */
    enter(c, q, hash.data, sequence, (mono_t){ c->now.mono.ns - age * MONO_MS });
}

void duplicates_forget(struct core *c, struct queue *q)
{
    c->dedup_bytes -= dedup_memory(&q->dedup);
    dedup_free(&q->dedup);
}

/* Also frees the windows of queues that nobody publishes to any more. */
void duplicates_sweep(struct core *c)
{
    if (c->dedup_bytes == 0 || mono_since_ms(c->now.mono, c->dedup_swept) < SWEEP_EVERY_MS)
        return;
    c->dedup_swept = c->now.mono;
    for (uint32_t i = 0; i < c->queue_count; i++) {
        struct queue *q = c->by_name[i];
        struct dedup_limits limits = limits_of(q);
        c->dedup_bytes -= dedup_memory(&q->dedup);
        dedup_expire(&q->dedup, c->now.mono, &limits);
        c->dedup_bytes += dedup_memory(&q->dedup);
    }
}
