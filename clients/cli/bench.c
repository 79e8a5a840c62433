/* sluice bench: publishes through libsluice and consumes what it published, every event confirmed, acked and checked;
 * open loop when a rate is given, with every latency counted from the time the event was meant to be sent, so that a
 * stall is not hidden. */
#include "clients/cli/bench.h"
#include "base/xalloc.h"
#include "clients/cli/cli.h"

#include <getopt.h>
#include <sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
    "usage: sluice bench [options] [BROKER]\n\n"
    "Each producer is a process and a connection, this one is the consumer. The exit status is 0\n"
    "when every event was confirmed and consumed, once and in order.\n\n"
    "  --queue NAME    [sluice-bench]; it is used as it is, and drained\n"
    "  --events N      [100000]\n"
    "  --size BYTES    of data, 8 or more [200]\n"
    "  --producers N   [4]\n"
    "  --window N      unconfirmed events of each [256]\n"
    "  --rate N        events a second of all together; as fast as it goes without\n"
    "  --linger MS     events wait this long for company [0]\n"
    "  --json          print the result as JSON\n";

/* Reading the clock twice for each of a million events a second would be a good part of what is measured. */
#define TIME_ALL_UP_TO 200000u
#define STRIDE         16u

/* ------------------------------------------------------------------ what the processes share */

static void *share(size_t size)
{
    void *p = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static struct bench_shared *open_shared(const struct bench *b)
{
    unsigned long slots = (b->events / b->producers / b->stride + 1) * b->producers;
    struct bench_shared *s = share(sizeof *s);
    if (!s || pipe(s->go) != 0)
        return NULL;
    s->slots = slots;
    s->producers = share(b->producers * sizeof *s->producers);
    s->intended = share(slots * sizeof *s->intended);
    s->confirmed = share(slots * sizeof *s->confirmed);
    s->delivered = share(slots * sizeof *s->delivered);
    return s->producers && s->intended && s->confirmed && s->delivered ? s : NULL;
}

/* Before any thread runs here: a forked child has only the thread that forked. */
static bool start_producers(const struct bench *b, struct bench_shared *s)
{
    pid_t parent = getpid();
    for (unsigned long i = 0; i < b->producers; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return false;
        if (pid > 0) {
            s->producers[i].pid = pid;
            continue;
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            bench_produce(b, s, i);
        _exit(0);
    }
    return true;
}

/* ------------------------------------------------------------------ the report */

struct times {
    double p50, p99, p999;
};

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Of what was both intended and came, in microseconds. */
static struct times times_of(const struct bench_shared *s, const int64_t *came)
{
    int64_t *sorted = xcalloc(s->slots, sizeof *sorted);
    unsigned long count = 0;
    for (unsigned long i = 0; i < s->slots; i++) {
        if (s->intended[i] && came[i])
            sorted[count++] = came[i] - s->intended[i];
    }
    qsort(sorted, count, sizeof *sorted, compare);
    struct times t = { 0 };
    if (count) {
        t.p50 = (double)sorted[(count - 1) / 2] / 1000;
        t.p99 = (double)sorted[(unsigned long)((double)(count - 1) * 0.99)] / 1000;
        t.p999 = (double)sorted[(unsigned long)((double)(count - 1) * 0.999)] / 1000;
    }
    free(sorted);
    return t;
}

static struct bench_producer sum_up(const struct bench *b, const struct bench_shared *s)
{
    struct bench_producer sum = { 0 };
    for (unsigned long i = 0; i < b->producers; i++) {
        const struct bench_producer *p = &s->producers[i];
        sum.confirmed += p->confirmed;
        sum.refused += p->refused;
        sum.disordered += p->disordered;
        sum.error = p->error ? p->error : sum.error;
        sum.ended = p->ended > sum.ended ? p->ended : sum.ended;
    }
    return sum;
}

static void print_times(const struct bench *b, const char *key, const char *title, struct times t)
{
    if (b->json)
        printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f}", key, t.p50, t.p99, t.p999);
    else
        printf("%-11s p50 %8.0f us   p99 %8.0f us   p99.9 %8.0f us\n", title, t.p50, t.p99, t.p999);
}

static void report(const struct bench *b, const struct bench_shared *s, const struct bench_producer *sum,
                   const struct bench_result *r)
{
    int64_t ended = r->ended > sum->ended ? r->ended : sum->ended;
    double seconds = ended > s->start ? (double)(ended - s->start) / 1e9 : 0;
    printf(b->json ? "{\"events\":%lu,\"confirmed\":%lu,\"refused\":%lu,\"consumed\":%lu,\"repeated\":%lu,"
                     "\"disordered\":%lu,\"seconds\":%.4f,\"events_per_second\":%.0f"
                   : "%lu events: %lu confirmed, %lu refused, %lu consumed, %lu repeated, %lu out of order, in %.3f s: "
                     "%.0f events/s\n",
           b->events, sum->confirmed, sum->refused, r->consumed, r->repeated, r->disordered + sum->disordered, seconds,
           seconds > 0 ? (double)r->consumed / seconds : 0);
    print_times(b, "confirm_us", "confirm", times_of(s, s->confirmed));
    print_times(b, "end_to_end_us", "end to end", times_of(s, s->delivered));
    if (b->json)
        printf("}\n");
}

static int run(const struct bench *b)
{
    char error[256] = "";
    struct bench_result result = { 0 };
    struct bench_shared *s = open_shared(b);
    if (!s || !start_producers(b, s))
        return cli_fail("no memory or no processes for %lu producers", b->producers);
    bool fine = bench_consume(b, s, &result, error);
    while (wait(NULL) > 0)
        continue;
    if (!fine)
        return cli_fail("%s", error);
    struct bench_producer sum = sum_up(b, s);
    report(b, s, &sum, &result);
    if (sum.error)
        return cli_fail("not all was published: %s", sluice_strerror(sum.error));
    if (sum.confirmed != b->events || result.consumed != b->events || result.repeated || result.disordered ||
        sum.disordered)
        return cli_fail("the books do not balance: see the counts above");
    return CLI_OK;
}

/* ------------------------------------------------------------------ options */

static unsigned long *number_of(struct bench *b, int flag)
{
    switch (flag) {
    case 'e': return &b->events;
    case 's': return &b->size;
    case 'p': return &b->producers;
    case 'w': return &b->window;
    case 'r': return &b->rate;
    case 'l': return &b->linger_ms;
    default: return NULL;
    }
}

int cli_bench(int argc, char **argv)
{
    static const struct option flags[] = {
        { "queue", 1, NULL, 'q' },  { "events", 1, NULL, 'e' },
        { "size", 1, NULL, 's' },   { "producers", 1, NULL, 'p' },
        { "window", 1, NULL, 'w' }, { "rate", 1, NULL, 'r' },
        { "linger", 1, NULL, 'l' }, { "json", 0, NULL, 'j' },
        { "help", 0, NULL, 'h' },   { 0 },
    };
    const char *broker = getenv("SLUICE_BROKER");
    struct bench b = { .broker = broker ? broker : "tcp://127.0.0.1:7400",
                       .queue = "sluice-bench",
                       .events = 100000,
                       .size = 200,
                       .producers = 4,
                       .window = 256 };
    for (int f; (f = getopt_long(argc, argv, "h", flags, NULL)) != -1;) {
        unsigned long *to = number_of(&b, f);
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
    b.stride = b.rate || b.events <= TIME_ALL_UP_TO ? 1 : STRIDE;
    return run(&b);
}
