/* Fuzzes control messages: a message that unpacks within its arena must pack again, and repeating this must give the
 * same bytes. */
#include "proto/control.h"

#include <stdlib.h>

#define ARENA(size) (64 * (size) + 65536)

static bool repack_request(struct span bytes, struct buf *out)
{
    struct arena arena;
    struct request r;
    arena_init(&arena, ARENA(bytes.size));
    bool fine = request_unpack(bytes, &arena, &r);
    if (fine)
        request_pack(&r, out);
    arena_free(&arena);
    return fine;
}

static bool repack_reply(struct span bytes, struct buf *out)
{
    struct arena arena;
    struct reply r;
    arena_init(&arena, ARENA(bytes.size));
    bool fine = reply_unpack(bytes, &arena, &r);
    if (fine)
        reply_pack(&r, out);
    arena_free(&arena);
    return fine;
}

static void check(struct span bytes, bool (*repack)(struct span, struct buf *))
{
    struct buf once = { 0 }, twice = { 0 };
    if (repack(bytes, &once) && (!repack(buf_span(&once), &twice) || !span_equal(buf_span(&once), buf_span(&twice))))
        abort();
    buf_free(&once);
    buf_free(&twice);
}

/* If the arena is too small for a message, it must be refused as a whole. */
static void check_small(struct span bytes)
{
    struct arena arena;
    struct request request;
    struct reply reply;
    arena_init(&arena, bytes.size);
    request_unpack(bytes, &arena, &request);
    arena_free(&arena);
    reply_unpack(bytes, &arena, &reply);
    if (arena.used > arena.cap)
        abort();
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(span_of(data, size), repack_request);
    check(span_of(data, size), repack_reply);
    check_small(span_of(data, size));
    return 0;
}
