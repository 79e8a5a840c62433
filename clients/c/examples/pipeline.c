/* A bounded pipeline: many producers, one consumer. The queue's capacity is the bound: when it is full, producers wait.
 *
 *   pipeline tcp://127.0.0.1:7400 numbers      (the queue exists, or the broker declares it on first use) */
#include <pthread.h>
#include <sluice.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { PRODUCERS = 4, EACH = 1000 };
static atomic_int consumed; /* what the example is about to count */

struct producer {
    struct sluice *s;
    const char *queue;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (int i = 0; i < EACH; i++) {
        struct sluice_event event = { .type = "number", .data = &i, .size = sizeof i };
        int error = sluice_publish_wait(p->s, p->queue, &event, 60000, NULL);
        if (error)
            fprintf(stderr, "%d: %s\n", i, sluice_strerror(error));
    }
    return NULL;
}

static bool consume(void *context, const struct sluice_delivery *delivery)
{
    (void)context, (void)delivery;
    atomic_fetch_add(&consumed, 1);
    return true; /* done with it */
}

int main(int argc, char **argv)
{
    char error[256] = "usage: pipeline BROKER QUEUE";
    struct sluice *s = argc == 3 ? sluice_connect(argv[1], NULL, error) : NULL;
    if (!s)
        return fprintf(stderr, "pipeline: %s\n", error), 1;
    struct sluice_sub *sub = sluice_subscribe(s, argv[2], 64, consume, NULL);
    struct producer producer = { s, argv[2] };
    pthread_t threads[PRODUCERS];
    for (int i = 0; i < PRODUCERS; i++)
        pthread_create(&threads[i], NULL, produce, &producer);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 1000 && atomic_load(&consumed) < PRODUCERS * EACH; i++)
        usleep(10000);
    sluice_unsubscribe(sub);
    printf("%d of %d consumed\n", atomic_load(&consumed), PRODUCERS * EACH);
    return sluice_close(s, 1000);
}
