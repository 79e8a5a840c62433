/* Streams: the events of a queue as Server-Sent Events on a long-lived connection.
 *
 * A stream takes events like any other consumer, in the same FIFO as all takes of the queue. It takes only while its
 * window has room and its client has read everything so far, so that a slow or blocked reader holds up nobody else.
 *
 * An event that is still unwritten when three quarters of its lease are over is released: nobody has seen it, and the
 * attempt is not counted. If the client disconnects, all its events are returned at once: those that it may have seen
 * count as an attempt, the others do not. */
#include "sidecar/sidecar_priv.h"

#include "base/xalloc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#define BEAT_MS 15000

/* A piece of the stream's text. If it has a receipt, it is an event. */
struct piece {
    struct piece *prev, *next; /* among those that wait to be written */
    struct buf text;
    mono_t until; /* of an event: released if it is not written by then */
    bool written; /* at least in part */
    UT_hash_handle hh;
    char receipt[];
};

struct stream {
    struct stream *prev, *next;
    struct job *job;
    struct piece *unsettled; /* events, by receipt */
    struct piece *waiting;   /* to be written, in order */
    struct buf writing;      /* the piece that is being written, from `at` on */
    size_t at;
    uint64_t epoch;
    mono_t beat;
    bool begun, taking, ending;
};

/* ------------------------------------------------------------------ pieces */

static struct piece *add_piece(struct stream *t, struct span receipt)
{
    struct piece *p = xcalloc(1, sizeof *p + receipt.size + 1);
    p->until = MONO_NEVER;
    if (receipt.size)
        memcpy(p->receipt, receipt.data, receipt.size);
    DL_APPEND(t->waiting, p);
    if (receipt.size)
        HASH_ADD_KEYPTR(hh, t->unsettled, p->receipt, (unsigned)receipt.size, p);
    return p;
}

static void piece_free(struct piece *p)
{
    buf_free(&p->text);
    free(p);
}

/* The stream no longer owns the event. If it is unwritten, it will not be written. */
static void forget_event(struct stream *t, struct piece *p)
{
    HASH_DEL(t->unsettled, p);
    if (!p->written)
        DL_DELETE(t->waiting, p);
    piece_free(p);
}

static void give_back(struct stream *t, struct piece *p)
{
    struct sidecar *s = t->job->sidecar;
    struct receipt_ack ack = { .kind = SETTLE_RELEASE, .receipt = span_str(p->receipt) };
    if (p->written) { /* the client may have seen it */
        ack.kind = SETTLE_DEFER;
        ack.error = span_str("its stream ended");
    }
    uplink_disown(s->uplink, ack.receipt);
    uplink_settle(s->uplink, &ack, 1, NULL, s->now);
    s->busy = true; /* the uplink has something to send */
    forget_event(t, p);
}

static void give_back_unwritten(struct stream *t, mono_t due)
{
    struct piece *p, *next;
    DL_FOREACH_SAFE (t->waiting, p, next) {
        if (*p->receipt && p->until.ns <= due.ns)
            give_back(t, p);
    }
}

/* ------------------------------------------------------------------ writing */

static void wake(struct stream *t)
{
    t->job->sidecar->busy = true;
    http_wake(t->job->exchange);
}

static bool next_piece(struct stream *t)
{
    struct piece *p = t->waiting;
    if (!p)
        return false;
    DL_DELETE(t->waiting, p);
    buf_free(&t->writing);
    t->writing = p->text;
    t->at = 0;
    p->text = (struct buf){ 0 };
    p->written = true;
    if (!*p->receipt)
        piece_free(p);
    return true;
}

int64_t stream_fill(struct job *j, uint8_t *to, size_t room)
{
    struct stream *t = j->stream;
    size_t size = 0;
    while (size < room && (t->at < t->writing.size || next_piece(t))) {
        size_t left = t->writing.size - t->at, part = left < room - size ? left : room - size;
        memcpy(to + size, t->writing.data + t->at, part);
        t->at += part;
        size += part;
    }
    if (size)
        t->beat = mono_add_ms(j->sidecar->now.mono, BEAT_MS);
    j->sidecar->busy |= size != 0; /* there may be room for more events now */
    return size || !t->ending ? (int64_t)size : HTTP_END;
}

static bool is_written(const struct stream *t)
{
    return !t->waiting && t->at == t->writing.size;
}

/* ------------------------------------------------------------------ taking */

static void finish(struct stream *t, enum reason reason)
{
    if (t->ending)
        return;
    t->ending = true;
    give_back_unwritten(t, MONO_NEVER);
    api_stream_end(&t->job->command, reason, &add_piece(t, span_str(""))->text);
    wake(t);
}

static void begin(struct stream *t, const struct uplink_taken *taken)
{
    struct job *j = t->job;
    struct api_response r;
    t->begun = true;
    t->epoch = taken->consumer_epoch;
    j->waiting = false;
    api_render_stream(taken->standby, taken->consumer_epoch, j->arena, &r);
    add_piece(t, span_str(""))->text = r.body;
    r.body = (struct buf){ 0 };
    job_stream(j, &r);
}

static void stream_free(struct stream *t)
{
    DL_DELETE(t->job->sidecar->streams, t);
    t->job->stream = NULL;
    buf_free(&t->writing);
    while (t->waiting) {
        struct piece *p = t->waiting;
        DL_DELETE(t->waiting, p);
        if (!*p->receipt)
            piece_free(p);
    }
    struct piece *p, *next;
    HASH_ITER (hh, t->unsettled, p, next) {
        HASH_DEL(t->unsettled, p);
        piece_free(p);
    }
    free(t);
}

static void add_event(struct stream *t, const struct api_taken *event)
{
    struct sidecar *s = t->job->sidecar;
    struct piece *p = add_piece(t, event->receipt);
    p->until = mono_add_ms(s->now.mono, (int64_t)event->lease_ms * 3 / 4);
    api_stream_event(event, &p->text);
    s->streamed_events++;
}

/* A temporary reason is answered by a stream that ends at once (status 200), because EventSource reconnects only after
 * that. Any other reason is an ordinary error. */
void stream_refuse(struct job *j, enum reason reason)
{
    struct api_response r;
    job_explain_refusal(j, reason);
    if (reason_info(reason)->retryable)
        api_render_stream_end(&j->command, reason, j->arena, &r);
    else
        api_refuse(&j->command, reason, NULL, 1000, j->arena, &r);
    job_answer(j, &r);
}

static void on_taken(void *request, const struct uplink_taken *taken)
{
    struct stream *t = request;
    struct job *j = t->job;
    t->taking = false;
    if (taken->reason != REASON_ok && !t->begun) {
        stream_free(t);
        stream_refuse(j, taken->reason);
        return;
    }
    if (!t->begun)
        begin(t, taken);
    if (taken->count && taken->consumer_epoch != t->epoch)
        api_stream_consumer(t->epoch = taken->consumer_epoch, &add_piece(t, span_str(""))->text);
    for (size_t i = 0; i < taken->count; i++)
        add_event(t, &taken->events[i]);
    if (t->ending || !http_is_alive(j->exchange)) /* a write could still succeed, although nobody reads it */
        give_back_unwritten(t, MONO_NEVER);
    if (taken->reason != REASON_ok)
        finish(t, taken->reason);
    wake(t);
}

static bool on_alive(void *request)
{
    const struct stream *t = request;
    return !t->ending && http_is_alive(t->job->exchange);
}

static void on_lease_ended(void *request, struct span receipt)
{
    struct stream *t = request;
    struct piece *p = NULL;
    HASH_FIND(hh, t->unsettled, receipt.data, receipt.size, p);
    if (p)
        forget_event(t, p);
    t->job->sidecar->busy = true; /* its window has room again */
}

static const struct uplink_handler takes = { .taken = on_taken, .alive = on_alive, .lease_ended = on_lease_ended };

static void take(struct stream *t, int64_t wait_ms)
{
    struct job *j = t->job;
    uint32_t room = j->command.u.stream.window - HASH_COUNT(t->unsettled);
    t->taking = true;
    j->sidecar->busy = true; /* the uplink has something to send */
    uplink_take_by(j->sidecar->uplink, &takes, j->command.queue, room, wait_ms, t, j->sidecar->now);
}

/* ------------------------------------------------------------------ a stream's life */

/* HEAD: must not become a consumer of the queue. */
static void answer_head(struct job *j)
{
    struct api_response r;
    api_text(200, "text/event-stream", span_str(""), &r);
    job_answer(j, &r);
}

/* The first take does not wait: its result says whether the queue exists and who is the active consumer. */
void stream_open(struct job *j)
{
    if (j->command.u.stream.head_only) {
        answer_head(j);
        return;
    }
    struct stream *t = xcalloc(1, sizeof *t);
    t->job = j;
    t->beat = mono_add_ms(j->sidecar->now.mono, BEAT_MS);
    j->stream = t;
    j->waiting = true;
    DL_APPEND(j->sidecar->streams, t);
    take(t, 0);
}

/* If this side ended the stream, events that the client may have seen stay leased to it, to be acked later. If the
 * client disconnected, all its events are returned. */
void stream_closed(struct job *j, bool sent)
{
    struct stream *t = j->stream;
    struct piece *p, *next;
    uplink_forget(j->sidecar->uplink, t);
    HASH_ITER (hh, t->unsettled, p, next) {
        if (sent && p->written)
            uplink_disown(j->sidecar->uplink, span_str(p->receipt));
        else
            give_back(t, p);
    }
    stream_free(t);
}

bool stream_end(struct job *j, enum reason reason)
{
    if (!j->stream->begun)
        return false;
    finish(j->stream, reason);
    return true;
}

static void tick(struct stream *t, mono_t now)
{
    uint32_t window = t->job->command.u.stream.window;
    give_back_unwritten(t, now);
    if (!t->begun || t->ending)
        return;
    if (!t->taking && is_written(t) && HASH_COUNT(t->unsettled) < window)
        take(t, INT64_MAX / 2);
    if (t->beat.ns > now.ns)
        return;
    t->beat = mono_add_ms(now, BEAT_MS);
    if (!is_written(t))
        return; /* the client has unread data, and needs no beat */
    api_stream_beat(&add_piece(t, span_str(""))->text);
    wake(t);
}

void streams_tick(struct sidecar *s)
{
    struct stream *t;
    DL_FOREACH (s->streams, t)
        tick(t, s->now.mono);
}

mono_t streams_due(const struct sidecar *s)
{
    const struct stream *t;
    const struct piece *p;
    mono_t due = MONO_NEVER;
    DL_FOREACH (s->streams, t) {
        due = mono_min(due, t->beat);
        DL_FOREACH (t->waiting, p)
            due = mono_min(due, p->until);
    }
    return due;
}

void streams_drain(struct sidecar *s)
{
    struct stream *t;
    DL_FOREACH (s->streams, t) {
        if (t->begun)
            finish(t, REASON_draining);
    }
}

size_t streams_count(const struct sidecar *s)
{
    size_t count = 0;
    const struct stream *t;
    DL_COUNT(s->streams, t, count);
    return count;
}

void streams_write_metrics(const struct sidecar *s, struct buf *out)
{
    buf_printf(out,
               "# HELP sluice_streams open streams\n# TYPE sluice_streams gauge\nsluice_streams %zu\n"
               "# HELP sluice_streamed_events_total events handed to streams\n"
               "# TYPE sluice_streamed_events_total counter\nsluice_streamed_events_total %" PRIu64 "\n",
               streams_count(s), s->streamed_events);
}
