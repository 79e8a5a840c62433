/* Consumers that share a queue's partitions, or stand by. Each consumer is a process of its own. The result is one line
 * of JSON.
 *
 *     bench_partitions throughput BROKER QUEUE CONSUMERS COUNT
 *         Events per second for COUNT events of 200 B, each with one of 1,000 keys.
 *     bench_partitions failover BROKER QUEUE kill|leave
 *         Milliseconds from the end of the active consumer's process to the first event at the standby, while 1,000
 *         events per second are published. */
#include <poll.h>
#include <signal.h>
#include <sluice.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONSUMERS_MOST 8u
#define KEYS           1000u
#define CREDIT         1024
#define WAIT_MS        60000
#define SIZE           200
#define WINDOW         4096ul /* unconfirmed events, at most */

/* Memory that all the processes share. */
struct shared {
    unsigned long count[CONSUMERS_MOST]; /* events received, by consumer */
    int64_t newest[CONSUMERS_MOST];      /* arrival of the latest event, by consumer; CLOCK_MONOTONIC */
};
static struct shared *shared;
static pid_t children[CONSUMERS_MOST];
static unsigned long published, confirmed, failed;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static struct sluice *attach(const char *broker)
{
    char error[256];
    struct sluice *s = sluice_connect(broker, NULL, error);
    if (!s) {
        fprintf(stderr, "partitions: %s\n", error);
        exit(1);
    }
    return s;
}

/* ------------------------------------------------------------------ consuming */

static bool on_event(void *context, const struct sluice_delivery *d)
{
    unsigned me = *(const unsigned *)context;
    (void)d;
    __atomic_store_n(&shared->newest[me], now_ns(), __ATOMIC_RELAXED);
    __atomic_add_fetch(&shared->count[me], 1, __ATOMIC_RELEASE);
    return true;
}

/* Starts a process that consumes until SIGTERM, and then leaves the queue in order. */
static void begin_consumer(const char *broker, const char *queue, unsigned me)
{
    sigset_t ends;
    int signal_taken;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    children[me] = fork();
    if (children[me] != 0)
        return;
    struct sluice *s = attach(broker);
    if (!sluice_subscribe(s, queue, CREDIT, on_event, &me))
        _exit(1);
    sigwait(&ends, &signal_taken);
    sluice_close(s, WAIT_MS);
    _exit(0);
}

static void end_consumer(unsigned me, int how)
{
    if (children[me] > 0) {
        kill(children[me], how);
        waitpid(children[me], NULL, 0);
    }
    children[me] = 0;
}

static unsigned long consumed(void)
{
    unsigned long all = 0;
    for (unsigned i = 0; i < CONSUMERS_MOST; i++)
        all += __atomic_load_n(&shared->count[i], __ATOMIC_ACQUIRE);
    return all;
}

/* ------------------------------------------------------------------ publishing */

static void on_confirm(void *context, int error, uint64_t sequence)
{
    (void)context, (void)sequence;
    __atomic_add_fetch(error ? &failed : &confirmed, 1, __ATOMIC_RELAXED);
}

static bool publish(struct sluice *s, const char *queue, unsigned long number)
{
    static const char data[SIZE];
    char key[24];
    snprintf(key, sizeof key, "key-%lu", number * 7919 % KEYS);
    const char *attributes[] = { "partitionkey", key, NULL };
    struct sluice_event event = { .data = data, .size = sizeof data, .attributes = attributes };
    int error;
    while (published - __atomic_load_n(&confirmed, __ATOMIC_RELAXED) >= WINDOW &&
           !__atomic_load_n(&failed, __ATOMIC_RELAXED))
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    published++;
    while ((error = sluice_publish(s, queue, &event, WAIT_MS, on_confirm, NULL)) == SLUICE_BUSY)
        poll(NULL, 0, 1);
    return error == SLUICE_OK;
}

/* ------------------------------------------------------------------ works */

static bool throughput(struct sluice *s, const char *queue, unsigned consumers, unsigned long count)
{
    unsigned long warm = count / 10;
    int64_t start = 0;
    for (unsigned long i = 0; i < count + warm; i++) {
        if (i == warm)
            start = now_ns();
        if (!publish(s, queue, i))
            return false;
    }
    while (consumed() < count + warm && __atomic_load_n(&failed, __ATOMIC_RELAXED) == 0)
        poll(NULL, 0, 1);
    double seconds = (double)(now_ns() - start) / 1e9;
    printf("{\"per_second\": %.0f, \"consumed\": [", (double)count / seconds);
    for (unsigned i = 0; i < consumers; i++)
        printf("%s%lu", i ? ", " : "", shared->count[i]);
    printf("]}\n");
    return failed == 0;
}

static bool publish_until(struct sluice *s, const char *queue, unsigned me, unsigned long more)
{
    unsigned long had = __atomic_load_n(&shared->count[me], __ATOMIC_ACQUIRE);
    for (unsigned long i = 0; __atomic_load_n(&shared->count[me], __ATOMIC_ACQUIRE) < had + more; i++) {
        if (!publish(s, queue, i) || i > WAIT_MS)
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

static bool failover(struct sluice *s, const char *broker, const char *queue, bool killed)
{
    if (!publish_until(s, queue, 0, 100)) /* the first consumer is active before the second joins */
        return false;
    begin_consumer(broker, queue, 1);
    if (!publish_until(s, queue, 0, 1000))
        return false;
    if (shared->count[1] != 0)
        return false; /* the second consumer did not stand by */
    int64_t end = now_ns();
    kill(children[0], killed ? SIGKILL : SIGTERM);
    if (!publish_until(s, queue, 1, 1))
        return false;
    printf("{\"ms\": %.2f}\n", (double)(shared->newest[1] - end) / 1e6);
    return true;
}

int main(int argc, char **argv)
{
    bool speed = argc == 6 && strcmp(argv[1], "throughput") == 0;
    if (!speed && (argc != 5 || strcmp(argv[1], "failover") != 0)) {
        fprintf(stderr,
                "usage: bench_partitions throughput BROKER QUEUE CONSUMERS COUNT | failover BROKER QUEUE kill|leave\n");
        return 2;
    }
    unsigned consumers = speed ? (unsigned)strtoul(argv[4], NULL, 10) % (CONSUMERS_MOST + 1) : 1;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    for (unsigned i = 0; i < consumers; i++)
        begin_consumer(argv[2], argv[3], i);
    struct sluice *s = attach(argv[2]);
    bool good = speed ? throughput(s, argv[3], consumers, strtoul(argv[5], NULL, 10))
                      : failover(s, argv[2], argv[3], strcmp(argv[4], "kill") == 0);
    for (unsigned i = 0; i < CONSUMERS_MOST; i++)
        end_consumer(i, SIGTERM);
    sluice_close(s, WAIT_MS);
    if (!good)
        fprintf(stderr, "partitions: %lu refused, %lu consumed\n", failed, consumed());
    return good ? 0 : 1;
}
