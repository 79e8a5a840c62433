/* Start-up, or a dry run of it. Private to log_recover.c, log_replay.c and log_ready.c. */
#ifndef SLUICE_BROKER_LOG_RECOVER_H
#define SLUICE_BROKER_LOG_RECOVER_H

#include "broker/store/log_parts.h"

struct scan {
    struct log *log;
    const struct log_replay *replay;
    struct position at;   /* where the scan is: behind the last valid group */
    struct position from; /* what is before it, the checkpoint covers; segment 0: there is no checkpoint */
    uint64_t *ids;        /* segments on disk, ascending */
    size_t count;
    struct buf bytes;             /* of the segment being read */
    struct segment_header header; /* of the segment scanned last */
    bool key_in_file;             /* the key came from the key file */
    uint64_t durable;             /* the newest durable number that a valid group states */
    struct error *e;
};

/* Reads a whole segment into c->bytes. False with an error. */
bool recover_read(struct scan *c, uint64_t id);

/* Applies the records of one whole group of segment `s` to the log's state and tells the core. `known`: the
 * checkpoint covers them, so only their places are taken. c->bytes holds the segment. False: there is a record that
 * this version cannot read. */
bool replay_group(struct scan *c, struct segment *s, struct span records, bool known);

/* After the scan: removes files that are no longer needed, seals the last segment and begins a new one. False with an
 * error. */
bool recover_get_ready(struct scan *c);

#endif
