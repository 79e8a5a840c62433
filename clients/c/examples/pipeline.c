/* A bounded pipeline: many producers, one consumer. The queue's capacity is the bound: when it is full, producers wait.
 *
 *   pipeline tcp://127.0.0.1:7400 numbers      (the queue exists, or the broker declares it on first use) */
#include <pthread.h>
#include <sluice.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { PRODUCERS = 4, EACH = 1000 };
static struct sluice *s;
static const char *queue;
static atomic_int accepted, consumed; /* compared at the end */

static void *produce(void *arg)
{
    for (int i = 0; i < EACH; i++) {
        struct sluice_event event = { .type = "number", .data = &i, .size = sizeof i };
        int error = sluice_publish_wait(s, queue, &event, 60000, NULL);
        if (error)
            return fprintf(stderr, "%d was not accepted: %s\n", i, sluice_strerror(error)), arg;
        accepted++;
    }
    return arg;
}

static bool consume(void *context, const struct sluice_delivery *delivery)
{
    (void)context, (void)delivery;
    return ++consumed; /* true: ack it */
}

int main(int argc, char **argv)
{
    char error[256] = "usage: pipeline BROKER QUEUE";
    pthread_t threads[PRODUCERS];
    if (argc != 3 || !(s = sluice_connect(argv[1], NULL, error)))
        return fprintf(stderr, "pipeline: %s\n", error), 1;
    struct sluice_sub *sub = sluice_subscribe(s, queue = argv[2], 64, consume, NULL);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_create(&threads[i], NULL, produce, NULL);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 1000 && consumed < accepted; i++)
        usleep(10000);
    sluice_unsubscribe(sub);
    printf("%d of %d consumed\n", consumed, PRODUCERS * EACH);
    return sluice_close(s, 1000) || consumed < PRODUCERS * EACH;
}
