/* SHARED records: a run that several queues have. The list of targets (each queue, and its sequence of the first
 * event) comes first, then the events, once. */
#include "broker/store/log_format.h"

#include "proto/frame.h"

#include <stdlib.h>

#define COUNT_MAX (UINT64_C(1) << 53)

static void add_varint(struct buf *b, uint64_t value)
{
    uint8_t *at = buf_reserve(b, 10);
    b->size += (size_t)(wire_put_varint(at, value) - at);
}

/* ------------------------------------------------------------------ targets */

static int by_queue(const void *a, const void *b)
{
    const struct run_target *x = a, *y = b;
    return x->queue < y->queue ? -1 : x->queue > y->queue;
}

void targets_write(struct buf *b, struct run_target *targets, size_t count)
{
    uint32_t queue = 0;
    if (count > 1)
        qsort(targets, count, sizeof *targets, by_queue);
    for (size_t i = 0; i < count; i++) {
        add_varint(b, targets[i].queue - queue);
        add_varint(b, targets[i].first);
        queue = targets[i].queue;
    }
}

struct target_reader targets_open(struct span encoded, uint32_t count, uint64_t past)
{
    struct target_reader t = { .left = count, .queue = UINT64_MAX, .past = past };
    if (count)
        t.r = wire_open(encoded);
    return t;
}

bool target_next(struct target_reader *t, struct run_target *out)
{
    uint64_t step, first, from = t->queue == UINT64_MAX ? 0 : t->queue;
    if (t->left == 0 || !wire_varint(&t->r, &step) || !wire_varint(&t->r, &first) || step > UINT32_MAX - from ||
        (step == 0 && t->queue != UINT64_MAX) || first == 0 || first >= COUNT_MAX)
        return false;
    t->queue = from + step;
    t->left--;
    *out = (struct run_target){ (uint32_t)t->queue, first + t->past };
    return true;
}

static bool read_targets(struct wire_reader *r, struct shared_record *out)
{
    uint64_t count;
    struct run_target one;
    if (!wire_varint(r, &count) || count == 0 || count > UINT32_MAX)
        return false;
    struct target_reader t = targets_open(span_of(r->at, (size_t)(r->end - r->at)), (uint32_t)count, 0);
    while (target_next(&t, &one)) {
    }
    out->target_count = (uint32_t)count;
    out->targets = span_of(r->at, (size_t)(t.r.at - r->at));
    r->at = t.r.at;
    return t.left == 0;
}

/* ------------------------------------------------------------------ the record */

static size_t begin(struct buf *b, const struct shared_record *s)
{
    size_t mark = record_begin(b, RECORD_SHARED);
    add_varint(b, s->moved);
    add_varint(b, s->target_count);
    buf_add(b, s->targets.data, s->targets.size);
    add_varint(b, s->noted);
    add_varint(b, s->count);
    add_varint(b, (uint64_t)s->accepted_ms);
    add_varint(b, s->note.size);
    buf_add(b, s->note.data, s->note.size);
    add_varint(b, s->other_note.size);
    buf_add(b, s->other_note.data, s->other_note.size);
    return mark;
}

void shared_write(struct buf *b, const struct shared_record *s, const struct store_event *events)
{
    size_t mark = begin(b, s);
    for (size_t i = 0; i < s->count; i++)
        frame_add_event(b, events[i].event);
    record_end(b, mark);
}

void shared_write_raw(struct buf *b, const struct shared_record *s, struct span lane)
{
    size_t mark = begin(b, s);
    buf_add(b, lane.data, lane.size);
    record_end(b, mark);
}

static bool read_note(struct wire_reader *r, struct span *out)
{
    uint64_t size;
    if (!wire_varint(r, &size) || size > (uint64_t)(r->end - r->at))
        return false;
    *out = span_of(r->at, (size_t)size);
    r->at += size;
    return true;
}

static bool read_events(struct shared_record *out)
{
    struct run_record walk = { .events = out->events };
    struct span event, lane;
    out->bytes = 0;
    for (uint64_t i = 0; i < out->count; i++) {
        if (!run_next(&walk, &event, &lane))
            return false;
        out->bytes += event.size;
    }
    return wire_done(&walk.events);
}

bool shared_read(struct span payload, struct shared_record *out)
{
    struct wire_reader r = wire_open(payload);
    uint64_t moved, noted, accepted;
    if (!wire_varint(&r, &moved) || moved > 1 || !read_targets(&r, out) || !wire_varint(&r, &noted) ||
        noted >= out->target_count || !wire_varint(&r, &out->count) || out->count == 0 || out->count >= COUNT_MAX ||
        !wire_varint(&r, &accepted) || !read_note(&r, &out->note) || !read_note(&r, &out->other_note))
        return false;
    out->moved = moved != 0;
    out->noted = (uint32_t)noted;
    out->accepted_ms = (int64_t)accepted;
    out->events = r;
    return read_events(out);
}

/* ------------------------------------------------------------------ one queue's part */

struct run_record shared_run(const struct shared_record *s, uint32_t index, const struct run_target *t)
{
    return (struct run_record){
        .queue = t->queue,
        .first = t->first,
        .count = s->count,
        .accepted_ms = s->accepted_ms,
        .note = index == s->noted ? s->note : s->other_note,
        .events = s->events,
        .bytes = s->bytes,
    };
}

bool record_run_of(const struct record *r, uint32_t queue, struct run_record *out)
{
    struct shared_record s;
    struct run_target t;
    if (r->type != RECORD_SHARED)
        return (r->type == RECORD_EVENTS || r->type == RECORD_MOVED) && run_read(r->payload, out) &&
               out->queue == queue;
    if (!shared_read(r->payload, &s))
        return false;
    struct target_reader targets = targets_open(s.targets, s.target_count, 0);
    for (uint32_t i = 0; target_next(&targets, &t); i++) {
        if (t.queue != queue)
            continue;
        *out = shared_run(&s, i, &t);
        return true;
    }
    return false;
}

bool record_shared(const struct record *r, struct shared_record *out, uint8_t own[OWN_TARGET_MAX])
{
    struct run_record run;
    if (r->type == RECORD_SHARED)
        return shared_read(r->payload, out);
    if ((r->type != RECORD_EVENTS && r->type != RECORD_MOVED) || !run_read(r->payload, &run))
        return false;
    uint8_t *end = wire_put_varint(wire_put_varint(own, run.queue), run.first);
    *out = (struct shared_record){
        .moved = r->type == RECORD_MOVED,
        .target_count = 1,
        .targets = span_of(own, (size_t)(end - own)),
        .count = run.count,
        .accepted_ms = run.accepted_ms,
        .note = run.note,
        .events = run.events,
        .bytes = run.bytes,
    };
    return true;
}
