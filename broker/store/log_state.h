/* The log's state and what its files offer each other. Private to broker/store/log*.c.
 *
 *   log.c             the store's calls, life
 *   log_settle.c      how events leave
 *   log_turn.c        the loop's turn: what the disk did, what is due, what the core is told
 *   log_group.c       groups: gathering, placing in segments, writing, syncing; tickets; log_room.c for whom there is room
 *   log_pad.c         zeros behind what is written
 *   log_spares.c      segments' files: allocated ahead, removed; log_recycle.c used again
 *   log_segments.c    segments, and where each queue's events are (extents)
 *   log_share.c       what several queues take; log_shared_runs.c where it is in the active segment
 *   log_load.c        reading backlog
 *   log_checkpoint.c  checkpoints, and the segments they free; log_carry.c groups that find no place but in one
 *   log_compact.c     moving stragglers out of segments that are mostly dead; log_move.h: log_plan.c which, log_stretch.c what of a run
 *   log_recover.c     start-up; log_replay.c its records, log_ready.c its last step
 *   log_key.c         the secret key, segments' headers with it
 *   log_validate.c    what always holds, for tests
 *   log_check.c       offline: --check; log_repair*.c --repair; log_walk.c reads for them
 *
 * Ownership: the log owns all of it; a group's buffer passes to the write operation that carries it. */
#ifndef SLUICE_BROKER_LOG_STATE_H
#define SLUICE_BROKER_LOG_STATE_H

#include "broker/store/log.h"
#include "broker/store/log_format.h"

#include <uthash.h>

#define GROUP_BYTES    (4u << 20) /* a group is closed beyond this; one record may pass it */
#define SPARES         3u         /* segments allocated ahead */
#define RESERVED       2u /* of them not for events: one for settling, moving and notes, one for a checkpoint's sake */
#define RECYCLABLE_MAX 2u /* freed segments' files that are kept to become spares */
#define NO_TICKET      0u
#define NO_OFFSET      UINT64_MAX
#define LOG_KEY_FILE   "log.key"
#define LOAD_BYTES_MAX (4u << 20)
#define SHARED_MARK                                                                                                    \
    UINT32_MAX /* instead of a queue, in a table_entry: a shared run, `first` is its number in segment.shares */

_Static_assert(LOG_KEY_SIZE == SEGMENT_KEY_SIZE, "the log's key is that in its segments' headers");

/* A shared run's place in the active segment. */
struct shared_place {
    uint32_t offset, size, count;
    uint32_t target_count, targets_at, targets_size; /* in segment.share_targets: those of the first run … */
    uint64_t past; /* … of which it is the continuation in each queue, so many events behind */
};

struct segment {
    uint64_t id;
    uint64_t size;    /* bytes written, or placed and on their way */
    uint64_t written; /* bytes that a read finds */
    struct table_entry
        *table; /* while it is not sealed: every run in it, settled or not: a crash may lose settlements */
    uint32_t table_count, table_capacity;
    struct shared_place *shares; /* of it; the table has a mark for each, in order */
    uint32_t share_count, share_capacity;
    struct buf share_targets; /* encoded */
    uint64_t all_events;      /* ever placed here: a shared one once for each queue */
    bool sealed;
    uint64_t file_bytes; /* its bytes, as far as they count: a segment's, or fewer where segments were smaller once */
    uint64_t prewritten; /* bytes of the file that were written, be it as zeros or in an earlier life */
    bool begun_here;     /* begun since the start: its file has the size that a segment has by this configuration */
    uint32_t table_at, table_size;    /* of the TABLE record in a sealed segment */
    uint64_t live_events, live_bytes; /* as all_events: nobody wants the segment any more when they are 0 */
    /* What was found when its table was last read for that: bytes of records that somebody wants, once each, when so
     * many events were live; 0: never. */
    uint64_t measured_bytes, measured_events;
    uint64_t measured_cost;  /* … and what emptying it would take elsewhere */
    bool too_costly;         /* it would write nearly as much as it frees */
    bool no_place;           /* it was to be emptied, and there was no place for that */
    uint64_t watched_events; /* live when it was last looked whether it rests */
};

/* A stretch of one queue's events in one segment. Some of them may be settled (log_queue.settled). */
struct extent {
    uint64_t first, end; /* sequences [first, end) */
    struct segment *segment;
    uint64_t live, live_bytes; /* bytes: about, where ranges were settled across extents */
    struct table_entry *runs;  /* ascending; of the active segment, or read back for loading; else NULL */
    uint32_t run_count, run_capacity;
    bool runs_incomplete; /* active segment: it holds shared runs; `runs` lacks what the table has from `tabled` on */
    uint32_t next_table_run; /* (log_shared_runs.c) */
};

/* One queue's settlements that are not in a group yet, in order. */
struct unwritten {
    struct settled_range *ranges;
    uint32_t count, capacity;
    uint32_t events;
};

struct log_queue {
    uint32_t id;
    struct extent *extents; /* ascending, disjoint */
    uint32_t extent_count, extent_capacity;
    struct ranges settled;     /* within extents, and of events that are not placed yet */
    uint64_t placed_end;       /* behind the last event that has a place */
    uint64_t live, live_bytes; /* unplaced ones included */
    uint64_t cached_bytes;     /* of its events in memory */
    uint32_t unsettled;        /* settlements not durable yet */
    struct unwritten fresh;    /* those not even in a group */
    struct log_queue *fresh_next;
    bool listed; /* in log->fresh */
    UT_hash_handle hh;
};

struct group_settled {
    uint32_t queue, count;
};

/* A run inside a group that was not placed yet. */
struct group_run {
    struct table_entry entry; /* offset within the group's records; of a shared one: queue is SHARED_MARK */
    uint64_t bytes;
    bool moved;
    uint32_t target_count; /* shared: how many, and where they are in group.targets, encoded */
    size_t targets_at, targets_size;
};

struct group {
    uint64_t number; /* its ticket */
    struct buf records;
    struct group_run *runs;
    size_t run_count, run_capacity;
    struct buf targets;
    size_t table_bytes; /* the most that its runs take in a table */
    struct group_settled *settled;
    size_t settled_count, settled_capacity;
    bool urgent;     /* somebody waits for it */
    bool has_events; /* runs that were not there before: they need a place */
    struct group *next;
};

/* A read on its way: first a segment's table, then the runs. */
struct load {
    uint32_t queue;
    uint64_t from, bytes, tag;
    enum { LOAD_WAITS, LOAD_TABLE, LOAD_RUNS, LOAD_READY } state;
    struct segment *segment;
    uint64_t table_read;      /* the segment whose table was read */
    uint64_t base;            /* file offset of what was read */
    struct table_entry *runs; /* what of it is wanted */
    uint32_t run_count;
    struct store_loaded *events; /* ready */
    size_t count;
    struct load *next;
};

struct log {
    struct store base;
    struct log_config config;
    struct files *files;
    struct store *cache; /* the bytes of events that are in memory */
    struct log_owner owner;
    mono_t now;
    bool keyed; /* config.key is what the directory says */

    struct segment **segments; /* by id; the last is active */
    uint32_t segment_count, segment_capacity;
    uint64_t segment_bytes; /* of their files */
    uint32_t spares;        /* allocated segments beyond the active one: ids active + 1 … */
    bool spare_pending;     /* the next one is being allocated */
    mono_t spare_again;     /* an allocation failed for want of room: the next try */
    bool no_room;
    uint64_t recyclable[RECYCLABLE_MAX]; /* ids of freed segments whose files wait to become spares */
    uint32_t recyclable_count;
    uint64_t recycled;   /* spares whose files were other segments': a bit each, by id modulo 64 */
    uint64_t *leftovers; /* ids of files that could not be removed for want of room */
    uint32_t leftover_count;
    uint32_t removing; /* removals under way */
    mono_t remove_again;
    uint64_t chain;            /* of the group placed last */
    uint64_t next_number;      /* of the next group to be opened */
    uint64_t placed;           /* number of the group placed last */
    uint64_t written, durable; /* durable: what completions say, by config.sync */
    uint64_t synced;
    struct group *open, *first_closed, *last_closed; /* open: gathering; closed: full, to be placed */
    uint64_t closed_bytes;                           /* that the closed ones take, with their share of a table */
    struct group *in_flight, *last_in_flight;        /* placed, not durable */
    uint32_t changes;                                /* changes submitted and not done that belong to the commit */
    uint64_t commit_through;                         /* its last group */
    uint64_t commit_bytes;                           /* of it */
    bool committing;
    bool may_wait;        /* says the owner */
    uint32_t quick_syncs; /* in a row, up to now (log_wait.c) */
    bool sync_waits;      /* interval: something was written since the last sync */
    mono_t next_sync;

    size_t usual_group; /* bytes of the newest: the next one's buffer has room for as many at once */
    struct log_queue *queues;
    struct log_queue *last_queue; /* the one asked for last: runs of one queue are the rule */
    struct log_queue *fresh;      /* with settlements not in a group */
    mono_t lazy_since;            /* of the oldest of them; MONO_NEVER: none */
    uint64_t reported;            /* durable ticket last given to the core */
    struct load *loads, *last_load;
    struct load *ready_loads; /* completed for the core, freed with the next poll */
    struct load *polled;

    /* checkpoints */
    bool checkpointing;
    uint64_t since_checkpoint; /* log bytes */
    uint64_t checkpoint_size;
    mono_t last_checkpoint;
    uint64_t *freeing; /* ids, to be removed once the checkpoint is durable */
    uint32_t freeing_count;
    /* The checkpoint on its way carries the waiting groups up to this one (log_carry.c); 0: none. */
    uint64_t carry_through;
    uint64_t carried; /* groups since the start that are in no segment: a number on disk is a ticket without them */
    bool checkpoint_starved; /* there was no room for it: a spare is given up */
    mono_t checkpoint_again;

    /* compaction */
    struct segment *victim;   /* being emptied, or looked at for that */
    struct plan *plan;        /* for it */
    mono_t exhausted_since;   /* room has been out, and no segment was freed; MONO_NEVER: it is not */
    struct plan *active_plan; /* of the active segment, see plan_measure_active … */
    bool measuring_active;    /* … which wants another turn */
    bool moving;              /* something of it is being read, or a part written elsewhere */
    uint64_t move_ticket;     /* of the part that is being written; 0: none */

    bool stopping, final_checkpoint; /* final_checkpoint: the last checkpoint was started */
    bool failed;
    char failure[256];
    struct log_info info;
};

static inline struct log *log_self(struct store *s)
{
    return (struct log *)(void *)s;
}

enum op_tag { TAG_COMMIT, TAG_SPARE, TAG_LOAD, TAG_CHECKPOINT, TAG_REMOVE, TAG_SYNC, TAG_COMPACT };

/* log.c */
struct log_queue *log_queue_of(struct log *l, uint32_t id, bool make);
void log_queue_drop(struct log *l, struct log_queue *q); /* with everything it holds */
void log_submit(struct log *l, enum file_kind kind, const char *name, uint64_t offset, uint64_t size, struct buf *data,
                uint64_t tag);
void log_rename(struct log *l, const char *name, const char *to, uint64_t tag);
void log_fail(struct log *l, const char *what, const char *name, uint64_t offset, const char *why);
struct log *log_new(const struct log_config *config, struct files *files);
void log_free(struct log *l);

/* For log_share.c: one run in the open group; the answer to what was put in. */
void log_put_run(struct log *l, struct group *g, const struct store_run *run, uint64_t bytes);
uint64_t log_bytes_of(const struct store_event *events, size_t count);
enum store_status log_accepted(struct group *g, uint64_t *ticket);

/* log_share.c: see store.h */
enum store_status log_share(struct store *store, struct store_share *share, uint64_t *ticket);

/* log_settle.c: of the store's calls, see store.h */
void log_release(struct store *store, uint32_t queue, store_locator at);
void log_settle(struct store *store, uint32_t queue, uint64_t sequence, store_locator at, uint32_t size,
                enum store_cause cause);
/* The same within a group, beside what enters another queue by the same step: a group is there as a whole or not at
 * all. */
void log_settle_in_group(struct log *l, struct group *g, const struct store_leaving *e);
void log_settle_rest(struct store *store, uint32_t queue, uint64_t from, uint64_t bytes, enum store_cause cause);
void log_forget(struct store *store, uint32_t queue);
/* Gives up an event's bytes in memory; `q` may be NULL, `at` 0. */
void log_uncache(struct log *l, struct log_queue *q, uint32_t queue, store_locator at, uint32_t size);

/* log_turn.c: of the store's calls, see store.h */
void log_flush(struct store *store, mono_t now);
mono_t log_due(const struct store *store);
bool log_poll(struct store *store, struct store_completion *out);

/* log_group.c */
struct group *group_open(struct log *l); /* the gathering one, a new one when it is full */
/* The same for what nobody asks room for, about so many bytes: where events have hardly more than the room that they
 * asked for, it is none that has events. */
struct group *group_open_behind(struct log *l, uint64_t bytes);
void group_add_run(struct group *g, const struct group_run *run);
void group_add_shared(struct group *g, struct group_run run, uint32_t target_count, struct span targets);
/* The targets of a shared one. */
struct target_reader group_targets(const struct group *g, const struct group_run *run);
void group_add_settled(struct group *g, uint32_t queue, uint32_t count); /* their record is in it */
void group_gather_settled(struct log *l); /* moves fresh settlements into the open group */
void group_commit(struct log *l);         /* starts a commit when there is reason and none is under way */
void group_done(struct log *l, struct file_op *op);
void group_free(struct group *g);
uint64_t group_bytes(const struct group *g);    /* that it takes in a segment, its share of the table included */
struct group *group_take_closed(struct log *l); /* the first that waits */
void group_add_in_flight(struct log *l, struct group *g); /* it has its place, and is to become durable */
void group_free_durable(struct log *l);                   /* those that are durable are done */

/* log_wait.c */
bool wait_pays(const struct log *l, uint64_t bytes);     /* for the sync of a commit of so many */
void wait_note(struct log *l, const struct file_op *op); /* that was done, of a commit */

/* log_room.c */
uint64_t group_room(const struct log *l); /* bytes of events' records that surely find a place */
/* So many bytes more beside the events could push them out of theirs. */
bool room_is_tight(const struct log *l, uint64_t bytes);
bool group_has_place(const struct log *l, uint64_t bytes); /* for what is moved, about so many */
bool room_is_reserved(const struct log *l); /* what is left of the last segment is for others than those that wait */
/* May the first that waits take a spare? The last is for what can only be in a segment; one without anything live
 * comes back with the next checkpoint. */
bool room_may_take_spare(const struct log *l);

/* log_segments.c */
void segment_name(char out[FILE_NAME_SIZE], uint64_t id);
bool segment_id_of(const char *name, uint64_t *id);
struct segment *segment_add(struct log *l, uint64_t id);
struct segment *segment_find(const struct log *l, uint64_t id);
void segment_set_file_bytes(struct log *l, struct segment *s, uint64_t size); /* smaller than segments are now */
struct segment *segment_active(const struct log *l);
size_t segment_table_size(const struct segment *s);                   /* an upper bound of its table's record */
void segment_add_run(struct segment *s, const struct table_entry *e); /* to its table */
void segment_build_table(struct log *l, struct segment *s, struct buf *records);
void segment_drop_places(struct log *l, struct segment *s); /* of its runs: they are in the table on disk */
void segment_free(struct segment *s);
void segment_remove(struct log *l, uint64_t id); /* forgets it; its file is the caller's */
/* Puts a run into its queue's extents; it was added to the segment's table right before. `shared`: other queues have
 * it, too. */
void extent_add(struct log *l, struct segment *s, const struct table_entry *e, uint64_t bytes, bool shared);
/* The same for events copied from elsewhere: those still live move here. */
void extent_move(struct log *l, struct segment *s, const struct table_entry *e, uint64_t bytes, bool shared);
/* Its place in the segment, to be read from there. */
void extent_add_run(struct extent *x, const struct table_entry *e);
/* [first, end) left, with `bytes` of events. Returns how many were live. */
uint64_t extent_settle(struct log *l, struct log_queue *q, uint64_t first, uint64_t end, uint64_t bytes);
bool extent_is_live(const struct log_queue *q, uint64_t sequence);
struct extent *extent_at(struct log_queue *q, uint64_t sequence); /* holding it, or the first behind it; NULL */
void extent_drop_all(struct log *l, struct log_queue *q);
void segment_forget_runs(struct log_queue *q, const struct segment *s); /* the runs' places only */

/* log_shared_runs.c */
/* To the active segment's table; `targets` are encoded. */
void segment_add_shared(struct segment *s, const struct table_entry *place, uint32_t target_count, struct span targets);
struct table_item segment_shared(const struct segment *s, uint32_t number); /* until the next is added */
/* Completes the runs of an extent in the active segment. */
void extent_find_runs(struct log_queue *q, struct extent *x);

/* log_spares.c */
uint64_t log_disk_bytes(const struct log *l);
bool segment_is_at_budget(const struct log *l); /* not one more may be allocated; a checkpoint may still be written */
void segment_want_spares(struct log *l);
void segment_spare_done(struct log *l, struct file_op *op);
void segment_remove_file(struct log *l, uint64_t id);
void segment_recycle_or_remove(struct log *l,
                               const struct segment *s); /* of a freed one's file: it is kept for a spare, or removed */
bool segment_remove_recyclable(struct log *l);           /* removes one that was kept; false: there is none */
void segment_remove_done(struct log *l, struct file_op *op);
void segment_remove_again(struct log *l); /* what could not be removed for want of room */
mono_t segment_due(const struct log *l);  /* when to try again what lacked room */

/* log_pad.c */
uint64_t pad_written(const struct log *l, struct segment *s, struct buf *b,
                     uint64_t at); /* of what goes there in the segment */

/* log_recycle.c, for log_spares.c */
bool recycle_as_spare(struct log *l, const char *spare); /* one that was kept takes that name; false: there is none */
bool spare_is_recycled(const struct log *l, uint64_t id);
void spare_arrived(struct log *l, const struct file_op *op); /* a spare is there */
void recycle_failed(struct log *l,
                    const struct file_op *op); /* a spare that there was no room for, not even for its name */

/* log_load.c */
void load_start(struct log *l, uint32_t queue, uint64_t from, uint64_t bytes, uint64_t tag);
void load_again(struct log *l, struct load *d); /* all it brought was settled meanwhile */
void load_done(struct log *l, struct file_op *op);
void load_advance(struct log *l); /* starts the first one's next step */
void load_free(struct load *d);

/* log_checkpoint.c */
void checkpoint_consider(struct log *l); /* right after everything was placed */
void checkpoint_idle(struct log *l);     /* at any time: nothing may be placed for long */
mono_t checkpoint_due(const struct log *l);
void checkpoint_start(struct log *l); /* everything is placed, or carried by it */
void checkpoint_done(struct log *l, struct file_op *op);
/* Where the log continues behind the checkpoint. */
struct position {
    uint64_t segment, offset, number, chain;
};
/* log_checkpoint_read.c: reads the checkpoint into an empty log. *found: there is one. */
bool checkpoint_read(struct log *l, const struct log_replay *replay, struct position *from, bool *found,
                     struct error *e);

/* log_carry.c */
void carry_consider(struct log *l);        /* right after a group found no place */
bool carry_is_barred(const struct log *l); /* events are among what waits */
mono_t carry_due(const struct log *l);
void carry_done(struct log *l, bool durable); /* the checkpoint is, or is not */

/* log_compact.c */
void compact_consider(struct log *l);
void compact_read(struct log *l, struct file_op *op);
void compact_durable(struct log *l);
void compact_give_up(struct log *l, uint64_t through); /* the part that is in a group up to this one was not placed */
bool compact_goes_on(const struct log *l);             /* the next turn is wanted at once */

/* log_key.c */
/* The key that the directory has into l->config.key, l->keyed; when it has none, the configured one stays.
 * *key_in_file: the file has it. */
bool log_key_find(struct log *l, bool *key_in_file, struct error *e);
/* Writes the file; blocking. */
bool log_key_write(struct log *l, struct error *e);
/* The header of a segment that is begun. */
struct segment_header log_header_of(const struct log *l, uint64_t segment, uint64_t chain);
/* The header at the start of a segment's bytes; when none of this segment is there (not *whole), one with which its
 * groups are looked for all the same. */
struct segment_header log_header_in(const struct log *l, struct span bytes, uint64_t segment, bool *whole);
/* A spare whose file was another segment's: that one's header is in it still, and so nothing of its own behind it. */
bool log_was_never_begun(const struct log *l, uint64_t segment);

/* log_recover.c */
bool log_recover(struct log *l, const struct log_replay *replay, struct error *e);
/* The same without a change on disk: what is live, and whether a start would be refused. */
bool log_scan(struct log *l, const struct log_replay *replay, struct error *e);

#endif
