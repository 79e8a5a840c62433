#include "sidecar/metrics.h"

#include "base/usage.h"
#include "base/xalloc.h"
#include "sidecar/api/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STATUSES 24u

/* Upper bounds of the histogram's buckets, in microseconds: from a confirm over loopback to a publish that waits for
 * room. */
static const uint32_t bounds_us[] = { 100,   250,    500,    1000,   2500,    5000,    10000,   25000,
                                      50000, 100000, 250000, 500000, 1000000, 2500000, 10000000 };
#define BOUNDS (sizeof bounds_us / sizeof *bounds_us)

struct status_count {
    int status;
    uint64_t count;
};

struct route_metrics {
    struct status_count statuses[STATUSES];
    uint64_t buckets[BOUNDS + 1];
    uint64_t took_ns;
};

struct metrics {
    const struct api_route *routes;
    size_t count;
    uint64_t published[64];          /* by reason */
    struct route_metrics by_route[]; /* one more than routes: the last is for requests that matched none */
};

struct metrics *metrics_new(void)
{
    size_t count;
    const struct api_route *routes = routes_all(&count);
    struct metrics *m = xcalloc(1, sizeof *m + (count + 1) * sizeof *m->by_route);
    m->routes = routes;
    m->count = count;
    return m;
}

void metrics_free(struct metrics *m)
{
    free(m);
}

void metrics_request(struct metrics *m, const struct api_route *route, int status, int64_t took_ns)
{
    struct route_metrics *r = &m->by_route[route ? (size_t)(route - m->routes) : m->count];
    for (unsigned i = 0; i < STATUSES; i++) {
        if (r->statuses[i].status != status && r->statuses[i].status != 0)
            continue;
        r->statuses[i].status = status;
        r->statuses[i].count++;
        break;
    }
    size_t bucket = 0;
    while (bucket < BOUNDS && took_ns > (int64_t)bounds_us[bucket] * 1000)
        bucket++;
    r->buckets[bucket]++;
    r->took_ns += (uint64_t)took_ns;
}

void metrics_published(struct metrics *m, enum reason reason, uint64_t events)
{
    m->published[(unsigned)reason < 64 ? reason : 0] += events;
}

/* ------------------------------------------------------------------ text */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void lone(struct buf *b, const char *name, const char *type, const char *help, double value)
{
    head(b, name, type, help);
    buf_printf(b, "%s %.15g\n", name, value);
}

static void write_requests(const struct metrics *m, struct buf *b)
{
    head(b, "sluice_http_requests_total", "counter", "HTTP requests answered");
    for (size_t i = 0; i <= m->count; i++) {
        const struct route_metrics *r = &m->by_route[i];
        for (unsigned k = 0; k < STATUSES && r->statuses[k].status; k++)
            buf_printf(b, "sluice_http_requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} %" PRIu64 "\n",
                       i < m->count ? m->routes[i].method : "any", i < m->count ? m->routes[i].pattern : "none",
                       r->statuses[k].status, r->statuses[k].count);
    }
}

static void write_duration(const struct api_route *route, const struct route_metrics *r, struct buf *b)
{
    static const char name[] = "sluice_http_request_duration_seconds";
    uint64_t sum = 0;
    for (size_t k = 0; k <= BOUNDS; k++) {
        char bound[16] = "+Inf";
        if (k < BOUNDS)
            snprintf(bound, sizeof bound, "%g", bounds_us[k] / 1e6);
        sum += r->buckets[k];
        buf_printf(b, "%s_bucket{method=\"%s\",route=\"%s\",le=\"%s\"} %" PRIu64 "\n", name, route->method,
                   route->pattern, bound, sum);
    }
    buf_printf(b, "%s_sum{method=\"%s\",route=\"%s\"} %.9f\n", name, route->method, route->pattern,
               (double)r->took_ns / 1e9);
    buf_printf(b, "%s_count{method=\"%s\",route=\"%s\"} %" PRIu64 "\n", name, route->method, route->pattern, sum);
}

static void write_durations(const struct metrics *m, struct buf *b)
{
    head(b, "sluice_http_request_duration_seconds", "histogram", "time from a complete request to its answer");
    for (size_t i = 0; i < m->count; i++) {
        if (m->by_route[i].statuses[0].status)
            write_duration(&m->routes[i], &m->by_route[i], b);
    }
}

static void write_published(const struct metrics *m, struct buf *b)
{
    head(b, "sluice_published_events_total", "counter", "published events, by result");
    for (unsigned i = 0; i < 64; i++) {
        if (m->published[i] || i == REASON_ok)
            buf_printf(b, "sluice_published_events_total{result=\"%s\"} %" PRIu64 "\n",
                       i == REASON_ok ? "confirmed" : reason_info(i)->name, m->published[i]);
    }
}

/* The names are those of Prometheus' client libraries. A value that the kernel or an older broker does not report has
 * no series. */
static void write_usage(const char *prefix, const char *whose, const struct usage *u, struct buf *b)
{
    const struct {
        const char *name, *type, *help;
        double value;
    } all[] = {
        { "cpu_seconds_total", "counter", "user and system CPU time of", (double)u->cpu_ns / 1e9 },
        { "resident_memory_bytes", "gauge", "resident memory of", (double)u->resident_bytes },
        { "open_fds", "gauge", "open file descriptors of", (double)u->open_fds },
        { "max_fds", "gauge", "maximum number of open file descriptors of",
          u->max_fds == UINT64_MAX ? 0 : (double)u->max_fds },
    };
    char name[64], help[96];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        snprintf(name, sizeof name, "%s_%s", prefix, all[i].name);
        snprintf(help, sizeof help, "%s %s", all[i].help, whose);
        if (all[i].value > 0)
            lone(b, name, all[i].type, help, all[i].value);
    }
}

static void write_link(const struct uplink *u, struct buf *b)
{
    struct uplink_stats s;
    uplink_stats(u, &s);
    lone(b, "sluice_attached", "gauge", "1 while attached to the broker", uplink_is_attached(u));
    lone(b, "sluice_attaches_total", "counter", "times attached, resumed sessions included", (double)s.client.attaches);
    lone(b, "sluice_link_frames_sent_total", "counter", "frames to the broker", (double)s.client.frames_out);
    lone(b, "sluice_link_frames_received_total", "counter", "frames from the broker", (double)s.client.frames_in);
    lone(b, "sluice_link_frames_resent_total", "counter", "frames resent", (double)s.client.resent);
    lone(b, "sluice_link_round_trip_seconds", "gauge", "smoothed round-trip time to the broker",
         (double)s.client.rtt_ms / 1000);
    lone(b, "sluice_undecided_events", "gauge", "events published here whose outcome is not known yet",
         (double)s.client.undecided_events);
    lone(b, "sluice_undecided_bytes", "gauge", "bytes of events published here whose outcome is not known yet",
         (double)s.client.undecided_bytes);
    lone(b, "sluice_taken_events_total", "counter", "events handed to takes and pushes", (double)s.taken_events);
    lone(b, "sluice_waiting_takes", "gauge", "takes and free subscription slots that wait for events",
         (double)s.waiting_takes);
    lone(b, "sluice_held_events", "gauge", "events taken or pushed here and not yet settled", (double)s.held_events);
    lone(b, "sluice_consumed_queues", "gauge", "queues that this sidecar consumes or stands by for", (double)s.queues);
}

void metrics_write(const struct metrics *m, const struct uplink *u, uint32_t connections, struct buf *b)
{
    head(b, "sluice_build_info", "gauge", "the running version");
    buf_printf(b, "sluice_build_info{version=\"%s\"} 1\n", SLUICE_VERSION);
    write_requests(m, b);
    write_durations(m, b);
    write_published(m, b);
    lone(b, "sluice_http_connections", "gauge", "open connections", connections);
    write_link(u, b);
    struct usage own;
    usage_read(&own);
    write_usage("process", "this sidecar", &own, b);
}

void metrics_write_broker(const struct broker_info *i, struct buf *b)
{
    lone(b, "sluice_broker_uptime_seconds", "gauge", "time since the broker started", (double)i->uptime_ms / 1000);
    lone(b, "sluice_broker_sessions", "gauge", "attached clients", (double)i->sessions);
    lone(b, "sluice_broker_queues", "gauge", "queues", (double)i->queues);
    lone(b, "sluice_broker_memory_used_bytes", "gauge", "bytes that count against memory_budget",
         (double)i->memory_used);
    lone(b, "sluice_broker_memory_budget_bytes", "gauge",
         "memory_budget: beyond it publishes to queues in memory get 429", (double)i->memory_budget);
    lone(b, "sluice_broker_frames_received_total", "counter", "frames received", (double)i->frames_in);
    lone(b, "sluice_broker_frames_sent_total", "counter", "frames sent", (double)i->frames_out);
    lone(b, "sluice_broker_frames_resent_total", "counter", "frames resent", (double)i->resent);
    lone(b, "sluice_broker_frames_rejected_total", "counter", "frames dropped: malformed, stale or foreign",
         (double)i->rejected);
    lone(b, "sluice_broker_rejected_bytes_total", "counter", "bytes of dropped frames", (double)i->rejected_bytes);
    lone(b, "sluice_broker_ingress_rebinds_total", "counter", "times a flood made the broker bind its ingress again",
         (double)i->rebinds);
    lone(b, "sluice_broker_denied_total", "counter", "times a peer was denied for sending garbage", (double)i->denied);
    lone(b, "sluice_broker_sessions_ended_total", "counter", "sessions ended by timeout or violation",
         (double)i->sessions_ended);
    lone(b, "sluice_broker_accepted_events_total", "counter", "events accepted by all queues",
         (double)i->ledger.accepted);
    lone(b, "sluice_broker_disk_used_bytes", "gauge", "bytes of the log's files", (double)i->disk_used);
    lone(b, "sluice_broker_disk_budget_bytes", "gauge", "maximum size of the log's files", (double)i->disk_budget);
    lone(b, "sluice_broker_disk_full", "gauge", "1 while durable publishes find no room and the log cannot grow",
         i->disk_full ? 1 : 0);
    lone(b, "sluice_broker_disk_written_bytes_total", "counter", "bytes written to the log's files",
         (double)i->disk_written);
    lone(b, "sluice_broker_disk_syncs_total", "counter", "fdatasync calls on the log's files", (double)i->disk_syncs);
    lone(b, "sluice_broker_disk_carried_groups_total", "counter",
         "groups of acks and notes that found no room in a segment and went into a checkpoint instead",
         (double)i->disk_carried_groups);
    write_usage("sluice_broker", "the broker", &i->usage, b);
}
