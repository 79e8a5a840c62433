/* The library's connection: its thread, the queue of commands into it, opening and closing. */
#include "clients/c/sluice_priv.h"

#include "base/clock.h"
#include "base/xalloc.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define BUFFER_BYTES    (16u << 20)
#define CONNECT_WAIT_MS 5000
#define FRAME_BYTES     (512u << 10) /* a window of 256 events of 1 KiB is one */
#define LINGER_MOST_MS  INT64_C(86400000)
#define ERROR_SIZE      256
#define LARGEST_KEPT    (2u << 20)

/* ------------------------------------------------------------------ commands */

/* What is published or acked during a linger needs no wake-up of its own, unless it is a frame's worth by now. */
static bool may_wait(const struct sluice *s, enum command_kind kind)
{
    return s->lingers && (kind == COMMAND_PUBLISH || kind == COMMAND_ACK) && s->queue.bytes.size < FRAME_BYTES;
}

struct command *sluice_command(struct sluice *s, enum command_kind kind, bool *wake)
{
    struct commands *q = &s->queue;
    *wake = s->asleep && !may_wait(s, kind);
    s->asleep &= !*wake;
    if (q->count == q->capacity) {
        q->capacity = q->capacity ? q->capacity * 2 : 64;
        q->items = xrealloc(q->items, q->capacity * sizeof *q->items);
    }
    struct command *c = &q->items[q->count++];
    if (kind == COMMAND_PUBLISH)
        atomic_store_explicit(&s->has_publishes, true, memory_order_release);
    *c = (struct command){ .kind = kind };
    return c;
}

void sluice_wake(struct sluice *s)
{
    uint64_t one = 1;
    ssize_t n = write(s->wake_fd, &one, sizeof one);
    (void)n; /* EAGAIN: it is awake as it can be */
}

void sluice_waited(struct sluice *s)
{
    if (--s->waiting == 0 && s->stop)
        pthread_cond_broadcast(&s->changed);
}

bool sluice_on_thread(const struct sluice *s)
{
    return pthread_equal(pthread_self(), s->thread) != 0;
}

/* From here on callbacks may publish past the queue, unless more came meanwhile. */
static void publishes_taken(struct sluice *s)
{
    pthread_mutex_lock(&s->lock);
    bool more = false;
    for (size_t i = 0; i < s->queue.count && !more; i++)
        more = s->queue.items[i].kind == COMMAND_PUBLISH;
    atomic_store_explicit(&s->has_publishes, more, memory_order_release);
    pthread_mutex_unlock(&s->lock);
}

/* Takes the whole queue: callers fill the emptied other one meanwhile. */
static void take_commands(struct sluice *s)
{
    pthread_mutex_lock(&s->lock);
    struct commands full = s->queue;
    s->queue = s->taken;
    s->taken = full;
    s->asleep = false;
    bool has_publishes = atomic_load_explicit(&s->has_publishes, memory_order_relaxed);
    bool no_room = s->full, hurry = s->hurry;
    s->full = false;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->taken.count; i++) {
        if (s->taken.items[i].kind == COMMAND_PUBLISH)
            outbox_command(s, &s->taken.items[i]);
        else
            sub_command(s, &s->taken.items[i]);
    }
    s->taken.count = 0;
    buf_clear(&s->taken.bytes);
    if (has_publishes)
        publishes_taken(s);
    if (hurry)
        client_hurry_on(s->client);
    else if (no_room)
        client_hurry(s->client);
}

/* ------------------------------------------------------------------ the thread */

/* The thread's news for the callers; the lock is held. */
static void show_state(struct sluice *s)
{
    struct client_stats c;
    client_stats(s->client, &c);
    bool attached = client_is_attached(s->client);
    bool news = attached != s->stats.attached || s->freed_bytes || s->decided;
    atomic_fetch_sub_explicit(&s->buffered, s->freed_bytes, memory_order_relaxed);
    s->undecided += s->published - s->decided;
    s->freed_bytes = s->decided = s->published = 0;
    s->stats =
        (struct sluice_stats){ c.confirmed, c.refused, c.unknown, c.delivered, 0, c.attaches, c.resent, attached };
    if (!attached)
        snprintf(s->trouble, sizeof s->trouble, "%s", client_trouble(s->client));
    if (news && s->waiting)
        pthread_cond_broadcast(&s->changed);
}

/* What callbacks ask for leaves with what they caused: one frame, not two. True when there is more to do at once. */
static bool turn(struct sluice *s, mono_t *due)
{
    s->now = clock_now();
    take_commands(s);
    binding_receive(s->binding, s->now);
    take_commands(s);
    *due = sub_care(s);
    bool more = binding_send(s->binding, s->now);
    *due = mono_min(*due, binding_due(s->binding));
    return more;
}

/* Ends a turn. Callers that queue a command from now on wake the thread if it may sleep. */
static bool end_turn(struct sluice *s, bool more, bool *stop)
{
    pthread_mutex_lock(&s->lock);
    show_state(s);
    *stop = s->stop;
    s->lingers = client_lingers(s->client);
    s->full &= s->lingers;
    s->asleep = !more && !s->stop && s->queue.count == 0 && !s->full;
    bool asleep = s->asleep;
    pthread_mutex_unlock(&s->lock);
    return asleep;
}

static void sleep_until(struct sluice *s, mono_t due)
{
    uint64_t count;
    if (!binding_wait(s->binding, s->wake_fd, due))
        return;
    ssize_t n = read(s->wake_fd, &count, sizeof count);
    (void)n; /* EAGAIN: somebody else's doing */
}

static void say_goodbye(struct sluice *s)
{
    take_commands(s);
    client_flush(s->client, s->now);
    client_bye(s->client, s->now);
    binding_run(s->binding, s->now);
}

static void *run(void *arg)
{
    struct sluice *s = arg;
    pthread_mutex_lock(&s->lock);
    pthread_mutex_unlock(&s->lock);
    for (bool stop = false; !stop;) {
        mono_t due;
        bool more = turn(s, &due);
        if (end_turn(s, more, &stop))
            sleep_until(s, due);
        s->ending = stop;
    }
    s->now = clock_now();
    say_goodbye(s);
    end_turn(s, false, &(bool){ false });
    outbox_abandon(s);
    return NULL;
}

/* ------------------------------------------------------------------ what the client tells */

static void control_open(void *ctx)
{
    (void)ctx;
}

static void control_send(void *ctx, struct span message)
{
    (void)ctx;
    (void)message;
}

static void ingress_open(void *ctx, const char *endpoint)
{
    (void)ctx;
    (void)endpoint;
}

static void ingress_send(void *ctx, struct frame *frame)
{
    (void)ctx;
    frame_drop(frame);
}

static void attached(void *ctx, bool resumed)
{
    (void)ctx; /* show_state tells, after the turn; lost turns come as Turn */
    (void)resumed;
}

static void away(void *ctx, const char *why)
{
    (void)ctx;
    (void)why;
}

static void outcome(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o)
{
    outbox_outcome(ctx, cookie, index, count, o);
}

static void turned(void *ctx, const char *queue, enum turn_state state, uint64_t consumer_epoch, bool contended,
                   enum reason reason)
{
    (void)contended;
    (void)reason;
    sub_turn(ctx, queue, state, consumer_epoch);
}

static void delivery(void *ctx, const struct client_delivery *d)
{
    sub_delivery(ctx, d);
}

static void idle(void *ctx, const char *queue, uint64_t generation)
{
    (void)ctx;
    (void)queue;
    (void)generation;
}

static void settled(void *ctx, const char *queue, uint64_t consumer_epoch, uint64_t first, uint64_t count,
                    enum settle_result result)
{
    (void)ctx, (void)queue, (void)consumer_epoch, (void)first, (void)count, (void)result;
}

static void receipt_settled(void *ctx, uint64_t request, enum settle_result result)
{
    (void)ctx, (void)request, (void)result;
}

static void replied(void *ctx, void *cookie, const struct reply *reply)
{
    (void)ctx, (void)cookie, (void)reply;
}

static const struct client_handler handler = {
    .control_open = control_open,
    .control_send = control_send,
    .ingress_open = ingress_open,
    .ingress_send = ingress_send,
    .attached = attached,
    .away = away,
    .outcome = outcome,
    .turn = turned,
    .delivery = delivery,
    .idle = idle,
    .settled = settled,
    .receipt_settled = receipt_settled,
    .replied = replied,
};

/* ------------------------------------------------------------------ connect */

static void set_names(struct sluice *s, const char *name)
{
    if (name && *name) {
        s->name = xstrdup(name);
    } else {
        s->name = xmalloc(strlen(program_invocation_short_name) + 16);
        sprintf(s->name, "%s/%d", program_invocation_short_name, (int)getpid());
    }
    s->source = xmalloc(strlen(s->name) + 2);
    sprintf(s->source, "/%s", s->name);
    s->source_size = strlen(s->source);
    s->source_is_valid = event_text_valid(span_str(s->source));
    sluice_prepare_plain(s);
}

static void init_locks(struct sluice *s)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&s->lock, NULL);
}

/* The program's signals are the program's: none is handled on the library's thread, which inherits this, and none may end what
 * libzmq does for the caller halfway: a context whose end was interrupted stays, with its threads and descriptors. */
static void hold_signals(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

static void free_connection(struct sluice *s)
{
    sigset_t before;
    hold_signals(&before);
    sub_free(s);
    binding_close(s->binding);
    if (s->zmq)
        zmq_ctx_term(s->zmq);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(s->queue.items);
    free(s->taken.items);
    buf_free(&s->queue.bytes);
    buf_free(&s->taken.bytes);
    buf_free(&s->plain);
    arena_free(&s->arena);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s->name);
    free(s->source);
    free(s);
}

static bool open_binding(struct sluice *s, const char *broker, const struct sluice_options *options, struct error *e)
{
    struct client_config config = {
        .name = s->name,
        .inbox = options->inbox,
        .secret_key_file = options->secret_key_file,
        .broker_key_file = options->broker_key_file,
        .buffer_bytes = UINT64_MAX / 2, /* the bound is kept here, where callers can wait for room */
        .frame_bytes = FRAME_BYTES,
        .linger_ms = options->linger_ms,
    };
    if (options->linger_ms < 0 || options->linger_ms > LINGER_MOST_MS)
        return error_set(e, "linger_ms must be from 0 to %lld", (long long)LINGER_MOST_MS);
    if (strncmp(broker, "inproc://", 9) == 0)
        return error_set(e, "inproc addresses are the broker's own process's; use tcp://HOST:PORT or ipc:///PATH");
    if (sodium_init() < 0)
        return error_set(e, "the system's source of randomness does not work");
    randombytes_buf(config.seed, sizeof config.seed);
    s->zmq = zmq_ctx_new();
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!s->zmq || s->wake_fd < 0)
        return error_set(e, "cannot open sockets: %s", strerror(errno));
    s->binding = binding_open(s->zmq, broker, &config, &handler, s, e);
    if (!s->binding)
        return false;
    s->client = binding_client(s->binding);
    return true;
}

static bool start_thread(struct sluice *s, struct error *e)
{
    pthread_mutex_lock(&s->lock); /* the thread waits until its own name is known */
    int failed = pthread_create(&s->thread, NULL, run, s);
    pthread_mutex_unlock(&s->lock);
    return failed ? error_set(e, "cannot start a thread: %s", strerror(failed)) : true;
}

static struct timespec time_of(int64_t ms)
{
    mono_t due = mono_add_ms(clock_now().mono, ms);
    return (struct timespec){ .tv_sec = due.ns / 1000000000, .tv_nsec = due.ns % 1000000000 };
}

static bool wait_attached(struct sluice *s, const char *broker, int64_t wait_ms, struct error *e)
{
    struct timespec until = time_of(wait_ms);
    pthread_mutex_lock(&s->lock);
    s->waiting++;
    while (!s->stats.attached && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
        continue;
    s->waiting--;
    bool attached_now = s->stats.attached;
    if (!attached_now)
        error_set(e, "no broker at %s: %s", broker, s->trouble);
    pthread_mutex_unlock(&s->lock);
    return attached_now;
}

/* glibc maps what is larger than its threshold and gives it back to the kernel when it is freed, and raises the threshold to the
 * largest block that was: without one, a frame of 256 KiB would cost 64 page faults each time. A program that set the threshold
 * itself is left alone. */
static void keep_large_blocks(void)
{
    void *volatile block = malloc(LARGEST_KEPT); /* volatile: else the compiler leaves both calls out */
    free(block);
}

static bool open_connection(struct sluice *s, const char *broker, const struct sluice_options *options, struct error *e)
{
    sigset_t before;
    hold_signals(&before);
    bool fine = open_binding(s, broker, options, e) && start_thread(s, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return fine;
}

struct sluice *sluice_connect(const char *broker, const struct sluice_options *options, char *error)
{
    static const struct sluice_options defaults;
    struct error e = { "" };
    if (!options)
        options = &defaults;
    struct sluice *s = xcalloc(1, sizeof *s);
    s->wake_fd = -1;
    s->buffer_bytes = options->buffer_bytes ? options->buffer_bytes : BUFFER_BYTES;
    keep_large_blocks();
    init_locks(s);
    set_names(s, options->name);
    if (!broker || !open_connection(s, broker, options, &e)) {
        free_connection(s);
        s = NULL;
    } else if (options->connect_wait_ms >= 0 &&
               !wait_attached(s, broker, options->connect_wait_ms ? options->connect_wait_ms : CONNECT_WAIT_MS, &e)) {
        sluice_close(s, 0);
        s = NULL;
    }
    if (!s && error)
        snprintf(error, ERROR_SIZE, "%.255s", broker ? e.text : "no broker address was given");
    return s;
}

/* ------------------------------------------------------------------ close */

/* Up to `until`; the lock is held. What lingers goes: there is no more company to come. */
static void wait_decided(struct sluice *s, const struct timespec *until)
{
    s->hurry = true;
    sluice_wake(s);
    s->waiting++;
    while (s->undecided && pthread_cond_timedwait(&s->changed, &s->lock, until) == 0)
        continue;
    s->waiting--;
}

/* Nobody will tell them anything any more. */
static void let_waiting_out(struct sluice *s)
{
    pthread_mutex_lock(&s->lock);
    sub_end_all(s);
    pthread_cond_broadcast(&s->changed);
    while (s->waiting)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

int sluice_close(struct sluice *s, int64_t wait_ms)
{
    if (!s)
        return SLUICE_OK;
    if (sluice_on_thread(s))
        return SLUICE_INVALID;
    struct timespec until = time_of(wait_ms > 0 ? wait_ms : 0);
    pthread_mutex_lock(&s->lock);
    wait_decided(s, &until);
    s->stop = true;
    pthread_mutex_unlock(&s->lock);
    sluice_wake(s);
    pthread_join(s->thread, NULL);
    let_waiting_out(s);
    int result = s->undecided ? SLUICE_UNKNOWN : SLUICE_OK;
    free_connection(s);
    return result;
}

/* ------------------------------------------------------------------ looking */

void sluice_stats(struct sluice *s, struct sluice_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    out->undecided = s->undecided + (sluice_on_thread(s) ? s->published : 0);
    pthread_mutex_unlock(&s->lock);
}

const char *sluice_strerror(int error)
{
    return error < 0 ? "no such error" : reason_info((unsigned)error)->title;
}

const char *sluice_version(void)
{
    return SLUICE_VERSION;
}
