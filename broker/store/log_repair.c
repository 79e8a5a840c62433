/* --repair: makes a new log from every whole record of a damaged one.
 *
 * With a checkpoint, in this order:
 *
 *   1. what was live then is written anew (log_repair_copy.c). A live event that is in no whole record gets an empty
 *      event in its place, which is dropped at the end: the core's ledger counts it, and stays exact;
 *   2. the checkpoint is written, with the core's state copied as it is;
 *   3. what was logged after it is written again, record by record (log_repair_replay.c).
 *
 * Without a checkpoint there is only the third step, over all segments; moved runs are put in their place among their
 * queue's events. Files that are not the log's are copied.
 *
 * The new log is written by the log's own code, over files that execute every operation at once (log_repair_new.c). */
#include "broker/store/log_repair.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAST_SEGMENT (1u << 20)
#define MOST_SEGMENT  (1u << 30)

void repair_report(struct repair *r, const char *format, ...)
{
    char line[512];
    va_list rest;
    va_start(rest, format);
    vsnprintf(line, sizeof line, format, rest);
    va_end(rest);
    r->report(r->context, line);
}

static void report_lost(struct repair *r)
{
    struct repair_queue *k, *next;
    HASH_ITER (hh, r->queues, k, next) {
        for (size_t i = 0; i < k->lost.count; i++) {
            const struct range *lost = ranges_at(&k->lost, i);
            uint64_t count = 0;
            for (uint64_t s = lost->first; s < lost->end; s++) {
                count += !ranges_has(&k->gone, s);
                repair_settle_one(r, k, s, 0, CAUSE_DROPPED);
            }
            if (count)
                repair_report(r, "queue %" PRIu32 ": %" PRIu64 " event%s lost, sequences %" PRIu64 " to %" PRIu64,
                              k->id, count, count == 1 ? " is" : "s are", lost->first, lost->end - 1);
        }
        const struct log_queue *q = log_queue_of(r->new, k->id, false);
        if (q && q->live)
            repair_report(r, "queue %" PRIu32 ": %" PRIu64 " event%s salvaged", k->id, q->live,
                          q->live == 1 ? " is" : "s are");
    }
}

/* ------------------------------------------------------------------ the whole */

static bool keep_state(void *context, struct span state)
{
    struct repair *r = context;
    if (r->readable && !r->readable(state))
        return false; /* no start could read the copy either */
    buf_add(&r->state, state.data, state.size);
    return true;
}

static bool open_old(struct repair *r, const struct log_config *config, struct error *e)
{
    bool key_in_file;
    r->old = log_new(config, r->from);
    if (log_key_find(r->old, &key_in_file, e))
        return true;
    repair_report(r, "%s", e->text);
    return false;
}

/* True without a usable checkpoint, too: then everything that is there will be replayed. */
static bool read_checkpoint(struct repair *r, const struct log_config *config)
{
    struct error e;
    bool found = false;
    const struct log_replay replay = { .context = r, .restore = keep_state };
    if (!open_old(r, config, &e))
        return false;
    if (checkpoint_read(r->old, &replay, &r->position, &found, &e) && found)
        return true;
    if (found)
        repair_report(r, "%s", e.text);
    repair_report(r, "there is no usable checkpoint: what only it had (queues, producers, settlements) is lost");
    log_free(r->old);
    r->position = (struct position){ 0 };
    buf_clear(&r->state);
    return open_old(r, config, &e);
}

/* Did the log go on behind the checkpoint, in this segment? A start seals the segment that it finds. */
static bool goes_on(const struct repair *r, const struct walked *w)
{
    if (w->id == r->position.segment)
        return w->torn || w->end > r->position.offset;
    return w->id > r->position.segment && (w->torn || w->groups || !w->blank);
}

static bool walk_all(struct repair *r, uint64_t from, const struct walk *w)
{
    struct walked out;
    size_t count = 0;
    int why;
    uint64_t *ids = walk_list(r->from, &count, &why);
    for (size_t i = 0; i < count && why == 0; i++) {
        if (ids[i] < from)
            continue;
        why = walk_segment(r->old, ids[i], w, &out);
        r->went_on |= why == 0 && goes_on(r, &out);
    }
    free(ids);
    if (why)
        repair_report(r, "cannot read the log: %s", strerror(why));
    return why == 0;
}

struct copying {
    struct repair *repair;
    bool fine;
};

static void copy_file(void *context, const char *name, uint64_t size)
{
    struct copying *c = context;
    struct repair *r = c->repair;
    uint64_t id;
    (void)size;
    if (!c->fine || segment_id_of(name, &id) || strcmp(name, "checkpoint") == 0 || strcmp(name, LOG_KEY_FILE) == 0 ||
        strcmp(name, "lock") == 0)
        return;
    struct file_op op = { .kind = FILE_REPLACE };
    snprintf(op.name, sizeof op.name, "%s", name);
    int why = walk_read(r->from, name, &op.data);
    why = why ? why : r->to->ops->apply(r->to, &op);
    buf_free(&op.data);
    c->fine = why == 0;
    if (why)
        repair_report(r, "cannot copy %s: %s", name, strerror(why));
}

static void is_foreign(void *context, const char *name, uint64_t size)
{
    (void)size;
    *(bool *)context |= strcmp(name, "lock") != 0;
}

static bool is_empty(struct repair *r)
{
    bool foreign = false;
    int why = r->to->ops->list(r->to, is_foreign, &foreign);
    if (why || foreign)
        repair_report(r, "the directory to repair to %s", why ? "cannot be read" : "is not empty");
    return why == 0 && !foreign;
}

static void report_damage(void *context, uint64_t segment, uint64_t from, uint64_t to)
{
    struct repair *r = context;
    r->damaged++;
    repair_report(r, "%016" PRIx64 ".log: damaged from offset %" PRIu64 " to %" PRIu64, segment, from, to);
}

/* An empty note behind the checkpoint. Where nothing else is salvaged from there, a start would take the end of the
 * old log for an orderly one. */
static void put_trace(struct repair *r)
{
    uint64_t ticket;
    r->new->base.ops->note(&r->new->base, (struct span){ 0 }, &ticket);
}

static bool salvage(struct repair *r)
{
    const struct walk all = { r, r->position.segment ? repair_copy_record : repair_note_moved, report_damage };
    const struct walk after = { r, repair_replay_record, NULL };
    struct copying c = { r, true };
    repair_want(r);
    if (!walk_all(r, 0, &all))
        return false;
    if (r->position.segment && !repair_copy_checkpoint(r))
        return false;
    if (!walk_all(r, r->position.segment, &after) || !repair_pump(r))
        return false;
    if (r->position.segment && r->went_on)
        put_trace(r);
    report_lost(r);
    return repair_pump(r) && r->from->ops->list(r->from, copy_file, &c) == 0 && c.fine;
}

static void largest_segment(void *context, const char *name, uint64_t size)
{
    uint64_t id, *most = context;
    if (segment_id_of(name, &id) && size > *most && size <= MOST_SEGMENT)
        *most = size;
}

bool log_repair(struct files *from, struct files *to, const uint8_t key[LOG_KEY_SIZE], log_readable_fn *readable,
                void (*report)(void *context, const char *line), void *context)
{
    struct repair r = { .from = from, .to = to, .readable = readable, .report = report, .context = context };
    struct log_config config;
    log_config_defaults(&config);
    config.lazy_ms = 0;
    config.segment_size = LEAST_SEGMENT;
    memcpy(config.key, key, LOG_KEY_SIZE);
    from->ops->list(from, largest_segment, &config.segment_size);
    bool fine = is_empty(&r);
    fine = fine && read_checkpoint(&r, &config) && repair_open_new(&r, &config) && salvage(&r);
    while (r.queues)
        repair_queue_drop(&r, r.queues);
    live_free(&r.room);
    buf_free(&r.state);
    buf_free(&r.moved);
    if (r.new)
        log_free(r.new);
    if (r.old)
        log_free(r.old);
    return fine;
}
