/* A producer of sluice bench. Without a rate: each confirm makes room in the window for one more event, published
 * from the callback, so that no thread waits for another. With a rate: this thread publishes each event when it is
 * due, and its latency counts from then, even if the window was full. */
#include "base/xalloc.h"
#include "clients/cli/bench.h"

#include <pthread.h>
#include <sluice.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 60000

struct producer {
    const struct bench *b;
    struct bench_shared *s;
    struct bench_producer *told;
    struct sluice *connection;
    char *data;
    unsigned long next;      /* event to publish; used by one thread only */
    unsigned long confirmed; /* event whose outcome is next: without refusals they arrive in order */
    uint64_t sequence;       /* of the newest confirm */
    pthread_mutex_t lock;    /* protects what follows */
    pthread_cond_t changed;
    unsigned long outstanding;
    bool done;
};

static void finish(struct producer *p, int error)
{
    p->told->ended = bench_now();
    p->told->error = error ? error : p->told->error;
    pthread_mutex_lock(&p->lock);
    p->done = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void on_confirm(void *context, int error, uint64_t sequence);

/* Publishes the next event, timed from `intended`, or from now if that is 0. */
static void produce_next(struct producer *p, int64_t intended)
{
    unsigned long number = p->next, slot = bench_slot(p->b, p->s, number);
    struct sluice_event event = { .data = p->data, .size = p->b->size };
    memcpy(p->data, &number, sizeof number);
    p->next += p->b->producers;
    if (slot < p->s->slots)
        p->s->intended[slot] = intended ? intended : bench_now();
    int error = sluice_publish(p->connection, p->b->queue, &event, WAIT_MS, on_confirm, p);
    if (error)
        finish(p, error);
}

/* ------------------------------------------------------------------ outcomes, on the library's thread */

static void count(struct producer *p, int error, uint64_t sequence)
{
    unsigned long slot = bench_slot(p->b, p->s, p->confirmed);
    p->confirmed += p->b->producers;
    if (error) {
        p->told->refused++;
        p->told->error = error;
        return;
    }
    p->told->confirmed++;
    p->told->disordered += sequence <= p->sequence;
    p->sequence = sequence;
    if (slot < p->s->slots)
        p->s->confirmed[slot] = bench_now();
}

static void leave_window(struct producer *p)
{
    pthread_mutex_lock(&p->lock);
    if (p->outstanding-- == p->b->window)
        pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

/* The first confirm fills the whole window, each later one makes room for one. */
static void fill_window(struct producer *p)
{
    for (p->outstanding--; p->outstanding < p->b->window && p->next < p->b->events; p->outstanding++)
        produce_next(p, 0);
}

static void on_confirm(void *context, int error, uint64_t sequence)
{
    struct producer *p = context;
    count(p, error, sequence);
    if (p->confirmed >= p->b->events)
        finish(p, SLUICE_OK);
    else if (p->b->rate)
        leave_window(p);
    else
        fill_window(p);
}

/* ------------------------------------------------------------------ at a rate */

static int64_t wait_until_due(const struct producer *p)
{
    int64_t due = bench_due(p->b, p->s->start, p->next);
    struct timespec at = { .tv_sec = due / 1000000000, .tv_nsec = due % 1000000000 };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    return due;
}

static bool enter_window(struct producer *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->outstanding >= p->b->window && !p->done)
        pthread_cond_wait(&p->changed, &p->lock);
    p->outstanding++;
    bool done = p->done;
    pthread_mutex_unlock(&p->lock);
    return !done;
}

static void publish_paced(struct producer *p)
{
    prctl(PR_SET_TIMERSLACK, 1); /* otherwise the kernel delays every wake-up by up to 50 us */
    while (p->next < p->b->events) {
        int64_t due = wait_until_due(p);
        if (!enter_window(p))
            return;
        produce_next(p, due);
    }
}

/* ------------------------------------------------------------------ the process */

static void wait_to_begin(struct bench_shared *s)
{
    char byte;
    close(s->go[1]);
    atomic_fetch_add(&s->ready, 1);
    while (read(s->go[0], &byte, 1) > 0)
        continue;
}

static void publish_all(struct producer *p)
{
    if (p->next >= p->b->events)
        return;
    if (p->b->rate) {
        publish_paced(p);
    } else {
        p->outstanding = 1;
        produce_next(p, 0);
    }
    pthread_mutex_lock(&p->lock);
    while (!p->done)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void bench_produce(const struct bench *b, struct bench_shared *s, unsigned long number)
{
    struct sluice_options options = {
        .name = "sluice-bench",
        .linger_ms = (int64_t)b->linger_ms,
        .secret_key_file = b->key,
        .broker_key_file = b->broker_key,
        .buffer_bytes = 2 * b->window * (b->size + 1024) + (1u << 20),
    };
    struct producer p = { .b = b, .s = s, .told = &s->producers[number], .next = number, .confirmed = number };
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.changed, NULL);
    p.data = xcalloc(1, b->size);
    p.connection = sluice_connect(b->broker, &options, NULL);
    wait_to_begin(s);
    if (p.connection)
        publish_all(&p);
    else
        p.told->error = SLUICE_UNAVAILABLE;
    sluice_close(p.connection, WAIT_MS);
    free(p.data);
}
