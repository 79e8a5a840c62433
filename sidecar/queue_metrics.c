#include "base/settings.h"
#include "base/xalloc.h"
#include "sidecar/metrics_priv.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#define OTHER "other"

/* The metrics of a queue: name, type, how "other" combines them (SUM or MAX), help, value. */
#define SERIES(X)                                                                                                      \
    X(ready, gauge, SUM, "events waiting for a consumer", q->ready)                                                    \
    X(in_flight, gauge, SUM, "events delivered and not yet settled", q->in_flight)                                     \
    X(delayed, gauge, SUM, "events waiting for their time", q->delayed)                                                \
    X(dead, gauge, SUM, "dead events in the queue's dead store", q->dead)                                              \
    X(dead_letter_held, gauge, SUM,                                                                                    \
      "delayed events that should be dead, but find no room in the dead store or dead-letter queue",                   \
      q->dead_letter_held)                                                                                             \
    X(bytes, gauge, SUM, "bytes of the events it holds", q->bytes)                                                     \
    X(capacity, gauge, SUM, "maximum number of events it holds", q->settings.capacity)                                 \
    X(capacity_bytes, gauge, SUM, "maximum bytes of events it holds", q->settings.capacity_bytes)                      \
    X(waiting_publishers, gauge, SUM, "publishes waiting for room", q->waiting_publishers)                             \
    X(consumers, gauge, SUM, "active consumers and standbys", q->active_consumers + q->standbys)                       \
    X(paused, gauge, SUM, "1 while it is paused: nothing is delivered", q->paused)                                     \
    X(closed, gauge, SUM, "1 while it is closed: nothing is accepted", q->closed)                                      \
    X(parked_keys, gauge, SUM, "keys held up by a failed event", q->parked_keys)                                       \
    X(oldest_age_seconds, gauge, MAX, "age of the oldest event", (double)q->oldest_age_ms / 1000)                      \
    X(accepted_total, counter, SUM, "events accepted", q->ledger.accepted)                                             \
    X(acked_total, counter, SUM, "events acknowledged", q->ledger.acked)                                               \
    X(dead_lettered_total, counter, SUM, "events dead-lettered", q->ledger.dead_lettered)                              \
    X(expired_total, counter, SUM, "events expired", q->ledger.expired)                                                \
    X(purged_total, counter, SUM, "events purged", q->ledger.purged)                                                   \
    X(dropped_total, counter, SUM, "events dropped by overflow", q->ledger.dropped)                                    \
    X(refused_total, counter, SUM, "events refused", q->refused)                                                       \
    X(redelivered_total, counter, SUM, "deliveries beyond an event's first", q->redelivered)                           \
    X(duplicates_total, counter, SUM, "duplicate publishes, answered with the sequence of the first one",              \
      q->duplicates)                                                                                                   \
    X(dedup_evicted_total, counter, SUM, "ids forgotten before their dedup window ended", q->dedup_evicted)

enum merge { SUM, MAX };

#define IS_gauge   0
#define IS_counter 1

static const struct {
    const char *name, *type, *help;
    enum merge merge;
    bool is_counter;
} series[] = {
#define SERIES_ROW(name, type, merge, help, value) { "sluice_queue_" #name, #type, help, merge, IS_##type },
    SERIES(SERIES_ROW)
#undef SERIES_ROW
};

#define SERIES_COUNT (sizeof series / sizeof *series)

/* How many of them are counters. In running_sums these come first, in the same order, then those of DIED by reason. */
#define SERIES_IS(name, type, merge, help, value) +IS_##type
#define COUNTERS                                  (0 SERIES(SERIES_IS))
#define ALL_COUNTERS                              (COUNTERS + DEAD_REASONS)

#define DIED                                      "sluice_queue_died_total"

struct named {
    UT_hash_handle hh;
    char name[NAME_MAX_SIZE + 1];
};

struct queue_metrics {
    uint64_t most;
    const struct setting_list *pinned;
    struct named *named;                  /* the first `most` names; without pinned ones */
    struct running_sums *queues, *topics; /* counters of those without series of their own */
};

struct queue_collection {
    struct queue_metrics *metrics;
    uint64_t pass;
    struct buf lines[SERIES_COUNT];
    double other[SERIES_COUNT]; /* gauges of queues without series of their own */
    struct buf died;            /* lines of DIED */
    bool has_other;
};

struct queue_metrics *queue_metrics_new(uint64_t most, const struct setting_list *pinned)
{
    struct queue_metrics *m = xcalloc(1, sizeof *m);
    m->most = most;
    m->pinned = pinned;
    m->queues = running_sums_new(ALL_COUNTERS);
    m->topics = topic_sums_new();
    return m;
}

void queue_metrics_free(struct queue_metrics *m)
{
    struct named *n, *next;
    if (!m)
        return;
    HASH_ITER (hh, m->named, n, next) {
        HASH_DEL(m->named, n);
        free(n);
    }
    running_sums_free(m->queues);
    running_sums_free(m->topics);
    free(m);
}

struct running_sums *queue_metrics_topics(struct queue_metrics *m)
{
    return m->topics;
}

/* ------------------------------------------------------------------ which queues have their own series */

static bool is_pinned(const struct queue_metrics *m, const char *name)
{
    for (size_t i = 0; i < m->pinned->count; i++) {
        if (fnmatch(m->pinned->items[i], name, 0) == 0)
            return true;
    }
    return false;
}

/* Sticky: a queue that once had its own series keeps it, or its counters would jump into "other". A queue that is
 * itself called "other" never has its own. Pinned names are not remembered and do not count: queues that match a
 * pattern may come and go. */
bool queue_metrics_has_series(struct queue_metrics *m, const char *name)
{
    struct named *n = NULL;
    if (strcmp(name, OTHER) == 0)
        return false;
    if (is_pinned(m, name))
        return true;
    HASH_FIND_STR(m->named, name, n);
    if (n || HASH_COUNT(m->named) >= m->most)
        return n != NULL;
    n = xcalloc(1, sizeof *n);
    snprintf(n->name, sizeof n->name, "%s", name);
    HASH_ADD_STR(m->named, name, n);
    return true;
}

/* ------------------------------------------------------------------ one collection */

struct queue_collection *queue_collection_new(struct queue_metrics *m)
{
    struct queue_collection *c = xcalloc(1, sizeof *c);
    c->metrics = m;
    c->pass = running_sums_begin(m->queues);
    return c;
}

void queue_collection_free(struct queue_collection *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < SERIES_COUNT; i++)
        buf_free(&c->lines[i]);
    buf_free(&c->died);
    free(c);
}

static void add_line(struct buf *b, unsigned which, const char *queue, double value)
{
    buf_printf(b, "%s{queue=\"%s\"} %.15g\n", series[which].name, queue, value);
}

static void add_died(struct buf *b, const char *queue, const uint64_t died[DEAD_REASONS])
{
    for (unsigned i = DEAD_NOT + 1; i < DEAD_REASONS; i++)
        buf_printf(b, DIED "{queue=\"%s\",reason=\"%s\"} %llu\n", queue, dead_reason_name((enum dead_reason)i),
                   (unsigned long long)died[i]);
}

static void add_to_other(struct queue_collection *c, const struct queue_info *q, const double values[])
{
    uint64_t counters[ALL_COUNTERS];
    size_t count = 0;
    for (unsigned i = 0; i < SERIES_COUNT; i++) {
        if (series[i].is_counter)
            counters[count++] = (uint64_t)values[i];
        else if (series[i].merge == SUM)
            c->other[i] += values[i];
        else if (values[i] > c->other[i])
            c->other[i] = values[i];
    }
    memcpy(counters + COUNTERS, q->died, sizeof q->died);
    running_sums_add(c->metrics->queues, q->queue, counters);
    c->has_other = true;
}

void queue_collection_add(struct queue_collection *c, const struct queue_info *q)
{
    const double values[] = {
#define SERIES_VALUE(name, type, merge, help, value) (double)(value),
        SERIES(SERIES_VALUE)
#undef SERIES_VALUE
    };
    if (!queue_metrics_has_series(c->metrics, q->queue)) {
        add_to_other(c, q, values);
        return;
    }
    for (unsigned i = 0; i < SERIES_COUNT; i++)
        add_line(&c->lines[i], i, q->queue, values[i]);
    add_died(&c->died, q->queue, q->died);
}

void queue_collection_write(const struct queue_collection *c, struct buf *b)
{
    const uint64_t *counters = running_sums(c->metrics->queues);
    size_t count = 0;
    running_sums_end(c->metrics->queues, c->pass);
    for (unsigned i = 0; i < SERIES_COUNT; i++) {
        double other = series[i].is_counter ? (double)counters[count++] : c->other[i];
        buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", series[i].name, series[i].help, series[i].name, series[i].type);
        buf_add(b, c->lines[i].data, c->lines[i].size);
        if (c->has_other)
            add_line(b, i, OTHER, other);
    }
    buf_add_str(b, "# HELP " DIED
                   " events that became dead since the broker started, however the ledger counts them\n# TYPE " DIED
                   " counter\n");
    buf_add(b, c->died.data, c->died.size);
    if (c->has_other)
        add_died(b, OTHER, counters + COUNTERS);
}
