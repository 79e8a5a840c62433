/* The codecs: frames of 64 events, and single events. */
#include "proto/event.h"
#include "proto/frame.h"
#include "tests/bench/hot/hot.h"

#include <stdio.h>

#define ROUNDS    200
#define EVENTS    64
#define DATA_SIZE 200

static struct event sample(unsigned number, char id[16], struct attribute attributes[2])
{
    static const char data[DATA_SIZE + 1] = { [0 ... DATA_SIZE - 1] = 'x' };
    snprintf(id, 16, "event-%08u", number);
    attributes[0] = (struct attribute){ span_str("datacontenttype"), ATTRIBUTE_STRING, span_str("text/plain") };
    attributes[1] = (struct attribute){ span_str("time"), ATTRIBUTE_TIMESTAMP, span_str("2026-01-02T03:04:05.678Z") };
    return (struct event){ .id = span_str(id),
                           .source = span_str("/shop/orders"),
                           .type = span_str("shop.order.placed"),
                           .attributes = attributes,
                           .attribute_count = 2,
                           .data_kind = DATA_TEXT,
                           .data = span_of(data, DATA_SIZE) };
}

static HOT void hot_event_encode(const struct event *e, struct buf *out)
{
    struct error why;
    hot_expect(event_check(e, &why), "the event is not valid");
    event_encode(e, out);
}

void hot_event(struct buf *out, unsigned number)
{
    char id[16];
    struct attribute attributes[2];
    struct event e = sample(number, id, attributes);
    event_encode(&e, out);
}

unsigned long event_encode_case(void)
{
    struct buf out = { 0 };
    for (unsigned i = 0; i < ROUNDS * 10; i++) {
        char id[16];
        struct attribute attributes[2];
        struct event e = sample(i, id, attributes);
        buf_clear(&out);
        hot_event_encode(&e, &out);
    }
    buf_free(&out);
    return ROUNDS * 10;
}

static HOT void hot_event_decode(struct span bytes, struct arena *arena)
{
    struct event e;
    struct error why;
    hot_expect(event_decode(bytes, arena, &e, &why), "the event cannot be decoded");
    arena_reset(arena, 65536);
}

unsigned long event_decode_case(void)
{
    struct buf bytes = { 0 };
    struct arena arena;
    arena_init(&arena, 65536);
    hot_event(&bytes, 1);
    for (unsigned i = 0; i < ROUNDS * 10; i++)
        hot_event_decode(buf_span(&bytes), &arena);
    arena_free(&arena);
    buf_free(&bytes);
    return ROUNDS * 10;
}

static HOT void hot_frame_write(struct buf *frame, struct span event)
{
    struct frame_header header = { .token = { 1, 2 }, .epoch = 3, .sequence = 4 };
    frame_header_write(buf_reserve(frame, FRAME_HEADER_SIZE), &header);
    frame->size += FRAME_HEADER_SIZE;
    struct open_body open = frame_begin_publish(frame, span_str("orders"), 1, 5000);
    for (unsigned i = 0; i < EVENTS; i++)
        frame_add_entry(frame, &(struct entry){ .event = event, .wait_ms = 5000 }, 5000);
    frame_end(frame, open);
}

static HOT unsigned hot_frame_read(struct span frame)
{
    struct frame_header header;
    struct wire_reader bodies;
    struct body body;
    struct entry entry;
    unsigned entries = 0;
    hot_expect(frame_open(frame, &header, &bodies) == FRAME_OK, "the frame cannot be read");
    while (frame_next(&bodies, &body) == FRAME_OK) {
        while (publish_next(&body, &entry) == FRAME_OK)
            entries += entry.event.size > 0;
    }
    return entries;
}

unsigned long frame_write_case(void)
{
    struct buf event = { 0 }, frame = { 0 };
    hot_event(&event, 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        buf_clear(&frame);
        hot_frame_write(&frame, buf_span(&event));
    }
    buf_free(&event);
    buf_free(&frame);
    return ROUNDS * EVENTS;
}

unsigned long frame_read_case(void)
{
    struct buf event = { 0 }, frame = { 0 };
    hot_event(&event, 1);
    hot_frame_write(&frame, buf_span(&event));
    for (unsigned i = 0; i < ROUNDS; i++)
        hot_expect(hot_frame_read(buf_span(&frame)) == EVENTS, "a frame lost events");
    buf_free(&event);
    buf_free(&frame);
    return ROUNDS * EVENTS;
}
