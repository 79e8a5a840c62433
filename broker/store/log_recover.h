/* A start, or a look at what a start would find. Private to log_recover.c, log_replay.c and log_ready.c. */
#ifndef SLUICE_BROKER_LOG_RECOVER_H
#define SLUICE_BROKER_LOG_RECOVER_H

#include "broker/store/log_parts.h"

struct scan {
    struct log *log;
    const struct log_replay *replay;
    struct position at;   /* behind the last valid group */
    struct position from; /* records before it are in the checkpoint */
    uint64_t *ids;        /* segments on disk, ascending */
    size_t count;
    struct buf bytes;             /* of the segment being read */
    struct segment_header header; /* of the segment scanned last */
    bool key_in_file;             /* the key has its file */
    uint64_t durable;             /* as the newest group says */
    struct error *e;
};

/* Reads a whole segment into c->bytes. */
bool recover_read(struct scan *c, uint64_t id);

/* Takes the records of one whole group of segment `s` into the log's state and tells the core; `known`: the
 * checkpoint has them, and only their places are wanted. `c->bytes` is the segment. False: there is one that this
 * version cannot read. */
bool replay_group(struct scan *c, struct segment *s, struct span records, bool known);

/* After the scan: removes what no longer counts, seals the last segment and begins a new one. */
bool recover_get_ready(struct scan *c);

#endif
