/* sluice bench: publishes through libsluice and consumes the events; each is confirmed, acked and checked. With a
 * rate it is an open loop: latencies count from the time the event was due, so that a stall is not hidden. */
#include "clients/cli/bench.h"
#include "clients/cli/cli.h"
#include "clients/cli/control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sluice.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIELD(name) offsetof(struct bench, name)
static const struct cli_option option_table[] = {
    { "queue", 'q', CLI_TEXT, FIELD(queue), "name",
      "an existing queue is used as it is, and drained; another is\n"
      "created, and deleted at the end [a new one for this run]" },
    { "events", 'n', CLI_COUNT, FIELD(events), "n", "events to publish [100000]" },
    { "size", 's', CLI_COUNT, FIELD(size), "bytes", "size of each event's data, at least 8 [200]" },
    { "producers", 'p', CLI_COUNT, FIELD(producers), "n", "processes that publish [4]" },
    { "window", 'w', CLI_COUNT, FIELD(window), "n", "most unconfirmed events of each producer [256]" },
    { "rate", 'r', CLI_COUNT, FIELD(rate), "n",
      "total events a second, with latencies counted from the time\n"
      "each event was due [as fast as possible]" },
    { "linger", 0, CLI_COUNT, FIELD(linger_ms), "ms",
      "hold events and acks up to this long, to send them together [0]" },
    CLI_KEYS(FIELD(key), FIELD(broker_key)),
    { "json", 0, CLI_SWITCH, FIELD(json), NULL, "print the result as JSON" },
};
static const struct cli_syntax syntax = {
    .usage = "bench [<options>] [<broker>]",
    .text =
        "Publishes events to a broker and consumes them: tcp://HOST:PORT or ipc:///PATH\n"
        "[SLUICE_BROKER, tcp://127.0.0.1:7400]. Each producer is a process with its own connection, this process is\n"
        "the consumer. The exit status is 0 if every event was confirmed and consumed once and in order. Gives up\n"
        "when nothing arrives for 10 s.",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .notes = "  sluice bench tcp://127.0.0.1:7400\n"
             "  sluice bench --producers 1 --window 1 --events 10000\n"
             "  sluice bench --rate 20000 --events 200000",
};

/* For more events only every STRIDE-th is timed: reading the clock twice for each of a million events a second would
 * be a good part of what is measured. */
#define TIME_ALL_UP_TO 200000u
#define STRIDE         16u

/* ------------------------------------------------------------------ shared memory */

static void *share(size_t count, size_t size)
{
    if (count > SIZE_MAX / size)
        return NULL;
    void *p = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static struct bench_shared *open_shared(const struct bench *b)
{
    unsigned long slots = bench_slots(b);
    struct bench_shared *s = share(1, sizeof *s);
    if (!s || pipe(s->go) != 0)
        return NULL;
    s->slots = slots;
    s->producers = share(b->producers, sizeof *s->producers);
    s->intended = share(slots, sizeof *s->intended);
    s->confirmed = share(slots, sizeof *s->confirmed);
    s->delivered = share(slots, sizeof *s->delivered);
    return s->producers && s->intended && s->confirmed && s->delivered ? s : NULL;
}

/* Must run before this process has other threads: a forked child has only the thread that forked. */
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

/* ------------------------------------------------------------------ the queue */

/* Makes a control call on the queue. Returns the exit status, with a message unless CLI_OK. *reason: the broker's;
 * `expected` is not treated as a failure. */
static int ask(const struct bench *b, struct request *r, enum reason expected, enum reason *reason)
{
    int code;
    struct arena arena;
    struct reply reply = { 0 };
    arena_init(&arena, 1 << 20);
    r->queue = b->queue;
    struct control *control = control_open(b->broker, b->key, b->broker_key, "5s", &code);
    if (code == CLI_OK && !control_ask(control, r, &arena, &reply))
        code = CLI_FAILED;
    *reason = reply.reason;
    if (code == CLI_OK && reply.reason != REASON_ok && reply.reason != expected)
        code = cli_fail("queue '%s': %s", b->queue, *reply.detail ? reply.detail : reason_info(reply.reason)->title);
    control_close(control);
    arena_free(&arena);
    return code;
}

/* Declares the queue, so that brokers without auto_declare can be measured too. *made: it did not exist, and is to
 * be deleted. */
static int make_queue(const struct bench *b, bool *made)
{
    struct request r = { .call = CALL_DECLARE, .u.declare.only_create = true };
    enum reason reason;
    int code = ask(b, &r, REASON_exists, &reason);
    *made = code == CLI_OK && reason == REASON_ok;
    return code;
}

static void delete_queue(const struct bench *b)
{
    struct request r = { .call = CALL_DELETE, .u.delete_.force = true };
    enum reason reason;
    if (ask(b, &r, REASON_unknown_queue, &reason) != CLI_OK)
        cli_fail("the queue '%s' was not deleted", b->queue);
}

/* ------------------------------------------------------------------ the report */

static void print_times(const struct bench *b, const char *key, const char *title, struct bench_times t)
{
    if (b->json)
        printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f}", key, t.p50, t.p99, t.p999);
    else
        printf("%-11s p50 %8.0f us   p99 %8.0f us   p99.9 %8.0f us\n", title, t.p50, t.p99, t.p999);
}

static void report(const struct bench *b, const struct bench_shared *s, const struct bench_producer *sum,
                   const struct bench_result *r)
{
    double seconds = bench_seconds(s->start, sum, r);
    printf(b->json ? "{\"events\":%lu,\"confirmed\":%lu,\"refused\":%lu,\"consumed\":%lu,\"repeated\":%lu,"
                     "\"disordered\":%lu,\"seconds\":%.4f,\"events_per_second\":%.0f"
                   : "%lu events: %lu confirmed, %lu refused, %lu consumed, %lu repeated, %lu out of order, in %.3f s: "
                     "%.0f events/s\n",
           b->events, sum->confirmed, sum->refused, r->consumed, r->repeated, r->disordered + sum->disordered, seconds,
           seconds > 0 ? (double)r->consumed / seconds : 0);
    print_times(b, "confirm_us", "confirm", bench_times_of(s->intended, s->confirmed, s->slots));
    print_times(b, "end_to_end_us", "end to end", bench_times_of(s->intended, s->delivered, s->slots));
    if (b->json)
        printf("}\n");
}

/* Waits until all producers have ended, and kills those that do not end by themselves: at once (end_them: the
 * consumer gave up, so nobody consumes what they publish), or when their confirms have not arrived within the time
 * an event has to arrive. Each might otherwise wait for as long as its publish may. True if one was killed. (waitpid
 * is called for children only, so no reused pid is killed.) */
static bool wait_for_producers(const struct bench *b, const struct bench_shared *s, bool end_them)
{
    int64_t until = bench_now() + (end_them ? 0 : BENCH_GIVE_UP_NS);
    bool ended = false;
    for (unsigned long i = 0; i < b->producers; i++) {
        while (waitpid(s->producers[i].pid, NULL, WNOHANG) == 0) {
            if (bench_now() >= until)
                ended = kill(s->producers[i].pid, SIGKILL) == 0;
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        }
    }
    return ended;
}

static int measure(const struct bench *b)
{
    char error[256] = "";
    struct bench_result result = { 0 };
    struct bench_shared *s = open_shared(b);
    if (!s || !start_producers(b, s))
        return cli_fail("no memory or no processes for %lu producers", b->producers);
    bool fine = bench_consume(b, s, &result, error);
    bool ended = wait_for_producers(b, s, !fine || result.gave_up);
    if (!fine)
        return cli_fail("%s", error);
    struct bench_producer sum = bench_sum(s->producers, b->producers);
    report(b, s, &sum, &result);
    if (result.gave_up && result.away)
        return cli_fail("no broker answers at %s any more: gave up after %d s", b->broker, BENCH_GIVE_UP_SECONDS);
    if (sum.error)
        return cli_fail("not all events were published: %s", sluice_strerror(sum.error));
    if (result.gave_up)
        return cli_fail("no more events arrived: gave up after %d s, see the counts above", BENCH_GIVE_UP_SECONDS);
    if (ended)
        return cli_fail("some confirms did not arrive: gave up after %d s, see the counts above",
                        BENCH_GIVE_UP_SECONDS);
    if (sum.confirmed != b->events || result.consumed != b->events || result.repeated || result.disordered ||
        sum.disordered)
        return cli_fail("the counts do not match, see above");
    return CLI_OK;
}

/* Measures in a child process, so that after a signal this one is left to delete the queue. The child and its
 * producers hold one end of a pipe; the other end shows when all have ended. */
static int measure_apart(const struct bench *b)
{
    int gone[2], status = 0;
    if (pipe(gone) != 0)
        return cli_fail("no descriptors: %s", strerror(errno));
    cli_catch_signals();
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        cli_restore_signals();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(getppid() == parent ? measure(b) : CLI_FAILED);
    }
    close(gone[1]);
    struct pollfd fds[] = { { .fd = gone[0], .events = POLLIN }, { .fd = cli_signal_fd(), .events = POLLIN } };
    while (pid > 0 && !fds[0].revents) {
        if (poll(fds, 2, -1) > 0 && fds[1].revents) {
            kill(pid, SIGTERM);
            fds[1].fd = -1;
        }
    }
    close(gone[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return cli_fail("no process to measure with: %s", strerror(errno));
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return cli_stopped() ? CLI_INTERRUPTED : cli_fail("ended by signal %d", WTERMSIG(status));
}

static int run(const struct bench *b)
{
    bool made;
    int code = make_queue(b, &made);
    if (code != CLI_OK || !made)
        return code == CLI_OK ? measure(b) : code;
    code = measure_apart(b);
    delete_queue(b);
    return code;
}

/* ------------------------------------------------------------------ options */

int cli_bench(int argc, char **argv)
{
    const char *broker = getenv("SLUICE_BROKER");
    struct bench b = { .events = 100000, .size = 200, .producers = 4, .window = 256 };
    struct cli_args a = cli_parse(&syntax, &b, argc, argv);
    if (!a.go)
        return a.code;
    if (a.count > 1)
        return cli_usage("unexpected argument '%s': give one broker", a.rest[1]);
    b.broker = a.count ? a.rest[0] : broker && *broker ? broker : "tcp://127.0.0.1:7400";
    if (b.size < sizeof(unsigned long)) /* each event begins with its number */
        return cli_usage("--size: at least %zu, for each event holds its number", sizeof(unsigned long));
    char own[32]; /* unique: otherwise the first of two concurrent runs to end would delete the other's queue */
    snprintf(own, sizeof own, "sluice-bench-%08x", (unsigned)randombytes_random());
    b.queue = b.queue ? b.queue : own;
    b.stride = b.rate || b.events <= TIME_ALL_UP_TO ? 1 : STRIDE;
    return run(&b);
}
