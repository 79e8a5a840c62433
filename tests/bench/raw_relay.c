/* The floor: 4 producers PUSH to one process that relays message by message to a consumer. Raw libzmq, no bookkeeping.
 *   bench_raw_relay tcp|ipc SIZE COUNT   ->  {"seconds":S,"relay_cpu_seconds":C} */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { PRODUCERS = 4 };

static void *open_socket(void *zmq, int type)
{
    int none = 0;
    void *s = zmq_socket(zmq, type);
    zmq_setsockopt(s, type == ZMQ_PULL ? ZMQ_RCVHWM : ZMQ_SNDHWM, &none, sizeof none);
    return s;
}

/* Bounded in flight by blocking sends, as a producer without confirms would be. */
static int produce(const char *endpoint, size_t size, long count)
{
    void *zmq = zmq_ctx_new(), *s = zmq_socket(zmq, ZMQ_PUSH);
    char *data = calloc(1, size);
    zmq_connect(s, endpoint);
    for (long i = 0; i < count; i++)
        zmq_send(s, data, size, 0);
    zmq_close(s);
    zmq_ctx_term(zmq);
    free(data);
    return 0;
}

static int relay(const char *in, const char *out, long count, int ready)
{
    void *zmq = zmq_ctx_new(), *pull = open_socket(zmq, ZMQ_PULL), *push = zmq_socket(zmq, ZMQ_PUSH);
    zmq_bind(pull, in);
    zmq_connect(push, out);
    if (write(ready, "r", 1) != 1)
        return 1;
    for (long i = 0; i < count; i++) {
        zmq_msg_t m;
        zmq_msg_init(&m);
        zmq_msg_recv(&m, pull, 0);
        zmq_msg_send(&m, push, 0);
    }
    zmq_close(pull);
    zmq_close(push);
    zmq_ctx_term(zmq);
    return 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The consumer is this process; its PULL is bound before the others begin. */
int main(int argc, char **argv)
{
    char in[128], out[128], byte;
    int ready[2], status, failed = 0;
    if (argc != 4 || pipe(ready) != 0)
        return fprintf(stderr, "usage: bench_raw_relay tcp|ipc SIZE COUNT\n"), 2;
    size_t size = strtoul(argv[2], NULL, 10);
    long each = strtol(argv[3], NULL, 10) / PRODUCERS, count = each * PRODUCERS;
    int base = 20000 + (int)(getpid() % 20000);
    snprintf(in, sizeof in, argv[1][0] == 't' ? "tcp://127.0.0.1:%d" : "ipc:///tmp/sluice-relay-%d.in", base);
    snprintf(out, sizeof out, argv[1][0] == 't' ? "tcp://127.0.0.1:%d" : "ipc:///tmp/sluice-relay-%d.out", base + 1);
    pid_t children[PRODUCERS + 1];
    if ((children[PRODUCERS] = fork()) == 0)
        return relay(in, out, count, ready[1]);
    void *zmq = zmq_ctx_new(), *pull = open_socket(zmq, ZMQ_PULL);
    if (zmq_bind(pull, out) != 0 || read(ready[0], &byte, 1) != 1)
        return fprintf(stderr, "bench_raw_relay: cannot bind\n"), 1;
    double start = now();
    for (int i = 0; i < PRODUCERS; i++) {
        if ((children[i] = fork()) == 0)
            _exit(produce(in, size, each));
    }
    for (long i = 0; i < count; i++) {
        zmq_msg_t m;
        zmq_msg_init(&m);
        zmq_msg_recv(&m, pull, 0);
        zmq_msg_close(&m);
    }
    double seconds = now() - start, cpu = 0;
    for (int i = 0; i <= PRODUCERS; i++) {
        struct rusage use;
        wait4(children[i], &status, 0, &use);
        failed |= status;
        if (i == PRODUCERS)
            cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                  (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
    }
    zmq_close(pull);
    zmq_ctx_term(zmq);
    if (argv[1][0] == 'i') {
        unlink(in + 6);
        unlink(out + 6);
    }
    printf("{\"seconds\":%.6f,\"relay_cpu_seconds\":%.6f}\n", seconds, cpu);
    return failed ? 1 : 0;
}
