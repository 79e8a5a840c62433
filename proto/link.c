/* Go-back-N in both directions, with a retransmission timer, delayed acknowledgements, and time stamps whose echo
 * proves to a sender that it is heard. Both ends use the same struct; they differ in how the owner reacts to doubt:
 * a client attaches again, the broker waits for that. */
#include "proto/link.h"

#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

/* The longest time, and the most received frames, without sending an acknowledgement. */
#define TELL_AFTER_MS     25
#define TELL_AFTER_FRAMES 8
/* Resending: least and most time without progress before it, time without progress that is doubt, and most frames
 * sent to a peer that shows none. */
#define RESEND_LEAST_MS 200
#define RESEND_MOST_MS  1000
#define DOUBT_MS        1000
#define RESEND_FRAMES   16
/* Bodies of at least this size become a frame in place, and the buffer gets new memory; copying smaller ones is
 * cheaper. */
#define TAKE_SIZE 4096u

static struct frame *init_frame(struct frame *f, size_t body_size)
{
    atomic_init(&f->holders, 1);
    f->size = (uint32_t)(FRAME_HEADER_SIZE + body_size);
    f->sequence = 0;
    f->sealed = (mono_t){ 0 };
    return f;
}

struct frame *frame_new(size_t body_size)
{
    struct frame *f = xmalloc(sizeof *f + FRAME_HEADER_SIZE + body_size);
    return init_frame(f, body_size);
}

struct frame *frame_take(struct buf *bodies)
{
    assert(bodies->head == FRAME_HEAD && bodies->size > 0);
    struct frame *f = init_frame((struct frame *)(void *)(bodies->data - bodies->head), bodies->size);
    size_t capacity = bodies->capacity;
    *bodies = (struct buf){ .head = FRAME_HEAD };
    buf_reserve(bodies, capacity); /* at once instead of by doubling */
    return f;
}

/* Turns bodies into a frame: in place, unless that would keep much more memory than they need. */
static struct frame *frame_of(struct buf *bodies)
{
    if (bodies->head == FRAME_HEAD && bodies->size >= TAKE_SIZE && bodies->size >= bodies->capacity / 4)
        return frame_take(bodies);
    struct frame *f = frame_new(bodies->size);
    memcpy(f->data + FRAME_HEADER_SIZE, bodies->data, bodies->size);
    buf_clear(bodies);
    return f;
}

struct frame *frame_hold(struct frame *f)
{
    atomic_fetch_add_explicit(&f->holders, 1, memory_order_relaxed);
    return f;
}

void frame_drop(struct frame *f)
{
    if (f && atomic_fetch_sub_explicit(&f->holders, 1, memory_order_acq_rel) == 1)
        free(f);
}

static uint32_t stamp_of(mono_t t)
{
    uint32_t stamp = (uint32_t)(t.ns / MONO_MS);
    return stamp ? stamp : 1; /* 0 means "none heard yet" */
}

void link_init(struct link *l, struct token token, uint32_t epoch, struct link_limits limits, mono_t now)
{
    *l = (struct link){
        .token = token,
        .epoch = epoch,
        .limits = limits,
        .next_sequence = 1,
        .owed_since = MONO_NEVER,
        .last_sent = now,
        .last_heard = now,
        .last_progress = now,
        .last_resend = now,
        .proven = now,
        .resend_wait_ms = RESEND_LEAST_MS,
    };
}

static struct frame **slot(const struct link *l, uint32_t index)
{
    return &l->ring[(l->ring_head + index) & (l->ring_capacity - 1)];
}

static void pop_frame(struct link *l)
{
    struct frame *f = *slot(l, 0);
    l->ring_bytes -= f->size;
    l->ring_head = (l->ring_head + 1) & (l->ring_capacity - 1);
    l->ring_count--;
    frame_drop(f);
}

void link_free(struct link *l)
{
    while (l->ring_count)
        pop_frame(l);
    free(l->ring);
    l->ring = NULL;
    l->ring_capacity = 0;
}

static void push_frame(struct link *l, struct frame *f)
{
    if (l->ring_count == l->ring_capacity) {
        uint32_t capacity = l->ring_capacity ? l->ring_capacity * 2 : 8;
        struct frame **ring = xmalloc(capacity * sizeof *ring);
        for (uint32_t i = 0; i < l->ring_count; i++)
            ring[i] = *slot(l, i);
        free(l->ring);
        l->ring = ring;
        l->ring_capacity = capacity;
        l->ring_head = 0;
    }
    *slot(l, l->ring_count++) = f;
    l->ring_bytes += f->size;
}

/* The other side has received everything up to `through`: drops those frames and samples the round trip (Karn: never
 * from a frame that was sent twice). */
static void acknowledge(struct link *l, uint64_t through, mono_t now)
{
    if (through <= l->acknowledged)
        return;
    mono_t sealed = now;
    while (l->ring_count && (*slot(l, 0))->sequence <= through) {
        sealed = (*slot(l, 0))->sealed;
        pop_frame(l);
    }
    if (mono_before(l->last_resend, sealed)) {
        int64_t sample = mono_since_ms(now, sealed);
        l->rtt_ms = l->rtt_ms ? (7 * l->rtt_ms + sample) / 8 : sample;
    }
    l->acknowledged = through;
    l->last_progress = now;
    l->resend_wait_ms = 4 * l->rtt_ms > RESEND_LEAST_MS ? 4 * l->rtt_ms : RESEND_LEAST_MS;
    if (l->resend_wait_ms > RESEND_MOST_MS)
        l->resend_wait_ms = RESEND_MOST_MS;
    l->resend_left = RESEND_FRAMES;
    if (l->resend_from && l->resend_from <= through)
        l->resend_from = through + 1;
    if (l->resend_from >= l->next_sequence)
        l->resend_from = 0;
}

bool link_resume(struct link *l, uint32_t epoch, uint64_t peer_received, mono_t now)
{
    if (peer_received >= l->next_sequence)
        return false;
    acknowledge(l, peer_received, now);
    l->epoch = epoch;
    l->open = false;
    l->owed_since = MONO_NEVER;
    l->owed_frames = 0;
    return true;
}

void link_opened(struct link *l, mono_t heard, mono_t now)
{
    l->open = true;
    l->proven = heard;
    l->last_sent = l->last_heard = l->last_progress = l->last_resend = now;
    l->resend_wait_ms = RESEND_LEAST_MS;
    l->resend_from = l->ring_count ? l->acknowledged + 1 : 0;
    l->resend_left = UINT32_MAX; /* a new lane is empty: all frames may be sent */
}

bool link_room(const struct link *l)
{
    return l->ring_count < l->limits.frames && l->ring_bytes < l->limits.bytes;
}

/* Writes the header, which also acknowledges everything received. */
static void write_header(struct link *l, uint64_t sequence, mono_t now, uint8_t *out)
{
    struct frame_header header = {
        .token = l->token,
        .epoch = l->epoch,
        .sequence = sequence,
        .received = l->received,
        .stamp = stamp_of(now),
        .echo = l->peer_stamp,
    };
    frame_header_write(out, &header);
    l->received_told = l->received;
    l->owed_since = MONO_NEVER;
    l->owed_frames = 0;
    l->last_sent = now;
}

struct frame *link_seal(struct link *l, struct buf *bodies, mono_t now)
{
    assert(bodies->size > 0);
    return link_seal_frame(l, frame_of(bodies), now);
}

struct frame *link_seal_frame(struct link *l, struct frame *f, mono_t now)
{
    f->sequence = l->next_sequence++;
    f->sealed = now;
    if (l->ring_count == 0)
        l->last_progress = now; /* nothing was outstanding: the timer starts here */
    push_frame(l, f);
    if (!l->open || l->resend_from) {
        if (!l->resend_from)
            l->resend_from = f->sequence;
        return NULL; /* link_resend will return it in order */
    }
    write_header(l, f->sequence, now, f->data);
    return frame_hold(f);
}

void link_heartbeat(struct link *l, mono_t now, uint8_t out[FRAME_HEADER_SIZE])
{
    write_header(l, l->next_sequence, now, out);
}

static void learn_proof(struct link *l, const struct frame_header *h, mono_t now)
{
    if (h->stamp)
        l->peer_stamp = h->stamp;
    uint32_t age = stamp_of(now) - h->echo;
    if (h->echo == 0 || age > 60000)
        return;
    mono_t heard = { now.ns - (int64_t)age * MONO_MS };
    if (mono_before(l->proven, heard))
        l->proven = heard;
}

enum link_verdict link_receive(struct link *l, const struct frame_header *h, bool has_bodies, mono_t now)
{
    if (!token_equal(h->token, l->token) || h->epoch != l->epoch || !l->open)
        return LINK_STALE;
    if (h->received >= l->next_sequence)
        return LINK_BROKEN;
    /* The peer missed a heartbeat and is back: resend soon, even if the interval has grown meanwhile. */
    if (mono_since_ms(now, l->last_heard) > l->limits.heartbeat_ms + RESEND_MOST_MS)
        l->resend_wait_ms = RESEND_LEAST_MS;
    l->last_heard = now;
    acknowledge(l, h->received, now);
    learn_proof(l, h, now);
    if (!has_bodies)
        return LINK_HEARTBEAT;
    if (l->owed_frames++ == 0)
        l->owed_since = now; /* repeats are acknowledged too: the other side missed the first acknowledgement */
    if (h->sequence != l->received + 1)
        return LINK_REPEAT;
    l->received++;
    return LINK_FRESH;
}

/* When to resend if there is no progress until then; MONO_NEVER with nothing outstanding. */
static mono_t resend_due(const struct link *l)
{
    if (l->ring_count == 0)
        return MONO_NEVER;
    mono_t since = mono_before(l->last_progress, l->last_resend) ? l->last_resend : l->last_progress;
    return mono_add_ms(since, l->resend_wait_ms);
}

static mono_t doubt_due(const struct link *l)
{
    if (l->limits.silence_ms == 0)
        return MONO_NEVER;
    /* A client that hears but is not heard is lost too: the broker will end its session. */
    mono_t silent = mono_add_ms(mono_min(l->last_heard, l->proven), l->limits.silence_ms);
    if (l->ring_count == 0)
        return silent;
    return mono_min(silent, mono_add_ms(l->last_progress, DOUBT_MS));
}

static mono_t heartbeat_due(const struct link *l)
{
    mono_t due = mono_add_ms(l->last_sent, l->limits.heartbeat_ms);
    if (l->owed_frames >= TELL_AFTER_FRAMES)
        return l->owed_since;
    if (l->owed_frames)
        due = mono_min(due, mono_add_ms(l->owed_since, TELL_AFTER_MS));
    return due;
}

static bool is_due(mono_t due, mono_t now)
{
    return due.ns <= now.ns;
}

unsigned link_tick(struct link *l, mono_t now)
{
    unsigned actions = LINK_NOTHING;
    if (!l->open)
        return actions;
    if (is_due(doubt_due(l), now))
        actions |= LINK_DOUBT;
    if (is_due(resend_due(l), now)) {
        l->resend_from = l->acknowledged + 1;
        l->resend_left = RESEND_FRAMES;
        l->last_resend = now;
        l->resend_wait_ms *= 2;
    }
    if (l->resend_from && l->resend_left)
        actions |= LINK_RESEND;
    else if (is_due(heartbeat_due(l), now))
        actions |= LINK_SEND_HEARTBEAT;
    return actions;
}

mono_t link_due(const struct link *l)
{
    if (!l->open)
        return MONO_NEVER;
    if (l->resend_from && l->resend_left)
        return (mono_t){ 0 };
    return mono_min(mono_min(heartbeat_due(l), resend_due(l)), doubt_due(l));
}

/* The frame, writable: replaced by a copy if a transport still reads the old bytes. */
static struct frame *own_frame(struct frame **at)
{
    struct frame *f = *at;
    if (atomic_load_explicit(&f->holders, memory_order_acquire) == 1)
        return f;
    struct frame *copy = frame_new(f->size - FRAME_HEADER_SIZE);
    memcpy(copy->data, f->data, f->size);
    copy->sequence = f->sequence;
    copy->sealed = f->sealed;
    frame_drop(f);
    *at = copy;
    return copy;
}

struct frame *link_resend(struct link *l, mono_t now)
{
    if (!l->open || !l->resend_from || !l->resend_left)
        return NULL;
    assert(l->resend_from > l->acknowledged && l->resend_from < l->next_sequence);
    struct frame *f = own_frame(slot(l, (uint32_t)(l->resend_from - l->acknowledged - 1)));
    write_header(l, f->sequence, now, f->data);
    if (l->resend_left != UINT32_MAX)
        l->resend_left--;
    l->resent++;
    if (++l->resend_from == l->next_sequence)
        l->resend_from = 0;
    return frame_hold(f);
}

bool link_proven(const struct link *l, mono_t now)
{
    return l->open && mono_before(now, mono_add_ms(l->proven, l->limits.proof_ms));
}
