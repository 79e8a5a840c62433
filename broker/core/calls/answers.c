/* Answers to mutations, remembered under the request's id: a client that lost the reply asks again under the same id, and
 * what it asked for is not done twice. The request is kept beside its answer, so that another call that was given the same id
 * by mistake is told so instead of being answered with what it did not ask. */
#include "broker/core/state.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* Is it the call that was answered under this id? */
static bool repeats(const struct answered *a, const struct request *r)
{
    struct buf packed = { 0 };
    request_pack(r, &packed);
    bool same = span_equal(buf_span(&packed), buf_span(&a->request));
    buf_free(&packed);
    return same;
}

bool answers_again(struct core *c, const struct request *r, const struct route *route)
{
    struct answered *a = NULL;
    HASH_FIND(hh, c->answers, &r->id, sizeof r->id, a);
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

static uint64_t bytes_of(const struct answered *a)
{
    return a->request.size + a->reply.size;
}

static void free_answer(struct core *c, struct answered *a)
{
    c->answer_count--;
    c->answer_bytes -= bytes_of(a);
    DL_DELETE(c->answer_list, a);
    HASH_DEL(c->answers, a);
    buf_free(&a->request);
    buf_free(&a->reply);
    free(a);
}

void answers_free(struct core *c)
{
    while (c->answer_list)
        free_answer(c, c->answer_list);
}

void answers_remember(struct core *c, struct token id, struct span packed_request, const struct effect *reply)
{
    struct answered *a = xcalloc(1, sizeof *a);
    a->id = id;
    buf_add(&a->request, packed_request.data, packed_request.size);
    buf_add(&a->reply, reply->bytes.data, reply->bytes.size);
    HASH_ADD(hh, c->answers, id, sizeof a->id, a);
    DL_APPEND(c->answer_list, a);
    c->answer_count++;
    c->answer_bytes += bytes_of(a);
    while (c->answer_count > ANSWERS_REMEMBERED || (c->answer_bytes > ANSWERS_BYTES && c->answer_count > 1))
        free_answer(c, c->answer_list);
}
