/* --repair: the new log. It is written by the log's own code, over files that do everything at once. */
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

static int apply(struct files *f, struct file_op *op)
{
    struct repair *r = repair_of(f);
    return r->to->ops->apply(r->to, op);
}

static const struct files_ops at_once_ops = {
    .submit = submit, .done = take_done, .room = room, .list = list, .read = read_at, .apply = apply
};

/* ------------------------------------------------------------------ the new log */

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
    if (l->failed || l->no_room)
        repair_say(r, "%s",
                   l->failed ? l->trouble
                             : "there is no room for the new log; make room, empty the directory, and try again");
    r->stopped |= l->failed || l->no_room;
    return !r->stopped;
}

bool repair_pump_sometimes(struct repair *r, uint64_t bytes)
{
    r->unpumped += bytes;
    return r->unpumped < PUMP_BYTES || repair_pump(r);
}

struct kept *repair_kept_of(struct repair *r, uint32_t id)
{
    struct kept *k = NULL;
    HASH_FIND(hh, r->queues, &id, sizeof id, k);
    if (!k) {
        k = xcalloc(1, sizeof *k);
        k->id = id;
        k->next = 1;
        HASH_ADD(hh, r->queues, id, sizeof k->id, k);
    }
    return k;
}

void repair_kept_drop(struct repair *r, struct kept *k)
{
    ranges_free(&k->have);
    ranges_free(&k->gone);
    ranges_free(&k->lost);
    HASH_DEL(r->queues, k);
    free(k);
}

bool repair_append(struct repair *r, struct kept *k, struct store_run *run)
{
    struct store *s = &r->new->base;
    uint64_t ticket, bytes = 0;
    enum store_status status = s->ops->append(s, run, &ticket);
    if (status == STORE_FULL && repair_pump(r))
        status = s->ops->append(s, run, &ticket);
    if (status != STORE_LATER) {
        repair_say(r, "queue %" PRIu32 ": event %" PRIu64 " cannot be written", run->queue, run->first);
        r->stopped = true;
        return false;
    }
    for (size_t i = 0; i < run->count; i++)
        bytes += run->events[i].event.size;
    ranges_add(&k->have, run->first, run->first + run->count);
    k->next = run->first + run->count;
    return repair_pump_sometimes(r, bytes);
}

bool repair_append_part(struct repair *r, struct run_record *run, uint64_t first, uint64_t end, struct span note)
{
    struct store_event *events = xcalloc(end - first, sizeof *events);
    struct span event, lane;
    size_t count = 0;
    for (uint64_t s = run->first; run_next(run, &event, &lane); s++) {
        if (s >= first && s < end)
            events[count++].event = event;
    }
    struct store_run part = { .queue = run->queue,
                              .first = first,
                              .events = events,
                              .count = count,
                              .accepted_ms = run->accepted_ms,
                              .note = note };
    bool fine = repair_append(r, repair_kept_of(r, run->queue), &part);
    free(events);
    return fine;
}

void repair_settle_one(struct repair *r, struct kept *k, uint64_t sequence, uint64_t bytes, enum store_cause cause)
{
    struct store *s = &r->new->base;
    if (ranges_add(&k->gone, sequence, sequence + 1))
        s->ops->settle(s, k->id, sequence, 0, (uint32_t)bytes, cause);
}

bool repair_open_new(struct repair *r, const struct log_config *config)
{
    struct error e;
    const struct log_replay nobody = { 0 };
    r->at_once.ops = &at_once_ops;
    r->last_done = &r->done;
    struct store *s = log_open(config, &r->at_once, &nobody, &e);
    if (!s) {
        repair_say(r, "%s", e.text);
        return false;
    }
    r->new = log_self(s);
    r->new->stopping = true;      /* nothing is moved */
    r->new->checkpointing = true; /* nor checkpointed before its time */
    return true;
}
