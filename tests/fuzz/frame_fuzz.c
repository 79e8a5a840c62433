/* Fuzzes every reader of the data path, with arbitrary bytes and with a valid frame in which bytes were changed.
 * Nothing may crash, hang or read out of bounds. A frame that reads as a whole must read the same after it was written
 * again. */
#include "base/units.h"
#include "proto/control.h"
#include "proto/frame.h"

#include <stdlib.h>

#include "tests/proto/sample_frame.h"

static void copy_entries(struct body *b, struct buf *to)
{
    struct entry entry;
    while (publish_next(b, &entry) == FRAME_OK)
        frame_add_entry(to, &entry, b->u.publish.wait_ms);
}

static void copy_settles(struct body *b, struct buf *to)
{
    struct settle settle;
    while (ack_next(b, &settle) == FRAME_OK)
        frame_add_settle(to, &settle);
}

/* Copies the first 8 targets, as many as describe_frame shows. */
static void copy_topic_run(struct run *run, struct buf *to)
{
    struct target targets[8];
    char names[8][NAME_MAX_SIZE + 1];
    size_t count = 0;
    struct span queue;
    uint64_t sequence;
    while (count < 8 && run_target_next(run, &queue, &sequence) == FRAME_OK) {
        memcpy(names[count], queue.data, queue.size);
        names[count][queue.size] = '\0';
        targets[count] = (struct target){ names[count], sequence - run->sequence };
        count++;
    }
    frame_add_topic_run(to, run, targets, count);
}

static void copy_runs(struct body *b, struct buf *to)
{
    struct run run;
    while (confirm_next(b, &run) == FRAME_OK) {
        if (run.flags & RUN_TOPIC)
            copy_topic_run(&run, to);
        else
            frame_add_run(to, &run);
    }
}

static void copy_settled_runs(struct body *b, struct buf *to)
{
    struct settled_run run;
    while (settled_next(b, &run) == FRAME_OK)
        frame_add_settled_run(to, &run);
}

static void copy_batches(struct body *b, struct buf *to)
{
    struct batch batch;
    struct span event;
    while (deliver_next(b, &batch) == FRAME_OK) {
        size_t mark = frame_begin_batch(to, batch.first_delivery, batch.first_sequence, batch.attempt, batch.receipt);
        while (batch_next(&batch, &event) == FRAME_OK)
            frame_add_event(to, event);
        wire_end(to, mark);
    }
}

static void copy_list(struct body *b, struct buf *to)
{
    struct open_body open;
    switch (b->kind) {
    case BODY_PUBLISH:
        open = frame_begin_publish(to, b->name, b->u.publish.first, b->u.publish.wait_ms);
        copy_entries(b, to);
        break;
    case BODY_ACK:
        open = frame_begin_ack(to, b->name, b->u.ack.consumer_epoch);
        copy_settles(b, to);
        break;
    case BODY_CONFIRM:
        open = frame_begin_confirm(to, b->name);
        copy_runs(b, to);
        break;
    case BODY_SETTLED:
        open = frame_begin_settled(to, b->name, b->u.settled.consumer_epoch);
        copy_settled_runs(b, to);
        break;
    default:
        open = frame_begin_deliver(to, b->name, b->u.deliver.consumer_epoch, b->u.deliver.lease_ms,
                                   b->u.deliver.consumption);
        frame_add_fence(to, b->u.deliver.fence);
        copy_batches(b, to);
    }
    frame_end(to, open);
}

static void copy_body(struct body *b, struct buf *to)
{
    switch (b->kind) {
    case BODY_HELLO: frame_add_hello(to, b->u.hello.request_id, b->u.hello.ingress); break;
    case BODY_SKIP: frame_add_skip(to, b->name, b->u.skip.first, b->u.skip.count); break;
    case BODY_SEEN: frame_add_seen(to, b->name, b->u.seen.through); break;
    case BODY_CREDIT: frame_add_credit(to, b->name, b->u.credit.generation, b->u.credit.limit); break;
    case BODY_CONSUME: frame_add_consume(to, b->name, b->u.consume.number); break;
    case BODY_LEAVE: frame_add_leave(to, b->name); break;
    case BODY_BYE: frame_add_bye(to); break;
    case BODY_REFUSE:
        frame_add_refuse(to, b->name, b->u.refuse.first, b->u.refuse.count, b->u.refuse.reason, b->u.refuse.depth,
                         b->u.refuse.capacity, b->u.refuse.retry_after_ms, b->u.refuse.queue);
        break;
    case BODY_IDLE: frame_add_idle(to, b->name, b->u.idle.generation); break;
    case BODY_TURN:
        frame_add_turn(to, b->name, b->u.turn.state, b->u.turn.consumer_epoch, b->u.turn.contended, b->u.turn.reason,
                       b->u.turn.consumption);
        break;
    case BODY_WINDOW: frame_add_window(to, b->u.window.events, b->u.window.bytes); break;
    case BODY_RECEIPT_ACK: frame_add_receipt_ack(to, &b->u.receipt_ack); break;
    case BODY_RECEIPT_SETTLED:
        frame_add_receipt_settled(to, b->u.receipt_settled.request, b->u.receipt_settled.result);
        break;
    default: copy_list(b, to);
    }
}

static void copy_frame(struct span frame, struct buf *to)
{
    struct frame_header header;
    struct wire_reader bodies;
    struct body body;
    frame_open(frame, &header, &bodies);
    frame_header_write(buf_reserve(to, FRAME_HEADER_SIZE), &header);
    to->size += FRAME_HEADER_SIZE;
    while (frame_next(&bodies, &body) == FRAME_OK)
        copy_body(&body, to);
}

/* describe_frame reads every byte of every span, so the sanitizer notices a span that points outside. */
static void check(struct span frame)
{
    struct buf text = { 0 }, copy = { 0 }, again = { 0 };
    if (describe_frame(frame, &text) == FRAME_END) {
        copy_frame(frame, &copy);
        if (describe_frame(buf_span(&copy), &again) != FRAME_END || !span_equal(buf_span(&text), buf_span(&again)))
            abort();
    }
    buf_free(&text);
    buf_free(&copy);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf frame = { 0 };
    struct span receipt;
    uint64_t index;
    check(span_of(data, size));
    receipt_split(span_of(data, size), &receipt, &index);
    sample_frame(&frame);
    for (size_t i = 0; i + 3 <= size && i < 300; i += 3) /* position (two bytes), new value */
        frame.data[(size_t)(data[i] | data[i + 1] << 8) % frame.size] = data[i + 2];
    check(buf_span(&frame));
    buf_free(&frame);
    return 0;
}
