/* The library's connection: opening, closing, and looking at it. */
#include "clients/c/sluice_priv.h"

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/io_thread.h"
#include "base/utf8.h"
#include "base/xalloc.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define BUFFER_BYTES    (16u << 20)
#define CONNECT_WAIT_MS 5000
#define LINGER_MOST_MS  INT64_C(86400000)
#define ERROR_SIZE      256
#define LARGEST_KEPT    (2u << 20)

/* ------------------------------------------------------------------ connect */

static void set_names(struct sluice *s, const char *name)
{
    const char *program = program_invocation_short_name;
    if (name && *name) {
        s->name = xstrdup(name);
    } else {
        program = utf8_valid(span_str(program)) ? program : "program";
        s->name = xmalloc(strlen(program) + 16);
        sprintf(s->name, "%s/%d", program, (int)getpid());
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

/* Blocks all signals. The library's thread inherits this, so that the program's handlers never run on it. And no
 * signal may interrupt libzmq's work on the caller's thread: a context whose termination was interrupted leaks its
 * threads and descriptors. */
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
    io_thread_forget(s->io_thread);
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
        .buffer_bytes = UINT64_MAX / 2, /* the limit is enforced here, where callers can wait for room */
        .frame_bytes = SLUICE_FRAME_BYTES,
        .linger_ms = options->linger_ms,
    };
    if (options->linger_ms < 0 || options->linger_ms > LINGER_MOST_MS)
        return error_set(e, "linger_ms must be from 0 to %lld", (long long)LINGER_MOST_MS);
    if (!utf8_valid(span_str(s->name))) /* a broker would ignore the attach */
        return error_set(e, "the connection's name must be text in UTF-8");
    if (strncmp(broker, "inproc://", 9) == 0)
        return error_set(e,
                         "inproc addresses work only inside the broker's process; use tcp://HOST:PORT or ipc:///PATH");
    if (endpoint_transport(broker) == TRANSPORT_TCP && !endpoint_check(broker, e)) /* libzmq would dial it for ever */
        return false;
    if (sodium_init() < 0)
        return error_set(e, "the system's source of randomness does not work");
    randombytes_buf(config.seed, sizeof config.seed);
    s->zmq = zmq_ctx_new();
    s->io_thread = io_thread_number();
    if (s->zmq && s->io_thread)
        zmq_ctx_set(s->zmq, ZMQ_THREAD_NAME_PREFIX, s->io_thread);
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!s->zmq || s->wake_fd < 0)
        return error_set(e, "cannot open sockets: %s", strerror(errno));
    s->binding = binding_open(s->zmq, broker, &config, &thread_handler, s, e);
    if (!s->binding)
        return false;
    s->client = binding_client(s->binding);
    return true;
}

static bool start_thread(struct sluice *s, struct error *e)
{
    pthread_mutex_lock(&s->lock); /* the thread waits until its own name is known */
    int failed = pthread_create(&s->thread, NULL, thread_run, s);
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
        error_set(e, "no broker at %s: %s", broker, s->attach_error);
    pthread_mutex_unlock(&s->lock);
    return attached_now;
}

/* glibc maps blocks above a threshold and unmaps them when they are freed, and raises the threshold to the largest
 * block freed so far. Without freeing a large one first, every frame of 256 KiB would cost 64 page faults. If the
 * program has set the threshold itself, this changes nothing. */
static void keep_large_blocks(void)
{
    void *volatile block = malloc(LARGEST_KEPT); /* volatile: or the compiler would remove both calls */
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

/* Waits for outcomes, at most until `until`, with the linger disabled. The lock is held. */
static void wait_decided(struct sluice *s, const struct timespec *until)
{
    s->hurry = true;
    sluice_wake(s);
    s->waiting++;
    while (s->undecided && pthread_cond_timedwait(&s->changed, &s->lock, until) == 0)
        continue;
    s->waiting--;
}

/* Ends the blocked calls: no thread will wake them any more. */
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
        return sluice_invalid("sluice_close must not be called in a callback");
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
    *out = (struct sluice_stats){ 0 };
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    out->undecided = s->undecided + (sluice_on_thread(s) ? s->published : 0);
    pthread_mutex_unlock(&s->lock);
}

/* ------------------------------------------------------------------ errors */

static _Thread_local char invalid[ERROR_SIZE]; /* why this thread's last SLUICE_INVALID; "": not known */

int sluice_invalid(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(invalid, sizeof invalid, format, args);
    va_end(args);
    return SLUICE_INVALID;
}

int sluice_invalid_name(const char *name)
{
    if (!name)
        return sluice_invalid("the name of a queue or topic is NULL");
    return sluice_invalid("'%.64s' is not a name: it is " NAME_RULE, name);
}

const char *sluice_strerror(int error)
{
    if (error == SLUICE_INVALID)
        return *invalid ? invalid : "an argument is not valid";
    return error < 0 ? "no such error" : reason_info((unsigned)error)->title;
}

const char *sluice_version(void)
{
    return SLUICE_VERSION;
}
