/* Reading frames: a bounds-checked scan that allocates nothing and copies nothing. Every reader works the same way:
 * walk the fields, keep known ones, skip unknown ones, refuse malformed ones. Headers and bodies are read here, the
 * repeated elements of a body in frame_list.c. */
#include "proto/frame_priv.h"

enum frame_status frame_open(struct span frame, struct frame_header *h, struct wire_reader *bodies)
{
    struct wire_reader r = wire_open(frame);
    *h = (struct frame_header){ 0 };
    *bodies = (struct wire_reader){ r.end, r.end };
    while (!wire_done(&r)) {
        struct wire_reader before = r;
        struct wire_field f;
        if (!wire_next(&r, &f))
            return FRAME_BAD;
        if (frame_field_is(&f, 8, WIRE_BYTES)) { /* the rest is bodies; frame_next skips anything between them */
            *bodies = before;
            return FRAME_OK;
        }
        if (frame_field_is(&f, 1, WIRE_FIXED64))
            h->token.high = f.number;
        else if (frame_field_is(&f, 2, WIRE_FIXED64))
            h->token.low = f.number;
        else if (frame_field_is(&f, 3, WIRE_FIXED32))
            h->epoch = (uint32_t)f.number;
        else if (frame_field_is(&f, 4, WIRE_FIXED64))
            h->sequence = f.number;
        else if (frame_field_is(&f, 5, WIRE_FIXED64))
            h->received = f.number;
        else if (frame_field_is(&f, 6, WIRE_FIXED32))
            h->stamp = (uint32_t)f.number;
        else if (frame_field_is(&f, 7, WIRE_FIXED32))
            h->echo = (uint32_t)f.number;
    }
    return FRAME_OK;
}

/* ------------------------------------------------------------------ bodies */

static enum frame_status read_hello(struct wire_reader r, struct body *b)
{
    FOR_EACH_FIELD(&r, f)
    {
        if (frame_field_is(&f, 1, WIRE_BYTES))
            b->u.hello.request_id = f.bytes;
        else if (frame_field_is(&f, 2, WIRE_BYTES))
            b->u.hello.ingress = f.bytes;
    }
    return FRAME_OK;
}

/* Publish, Ack, Confirm, Deliver, Settled: scalars first, then repeated elements, which stay unread. Protobuf allows
 * a writer to mix them; then the iterator begins at the first element and skips the scalars between them. */
static enum frame_status read_publish(struct wire_reader r, struct body *b)
{
    b->u.publish.entries = (struct wire_reader){ r.end, r.end };
    while (!wire_done(&r)) {
        struct wire_reader before = r;
        struct wire_field f;
        if (!wire_next(&r, &f))
            return FRAME_BAD;
        if (frame_field_is(&f, 1, WIRE_BYTES)) {
            b->name = f.bytes;
        } else if (frame_field_is(&f, 2, WIRE_VARINT)) {
            b->u.publish.first = f.number;
        } else if (frame_field_is(&f, 3, WIRE_VARINT)) {
            b->u.publish.wait_ms = frame_small(f.number);
        } else if (frame_field_is(&f, 4, WIRE_BYTES)) {
            b->u.publish.entries = before;
            break;
        }
    }
    return b->u.publish.first < SEQUENCE_MAX ? FRAME_OK : FRAME_BAD;
}

/* Name, epoch and the position of the first repeated field `tag`; *extra takes the number of field 3. */
static enum frame_status read_list(struct wire_reader r, struct span *name, uint64_t *epoch, uint32_t *extra,
                                   uint32_t tag, struct wire_reader *list)
{
    *list = (struct wire_reader){ r.end, r.end };
    while (!wire_done(&r)) {
        struct wire_reader before = r;
        struct wire_field f;
        if (!wire_next(&r, &f))
            return FRAME_BAD;
        if (frame_field_is(&f, tag, WIRE_BYTES)) {
            *list = before;
            break;
        }
        if (frame_field_is(&f, 1, WIRE_BYTES))
            *name = f.bytes;
        else if (frame_field_is(&f, 2, WIRE_VARINT) && epoch)
            *epoch = f.number;
        else if (frame_field_is(&f, 3, WIRE_VARINT) && extra)
            *extra = frame_small(f.number);
    }
    return FRAME_OK;
}

enum frame_status frame_numbers(struct wire_reader r, struct span *name, uint64_t *numbers, uint32_t count)
{
    FOR_EACH_FIELD(&r, f)
    {
        if (name && frame_field_is(&f, 1, WIRE_BYTES))
            *name = f.bytes;
        else if (f.type == WIRE_VARINT && f.tag - 1 < count)
            numbers[f.tag - 1] = f.number;
    }
    return FRAME_OK;
}

static enum frame_status read_skip(struct wire_reader r, struct body *b)
{
    uint64_t n[3] = { 0 };
    if (frame_numbers(r, &b->name, n, 3) != FRAME_OK || !frame_run_fits(n[1], n[2]))
        return FRAME_BAD;
    b->u.skip.first = n[1];
    b->u.skip.count = n[2];
    return FRAME_OK;
}

static enum frame_status read_refuse(struct wire_reader r, struct body *b)
{
    uint64_t n[7] = { 0 };
    struct wire_reader all = r;
    FOR_EACH_FIELD(&all, f)
    {
        if (frame_field_is(&f, 8, WIRE_BYTES))
            b->u.refuse.queue = f.bytes;
    }
    if (frame_numbers(r, &b->name, n, 7) != FRAME_OK || !frame_run_fits(n[1], n[2]))
        return FRAME_BAD;
    b->u.refuse.first = n[1];
    b->u.refuse.count = n[2];
    b->u.refuse.reason = frame_small(n[3]);
    b->u.refuse.depth = n[4];
    b->u.refuse.capacity = n[5];
    b->u.refuse.retry_after_ms = frame_small(n[6]);
    return FRAME_OK;
}

static enum frame_status read_credit(struct wire_reader r, struct body *b)
{
    uint64_t n[3] = { 0 };
    if (frame_numbers(r, &b->name, n, 3) != FRAME_OK || n[2] >= SEQUENCE_MAX)
        return FRAME_BAD;
    b->u.credit.generation = n[1];
    b->u.credit.limit = n[2];
    return FRAME_OK;
}

static enum frame_status read_turn(struct wire_reader r, struct body *b)
{
    uint64_t n[6] = { 0 };
    if (frame_numbers(r, &b->name, n, 6) != FRAME_OK || n[1] > TURN_REVOKED)
        return FRAME_BAD;
    b->u.turn.state = (enum turn_state)n[1];
    b->u.turn.consumer_epoch = n[2];
    b->u.turn.contended = n[3] != 0;
    b->u.turn.reason = frame_small(n[4]);
    b->u.turn.consumption = frame_small(n[5]);
    return FRAME_OK;
}

static enum frame_status read_receipt_ack(struct wire_reader r, struct body *b)
{
    uint64_t kind = 0;
    FOR_EACH_FIELD(&r, f)
    {
        if (frame_field_is(&f, 1, WIRE_VARINT))
            b->u.receipt_ack.request = f.number;
        else if (frame_field_is(&f, 2, WIRE_VARINT))
            kind = f.number;
        else if (frame_field_is(&f, 3, WIRE_BYTES))
            b->u.receipt_ack.receipt = f.bytes;
        else if (frame_field_is(&f, 4, WIRE_VARINT))
            b->u.receipt_ack.ms = f.number;
        else if (frame_field_is(&f, 5, WIRE_VARINT))
            b->u.receipt_ack.status = frame_small(f.number);
        else if (frame_field_is(&f, 6, WIRE_BYTES))
            b->u.receipt_ack.error = f.bytes;
    }
    b->u.receipt_ack.kind = (enum settle_kind)kind;
    return kind <= SETTLE_LAST ? FRAME_OK : FRAME_BAD;
}

static enum frame_status read_receipt_settled(struct wire_reader r, struct body *b)
{
    uint64_t n[2] = { 0 };
    if (frame_numbers(r, NULL, n, 2) != FRAME_OK || n[1] > SETTLED_LAST)
        return FRAME_BAD;
    b->u.receipt_settled.request = n[0];
    b->u.receipt_settled.result = (enum settle_result)n[1];
    return FRAME_OK;
}

/* A writer that orders fields by number puts the consumption (5) after the batches (4), so the whole body is walked,
 * one step per batch. */
static enum frame_status read_deliver(struct wire_reader r, struct body *b)
{
    struct wire_reader all = r;
    FOR_EACH_FIELD(&all, f)
    {
        if (frame_field_is(&f, 5, WIRE_VARINT))
            b->u.deliver.consumption = frame_small(f.number);
        else if (frame_field_is(&f, 6, WIRE_VARINT))
            b->u.deliver.fence = f.number;
    }
    return read_list(r, &b->name, &b->u.deliver.consumer_epoch, &b->u.deliver.lease_ms, 4, &b->u.deliver.batches);
}

static enum frame_status read_body(enum body_kind kind, struct wire_reader r, struct body *b)
{
    uint64_t n[3] = { 0 };
    enum frame_status status = FRAME_OK;
    switch (kind) {
    case BODY_HELLO: return read_hello(r, b);
    case BODY_PUBLISH: return read_publish(r, b);
    case BODY_SKIP: return read_skip(r, b);
    case BODY_SEEN:
        status = frame_numbers(r, &b->name, n, 2);
        b->u.seen.through = n[1];
        return status;
    case BODY_ACK: return read_list(r, &b->name, &b->u.ack.consumer_epoch, NULL, 3, &b->u.ack.settles);
    case BODY_CREDIT: return read_credit(r, b);
    case BODY_CONSUME:
        status = frame_numbers(r, &b->name, n, 2);
        b->u.consume.number = frame_small(n[1]);
        return status;
    case BODY_LEAVE:
    case BODY_BYE: return frame_numbers(r, &b->name, n, 0);
    case BODY_CONFIRM: return read_list(r, &b->name, NULL, NULL, 2, &b->u.confirm.runs);
    case BODY_REFUSE: return read_refuse(r, b);
    case BODY_DELIVER: return read_deliver(r, b);
    case BODY_SETTLED: return read_list(r, &b->name, &b->u.settled.consumer_epoch, NULL, 3, &b->u.settled.runs);
    case BODY_IDLE:
        status = frame_numbers(r, &b->name, n, 2);
        b->u.idle.generation = n[1];
        return status;
    case BODY_TURN: return read_turn(r, b);
    case BODY_WINDOW:
        status = frame_numbers(r, NULL, n, 2);
        b->u.window.events = n[0];
        b->u.window.bytes = n[1];
        return status;
    case BODY_RECEIPT_ACK: return read_receipt_ack(r, b);
    case BODY_RECEIPT_SETTLED: return read_receipt_settled(r, b);
    }
    return FRAME_BAD;
}

/* Reads the member of a Body's oneof; FRAME_END when this version knows none in it. The last member counts. Each
 * starts from a cleared struct: members share memory, and another's leftovers must not be read as pointers. */
static enum frame_status open_member(struct span bytes, struct body *out)
{
    struct wire_reader r = wire_open(bytes);
    enum frame_status status = FRAME_END;
    FOR_EACH_FIELD(&r, f)
    {
        if (f.type != WIRE_BYTES || f.tag > BODY_RECEIPT_SETTLED)
            continue;
        *out = (struct body){ .kind = (enum body_kind)f.tag };
        status = read_body(out->kind, wire_open(f.bytes), out);
        if (status != FRAME_OK)
            return FRAME_BAD;
    }
    return status;
}

enum frame_status frame_next(struct wire_reader *bodies, struct body *out)
{
    FOR_EACH_FIELD(bodies, f)
    {
        if (!frame_field_is(&f, 8, WIRE_BYTES))
            continue;
        enum frame_status status = open_member(f.bytes, out);
        if (status != FRAME_END)
            return status;
    }
    return FRAME_END;
}
