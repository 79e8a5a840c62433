/* The floor of libzmq: 4 producers PUSH to one process, which relays message by message to a consumer. It keeps no
 * records, and a lost message stays lost.
 *   bench_raw_relay tcp|ipc SIZE COUNT [WINDOW [RATE]]
 *     ->  {"seconds":S,"relay_cpu_seconds":C,"end_to_end_us":{"p50":…,"p99":…,"p99.9":…}}
 * WINDOW: the relay answers each message, and a producer has at most WINDOW unanswered ones; 0: no answers, blocking
 * sends.
 * RATE: messages per second of all producers together, timed from when each was due; 0: at full speed. */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { PRODUCERS = 4, ENDPOINTS = PRODUCERS + 2, IN = PRODUCERS, OUT };

/* Memory that all the processes share. */
struct relay {
    char endpoints[ENDPOINTS][96]; /* of each producer (for answers), the relay and the consumer */
    atomic_bool bound[ENDPOINTS];
    char transport;
    size_t size;
    long each, window, rate;
    int64_t start;
};

/* The header of a message. */
struct head {
    int64_t intended, producer;
};

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Makes a socket without a high-water mark, except where the sender is meant to block. */
static void *open_socket(void *zmq, int type, bool limited)
{
    int none = 0;
    void *s = zmq_socket(zmq, type);
    if (!limited)
        zmq_setsockopt(s, type == ZMQ_PULL ? ZMQ_RCVHWM : ZMQ_SNDHWM, &none, sizeof none);
    return s;
}

/* Binds a PULL socket at a free endpoint and stores the endpoint in `r` for the other processes. */
static void *bind_inbox(struct relay *r, void *zmq, int which)
{
    void *s = open_socket(zmq, ZMQ_PULL, false);
    size_t size = sizeof r->endpoints[which];
    char path[96];
    snprintf(path, sizeof path, "ipc:///tmp/sluice-relay-%d-%d", (int)getpid(), which);
    if (zmq_bind(s, r->transport == 't' ? "tcp://127.0.0.1:*" : path) != 0 ||
        zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, r->endpoints[which], &size) != 0) {
        fprintf(stderr, "bench_raw_relay: cannot bind: %s\n", zmq_strerror(zmq_errno()));
        exit(1);
    }
    atomic_store(&r->bound[which], true);
    return s;
}

static void *connect_to(struct relay *r, void *zmq, int which, bool limited)
{
    void *s = open_socket(zmq, ZMQ_PUSH, limited);
    while (!atomic_load(&r->bound[which]))
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    zmq_connect(s, r->endpoints[which]);
    return s;
}

static void receive(void *socket, struct head *head)
{
    zmq_msg_t m;
    zmq_msg_init(&m);
    zmq_msg_recv(&m, socket, 0);
    if (head)
        memcpy(head, zmq_msg_data(&m), sizeof *head);
    zmq_msg_close(&m);
}

static int64_t due(const struct relay *r, long nth, int producer)
{
    if (!r->rate)
        return now();
    int64_t at = r->start + (int64_t)((double)(nth * PRODUCERS + producer) * 1e9 / (double)r->rate);
    struct timespec t = { .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000 };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    return at;
}

static void produce(struct relay *r, int producer)
{
    void *zmq = zmq_ctx_new(), *answers = bind_inbox(r, zmq, producer), *s = connect_to(r, zmq, IN, true);
    char *data = calloc(1, r->size);
    long left = r->window;
    prctl(PR_SET_TIMERSLACK, 1);
    for (long i = 0; i < r->each; i++) {
        struct head head = { due(r, i, producer), producer };
        for (; r->window && left == 0; left++)
            receive(answers, NULL);
        left--;
        memcpy(data, &head, sizeof head);
        zmq_send(s, data, r->size, 0);
    }
    for (; r->window && left < r->window; left++)
        receive(answers, NULL);
    zmq_close(s);
    zmq_close(answers);
    zmq_ctx_term(zmq);
    free(data);
}

static void relay(struct relay *r)
{
    void *zmq = zmq_ctx_new(), *pull = bind_inbox(r, zmq, IN), *push = connect_to(r, zmq, OUT, true);
    void *answers[PRODUCERS] = { NULL };
    for (long i = 0; i < r->each * PRODUCERS; i++) {
        zmq_msg_t m;
        struct head head;
        zmq_msg_init(&m);
        zmq_msg_recv(&m, pull, 0);
        memcpy(&head, zmq_msg_data(&m), sizeof head);
        zmq_msg_send(&m, push, 0);
        if (!r->window)
            continue;
        if (!answers[head.producer])
            answers[head.producer] = connect_to(r, zmq, (int)head.producer, false);
        zmq_send(answers[head.producer], "a", 1, 0);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        if (answers[i])
            zmq_close(answers[i]);
    }
    zmq_close(pull);
    zmq_close(push);
    zmq_ctx_term(zmq);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The calling process is the consumer. With very many messages only every 16th is timed, so that it reads the clock as
 * often as `sluice bench` does. */
static void consume(const struct relay *r, void *pull, int64_t *us, long stride)
{
    struct head head;
    for (long i = 0; i < r->each * PRODUCERS; i++) {
        bool timed = i % stride == 0;
        receive(pull, timed ? &head : NULL);
        if (timed)
            us[i / stride] = now() - head.intended;
    }
}

static double wait_for_all(const pid_t *children, int *failed)
{
    struct rusage use;
    int status;
    for (int i = 0; i <= PRODUCERS; i++) {
        wait4(children[i], &status, 0, &use);
        *failed |= status;
    }
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static pid_t start(struct relay *r, int which)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (which == PRODUCERS)
        relay(r);
    else
        produce(r, which);
    exit(0);
}

static void report(int64_t *times, long count, double seconds, double cpu)
{
    qsort(times, (size_t)count, sizeof *times, compare);
    printf(
        "{\"seconds\":%.6f,\"relay_cpu_seconds\":%.6f,\"end_to_end_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f}}\n",
        seconds, cpu, (double)times[(count - 1) / 2] / 1e3, (double)times[(long)((double)(count - 1) * 0.99)] / 1e3,
        (double)times[(long)((double)(count - 1) * 0.999)] / 1e3);
}

int main(int argc, char **argv)
{
    int failed = 0;
    struct relay *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (argc < 4 || argc > 6 || r == MAP_FAILED)
        return fprintf(stderr, "usage: bench_raw_relay tcp|ipc SIZE COUNT [WINDOW [RATE]]\n"), 2;
    alarm(300); /* a lost message never arrives: fail instead of waiting for it */
    r->transport = argv[1][0];
    r->size = strtoul(argv[2], NULL, 10);
    r->size = r->size < sizeof(struct head) ? sizeof(struct head) : r->size;
    r->each = strtol(argv[3], NULL, 10) / PRODUCERS;
    r->window = argc > 4 ? strtol(argv[4], NULL, 10) : 0;
    r->rate = argc > 5 ? strtol(argv[5], NULL, 10) : 0;
    long count = r->each * PRODUCERS, stride = r->rate || count <= 200000 ? 1 : 16,
         timed = (count + stride - 1) / stride;
    int64_t *times = calloc((size_t)timed + 1, sizeof *times);
    pid_t children[PRODUCERS + 1];
    children[PRODUCERS] = start(r, PRODUCERS);
    r->start = now();
    for (int i = 0; i < PRODUCERS; i++)
        children[i] = start(r, i);
    void *zmq = zmq_ctx_new(), *pull = bind_inbox(r, zmq, OUT);
    consume(r, pull, times, stride);
    double seconds = (double)(now() - r->start) / 1e9, cpu = wait_for_all(children, &failed);
    zmq_close(pull);
    zmq_ctx_term(zmq);
    for (int i = 0; r->transport == 'i' && i < ENDPOINTS; i++)
        unlink(r->endpoints[i] + strlen("ipc://"));
    report(times, timed, seconds, cpu);
    free(times);
    return failed ? 1 : 0;
}
