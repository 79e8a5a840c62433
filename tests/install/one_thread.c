/* Publishes until a callback comes on libzmq's I/O thread: one_thread BROKER QUEUE. Exits with 0 if one did within 20 s. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sluice.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static atomic_bool there;

static void look(void *context, int error, uint64_t sequence)
{
    char name[16] = "";
    (void)context, (void)error, (void)sequence;
    pthread_getname_np(pthread_self(), name, sizeof name);
    if (strstr(name, "ZMQbg/IO"))
        atomic_store(&there, true);
}

int main(int argc, char **argv)
{
    char error[256];
    struct sluice *s = argc == 3 ? sluice_connect(argv[1], NULL, error) : NULL;
    const struct sluice_event event = { .data = "x", .size = 1 };
    if (!s)
        return 2;
    for (time_t end = time(NULL) + 20; !atomic_load(&there) && time(NULL) < end;) {
        uint64_t sequence;
        if (sluice_publish(s, argv[2], &event, 1000, look, NULL) != SLUICE_OK ||
            sluice_publish_wait(s, argv[2], &event, 1000, &sequence) != SLUICE_OK)
            break;
    }
    sluice_close(s, 1000);
    puts(atomic_load(&there) ? "one thread" : "two threads");
    return atomic_load(&there) ? 0 : 1;
}
