/* sluice bench: publishes through libsluice and consumes what it published; open loop when a rate is given, with every
 * latency counted from the time the event was meant to be sent, so that a stall is not hidden. */
#include "base/clock.h"
#include "base/xalloc.h"
#include "clients/cli/cli.h"

#include <getopt.h>
#include <pthread.h>
#include <sluice.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char usage[] = "usage: sluice bench [options] [BROKER]\n\n"
                            "  --queue NAME    [sluice-bench]; it is used as it is, and drained\n"
                            "  --events N      [100000]\n"
                            "  --size BYTES    of data [200]\n"
                            "  --producers N   connections [4]\n"
                            "  --window N      unconfirmed events of each [256]\n"
                            "  --rate N        events a second of all together; as fast as it goes without\n"
                            "  --json          print the result as JSON\n";

struct bench {
    const char *broker, *queue;
    unsigned long events, size, producers, window, rate;
    bool json;
    int64_t *confirm_ns, *deliver_ns; /* by event; 0: not (yet) */
    int64_t *intended;
    mono_t start;
    atomic_ulong confirmed, refused, consumed;
};

struct producer {
    struct bench *b;
    unsigned long number;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long outstanding;
    int error;
};

struct sent {
    struct producer *p;
    unsigned long event;
};

static int64_t now_ns(void)
{
    return clock_now().mono.ns;
}

static void confirmed(void *context, int error, uint64_t sequence)
{
    struct sent *s = context;
    struct producer *p = s->p;
    (void)sequence;
    if (error)
        atomic_fetch_add(&p->b->refused, 1);
    else
        p->b->confirm_ns[s->event] = now_ns() - p->b->intended[s->event];
    atomic_fetch_add(&p->b->confirmed, !error);
    pthread_mutex_lock(&p->lock);
    p->outstanding--;
    p->error = error ? error : p->error;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_window(struct producer *p, unsigned long most)
{
    pthread_mutex_lock(&p->lock);
    while (p->outstanding > most)
        pthread_cond_wait(&p->changed, &p->lock);
    p->outstanding++;
    pthread_mutex_unlock(&p->lock);
}

static void pace(struct bench *b, unsigned long event)
{
    b->intended[event] = now_ns();
    if (!b->rate)
        return;
    int64_t due = b->start.ns + (int64_t)((double)event * 1e9 / (double)b->rate);
    struct timespec at = { .tv_sec = due / 1000000000, .tv_nsec = due % 1000000000 };
    b->intended[event] = due;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    struct bench *b = p->b;
    struct sluice *s = sluice_connect(b->broker, NULL, NULL);
    char *data = xcalloc(1, b->size + sizeof(unsigned long));
    struct sent *sent = xcalloc(b->events / b->producers + 1, sizeof *sent);
    unsigned long count = 0;
    if (!s)
        p->error = SLUICE_UNAVAILABLE;
    for (unsigned long i = p->number; s && i < b->events; i += b->producers) {
        struct sluice_event event = { .data = data, .size = b->size };
        memcpy(data, &i, sizeof i);
        sent[count] = (struct sent){ p, i };
        pace(b, i);
        wait_for_window(p, b->window - 1);
        if (sluice_publish(s, b->queue, &event, 60000, confirmed, &sent[count++]) != SLUICE_OK)
            confirmed(&sent[count - 1], SLUICE_BUSY, 0);
    }
    sluice_close(s, 60000);
    free(data);
    free(sent);
    return NULL;
}

static bool consumed(void *context, const struct sluice_delivery *d)
{
    struct bench *b = context;
    unsigned long event;
    if (d->size < sizeof event)
        return true;
    memcpy(&event, d->data, sizeof event);
    if (event < b->events && b->intended[event])
        b->deliver_ns[event] = now_ns() - b->intended[event];
    atomic_fetch_add(&b->consumed, 1);
    return true;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile(const int64_t *sorted, unsigned long count, double part)
{
    return count ? (double)sorted[(unsigned long)((double)(count - 1) * part)] / 1000 : 0;
}

static void report(struct bench *b, double seconds)
{
    unsigned long count = b->events;
    qsort(b->confirm_ns, count, sizeof *b->confirm_ns, compare);
    qsort(b->deliver_ns, count, sizeof *b->deliver_ns, compare);
    const int64_t *const lists[] = { b->confirm_ns, b->deliver_ns };
    double us[2][3];
    for (unsigned i = 0; i < 2; i++) {
        us[i][0] = percentile(lists[i], count, 0.5);
        us[i][1] = percentile(lists[i], count, 0.99);
        us[i][2] = percentile(lists[i], count, 0.999);
    }
    printf(b->json ? "{\"events\":%lu,\"refused\":%lu,\"consumed\":%lu,\"seconds\":%.3f,\"events_per_second\":%.0f,"
                     "\"confirm_us\":{\"p50\":%.0f,\"p99\":%.0f,\"p99.9\":%.0f},"
                     "\"end_to_end_us\":{\"p50\":%.0f,\"p99\":%.0f,\"p99.9\":%.0f}}\n"
                   : "%lu confirmed, %lu refused, %lu consumed in %.3f s: %.0f events/s\n"
                     "confirm     p50 %8.0f us   p99 %8.0f us   p99.9 %8.0f us\n"
                     "end to end  p50 %8.0f us   p99 %8.0f us   p99.9 %8.0f us\n",
           (unsigned long)b->confirmed, (unsigned long)b->refused, (unsigned long)b->consumed, seconds,
           (double)b->confirmed / seconds, us[0][0], us[0][1], us[0][2], us[1][0], us[1][1], us[1][2]);
}

static int run(struct bench *b)
{
    char error[256];
    struct sluice *s = sluice_connect(b->broker, NULL, error);
    if (!s)
        return cli_fail("%s", error);
    struct sluice_sub *sub = sluice_subscribe(s, b->queue, 4096, consumed, b);
    struct producer *producers = xcalloc(b->producers, sizeof *producers);
    int failed = 0;
    b->start = clock_now().mono;
    for (unsigned long i = 0; i < b->producers; i++) {
        struct producer *p = &producers[i];
        *p = (struct producer){ .b = b, .number = i };
        pthread_mutex_init(&p->lock, NULL);
        pthread_cond_init(&p->changed, NULL);
        pthread_create(&p->thread, NULL, produce, p);
    }
    for (unsigned long i = 0; i < b->producers; i++) {
        pthread_join(producers[i].thread, NULL);
        failed = producers[i].error ? producers[i].error : failed;
    }
    for (int i = 0; i < 3000 && b->consumed < b->confirmed; i++)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    double seconds = (double)(now_ns() - b->start.ns) / 1e9;
    sluice_unsubscribe(sub);
    sluice_close(s, 1000);
    free(producers);
    report(b, seconds);
    return failed ? cli_fail("%s", sluice_strerror(failed)) : CLI_OK;
}

int cli_bench(int argc, char **argv)
{
    const char *broker = getenv("SLUICE_BROKER");
    struct bench b = { .broker = broker ? broker : "tcp://127.0.0.1:7400",
                       .queue = "sluice-bench",
                       .events = 100000,
                       .size = 200,
                       .producers = 4,
                       .window = 256 };
    static const struct option flags[] = {
        { "queue", 1, NULL, 'q' },     { "events", 1, NULL, 'e' }, { "size", 1, NULL, 's' },
        { "producers", 1, NULL, 'p' }, { "window", 1, NULL, 'w' }, { "rate", 1, NULL, 'r' },
        { "json", 0, NULL, 'j' },      { "help", 0, NULL, 'h' },   { 0 }
    };
    for (int f; (f = getopt_long(argc, argv, "h", flags, NULL)) != -1;) {
        unsigned long *to = f == 'e'   ? &b.events
                            : f == 's' ? &b.size
                            : f == 'p' ? &b.producers
                            : f == 'w' ? &b.window
                            : f == 'r' ? &b.rate
                                       : NULL;
        if (f == 'h')
            return fputs(usage, stdout), CLI_OK;
        if (f == '?')
            return CLI_USAGE;
        b.json |= f == 'j';
        b.queue = f == 'q' ? optarg : b.queue;
        if (to && (*to = strtoul(optarg, NULL, 10)) == 0)
            return cli_usage("'%s' must be a number above 0", optarg);
    }
    b.broker = optind < argc ? argv[optind] : b.broker;
    b.size = b.size < sizeof(unsigned long) ? sizeof(unsigned long) : b.size;
    b.confirm_ns = xcalloc(b.events, sizeof *b.confirm_ns);
    b.deliver_ns = xcalloc(b.events, sizeof *b.deliver_ns);
    b.intended = xcalloc(b.events, sizeof *b.intended);
    int code = run(&b);
    free(b.confirm_ns);
    free(b.deliver_ns);
    free(b.intended);
    return code;
}
