/* The state of --repair. Private to log_repair*.c:
 *
 *   log_repair.c         the order of the steps, and the report
 *   log_repair_new.c     writing the new log, over files that execute everything at once
 *   log_repair_copy.c    what was live as of the checkpoint
 *   log_repair_replay.c  what was logged after it */
#ifndef SLUICE_BROKER_LOG_REPAIR_H
#define SLUICE_BROKER_LOG_REPAIR_H

#include "broker/store/log_move.h"
#include "broker/store/log_walk.h"

/* A moved run of the old log, and where its record is. */
struct moved_run {
    uint64_t first, segment;
    uint32_t count, offset, size;
};

/* What the new log has of a queue. Sets of sequences: */
struct repair_queue {
    uint32_t id;
    struct ranges have;      /* known to the new log */
    struct ranges gone;      /* settled in the new log */
    struct ranges lost;      /* live as of the checkpoint, and in no whole record: an empty event stands in for each */
    struct ranges wanted;    /* live as of the checkpoint, and not found in a record yet */
    uint64_t lost_bytes;     /* at first: of all that is wanted; in the end: of what was not found */
    uint64_t next;           /* the sequence after the last event put into the new log */
    struct moved_run *moved; /* without a checkpoint: moved runs whose record comes after later events */
    size_t moved_count, moved_capacity, moved_at;
    bool sorted;   /* `moved` is sorted by sequence */
    uint64_t seen; /* used by the walk that collects them: the sequence after the last event met */
    UT_hash_handle hh;
};

struct repair {
    struct files *from, *to;
    struct files at_once; /* executes in `to` everything that is submitted */
    struct file_op *done, **last_done;
    void (*report)(void *context, const char *line);
    void *context;
    log_readable_fn *readable; /* or NULL */
    struct log *old;           /* the old log as of the checkpoint; empty without one */
    /* Where the log continues behind the checkpoint; segment 0: there is no usable checkpoint. */
    struct position position;
    struct buf state; /* the core's, copied from the checkpoint */
    struct log *new;
    struct repair_queue *queues;
    struct segment unplaced; /* stands for the place of events that have no record in the new log yet */
    struct live_filter room; /* its buffers only */
    struct buf moved;        /* buffer for the record of a moved run */
    uint64_t unpumped;       /* bytes put in since the last repair_pump */
    uint64_t damaged;        /* damaged places met */
    bool went_on;            /* the old log went on behind its checkpoint */
    bool stopped;            /* something could not be written or read, which was reported */
    int64_t clock_ms;        /* of the new log: a count of turns */
};

/* Reports one line. */
void repair_report(struct repair *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- log_repair_new.c. False: it failed, which was reported. */

bool repair_open_new(struct repair *r, const struct log_config *config);
/* Reports that there is no room for the new log, and stops the repair. */
void repair_lacks_room(struct repair *r);
/* Brings everything that was put in to disk. */
bool repair_pump(struct repair *r);
/* The same, but only once enough was put in since the last time; `bytes` more were. */
bool repair_pump_sometimes(struct repair *r, uint64_t bytes);
/* Never NULL: made when it is missing. */
struct repair_queue *repair_queue_of(struct repair *r, uint32_t id);
void repair_queue_drop(struct repair *r, struct repair_queue *k);
/* Appends the run's events in [first, end). */
bool repair_append_part(struct repair *r, const struct run_record *run, uint64_t first, uint64_t end, struct span note);
/* Appends a shared run, for all its queues. */
bool repair_share(struct repair *r, const struct shared_record *s);
/* Settles one event, unless it is settled already. */
void repair_settle_one(struct repair *r, struct repair_queue *k, uint64_t sequence, uint64_t bytes,
                       enum store_cause cause);

/* ---- log_repair_copy.c */

/* Makes everything that was live as of the checkpoint wanted. */
void repair_want(struct repair *r);
/* A walk's `record`: copies the events of the record that are wanted. */
void repair_copy_record(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec);
/* Writes empty events in place of those that were in no record, then the checkpoint. */
bool repair_copy_checkpoint(struct repair *r);

/* ---- log_repair_replay.c */

/* A walk's `record`, for a repair without a checkpoint: collects the moved runs whose record comes after later events
 * of the queue. */
void repair_note_moved(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec);
/* A walk's `record`: applies the record to the new log, unless the checkpoint covers it. */
void repair_replay_record(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec);

#endif
