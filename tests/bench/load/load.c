/* The processes of a load and their pace. A producer publishes its next event from load_confirmed. An adapter whose
 * library has a thread of its own therefore needs no lock: only that thread publishes, except for the first event and
 * with --rate. */
#include "tests/bench/load/load_check.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GIVE_UP_NS  20000000000 /* without progress */
#define LOOK_NS     2000000     /* interval of checks for the end */
#define RING        65536u      /* unconfirmed events of a producer, at most */
#define STRIDE      16u         /* with a large window, only every STRIDEth event is timed */
#define STRIDE_FROM 16u         /* a large window is larger than this */

struct shared {
    atomic_ulong ready;
    int go[2]; /* a pipe: producers start when the consumer closes its end */
    int64_t start;
};

struct load {
    const struct load_options *o;
    struct shared *shared;
    struct load_side *sides, *side;
    struct adapter *adapter;
    unsigned long number; /* of the producer */
    /* a producer */
    char *data;
    unsigned long each; /* events to publish, at most */
    atomic_bool stop;
    int64_t *intended; /* by tag: when it was due; 0: not outstanding, -1: not timed */
    /* the consumer */
    struct load_seen seen;
    atomic_ulong consumed;
};

/* ------------------------------------------------------------------ outcomes */

/* For a count that one thread writes and others read: a plain store is enough. */
static void set_count(atomic_ulong *to, unsigned long value)
{
    atomic_store_explicit(to, value, memory_order_release);
}

static unsigned long outstanding(const struct load *l)
{
    return l->side->published - l->side->confirmed;
}

static void publish(struct load *l, int64_t intended)
{
    uint64_t nth = l->side->published;
    struct load_head head = { LOAD_MAGIC, (uint32_t)l->number, nth, intended };
    if (!intended && (l->o->window <= STRIDE_FROM || nth % STRIDE == 0))
        head.intended = load_now();
    memcpy(l->data, &head, sizeof head);
    l->intended[nth % RING] = head.intended ? head.intended : -1;
    set_count(&l->side->published, nth + 1);
    if (!adapter_publish(l->adapter, nth, l->data))
        load_failed(l, "an event could not be published");
}

static bool may_publish(const struct load *l)
{
    return !l->stop && l->side->published < l->each && !*l->side->error;
}

void load_confirmed(struct load *l, uint64_t tag)
{
    int64_t *intended = &l->intended[tag % RING];
    if (tag >= l->side->published || *intended == 0) {
        load_failed(l, "event %llu was confirmed, but is not outstanding", (unsigned long long)tag);
        return;
    }
    if (*intended > 0)
        times_add(&l->side->times, load_now() - *intended);
    *intended = 0;
    set_count(&l->side->confirmed, l->side->confirmed + 1);
    if (l->o->rate)
        return;
    while (outstanding(l) < l->o->window && may_publish(l))
        publish(l, 0);
    if (outstanding(l) == 0)
        l->side->done = true;
}

void load_delivered(struct load *l, const void *data, size_t size)
{
    const struct load_head *head = load_check(&l->seen, l->o, data, size);
    if (head && head->intended)
        times_add(&l->side->times, load_now() - head->intended);
    set_count(&l->consumed, l->seen.consumed);
}

bool load_failed(struct load *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!*l->side->error)
        vsnprintf(l->side->error, sizeof l->side->error, format, args);
    va_end(args);
    return false;
}

/* ------------------------------------------------------------------ a producer */

/* Runs one turn of the adapter. Fails if there was no progress for too long. */
static bool turn(struct load *l, int64_t until, int64_t *last, unsigned long *before, unsigned long count)
{
    int64_t now = load_now();
    if (count != *before || *last == 0) {
        *before = count;
        *last = now;
    }
    if (now - *last > GIVE_UP_NS)
        return load_failed(l, "nothing came any more after %lu events", count);
    return adapter_turn(l->adapter, until) ? !*l->side->error : load_failed(l, "the connection broke");
}

static void publish_greedily(struct load *l)
{
    int64_t end = l->shared->start + (int64_t)(l->o->seconds * 1e9), last = 0;
    unsigned long before = 0;
    publish(l, 0);
    while (!l->side->done && !*l->side->error) {
        int64_t until = load_now() + LOOK_NS;
        l->stop = l->o->seconds > 0 && until >= end;
        if (!turn(l, until, &last, &before, l->side->confirmed))
            return;
    }
}

static void publish_paced(struct load *l)
{
    int64_t last = 0, now;
    unsigned long before = 0;
    for (unsigned long i = 0; i < l->each; i++) {
        int64_t due =
            l->shared->start + (int64_t)((double)(i * l->o->producers + l->number) * 1e9 / (double)l->o->rate);
        while ((now = load_now()) < due || outstanding(l) >= l->o->window) {
            int64_t until = now < due ? due : now + LOOK_NS / 20;
            if (!turn(l, until, &last, &before, l->side->confirmed))
                return;
        }
        publish(l, due);
    }
    while (outstanding(l) > 0 && turn(l, load_now() + LOOK_NS, &last, &before, l->side->confirmed))
        continue;
    l->side->done = true;
}

static void wait_to_begin(struct shared *s)
{
    char byte;
    close(s->go[1]);
    atomic_fetch_add(&s->ready, 1);
    while (read(s->go[0], &byte, 1) > 0)
        continue;
}

static int produce(struct load *l)
{
    l->data = malloc(l->o->size);
    l->intended = calloc(RING, sizeof *l->intended);
    memset(l->data, 'x', l->o->size);
    l->each = l->o->events ? l->o->events / l->o->producers : (unsigned long)-1;
    l->adapter = adapter_open(l, l->o, false);
    wait_to_begin(l->shared);
    prctl(PR_SET_TIMERSLACK, 1); /* otherwise the kernel extends every wait by up to 50 us */
    if (l->adapter && l->o->rate)
        publish_paced(l);
    else if (l->adapter)
        publish_greedily(l);
    adapter_close(l->adapter);
    free(l->data);
    free(l->intended);
    l->side->done = true;
    return 0;
}

/* ------------------------------------------------------------------ the consumer: the calling process */

/* Returns how many events there are to consume; *known once all producers have finished. */
static unsigned long total(const struct load *l, bool *known)
{
    unsigned long sum = 0;
    *known = true;
    for (unsigned long i = 0; i < l->o->producers && l->o->publish; i++) {
        sum += l->sides[i].published;
        *known = *known && l->sides[i].done;
    }
    return l->o->publish ? sum : l->o->events;
}

static bool broken(const struct load *l)
{
    for (unsigned long i = 0; i <= l->o->producers; i++) {
        if (*l->sides[i].error)
            return true;
    }
    return false;
}

static void wait_for_producers(struct load *l)
{
    while (l->o->publish && atomic_load(&l->shared->ready) < l->o->producers && waitpid(-1, NULL, WNOHANG) == 0)
        load_sleep(load_now() + LOOK_NS);
    if (l->o->publish)
        l->shared->start = load_now();
    close(l->shared->go[1]);
}

/* Runs until everything is consumed. Returns the seconds since the start. */
static double watch(struct load *l)
{
    int64_t last = 0;
    unsigned long before = 0;
    bool known = false;
    wait_for_producers(l);
    while (!broken(l)) {
        unsigned long count = total(l, &known);
        if (known && (!l->o->consume || l->consumed >= count))
            break;
        if (!l->o->consume)
            load_sleep(load_now() + LOOK_NS);
        else if (!turn(l, load_now() + LOOK_NS, &last, &before, l->consumed + count))
            break;
    }
    return (double)(load_now() - l->shared->start) / 1e9;
}

static double consume(struct load *l)
{
    l->shared->start = load_now(); /* a backlog may be delivered as soon as there is a connection */
    l->adapter = adapter_open(l, l->o, true);
    if (!l->adapter || (l->o->consume && !adapter_consume(l->adapter)))
        load_failed(l, "cannot consume");
    if (!l->o->consume) {
        adapter_close(l->adapter);
        l->adapter = NULL;
    }
    double seconds = watch(l);
    adapter_close(l->adapter);
    return seconds;
}

/* ------------------------------------------------------------------ the program */

static bool start_producers(const struct load_options *o, struct shared *s, struct load_side *sides)
{
    pid_t parent = getpid();
    for (unsigned long i = 0; i < o->producers && o->publish; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return false;
        if (pid > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct load l = { .o = o, .shared = s, .sides = sides, .side = &sides[i], .number = i };
        _exit(getppid() == parent ? produce(&l) : 1);
    }
    return true;
}

static void *share(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static int run(const struct load_options *o)
{
    struct shared *s = share(sizeof *s);
    struct load_side *sides = share((o->producers + 1) * sizeof *sides);
    signal(SIGPIPE, SIG_IGN);
    if (!s || !sides || pipe(s->go) != 0 || !start_producers(o, s, sides))
        return fprintf(stderr, "no memory or no processes for %lu producers\n", o->producers), 1;
    struct load l = { .o = o, .shared = s, .sides = sides, .side = &sides[o->producers], .number = o->producers };
    l.seen.next = calloc(o->producers, sizeof *l.seen.next);
    double seconds = consume(&l);
    while (!broken(&l) && wait(NULL) > 0) /* otherwise they are killed when this process ends */
        continue;
    int status = load_report(o, sides, &l.seen, seconds);
    free(l.seen.next);
    return status;
}

static const struct option option_table[] = {
    { "address", 1, 0, 'a' },
    { "mode", 1, 0, 'm' },
    { "queue", 1, 0, 'q' },
    { "size", 1, 0, 's' },
    { "producers", 1, 0, 'p' },
    { "window", 1, 0, 'w' },
    { "events", 1, 0, 'n' },
    { "seconds", 1, 0, 't' },
    { "rate", 1, 0, 'r' },
    { "only", 1, 0, 'o' },
    { 0 },
};

static bool set(struct load_options *o, int option)
{
    switch (option) {
    case 'a': o->address = optarg; return true;
    case 'm': o->mode = optarg; return true;
    case 'q': o->queue = optarg; return true;
    case 's': o->size = strtoul(optarg, NULL, 10); return true;
    case 'p': o->producers = strtoul(optarg, NULL, 10); return true;
    case 'w': o->window = strtoul(optarg, NULL, 10); return true;
    case 'n': o->events = strtoul(optarg, NULL, 10); return true;
    case 't': o->seconds = strtod(optarg, NULL); return true;
    case 'r': o->rate = strtoul(optarg, NULL, 10); return true;
    case 'o':
        o->publish = strcmp(optarg, "publish") == 0;
        o->consume = strcmp(optarg, "consume") == 0;
        return o->publish || o->consume;
    default: return false;
    }
}

int main(int argc, char **argv)
{
    struct load_options o = {
        .mode = "", .queue = "bench", .size = 200, .producers = 4, .window = 256, .publish = true, .consume = true
    };
    int option;
    while ((option = getopt_long(argc, argv, "", option_table, NULL)) != -1) {
        if (!set(&o, option))
            return fprintf(stderr, "see tests/bench/load/load.h for the options\n"), 2;
    }
    if (!o.address || o.size < sizeof(struct load_head) || !o.producers || !o.window || o.window > RING ||
        (!o.events && !(o.seconds > 0)) || (o.rate && !o.events))
        return fprintf(stderr,
                       "--address and --events or --seconds are needed; --rate needs --events; a window is at most "
                       "%u\n",
                       RING),
               2;
    return run(&o);
}
