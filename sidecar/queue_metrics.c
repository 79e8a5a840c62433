#include "base/settings.h"
#include "base/xalloc.h"
#include "sidecar/metrics.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

/* A queue's figures, once: metric, type, help, where it comes from. */
#define SERIES(X)                                                                                                      \
    X(ready, gauge, "events waiting for a consumer", q->ready)                                                         \
    X(in_flight, gauge, "events delivered and not settled", q->in_flight)                                              \
    X(delayed, gauge, "events waiting for their time", q->delayed)                                                     \
    X(bytes, gauge, "bytes of what the queue holds", q->bytes)                                                         \
    X(capacity, gauge, "most events it holds", q->settings.capacity)                                                   \
    X(waiting_publishers, gauge, "publishes waiting for room", q->waiting_publishers)                                  \
    X(consumers, gauge, "the active consumer and those standing by", (*q->consumer ? 1u : 0u) + q->standbys)           \
    X(oldest_age_milliseconds, gauge, "age of the oldest event", q->oldest_age_ms)                                     \
    X(accepted_total, counter, "events accepted", q->ledger.accepted)                                                  \
    X(acked_total, counter, "events acknowledged", q->ledger.acked)                                                    \
    X(dead_lettered_total, counter, "events dead-lettered", q->ledger.dead_lettered)                                   \
    X(expired_total, counter, "events expired", q->ledger.expired)                                                     \
    X(purged_total, counter, "events purged", q->ledger.purged)                                                        \
    X(dropped_total, counter, "events dropped by overflow", q->ledger.dropped)                                         \
    X(refused_total, counter, "events refused", q->refused)                                                            \
    X(redelivered_total, counter, "deliveries beyond an event's first", q->redelivered)

enum series {
#define SERIES_INDEX(name, type, help, value) SERIES_##name,
    SERIES(SERIES_INDEX)
#undef SERIES_INDEX
        SERIES_COUNT
};

struct row {
    uint64_t values[SERIES_COUNT];
    bool present; /* in this collection */
    UT_hash_handle hh;
    char name[NAME_MAX_SIZE + 1];
};

struct queue_metrics {
    uint64_t most, own;
    const struct setting_list *pinned;
    struct row *rows;
    struct row other;
};

struct queue_metrics *queue_metrics_new(uint64_t most, const struct setting_list *pinned)
{
    struct queue_metrics *m = xcalloc(1, sizeof *m);
    m->most = most;
    m->pinned = pinned;
    strcpy(m->other.name, "other");
    return m;
}

void queue_metrics_free(struct queue_metrics *m)
{
    struct row *r, *next;
    HASH_ITER (hh, m->rows, r, next) {
        HASH_DEL(m->rows, r);
        free(r);
    }
    free(m);
}

void queue_metrics_begin(struct queue_metrics *m)
{
    for (struct row *r = m->rows; r; r = r->hh.next)
        r->present = false;
    memset(m->other.values, 0, sizeof m->other.values);
    m->other.present = false;
}

static bool is_pinned(const struct queue_metrics *m, const char *name)
{
    for (size_t i = 0; i < m->pinned->count; i++) {
        if (fnmatch(m->pinned->items[i], name, 0) == 0)
            return true;
    }
    return false;
}

/* Sticky: a queue that once had its own series keeps it, or its counters would jump into `other`. */
static struct row *row_of(struct queue_metrics *m, const char *name)
{
    struct row *r = NULL;
    HASH_FIND_STR(m->rows, name, r);
    if (r)
        return r;
    bool pinned = is_pinned(m, name);
    if (!pinned && m->own >= m->most)
        return &m->other;
    r = xcalloc(1, sizeof *r);
    snprintf(r->name, sizeof r->name, "%s", name);
    HASH_ADD_STR(m->rows, name, r);
    m->own += !pinned;
    return r;
}

void queue_metrics_add(struct queue_metrics *m, const struct queue_info *q)
{
    struct row *r = row_of(m, q->queue);
    const uint64_t values[] = {
#define SERIES_VALUE(name, type, help, value) value,
        SERIES(SERIES_VALUE)
#undef SERIES_VALUE
    };
    for (unsigned i = 0; i < SERIES_COUNT; i++)
        r->values[i] = r == &m->other ? r->values[i] + values[i] : values[i];
    r->present = true;
}

void queue_metrics_write(struct queue_metrics *m, struct buf *b)
{
    static const struct {
        const char *name, *type, *help;
    } series[] = {
#define SERIES_ROW(name, type, help, value) { "sluice_queue_" #name, #type, help },
        SERIES(SERIES_ROW)
#undef SERIES_ROW
    };
    for (unsigned i = 0; i < SERIES_COUNT; i++) {
        buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", series[i].name, series[i].help, series[i].name, series[i].type);
        for (struct row *r = m->rows; r; r = r->hh.next) {
            if (r->present)
                buf_printf(b, "%s{queue=\"%s\"} %" PRIu64 "\n", series[i].name, r->name, r->values[i]);
        }
        if (m->other.present)
            buf_printf(b, "%s{queue=\"other\"} %" PRIu64 "\n", series[i].name, m->other.values[i]);
    }
}
