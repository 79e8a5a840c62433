/* The core's public calls. An input sets the time and calls the part that it concerns, which leaves effects. core_flush
 * runs every queue, topic and session that changed. */
#include "broker/core/calls/explain.h"
#include "broker/core/calls/redrive.h"
#include "broker/core/calls/subscriptions.h"
#include "broker/core/partition/partition.h"
#include "broker/core/topic/topic.h"

#include "base/xalloc.h"

#include <sodium.h>
#include <stdlib.h>

void core_config_defaults(struct core_config *config)
{
    *config = (struct core_config){
        .memory_budget = UINT64_C(1) << 30,
        .max_queues = 20000,
        .heartbeat_ms = 3000,
        .session_timeout_ms = 10000,
        .max_event = 1u << 20,
        .max_sessions = 10000,
        .window_events = 16384,
        .window_bytes = 8u << 20,
        .deliver_frame = 256u << 10,
        .attach_outcomes = 1u << 20,
        .flood_bytes = 64u << 20,
        .producer_memory_ms = 600000,
        .confirm_synced = true,
        .mark_ahead = 1024,
        .unsettled_most = 1000,
        .look_ahead = 65536,
        .look_ahead_bytes = 16u << 20,
        .version = SLUICE_VERSION,
        .epoch_bits = 20,
    };
}

struct token core_random_token(struct core *c)
{
    uint8_t seed[32], bytes[16];
    memcpy(seed, c->config.seed, sizeof seed);
    for (unsigned i = 0; i < 8; i++)
        seed[i] ^= (uint8_t)(c->random_counter >> 8 * i);
    c->random_counter++;
    randombytes_buf_deterministic(bytes, sizeof bytes, seed);
    return (struct token){ wire_load64(bytes), wire_load64(bytes + 8) };
}

struct core *core_new(const struct core_config *config, struct store *store, struct now now)
{
    struct core *c = xcalloc(1, sizeof *c);
    c->config = *config;
    c->store = store;
    c->epoch_floor = config->incarnation << config->epoch_bits;
    c->started = now.mono;
    c->now = now;
    c->ingress = xstrdup("");
    struct token key = core_random_token(c);
    wire_store64(c->receipt_key, key.high);
    wire_store64(c->receipt_key + 8, key.low);
    if (!sodium_is_zero(config->receipt_key, sizeof config->receipt_key))
        memcpy(c->receipt_key, config->receipt_key, sizeof c->receipt_key);
    crypto_shorthash_siphashx24(c->dedup_key, (const unsigned char *)"dedup", 5, c->receipt_key);
    return c;
}

/* ------------------------------------------------------------------ helpers for all files */

int32_t core_tenths(const struct core *c)
{
    return (int32_t)(mono_since_ms(c->now.mono, c->started) / 100);
}

static uint64_t memory_used(const struct core *c)
{
    return c->store->ops->memory(c->store) + (c->disk ? c->disk->ops->memory(c->disk) : 0) + c->waiting_bytes +
           c->dedup_bytes + c->schedule_bytes + c->history_bytes + c->spill_bytes;
}

uint64_t core_budget_left(const struct core *c)
{
    uint64_t used = memory_used(c);
    return used < c->config.memory_budget ? c->config.memory_budget - used : 0;
}

void core_run_queue(struct core *c, struct queue *q)
{
    if (q->runnable)
        return;
    q->runnable = true;
    q->runnable_next = NULL;
    if (c->runnable)
        c->runnable_last->runnable_next = q;
    else
        c->runnable = q;
    c->runnable_last = q;
}

void core_stop_queue(struct core *c, struct queue *q)
{
    if (!q->runnable)
        return;
    q->runnable = false;
    LL_DELETE2(c->runnable, q, runnable_next);
    c->runnable_last = c->runnable;
    while (c->runnable_last && c->runnable_last->runnable_next)
        c->runnable_last = c->runnable_last->runnable_next;
}

/* ------------------------------------------------------------------ inputs */

void core_frame(struct core *c, struct span frame, const char *peer, struct now now)
{
    c->now = now;
    session_frame(c, frame, peer);
}

void core_control(struct core *c, struct span bytes, const struct route *route, const char *peer, struct now now)
{
    c->now = now;
    if (!core_admits(c, peer, now))
        return; /* it connected before it was denied */
    struct arena arena;
    struct request r;
    arena_init(&arena, 64u << 10);
    if (!request_unpack(bytes, &arena, &r) || r.call == CALL_NONE) {
        struct reply reply = { .reason = REASON_invalid, .detail = "this is not a request this broker understands" };
        guard_rejected(c, peer, bytes.size, REJECTED_CONTROL);
        core_reply(c, route, &reply);
    } else if (r.call == CALL_ATTACH) {
        attach_request(c, &r, route, peer);
    } else {
        operate_request(c, &r, route);
    }
    arena_free(&arena);
}

void core_refused(struct core *c, size_t size, const char *peer, struct now now)
{
    c->now = now;
    guard_rejected(c, peer, size, REJECTED_CONTROL);
}

void core_lane_failed(struct core *c, uint32_t lane, enum reason reason, const char *why, struct now now)
{
    c->now = now;
    for (struct session *s = c->sessions; s; s = s->hh.next) {
        if (s->lane != lane)
            continue;
        core_log(c, LOG_WARN, NULL, s, "cannot dial %s: %s", s->endpoint, why);
        if (s->pending.active)
            attach_fail(c, s, reason, why);
        return;
    }
}

/* The struct a timer is embedded in. */
#define OWNER(timer, type, member) ((type *)(void *)((char *)(timer)-offsetof(type, member)))

#define LATE_MS                    1000 /* timers fire later than that only if the process does not run */

int64_t core_stood_still_ms(struct core *c, const struct timer *fired)
{
    int64_t late = mono_since_ms(c->now.mono, fired->due);
    if (late <= LATE_MS)
        return 0;
    if (c->stood_still.ns != c->now.mono.ns)
        core_log(
            c, LOG_WARN, NULL, NULL,
            "the broker did not run for %.1f s; sessions and leases get that much longer (a stopped process, a slow "
            "disk, too little CPU?)",
            (double)late / 1000);
    c->stood_still = c->now.mono;
    return late;
}

void core_tick(struct core *c, struct now now)
{
    c->now = now;
    struct timer *t;
    while ((t = timers_pop(&c->wait_timers, now.mono)) != NULL)
        publish_expire(c, OWNER(t, struct waiting, deadline));
    while ((t = timers_pop(&c->lease_timers, now.mono)) != NULL)
        settle_lease_expired(c, OWNER(t, struct lease, timer));
    while ((t = timers_pop(&c->redrive_timers, now.mono)) != NULL)
        redrive_due(c, OWNER(t, struct redrive, timer));
    schedule_wake(c);
    spill_wake(c);
    while (producer_expire(c, now.mono))
        ;
    while ((t = timers_pop(&c->timers, now.mono)) != NULL)
        session_tick(c, OWNER(t, struct session, timer));
    duplicates_sweep(c);
}

static void run_queues(struct core *c)
{
    while (c->runnable) {
        struct queue *q = c->runnable;
        c->runnable = q->runnable_next;
        q->runnable = false;
        publish_admit(c, q);
        /* After admission, as what was just admitted may already be due or expired. If more has expired than one turn
         * takes, other queues are run before it continues. An orderly stop leaves it to the next start: while events
         * expire the log would not come to rest, and its last checkpoint would not be the end of it. */
        if (q->schedule && !c->stopping && !schedule_turn(c, q)) {
            core_stop_queue(c, q); /* the schedule's timer runs it again in the next turn */
            continue;
        }
        deliver_run(c, q);
        backlog_want(c, q);
        if (q->schedule)
            schedule_want(c, q);
        if (q->partitions)
            spill_want(c, q);
    }
}

static void flush_all(struct core *c)
{
    while (c->woken || c->runnable || c->dirty) { /* each step may add to the others' lists */
        topics_run(c);
        run_queues(c);
        struct session *s = c->dirty;
        if (!s)
            continue; /* running a queue may have woken a topic */
        c->dirty = s->dirty_next;
        s->dirty = false;
        session_flush(c, s);
        session_bound(c, s);
    }
}

/* Bye is sent after the last outcome, so that a publisher that leaves on Bye knows what became of everything it
 * sent. */
static void say_bye(struct core *c)
{
    if (!c->stopping || c->bye_said || c->pending)
        return;
    c->bye_said = true;
    for (struct session *s = c->sessions; s; s = s->hh.next) {
        s->bye = true;
        session_touch(c, s);
    }
}

void core_flush(struct core *c, struct now now)
{
    c->now = now;
    schedule_wake(c);
    flush_all(c);
    say_bye(c);
    flush_all(c);
}

mono_t core_due(const struct core *c)
{
    if (durable_has_room(c)) /* the log's flush has freed space since core_disk looked */
        return c->now.mono;
    mono_t due = timers_next(&c->timers);
    due = mono_min(due, timers_next(&c->wait_timers));
    due = mono_min(due, timers_next(&c->lease_timers));
    due = mono_min(due, timers_next(&c->redrive_timers));
    due = mono_min(due, timers_next(&c->spill_timers));
    due = mono_min(due, schedule_due(c));
    return mono_min(due, timers_next(&c->producer_timers));
}

/* ------------------------------------------------------------------ configuration, looking, the end */

void core_set_ingress(struct core *c, const char *endpoint)
{
    free(c->ingress);
    c->ingress = xstrdup(endpoint);
}

void core_stop(struct core *c, struct now now)
{
    c->now = now;
    c->stopping = true;
    for (uint32_t i = 0; i < c->queue_count; i++)
        publish_refuse_all(c, c->by_name[i], NULL, REASON_draining);
    for (uint32_t i = 0; i < c->topic_count; i++)
        publish_refuse_all(c, NULL, c->topics_by_name[i], REASON_draining);
}

bool core_has_said_bye(const struct core *c)
{
    for (const struct session *s = c->sessions; s; s = s->hh.next) {
        if (s->line.first)
            return false;
    }
    return c->bye_said;
}

static void disk_info(const struct core *c, struct broker_info *out)
{
    struct log_info log;
    if (!c->disk)
        return;
    log_info(c->disk, &log);
    out->disk_used = log.disk_bytes;
    out->disk_budget = log.disk_budget;
    out->disk_written = log.written_bytes;
    out->disk_syncs = log.syncs;
    out->disk_carried_groups = log.carried_groups;
    out->disk_full = durable_disk_is_full(c);
}

void core_info(const struct core *c, struct broker_info *out, struct now now)
{
    *out = (struct broker_info){
        .version = c->config.version,
        .uptime_ms = (uint64_t)mono_since_ms(now.mono, c->started),
        .incarnation = c->config.incarnation,
        .sessions = HASH_COUNT(c->sessions),
        .queues = c->queue_count,
        .memory_used = memory_used(c),
        .memory_budget = c->config.memory_budget,
        .ledger = c->closed_ledger,
        .frames_in = c->frames_in,
        .frames_out = c->frames_out,
        .resent = c->resent,
        .rejected = c->rejected,
        .rejected_bytes = c->rejected_bytes,
        .rebinds = c->rebinds,
        .denied = c->denied,
        .sessions_ended = c->sessions_ended,
    };
    disk_info(c, out);
    for (uint32_t i = 0; i < c->queue_count; i++) {
        ledger_add(&out->ledger, &c->by_name[i]->ledger);
        out->ledger.remaining += queue_remaining(c->by_name[i]);
    }
}

void core_free(struct core *c)
{
    while (c->sessions)
        session_end(c, c->sessions, NULL, true);
    topics_free(c);
    while (c->queue_count)
        queue_delete(c, c->by_name[0], REASON_deleted);
    while (c->producers)
        producer_free(c, c->producers);
    durable_free(c);
    core_effects_clear(c);
    guard_free(c);
    reply_cache_free(c);
    subscriptions_free(c);
    peek_free(c);
    redrive_free(c);
    explain_free(c);
    timers_free(&c->timers);
    timers_free(&c->lease_timers);
    timers_free(&c->delay_timers);
    timers_free(&c->spill_timers);
    timers_free(&c->redrive_timers);
    timers_free(&c->wall_timers);
    timers_free(&c->wait_timers);
    timers_free(&c->producer_timers);
    free(c->effects);
    free(c->by_name);
    free(c->leases);
    free(c->free_leases);
    free(c->ingress);
    free(c);
}
