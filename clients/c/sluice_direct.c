/* Publishing from a callback: the thread encodes the event directly into the client's buffer, without lock, queue or
 * copy. Not while callers' publishes are queued (`has_publishes`): those go first, so that no events are reordered. */
#include "clients/c/sluice_priv.h"

#include <assert.h>

bool direct_allowed(struct sluice *s)
{
    return !atomic_load_explicit(&s->has_publishes, memory_order_acquire);
}

/* An encoded event: in room reserved by the client, or in a buffer of its own if it is large. */
struct direct {
    struct buf bytes;
    bool reserved;
    bool hashed;
    uint8_t hash[1][EVENT_HASH_SIZE];
};

static void encode(struct sluice *s, const char *queue, const struct event *e, struct direct *d)
{
    size_t most = event_encoded_most(e);
    uint8_t *at = client_reserve(s->client, span_str(queue), most);
    d->reserved = at != NULL;
    d->bytes = (struct buf){ .data = at, .capacity = at ? most : 0 };
    event_encode(e, &d->bytes);
    assert(!at || d->bytes.data == at);
}

static bool hand_over(struct sluice *s, const char *queue, const struct direct *d, uint32_t wait_ms, struct pending *p,
                      enum reason *why)
{
    struct span event = buf_span(&d->bytes);
    if (d->reserved)
        return client_publish_reserved(s->client, event.size, d->hashed ? d->hash[0] : NULL, wait_ms, p, s->now, why);
    return client_publish_once(s->client, span_str(queue), &event, d->hashed ? d->hash : NULL, 1, wait_ms, p, s->now,
                               why);
}

/* As outbox_admit, but first uses bytes that this turn's outcomes have freed: they are still counted in `buffered`,
 * which then need not change. */
static int admit(struct sluice *s, uint64_t bytes)
{
    if (s->freed_bytes >= bytes) {
        s->freed_bytes -= bytes;
        return SLUICE_OK;
    }
    int error = outbox_admit(s, bytes);
    if (error == SLUICE_BUSY)
        client_end_linger(s->client); /* no more events can join */
    return error;
}

static int publish(struct sluice *s, const char *queue, const struct direct *d, uint32_t wait_ms,
                   sluice_confirm_fn *confirm, void *context)
{
    enum reason why;
    int error = d->bytes.size > FRAME_MAX_SIZE / 2 ? SLUICE_TOO_LARGE : admit(s, d->bytes.size);
    if (error != SLUICE_OK) /* refused before the client has checked the name */
        return name_valid(span_str(queue)) ? error : sluice_invalid_name(queue);
    struct pending *p = pending_new(s, 1, confirm, context, NULL);
    p->bytes = d->bytes.size;
    if (!hand_over(s, queue, d, wait_ms, p, &why)) {
        pending_free(s, p);
        return why == REASON_invalid ? sluice_invalid_name(queue) : (int)why;
    }
    s->published++;
    return SLUICE_OK;
}

/* False, with nothing done, if the event is too large to share a block. */
static bool encode_plain(struct sluice *s, const char *queue, const struct sluice_event *event, struct direct *d)
{
    size_t most = sluice_plain_most(s, event);
    uint8_t *at = client_reserve(s->client, span_str(queue), most);
    if (!at)
        return false;
    d->reserved = true;
    d->hashed = false; /* a generated id cannot identify a retry */
    d->bytes = (struct buf){ .data = at, .size = (size_t)(sluice_encode_plain(s, event, at) - at), .capacity = most };
    return true;
}

int direct_publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                   sluice_confirm_fn *confirm, void *context)
{
    struct sluice_encoding e;
    struct direct d;
    if (s->ending)
        return SLUICE_UNAVAILABLE;
    if (sluice_is_oversized(event))
        return SLUICE_TOO_LARGE;
    if (sluice_is_plain(s, event) && encode_plain(s, queue, event, &d))
        return publish(s, queue, &d, wait_ms, confirm, context);
    if (!sluice_prepare(s, &s->own_ids, event, &e))
        return SLUICE_INVALID;
    encode(s, queue, &e.event, &d);
    d.hashed = event->id != NULL; /* a generated one cannot identify a retry */
    if (d.hashed)
        event_hash(e.event.source, e.event.id, d.hash[0]);
    int error = publish(s, queue, &d, wait_ms, confirm, context);
    if (!d.reserved)
        buf_free(&d.bytes);
    return error;
}
