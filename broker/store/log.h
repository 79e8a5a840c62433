/* The write-ahead log of all durable queues: a store (store.h) over a directory of files (files.h). Pure but for
 * `files`: it knows no thread, clock or descriptor, so the simulator runs it over a disk of its own.
 *
 * Everything put in during one loop turn becomes one group; a group is written and synced while the next one gathers,
 * so what arrives during a sync shares the next. Completions come after the sync (log_sync), in order.
 *
 * Files: "SSSSSSSSSSSSSSSS.log" segments by number, "checkpoint", "log.key", and the lock of whoever holds the
 * directory. docs/log-format.md. */
#ifndef SLUICE_BROKER_LOG_H
#define SLUICE_BROKER_LOG_H

#include "broker/store/files.h"
#include "broker/store/store.h"

enum log_sync {
    LOG_SYNC_GROUP,    /* a completion follows the sync of its group */
    LOG_SYNC_INTERVAL, /* a completion follows the write; a sync every sync_interval_ms */
    LOG_SYNC_NONE,     /* a completion follows the write; the system syncs when it likes */
};

#define LOG_KEY_SIZE 16u

struct log_config {
    uint64_t segment_size; /* bytes; 32 MiB */
    uint64_t disk_budget;  /* bytes of all files; appends answer STORE_FULL beyond it */
    enum log_sync sync;
    int64_t sync_interval_ms;
    int64_t lazy_ms;           /* settlements alone are written after this long; 5 */
    uint8_t key[LOG_KEY_SIZE]; /* secret and random, for a log that is new; one that exists keeps its own */
    uint64_t cache_bytes; /* of one queue's events kept in memory beside the disk before `keep` is ignored; 4 MiB */
};

/* The least disk_budget with which events are taken. */
uint64_t log_least_budget(uint64_t segment_size);
/* The defaults; the owner then overrides. */
void log_config_defaults(struct log_config *c);

/* What recovery tells the core, in the order in which it happened. All borrowed for the call; any may be NULL. */
struct log_replay {
    void *context;
    /* First of all, when there was a checkpoint: the state that `snapshot` wrote. False: this version cannot read it.
     */
    bool (*restore)(void *context, struct span state);
    /* Events were accepted; `bytes` is the sum of their sizes. */
    void (*run)(void *context, const struct store_run *run, uint64_t bytes);
    void (*settled)(void *context, uint32_t queue, enum store_cause cause, uint64_t first, uint64_t count);
    void (*note)(void *context, struct span bytes);
};

/* What the log asks of the core while it runs. */
struct log_owner {
    void *context;
    /* Appends the core's state, everything that was put into the log so far included. */
    void (*snapshot)(void *context, struct buf *out);
};

/* Opens the log in `files` (borrowed; must outlive it): recovers, replays, and is ready. NULL with a sentence that
 * names file and offset when the directory is damaged, of a newer version, or cannot be read. */
struct store *log_open(const struct log_config *config, struct files *files, const struct log_replay *replay,
                       struct error *e);
void log_set_owner(struct store *s, const struct log_owner *owner);
/* Until it is said otherwise: may `flush` wait for the disk, where that is quicker than to be told by another thread?
 * Nobody else needs the caller meanwhile. What was waited for is told by the next poll. */
void log_may_wait(struct store *s, bool may);
/* Has the next poll something to tell that is durable? */
bool log_has_news(const struct store *s);

/* After recovery: calls `visit` with the queue's live sequences in order; *bytes of their events. */
void log_each_live(struct store *s, uint32_t queue, void (*visit)(void *context, uint64_t first, uint64_t end),
                   void *context, uint64_t *bytes);

/* What failed, once a completion said STORE_FAILED: a sentence with file and offset. "" before. */
const char *log_failure(const struct store *s);

struct log_info {
    uint64_t segments, disk_bytes, live_bytes, disk_budget;
    uint64_t groups, group_bytes, event_bytes; /* written since the start */
    uint64_t written_bytes;                    /* to files since the start: groups, tables, checkpoints, moved events */
    uint64_t syncs, checkpoints, moved_events, freed_segments;
    uint64_t carried_groups; /* that found no place and are in a checkpoint instead */
    bool carries;            /* a checkpoint with some of them is on its way */
    bool torn;               /* recovery cut a torn tail */
    bool unclean;            /* recovery found more than the last checkpoint: the stop before was no orderly one */
};
void log_info(const struct store *s, struct log_info *out);
/* Was there no room for another segment, when it was last tried? Else who finds no room waits for a disk that is
 * behind. */
bool log_is_full(const struct store *s);

/* Aborts with a line unless every count agrees with what it counts. For tests. */
void log_validate(const struct store *s);

/* ---- offline (log_check.c) */

/* Who knows what queues are called: it is told the core's words, snapshot and notes, and answers "" where they do not
 * say. */
struct log_names {
    void *context;
    void (*words)(void *context, struct span words);
    const char *(*name)(const void *context, uint32_t queue);
};

/* Reads every byte of the directory and reports to `report`, a line each: segments, events by queue, damage with file
 * and offset. True: whole (a torn tail is whole). Changes nothing. `names` may be NULL. */
bool log_check(struct files *files, const struct log_names *names, void (*report)(void *context, const char *line),
               void *context);
/* Copies every whole record of `from` into the empty directory `to`, whose log gets the key, and reports what was
 * lost, by queue and sequence. */
bool log_repair(struct files *from, struct files *to, const uint8_t key[LOG_KEY_SIZE],
                void (*report)(void *context, const char *line), void *context);

#endif
