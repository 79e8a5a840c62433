/* What peers hear, as text:
 *
 *   hello INGRESS                            attached [resumed] [known] [| orders through 3: 1..2 -> 1, 3 full]
 *   attach refused inbox_unreachable         lane closed
 *   confirm orders 1..3 -> 1 [duplicate]     refuse orders 4 full 3/3
 *   deliver orders d1..2 s1..2 a1 one two    settled orders 1..2 acked
 *   turn orders active e1 [contended]        idle orders g1
 *   receipt 7 acked                          window 24                     bye
 *
 * What died elsewhere is an event like "one{mail/7 max_deliveries no luck}". */
#include "tests/broker/core/driver.h"

#include <stdio.h>

void note(struct peer *p, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (p->trace.size)
        buf_add_str(&p->trace, "; ");
    buf_add_str(&p->trace, text);
}

const char *heard(struct peer *p)
{
    static char text[4][32768];
    static unsigned turns;
    char *out = text[turns++ % 4];
    snprintf(out, sizeof text[0], "%.*s", (int)p->trace.size, (const char *)p->trace.data);
    buf_clear(&p->trace);
    return out;
}

const char *receipt_of(struct peer *p, const char *queue, uint64_t delivery)
{
    return known(p, queue)->receipts[delivery % RECEIPTS_MAX];
}

/* ------------------------------------------------------------------ pieces */

struct text {
    char is[64];
};

/* "4" or "4..6" */
static struct text numbers(uint64_t first, uint64_t count)
{
    struct text t;
    unsigned long long from = first, to = first + count - 1;
    if (count == 1)
        snprintf(t.is, sizeof t.is, "%llu", from);
    else
        snprintf(t.is, sizeof t.is, "%llu..%llu", from, to);
    return t;
}

static const char *name_of(struct span name)
{
    static char text[NAME_MAX_SIZE + 1];
    snprintf(text, sizeof text, "%.*s", (int)name.size, (const char *)name.data);
    return text;
}

static const char *const turns[] = { "none", "active", "standby", "revoked" };
static const char *const results[] = { "acked",   "nacked",  "extended", "released",
                                       "expired", "unknown", "deferred", "dropped" };

/* ------------------------------------------------------------------ bodies */

static struct span member(struct span message, uint32_t tag)
{
    struct wire_reader r = wire_open(message);
    struct wire_field f;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == tag && f.type == WIRE_BYTES)
            return f.bytes;
    }
    return (struct span){ 0 };
}

/* What a death elsewhere added: "{mail/7 max_deliveries no luck}"; its texts only. */
static void add_letter(struct buf *out, struct span attributes)
{
    struct wire_reader r = wire_open(attributes);
    struct wire_field f;
    static const struct {
        const char *name, *before;
    } shown[] = { { "sluicedeadqueue", "{" },
                  { "sluicedeadsequence", "/" },
                  { "sluicedeadreason", " " },
                  { "sluicedeaderror", " " } };
    bool any = false;
    while (!wire_done(&r) && wire_next(&r, &f) && f.tag == 5) {
        struct span name = member(f.bytes, 1), text = member(member(f.bytes, 2), 3);
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
            if (!span_equal(name, span_str(shown[i].name)))
                continue;
            buf_printf(out, "%s%.*s", shown[i].before, (int)text.size, (const char *)text.data);
            any = true;
        }
    }
    if (any)
        buf_add_byte(out, '}');
}

static void hear_batch(struct peer *p, const char *queue, struct batch *batch)
{
    struct buf events = { 0 };
    struct span event;
    enum frame_status status;
    uint64_t count = 0;
    while ((status = batch_next(batch, &event)) == FRAME_OK) {
        size_t text = 0;
        struct span source, id;
        if (event.size && event.data[0] == '\n' && event_identity(event, &source, &id))
            event = id;
        while (text < event.size && event.data[text] != '.' && event.data[text] != '*')
            text++;
        buf_printf(&events, " %.*s", (int)text, (const char *)event.data);
        add_letter(&events, span_of(event.data + text, event.size - text));
        char *receipt = known(p, queue)->receipts[(batch->first_delivery + count) % RECEIPTS_MAX];
        snprintf(receipt, RECEIPT_MAX_SIZE, "%.*s.%llu", (int)batch->receipt.size, (const char *)batch->receipt.data,
                 (unsigned long long)count);
        count++;
    }
    assert_int_equal(status, FRAME_END);
    assert_true(count > 0);
    note(p, "deliver %s d%s s%s a%u%.*s", queue, numbers(batch->first_delivery, count).is,
         numbers(batch->first_sequence, count).is, batch->attempt, (int)events.size, (const char *)events.data);
    buf_free(&events);
}

static void hear_deliver(struct peer *p, struct body *b)
{
    struct batch batch;
    enum frame_status status;
    const char *queue = name_of(b->name);
    assert_int_equal(b->u.deliver.consumption, known(p, queue)->consumption);
    assert_int_equal(b->u.deliver.consumer_epoch, known(p, queue)->consumer_epoch);
    while ((status = deliver_next(b, &batch)) == FRAME_OK)
        hear_batch(p, queue, &batch);
    assert_int_equal(status, FRAME_END);
}

/* A topic's: "confirm all 1..2 -> a:1 b:7". */
static void hear_topic_run(struct peer *p, const struct body *b, struct run *run)
{
    char where[400] = " nowhere";
    size_t used = 0;
    struct span queue;
    uint64_t sequence;
    enum frame_status status;
    while ((status = run_target_next(run, &queue, &sequence)) == FRAME_OK)
        used += (size_t)snprintf(where + used, sizeof where - used, " %.*s:%llu", (int)queue.size,
                                 (const char *)queue.data, (unsigned long long)sequence);
    assert_int_equal(status, FRAME_END);
    note(p, "confirm %s %s ->%s%s%s", name_of(b->name), numbers(run->first, run->count).is, where,
         run->flags & RUN_DUPLICATE ? " duplicate" : "", run->flags & RUN_DURABLE ? " durable" : "");
}

static void hear_confirm(struct peer *p, struct body *b)
{
    struct run run;
    enum frame_status status;
    struct core *c = p->driver->core;
    const struct queue *q = queue_find(c, b->name);
    uint32_t synced = q && q->durable && c->config.confirm_synced ? RUN_DURABLE : 0;
    while ((status = confirm_next(b, &run)) == FRAME_OK) {
        if (run.flags & RUN_TOPIC) {
            hear_topic_run(p, b, &run);
            continue;
        }
        note(p, "confirm %s %s -> %llu%s", name_of(b->name), numbers(run.first, run.count).is,
             (unsigned long long)run.sequence, run.flags & RUN_DUPLICATE ? " duplicate" : "");
        assert_int_equal(run.flags & ~RUN_DUPLICATE, synced);
    }
    assert_int_equal(status, FRAME_END);
}

static void hear_settled(struct peer *p, struct body *b)
{
    struct settled_run run;
    enum frame_status status;
    while ((status = settled_next(b, &run)) == FRAME_OK)
        note(p, "settled %s %s %s", name_of(b->name), numbers(run.first, run.count).is, results[run.result]);
    assert_int_equal(status, FRAME_END);
}

static void hear_turn(struct peer *p, const struct body *b)
{
    const char *queue = name_of(b->name);
    struct text more = { "" };
    if (b->u.turn.state == TURN_ACTIVE) {
        known(p, queue)->consumer_epoch = b->u.turn.consumer_epoch;
        snprintf(more.is, sizeof more.is, " e%u%s", (unsigned)(b->u.turn.consumer_epoch & 0xfffff),
                 b->u.turn.contended ? " contended" : ""); /* without the incarnation, which it begins with */
    } else if (b->u.turn.reason != REASON_ok) {
        snprintf(more.is, sizeof more.is, " %s", reason_info(b->u.turn.reason)->name);
    }
    assert_int_equal(b->u.turn.consumption, known(p, queue)->consumption);
    note(p, "turn %s %s%s", queue, turns[b->u.turn.state], more.is);
}

static void hear_body(struct peer *p, struct body *b)
{
    switch (b->kind) {
    case BODY_CONFIRM: hear_confirm(p, b); break;
    case BODY_REFUSE:
        p->retry_after_ms = b->u.refuse.retry_after_ms;
        note(p, "refuse %s %s %s %llu/%llu%s%.*s", name_of(b->name), numbers(b->u.refuse.first, b->u.refuse.count).is,
             reason_info(b->u.refuse.reason)->name, (unsigned long long)b->u.refuse.depth,
             (unsigned long long)b->u.refuse.capacity, b->u.refuse.queue.size ? " by " : "",
             (int)b->u.refuse.queue.size, (const char *)b->u.refuse.queue.data);
        break;
    case BODY_DELIVER: hear_deliver(p, b); break;
    case BODY_SETTLED: hear_settled(p, b); break;
    case BODY_IDLE: note(p, "idle %s g%llu", name_of(b->name), (unsigned long long)b->u.idle.generation); break;
    case BODY_TURN: hear_turn(p, b); break;
    case BODY_WINDOW: note(p, "window %llu", (unsigned long long)b->u.window.events); break;
    case BODY_RECEIPT_SETTLED:
        note(p, "receipt %llu %s", (unsigned long long)b->u.receipt_settled.request,
             results[b->u.receipt_settled.result]);
        break;
    case BODY_BYE: note(p, "bye"); break;
    default: fail_msg("a broker does not send bodies of kind %d", b->kind);
    }
}

/* ------------------------------------------------------------------ frames and replies */

static void hear_hello(struct peer *p, const struct frame_header *h, struct wire_reader *bodies)
{
    struct body b;
    assert_int_equal(frame_next(bodies, &b), FRAME_OK);
    assert_int_equal(b.kind, BODY_HELLO);
    assert_int_equal(b.u.hello.request_id.size, sizeof p->hello_id);
    memcpy(p->hello_id, b.u.hello.request_id.data, sizeof p->hello_id);
    p->token = h->token;
    p->epoch = h->epoch;
    note(p, "hello %.*s", (int)b.u.hello.ingress.size, (const char *)b.u.hello.ingress.data);
}

void peer_hear(struct peer *p, struct span frame)
{
    struct frame_header h;
    struct wire_reader bodies;
    struct body b;
    enum frame_status status;
    assert_int_equal(frame_open(frame, &h, &bodies), FRAME_OK);
    if (h.sequence == 0) {
        hear_hello(p, &h, &bodies);
        return;
    }
    assert_true(token_equal(h.token, p->token));
    assert_int_equal(h.epoch, p->epoch);
    if (wire_done(&bodies) || h.sequence != p->received + 1)
        return; /* a heartbeat, or known already, or behind a gap */
    p->received++;
    while ((status = frame_next(&bodies, &b)) == FRAME_OK)
        hear_body(p, &b);
    assert_int_equal(status, FRAME_END);
}

static void add_outcomes(struct buf *out, const struct outcomes *o)
{
    buf_printf(out, " | %s through %llu:", o->destination, (unsigned long long)o->decided);
    for (size_t i = 0; i < o->run_count; i++) {
        const struct outcome *run = &o->runs[i];
        buf_printf(out, "%s %s ", i ? "," : "", numbers(run->first, run->count).is);
        for (size_t k = 0; k < run->target_count; k++)
            buf_printf(out, "%s%s:%llu", k ? " " : "-> ", run->targets[k].queue,
                       (unsigned long long)(run->targets[k].sequence + run->sequence));
        if (run->flags & RUN_TOPIC)
            buf_add_str(out, run->flags & RUN_DUPLICATE ? " duplicate" : run->target_count ? "" : "-> nowhere");
        else if (run->reason == REASON_ok)
            buf_printf(out, "-> %llu", (unsigned long long)run->sequence);
        else
            buf_add_str(out, reason_info(run->reason)->name);
    }
}

void peer_attached(struct peer *p, const struct reply *reply)
{
    if (reply->reason != REASON_ok) {
        note(p, "attach refused %s", reason_info(reply->reason)->name);
        return;
    }
    assert_int_equal(reply->result, RESULT_ATTACHED);
    assert_true(token_equal(reply->u.attached.token, p->token));
    assert_int_equal(reply->u.attached.epoch, p->epoch);
    struct buf text = { 0 };
    buf_printf(&text, "attached%s%s", reply->u.attached.resumed ? " resumed" : "",
               reply->u.attached.producer_known ? " known" : "");
    for (size_t i = 0; i < reply->u.attached.outcome_count; i++)
        add_outcomes(&text, &reply->u.attached.outcomes[i]);
    note(p, "%.*s", (int)text.size, (const char *)text.data);
    buf_free(&text);
    if (reply->u.attached.producer_epoch)
        p->told_epoch = reply->u.attached.producer_epoch;
    if (reply->u.attached.resumed)
        p->sent = reply->u.attached.received; /* whatever was lost is the test's to say again */
}
