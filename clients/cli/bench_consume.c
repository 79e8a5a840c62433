/* The consumer of sluice bench: takes, acks and checks every event. Each producer's events must arrive once, in
 * ascending order. */
#include "base/clock.h"
#include "base/xalloc.h"
#include "clients/cli/bench.h"

#include <pthread.h>
#include <sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CREDIT  8192
#define LOOK_NS 100000000

struct consumer {
    const struct bench *b;
    struct bench_shared *s;
    struct bench_result *result;
    unsigned long *next;  /* by producer: its next expected event */
    atomic_ulong came;    /* events, including those that were in the queue before; one thread counts */
    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t ended;
    bool all; /* was consumed */
};

int64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool on_event(void *context, const struct sluice_delivery *d)
{
    struct consumer *c = context;
    unsigned long event;
    atomic_store_explicit(&c->came, atomic_load_explicit(&c->came, memory_order_relaxed) + 1, memory_order_relaxed);
    if (d->size != c->b->size)
        return true; /* was in the queue before */
    memcpy(&event, d->data, sizeof event);
    if (event >= c->b->events)
        return true;
    bench_check(c->b, c->next, event, c->result);
    unsigned long slot = bench_slot(c->b, c->s, event);
    if (slot < c->s->slots)
        c->s->delivered[slot] = bench_now();
    if (++c->result->consumed == c->b->events) {
        pthread_mutex_lock(&c->lock);
        c->result->ended = bench_now();
        c->all = true;
        pthread_cond_signal(&c->ended);
        pthread_mutex_unlock(&c->lock);
    }
    return true;
}

/* Waits until every event has arrived, or none has for a while. Returns about when the last one arrived. */
static int64_t wait_for_the_last(struct consumer *c)
{
    unsigned long before = 0;
    int64_t now = bench_now(), last = now;
    pthread_mutex_lock(&c->lock);
    while (!c->all && now - last < BENCH_GIVE_UP_NS) {
        struct timespec until = { .tv_sec = (now + LOOK_NS) / 1000000000, .tv_nsec = (now + LOOK_NS) % 1000000000 };
        pthread_cond_timedwait(&c->ended, &c->lock, &until);
        now = bench_now();
        unsigned long came = atomic_load_explicit(&c->came, memory_order_relaxed);
        last = came == before ? last : now;
        before = came;
    }
    pthread_mutex_unlock(&c->lock);
    return last;
}

static void init_lock(struct consumer *c)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&c->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&c->lock, NULL);
}

static void start_producers(const struct bench *b, struct bench_shared *s)
{
    while (atomic_load(&s->ready) < b->producers && waitpid(-1, NULL, WNOHANG) == 0)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    s->start = bench_now();
    close(s->go[1]);
}

bool bench_consume(const struct bench *b, struct bench_shared *s, struct bench_result *result, char *error)
{
    struct consumer c = { .b = b, .s = s, .result = result };
    init_lock(&c);
    c.next = xcalloc(b->producers, sizeof *c.next);
    for (unsigned long i = 0; i < b->producers; i++)
        c.next[i] = i;
    struct sluice_options options = { .linger_ms = (int64_t)b->linger_ms,
                                      .secret_key_file = b->key,
                                      .broker_key_file = b->broker_key };
    struct sluice *connection = sluice_connect(b->broker, &options, error);
    struct sluice_sub *sub = connection ? sluice_subscribe(connection, b->queue, CREDIT, on_event, &c) : NULL;
    struct sluice_stats stats;
    int64_t last = 0;
    if (sub) {
        start_producers(b, s);
        last = wait_for_the_last(&c);
    }
    sluice_stats(connection, &stats);
    sluice_unsubscribe(sub);
    sluice_close(connection, 1000);
    result->gave_up = !c.all;
    result->away = !stats.attached;
    if (result->gave_up)
        result->ended = last;
    free(c.next);
    return sub != NULL;
}
