/* What the files of the log offer each other; the state they share, and what each file is for, is in log_state.h.
 * Private to broker/store/log*.c. */
#ifndef SLUICE_BROKER_LOG_PARTS_H
#define SLUICE_BROKER_LOG_PARTS_H

#include "broker/store/log_state.h"

/* ---- log.c */

/* NULL: there is none, and `make` is false. */
struct log_queue *log_queue_of(struct log *l, uint32_t id, bool make);
/* Frees the queue with everything the log knows of it. */
void log_queue_drop(struct log *l, struct log_queue *q);
/* Submits one file operation. The bytes of `data` pass (it is empty afterwards); NULL: none. */
void log_submit(struct log *l, enum file_kind kind, const char *name, uint64_t offset, uint64_t size, struct buf *data,
                uint64_t tag);
void log_rename(struct log *l, const char *name, const char *to, uint64_t tag);
/* The disk failed: sets log_failure() to "WHAT NAME at offset OFFSET: WHY"; without the offset for NO_OFFSET. The
 * first failure counts. */
void log_fail(struct log *l, const char *what, const char *name, uint64_t offset, const char *why);
/* An empty log, not recovered. `files` is borrowed. */
struct log *log_new(const struct log_config *config, struct files *files);
void log_free(struct log *l);
/* Appends a run to a group; `bytes`: of its events. */
void log_put_run(struct log *l, struct group *g, const struct store_run *run, uint64_t bytes);
uint64_t log_bytes_of(const struct store_event *events, size_t count);
/* Sets the ticket of what was put into the group, and hurries the group. */
enum store_status log_accepted(struct group *g, uint64_t *ticket);

/* ---- log_share.c: a slot of store.h */

enum store_status log_share(struct store *store, struct store_share *share, uint64_t *ticket);

/* ---- log_settle.c: slots of store.h, and two parts of them */

void log_release(struct store *store, uint32_t queue, store_locator at);
void log_settle(struct store *store, uint32_t queue, uint64_t sequence, store_locator at, uint32_t size,
                enum store_cause cause);
void log_settle_rest(struct store *store, uint32_t queue, uint64_t from, uint64_t bytes, enum store_cause cause);
void log_forget(struct store *store, uint32_t queue);
/* Settles an event in the group of what enters another queue by the same step. A group is on disk as a whole or not
 * at all, so recovery finds both or neither. */
void log_settle_in_group(struct log *l, struct group *g, const struct store_leaving *e);
/* Gives up an event's bytes in memory; `q` may be NULL (forgotten), `at` may be 0 (not in memory). */
void log_uncache(struct log *l, struct log_queue *q, uint32_t queue, store_locator at, uint32_t size);

/* ---- log_turn.c: slots of store.h */

void log_flush(struct store *store, mono_t now);
mono_t log_due(const struct store *store);
bool log_poll(struct store *store, struct store_completion *out);

/* ---- log_group.c */

/* The open group. A new one is begun when there is none, or when it is full. */
struct group *group_open(struct log *l);
/* The same, for about `bytes` of notes, settlements or moves, which are put in without asking for room. When room is
 * tight this is never a group with events, because the events could lose their place then. */
struct group *group_open_behind(struct log *l, uint64_t bytes);
void group_add_run(struct group *g, const struct group_run *run);
void group_add_shared(struct group *g, struct group_run run, uint32_t target_count, struct span targets);
/* The targets of a shared run; none of another one. */
struct target_reader group_targets(const struct group *g, const struct group_run *run);
/* `count` settlements of the queue have their record in the group. */
void group_add_settled(struct group *g, uint32_t queue, uint32_t count);
/* Writes all settlements that are in no group yet into the open group. */
void group_gather_settled(struct log *l);
/* Starts a commit if there is a reason for one and none is under way. */
void group_commit(struct log *l);
void group_done(struct log *l, struct file_op *op);
void group_free(struct group *g);
/* The bytes that it takes in a segment, its share of the segment's table included. */
uint64_t group_bytes(const struct group *g);
/* Takes the first closed group, whose owner is the caller then. */
struct group *group_take_closed(struct log *l);
/* The group got its place: from now on it waits to become durable. */
void group_add_in_flight(struct log *l, struct group *g);
/* Frees the groups in flight that became durable, and with them their settlements count as durable. */
void group_free_durable(struct log *l);

/* ---- log_wait.c */

/* Should the loop wait for the sync of a commit of `bytes`? */
bool wait_pays(const struct log *l, uint64_t bytes);
/* Takes note of how long a write or sync of a commit took. */
void wait_note(struct log *l, const struct file_op *op);

/* ---- log_room.c */

/* Bytes of events' records that surely find a place. */
uint64_t group_room(const struct log *l);
/* True when `bytes` more in the same group could cost admitted events their place. */
bool room_is_tight(const struct log *l, uint64_t bytes);
/* Is there a place for about `bytes` of moved events, behind the groups that wait already? */
bool group_has_place(const struct log *l, uint64_t bytes);
/* True when the first waiting group may not use the rest of the last segment, because that is reserved for others. */
bool room_is_reserved(const struct log *l);
/* May a segment be begun for the first waiting group? The last spare is for what can only be in a segment, or comes
 * back soon. */
bool room_may_take_spare(const struct log *l);

/* ---- log_segments.c */

void segment_name(char out[FILE_NAME_SIZE], uint64_t id);
/* False: that is no segment's name. */
bool segment_id_of(const char *name, uint64_t *id);
/* Adds a segment behind all others: the active one from now on. */
struct segment *segment_add(struct log *l, uint64_t id);
/* NULL: there is none. */
struct segment *segment_find(const struct log *l, uint64_t id);
/* NULL: the log has no segment. */
struct segment *segment_active(const struct log *l);
/* Sets how much disk its file counts for; segment_size unless set. */
void segment_set_file_bytes(struct log *l, struct segment *s, uint64_t size);
/* An upper bound of what its table will take, with the header of its group. */
size_t segment_table_size(const struct segment *s);
void segment_add_run(struct segment *s, const struct table_entry *e);
/* Appends the TABLE record of an unsealed segment to `records`, and forgets the places of its runs. */
void segment_build_table(struct log *l, struct segment *s, struct buf *records);
/* Forgets the places of its runs: they are in its table on disk. */
void segment_drop_places(struct log *l, struct segment *s);
void segment_free(struct segment *s);
/* Removes a segment without live events from the log. Its file is the caller's to recycle or remove. */
void segment_remove(struct log *l, uint64_t id);

/* Gives newly accepted events of one queue their place. `e` was just added to the segment's table; `shared`: other
 * queues have the run, too. */
void extent_add(struct log *l, struct segment *s, const struct table_entry *e, uint64_t bytes, bool shared);
/* The same for events that were copied from another segment: those that are still live move here. */
void extent_move(struct log *l, struct segment *s, const struct table_entry *e, uint64_t bytes, bool shared);
/* Remembers where a run of the extent is. */
void extent_add_run(struct extent *x, const struct table_entry *e);
/* Settles [first, end), with `bytes` of events. Returns how many of them were live. */
uint64_t extent_settle(struct log *l, struct log_queue *q, uint64_t first, uint64_t end, uint64_t bytes);
bool extent_is_live(const struct log_queue *q, uint64_t sequence);
/* The extent that holds the sequence, or the first one behind it; NULL: there is neither. */
struct extent *extent_at(struct log_queue *q, uint64_t sequence);
void extent_drop_all(struct log *l, struct log_queue *q);
/* Forgets where the queue's runs in that segment are. */
void segment_forget_runs(struct log_queue *q, const struct segment *s);

/* ---- log_shared_runs.c */

/* Adds a shared run to the active segment's table; `targets` are encoded. */
void segment_add_shared(struct segment *s, const struct table_entry *place, uint32_t target_count, struct span targets);
/* The shared run with that index. Its targets are valid until the next one is added. */
struct table_item segment_shared(const struct segment *s, uint32_t number);
/* Completes the runs of an extent in the active segment. */
void extent_find_runs(struct log_queue *q, struct extent *x);

/* ---- log_spares.c */

/* Bytes of all files: segments, spares, what waits to be recycled or removed, the checkpoint. */
uint64_t log_disk_bytes(const struct log *l);
/* True when the budget has no room for another segment. A checkpoint may still be written. */
bool segment_is_at_budget(const struct log *l);
/* Has the next spare allocated, or recycled, if one is missing and may come. */
void segment_want_spares(struct log *l);
void segment_spare_done(struct log *l, struct file_op *op);
void segment_remove_file(struct log *l, uint64_t id);
void segment_remove_done(struct log *l, struct file_op *op);
/* Tries again to remove files for whose removal there was no room. */
void segment_remove_again(struct log *l);
/* When to try again what lacked room. */
mono_t segment_due(const struct log *l);

/* ---- log_recycle.c */

/* Keeps the file of a segment that is being freed for use as a spare, or removes it. */
void segment_recycle_or_remove(struct log *l, const struct segment *s);
/* Removes one of the files that are kept; false: there is none. */
bool segment_remove_recyclable(struct log *l);
/* Submits the renaming of a kept file to that spare's name; false: there is none. */
bool recycle_as_spare(struct log *l, const char *spare);
/* A spare could not be had because there was no room: a kept file that was to become it, if one was, stays kept. */
void recycle_failed(struct log *l, const struct file_op *op);
/* A spare was allocated or recycled: remembers which of the two. */
void spare_arrived(struct log *l, const struct file_op *op);
bool spare_is_recycled(const struct log *l, uint64_t id);

/* ---- log_pad.c */

/* Appends zeros to bytes that are about to be written at that offset of the segment. Returns how many. */
uint64_t pad_written(const struct log *l, struct segment *s, struct buf *b, uint64_t at);

/* ---- log_load.c */

/* Slot `load` of store.h. */
void load_start(struct log *l, uint32_t queue, uint64_t from, uint64_t bytes, uint64_t tag);
/* Starts over behind the other loads, because all that it brought was settled in the meantime. */
void load_again(struct log *l, struct load *d);
void load_done(struct log *l, struct file_op *op);
/* Begins the first load's next step. */
void load_advance(struct log *l);
void load_free(struct load *d);

/* ---- log_checkpoint.c, log_checkpoint_read.c */

/* Writes a checkpoint if one is due. Call only right after everything was placed. */
void checkpoint_consider(struct log *l);
/* The same at any time; does nothing unless everything is placed. */
void checkpoint_idle(struct log *l);
mono_t checkpoint_due(const struct log *l);
/* Writes a checkpoint now. Everything must be placed, or be carried by it. */
void checkpoint_start(struct log *l);
void checkpoint_done(struct log *l, struct file_op *op);
/* Reads the checkpoint into an empty log. *found: there is one; *from: where the log continues behind it. True
 * without a checkpoint, too; false with an error when it is damaged or cannot be read. */
bool checkpoint_read(struct log *l, const struct log_replay *replay, struct position *from, bool *found,
                     struct error *e);

/* ---- log_carry.c */

/* Starts a checkpoint that carries the waiting groups, if they may be carried. Call right after a group found no
 * place. */
void carry_consider(struct log *l);
/* True when newly accepted events are among the waiting groups, which therefore cannot be carried. */
bool carry_is_barred(const struct log *l);
mono_t carry_due(const struct log *l);
/* The checkpoint is durable, or failed for lack of room. */
void carry_done(struct log *l, bool durable);

/* ---- log_compact.c */

/* Takes the next step of moving events, if there is one. */
void compact_consider(struct log *l);
void compact_read(struct log *l, struct file_op *op);
/* Groups became durable: the part being moved may be among them. */
void compact_durable(struct log *l);
/* Groups up to this one were carried and not placed. If the part being moved is among them, its events stay where
 * they were. */
void compact_give_up(struct log *l, uint64_t through);
/* True when compaction wants the next turn at once. */
bool compact_goes_on(const struct log *l);

/* ---- log_key.c */

/* Reads the directory's key into config.key and sets l->keyed; without one the configured key stays. *key_in_file: it
 * came from the key file, so that need not be written. */
bool log_key_find(struct log *l, bool *key_in_file, struct error *e);
/* Writes the key file; blocking. */
bool log_key_write(struct log *l, struct error *e);
/* The header of a segment that is begun now. */
struct segment_header log_header_of(const struct log *l, uint64_t segment, uint64_t chain);
/* The header at the start of a segment's bytes. *whole is false when there is none of this segment; then the result
 * is a header with which its groups can be searched for all the same. */
struct segment_header log_header_in(const struct log *l, struct span bytes, uint64_t segment, bool *whole);
/* True for a recycled spare that was not used yet: the header of the segment that had the file earlier is still in
 * it, so nothing behind the header is this segment's. */
bool log_was_never_begun(const struct log *l, uint64_t segment);

/* ---- log_recover.c: start-up; blocking */

/* Recovers an empty log and gets it ready to be written. */
bool log_recover(struct log *l, const struct log_replay *replay, struct error *e);
/* Only reads: what is live, and whether log_recover would fail. */
bool log_scan(struct log *l, const struct log_replay *replay, struct error *e);

#endif
