/* The log's state. Private to broker/store/log*.c; what its files offer each other is in log_parts.h.
 *
 * The way of an event:
 *
 *   append            it goes into the open group                                        log.c, log_share.c
 *   group_commit      the groups get their places in the active segment (or a new one)   log_group.c, log_room.c
 *   flush … poll      the disk writes and syncs; the ticket completes                    log_group.c, log_turn.c
 *   load              what was not kept in memory is read back for delivery              log_load.c
 *   settle            a settlement joins the next group                                  log_settle.c
 *   checkpoint        segments in which nothing is live any more are freed               log_checkpoint.c
 *   compaction        the last live events of mostly dead segments are moved             log_compact.c
 *
 * The files:
 *
 *   log.c               the store's calls; opening and closing
 *   log_share.c         the call for events that several queues take (a topic's)
 *   log_settle.c        the calls by which events leave
 *   log_turn.c          the loop's turn: what the disk did, what is due, what the core is told
 *
 *   log_group.c         groups: gathered, placed in segments, written, synced; tickets
 *   log_room.c          who may use the room that is left, when it becomes scarce
 *   log_carry.c         groups that find no place in a segment and become durable in a checkpoint
 *   log_wait.c          whether the loop waits for a small sync itself
 *
 *   log_segments.c      segments; extents: where each queue's events are
 *   log_shared_runs.c   runs of several queues in the active segment
 *   log_spares.c        segment files: allocated ahead, removed
 *   log_recycle.c       segment files: used again
 *   log_pad.c           zeros behind what is written
 *   log_load.c          reading backlog
 *   log_checkpoint.c    writing checkpoints, freeing segments; log_checkpoint_read.c reads one
 *   log_compact.c       moving live events out of mostly dead segments (log_move.h); log_plan.c chooses and measures
 *                       the segment, log_stretch.c splits its runs
 *
 *   log_recover.c       start-up (log_recover.h); log_replay.c applies records, log_ready.c gets ready to write
 *   log_key.c           the secret key, and segment headers with it
 *   log_check.c         --check, offline (log_walk.h); log_walk.c reads segments, damaged or not
 *   log_repair*.c       --repair, offline (log_repair.h)
 *   log_validate.c      invariants, for tests
 *
 *   log_format.c        the codec (log_format.h); log_records.c, log_records_shared.c and log_table.c: its records
 *
 * Ownership: the log owns all of it. A group's buffer passes to the write operation that carries it. */
#ifndef SLUICE_BROKER_LOG_STATE_H
#define SLUICE_BROKER_LOG_STATE_H

#include "broker/store/log.h"
#include "broker/store/log_format.h"

#include <uthash.h>

#define GROUP_BYTES    (4u << 20) /* a group that is larger is closed; so it can be larger by one record */
#define SPARES         3u         /* segments allocated ahead */
#define RESERVED       2u /* spares not for events: one for settlements, moves and notes, one for a checkpoint's sake */
#define RECYCLABLE_MAX 2u /* freed segments' files that are kept to become spares */
#define NO_OFFSET      UINT64_MAX
#define LOG_KEY_FILE   "log.key"
#define LOAD_BYTES_MAX (4u << 20)
/* Instead of a queue in a table_entry: the entry stands for a shared run, and its `first` is the index in
 * segment.shares. */
#define SHARED_MARK UINT32_MAX

_Static_assert(LOG_KEY_SIZE == SEGMENT_KEY_SIZE, "the log's key is that in its segments' headers");

/* ------------------------------------------------------------------ segments */

/* Where a shared run is in the active segment. */
struct shared_place {
    uint32_t offset, size, count;
    /* Its targets, encoded in segment.share_targets: those of an earlier run that this one continues in every queue,
     * `past` events later; or its own, with `past` 0. */
    uint32_t target_count, targets_at, targets_size;
    uint64_t past;
};

struct segment {
    uint64_t id;
    uint64_t size;    /* bytes placed in it, written or not */
    uint64_t written; /* bytes that a read finds */

    /* Until it is sealed: every run in it. Settled ones, too, because a crash may lose the settlements. */
    struct table_entry *table;
    uint32_t table_count, table_capacity;
    struct shared_place *shares; /* the shared ones; `table` has an entry with SHARED_MARK for each, in order */
    uint32_t share_count, share_capacity;
    struct buf share_targets;

    bool sealed;
    uint32_t table_at, table_size; /* sealed: where its TABLE record is */

    /* A shared event counts once for each queue. The segment can be freed when no event in it is live. */
    uint64_t all_events; /* ever placed here */
    uint64_t live_events, live_bytes;

    uint64_t file_bytes; /* its file, as disk use counts it: segment_size, or less where segments were smaller once */
    uint64_t prewritten; /* bytes of the file that were written before, as zeros or in its earlier use */
    bool begun_here;     /* begun since the start, so its file has the configured size */

    /* For compaction (log_plan.c): what the last reading of its table found. */
    uint64_t measured_bytes;  /* of records that some queue wants, each once … */
    uint64_t measured_events; /* … when so many events were live; 0: never measured */
    uint64_t measured_cost;   /* bytes that moving them would take elsewhere */
    bool too_costly;          /* moving would write nearly as much as it frees */
    bool no_place;            /* it was to be emptied, and there was no place for what would be moved */
    uint64_t watched_events;  /* live events when it was last checked whether the segment is idle */
};

/* A range of one queue's sequences in one segment. Some of the events may be settled (log_queue.settled). */
struct extent {
    uint64_t first, end; /* sequences [first, end) */
    struct segment *segment;
    uint64_t live, live_bytes; /* live_bytes: approximate where a settled range crossed extents */
    /* Where its runs are, ascending: known in the active segment, and while a sealed one is being loaded from; else
     * NULL. */
    struct table_entry *runs;
    uint32_t run_count, run_capacity;
    /* Active segment, with shared runs: `runs` lacks what the segment's table has from `next_table_run` on, until it
     * is wanted (log_shared_runs.c). */
    bool runs_incomplete;
    uint32_t next_table_run;
};

/* ------------------------------------------------------------------ queues */

/* One queue's settlements that are in no group yet, in order. */
struct unwritten {
    struct settled_range *ranges;
    uint32_t count, capacity;
    uint32_t events;
};

struct log_queue {
    uint32_t id;
    struct extent *extents; /* ascending, disjoint */
    uint32_t extent_count, extent_capacity;
    struct ranges settled;     /* settled sequences within the extents, and of events that are not placed yet */
    uint64_t placed_end;       /* the sequence after the last event that has a place */
    uint64_t live, live_bytes; /* with unplaced events */
    uint64_t cached_bytes;     /* of its events in memory */
    uint32_t unsettled;        /* settlements that are not durable yet … */
    struct unwritten fresh;    /* … and those of them that are in no group yet */
    struct log_queue *fresh_next;
    bool listed; /* in log->fresh */
    UT_hash_handle hh;
};

/* ------------------------------------------------------------------ groups */

struct group_settled {
    uint32_t queue, count;
};

/* A run in a group that has no place yet. */
struct group_run {
    struct table_entry entry; /* offset: within the group's records; queue: SHARED_MARK for a shared run */
    uint64_t bytes;           /* of its events */
    bool moved;               /* copied by compaction */
    /* Shared: its targets, encoded in group.targets; else target_count is 0. */
    uint32_t target_count;
    size_t targets_at, targets_size;
};

struct group {
    uint64_t number; /* its ticket */
    struct buf records;
    struct group_run *runs;
    size_t run_count, run_capacity;
    struct buf targets;
    size_t table_bytes; /* the most that its runs will take in the segment's table */
    struct group_settled *settled;
    size_t settled_count, settled_capacity;
    bool urgent;     /* somebody waits for it: commit without delay */
    bool has_events; /* it has newly accepted events, which need a place in a segment */
    struct group *next;
};

/* ------------------------------------------------------------------ loads */

/* A request for backlog: first a sealed segment's table is read, then the runs. */
struct load {
    uint32_t queue;
    uint64_t from, bytes, tag;
    enum { LOAD_WAITS, LOAD_TABLE, LOAD_RUNS, LOAD_READY } state;
    struct segment *segment;
    uint64_t table_read;      /* id of the segment whose table was read for it */
    uint64_t base;            /* offset in the file of the bytes being read */
    struct table_entry *runs; /* the runs to take from these bytes */
    uint32_t run_count;
    struct store_loaded *events; /* the result */
    size_t count;
    struct load *next;
};

/* ------------------------------------------------------------------ the log */

/* A place in the log, with the number and the chain of the group before it. */
struct position {
    uint64_t segment, offset, number, chain;
};

struct log {
    struct store base;
    struct log_config config;
    struct files *files;
    struct store *cache; /* a memory store: the bytes of events that are kept or loaded */
    struct log_owner owner;
    mono_t now; /* of the last flush */
    bool keyed; /* config.key was found in the directory */

    /* segments and their files */
    struct segment **segments; /* by id; the last one is active */
    uint32_t segment_count, segment_capacity;
    uint64_t segment_bytes;              /* sum of their file_bytes */
    uint32_t spares;                     /* segments allocated ahead: ids active + 1, active + 2, … */
    bool spare_pending;                  /* the next one is being allocated */
    mono_t spare_again;                  /* when to try again after an allocation found no room */
    bool no_room;                        /* the last try to get a segment found no room */
    uint64_t recycled;                   /* which spares have a recycled file: a bit for each, by id modulo 64 */
    uint64_t recyclable[RECYCLABLE_MAX]; /* ids of freed segments whose files wait to become spares */
    uint32_t recyclable_count;
    uint64_t *leftovers; /* ids of files that could not be removed because there was no room for it */
    uint32_t leftover_count;
    uint32_t removing; /* removals under way */
    mono_t remove_again;

    /* groups, ascending by number: in flight (placed, not durable), closed, open */
    struct group *in_flight, *last_in_flight;
    struct group *first_closed, *last_closed; /* full, waiting for a place */
    struct group *open;                       /* gathering; NULL: none was begun */
    uint64_t closed_bytes;                    /* what the closed groups will take in a segment, table included */
    uint64_t next_number;                     /* of the next group to be opened */
    uint64_t placed;                          /* the last group that has a place … */
    uint64_t chain;                           /* … and its chain */
    uint64_t written;                         /* the last group whose write is done */
    uint64_t durable;                         /* the last group that completions may report, by config.sync */
    uint64_t synced;                          /* the last group that is known to be synced */
    uint64_t reported;                        /* the durable ticket that the core was told last */
    size_t usual_group;                       /* bytes of the last group: the next one's buffer is made as large */

    /* the commit under way: one at a time */
    bool committing;
    uint32_t changes;        /* its operations that are not done */
    uint64_t commit_through; /* its last group */
    uint64_t commit_bytes;
    bool may_wait; /* log_may_wait() */
    /* log_wait.c */
    uint32_t calm_syncs;    /* since the last stall, up to now */
    uint64_t usual_sync_ns; /* smoothed duration of a sync with the writes before it */
    uint64_t sync_ns;       /* of the writes since the last sync */
    bool sync_waits;        /* LOG_SYNC_INTERVAL: something was written since the last sync */
    mono_t next_sync;

    struct log_queue *queues;
    struct log_queue *last_queue; /* the one looked up last: consecutive runs are mostly of one queue */
    struct log_queue *fresh;      /* list of those with settlements that are in no group yet */
    mono_t lazy_since;            /* when the oldest of these came; MONO_NEVER: there are none */

    struct load *loads, *last_load; /* the first one is being worked off */
    struct load *ready_loads;       /* for the core to poll */
    struct load *polled;            /* polled last; freed with the next poll */

    /* checkpoints */
    bool checkpointing;
    uint64_t since_checkpoint; /* bytes logged since the last one */
    uint64_t checkpoint_size;
    mono_t last_checkpoint;
    uint64_t *freeing; /* ids of segments to free once the checkpoint is durable */
    uint32_t freeing_count;
    bool checkpoint_starved; /* there was no room for it; a spare or a recyclable file was given up */
    mono_t checkpoint_again;
    /* The checkpoint being written carries the waiting groups up to this one (log_carry.c); 0: none. */
    uint64_t carry_through;
    /* Groups carried since the start. They are in no segment, so a number on disk is a ticket minus this. */
    uint64_t carried;

    /* compaction */
    struct segment *victim;   /* the segment being measured or emptied; NULL: none */
    struct plan *plan;        /* for it; NULL: its table is being read */
    bool moving;              /* something of it is being read, or written elsewhere */
    uint64_t move_ticket;     /* the last group with events of that part; 0: none yet */
    mono_t exhausted_since;   /* since when events wait for room and no segment was freed; MONO_NEVER: they do not */
    struct plan *active_plan; /* measures the active segment (plan_measure_active) … */
    bool measuring_active;    /* … and wants another turn for it */

    bool stopping;
    bool final_checkpoint;    /* the checkpoint of the orderly end was begun */
    bool no_final_checkpoint; /* … and there is no room for it: the end goes without */
    bool failed;              /* the disk failed: no new work is begun */
    char failure[256];
    struct log_info info;
};

static inline struct log *log_self(struct store *s)
{
    return (struct log *)(void *)s;
}

/* file_op.tag: whose operation it is. */
enum op_tag { TAG_COMMIT, TAG_SPARE, TAG_LOAD, TAG_CHECKPOINT, TAG_REMOVE, TAG_SYNC, TAG_COMPACT };

#endif
