#include "tests/proto/sample_frame.h"

#include "proto/control.h"

#define S(text) span_str(text)

const struct frame_header sample_header = { .token = { UINT64_C(0x1122334455667788), UINT64_C(0x99aabbccddeeff00) },
                                            .epoch = 7,
                                            .sequence = UINT64_C(1) << 40,
                                            .received = 12345,
                                            .stamp = 0xdeadbeef,
                                            .echo = 42 };

static void add_publish(struct buf *b)
{
    struct open_body open = frame_begin_publish(b, S("orders"), 100, 5000);
    frame_add_entry(b, &(struct entry){ .event = S("first"), .wait_ms = 5000 }, 5000);
    frame_add_entry(b,
                    &(struct entry){ .event = S("second"),
                                     .wait_ms = 0,
                                     .continued = true,
                                     .key = S("k"),
                                     .expires_ms = INT64_C(1) << 45,
                                     .not_before_ms = -1,
                                     .dedup = S("sixteen bytes...") },
                    5000);
    frame_add_entry(b, &(struct entry){ .event = S(""), .wait_ms = UINT32_MAX - 1 }, 5000);
    frame_end(b, open);
}

static void add_deliver(struct buf *b)
{
    struct open_body open = frame_begin_deliver(b, S("mail"), 3, 30000, 2);
    frame_add_fence(b, 5);
    size_t batch = frame_begin_batch(b, 11, 1000, 1, S("receipt-a"));
    frame_add_event(b, S("one"));
    frame_add_event(b, S(""));
    wire_end(b, batch);
    batch = frame_begin_batch(b, 13, 990, 2, S("receipt-b"));
    frame_add_event(b, S("again"));
    wire_end(b, batch);
    frame_end(b, open);
}

void sample_bodies(struct buf *b)
{
    struct open_body open;
    frame_add_hello(b, S("request-id-of-16"), S("tcp://*:7401"));
    add_publish(b);
    frame_add_skip(b, S("orders"), 101, 2);
    frame_add_seen(b, S("orders"), 99);
    open = frame_begin_ack(b, S("mail"), 3);
    frame_add_settle(b, &(struct settle){ .kind = SETTLE_ACK, .first = 11, .count = 2 });
    frame_add_settle(b, &(struct settle){ SETTLE_NACK, 13, 1, 500, 503, span_str("no luck") });
    frame_add_settle(b, &(struct settle){ .kind = SETTLE_RELEASE, .first = 14, .count = 3 });
    frame_end(b, open);
    frame_add_credit(b, S("mail"), 5, 64);
    frame_add_consume(b, S("mail"), 2);
    frame_add_leave(b, S("mail"));
    frame_add_bye(b);
    open = frame_begin_confirm(b, S("orders"));
    frame_add_run(b, &(struct run){ .first = 100, .count = 1, .sequence = 70, .flags = RUN_DURABLE });
    frame_add_run(b, &(struct run){ .first = 101, .count = 40, .sequence = 71, .flags = RUN_DUPLICATE });
    frame_end(b, open);
    frame_add_refuse(b, S("orders"), 141, 9, 1, 10000, 10001, 250, S("audit"));
    add_deliver(b);
    open = frame_begin_settled(b, S("mail"), 3);
    frame_add_settled_run(b, &(struct settled_run){ 11, 2, SETTLED_ACKED });
    frame_add_settled_run(b, &(struct settled_run){ 13, 1, SETTLED_UNKNOWN });
    frame_end(b, open);
    frame_add_idle(b, S("mail"), 5);
    frame_add_turn(b, S("mail"), TURN_ACTIVE, 4, true, 9, 2);
    frame_add_window(b, 2048, 1 << 20);
    frame_add_receipt_ack(b, &(struct receipt_ack){ 77, 60000, SETTLE_EXTEND, S("receipt-a.1"), 503, S("no luck") });
    frame_add_receipt_settled(b, 77, SETTLED_EXTENDED);
}

void sample_frame(struct buf *b)
{
    frame_header_write(buf_reserve(b, FRAME_HEADER_SIZE), &sample_header);
    b->size += FRAME_HEADER_SIZE;
    sample_bodies(b);
}

/* ------------------------------------------------------------------ reading */

static void put(struct buf *text, struct span s)
{
    buf_add_byte(text, ' ');
    buf_add(text, s.data, s.size);
}

static void put_number(struct buf *text, uint64_t number)
{
    buf_printf(text, " %llu", (unsigned long long)number);
}

static void put_numbers(struct buf *text, const uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_number(text, numbers[i]);
}

#define PUT(text, ...)                                                                                                 \
    put_numbers(text, (uint64_t[]){ __VA_ARGS__ }, sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static enum frame_status describe_publish(struct body *b, struct buf *text)
{
    struct entry e;
    enum frame_status status;
    PUT(text, b->u.publish.first, b->u.publish.wait_ms);
    while ((status = publish_next(b, &e)) == FRAME_OK) {
        buf_add_str(text, "\n  entry");
        put(text, e.event);
        PUT(text, e.wait_ms, e.continued, (uint64_t)e.expires_ms, (uint64_t)e.not_before_ms);
        put(text, e.key);
        put(text, e.dedup);
    }
    return status;
}

static enum frame_status describe_deliver(struct body *b, struct buf *text)
{
    struct batch batch;
    struct span event;
    enum frame_status status;
    PUT(text, b->u.deliver.consumer_epoch, b->u.deliver.lease_ms, b->u.deliver.consumption, b->u.deliver.fence);
    while ((status = deliver_next(b, &batch)) == FRAME_OK) {
        buf_add_str(text, "\n  batch");
        PUT(text, batch.first_delivery, batch.first_sequence, batch.attempt);
        put(text, batch.receipt);
        while ((status = batch_next(&batch, &event)) == FRAME_OK) {
            buf_add_str(text, "\n    event");
            put(text, event);
        }
        if (status == FRAME_BAD)
            return status;
    }
    return status;
}

/* The first few. */
static void describe_targets(struct run *run, struct buf *text)
{
    struct span queue;
    uint64_t sequence;
    for (unsigned i = 0; i < 8 && run_target_next(run, &queue, &sequence) == FRAME_OK; i++) {
        buf_add_str(text, " to ");
        buf_add(text, queue.data, queue.size);
        PUT(text, sequence);
    }
}

static enum frame_status describe_runs(struct body *b, struct buf *text)
{
    struct settle settle;
    struct run run;
    struct settled_run settled;
    enum frame_status status = FRAME_END;
    if (b->kind == BODY_ACK) {
        PUT(text, b->u.ack.consumer_epoch);
        while ((status = ack_next(b, &settle)) == FRAME_OK) {
            buf_add_str(text, "\n  settle");
            PUT(text, settle.kind, settle.first, settle.count, settle.ms, settle.status);
            put(text, settle.error);
        }
    } else if (b->kind == BODY_CONFIRM) {
        while ((status = confirm_next(b, &run)) == FRAME_OK) {
            buf_add_str(text, "\n  run");
            PUT(text, run.first, run.count, run.sequence, run.flags);
            if (run.flags & RUN_TOPIC)
                describe_targets(&run, text);
        }
    } else {
        PUT(text, b->u.settled.consumer_epoch);
        while ((status = settled_next(b, &settled)) == FRAME_OK) {
            buf_add_str(text, "\n  run");
            PUT(text, settled.first, settled.count, settled.result);
        }
    }
    return status;
}

static enum frame_status describe_body(struct body *b, struct buf *text)
{
    switch (b->kind) {
    case BODY_HELLO:
        put(text, b->u.hello.request_id);
        put(text, b->u.hello.ingress);
        break;
    case BODY_PUBLISH: return describe_publish(b, text);
    case BODY_SKIP: PUT(text, b->u.skip.first, b->u.skip.count); break;
    case BODY_SEEN: PUT(text, b->u.seen.through); break;
    case BODY_CREDIT: PUT(text, b->u.credit.generation, b->u.credit.limit); break;
    case BODY_CONSUME: PUT(text, b->u.consume.number); break;
    case BODY_LEAVE:
    case BODY_BYE: break;
    case BODY_ACK:
    case BODY_CONFIRM:
    case BODY_SETTLED: return describe_runs(b, text);
    case BODY_REFUSE:
        PUT(text, b->u.refuse.first, b->u.refuse.count, b->u.refuse.reason, b->u.refuse.depth, b->u.refuse.capacity,
            b->u.refuse.retry_after_ms);
        put(text, b->u.refuse.queue);
        break;
    case BODY_DELIVER: return describe_deliver(b, text);
    case BODY_IDLE: PUT(text, b->u.idle.generation); break;
    case BODY_TURN:
        PUT(text, b->u.turn.state, b->u.turn.consumer_epoch, b->u.turn.contended, b->u.turn.reason,
            b->u.turn.consumption);
        break;
    case BODY_WINDOW: PUT(text, b->u.window.events, b->u.window.bytes); break;
    case BODY_RECEIPT_ACK:
        PUT(text, b->u.receipt_ack.request, b->u.receipt_ack.kind, b->u.receipt_ack.ms);
        PUT(text, b->u.receipt_ack.status);
        put(text, b->u.receipt_ack.receipt);
        put(text, b->u.receipt_ack.error);
        break;
    case BODY_RECEIPT_SETTLED: PUT(text, b->u.receipt_settled.request, b->u.receipt_settled.result); break;
    }
    return FRAME_END;
}

enum frame_status describe_frame(struct span frame, struct buf *text)
{
    struct frame_header header;
    struct wire_reader bodies;
    struct body body;
    enum frame_status status = frame_open(frame, &header, &bodies);
    if (status != FRAME_OK)
        return status;
    while ((status = frame_next(&bodies, &body)) == FRAME_OK) {
        buf_printf(text, "%d", (int)body.kind);
        if (body.kind != BODY_BYE) /* has no fields */
            put(text, body.name);
        if (describe_body(&body, text) == FRAME_BAD)
            return FRAME_BAD;
        buf_add_byte(text, '\n');
    }
    return status;
}
