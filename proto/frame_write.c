/* Writing frames: bodies are appended to a buffer that the link seals. Repeated elements are written in steps, and
 * the length is patched at the end. */
#include "proto/control.h"
#include "proto/frame.h"

#define FRAME_BODIES 8u

void frame_header_write(uint8_t out[FRAME_HEADER_SIZE], const struct frame_header *h)
{
    out[0] = 1 << 3 | WIRE_FIXED64;
    wire_store64(out + 1, h->token.high);
    out[9] = 2 << 3 | WIRE_FIXED64;
    wire_store64(out + 10, h->token.low);
    out[18] = 3 << 3 | WIRE_FIXED32;
    wire_store32(out + 19, h->epoch);
    out[23] = 4 << 3 | WIRE_FIXED64;
    wire_store64(out + 24, h->sequence);
    out[32] = 5 << 3 | WIRE_FIXED64;
    wire_store64(out + 33, h->received);
    out[41] = 6 << 3 | WIRE_FIXED32;
    wire_store32(out + 42, h->stamp);
    out[46] = 7 << 3 | WIRE_FIXED32;
    wire_store32(out + 47, h->echo);
}

/* Begins a Body and the member of its oneof. */
static struct open_body begin(struct buf *b, enum body_kind kind)
{
    struct open_body open;
    open.body = wire_begin(b, FRAME_BODIES);
    open.inner = wire_begin(b, (uint32_t)kind);
    return open;
}

void frame_end(struct buf *b, struct open_body open)
{
    wire_end(b, open.inner);
    wire_end(b, open.body);
}

void frame_add_hello(struct buf *b, struct span request_id, struct span ingress)
{
    struct open_body open = begin(b, BODY_HELLO);
    wire_add_span(b, 1, request_id);
    wire_add_span(b, 2, ingress);
    frame_end(b, open);
}

/* Appends a body of a name and numbers from field 2 on. */
static void add_named(struct buf *b, enum body_kind kind, struct span name, const uint64_t *numbers, uint32_t count)
{
    struct open_body open = begin(b, kind);
    wire_add_span(b, 1, name);
    for (uint32_t i = 0; i < count; i++)
        wire_add_number(b, i + 2, numbers[i]);
    frame_end(b, open);
}

void frame_add_skip(struct buf *b, struct span destination, uint64_t first, uint64_t count)
{
    add_named(b, BODY_SKIP, destination, (uint64_t[]){ first, count }, 2);
}

void frame_add_seen(struct buf *b, struct span destination, uint64_t through)
{
    add_named(b, BODY_SEEN, destination, &through, 1);
}

void frame_add_credit(struct buf *b, struct span queue, uint64_t generation, uint64_t limit)
{
    add_named(b, BODY_CREDIT, queue, (uint64_t[]){ generation, limit }, 2);
}

void frame_add_consume(struct buf *b, struct span queue, uint32_t number)
{
    add_named(b, BODY_CONSUME, queue, (uint64_t[]){ number }, 1);
}

void frame_add_leave(struct buf *b, struct span queue)
{
    add_named(b, BODY_LEAVE, queue, NULL, 0);
}

void frame_add_bye(struct buf *b)
{
    frame_end(b, begin(b, BODY_BYE));
}

void frame_add_refuse(struct buf *b, struct span destination, uint64_t first, uint64_t count, uint32_t reason,
                      uint64_t depth, uint64_t capacity, uint32_t retry_after_ms, struct span queue)
{
    const uint64_t numbers[] = { first, count, reason, depth, capacity, retry_after_ms };
    struct open_body open = begin(b, BODY_REFUSE);
    wire_add_span(b, 1, destination);
    for (uint32_t i = 0; i < 6; i++)
        wire_add_number(b, i + 2, numbers[i]);
    wire_add_span(b, 8, queue);
    frame_end(b, open);
}

void frame_add_idle(struct buf *b, struct span queue, uint64_t generation)
{
    add_named(b, BODY_IDLE, queue, &generation, 1);
}

void frame_add_turn(struct buf *b, struct span queue, enum turn_state state, uint64_t consumer_epoch, bool contended,
                    uint32_t reason, uint32_t consumption)
{
    add_named(b, BODY_TURN, queue, (uint64_t[]){ state, consumer_epoch, contended, reason, consumption }, 5);
}

void frame_add_window(struct buf *b, uint64_t events, uint64_t bytes)
{
    struct open_body open = begin(b, BODY_WINDOW);
    wire_add_number(b, 1, events);
    wire_add_number(b, 2, bytes);
    frame_end(b, open);
}

void frame_add_receipt_ack(struct buf *b, const struct receipt_ack *ack)
{
    struct open_body open = begin(b, BODY_RECEIPT_ACK);
    wire_add_number(b, 1, ack->request);
    wire_add_number(b, 2, ack->kind);
    wire_add_span(b, 3, ack->receipt);
    wire_add_number(b, 4, ack->ms);
    wire_add_number(b, 5, ack->status);
    wire_add_span(b, 6, ack->error);
    frame_end(b, open);
}

void frame_add_receipt_settled(struct buf *b, uint64_t request, enum settle_result result)
{
    struct open_body open = begin(b, BODY_RECEIPT_SETTLED);
    wire_add_number(b, 1, request);
    wire_add_number(b, 2, result);
    frame_end(b, open);
}

/* ------------------------------------------------------------------ in steps */

struct open_body frame_begin_publish(struct buf *b, struct span destination, uint64_t first, uint32_t wait_ms)
{
    struct open_body open = begin(b, BODY_PUBLISH);
    wire_add_span(b, 1, destination);
    wire_add_number(b, 2, first);
    wire_add_number(b, 3, wait_ms);
    return open;
}

/* Writes the beginning of an entry up to its event's end, which it returns. `behind`: bytes that will follow. */
static inline uint8_t *put_event(uint8_t *to, struct span event, size_t behind)
{
    *to++ = 4 << 3 | WIRE_BYTES;
    to = wire_put_varint(to, 1 + wire_varint_size(event.size) + event.size + behind);
    *to++ = 1 << 3 | WIRE_BYTES;
    to = wire_put_varint(to, event.size);
    if (event.size)
        memcpy(to, event.data, event.size);
    return to + event.size;
}

/* Fast path for an entry that is only an event, the usual case: its size is known in advance. */
static void add_plain_entry(struct buf *b, struct span event)
{
    uint8_t *at = buf_reserve(b, 24 + event.size);
    b->size += (size_t)(put_event(at, event, 0) - at);
}

/* Fast path for an event with an id, in the form that read_usual expects. */
static void add_usual_entry(struct buf *b, const struct entry *e)
{
    size_t behind = (e->continued ? 2 : 0) + (e->dedup.size ? 2 + EVENT_HASH_SIZE : 0);
    uint8_t *at = buf_reserve(b, 24 + e->event.size + behind), *to = put_event(at, e->event, behind);
    if (e->continued) {
        *to++ = 3 << 3 | WIRE_VARINT;
        *to++ = 1;
    }
    if (e->dedup.size) {
        *to++ = 7 << 3 | WIRE_BYTES;
        *to++ = EVENT_HASH_SIZE;
        memcpy(to, e->dedup.data, EVENT_HASH_SIZE);
        to += EVENT_HASH_SIZE;
    }
    b->size += (size_t)(to - at);
}

static bool has_no_terms(const struct entry *e)
{
    return !e->key.size && !e->expires_ms && !e->not_before_ms && !e->topic && !e->delay_ms;
}

void frame_add_entry(struct buf *b, const struct entry *e, uint32_t publish_wait_ms)
{
    if (e->wait_ms == publish_wait_ms && has_no_terms(e)) {
        if (!e->continued && !e->dedup.size) {
            add_plain_entry(b, e->event);
            return;
        }
        if (!e->dedup.size || e->dedup.size == EVENT_HASH_SIZE) {
            add_usual_entry(b, e);
            return;
        }
    }
    size_t mark = wire_begin(b, 4);
    wire_add_bytes(b, 1, e->event);
    if (e->wait_ms != publish_wait_ms)
        wire_add_number(b, 2, (uint64_t)e->wait_ms + 1);
    wire_add_number(b, 3, e->continued);
    wire_add_span(b, 4, e->key);
    wire_add_fixed64(b, 5, (uint64_t)e->expires_ms);
    wire_add_fixed64(b, 6, (uint64_t)e->not_before_ms);
    wire_add_span(b, 7, e->dedup);
    wire_add_number(b, 9, e->topic);
    wire_add_number(b, 8, e->delay_ms);
    wire_end(b, mark);
}

/* Widths of the fields filled in later: a sequence is below 2^53. */
#define NUMBER_BYTES 8u
#define WAIT_BYTES   5u

struct early_publish frame_begin_early_publish(struct buf *b, struct span destination)
{
    struct early_publish early = { .body = begin(b, BODY_PUBLISH) };
    wire_add_span(b, 1, destination);
    early.numbers = b->size;
    buf_reserve(b, 2 + NUMBER_BYTES + WAIT_BYTES);
    b->size += 2 + NUMBER_BYTES + WAIT_BYTES;
    return early;
}

void frame_end_early_publish(struct buf *b, struct early_publish early, uint64_t first, uint32_t wait_ms)
{
    uint8_t *to = b->data + early.numbers;
    *to++ = 2 << 3 | WIRE_VARINT;
    to = wire_put_padded(to, first, NUMBER_BYTES);
    *to++ = 3 << 3 | WIRE_VARINT;
    wire_put_padded(to, wait_ms, WAIT_BYTES);
    frame_end(b, early.body);
}

void frame_add_entry_in_place(struct buf *b, size_t event_size, const uint8_t *hash)
{
    uint8_t *to = b->data + b->size, *end = to + ENTRY_HEAD + event_size;
    if (hash) {
        *end++ = 7 << 3 | WIRE_BYTES;
        *end++ = EVENT_HASH_SIZE;
        memcpy(end, hash, EVENT_HASH_SIZE);
        end += EVENT_HASH_SIZE;
    }
    b->size = (size_t)(end - b->data);
    *to++ = 4 << 3 | WIRE_BYTES;
    to = wire_put_padded(to, (uint64_t)(end - to) - 2, 2);
    *to++ = 1 << 3 | WIRE_BYTES;
    wire_put_padded(to, event_size, 2);
}

struct span frame_entry_content(const struct buf *b, size_t offset)
{
    struct wire_reader r = wire_open(span_of(b->data + offset, b->size - offset));
    struct wire_field f = { 0 };
    wire_next(&r, &f);
    return f.bytes;
}

void frame_add_entry_again(struct buf *b, struct span content, uint32_t wait_ms, uint32_t publish_wait_ms)
{
    uint64_t wait = wait_ms == publish_wait_ms ? 0 : (uint64_t)wait_ms + 1;
    uint8_t *at = buf_reserve(b, 24 + content.size), *to = at;
    *to++ = 4 << 3 | WIRE_BYTES;
    to = wire_put_varint(to, content.size + (wait ? 1 + wire_varint_size(wait) : 0));
    memcpy(to, content.data, content.size);
    to += content.size;
    if (wait) {
        *to++ = 2 << 3 | WIRE_VARINT;
        to = wire_put_varint(to, wait);
    }
    b->size += (size_t)(to - at);
}

struct open_body frame_begin_ack(struct buf *b, struct span queue, uint64_t consumer_epoch)
{
    struct open_body open = begin(b, BODY_ACK);
    wire_add_span(b, 1, queue);
    wire_add_number(b, 2, consumer_epoch);
    return open;
}

/* An element of numbers only. */
static void add_numbers(struct buf *b, uint32_t tag, const uint64_t *numbers, uint32_t count)
{
    size_t mark = wire_begin(b, tag);
    for (uint32_t i = 0; i < count; i++)
        wire_add_number(b, i + 1, numbers[i]);
    wire_end(b, mark);
}

void frame_add_settle(struct buf *b, const struct settle *s)
{
    if (s->status == 0 && s->error.size == 0) {
        add_numbers(b, 3, (uint64_t[]){ s->kind, s->first, s->count, s->ms }, 4);
        return;
    }
    size_t mark = wire_begin(b, 3);
    wire_add_number(b, 1, s->kind);
    wire_add_number(b, 2, s->first);
    wire_add_number(b, 3, s->count);
    wire_add_number(b, 4, s->ms);
    wire_add_number(b, 5, s->status);
    wire_add_span(b, 6, s->error);
    wire_end(b, mark);
}

struct open_body frame_begin_confirm(struct buf *b, struct span destination)
{
    struct open_body open = begin(b, BODY_CONFIRM);
    wire_add_span(b, 1, destination);
    return open;
}

void frame_add_run(struct buf *b, const struct run *r)
{
    add_numbers(b, 2, (uint64_t[]){ r->first, r->count, r->sequence, 0, r->flags }, 5);
}

void frame_add_topic_run(struct buf *b, const struct run *r, const struct target *targets, size_t count)
{
    const uint64_t numbers[] = { r->first, r->count, r->sequence, 0, r->flags };
    size_t mark = wire_begin(b, 2);
    for (uint32_t i = 0; i < 5; i++)
        wire_add_number(b, i + 1, numbers[i]);
    for (size_t i = 0; i < count; i++) {
        size_t target = wire_begin(b, 6);
        wire_add_span(b, 1, span_str(targets[i].queue));
        wire_add_number(b, 2, targets[i].sequence);
        wire_end(b, target);
    }
    wire_end(b, mark);
}

struct open_body frame_begin_settled(struct buf *b, struct span queue, uint64_t consumer_epoch)
{
    struct open_body open = begin(b, BODY_SETTLED);
    wire_add_span(b, 1, queue);
    wire_add_number(b, 2, consumer_epoch);
    return open;
}

void frame_add_settled_run(struct buf *b, const struct settled_run *r)
{
    add_numbers(b, 3, (uint64_t[]){ r->first, r->count, r->result }, 3);
}

struct open_body frame_begin_deliver(struct buf *b, struct span queue, uint64_t consumer_epoch, uint32_t lease_ms,
                                     uint32_t consumption)
{
    struct open_body open = begin(b, BODY_DELIVER);
    wire_add_span(b, 1, queue);
    wire_add_number(b, 2, consumer_epoch);
    wire_add_number(b, 3, lease_ms);
    wire_add_number(b, 5, consumption);
    return open;
}

void frame_add_fence(struct buf *b, uint64_t fence)
{
    wire_add_number(b, 6, fence);
}

size_t frame_begin_batch(struct buf *b, uint64_t first_delivery, uint64_t first_sequence, uint32_t attempt,
                         struct span receipt)
{
    size_t mark = wire_begin(b, 4);
    wire_add_number(b, 1, first_delivery);
    wire_add_number(b, 2, first_sequence);
    wire_add_number(b, 3, attempt);
    wire_add_span(b, 4, receipt);
    return mark;
}

void frame_add_event(struct buf *b, struct span event)
{
    wire_add_bytes(b, 5, event);
}
