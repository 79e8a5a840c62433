/* Every reader of the data path on arbitrary bytes: nothing may crash, hang or read outside. What opens is walked whole. */
#include "proto/frame.h"

static void walk(struct body *b)
{
    struct entry entry;
    struct settle settle;
    struct run run;
    struct settled_run settled;
    struct batch batch;
    struct span event;
    switch (b->kind) {
    case BODY_PUBLISH:
        while (publish_next(b, &entry) == FRAME_OK)
            ;
        break;
    case BODY_ACK:
        while (ack_next(b, &settle) == FRAME_OK)
            ;
        break;
    case BODY_CONFIRM:
        while (confirm_next(b, &run) == FRAME_OK)
            ;
        break;
    case BODY_SETTLED:
        while (settled_next(b, &settled) == FRAME_OK)
            ;
        break;
    case BODY_DELIVER:
        while (deliver_next(b, &batch) == FRAME_OK) {
            while (batch_next(&batch, &event) == FRAME_OK)
                ;
        }
        break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_header header;
    struct wire_reader bodies;
    struct body body;
    if (frame_open(span_of(data, size), &header, &bodies) != FRAME_OK)
        return 0;
    while (frame_next(&bodies, &body) == FRAME_OK)
        walk(&body);
    return 0;
}
