/* The log without the rest of the broker, kept saturated: while a group of EVENTS events is written and synced, the
 * next one gathers. Durable events are settled.
 *   bench_log_alone DIRECTORY EVENT_SIZE EVENTS SECONDS
 *     ->  {"groups":N,"seconds":S,"group_bytes":B}: the number of syncs, and the bytes written per sync */
#include "base/clock.h"
#include "broker/disk/files_posix.h"
#include "broker/store/log.h"

#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE 1

struct feeder {
    struct store *log;
    struct files *files;
    struct store_event *events;
    size_t count;
    uint32_t size;
    uint64_t next, settled; /* sequences */
    uint64_t tickets[2];    /* of the group being written, and of the one gathering */
    uint64_t ends[2];       /* one past the last event of each */
};

static void snapshot(void *context, struct buf *out)
{
    (void)context, (void)out;
}

static struct store *open_log(const char *path, struct files **files)
{
    struct error e;
    struct log_config config;
    struct log_replay replay = { 0 };
    log_config_defaults(&config);
    *files = files_posix_open(path, false, &e);
    struct store *log = *files ? log_open(&config, *files, &replay, &e) : NULL;
    if (!log) {
        fprintf(stderr, "log_alone: %s\n", e.text);
        exit(1);
    }
    log_set_owner(log, &(struct log_owner){ NULL, snapshot });
    return log;
}

static void append(struct feeder *f, int which)
{
    struct store_run run = { .queue = QUEUE, .first = f->next, .events = f->events, .count = f->count };
    if (f->log->ops->append(f->log, &run, &f->tickets[which]) == STORE_LATER)
        f->next += f->count;
    f->ends[which] = f->next;
}

static void settle_to(struct feeder *f, uint64_t end)
{
    for (; f->settled < end; f->settled++)
        f->log->ops->settle(f->log, QUEUE, f->settled, 0, f->size, CAUSE_ACKED);
}

/* One commit: waits for the group being written, submits the next one, and gathers another. */
static void turn(struct feeder *f)
{
    struct store_completion done;
    uint64_t durable = 0;
    while (durable < f->tickets[0]) {
        poll(&(struct pollfd){ .fd = f->files->ops->fd(f->files), .events = POLLIN }, 1, 1000);
        f->log->ops->flush(f->log, clock_now().mono);
        while (f->log->ops->poll(f->log, &done)) {
            if (done.status != STORE_OK) {
                fprintf(stderr, "log_alone: %s\n", log_failure(f->log));
                exit(1);
            }
            durable = done.ticket;
        }
    }
    settle_to(f, f->ends[0]);
    f->tickets[0] = f->tickets[1];
    f->ends[0] = f->ends[1];
    append(f, 1);
}

static void run(struct feeder *f, double seconds)
{
    struct log_info before, after;
    append(f, 0);
    f->log->ops->flush(f->log, clock_now().mono);
    append(f, 1);
    log_info(f->log, &before);
    mono_t start = clock_now().mono, end = mono_add_ms(start, (int64_t)(seconds * 1000));
    while (mono_before(clock_now().mono, end))
        turn(f);
    seconds = (double)(clock_now().mono.ns - start.ns) / 1e9;
    log_info(f->log, &after);
    uint64_t groups = after.syncs - before.syncs;
    printf("{\"groups\":%llu,\"seconds\":%.4f,\"group_bytes\":%llu}\n", (unsigned long long)groups, seconds,
           (unsigned long long)((after.written_bytes - before.written_bytes) / (groups ? groups : 1)));
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: bench_log_alone DIRECTORY EVENT_SIZE EVENTS SECONDS\n");
        return 2;
    }
    mallopt(M_MMAP_THRESHOLD, 4 << 20); /* as the broker does, to avoid page faults for every group */
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
    struct feeder f = { .size = (uint32_t)strtoul(argv[2], NULL, 10), .count = strtoul(argv[3], NULL, 10) };
    f.next = f.settled = 1;
    uint8_t *bytes = calloc(1, f.size + 1u);
    f.events = calloc(f.count + 1, sizeof *f.events);
    if (!bytes || !f.events || !f.count)
        return 2;
    for (size_t i = 0; i < f.count; i++)
        f.events[i].event = span_of(bytes, f.size);
    f.log = open_log(argv[1], &f.files);
    run(&f, strtod(argv[4], NULL));
    f.log->ops->close(f.log);
    f.files->ops->close(f.files);
    free(f.events);
    free(bytes);
    return 0;
}
