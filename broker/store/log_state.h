/* The log's state and what its files offer each other. Private to broker/store/log*.c.
 *
 *   log.c             the store's calls, life
 *   log_settle.c      how events leave
 *   log_turn.c        the loop's turn: what the disk did, what is due, what the core is told
 *   log_group.c       groups: gathering, placing in segments, writing, syncing; tickets
 *   log_spares.c      segments' files: allocated ahead, removed
 *   log_segments.c    segments, and where each queue's events are (extents)
 *   log_load.c        reading backlog
 *   log_checkpoint.c  checkpoints, and the segments they free
 *   log_compact.c     moving stragglers out of segments that are mostly dead
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
#define NO_TICKET      0u
#define NO_OFFSET      UINT64_MAX
#define LOG_KEY_FILE   "log.key"
#define LOAD_BYTES_MAX (4u << 20)

_Static_assert(LOG_KEY_SIZE == SEGMENT_KEY_SIZE, "the log's key is that in its segments' headers");

struct segment {
    uint64_t id;
    uint64_t size;    /* bytes written, or placed and on their way */
    uint64_t written; /* bytes that a read finds */
    struct table_entry
        *table; /* while it is not sealed: every run in it, settled or not: a crash may lose settlements */
    uint32_t table_count, table_capacity;
    uint64_t all_events; /* ever placed here */
    bool sealed;
    uint32_t table_at, table_size; /* of the TABLE record in a sealed segment */
    uint64_t live_events, live_bytes;
};

/* A stretch of one queue's events in one segment. Some of them may be settled (log_queue.settled). */
struct extent {
    uint64_t first, end; /* sequences [first, end) */
    struct segment *segment;
    uint64_t live, live_bytes; /* bytes: about, where ranges were settled across extents */
    struct table_entry *runs;  /* ascending; of the active segment, or read back for loading; else NULL */
    uint32_t run_count, run_capacity;
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
    struct table_entry entry; /* offset within the group's records */
    uint64_t bytes;
    bool moved;
};

struct group {
    uint64_t number; /* its ticket */
    struct buf records;
    struct group_run *runs;
    size_t run_count, run_capacity;
    struct group_settled *settled;
    size_t settled_count, settled_capacity;
    bool urgent; /* somebody waits for it */
    bool roomy;  /* holds events: waits for room when the disk is full */
    struct group *next;
};

/* A read on its way: first a segment's table, then the runs. */
struct load {
    uint32_t queue;
    uint64_t from, bytes, tag;
    bool compacting; /* for log_compact.c, not for the core */
    enum { LOAD_WAITS, LOAD_TABLE, LOAD_RUNS, LOAD_READY } state;
    struct segment *segment;
    uint64_t tabled;          /* the segment whose table was read */
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
    uint32_t spares;    /* allocated segments beyond the active one: ids active + 1 … */
    bool spare_coming;  /* the next one is being allocated */
    mono_t spare_again; /* an allocation failed for want of room: the next try */
    bool no_room;
    uint64_t *leftovers; /* ids of files that could not be removed for want of room */
    uint32_t leftover_count;
    mono_t remove_again;
    uint64_t chain;            /* of the group placed last */
    uint64_t next_number;      /* of the next group to be opened */
    uint64_t placed;           /* number of the group placed last */
    uint64_t written, durable; /* durable: what completions say, by config.sync */
    uint64_t synced;
    struct group *open, *first_closed, *last_closed; /* open: gathering; closed: full, to be placed */
    struct group *flying, *last_flying;              /* placed, not durable */
    uint32_t changes;                                /* changes submitted and not done that belong to the commit */
    uint64_t commit_through;                         /* its last group */
    bool committing;
    bool sync_waits; /* interval: something was written since the last sync */
    mono_t next_sync;

    struct log_queue *queues;
    struct log_queue *fresh; /* with settlements not in a group */
    mono_t lazy_since;       /* of the oldest of them; MONO_NEVER: none */
    uint64_t told;           /* durable ticket last given to the core */
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
    bool checkpoint_starved; /* there was no room for it: a spare is given up */
    mono_t checkpoint_again;

    /* compaction */
    struct segment *victim; /* being emptied */
    bool moving;            /* a part of it is being read, or written elsewhere */
    uint64_t move_ticket;   /* of the part that is being written; 0: none */

    bool stopping, rested; /* rested: the last checkpoint was started */
    bool failed;
    char trouble[256];
    struct log_info info;
};

static inline struct log *log_self(struct store *s)
{
    return (struct log *)(void *)s;
}

enum op_tag { TAG_COMMIT, TAG_SPARE, TAG_LOAD, TAG_CHECKPOINT, TAG_REMOVE, TAG_SYNC };

/* log.c */
struct log_queue *log_queue_of(struct log *l, uint32_t id, bool make);
void log_queue_drop(struct log *l, struct log_queue *q); /* with everything it holds */
void log_submit(struct log *l, enum file_kind kind, const char *name, uint64_t offset, uint64_t size, struct buf *data,
                uint64_t tag);
void log_fail(struct log *l, const char *what, const char *name, uint64_t offset, const char *why);
struct log *log_new(const struct log_config *config, struct files *files);
void log_free(struct log *l);

/* log_settle.c: of the store's calls, see store.h */
void log_release(struct store *store, uint32_t queue, store_locator at);
void log_settle(struct store *store, uint32_t queue, uint64_t sequence, store_locator at, uint32_t size,
                enum store_cause cause);
/* The same within a group, beside what enters another queue by the same step: a group is there as a whole or not at all. */
void log_leave(struct log *l, struct group *g, const struct store_leaving *e);
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
void group_add_run(struct group *g, const struct group_run *run);
void group_add_settled(struct group *g, uint32_t queue, uint32_t count); /* their record is in it */
void group_gather_settled(struct log *l); /* moves fresh settlements into the open group */
void group_commit(struct log *l);         /* starts a commit when there is reason and none is under way */
void group_done(struct log *l, struct file_op *op);
uint64_t group_room(const struct log *l); /* bytes of events' records that surely find a place */
void group_free(struct group *g);

/* log_segments.c */
void segment_name(char out[FILE_NAME_SIZE], uint64_t id);
bool segment_id_of(const char *name, uint64_t *id);
struct segment *segment_add(struct log *l, uint64_t id);
struct segment *segment_find(const struct log *l, uint64_t id);
struct segment *segment_active(const struct log *l);
size_t segment_table_size(const struct segment *s);                   /* an upper bound of its table's record */
void segment_add_run(struct segment *s, const struct table_entry *e); /* to its table */
void segment_build_table(struct log *l, struct segment *s, struct buf *records);
void segment_drop_places(struct log *l, struct segment *s); /* of its runs: they are in the table on disk */
void segment_free(struct segment *s);
void segment_remove(struct log *l, uint64_t id); /* forgets it; its file is the caller's */
/* Puts a run into its queue's extents. */
void extent_add(struct log *l, struct segment *s, const struct table_entry *e, uint64_t bytes);
/* The same for events copied from elsewhere: those still live move here. */
void extent_move(struct log *l, struct segment *s, const struct table_entry *e, uint64_t bytes);
/* [first, end) left, with `bytes` of events. Returns how many were live. */
uint64_t extent_settle(struct log *l, struct log_queue *q, uint64_t first, uint64_t end, uint64_t bytes);
bool extent_is_live(const struct log_queue *q, uint64_t sequence);
struct extent *extent_at(struct log_queue *q, uint64_t sequence); /* holding it, or the first behind it; NULL */
void extent_drop_all(struct log *l, struct log_queue *q);
void segment_forget_runs(struct log_queue *q, const struct segment *s); /* the runs' places only */

/* log_spares.c */
uint64_t log_disk_bytes(const struct log *l);
void segment_want_spares(struct log *l);
void segment_spare_done(struct log *l, struct file_op *op);
void segment_remove_file(struct log *l, uint64_t id);
void segment_remove_done(struct log *l, struct file_op *op);
void segment_remove_again(struct log *l); /* what could not be removed for want of room */
mono_t segment_due(const struct log *l);  /* when to try again what lacked room */

/* log_load.c */
void load_start(struct log *l, uint32_t queue, uint64_t from, uint64_t bytes, uint64_t tag, bool compacting);
void load_again(struct log *l, struct load *d); /* all it brought was settled meanwhile */
void load_done(struct log *l, struct file_op *op);
void load_advance(struct log *l); /* starts the first one's next step */
void load_free(struct load *d);

/* log_checkpoint.c */
void checkpoint_consider(struct log *l); /* right after everything was placed */
void checkpoint_idle(struct log *l);     /* at any time: nothing may be placed for long */
mono_t checkpoint_due(const struct log *l);
void checkpoint_start(struct log *l); /* everything is placed */
void checkpoint_done(struct log *l, struct file_op *op);
/* Where the log continues behind the checkpoint. */
struct position {
    uint64_t segment, offset, number, chain;
};
/* Reads the checkpoint into an empty log. *found: there is one. */
bool checkpoint_read(struct log *l, const struct log_replay *replay, struct position *from, bool *found,
                     struct error *e);

/* log_compact.c */
void compact_consider(struct log *l);
void compact_loaded(struct log *l, struct load *d, struct span bytes);
void compact_durable(struct log *l);

/* log_key.c */
/* The key that the directory has into l->config.key, l->keyed; when it has none, the configured one stays. *filed: the file has it. */
bool log_key_find(struct log *l, bool *filed, struct error *e);
/* Writes the file; blocking. */
bool log_key_keep(struct log *l, struct error *e);
/* The header of a segment that is begun. */
struct segment_header log_header_of(const struct log *l, uint64_t segment, uint64_t chain);
/* The header at the start of a segment's bytes; when none of this segment is there (not *whole), one with which its groups are looked
 * for all the same. */
struct segment_header log_header_in(const struct log *l, struct span bytes, uint64_t segment, bool *whole);

/* log_recover.c */
bool log_recover(struct log *l, const struct log_replay *replay, struct error *e);
/* The same without a change on disk: what is live, and whether a start would be refused. */
bool log_scan(struct log *l, const struct log_replay *replay, struct error *e);

#endif
