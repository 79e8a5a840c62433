/* The list of subscriptions: put, delete, report. */
#include "sidecar/push/push_priv.h"

#include "base/xalloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

static struct subscription *find(const struct push *p, const char *name)
{
    struct subscription *s;
    LL_FOREACH (p->subscriptions, s) {
        if (strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

static struct subscription *add(struct push *p, const char *name)
{
    struct subscription **at = &p->subscriptions, *s = xcalloc(1, sizeof *s);
    s->push = p;
    snprintf(s->name, sizeof s->name, "%s", name);
    while (*at && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    s->next = *at;
    *at = s;
    p->count++;
    return s;
}

uint64_t push_revision(const struct push *p, const char *name)
{
    const struct subscription *s = find(p, name);
    return s ? s->revision : 0;
}

enum push_put push_put(struct push *p, const char *name, const struct subscription_settings *settings, bool managed,
                       uint64_t revision)
{
    struct subscription *s = find(p, name);
    bool is_new = !s, same = s && subscription_equal(&s->settings, settings);
    if (s)
        s->revision = revision;
    if (same && s->lifecycle.state != SUBSCRIPTION_STOPPED)
        return PUSH_PUT_SAME;
    if (is_new && p->count == SUBSCRIPTIONS_MAX)
        return PUSH_PUT_TOO_MANY;
    s = s ? s : add(p, name);
    push_cancel_takes(s, 0);
    push_cancel_handshake(s);
    s->settings = *settings;
    s->managed = managed;
    s->revision = revision;
    s->logged[0] = s->detail[0] = '\0';
    subscription_target(s->settings.url, &s->target);
    lifecycle_begin(&s->lifecycle, s->settings.handshake);
    s->life++;
    if (p->draining)
        lifecycle_drain(&s->lifecycle);
    return is_new ? PUSH_PUT_NEW : PUSH_PUT_CHANGED;
}

const struct subscription_settings *push_settings(const struct push *p, const char *name, bool *managed)
{
    const struct subscription *s = find(p, name);
    if (s)
        *managed = s->managed;
    return s ? &s->settings : NULL;
}

void push_end(struct subscription *s)
{
    if (!s->ending || s->slots)
        return;
    LL_DELETE(s->push->ending, s);
    free(s);
}

bool push_delete(struct push *p, const char *name)
{
    struct subscription *s = find(p, name);
    if (!s)
        return false;
    LL_DELETE(p->subscriptions, s);
    LL_PREPEND(p->ending, s);
    p->count--;
    s->ending = true;
    lifecycle_drain(&s->lifecycle);
    push_cancel_takes(s, 0);
    push_cancel_handshake(s);
    push_end(s);
    return true;
}

/* ------------------------------------------------------------------ status */

static void fill(const struct subscription *s, mono_t now, struct subscription_info *out)
{
    const struct lifecycle *c = &s->lifecycle;
    bool standby = c->state == SUBSCRIPTION_ACTIVE && uplink_is_standby(s->push->uplink, s->settings.queue);
    *out = (struct subscription_info){
        .name = s->name,
        .settings = &s->settings,
        .managed = s->managed,
        .state = standby ? SUBSCRIPTION_STANDBY : c->state,
        .detail = c->state == SUBSCRIPTION_ACTIVE ? "" : s->detail,
        .retry_in_ms = mono_wait_ms(c->until, now),
        .in_flight = s->pushing,
        .last_status = s->last_status,
        .last_error = s->last_error,
    };
    memcpy(out->results, s->results, sizeof out->results);
}

bool push_info(const struct push *p, const char *name, mono_t now, struct subscription_info *out)
{
    const struct subscription *s = find(p, name);
    if (s)
        fill(s, now, out);
    return s != NULL;
}

size_t push_list(const struct push *p, const char *after, size_t most, mono_t now, struct subscription_info *out)
{
    const struct subscription *s;
    size_t count = 0;
    LL_FOREACH (p->subscriptions, s) {
        if (count < most && strcmp(s->name, after) > 0)
            fill(s, now, &out[count++]);
    }
    return count;
}

size_t push_count(const struct push *p)
{
    return p->count;
}

/* ------------------------------------------------------------------ metrics */

static void write_labels(const struct subscription *s, const char *metric, struct buf *b)
{
    buf_printf(b, "%s{subscription=\"%s\",queue=\"%s\"", metric, s->name, s->settings.queue);
}

static void write_results(const struct push *p, struct buf *b)
{
    const struct subscription *s;
    buf_add_str(b, "# HELP sluice_pushes_total pushes to the application, by result\n"
                   "# TYPE sluice_pushes_total counter\n");
    LL_FOREACH (p->subscriptions, s) {
        for (unsigned r = 0; r < PUSH_RESULTS; r++) {
            write_labels(s, "sluice_pushes_total", b);
            buf_printf(b, ",result=\"%s\"} %" PRIu64 "\n", push_result_name(r), s->results[r]);
        }
    }
}

static void write_gauges(const struct push *p, mono_t now, struct buf *b)
{
    const struct subscription *s;
    struct subscription_info info;
    buf_add_str(b, "# HELP sluice_pushes_in_flight pushes under way\n# TYPE sluice_pushes_in_flight gauge\n");
    LL_FOREACH (p->subscriptions, s) {
        write_labels(s, "sluice_pushes_in_flight", b);
        buf_printf(b, "} %u\n", s->pushing);
    }
    buf_add_str(b, "# HELP sluice_subscription_state 1 for the state that the subscription is in\n# TYPE "
                   "sluice_subscription_state gauge\n");
    LL_FOREACH (p->subscriptions, s) {
        fill(s, now, &info);
        write_labels(s, "sluice_subscription_state", b);
        buf_printf(b, ",state=\"%s\"} 1\n", subscription_state_name(info.state));
    }
}

static void write_durations(const struct push *p, struct buf *b)
{
    static const int bounds_ms[PUSH_BOUNDS] = PUSH_BOUNDS_MS;
    const struct subscription *s;
    buf_add_str(
        b, "# HELP sluice_push_duration_seconds time from an event's arrival at the sidecar to the end of its push\n"
           "# TYPE sluice_push_duration_seconds histogram\n");
    LL_FOREACH (p->subscriptions, s) {
        uint64_t sum = 0;
        for (unsigned i = 0; i <= PUSH_BOUNDS; i++) {
            sum += s->buckets[i];
            write_labels(s, "sluice_push_duration_seconds_bucket", b);
            if (i < PUSH_BOUNDS)
                buf_printf(b, ",le=\"%g\"} %" PRIu64 "\n", bounds_ms[i] / 1e3, sum);
            else
                buf_printf(b, ",le=\"+Inf\"} %" PRIu64 "\n", sum);
        }
        write_labels(s, "sluice_push_duration_seconds_sum", b);
        buf_printf(b, "} %.9f\n", (double)s->took_ns / 1e9);
        write_labels(s, "sluice_push_duration_seconds_count", b);
        buf_printf(b, "} %" PRIu64 "\n", sum);
    }
}

void push_write_metrics(const struct push *p, mono_t now, struct buf *out)
{
    if (!p->subscriptions)
        return;
    write_results(p, out);
    write_gauges(p, now, out);
    write_durations(p, out);
}
