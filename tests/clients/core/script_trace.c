/* The client's effects and callbacks as one line of text. */
#include "tests/clients/core/script_trace.h"

#include <stdio.h>

static const char *const results[] = { "acked",   "nacked",  "extended", "released",
                                       "expired", "unknown", "deferred", "dropped" };
static const char *const kinds[] = { "ack", "nack", "extend", "release" };
static const char *const states[] = { "none", "active", "standby", "revoked" };

static void note(struct script *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct script *s, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_printf(&s->trace, "%s%s", s->trace.size ? "; " : "", text);
}

const char *trace(struct script *s)
{
    static char texts[2][4096];
    static unsigned turn;
    char *text = texts[turn++ % 2];
    snprintf(text, sizeof texts[0], "%.*s", (int)s->trace.size, s->trace.size ? (const char *)s->trace.data : "");
    buf_clear(&s->trace);
    return text;
}

void *script_cookie(char letter)
{
    static char letters[128];
    letters[(unsigned char)letter & 127] = letter;
    return &letters[(unsigned char)letter & 127];
}

/* Formats "3" or "3..5", in one of four static buffers. */
static const char *numbers(uint64_t first, uint64_t count)
{
    static char texts[4][48];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    if (count == 1)
        snprintf(text, sizeof texts[0], "%llu", (unsigned long long)first);
    else
        snprintf(text, sizeof texts[0], "%llu..%llu", (unsigned long long)first,
                 (unsigned long long)(first + count - 1));
    return text;
}

static const char *name_of(struct span name)
{
    static char texts[4][NAME_MAX_SIZE + 1];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], "%.*s", (int)name.size, (const char *)name.data);
    return text;
}

/* ------------------------------------------------------------------ control */

static void control_open(void *ctx)
{
    note(ctx, "control");
}

static void hear_attach(struct script *s, const struct request *r)
{
    struct buf names = { 0 };
    s->asked = true;
    s->asked_at = s->now.mono;
    s->attach_id = r->id;
    s->resumes = r->u.attach.token;
    s->producer = r->u.attach.producer;
    s->attach_received = r->u.attach.received;
    s->attach_epoch = r->u.attach.producer_epoch;
    for (size_t i = 0; i < r->u.attach.destination_count; i++)
        buf_printf(&names, " %s", r->u.attach.destinations[i]);
    note(s, "attach %s%.*s", token_is_zero(s->resumes) ? "new" : "again", (int)names.size,
         names.size ? (const char *)names.data : "");
    buf_free(&names);
}

static unsigned call_number(struct script *s, struct token id)
{
    for (unsigned i = 0; i < s->call_count; i++) {
        if (token_equal(s->calls[i], id))
            return i + 1;
    }
    assert_true(s->call_count < 16);
    s->calls[s->call_count++] = id;
    return s->call_count;
}

static void control_send(void *ctx, struct span message)
{
    struct script *s = ctx;
    struct arena arena;
    struct request r;
    arena_init(&arena, 1u << 20);
    assert_true(request_unpack(message, &arena, &r));
    if (r.call == CALL_ATTACH)
        hear_attach(s, &r);
    else
        note(s, "call %u %s", call_number(s, r.id), r.call == CALL_PURGE ? "purge" : "other");
    arena_free(&arena);
}

/* ------------------------------------------------------------------ frames */

static void ingress_open(void *ctx, const char *endpoint)
{
    note(ctx, "ingress %s", endpoint);
}

static void hear_publish(struct script *s, struct body *b)
{
    struct buf text = { 0 };
    struct entry e;
    enum frame_status status;
    buf_printf(&text, "publish %s %llu", name_of(b->name), (unsigned long long)b->u.publish.first);
    while ((status = publish_next(b, &e)) == FRAME_OK) {
        buf_printf(&text, " %s%.*s", e.continued ? "+" : "", (int)e.event.size, (const char *)e.event.data);
        if (e.wait_ms)
            buf_printf(&text, "(%u)", e.wait_ms);
    }
    assert_int_equal(status, FRAME_END);
    note(s, "%.*s", (int)text.size, (const char *)text.data);
    buf_free(&text);
}

static void hear_ack(struct script *s, struct body *b)
{
    struct settle word;
    enum frame_status status;
    while ((status = ack_next(b, &word)) == FRAME_OK) {
        char because[300] = "";
        if (word.status || word.error.size)
            snprintf(because, sizeof because, " (%u %.*s)", word.status, (int)word.error.size,
                     (const char *)word.error.data);
        note(s, "%s %s e%llu %s%s", kinds[word.kind], name_of(b->name), (unsigned long long)b->u.ack.consumer_epoch,
             numbers(word.first, word.count), because);
    }
    assert_int_equal(status, FRAME_END);
}

static void hear_body(struct script *s, struct body *b)
{
    switch (b->kind) {
    case BODY_PUBLISH: hear_publish(s, b); break;
    case BODY_SKIP: note(s, "skip %s %s", name_of(b->name), numbers(b->u.skip.first, b->u.skip.count)); break;
    case BODY_SEEN: note(s, "seen %s %llu", name_of(b->name), (unsigned long long)b->u.seen.through); break;
    case BODY_ACK: hear_ack(s, b); break;
    case BODY_RECEIPT_ACK:
        note(s, "receipt %llu %s %s", (unsigned long long)b->u.receipt_ack.request, kinds[b->u.receipt_ack.kind],
             name_of(b->u.receipt_ack.receipt));
        break;
    case BODY_CREDIT:
        note(s, "credit %s g%llu %llu", name_of(b->name), (unsigned long long)b->u.credit.generation,
             (unsigned long long)b->u.credit.limit);
        break;
    case BODY_CONSUME: note(s, "consume %s %u", name_of(b->name), b->u.consume.number); break;
    case BODY_LEAVE: note(s, "leave %s", name_of(b->name)); break;
    case BODY_BYE: note(s, "bye"); break;
    default: fail_msg("a client does not send bodies of kind %d", b->kind);
    }
}

static void hear_frame(struct script *s, struct span frame)
{
    struct frame_header h;
    struct wire_reader bodies;
    struct body b;
    enum frame_status status;
    assert_int_equal(frame_open(frame, &h, &bodies), FRAME_OK);
    if (h.sequence == 0) {
        note(s, "echo");
        return;
    }
    assert_true(token_equal(h.token, s->session) && h.epoch == s->epoch);
    s->heard_stamp = h.stamp;
    if (wire_done(&bodies)) {
        s->heartbeats++;
        return;
    }
    if (h.sequence != s->received + 1)
        return; /* a repeat, or after a gap */
    s->received++;
    while ((status = frame_next(&bodies, &b)) == FRAME_OK)
        hear_body(s, &b);
    assert_int_equal(status, FRAME_END);
}

static void ingress_send(void *ctx, struct frame *f)
{
    struct script *s = ctx;
    if (!s->deaf)
        hear_frame(s, span_of(f->data, f->size));
    frame_drop(f);
}

/* ------------------------------------------------------------------ what the program is told */

static void on_attached(void *ctx, bool resumed)
{
    note(ctx, "attached%s", resumed ? " again" : "");
}

static void on_away(void *ctx, const char *why)
{
    note(ctx, "away: %s", why);
}

/* " a 41 b 7", of the first of the run */
static const char *targets_of(const struct client_outcome *o)
{
    static char text[200];
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < o->target_count; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, " %s %llu", o->targets[i].queue,
                                 (unsigned long long)(o->targets[i].sequence + o->sequence));
    return text;
}

static void on_outcome(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o)
{
    const char *text = numbers(index, count);
    if (o->reason == REASON_ok && o->flags & RUN_TOPIC)
        note(ctx, "outcome %c %s accepted%s", *(char *)cookie, text, targets_of(o));
    else if (o->reason == REASON_ok)
        note(ctx, "outcome %c %s accepted %llu", *(char *)cookie, text, (unsigned long long)o->sequence);
    else
        note(ctx, "outcome %c %s %s%s%s", *(char *)cookie, text, reason_info(o->reason)->name, *o->queue ? " by " : "",
             o->queue);
}

static void on_turn(void *ctx, const char *queue, enum turn_state state, uint64_t epoch, bool contended,
                    enum reason reason)
{
    (void)contended, (void)reason;
    note(ctx, "turn %s %s e%llu", queue, states[state], (unsigned long long)epoch);
}

static void on_delivery(void *ctx, const struct client_delivery *d)
{
    struct script *s = ctx;
    note(ctx, "delivery %s d%llu %s", d->queue, (unsigned long long)d->delivery, name_of(d->event));
    if (s->on_delivery)
        s->on_delivery(s);
}

static void on_idle(void *ctx, const char *queue, uint64_t generation)
{
    note(ctx, "idle %s g%llu", queue, (unsigned long long)generation);
}

static void on_settled(void *ctx, const char *queue, uint64_t epoch, uint64_t first, uint64_t count,
                       enum settle_result result)
{
    note(ctx, "settled %s e%llu %s %s", queue, (unsigned long long)epoch, numbers(first, count), results[result]);
}

static void on_receipt_settled(void *ctx, uint64_t request, enum settle_result result)
{
    note(ctx, "receipt %llu %s", (unsigned long long)request, results[result]);
}

static void on_replied(void *ctx, void *cookie, const struct reply *reply)
{
    note(ctx, "replied %c %s", *(char *)cookie, reason_info(reply->reason)->name);
}

const struct client_handler script_handler = {
    .control_open = control_open,
    .control_send = control_send,
    .ingress_open = ingress_open,
    .ingress_send = ingress_send,
    .attached = on_attached,
    .away = on_away,
    .outcome = on_outcome,
    .turn = on_turn,
    .delivery = on_delivery,
    .idle = on_idle,
    .settled = on_settled,
    .receipt_settled = on_receipt_settled,
    .replied = on_replied,
};
