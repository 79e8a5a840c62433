/* The drain: events that were handed out may still be settled, and the log says what the drain waits for. */
#include "base/log.h"
#include "base/units.h"
#include "sidecar/sidecar_priv.h"

#include <stdio.h>

void drain_log(const struct sidecar *s, enum log_level level, const char *what)
{
    struct uplink_stats stats;
    bool away = !uplink_is_attached(s->uplink);
    uplink_stats(s->uplink, &stats);
    if (stats.held_events + stats.client.undecided_events == 0) {
        log_write(level, "sidecar", "%s", what);
        return;
    }
    log_write(level, "sidecar", "%s; events handed out and not settled: %llu, published and not decided: %llu%s%s",
              what, (unsigned long long)stats.held_events, (unsigned long long)stats.client.undecided_events,
              away ? "; not attached to the broker: " : "", away ? uplink_trouble(s->uplink) : "");
}

static void log_begin(const struct sidecar *s)
{
    char limit[24], text[160];
    duration_format(s->options->drain_limit, limit);
    snprintf(text, sizeof text,
             "draining for at most %s (drain_limit): no more takes and pushes; publishing and acks go on", limit);
    drain_log(s, LOG_INFO, text);
}

void drain_begin(struct sidecar *s)
{
    if (s->api.draining)
        return;
    s->api.draining = true;
    s->drain_end = mono_add_ms(s->now.mono, s->options->drain_limit);
    push_drain(s->push);
    streams_drain(s);
    uplink_drain(s->uplink, s->now);
    log_begin(s);
}

static void answer(struct job *j, bool drained)
{
    struct uplink_stats stats;
    struct api_response r;
    uplink_stats(j->sidecar->uplink, &stats);
    api_text(200, "application/json", span_str(""), &r);
    buf_printf(&r.body, "{\"drained\":%s,\"undecided\":%llu,\"held\":%llu}\n", drained ? "true" : "false",
               (unsigned long long)stats.client.undecided_events, (unsigned long long)stats.held_events);
    job_answer(j, &r);
}

void drain_join(struct job *j)
{
    j->waiting = true;
    j->next_draining = j->sidecar->draining;
    j->sidecar->draining = j;
    drain_begin(j->sidecar);
}

void drain_leave(struct sidecar *s, const struct job *j)
{
    struct job **at = &s->draining;
    while (*at && *at != j)
        at = &(*at)->next_draining;
    if (*at)
        *at = j->next_draining;
}

void drain_give_up(struct job *j)
{
    answer(j, uplink_is_drained(j->sidecar->uplink));
}

static void log_end(struct sidecar *s, bool drained)
{
    if (s->drain_ended)
        return;
    s->drain_ended = true;
    if (drained)
        drain_log(s, LOG_INFO, "drained");
    else
        drain_log(s, LOG_WARN, "drain_limit is over; events that are still not settled may be redelivered");
}

void drain_tick(struct sidecar *s)
{
    bool drained = uplink_is_drained(s->uplink);
    if (!s->api.draining || (!drained && mono_before(s->now.mono, s->drain_end)))
        return;
    log_end(s, drained);
    while (s->draining) {
        struct job *j = s->draining;
        s->draining = j->next_draining;
        answer(j, drained);
    }
}

mono_t drain_due(const struct sidecar *s)
{
    return s->api.draining && !s->drain_ended ? s->drain_end : MONO_NEVER;
}
