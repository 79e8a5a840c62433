/* For tests: a log over the simulated disk, beside a plain model of what was put into it. Every call changes both.
 * Every completion and every start is checked against the model: nothing confirmed is lost, nothing is invented,
 * nothing whose settlement is durable comes back.
 *
 * Sequences begin at 1. An event's bytes follow from a salt, which the model remembers. */
#ifndef SLUICE_TESTS_LOG_MODEL_H
#define SLUICE_TESTS_LOG_MODEL_H

#include "broker/store/log.h"
#include "tests/sim/disk.h"

#define MODEL_QUEUES  64u
#define MODEL_EVENTS  (1u << 16) /* of a queue */
#define MODEL_NOTES   (1u << 14)
#define MODEL_RUN_MAX 16u

struct model_event {
    uint64_t ticket; /* 0: known to be durable */
    store_locator at;
    int64_t accepted_ms;
    uint64_t settle_epoch; /* of its settlement */
    uint32_t size, salt;
    bool exists, settled, back; /* back: recovery found it */
    bool more; /* of a shared run of which this queue is not the first target, so it has the other note */
};

struct model_queue {
    uint32_t id;
    bool forgotten;
    uint64_t forget_epoch;
    uint64_t next; /* sequence */
    uint64_t live, live_bytes;
    struct model_event *events; /* by sequence */
    bool loading;
    uint64_t load_from, load_done; /* load_done: tickets completed when it began */
    /* what replay reported */
    uint64_t books_next, books_live;
};

struct model {
    uint64_t seed, random, step;
    struct disk *disk;
    struct files *files;
    struct store *log;
    struct log_config config;
    mono_t now;
    struct model_queue queues[MODEL_QUEUES];
    uint32_t queue_count;
    uint64_t ticket, done; /* highest issued, completed */
    uint64_t epoch;        /* of settlements: counts them */
    uint64_t durable_epoch;
    struct {
        uint64_t epoch, ticket;
    } asked;                    /* of settled_ticket, last */
    uint64_t notes, notes_base; /* written; those up to notes_base are known to be durable */
    uint64_t note_tickets[MODEL_NOTES];
    uint64_t books_notes;
    bool failed;   /* the log said so */
    bool may_fail; /* faults are injected */
    bool shares;   /* runs go to several queues */
    bool waits;    /* half the turns may wait for the disk */
    uint64_t failures, loaded, refused;
};

uint64_t model_random(struct model *m, uint64_t below);
/* Fails the test with the seed and the step. */
void model_expect(struct model *m, bool fine, const char *what, uint64_t a, uint64_t b);

void model_begin(struct model *m, uint64_t seed, uint64_t segment_size, enum log_sync sync);
void model_end(struct model *m);

struct model_queue *model_new_queue(struct model *m);
void model_new_queues(struct model *m, uint32_t count);
struct log_info model_info(const struct model *m);
/* `count` events of 200 bytes in each queue in turn, durable. */
void model_fill(struct model *m, uint64_t count);
/* Loads all live events whose bytes are on disk only. */
void model_load_all(struct model *m);
/* False: the log refused them. */
bool model_append(struct model *m, struct model_queue *q, uint32_t count, uint32_t size, bool keep);
/* The same events for several queues at once. */
bool model_share(struct model *m, struct model_queue **queues, uint32_t queue_count, uint32_t count, uint32_t size,
                 bool keep);
void model_settle(struct model *m, struct model_queue *q, uint64_t sequence, enum store_cause cause);
void model_settle_rest(struct model *m, struct model_queue *q, uint64_t from);
void model_release(struct model *m, struct model_queue *q, uint64_t sequence);
void model_load(struct model *m, struct model_queue *q, uint64_t from, uint64_t bytes);
void model_note(struct model *m);
void model_forget(struct model *m, struct model_queue *q);
/* Asks for the ticket that covers the settlements so far. */
void model_ask_settled(struct model *m);
/* The first live sequence at or beyond `from`; 0: none. */
uint64_t model_first_live(const struct model_queue *q, uint64_t from);

/* One loop turn: `ms` pass, flush, up to `steps` disk operations, completions; then everything is validated. */
void model_turn(struct model *m, int64_t ms, uint64_t steps);
void model_poll(struct model *m);
/* Runs turns until nothing is under way. */
void model_quiet(struct model *m);

enum model_end { MODEL_CRASH, MODEL_KILL, MODEL_STOP };
/* Ends the log in that way, opens it again and compares it with the model. */
void model_restart(struct model *m, enum model_end how);
/* The two halves of model_restart. */
void model_shut(struct model *m, enum model_end how);
void model_open(struct model *m, enum model_end how);

/* `groups` groups of four events of 100 bytes, in each of two queues in turn, each durable before the next. */
void model_write_groups(struct model *m, int groups);
/* The same: several segments of live events, and a checkpoint. */
void model_write_segments(struct model *m);

#endif
