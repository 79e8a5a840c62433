/* Fills or drains a queue at full speed:
 *   bench_backlog fill|drain BROKER QUEUE COUNT SIZE
 *     ->  {"events":N,"seconds":S}, once COUNT events were confirmed, or consumed and acked */
#include <pthread.h>
#include <sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WINDOW         8192ul
#define CREDIT         8192
#define WAIT_MS        60000
#define SILENT_SECONDS 60

struct work {
    struct sluice *connection;
    const char *queue;
    char *data;
    unsigned long count, size;
    unsigned long published; /* used by one thread at a time */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long done; /* guarded by the lock */
    int error;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void note(struct work *w, int error)
{
    pthread_mutex_lock(&w->lock);
    w->error = error ? error : w->error;
    if (++w->done == w->count || error || w->done % 4096 == 0)
        pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void on_confirm(void *context, int error, uint64_t sequence);

static void publish(struct work *w)
{
    struct sluice_event event = { .data = w->data, .size = w->size };
    memcpy(w->data, &w->published, sizeof w->published);
    w->published++;
    int error = sluice_publish(w->connection, w->queue, &event, WAIT_MS, on_confirm, w);
    if (error)
        note(w, error);
}

/* The first confirm starts the whole window; each later one frees one place in it. */
static void on_confirm(void *context, int error, uint64_t sequence)
{
    struct work *w = context;
    (void)sequence;
    note(w, error);
    unsigned long last = w->done + WINDOW < w->count ? w->done + WINDOW : w->count;
    while (!w->error && w->published < last)
        publish(w);
}

static bool on_event(void *context, const struct sluice_delivery *delivery)
{
    (void)delivery;
    note(context, 0);
    return true;
}

/* Returns false if nothing happened for too long. */
static bool wait_for_all(struct work *w)
{
    bool moving = true;
    pthread_mutex_lock(&w->lock);
    while (moving && w->done < w->count && !w->error) {
        unsigned long before = w->done;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += SILENT_SECONDS;
        moving = pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0 || w->done != before;
    }
    pthread_mutex_unlock(&w->lock);
    return moving;
}

int main(int argc, char **argv)
{
    if (argc != 6 || (strcmp(argv[1], "fill") != 0 && strcmp(argv[1], "drain") != 0)) {
        fprintf(stderr, "usage: bench_backlog fill|drain BROKER QUEUE COUNT SIZE\n");
        return 2;
    }
    char error[256];
    struct work w = { .queue = argv[3], .count = strtoul(argv[4], NULL, 10), .size = strtoul(argv[5], NULL, 10) };
    w.data = calloc(1, w.size < sizeof w.published ? sizeof w.published : w.size);
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    w.connection = w.data ? sluice_connect(argv[2], NULL, error) : NULL;
    if (!w.connection) {
        fprintf(stderr, "backlog: %s\n", w.data ? error : "no memory");
        return 1;
    }
    double start = now();
    struct sluice_sub *sub = NULL;
    if (argv[1][0] == 'f')
        publish(&w);
    else
        sub = sluice_subscribe(w.connection, w.queue, CREDIT, on_event, &w);
    bool fine = wait_for_all(&w) && !w.error;
    double seconds = now() - start;
    sluice_unsubscribe(sub);
    sluice_close(w.connection, 5000);
    if (!fine)
        fprintf(stderr, "backlog: %lu of %lu events: %s\n", w.done, w.count,
                w.error ? sluice_strerror(w.error) : "nothing more came");
    printf("{\"events\":%lu,\"seconds\":%.4f}\n", w.done, seconds);
    free(w.data);
    return fine ? 0 : 1;
}
