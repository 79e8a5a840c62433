/* --repair: the new log. It is written by the log's own code, over files that execute every operation at once. */
#include "broker/store/log_repair.h"

#include "base/xalloc.h"

#include <inttypes.h>
#include <stdlib.h>

#define PUMP_BYTES (128u << 10)

static struct repair *repair_of(const struct files *f)
{
    return (struct repair *)(uintptr_t)((const uint8_t *)f - offsetof(struct repair, at_once));
}

static void submit(struct files *f, struct file_op *op)
{
    struct repair *r = repair_of(f);
    op->error = r->to->ops->apply(r->to, op);
    op->next = NULL;
    *r->last_done = op;
    r->last_done = &op->next;
}

static struct file_op *take_done(struct files *f)
{
    struct repair *r = repair_of(f);
    struct file_op *op = r->done;
    if (op)
        r->done = op->next;
    if (!r->done)
        r->last_done = &r->done;
    return op;
}

static uint64_t room(const struct files *f)
{
    const struct repair *r = repair_of(f);
    return r->to->ops->room(r->to);
}

static int list(struct files *f, void (*visit)(void *context, const char *name, uint64_t size), void *context)
{
    struct repair *r = repair_of(f);
    return r->to->ops->list(r->to, visit, context);
}

static int read_at(struct files *f, const char *name, uint64_t offset, void *to, size_t size, size_t *got)
{
    struct repair *r = repair_of(f);
    return r->to->ops->read(r->to, name, offset, to, size, got);
}

static int extent(struct files *f, const char *name, uint64_t *data, uint64_t *size)
{
    struct repair *r = repair_of(f);
    return r->to->ops->extent(r->to, name, data, size);
}

static int apply(struct files *f, struct file_op *op)
{
    struct repair *r = repair_of(f);
    return r->to->ops->apply(r->to, op);
}

static const struct files_ops at_once_ops = {
    .submit = submit, .done = take_done, .room = room, .list = list, .read = read_at, .extent = extent, .apply = apply
};

/* ------------------------------------------------------------------ the new log */

void repair_lacks_room(struct repair *r)
{
    repair_report(r, "there is no room for the new log; make room, empty the directory, and try again");
    r->stopped = true;
}

bool repair_pump(struct repair *r)
{
    struct log *l = r->new;
    struct store *s = &l->base;
    struct store_completion ignored;
    do {
        s->ops->flush(s, (mono_t){ ++r->clock_ms * 1000 * MONO_MS });
        while (s->ops->poll(s, &ignored)) {
        }
    } while (!l->failed && !l->no_room && (l->committing || l->open || l->first_closed || l->fresh));
    r->unpumped = 0;
    if (l->failed)
        repair_report(r, "%s", l->failure);
    else if (l->no_room)
        repair_lacks_room(r);
    r->stopped |= l->failed;
    return !r->stopped;
}

bool repair_pump_sometimes(struct repair *r, uint64_t bytes)
{
    r->unpumped += bytes;
    return r->unpumped < PUMP_BYTES || repair_pump(r);
}

struct repair_queue *repair_queue_of(struct repair *r, uint32_t id)
{
    struct repair_queue *k = NULL;
    HASH_FIND(hh, r->queues, &id, sizeof id, k);
    if (!k) {
        k = xcalloc(1, sizeof *k);
        k->id = id;
        k->next = 1;
        HASH_ADD(hh, r->queues, id, sizeof k->id, k);
    }
    return k;
}

void repair_queue_drop(struct repair *r, struct repair_queue *k)
{
    ranges_free(&k->have);
    ranges_free(&k->gone);
    ranges_free(&k->lost);
    ranges_free(&k->wanted);
    free(k->moved);
    HASH_DEL(r->queues, k);
    free(k);
}

static bool took(struct repair *r, enum store_status status, uint32_t queue, uint64_t first)
{
    if (status == STORE_LATER)
        return true;
    repair_report(r, "queue %" PRIu32 ": event %" PRIu64 " cannot be written", queue, first);
    r->stopped = true;
    return false;
}

static void has_run(struct repair *r, uint32_t queue, uint64_t first, size_t count)
{
    struct repair_queue *k = repair_queue_of(r, queue);
    ranges_add(&k->have, first, first + count);
    k->next = first + count;
}

static struct store_event *events_of(const struct run_record *run, uint64_t first, uint64_t end)
{
    struct store_event *events = xcalloc(end - first, sizeof *events);
    struct run_record walk = *run;
    struct span event, lane;
    size_t count = 0;
    for (uint64_t s = run->first; run_next(&walk, &event, &lane); s++) {
        if (s >= first && s < end)
            events[count++].event = event;
    }
    return events;
}

bool repair_append_part(struct repair *r, const struct run_record *run, uint64_t first, uint64_t end, struct span note)
{
    struct store *s = &r->new->base;
    uint64_t ticket;
    struct store_run part = { .queue = run->queue,
                              .first = first,
                              .events = events_of(run, first, end),
                              .count = (size_t)(end - first),
                              .accepted_ms = run->accepted_ms,
                              .note = note };
    enum store_status status = s->ops->append(s, &part, &ticket);
    if (status == STORE_FULL && repair_pump(r))
        status = s->ops->append(s, &part, &ticket);
    free(part.events);
    if (!took(r, status, run->queue, first))
        return false;
    has_run(r, run->queue, first, part.count);
    return repair_pump_sometimes(r, run->bytes);
}

/* The target that has the note comes first, as share() wants it. */
static struct store_target *targets_for(const struct shared_record *run)
{
    struct store_target *targets = xcalloc(run->target_count, sizeof *targets);
    struct target_reader reader = targets_open(run->targets, run->target_count, 0);
    struct run_target t;
    for (uint32_t i = 0; target_next(&reader, &t); i++) {
        uint32_t at = i == run->noted ? 0 : i < run->noted ? i + 1 : i;
        targets[at] = (struct store_target){ .queue = t.queue, .first = t.first };
    }
    return targets;
}

bool repair_share(struct repair *r, const struct shared_record *run)
{
    struct store *s = &r->new->base;
    uint64_t ticket;
    struct run_record all = { .first = 1, .events = run->events };
    struct store_share share = { .targets = targets_for(run),
                                 .target_count = run->target_count,
                                 .events = events_of(&all, 1, 1 + run->count),
                                 .count = (size_t)run->count,
                                 .accepted_ms = run->accepted_ms,
                                 .note = run->note,
                                 .other_note = run->other_note };
    enum store_status status = s->ops->share(s, &share, &ticket);
    if (status == STORE_FULL && repair_pump(r))
        status = s->ops->share(s, &share, &ticket);
    bool fine = took(r, status, share.targets[0].queue, share.targets[0].first);
    for (size_t i = 0; fine && i < share.target_count; i++)
        has_run(r, share.targets[i].queue, share.targets[i].first, share.count);
    free(share.targets);
    free(share.events);
    return fine && repair_pump_sometimes(r, run->bytes);
}

/* A lost event is settled with the bytes that the new log counts for it, whatever its settlement says. */
void repair_settle_one(struct repair *r, struct repair_queue *k, uint64_t sequence, uint64_t bytes,
                       enum store_cause cause)
{
    struct store *s = &r->new->base;
    if (!ranges_add(&k->gone, sequence, sequence + 1))
        return;
    if (ranges_has(&k->lost, sequence)) {
        bytes = k->lost_bytes < UINT32_MAX ? k->lost_bytes : UINT32_MAX;
        k->lost_bytes -= bytes;
    }
    s->ops->settle(s, k->id, sequence, 0, (uint32_t)bytes, cause);
}

bool repair_open_new(struct repair *r, const struct log_config *config)
{
    struct error e;
    const struct log_replay no_replay = { 0 };
    r->at_once.ops = &at_once_ops;
    r->last_done = &r->done;
    struct store *s = log_open(config, &r->at_once, &no_replay, &e);
    if (!s) {
        repair_report(r, "%s", e.text);
        return false;
    }
    r->new = log_self(s);
    r->new->stopping = true;      /* no compaction */
    r->new->checkpointing = true; /* no checkpoint before its time */
    return true;
}
