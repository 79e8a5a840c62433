/* The broker's loop: wiring, the order of a turn, and the orderly end. */
#include "broker/loop.h"

#include "base/clock.h"
#include "base/heap_trim.h"
#include "base/io_thread.h"
#include "base/one_thread.h"
#include "base/same_cpu.h"
#include "base/usage.h"
#include "base/xalloc.h"
#include "broker/data.h"
#include "broker/declare.h"
#include "broker/net/endpoints.h"
#include "broker/net/net.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* Messages taken from each socket per turn: enough to batch well, too few to starve timers. */
#define TURN_MESSAGES 256u
/* Replies that nobody reads may take a quarter of the memory budget, but no more than this. */
#define UNREAD_MOST (256u << 20)
/* How long clients are still answered after the Bye: what they sent before they heard it is refused instead of lost. */
#define FAREWELL_MS 200
/* At the end: how long the disk may take for what waits for it, and again for the last checkpoint. */
#define STOP_MS 10000
/* If no event entered or left a queue in memory for so long, nobody else needs the loop while it waits for the disk. */
#define QUIET_MS 1000

struct broker {
    struct store *store;
    struct data data;
    struct core *core;
    struct net *net;
    struct one_thread threads;
    struct same_cpu cpu;
    int io_thread;
    int stop_fd; /* during broker_run */
    bool stop;   /* … it is readable */
    struct heap_trim heap;
    struct io_guest guest;
    uint64_t moves; /* store_memory_moves() at the last turn … */
    mono_t moved;   /* … and when it last changed */
};

static void configure(const struct broker_options *o, struct core_config *c)
{
    core_config_defaults(c);
    randombytes_buf(c->seed, sizeof c->seed);
    c->memory_budget = o->memory_budget ? o->memory_budget : broker_memory_budget();
    c->max_queues = (uint32_t)o->max_queues;
    c->max_sessions = (uint32_t)o->max_sessions;
    c->max_event = (uint32_t)o->max_event;
    c->auto_declare = o->auto_declare;
    c->heartbeat_ms = o->heartbeat;
    c->session_timeout_ms = o->session_timeout;
    c->version = SLUICE_VERSION;
    c->usage = usage_read;
}

void broker_reload_declarations(struct broker *b, const struct broker_options *o)
{
    declare_reloaded(b->core, o);
}

static void log_ledger(const struct broker *b)
{
    struct broker_info i;
    core_info(b->core, &i, clock_now());
    if (i.ledger.accepted == 0)
        return; /* nothing to account for; also after a failed start */
    log_write(LOG_INFO, "broker",
              "ledger: accepted %llu = acked %llu + dead_lettered %llu + expired %llu + purged %llu + dropped %llu + "
              "remaining %llu",
              (unsigned long long)i.ledger.accepted, (unsigned long long)i.ledger.acked,
              (unsigned long long)i.ledger.dead_lettered, (unsigned long long)i.ledger.expired,
              (unsigned long long)i.ledger.purged, (unsigned long long)i.ledger.dropped,
              (unsigned long long)i.ledger.remaining);
}

static void free_broker(struct broker *b)
{
    core_free(b->core);
    data_close(&b->data);
    b->store->ops->close(b->store);
    net_close(b->net);
    free(b);
}

bool broker_reload_clients(struct broker *b)
{
    struct error e;
    bool fine = net_reload_clients(b->net, b->core, clock_now(), &e);
    if (!fine)
        log_write(LOG_ERROR, "config", "the keys to admit stay as they were: %s", e.text);
    return fine;
}

struct broker *broker_open(void *context, const struct broker_options *o, struct error *e)
{
    struct core_config config;
    struct net_options sockets = {
        .listen = o->listen,
        .ingress = o->ingress,
        .insecure = o->insecure,
        .max_sessions = (uint32_t)o->max_sessions,
        .secret_key_file = o->secret_key_file,
        .clients = o->clients,
    };
    char ingress[256];
    if (sodium_init() < 0) {
        error_set(e, "the system provides no random numbers");
        return NULL;
    }
    configure(o, &config);
    sockets.unread_most = config.memory_budget / 4 < UNREAD_MOST ? config.memory_budget / 4 : UNREAD_MOST;
    struct broker *b = xcalloc(1, sizeof *b);
    bool fine = data_open(&b->data, o, &config, e);
    b->store = store_memory_open();
    b->core = core_new(&config, b->store, clock_now());
    fine = fine && data_recover(&b->data, o, b->core, e);
    b->net = fine ? net_open(context, &sockets, e) : NULL;
    if (!b->net) {
        free_broker(b);
        return NULL;
    }
    endpoint_advertise(net_ingress_endpoint(b->net), ingress, sizeof ingress);
    core_set_ingress(b->core, ingress);
    declare_configured(b->core, o);
    log_ledger(b); /* what the data directory had; the same line at the end says what became of it */
    return b;
}

static bool memory_is_quiet(struct broker *b, mono_t now)
{
    uint64_t moves = store_memory_moves(b->store);
    if (moves != b->moves)
        b->moved = now;
    b->moves = moves;
    return mono_since_ms(now, b->moved) >= QUIET_MS;
}

/* True: it already has completions for the core. */
static bool flush_log(struct broker *b, struct now now)
{
    struct store *log = b->data.log;
    if (!log)
        return false;
    log_may_wait(log, memory_is_quiet(b, now.mono));
    log->ops->flush(log, now.mono);
    return log_has_news(log);
}

/* One turn: take what arrived and what the disk completed, let timers run, seal the produced frames, hand the log's
 * group to the disk, carry out the effects. Confirms leave in net_perform and nowhere else. Those of queues on disk
 * are among the effects only after the log completed their sync (broker/core/durable/durable.c). */
static bool turn(struct broker *b)
{
    struct now now = clock_now();
    struct store *log = b->data.log;
    bool more = net_receive(b->net, b->core, now, TURN_MESSAGES);
    if (log)
        core_disk(b->core, now);
    core_tick(b->core, now);
    core_flush(b->core, now);
    bool waited = flush_log(b, now);
    if (waited) { /* what it made durable leaves with this turn: the next one may wait for the disk again */
        now = clock_now();
        core_disk(b->core, now);
        core_flush(b->core, now);
    }
    net_perform(b->net, b->core, now);
    heap_trim_turn(&b->heap, now.mono);
    return more || waited;
}

static mono_t due(const struct broker *b)
{
    const struct store *log = b->data.log;
    mono_t due = mono_min(core_due(b->core), heap_trim_due(&b->heap));
    return log ? mono_min(due, log->ops->due(log)) : due;
}

void broker_allow_one_thread(struct broker *b, int io_thread)
{
    b->io_thread = io_thread;
    one_thread_open(&b->threads, clock_now().mono);
}

void broker_share_cpu(struct broker *b, int io_thread)
{
    char name[16];
    snprintf(name, sizeof name, IO_THREAD_NAME, io_thread);
    same_cpu_open(&b->cpu, same_cpu_find(name), clock_now().mono);
}

/* ------------------------------------------------------------------ on the I/O thread, or on the caller's */

enum { FD_STOP = NET_FDS, FD_DISK, FDS };
static_assert(FDS <= IO_GUEST_FDS, "the I/O thread waits for all of them");

static bool is_ending(const struct broker *b)
{
    return b->stop || core_disk_failed(b->core);
}

static bool guest_turn(void *of, unsigned ready, mono_t *next)
{
    struct broker *b = of;
    b->stop = ready >> FD_STOP & 1;
    net_readable(b->net, ready);
    bool more = !b->stop && turn(b);
    mono_t now = clock_now().mono;
    *next = more ? MONO_AT_ONCE : mono_min(due(b), net_due(b->net, now));
    net_fds(b->net, b->guest.fds);
    return !is_ending(b) && one_thread_turn(&b->threads, now, net_traffic(b->net));
}

/* False: the I/O thread takes no guests, or not yet. */
static bool run_as_guest(struct broker *b)
{
    b->guest = io_guest(b, guest_turn);
    b->guest.fds[FD_STOP] = b->stop_fd;
    b->guest.fds[FD_DISK] = data_fd(&b->data);
    return io_thread_host(b->io_thread, &b->guest);
}

static void run_here(struct broker *b)
{
    mono_t now = clock_now().mono;
    one_thread_not_now(&b->threads);
    do {
        same_cpu_turn(&b->cpu, now);
        bool more = turn(b);
        b->stop = net_wait(b->net, more ? MONO_AT_ONCE : due(b), b->stop_fd, data_fd(&b->data));
        now = clock_now().mono;
    } while (!is_ending(b) && !one_thread_turn(&b->threads, now, net_traffic(b->net)));
    same_cpu_pause(&b->cpu);
}

bool broker_run(struct broker *b, int stop_fd)
{
    b->stop_fd = stop_fd;
    b->stop = false;
    while (!is_ending(b)) {
        if (!b->threads.one || !run_as_guest(b))
            run_here(b);
    }
    if (core_disk_failed(b->core))
        log_write(LOG_ERROR, "store", "the log failed, so nothing more is confirmed and the broker ends: %s",
                  log_failure(b->data.log));
    return !core_disk_failed(b->core);
}

/* Runs turns until `done` returns true, but no longer than `ms`. */
static void run_until(struct broker *b, bool (*done)(const struct broker *), int64_t ms)
{
    mono_t end = mono_add_ms(clock_now().mono, ms);
    bool more = turn(b);
    while (!done(b) && !core_disk_failed(b->core) && mono_before(clock_now().mono, end)) {
        net_wait(b->net, more ? MONO_AT_ONCE : mono_min(due(b), end), -1, data_fd(&b->data));
        more = turn(b);
    }
}

static bool has_said_bye(const struct broker *b)
{
    return core_has_said_bye(b->core);
}

static bool no_sessions_left(const struct broker *b)
{
    struct broker_info i;
    core_info(b->core, &i, clock_now());
    return i.sessions == 0;
}

/* The log's last checkpoint is written, so a restart redelivers nothing that was settled. */
static bool log_has_stopped(const struct broker *b)
{
    return !b->data.log || b->data.log->ops->stop(b->data.log);
}

void broker_stop(struct broker *b)
{
    core_stop(b->core, clock_now());
    run_until(b, has_said_bye, STOP_MS);
    run_until(b, no_sessions_left, FAREWELL_MS);
    run_until(b, log_has_stopped, STOP_MS);
}

void broker_close(struct broker *b)
{
    log_ledger(b);
    free_broker(b);
}

const char *broker_endpoint(const struct broker *b)
{
    return net_control_endpoint(b->net);
}

const char *broker_ingress(const struct broker *b)
{
    return net_ingress_endpoint(b->net);
}
