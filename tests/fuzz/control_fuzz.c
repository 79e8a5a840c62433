/* Control messages and events: what unpacks within its arena packs again. */
#include "proto/control.h"
#include "proto/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct request request;
    struct reply reply;
    struct event event;
    struct error why;
    struct buf out = { 0 };
    arena_init(&arena, 8 * size + 65536);
    if (request_unpack(span_of(data, size), &arena, &request))
        request_pack(&request, &out);
    if (reply_unpack(span_of(data, size), &arena, &reply))
        reply_pack(&reply, &out);
    if (event_decode(span_of(data, size), &arena, &event, &why))
        event_encode(&event, &out);
    buf_free(&out);
    arena_free(&arena);
    return 0;
}
