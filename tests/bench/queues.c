/* Many queues of which few are busy, or many sessions:
 *   bench_queues BROKER QUEUES ACTIVE RATE SECONDS SESSIONS
 * 1. Publishes one event to each of QUEUES queues, q00000 and so on. One connection consumes the first ACTIVE of them;
 *    the other queues keep their event.
 * 2. Prints "ready" and waits for a line on standard input.
 * 3. Publishes RATE events per second for SECONDS, to the active queues in turn, from SESSIONS connections in turn.
 * 4. Prints "confirmed N consumed N", without the events of step 1. */
#include <poll.h>
#include <sluice.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#define WAIT_MS 60000
#define CREDIT  64
#define LOOK_MS 5
#define SIZE    200

struct work {
    unsigned queues, active, sessions;
    unsigned long rate, count;
    struct sluice **producers, *consumer; /* as many as `sessions` */
};
static unsigned long confirmed, consumed, failed;

static void on_confirm(void *context, int error, uint64_t sequence)
{
    (void)context, (void)sequence;
    __atomic_add_fetch(error ? &failed : &confirmed, 1, __ATOMIC_RELAXED);
}

static bool on_event(void *context, const struct sluice_delivery *d)
{
    (void)context, (void)d;
    __atomic_add_fetch(&consumed, 1, __ATOMIC_RELAXED);
    return true;
}

static const char *name_of(unsigned number)
{
    static char name[16];
    snprintf(name, sizeof name, "q%05u", number);
    return name;
}

/* Waits until *what has reached `most`. Returns false if a publish failed. */
static bool until(const unsigned long *what, unsigned long most)
{
    while (__atomic_load_n(what, __ATOMIC_RELAXED) < most) {
        if (__atomic_load_n(&failed, __ATOMIC_RELAXED))
            return false;
        poll(NULL, 0, LOOK_MS);
    }
    return true;
}

static bool publish(struct work *w, unsigned session, unsigned queue)
{
    static const char data[SIZE];
    struct sluice_event event = { .data = data, .size = sizeof data };
    int error = sluice_publish(w->producers[session], name_of(queue), &event, WAIT_MS, on_confirm, NULL);
    while (error == SLUICE_BUSY) {
        poll(NULL, 0, 1);
        error = sluice_publish(w->producers[session], name_of(queue), &event, WAIT_MS, on_confirm, NULL);
    }
    return error == SLUICE_OK;
}

static bool prepare(struct work *w)
{
    for (unsigned i = 0; i < w->queues; i++) {
        if (!publish(w, i % w->sessions, i))
            return false;
    }
    if (!until(&confirmed, w->queues))
        return false;
    for (unsigned i = 0; i < w->active; i++) {
        if (!sluice_subscribe(w->consumer, name_of(i), CREDIT, on_event, NULL))
            return false;
    }
    return until(&consumed, w->active);
}

static bool run(struct work *w)
{
    struct timespec start, at;
    prctl(PR_SET_TIMERSLACK, 1);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned long i = 0; i < w->count; i++) {
        unsigned long due = i * (1000000000ul / w->rate) + (unsigned long)start.tv_nsec;
        at = (struct timespec){ start.tv_sec + (time_t)(due / 1000000000ul), (long)(due % 1000000000ul) };
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        if (!publish(w, (unsigned)(i % w->sessions), (unsigned)(i % w->active)))
            return false;
    }
    return until(&confirmed, w->queues + w->count) && until(&consumed, w->active + w->count);
}

static bool connect_all(struct work *w, const char *broker)
{
    struct sluice_options options = { .name = "queues", .buffer_bytes = w->sessions > 1 ? 1u << 16 : 0 };
    char error[256];
    w->producers = calloc(w->sessions, sizeof *w->producers);
    w->consumer = w->producers ? sluice_connect(broker, NULL, error) : NULL;
    bool connected = w->consumer;
    for (unsigned i = 0; connected && i < w->sessions; i++) {
        w->producers[i] = sluice_connect(broker, &options, error);
        connected = w->producers[i];
    }
    if (!connected)
        fprintf(stderr, "queues: %s\n", error);
    return connected;
}

static void close_all(struct work *w)
{
    sluice_close(w->consumer, WAIT_MS);
    for (unsigned i = 0; i < w->sessions; i++)
        sluice_close(w->producers[i], WAIT_MS);
    free(w->producers);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: bench_queues BROKER QUEUES ACTIVE RATE SECONDS SESSIONS\n");
        return 2;
    }
    struct work w = { .queues = (unsigned)strtoul(argv[2], NULL, 10),
                      .active = (unsigned)strtoul(argv[3], NULL, 10),
                      .sessions = (unsigned)strtoul(argv[6], NULL, 10),
                      .rate = strtoul(argv[4], NULL, 10) };
    w.count = w.rate * strtoul(argv[5], NULL, 10);
    if (!connect_all(&w, argv[1]))
        return 1;
    if (!prepare(&w)) {
        fprintf(stderr, "queues: the queues could not be made ready\n");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != '\n') /* the caller takes its figures first */
        continue;
    if (!run(&w)) {
        fprintf(stderr, "queues: %lu were refused\n", failed);
        return 1;
    }
    printf("confirmed %lu consumed %lu\n", confirmed - w.queues, consumed - w.active);
    close_all(&w);
    return 0;
}
