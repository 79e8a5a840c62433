/* The parts of `sluice pub`: reading input (pub.c), making events of it (pub_event.c), publishing batches in order
 * until all is confirmed (pub_send.c), and a progress bar (progress.c). */
#ifndef SLUICE_CLI_PUB_H
#define SLUICE_CLI_PUB_H

#include "base/mono.h"
#include "clients/cli/cli.h"

/* Limits of a request; the sidecar's are 1,000 events and 4 MiB. */
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
    struct buf head, tail; /* parts common to all events made here: {"specversion"..."id":"RUN-  and  ","source":... */
    bool time_given;       /* as an attribute */
    uint64_t made;
    struct buf batch; /* "[event,event" */
    struct {
        size_t end;        /* in batch */
        uint64_t position; /* line, or argument */
        bool unknown;      /* an answer, or its absence, left open whether it was accepted */
    } events[PUB_BATCH_EVENTS];
    size_t count;
    const char *unit; /* of positions: "line", "argument" */
    uint64_t position, bytes_read;
    uint64_t confirmed, refused, unknown;
    uint64_t duplicates; /* of the confirmed: the queue had them before this run */
    bool failed, said_waiting;
    bool rejected; /* by a full queue whose overflow is reject */
    struct progress progress;
};

/* pub_event.c */
/* Prepares what all events share; once. False with a message if an option is wrong. */
bool pub_event_begin(struct pub *p);
/* Appends `data` to the batch as one event; false with a message if that is not possible. */
bool pub_event_add(struct pub *p, struct span data);

/* pub_send.c: publishes the batch. Afterwards it is empty; or p->failed is set, with a message, and the rest counts
 * as refused. */
void pub_flush(struct pub *p);

/* progress.c: a line on the terminal that is overwritten. Nothing if stderr is not a terminal, or within the first
 * second. */
void progress_begin(struct progress *g, uint64_t total); /* bytes; 0: not known. Messages erase the line. */
void progress_show(struct progress *g, uint64_t events, uint64_t bytes);
void progress_end(void);
/* progress_line.c: formats the line, in less than `width` columns: "[##...]  40%  400 confirmed  100/s  0:06 left".
 * elapsed_ms is not 0. If `total` or `bytes` is 0, bar and time left are omitted. */
#define PROGRESS_SIZE 256
void progress_line(uint64_t total, uint64_t bytes, uint64_t events, int64_t elapsed_ms, int width,
                   char line[PROGRESS_SIZE]);

#endif
