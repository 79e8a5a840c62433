/* The replies to mutations, kept under their request's id: a client that lost a reply repeats the request under the
 * same id, and the mutation is not done twice. The request is kept beside the reply, so that a different call under
 * the same id is refused rather than given a reply to something it did not ask. */
#include "broker/core/state.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* Is `r` the same call, not only the same id? */
static bool repeats(const struct cached_reply *a, const struct request *r)
{
    struct buf packed = { 0 };
    request_pack(r, &packed);
    bool same = span_equal(buf_span(&packed), buf_span(&a->request));
    buf_free(&packed);
    return same;
}

bool reply_cache_repeat(struct core *c, const struct request *r, const struct route *route)
{
    struct cached_reply *a = NULL;
    HASH_FIND(hh, c->reply_cache, &r->id, sizeof r->id, a);
    if (!a || token_is_zero(r->id))
        return false;
    if (!repeats(a, r)) {
        struct reply other = { .id = r->id, .reason = REASON_invalid };
        other.detail = "another call was answered under this request id; give each call an id of its own";
        core_reply(c, route, &other);
        return true;
    }
    struct effect *e = core_effect(c, EFFECT_REPLY);
    e->route = *route;
    buf_add(&e->bytes, a->reply.data, a->reply.size);
    return true;
}

static uint64_t bytes_of(const struct cached_reply *a)
{
    return a->request.size + a->reply.size;
}

static void free_answer(struct core *c, struct cached_reply *a)
{
    c->reply_cache_count--;
    c->reply_cache_bytes -= bytes_of(a);
    DL_DELETE(c->reply_cache_list, a);
    HASH_DEL(c->reply_cache, a);
    buf_free(&a->request);
    buf_free(&a->reply);
    free(a);
}

void reply_cache_free(struct core *c)
{
    while (c->reply_cache_list)
        free_answer(c, c->reply_cache_list);
}

void reply_cache_add(struct core *c, struct token id, struct span packed_request, const struct effect *reply)
{
    struct cached_reply *a = xcalloc(1, sizeof *a);
    a->id = id;
    buf_add(&a->request, packed_request.data, packed_request.size);
    buf_add(&a->reply, reply->bytes.data, reply->bytes.size);
    HASH_ADD(hh, c->reply_cache, id, sizeof a->id, a);
    DL_APPEND(c->reply_cache_list, a);
    c->reply_cache_count++;
    c->reply_cache_bytes += bytes_of(a);
    while (c->reply_cache_count > REPLY_CACHE_MOST ||
           (c->reply_cache_bytes > REPLY_CACHE_BYTES && c->reply_cache_count > 1))
        free_answer(c, c->reply_cache_list);
}
