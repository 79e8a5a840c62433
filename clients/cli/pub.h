/* The parts of `sluice pub`: what is read (pub.c) becomes events (pub_event.c), in batches that are published in order until
 * all are confirmed (pub_send.c), with a bar on the way (progress.c). */
#ifndef SLUICE_CLI_PUB_H
#define SLUICE_CLI_PUB_H

#include "base/mono.h"
#include "clients/cli/cli.h"

/* What one request takes at most: the sidecar's limits are 1,000 events and 4 MiB. */
#define PUB_BATCH_EVENTS 1000u
#define PUB_BATCH_BYTES  (1u << 20)

struct pub_options {
    const char *type, *source, *subject, *id, *content_type, *wait;
    const char *delay, *not_before, *ttl;
    struct cli_list attributes, files;
    bool ndjson, json, topic;
};

struct progress {
    bool on;
    uint64_t total; /* bytes to read; 0: not known */
    mono_t start, shown;
};

struct pub {
    struct pub_options options;
    const char *queue;
    struct buf head, tail; /* of every event made here: {"specversion"..."id":"RUN-  and  ","source":... */
    bool time_given;       /* as an attribute */
    uint64_t made;
    struct buf batch; /* "[event,event" */
    struct {
        size_t end;        /* in batch */
        uint64_t position; /* line, or argument */
    } events[PUB_BATCH_EVENTS];
    size_t count;
    const char *unit; /* of positions: "line", "argument" */
    uint64_t position, bytes_read;
    uint64_t confirmed, refused, unknown;
    bool failed, said_waiting;
    bool rejected; /* by a queue that is full and lets nobody wait */
    struct progress progress;
};

/* pub_event.c: appends DATA to the batch as one event; false with a sentence said when it cannot be one. */
bool pub_event_begin(struct pub *p); /* once: what all events share; false when an option is wrong */
bool pub_event_add(struct pub *p, struct span data);

/* pub_send.c: publishes the batch. It is empty then, or p->failed, which was said, and the rest is counted as refused. */
void pub_flush(struct pub *p);

/* progress.c: a line on the terminal that is drawn over; nothing where stderr is none, or before it took a second. */
void progress_begin(struct progress *g, uint64_t total); /* bytes; 0: not known. What is said takes its place. */
void progress_show(struct progress *g, uint64_t events, uint64_t bytes);
void progress_end(void);
/* progress_line.c: what it shows after so long (not 0), in less than `width` columns: "[##...]  40%  400 confirmed  100/s
 * 0:06 left", without what takes knowing how many of how many bytes were read (0: not known). */
#define PROGRESS_SIZE 256
void progress_line(uint64_t total, uint64_t bytes, uint64_t events, int64_t elapsed_ms, int width,
                   char line[PROGRESS_SIZE]);

#endif
