/* Records: their header, and the types EVENTS, MOVED, SETTLED and FORGOTTEN. */
#include "broker/store/log_format.h"

#include "proto/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* Counts and sizes in payloads are checked against the bytes that are there; this bound keeps sums and products from
 * overflowing. */
#define COUNT_MAX (UINT64_C(1) << 53)

size_t record_begin(struct buf *b, enum record_type type)
{
    uint8_t *at = buf_reserve(b, RECORD_HEADER_SIZE);
    memset(at, 0, RECORD_HEADER_SIZE);
    at[4] = (uint8_t)type;
    at[5] = 1;
    b->size += RECORD_HEADER_SIZE;
    return b->size;
}

static uint64_t record_checksum(const uint8_t *header, struct span payload)
{
    return XXH3_64bits_withSeed(payload.data, payload.size, wire_load64(header));
}

void record_end(struct buf *b, size_t mark)
{
    uint8_t *header = b->data + mark - RECORD_HEADER_SIZE;
    wire_store32(header, (uint32_t)(b->size - mark));
    wire_store64(header + 8, record_checksum(header, span_of(b->data + mark, b->size - mark)));
}

enum log_status record_next(struct span *rest, struct record *out)
{
    if (rest->size == 0)
        return LOG_END;
    if (rest->size < RECORD_HEADER_SIZE)
        return LOG_BAD;
    uint32_t size = wire_load32(rest->data);
    if (size > rest->size - RECORD_HEADER_SIZE)
        return LOG_BAD;
    out->type = (enum record_type)rest->data[4];
    out->version = rest->data[5];
    out->payload = span_of(rest->data + RECORD_HEADER_SIZE, size);
    if (record_checksum(rest->data, out->payload) != wire_load64(rest->data + 8))
        return LOG_BAD;
    *rest = span_of(out->payload.data + size, rest->size - RECORD_HEADER_SIZE - size);
    return LOG_OK;
}

/* ------------------------------------------------------------------ EVENTS and MOVED */

static void add_varint(struct buf *b, uint64_t value)
{
    uint8_t *at = buf_reserve(b, 10);
    b->size += (size_t)(wire_put_varint(at, value) - at);
}

static void run_head(struct buf *b, uint32_t queue, uint64_t first, uint64_t count, int64_t accepted_ms,
                     struct span note)
{
    add_varint(b, queue);
    add_varint(b, first);
    add_varint(b, count);
    add_varint(b, (uint64_t)accepted_ms);
    add_varint(b, note.size);
    buf_add(b, note.data, note.size);
}

void run_write(struct buf *b, enum record_type type, const struct store_run *run)
{
    size_t mark = record_begin(b, type);
    run_head(b, run->queue, run->first, run->count, run->accepted_ms, run->note);
    for (size_t i = 0; i < run->count; i++)
        frame_add_event(b, run->events[i].event);
    record_end(b, mark);
}

void run_write_raw(struct buf *b, enum record_type type, const struct run_record *run, struct span lane)
{
    size_t mark = record_begin(b, type);
    run_head(b, run->queue, run->first, run->count, run->accepted_ms, run->note);
    buf_add(b, lane.data, lane.size);
    record_end(b, mark);
}

static bool read_head(struct wire_reader *r, struct run_record *out)
{
    uint64_t queue, accepted, note;
    if (!wire_varint(r, &queue) || queue > UINT32_MAX || !wire_varint(r, &out->first) || !wire_varint(r, &out->count) ||
        !wire_varint(r, &accepted) || !wire_varint(r, &note) || note > (uint64_t)(r->end - r->at))
        return false;
    out->queue = (uint32_t)queue;
    out->accepted_ms = (int64_t)accepted;
    out->note = span_of(r->at, (size_t)note);
    r->at += note;
    return out->count > 0 && out->first > 0 && out->first < COUNT_MAX && out->count < COUNT_MAX;
}

bool run_next(struct run_record *run, struct span *event, struct span *lane)
{
    const uint8_t *start = run->events.at;
    struct wire_field f;
    if (wire_done(&run->events) || *start != BATCH_EVENT_TAG || !wire_next(&run->events, &f))
        return false;
    *event = f.bytes;
    *lane = span_of(start, (size_t)(run->events.at - start));
    return true;
}

bool run_read(struct span payload, struct run_record *out)
{
    struct wire_reader r = wire_open(payload);
    if (!read_head(&r, out))
        return false;
    out->events = r;
    struct run_record walk = *out;
    struct span event, lane;
    out->bytes = 0;
    for (uint64_t i = 0; i < out->count; i++) {
        if (!run_next(&walk, &event, &lane))
            return false;
        out->bytes += event.size;
    }
    return wire_done(&walk.events);
}

/* ------------------------------------------------------------------ SETTLED */

void settled_write(struct buf *b, uint32_t queue, const struct settled_range *ranges, size_t count)
{
    size_t mark = record_begin(b, RECORD_SETTLED);
    add_varint(b, queue);
    add_varint(b, count);
    for (size_t i = 0; i < count; i++) {
        add_varint(b, (uint64_t)ranges[i].cause);
        add_varint(b, ranges[i].first);
        add_varint(b, ranges[i].end - ranges[i].first);
        add_varint(b, ranges[i].bytes);
    }
    record_end(b, mark);
}

bool settled_read(struct span payload, struct settled_record *out)
{
    struct wire_reader r = wire_open(payload);
    uint64_t queue;
    if (!wire_varint(&r, &queue) || queue > UINT32_MAX || !wire_varint(&r, &out->left))
        return false;
    out->queue = (uint32_t)queue;
    out->ranges = r;
    return true;
}

enum log_status settled_range_next(struct settled_record *s, struct settled_range *out)
{
    uint64_t cause, count;
    if (s->left == 0)
        return wire_done(&s->ranges) ? LOG_END : LOG_BAD;
    if (!wire_varint(&s->ranges, &cause) || cause > CAUSE_REMOVED || !wire_varint(&s->ranges, &out->first) ||
        !wire_varint(&s->ranges, &count) || !wire_varint(&s->ranges, &out->bytes) || out->first > COUNT_MAX ||
        count == 0 || count > COUNT_MAX)
        return LOG_BAD;
    s->left--;
    out->cause = (enum store_cause)cause;
    out->end = out->first + count;
    return LOG_OK;
}

void forgotten_write(struct buf *b, uint32_t queue)
{
    size_t mark = record_begin(b, RECORD_FORGOTTEN);
    add_varint(b, queue);
    record_end(b, mark);
}

bool forgotten_read(struct span payload, uint32_t *queue)
{
    struct wire_reader r = wire_open(payload);
    uint64_t id;
    if (!wire_varint(&r, &id) || id > UINT32_MAX)
        return false;
    *queue = (uint32_t)id;
    return wire_done(&r);
}
