/* --repair under way. Private to log_repair*.c:
 *
 *   log_repair.c         the order of it, and what is reported
 *   log_repair_new.c     the new log: opened over files that do everything at once, and written
 *   log_repair_copy.c    what was live as of the checkpoint
 *   log_repair_replay.c  what was logged after it */
#ifndef SLUICE_BROKER_LOG_REPAIR_H
#define SLUICE_BROKER_LOG_REPAIR_H

#include "broker/store/log_move.h"
#include "broker/store/log_walk.h"

/* A run of the old log's that was moved, and where its record is. */
struct moved_run {
    uint64_t first, segment;
    uint32_t count, offset, size;
};

/* What the new log has of a queue. */
struct repair_queue {
    uint32_t id;
    struct ranges have, gone, lost;
    struct ranges wanted; /* live as of the checkpoint, and not found yet */
    uint64_t lost_bytes;  /* first: of all that was wanted; in the end: of what was not found */
    uint64_t next;
    struct moved_run *moved; /* without a checkpoint: those that lie behind later events */
    size_t moved_count, moved_capacity, moved_at;
    bool sorted;   /* they are, once they are asked for */
    uint64_t seen; /* by the walk that notes them: behind the last event */
    UT_hash_handle hh;
};

struct repair {
    struct files *from, *to;
    struct files at_once; /* over `to` */
    struct file_op *done, **last_done;
    void (*report)(void *context, const char *line);
    void *context;
    struct log *old; /* as of the checkpoint */
    struct position position;
    struct buf state;
    struct log *new;
    struct repair_queue *queues;
    struct segment unplaced; /* of the new log: where events are that have no record yet */
    struct live_filter room;
    struct buf moved; /* the record of a run that was moved */
    uint64_t unpumped, damaged;
    bool stopped; /* something could not be written, and was said */
    int64_t clock_ms;
};

void repair_report(struct repair *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- log_repair_new.c. False: it failed, and was said. */

bool repair_open_new(struct repair *r, const struct log_config *config);
/* Says so, and that this is the end of it. */
void repair_lacks_room(struct repair *r);
/* Everything that was put in is on disk. */
bool repair_pump(struct repair *r);
/* The same, but once in a while: `bytes` more were put in. */
bool repair_pump_sometimes(struct repair *r, uint64_t bytes);
struct repair_queue *repair_queue_of(struct repair *r, uint32_t id);
void repair_queue_drop(struct repair *r, struct repair_queue *k);
/* The run's events in [first, end). */
bool repair_append_part(struct repair *r, const struct run_record *run, uint64_t first, uint64_t end, struct span note);
/* All of it, for all its queues. */
bool repair_share(struct repair *r, const struct shared_record *s);
void repair_settle_one(struct repair *r, struct repair_queue *k, uint64_t sequence, uint64_t bytes,
                       enum store_cause cause);

/* ---- log_repair_copy.c */

/* What was live as of the checkpoint is wanted. */
void repair_want(struct repair *r);
/* A walk's `record`: writes what is wanted of it. */
void repair_copy_record(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec);
/* Writes what was in no record, and then the checkpoint. */
bool repair_copy_checkpoint(struct repair *r);

/* ---- log_repair_replay.c */

/* A walk's `record`, without a checkpoint: notes what was moved and lies behind later events of its queue. */
void repair_note_moved(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec);
/* A walk's `record`: does again what it says, unless the checkpoint has it. */
void repair_replay_record(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec);

#endif
