/* What compaction (log_compact.c) moves: which segment is emptied, which of its records are moved, and which events
 * of a record. --repair copies by the same calls. Private to broker/store.
 *
 * A queue *wants* an event of a segment as long as the event is live in that queue and has its place there. Queues
 * that share a run settle its events one by one and each at its own pace, so the run falls into *stretches*:
 * consecutive events that the same queues want. Each stretch is written once, for all of these queues. */
#ifndef SLUICE_BROKER_STORE_LOG_MOVE_H
#define SLUICE_BROKER_STORE_LOG_MOVE_H

#include "broker/store/log_parts.h"

/* ---- log_stretch.c */

/* Does the queue want the event with that sequence? *until: the sequence from which on the answer may be another. */
typedef bool stretch_ask(void *context, uint32_t target, const struct run_target *t, uint64_t sequence,
                         uint64_t *until);

/* Walks through the stretches of a run. */
struct stretches {
    stretch_ask *ask;
    void *context;
    const struct run_target *targets; /* of the run, with the sequence of its first event in each */
    uint32_t target_count;
    uint64_t count, at; /* events of the run; index of the first one behind the current stretch */
    /* out: the queues that want the stretch, with its first sequence in each; room for target_count */
    struct run_target *wanting;
    uint32_t wanting_count;
    uint64_t from, events;   /* out: [from, from + events) within the run */
    uint64_t asked;          /* out: how often `ask` was called, as a measure of the work */
    struct wire_reader rest; /* private: of the run's events, behind `walked` of them */
    uint64_t walked;
};
/* Finds the next stretch that any queue wants; false: there is none. */
bool stretch_next(struct stretches *s);
/* The current stretch's events in lane form; *bytes: of the bare events. At most once for each stretch, going
 * forward. */
struct span stretch_lane(struct stretches *s, const struct shared_record *run, uint64_t *bytes);
/* Adds the current stretch to a group, as a moved run. */
void stretch_move(struct group *g, const struct stretches *s, int64_t accepted_ms, struct span lane, uint64_t bytes);

/* The log's own answer to stretch_ask: is the event live, with its place in that segment? Serves one run after the
 * other. */
struct live_filter {
    struct segment *segment;
    struct log *log;
    struct run_target *targets, *wanting; /* buffers */
    struct log_queue **queues;            /* the targets' queues; NULL: forgotten */
    uint32_t capacity;
};
/* The stretches of a run. `targets` is empty for a run of a single queue, which `e` names. Valid until the next
 * call. */
struct stretches live_stretches(struct live_filter *live, const struct table_entry *e, struct target_reader targets);
void live_free(struct live_filter *live);

/* ---- log_room.c */

/* Bytes of events that surely find a place: group_room less a margin for what runs cost besides their events. */
uint64_t room_for_events(const struct log *l);
/* No more segments can be had, and hardly any room is left: events wait, or will soon. */
bool room_is_exhausted(const struct log *l);
/* May the active segment be sealed, so that it can be emptied? */
bool room_may_seal_active(const struct log *l);
/* Would emptying a segment by moving so many bytes gain at least an eighth of a segment of room? */
bool room_is_gained_by(const struct log *l, uint64_t bytes);

/* ---- log_plan.c */

struct plan;

/* About how many of the segment's bytes are of events that some queue wants. A shared event counts once, as far as
 * that is known. */
uint64_t plan_wanted(const struct segment *s);
/* A sealed segment that may be worth emptying; NULL: none. */
struct segment *plan_choose(struct log *l);
/* A plan for emptying the segment. The bytes of `table`, its TABLE record, pass. NULL: the table is damaged. */
struct plan *plan_new(struct log *l, struct segment *s, struct buf *table);
/* Would a segment be emptied if the active one were sealed, too? */
bool plan_may_seal_active(const struct log *l);
/* Measures the next part of the table. True when all of it is measured; *damaged: the table is malformed. */
bool plan_measure(struct plan *p, bool *damaged);
bool plan_is_measured(const struct plan *p);
/* Once it is measured: is the segment worth emptying? */
bool plan_pays(const struct plan *p);
/* The next part to be read: records to be moved lie in [*offset, *offset + *size) of the file. False: none is left. */
bool plan_part(struct plan *p, uint32_t *offset, uint32_t *size);
/* Takes the next record of that part. False: none is left. */
bool plan_record(struct plan *p, uint32_t *offset, uint32_t *size);
struct live_filter *plan_live(struct plan *p);
/* Were records taken from it already? */
bool plan_is_begun(const struct plan *p);
/* About how many bytes moving the rest will take. */
uint64_t plan_rest(const struct plan *p);
void plan_free(struct plan *p);

/* Measures the active segment; *bytes: of its records that some queue wants. False: not all of them are measured yet;
 * ask again next turn. */
bool plan_measure_active(struct log *l, struct segment *s, uint64_t *bytes);
void plan_stop_measuring_active(struct log *l);

#endif
