/* Reading the repeated elements of a body, one per call: entries, settlements, runs, batches and their events. They
 * stay encoded until they are asked for. */
#include "base/units.h"
#include "proto/frame_priv.h"

/* Fast path for what our own writer puts after an event with an id: `continued`, if set, and the hash. */
static bool read_usual(struct wire_reader *r, struct entry *e)
{
    const uint8_t *at = r->at;
    size_t left = (size_t)(r->end - at);
    if (left == 4 + EVENT_HASH_SIZE && at[0] == (3 << 3 | WIRE_VARINT) && at[1] == 1)
        at += 2;
    else if (left != 2 + EVENT_HASH_SIZE)
        return false;
    if (at[0] != (7 << 3 | WIRE_BYTES) || at[1] != EVENT_HASH_SIZE)
        return false;
    e->continued = at != r->at;
    e->dedup = span_of(at + 2, EVENT_HASH_SIZE);
    return true;
}

static enum frame_status read_entry(struct span bytes, struct entry *e)
{
    struct wire_reader r = wire_open(bytes);
    if (wire_next_bytes(&r, 1, &e->event) && (wire_done(&r) || read_usual(&r, e)))
        return FRAME_OK;
    FOR_EACH_FIELD(&r, f)
    {
        switch (f.tag << 3 | f.type) {
        case 1 << 3 | WIRE_BYTES: e->event = f.bytes; break;
        case 2 << 3 | WIRE_VARINT:
            if (f.number)
                e->wait_ms = frame_small(f.number - 1);
            break;
        case 3 << 3 | WIRE_VARINT: e->continued = f.number != 0; break;
        case 4 << 3 | WIRE_BYTES: e->key = f.bytes; break;
        case 5 << 3 | WIRE_FIXED64: e->expires_ms = (int64_t)f.number; break;
        case 6 << 3 | WIRE_FIXED64: e->not_before_ms = (int64_t)f.number; break;
        case 8 << 3 | WIRE_VARINT: e->delay_ms = f.number; break;
        case 7 << 3 | WIRE_BYTES:
            if (f.bytes.size != 0 && f.bytes.size != EVENT_HASH_SIZE)
                return FRAME_BAD;
            e->dedup = f.bytes;
            break;
        case 9 << 3 | WIRE_VARINT: e->topic = f.number != 0; break;
        default: break;
        }
    }
    return FRAME_OK;
}

enum frame_status publish_next(struct body *publish, struct entry *out)
{
    struct span entry;
    if (wire_next_bytes(&publish->u.publish.entries, 4, &entry)) {
        WIRE_PREFETCH(&publish->u.publish.entries, entry.size);
        *out = (struct entry){ .wait_ms = publish->u.publish.wait_ms };
        return read_entry(entry, out);
    }
    FOR_EACH_FIELD(&publish->u.publish.entries, f)
    {
        if (!frame_field_is(&f, 4, WIRE_BYTES))
            continue;
        *out = (struct entry){ .wait_ms = publish->u.publish.wait_ms };
        return read_entry(f.bytes, out);
    }
    return FRAME_END;
}

struct span publish_peek_dedup(const struct body *publish)
{
    struct wire_reader r = publish->u.publish.entries;
    struct span entry;
    const size_t size = 2 + EVENT_HASH_SIZE;
    if (!wire_next_bytes(&r, 4, &entry) || entry.size < size)
        return (struct span){ 0 };
    const uint8_t *last = entry.data + entry.size - size;
    return last[0] == (7 << 3 | WIRE_BYTES) && last[1] == EVENT_HASH_SIZE ? span_of(last + 2, EVENT_HASH_SIZE)
                                                                          : (struct span){ 0 };
}

static struct span settle_error(struct span settle)
{
    struct span error = { 0 };
    struct wire_reader r = wire_open(settle);
    struct wire_field f;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (frame_field_is(&f, 6, WIRE_BYTES))
            error = f.bytes;
    }
    return error;
}

enum frame_status ack_next(struct body *ack, struct settle *out)
{
    FOR_EACH_FIELD(&ack->u.ack.settles, f)
    {
        uint64_t n[5] = { 0 };
        if (!frame_field_is(&f, 3, WIRE_BYTES))
            continue;
        if (frame_numbers(wire_open(f.bytes), NULL, n, 5) != FRAME_OK || n[0] > SETTLE_LAST ||
            !frame_run_fits(n[1], n[2]))
            return FRAME_BAD;
        *out = (struct settle){ (enum settle_kind)n[0], n[1], n[2], n[3], frame_small(n[4]), { 0 } };
        if (out->kind == SETTLE_NACK || out->kind == SETTLE_DEFER || out->kind == SETTLE_DROP)
            out->error = settle_error(f.bytes);
        return FRAME_OK;
    }
    return FRAME_END;
}

enum frame_status confirm_next(struct body *confirm, struct run *out)
{
    FOR_EACH_FIELD(&confirm->u.confirm.runs, f)
    {
        uint64_t n[5] = { 0 };
        if (!frame_field_is(&f, 2, WIRE_BYTES))
            continue;
        bool topic;
        if (frame_numbers(wire_open(f.bytes), NULL, n, 5) != FRAME_OK || !frame_run_fits(n[0], n[1]))
            return FRAME_BAD;
        topic = n[4] & RUN_TOPIC;
        if (topic ? n[2] >= SEQUENCE_MAX : !frame_run_fits(n[2], n[1]))
            return FRAME_BAD;
        *out = (struct run){ n[0], n[1], n[2], frame_small(n[4]), wire_open(f.bytes) };
        return FRAME_OK;
    }
    return FRAME_END;
}

enum frame_status run_target_next(struct run *run, struct span *queue, uint64_t *sequence)
{
    FOR_EACH_FIELD(&run->targets, f)
    {
        uint64_t n[2] = { 0 };
        *queue = (struct span){ 0 };
        if (!frame_field_is(&f, 6, WIRE_BYTES))
            continue;
        if (frame_numbers(wire_open(f.bytes), queue, n, 2) != FRAME_OK || !name_valid(*queue) || n[1] >= SEQUENCE_MAX ||
            !frame_run_fits(n[1] + run->sequence, run->count))
            return FRAME_BAD;
        *sequence = n[1] + run->sequence;
        return FRAME_OK;
    }
    return FRAME_END;
}

enum frame_status settled_next(struct body *settled, struct settled_run *out)
{
    FOR_EACH_FIELD(&settled->u.settled.runs, f)
    {
        uint64_t n[3] = { 0 };
        if (!frame_field_is(&f, 3, WIRE_BYTES))
            continue;
        if (frame_numbers(wire_open(f.bytes), NULL, n, 3) != FRAME_OK || !frame_run_fits(n[0], n[1]) ||
            n[2] > SETTLED_LAST)
            return FRAME_BAD;
        *out = (struct settled_run){ n[0], n[1], (enum settle_result)n[2] };
        return FRAME_OK;
    }
    return FRAME_END;
}

static enum frame_status read_batch(struct wire_reader r, struct batch *out)
{
    *out = (struct batch){ .events = { r.end, r.end } };
    while (!wire_done(&r)) {
        struct wire_reader before = r;
        struct wire_field f;
        if (!wire_next(&r, &f))
            return FRAME_BAD;
        if (frame_field_is(&f, 5, WIRE_BYTES)) {
            out->events = before;
            break;
        }
        if (frame_field_is(&f, 1, WIRE_VARINT))
            out->first_delivery = f.number;
        else if (frame_field_is(&f, 2, WIRE_VARINT))
            out->first_sequence = f.number;
        else if (frame_field_is(&f, 3, WIRE_VARINT))
            out->attempt = frame_small(f.number);
        else if (frame_field_is(&f, 4, WIRE_BYTES))
            out->receipt = f.bytes;
    }
    return frame_run_fits(out->first_delivery, 1) && frame_run_fits(out->first_sequence, 1) ? FRAME_OK : FRAME_BAD;
}

enum frame_status deliver_next(struct body *deliver, struct batch *out)
{
    FOR_EACH_FIELD(&deliver->u.deliver.batches, f)
    {
        if (frame_field_is(&f, 4, WIRE_BYTES))
            return read_batch(wire_open(f.bytes), out);
    }
    return FRAME_END;
}

enum frame_status batch_next(struct batch *batch, struct span *event)
{
    if (wire_next_bytes(&batch->events, 5, event)) {
        WIRE_PREFETCH(&batch->events, event->size);
        return FRAME_OK;
    }
    FOR_EACH_FIELD(&batch->events, f)
    {
        if (!frame_field_is(&f, 5, WIRE_BYTES))
            continue;
        *event = f.bytes;
        return FRAME_OK;
    }
    return FRAME_END;
}

bool receipt_split(struct span text, struct span *receipt, uint64_t *index)
{
    size_t dot = text.size;
    while (dot > 0 && text.data[dot - 1] != '.')
        dot--;
    if (dot < 2 || dot == text.size || text.size - dot > 9)
        return false;
    *index = 0;
    for (size_t i = dot; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *index = *index * 10 + (uint64_t)(text.data[i] - '0');
    }
    *receipt = span_of(text.data, dot - 1);
    return true;
}
