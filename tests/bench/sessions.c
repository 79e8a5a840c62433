/* Many sessions from one process:
 *   bench_sessions BROKER COUNT QUEUE
 * Each time all sessions have attached (first, and again after each loss of the broker), prints "attached COUNT"; then
 * each session publishes one event to QUEUE, and "confirmed N" says how many were confirmed. Ends when its standard
 * input ends. */
#include <poll.h>
#include <sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOK_MS         20
#define PUBLISH_WAIT_MS 30000

static struct sluice **connect_all(const char *broker, unsigned count)
{
    struct sluice_options options = { .name = "sessions", .connect_wait_ms = -1, .buffer_bytes = 1u << 16 };
    struct sluice **all = calloc(count, sizeof *all);
    char error[256];
    for (unsigned i = 0; all && i < count; i++) {
        all[i] = sluice_connect(broker, &options, error);
        if (!all[i]) {
            fprintf(stderr, "sessions: session %u: %s\n", i, error);
            return NULL;
        }
    }
    return all;
}

/* Returns how many sessions have attached at least that often. */
static unsigned attached(struct sluice **all, unsigned count, uint64_t times)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++) {
        struct sluice_stats s;
        sluice_stats(all[i], &s);
        found += s.attached && s.attaches >= times;
    }
    return found;
}

static void confirmed(void *context, int error, uint64_t sequence)
{
    (void)sequence;
    if (error == SLUICE_OK)
        __atomic_add_fetch((unsigned *)context, 1, __ATOMIC_RELAXED);
}

/* Lets all sessions publish at once, and waits for all outcomes. */
static unsigned publish_all(struct sluice **all, unsigned count, const char *queue)
{
    unsigned good = 0;
    struct sluice_event event = { .data = "back", .size = 4 };
    struct sluice_stats s;
    for (unsigned i = 0; i < count; i++)
        sluice_publish(all[i], queue, &event, PUBLISH_WAIT_MS, confirmed, &good);
    for (unsigned i = 0; i < count; i++) {
        while (sluice_stats(all[i], &s), s.undecided > 0)
            poll(NULL, 0, LOOK_MS);
    }
    return __atomic_load_n(&good, __ATOMIC_RELAXED);
}

static int watch(struct sluice **all, unsigned count, const char *queue)
{
    struct pollfd input = { .fd = 0, .events = POLLIN };
    for (uint64_t times = 1;; times++) {
        while (attached(all, count, times) < count) {
            if (poll(&input, 1, LOOK_MS) > 0)
                return 0;
        }
        printf("attached %u\n", count);
        fflush(stdout);
        printf("confirmed %u\n", publish_all(all, count, queue));
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (argc != 4) {
        fprintf(stderr, "usage: bench_sessions BROKER COUNT QUEUE\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10);
    struct sluice **all = connect_all(argv[1], count);
    if (!all)
        return 1;
    int status = watch(all, count, argv[3]);
    for (unsigned i = 0; i < count; i++)
        sluice_close(all[i], 0);
    free(all);
    return status;
}
