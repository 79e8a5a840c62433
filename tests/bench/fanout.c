/* Publishes to a topic as fast as its events are confirmed:
 *   bench_fanout BROKER TOPIC EVENTS
 *     ->  {"seconds": S} */
#include <poll.h>
#include <sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_MS 60000
#define WINDOW  4096
#define SIZE    200

static unsigned long confirmed, failed;

static void on_confirm(void *context, int error, uint64_t sequence)
{
    (void)context, (void)sequence;
    __atomic_add_fetch(error ? &failed : &confirmed, 1, __ATOMIC_RELAXED);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Waits until at most `most` events are unconfirmed. Returns false if one was refused. */
static bool until(unsigned long sent, unsigned long most)
{
    while (sent - __atomic_load_n(&confirmed, __ATOMIC_RELAXED) > most) {
        if (__atomic_load_n(&failed, __ATOMIC_RELAXED))
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

static bool publish_all(struct sluice *s, const char *topic, unsigned long count)
{
    static const char data[SIZE];
    struct sluice_event event = { .data = data, .size = sizeof data };
    for (unsigned long i = 0; i < count; i++) {
        if (!until(i, WINDOW) || sluice_publish(s, topic, &event, WAIT_MS, on_confirm, NULL) != SLUICE_OK)
            return false;
    }
    return until(count, 0);
}

int main(int argc, char **argv)
{
    char error[256];
    if (argc != 4) {
        fprintf(stderr, "usage: bench_fanout BROKER TOPIC EVENTS\n");
        return 2;
    }
    struct sluice *s = sluice_connect(argv[1], NULL, error);
    if (!s) {
        fprintf(stderr, "fanout: %s\n", error);
        return 1;
    }
    double start = seconds();
    if (!publish_all(s, argv[2], strtoul(argv[3], NULL, 10))) {
        fprintf(stderr, "fanout: an event was refused\n");
        return 1;
    }
    printf("{\"seconds\": %.6f}\n", seconds() - start);
    return sluice_close(s, WAIT_MS);
}
