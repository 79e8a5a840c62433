/* The write-ahead log of all durable queues: a store (store.h) over a directory of files (files.h). Pure except for
 * `files`: it knows no thread, clock or descriptor, so the simulator runs it over a simulated disk.
 *
 * Everything put in during one loop turn becomes one group. A group is written and synced while the next one gathers,
 * so whatever arrives during a sync shares the next sync. Completions follow the write or the sync (enum log_sync),
 * in order.
 *
 * Files: segments "SSSSSSSSSSSSSSSS.log" by number, "checkpoint", "log.key", and the lock file of whoever holds the
 * directory. Format and rules: docs/log-format.md. */
#ifndef SLUICE_BROKER_LOG_H
#define SLUICE_BROKER_LOG_H

#include "broker/store/files.h"
#include "broker/store/store.h"

enum log_sync {
    LOG_SYNC_GROUP,    /* a group completes after its sync */
    LOG_SYNC_INTERVAL, /* a group completes after its write; a sync every sync_interval_ms */
    LOG_SYNC_NONE,     /* a group completes after its write; the system syncs when it likes */
};

#define LOG_KEY_SIZE 16u

struct log_config {
    uint64_t segment_size;     /* bytes; default 32 MiB */
    uint64_t disk_budget;      /* bytes of all files; beyond it appends answer STORE_FULL; default: none */
    enum log_sync sync;        /* default LOG_SYNC_GROUP */
    int64_t sync_interval_ms;  /* for LOG_SYNC_INTERVAL; default 100 */
    int64_t lazy_ms;           /* settlements without company are written after at most this long; default 5 */
    uint8_t key[LOG_KEY_SIZE]; /* secret and random; used by a new log only, an existing one keeps its own */
    /* Per queue: bytes of events kept in memory besides the disk, beyond which `keep` is ignored; default 4 MiB. */
    uint64_t cache_bytes;
};

/* The smallest disk_budget with which the log takes events: five segments. */
uint64_t log_least_budget(uint64_t segment_size);
/* Fills in the defaults, except the key. */
void log_config_defaults(struct log_config *c);

/* What recovery tells the core, in the order in which it happened. Arguments are borrowed for the call; any callback
 * may be NULL. */
struct log_replay {
    void *context;
    /* First of all, if there is a checkpoint: the state that `snapshot` wrote. False: this version cannot read it. */
    bool (*restore)(void *context, struct span state);
    /* Events were accepted; `run` has no events, only their count; `bytes` is their size in total. */
    void (*run)(void *context, const struct store_run *run, uint64_t bytes);
    /* `count` live events of a range that begins at `first` were settled. */
    void (*settled)(void *context, uint32_t queue, enum store_cause cause, uint64_t first, uint64_t count);
    void (*note)(void *context, struct span bytes);
};

/* What the log asks of the core while it runs. */
struct log_owner {
    void *context;
    /* Appends the core's state to `out`: with everything that was put into the log so far, placed or not. */
    void (*snapshot)(void *context, struct buf *out);
};

/* Opens the log in `files` (borrowed; must outlive it), recovers and replays; blocking. NULL with an error that names
 * file and offset when the directory is damaged, was written by a newer version, or cannot be read or written. */
struct store *log_open(const struct log_config *config, struct files *files, const struct log_replay *replay,
                       struct error *e);
/* To be set before the first `flush`: checkpoints contain no state of the core without it. */
void log_set_owner(struct store *s, const struct log_owner *owner);
/* Until the next call: may `flush` wait for a small write and sync itself, where that is faster than a hand-over to
 * another thread and back (log_wait.c)? Allow it only while nobody else needs the calling thread. The next poll
 * reports what was waited for. */
void log_may_wait(struct store *s, bool may);
/* True when the next poll reports newly durable tickets, or the failure. */
bool log_has_news(const struct store *s);

/* After recovery: calls `visit` with the queue's live sequences [first, end) in order; *bytes: the size of their
 * events. */
void log_each_live(struct store *s, uint32_t queue, void (*visit)(void *context, uint64_t first, uint64_t end),
                   void *context, uint64_t *bytes);

/* After a completion with STORE_FAILED: what failed, with file and offset. "" before. Valid as long as the store. */
const char *log_failure(const struct store *s);

struct log_info {
    uint64_t segments, disk_bytes, live_bytes, disk_budget;
    /* Counted since the start. */
    uint64_t groups, group_bytes, event_bytes;
    uint64_t written_bytes; /* to files: groups, tables, checkpoints, moved events */
    uint64_t syncs, checkpoints, moved_events, freed_segments;
    uint64_t carried_groups; /* became durable in a checkpoint, because no segment had a place for them */
    bool carries;            /* a checkpoint that carries some is being written */
    bool torn;               /* recovery cut off a torn tail */
    bool unclean;            /* recovery found more than the last checkpoint: the stop before was not an orderly one */
};
void log_info(const struct store *s, struct log_info *out);
/* True when there was no room for another segment at the last try: the budget is used up, or the file system is full.
 * While it is false, STORE_FULL only means that the disk is behind. */
bool log_is_full(const struct store *s);

/* Aborts with a message unless every count agrees with what it counts. For tests. */
void log_validate(const struct store *s);

/* ---- offline: --check (log_check.c) and --repair (log_repair.c). Both block. */

/* The names of queues, for reports. */
struct log_names {
    void *context;
    /* Shown every snapshot and note of the core, in order. */
    void (*words)(void *context, struct span words);
    /* The queue's name; "" when no snapshot or note told it. */
    const char *(*name)(const void *context, uint32_t queue);
};

/* Whether a start could read that snapshot of the core. NULL instead of one: it is not asked. */
typedef bool log_readable_fn(struct span state);

/* Reads everything that was written to the directory and calls `report` with one line for each segment, each queue's
 * events and each damage (with file and offset). True: undamaged; a torn tail is no damage. Changes nothing. `names`
 * may be NULL. */
bool log_check(struct files *files, const struct log_names *names, log_readable_fn *readable,
               void (*report)(void *context, const char *line), void *context);
/* Copies every whole record of `from` to a new log with the given key in the empty directory `to`, and reports what
 * was lost, by queue and sequence. A checkpoint whose snapshot is not readable counts as damaged. True: `to` is
 * complete, however much was lost. False: it is not, which was reported; empty it and start over. */
bool log_repair(struct files *from, struct files *to, const uint8_t key[LOG_KEY_SIZE], log_readable_fn *readable,
                void (*report)(void *context, const char *line), void *context);

#endif
