/* One thread, one event loop, which waits for the descriptors of libmicrohttpd, ZeroMQ and libcurl. Requests that
 * arrive in the same turn share frames to the broker, and their answers are sent together. */
#include "sidecar/sidecar.h"

#include "base/clock.h"
#include "base/io_thread.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "sidecar/sidecar_priv.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define FAREWELL_MS     200
#define FLUSH_MS        2000 /* waiting publishes get at least this long after the drain, even if drain_limit is over */
#define ANSWERS_MS      1000
#define OWN_DESCRIPTORS 64u

static const char *application_name(const struct sidecar_options *o)
{
    return o->app_name ? o->app_name : "sluice";
}

static void configure_api(struct sidecar *s, const char *token)
{
    const struct sidecar_options *o = s->options;
    s->api = (struct api_config){
        .app_name = application_name(o),
        .app_named = o->app_name != NULL,
        .operate = o->app_operate,
        .token = token,
        .token_needed = { !address_is_local(o->http), !address_is_local(o->ops), false },
        .origins = &o->origins,
        .hosts = &o->hosts,
        .pubsubs = &o->pubsubs,
        .publish_wait_ms = o->publish_wait,
        .publish_wait_max_ms = o->publish_wait_max,
        .take_wait_max_ms = o->take_wait_max,
        .take_max = (uint32_t)o->take_max,
        .take_bytes = o->take_bytes,
        .event_max = o->event_max,
        .batch_max_bytes = o->batch_max_bytes,
        .batch_max_events = (uint32_t)o->batch_max_events,
    };
}

static bool listen_all(struct sidecar *s, struct error *e)
{
    const char *const addresses[] = { s->options->http, s->options->ops, s->options->probe };
    static const char *const settings[] = { "http", "ops", "probe" };
    struct error why;
    for (unsigned i = 0; i < 3; i++) {
        if (addresses[i] && *addresses[i] && !http_listen(s->http, (enum api_listener)i, addresses[i], &why))
            return error_set(e, "%s (--%s)", why.text, settings[i]);
    }
    s->api.operations = http_address(s->http, API_OPERATIONS);
    return true;
}

/* The order of sidecar.guest.fds. */
enum { FD_CONTROL, FD_INBOX, FD_PUSH, FD_STOP, FD_HTTP, FDS = FD_HTTP + HTTP_FDS };
static_assert(FDS <= IO_GUEST_FDS, "the I/O thread waits for all of them");

static bool watch(struct sidecar *s, unsigned i)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->guest.fds[i], &event) == 0;
}

static bool watch_all(struct sidecar *s, struct error *e)
{
    int *fds = s->guest.fds;
    uplink_fds(s->uplink, &fds[FD_CONTROL], &fds[FD_INBOX]);
    fds[FD_PUSH] = push_fd(s->push);
    unsigned last = FD_HTTP + (unsigned)http_fds(s->http, &fds[FD_HTTP]);
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bool fine = s->epoll_fd >= 0;
    for (unsigned i = 0; i < last; i++)
        fine = fine && (i == FD_STOP || watch(s, i));
    return fine || error_set(e, "cannot poll: %s", strerror(errno));
}

static bool open_push(struct sidecar *s, struct error *e)
{
    const struct declared_subscription *d = s->options->subscriptions;
    s->push = push_open(s->uplink, application_name(s->options), e);
    for (; s->push && d; d = d->next)
        push_put(s->push, d->name, &d->settings, true, 0);
    return s->push != NULL;
}

/* How many descriptors connections may use: the rest is for the broker, for pushes and for files. */
static uint64_t descriptors_for_connections(void)
{
    struct rlimit files = { .rlim_cur = RLIM_INFINITY };
    getrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_cur > 2 * OWN_DESCRIPTORS ? files.rlim_cur - OWN_DESCRIPTORS : files.rlim_cur / 2;
}

static bool open_parts(struct sidecar *s, void *zmq, struct error *e)
{
    const struct sidecar_options *o = s->options;
    struct http_config http = {
        .max_connections = (uint32_t)o->max_connections,
        .descriptors = descriptors_for_connections(),
        .request_ms = o->request_timeout,
        .idle_ms = o->idle_timeout,
        .bodies = o->buffer,
    };
    char name[320], host[128] = "";
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "%s@%s/%d", application_name(o), host, (int)getpid());
    struct uplink_config uplink = {
        .broker = o->broker,
        .inbox = o->inbox,
        .name = name,
        .buffer_bytes = o->buffer,
        .take_bytes = o->take_bytes,
        .secret_key_file = o->secret_key_file,
        .broker_key_file = o->broker_key_file,
        .turn_idle_ms = o->turn_idle,
    };
    s->http = http_open(&http, &jobs_http, s);
    return listen_all(s, e) && (s->uplink = uplink_open(zmq, &uplink, &jobs_uplink, e)) && open_push(s, e) &&
           watch_all(s, e);
}

struct sidecar *sidecar_open(void *zmq, const struct sidecar_options *options, const char *token, struct error *e)
{
    if (sodium_init() < 0) {
        error_set(e, "no randomness from the system");
        return NULL;
    }
    struct sidecar *s = xcalloc(1, sizeof *s);
    s->options = options;
    s->guest = io_guest(s, NULL);
    s->epoll_fd = -1;
    s->now = clock_now();
    s->started = s->now.mono;
    s->drain_end = MONO_NEVER;
    randombytes_buf(s->random_key, sizeof s->random_key);
    configure_api(s, token);
    s->metrics = metrics_new();
    s->queue_metrics = queue_metrics_new(options->metrics_queues, &options->pinned);
    if (!open_parts(s, zmq, e)) {
        sidecar_close(s);
        return NULL;
    }
    return s;
}

/* One turn: requests in, the broker's frames in and ours out, answers out. */
static void turn(struct sidecar *s)
{
    s->now = clock_now();
    http_run(s->http, s->now);
    s->busy = false;
    s->busy |= uplink_run(s->uplink, s->now);
    s->busy |= push_run(s->push, s->now);
    streams_tick(s);
    subscriptions_tick(s);
    drain_tick(s);
    http_run(s->http, s->now);
    heap_trim_turn(&s->heap, s->now.mono);
}

static mono_t due(const struct sidecar *s)
{
    mono_t due = mono_min(uplink_due(s->uplink), http_due(s->http));
    due = mono_min(due, mono_min(push_due(s->push), mono_min(streams_due(s), subscriptions_due(s))));
    return mono_min(due, mono_min(heap_trim_due(&s->heap), drain_due(s)));
}

/* Bit i of `ready`: fds[i] is readable. */
static void hear(struct sidecar *s, unsigned ready)
{
    s->stop = ready >> FD_STOP & 1;
    uplink_heard(s->uplink, ready >> FD_CONTROL & 1, ready >> FD_INBOX & 1);
    for (unsigned i = FD_HTTP; i < FDS; i++) {
        if (ready >> i & 1)
            http_readable(s->http, s->guest.fds[i]);
    }
}

/* Waits for the next thing to do. */
static void wait_for_work(struct sidecar *s, mono_t latest)
{
    struct epoll_event events[FDS];
    int64_t ms = s->busy ? 0 : mono_wait_ms(mono_min(latest, due(s)), clock_now().mono);
    int count = epoll_wait(s->epoll_fd, events, FDS, ms > 60000 ? 60000 : (int)ms);
    unsigned ready = 0;
    for (int i = 0; i < count; i++)
        ready |= 1u << events[i].data.u32;
    hear(s, ready);
}

/* ------------------------------------------------------------------ on the I/O thread, or on the caller's */

void sidecar_allow_one_thread(struct sidecar *s, int io_thread)
{
    s->io_thread = io_thread;
    one_thread_open(&s->threads, clock_now().mono);
}

static bool better_one_thread(struct sidecar *s)
{
    return one_thread_turn(&s->threads, s->now.mono, uplink_traffic(s->uplink));
}

static bool guest_turn(void *of, unsigned ready, mono_t *next)
{
    struct sidecar *s = of;
    hear(s, ready);
    if (s->stop)
        return false;
    turn(s);
    *next = s->busy ? MONO_AT_ONCE : due(s);
    return better_one_thread(s);
}

/* False: the I/O thread takes no guests, or not yet. */
static bool run_as_guest(struct sidecar *s)
{
    s->guest.turn = guest_turn;
    return io_thread_host(s->io_thread, &s->guest);
}

static void run_here(struct sidecar *s)
{
    one_thread_not_now(&s->threads);
    do {
        turn(s);
        wait_for_work(s, MONO_NEVER);
    } while (!s->stop && !better_one_thread(s));
}

void sidecar_run(struct sidecar *s, int stop_fd)
{
    s->guest.fds[FD_STOP] = stop_fd;
    watch(s, FD_STOP);
    s->stop = false;
    while (!s->stop) {
        if (!s->threads.one || !run_as_guest(s))
            run_here(s);
    }
}

/* Runs until `done` or `end`. */
static void run_until(struct sidecar *s, mono_t end, bool (*done)(const struct sidecar *s))
{
    turn(s);
    while (!done(s) && mono_before(clock_now().mono, end)) {
        wait_for_work(s, end);
        turn(s);
    }
}

/* A second signal hurries the first two phases of the end. */
static bool is_drained(const struct sidecar *s)
{
    return s->stop || uplink_is_drained(s->uplink);
}

static bool is_quiet(const struct sidecar *s)
{
    return s->stop || uplink_is_quiet(s->uplink);
}

static bool is_idle(const struct sidecar *s)
{
    return http_is_idle(s->http);
}

/* Messages that were handed to ZeroMQ are still sent while its sockets close (binding.c). */
static bool has_said_bye(const struct sidecar *s)
{
    return uplink_has_said_bye(s->uplink);
}

/* Publishes that are still waiting are answered 504: their result is unknown. */
static void log_undecided(const struct sidecar *s)
{
    if (s->stop)
        drain_log(s, LOG_WARN, "a second signal: ending at once");
    else if (!is_quiet(s))
        drain_log(s, LOG_WARN, "ending; publishes that are not decided are answered as unknown");
}

/* New connections are accepted until the events that were handed out are settled, because the acks may come on new
 * ones. */
void sidecar_stop(struct sidecar *s)
{
    s->now = clock_now();
    s->stop = false;
    drain_begin(s);
    run_until(s, s->drain_end, is_drained);
    http_stop_listening(s->http);
    mono_t flush_end = mono_add_ms(clock_now().mono, FLUSH_MS);
    if (!is_quiet(s))
        drain_log(s, LOG_INFO, "waiting for publishes to be decided, for the rest of drain_limit but at least 2s");
    if (!s->stop)
        run_until(s, mono_before(flush_end, s->drain_end) ? s->drain_end : flush_end, is_quiet);
    log_undecided(s);
    epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->guest.fds[FD_STOP], NULL); /* nobody reads it any more */
    s->now = clock_now();
    http_abandon(s->http);
    run_until(s, mono_add_ms(s->now.mono, ANSWERS_MS), is_idle);
    uplink_bye(s->uplink, s->now);
    run_until(s, mono_add_ms(clock_now().mono, FAREWELL_MS), has_said_bye);
}

void sidecar_close(struct sidecar *s)
{
    if (!s)
        return;
    http_close(s->http);
    push_close(s->push);
    uplink_close(s->uplink);
    metrics_free(s->metrics);
    queue_metrics_free(s->queue_metrics);
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    free(s);
}

const char *sidecar_address(const struct sidecar *s, enum api_listener which)
{
    return http_address(s->http, which);
}
