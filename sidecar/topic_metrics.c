#include "base/xalloc.h"
#include "sidecar/metrics_priv.h"

#include <stdlib.h>

#define OTHER "other"

/* The metrics of a topic, counters first: name, type, help, value. Topics without series of their own are summed up. */
#define SERIES(X)                                                                                                      \
    X(accepted_total, counter, "events accepted, each counted once however many queues it went to", t->accepted)       \
    X(dropped_total, counter, "events accepted that matched no queue's filter", t->dropped)                            \
    X(refused_total, counter, "events refused", t->refused)                                                            \
    X(duplicates_total, counter, "publishes of events that every queue already had", t->duplicates)                    \
    X(waiting_publishers, gauge, "publishes waiting for room in one of its queues", t->waiting_publishers)             \
    X(bindings, gauge, "queues bound to it", t->binding_count)

static const struct {
    const char *name, *type, *help;
} series[] = {
#define SERIES_ROW(name, type, help, value) { "sluice_topic_" #name, #type, help },
    SERIES(SERIES_ROW)
#undef SERIES_ROW
};

#define SERIES_COUNT (sizeof series / sizeof *series)
#define COUNTERS     4u

struct topic_collection {
    struct queue_metrics *metrics;
    uint64_t pass;
    struct buf lines[SERIES_COUNT];
    uint64_t other[SERIES_COUNT]; /* the gauges, from COUNTERS on */
    bool has_any, has_other;
};

struct running_sums *topic_sums_new(void)
{
    return running_sums_new(COUNTERS);
}

struct topic_collection *topic_collection_new(struct queue_metrics *m)
{
    struct topic_collection *c = xcalloc(1, sizeof *c);
    c->metrics = m;
    c->pass = running_sums_begin(queue_metrics_topics(m));
    return c;
}

void topic_collection_free(struct topic_collection *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < SERIES_COUNT; i++)
        buf_free(&c->lines[i]);
    free(c);
}

static void add_line(struct buf *b, unsigned which, const char *topic, uint64_t value)
{
    buf_printf(b, "%s{topic=\"%s\"} %llu\n", series[which].name, topic, (unsigned long long)value);
}

void topic_collection_add(struct topic_collection *c, const struct topic_info *t)
{
    const uint64_t values[] = {
#define SERIES_VALUE(name, type, help, value) (value),
        SERIES(SERIES_VALUE)
#undef SERIES_VALUE
    };
    c->has_any = true;
    if (queue_metrics_has_series(c->metrics, t->topic)) {
        for (unsigned i = 0; i < SERIES_COUNT; i++)
            add_line(&c->lines[i], i, t->topic, values[i]);
        return;
    }
    c->has_other = true;
    running_sums_add(queue_metrics_topics(c->metrics), t->topic, values);
    for (unsigned i = COUNTERS; i < SERIES_COUNT; i++)
        c->other[i] += values[i];
}

void topic_collection_write(const struct topic_collection *c, struct buf *b)
{
    struct running_sums *counters = queue_metrics_topics(c->metrics);
    running_sums_end(counters, c->pass);
    for (unsigned i = 0; i < SERIES_COUNT && c->has_any; i++) {
        buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", series[i].name, series[i].help, series[i].name, series[i].type);
        buf_add(b, c->lines[i].data, c->lines[i].size);
        if (c->has_other)
            add_line(b, i, OTHER, i < COUNTERS ? running_sums(counters)[i] : c->other[i]);
    }
}
