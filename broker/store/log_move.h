/* What of a segment is moved when it is emptied (log_compact.c does that): which segment, which of its records, and
 * of a record the neighbours that the same queues want. Private to broker/store. */
#ifndef SLUICE_BROKER_STORE_LOG_MOVE_H
#define SLUICE_BROKER_STORE_LOG_MOVE_H

#include "broker/store/log_parts.h"

/* log_stretch.c */
/* Tells of one event whether it is wanted in the queue, and behind which sequence that may change. */
typedef bool stretch_ask(void *context, uint32_t target, const struct run_target *t, uint64_t sequence,
                         uint64_t *until);
/* What of a run of events goes together: the next stretch of neighbours that the same queues want. */
struct stretches {
    stretch_ask *ask;
    void *context;
    const struct run_target *targets; /* their first sequences are the run's */
    uint32_t target_count;
    uint64_t count, at;         /* of the run; behind the last stretch */
    struct run_target *wanting; /* out: with the stretch's first sequences; room for target_count */
    uint32_t wanting_count;
    uint64_t from, events;   /* out: [from, from + events) within the run */
    uint64_t asked;          /* out: how often somebody was asked: so much work it was */
    struct wire_reader rest; /* private: of the run's events, behind `walked` of them */
    uint64_t walked;
};
bool stretch_next(struct stretches *s);
/* Its events in lane form; `bytes` of them. Of each stretch, in order. */
struct span stretch_lane(struct stretches *s, const struct shared_record *run, uint64_t *bytes);
/* Writes it as moved. */
void stretch_move(struct group *g, const struct stretches *s, int64_t accepted_ms, struct span lane, uint64_t bytes);
/* The log's own question: is it live in that segment? One run after the other. */
struct live_filter {
    struct segment *segment;
    struct log *log;
    struct run_target *targets, *wanting; /* room */
    struct log_queue **queues;            /* of the targets; NULL: it is gone */
    uint32_t capacity;
};
/* Ready for a run with these targets. */
struct stretches live_stretches(struct live_filter *live, const struct table_entry *e, struct target_reader targets);
void live_free(struct live_filter *live);

/* log_room.c, where nothing else gives room */
uint64_t room_for_events(const struct log *l); /* group_room, of what the bytes of events alone are counted for */
bool room_is_exhausted(
    const struct log *l); /* there is no more to be had, and hardly any left: events wait, or will soon */
bool room_may_seal_active(const struct log *l); /* may the active segment be sealed to be emptied? */
/* Were a segment emptied by moving so many bytes: would there be more room than now, by an eighth of a segment at
 * least? */
bool room_is_gained_by(const struct log *l, uint64_t bytes);

/* log_plan.c */
struct plan;
/* About how many of its bytes are of events that somebody wants: those of a shared one once, as far as that is known.
 */
uint64_t plan_wanted(const struct segment *s);
struct segment *plan_choose(struct log *l); /* a sealed segment that may be worth emptying; NULL: none */
struct plan *plan_new(struct log *l, struct segment *s, struct buf *table); /* its bytes pass; NULL: it is damaged */
bool plan_may_seal_active(
    const struct log *l); /* were the active segment sealed: would the one with the least be emptied? */
/* Goes on looking through the table; true when it is through. *damaged: it cannot. */
bool plan_measure(struct plan *p, bool *damaged);
bool plan_is_measured(const struct plan *p);
bool plan_pays(const struct plan *p); /* looked through: is it worth emptying? */
/* The next records to be moved lie in [*offset, *offset + *size); false: none is left. */
bool plan_part(struct plan *p, uint32_t *offset, uint32_t *size);
/* One after the other, of the part: offset and size; false: no more. */
bool plan_record(struct plan *p, uint32_t *offset, uint32_t *size);
struct live_filter *plan_live(struct plan *p);
bool plan_is_begun(const struct plan *p);
uint64_t plan_rest(const struct plan *p); /* bytes, about, that it takes to move what is left of it */
void plan_free(struct plan *p);
/* Bytes of the active segment's records that somebody wants; false: it has not looked at all of them yet, and goes on
 * when it is asked again. */
bool plan_measure_active(struct log *l, struct segment *s, uint64_t *bytes);
void plan_stop_measuring_active(struct log *l);

#endif
