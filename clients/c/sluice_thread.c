/* The library's thread: its command queue, its loop, and the client's events. */
#include "clients/c/sluice_priv.h"

#include "base/clock.h"
#include "base/io_thread.h"
#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------ commands */

/* Publishes and acks during a linger need no wake-up, until they fill a frame. */
static bool may_wait(const struct sluice *s, enum command_kind kind)
{
    return s->lingers && (kind == COMMAND_PUBLISH || kind == COMMAND_ACK) && s->queue.bytes.size < SLUICE_FRAME_BYTES;
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
    (void)n; /* EAGAIN: the counter is at its maximum, so a wake-up is pending */
}

void sluice_waited(struct sluice *s)
{
    if (--s->waiting == 0 && s->stop)
        pthread_cond_broadcast(&s->changed);
}

bool sluice_on_thread(const struct sluice *s)
{
    return pthread_equal(pthread_self(), atomic_load_explicit(&s->runs_on, memory_order_relaxed)) != 0;
}

/* From here on callbacks may bypass the queue, unless more publishes were queued meanwhile. */
static void publishes_taken(struct sluice *s)
{
    pthread_mutex_lock(&s->lock);
    bool more = false;
    for (size_t i = 0; i < s->queue.count && !more; i++)
        more = s->queue.items[i].kind == COMMAND_PUBLISH;
    atomic_store_explicit(&s->has_publishes, more, memory_order_release);
    pthread_mutex_unlock(&s->lock);
}

/* Takes the whole queue; callers fill the other, empty one meanwhile. */
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
        client_disable_linger(s->client);
    else if (no_room)
        client_end_linger(s->client);
}

/* ------------------------------------------------------------------ the thread */

/* Publishes the thread's counts and state to the callers; the lock is held. */
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
        snprintf(s->attach_error, sizeof s->attach_error, "%s", client_attach_error(s->client));
    if (news && s->waiting)
        pthread_cond_broadcast(&s->changed);
}

/* Commands are taken again after receiving, so that those made in callbacks leave in the same frame as what caused
 * them. True when there is more to do at once. */
static bool turn(struct sluice *s, mono_t *due)
{
    s->now = clock_now();
    take_commands(s);
    binding_receive(s->binding, s->now);
    take_commands(s);
    *due = sub_tick(s);
    bool more = binding_send(s->binding, s->now);
    *due = mono_min(*due, binding_due(s->binding));
    return more;
}

/* Ends a turn. True: the thread may sleep, and callers that queue a command from now on wake it. */
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

static void clear_wake(struct sluice *s)
{
    uint64_t count;
    ssize_t n = read(s->wake_fd, &count, sizeof count);
    (void)n; /* EAGAIN: nothing was written */
}

/* A turn and its end. Sets when the next one is due at the latest. False: the connection is to be closed. */
static bool whole_turn(struct sluice *s, mono_t *due)
{
    bool more = turn(s, due);
    if (!end_turn(s, more, &s->ending))
        *due = MONO_AT_ONCE;
    return !s->ending;
}

/* ------------------------------------------------------------------ which thread */

static bool better_one_thread(struct sluice *s)
{
    return one_thread_turn(&s->threads, s->now.mono, binding_traffic(s->binding));
}

static bool guest_turn(void *of, unsigned ready, mono_t *due)
{
    struct sluice *s = of;
    atomic_store_explicit(&s->runs_on, pthread_self(), memory_order_relaxed);
    binding_polled(s->binding, ready & 1, ready >> 1 & 1);
    if (ready >> 2 & 1)
        clear_wake(s);
    return whole_turn(s, due) && better_one_thread(s);
}

/* False: the I/O thread takes no guests, or not yet. */
static bool run_as_guest(struct sluice *s)
{
    struct io_guest g = io_guest(s, guest_turn);
    binding_fds(s->binding, &g.fds[0], &g.fds[1]);
    g.fds[2] = s->wake_fd;
    return io_thread_host(s->io_thread, &g);
}

static void run_here(struct sluice *s)
{
    mono_t due;
    one_thread_not_now(&s->threads);
    atomic_store_explicit(&s->runs_on, s->thread, memory_order_relaxed);
    while (whole_turn(s, &due)) {
        if (due.ns != MONO_AT_ONCE.ns && binding_wait(s->binding, s->wake_fd, due))
            clear_wake(s);
        if (better_one_thread(s))
            return;
    }
}

static void say_goodbye(struct sluice *s)
{
    take_commands(s);
    client_flush(s->client, s->now);
    client_bye(s->client, s->now);
    binding_run(s->binding, s->now);
}

void *thread_run(void *arg)
{
    struct sluice *s = arg;
    pthread_mutex_lock(&s->lock);
    pthread_mutex_unlock(&s->lock);
    one_thread_open(&s->threads, clock_now().mono);
    while (!s->ending) {
        if (!s->threads.one || !run_as_guest(s))
            run_here(s);
    }
    atomic_store_explicit(&s->runs_on, s->thread, memory_order_relaxed);
    s->now = clock_now();
    say_goodbye(s);
    end_turn(s, false, &(bool){ false });
    outbox_abandon(s);
    return NULL;
}

/* ------------------------------------------------------------------ the client's events */

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

const struct client_handler thread_handler = {
    .outcome = outcome,
    .turn = turned,
    .delivery = delivery,
};
