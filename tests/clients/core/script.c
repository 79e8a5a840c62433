/* The clock and the scripted broker. What the client does is recorded by script_trace.c. */
#include "tests/clients/core/script.h"

#include "base/xalloc.h"
#include "tests/clients/core/script_trace.h"

#include <stdlib.h>

#define HEARTBEAT_MS 500

/* ------------------------------------------------------------------ life */

static void start(struct script *s, int64_t linger_ms, uint32_t frame_bytes)
{
    struct client_config config = { .name = "app", .inbox = "tcp://*:7001", .linger_ms = linger_ms };
    config.frame_bytes = frame_bytes;
    memset(config.seed, 7, sizeof config.seed);
    s->now = (struct now){ { INT64_C(1000) * 1000 * MONO_MS }, { INT64_C(1700000000000) } };
    s->session = (struct token){ 11, 0 };
    s->incarnation = 5;
    s->session_timeout_ms = 10000;
    s->window_events = 1000;
    s->window_bytes = 1u << 20;
    s->client = client_new(&config, &script_handler, s, s->now);
}

static void stop(struct script *s)
{
    client_free(s->client);
    buf_free(&s->trace);
    buf_free(&s->out);
}

int script_setup(void **state)
{
    struct script *s = xcalloc(1, sizeof *s);
    start(s, 0, 0);
    *state = s;
    return 0;
}

int script_teardown(void **state)
{
    stop(*state);
    free(*state);
    return 0;
}

static void restart(struct script *s, int64_t linger_ms, uint32_t frame_bytes)
{
    stop(s);
    *s = (struct script){ 0 };
    start(s, linger_ms, frame_bytes);
}

void script_linger(struct script *s, int64_t ms)
{
    restart(s, ms, 0);
}

void script_frames(struct script *s, uint32_t bytes)
{
    restart(s, 0, bytes);
}

/* ------------------------------------------------------------------ time */

void flush(struct script *s)
{
    client_flush(s->client, s->now);
}

static void set_time(struct script *s, mono_t to)
{
    s->now.wall.ms += mono_since_ms(to, s->now.mono);
    s->now.mono = to;
}

void pass(struct script *s, int64_t ms)
{
    mono_t end = mono_add_ms(s->now.mono, ms);
    for (unsigned steps = 0;; steps++) {
        assert_true(steps < 100000); /* a client that is always due would spin */
        mono_t due = mono_min(client_due(s->client), s->silent ? MONO_NEVER : s->heartbeat);
        if (due.ns > end.ns)
            break;
        if (due.ns > s->now.mono.ns)
            set_time(s, due);
        if (!s->silent && s->heartbeat.ns <= s->now.mono.ns)
            say(s);
        client_tick(s->client, s->now);
        flush(s);
    }
    set_time(s, end);
}

void pass_to_a_multiple_of(struct script *s, int64_t ms)
{
    int64_t over = s->now.mono.ns % (ms * MONO_MS);
    assert_int_equal(over % MONO_MS, 0);
    pass(s, ms - over / MONO_MS);
}

/* ------------------------------------------------------------------ attaching */

void until_asked(struct script *s)
{
    pass(s, 0);
    for (unsigned i = 0; i < 20000 && !s->asked; i++)
        pass(s, 1);
    assert_true(s->asked);
}

void hello(struct script *s)
{
    uint8_t id[16];
    wire_store64(id, s->attach_id.high);
    wire_store64(id + 8, s->attach_id.low);
    if (token_is_zero(s->resumes)) {
        s->session.low++;
        s->epoch = 1;
        s->sent = s->received = 0;
    } else {
        s->epoch++;
    }
    frame_add_hello(&s->out, span_of(id, sizeof id), span_str("tcp://*:7700"));
    struct frame_header h = header(s, 0);
    h.received = h.echo = 0;
    say_as(s, &h);
}

static void answer(struct script *s, const struct reply *reply)
{
    struct buf bytes = { 0 };
    reply_pack(reply, &bytes);
    client_control_in(s->client, buf_span(&bytes), s->now);
    buf_free(&bytes);
    flush(s);
}

void accept_attach(struct script *s)
{
    struct reply r = { .id = s->attach_id, .detail = "", .result = RESULT_ATTACHED };
    r.u.attached.version = PROTOCOL_VERSION;
    r.u.attached.token = s->session;
    r.u.attached.epoch = s->epoch;
    r.u.attached.resumed = !token_is_zero(s->resumes);
    r.u.attached.received = s->received;
    r.u.attached.producer_known = s->producer_known;
    r.u.attached.outcomes = s->outcomes;
    r.u.attached.outcome_count = s->outcome_count;
    r.u.attached.window_events = s->window_events;
    r.u.attached.window_bytes = s->window_bytes;
    r.u.attached.heartbeat_ms = 3000;
    r.u.attached.session_timeout_ms = s->session_timeout_ms;
    r.u.attached.incarnation = s->incarnation;
    r.u.attached.producer_epoch = r.u.attached.resumed ? 0 : s->producer_epoch;
    r.u.attached.max_event = 1u << 20;
    s->asked = false;
    s->heartbeat = mono_add_ms(s->now.mono, HEARTBEAT_MS);
    answer(s, &r);
}

void refuse_attach(struct script *s, enum reason why, const char *detail)
{
    s->asked = false;
    answer(s, &(struct reply){ .id = s->attach_id, .reason = why, .detail = detail });
}

void attach(struct script *s)
{
    until_asked(s);
    hello(s);
    accept_attach(s);
    assert_true(client_is_attached(s->client));
    trace(s);
}

void reply_to(struct script *s, struct token id, enum reason why)
{
    answer(s, &(struct reply){ .id = id, .reason = why, .detail = "" });
}

/* ------------------------------------------------------------------ frames */

struct frame_header header(struct script *s, uint64_t sequence)
{
    return (struct frame_header){
        .token = s->session,
        .epoch = s->epoch,
        .sequence = sequence,
        .received = s->received,
        .stamp = (uint32_t)(s->now.mono.ns / MONO_MS),
        .echo = s->heard_stamp,
    };
}

void say_as(struct script *s, const struct frame_header *h)
{
    struct buf frame = { 0 };
    frame_header_write(buf_reserve(&frame, FRAME_HEADER_SIZE), h);
    frame.size = FRAME_HEADER_SIZE;
    buf_add(&frame, s->out.data, s->out.size);
    buf_clear(&s->out);
    client_frame_in(s->client, buf_span(&frame), s->now);
    buf_free(&frame);
    flush(s);
}

void say(struct script *s)
{
    struct frame_header h = header(s, s->sent + 1);
    s->sent += s->out.size > 0;
    s->heartbeat = mono_add_ms(s->now.mono, HEARTBEAT_MS);
    say_as(s, &h);
}

void confirm(struct script *s, const char *queue, uint64_t first, uint64_t count, uint64_t sequence)
{
    struct open_body open = frame_begin_confirm(&s->out, span_str(queue));
    frame_add_run(&s->out, &(struct run){ .first = first, .count = count, .sequence = sequence });
    frame_end(&s->out, open);
    say(s);
}

void refuse_entries(struct script *s, const char *queue, uint64_t first, uint64_t count, enum reason why)
{
    frame_add_refuse(&s->out, span_str(queue), first, count, why, 0, 0, 0, span_str(""));
    say(s);
}

static uint32_t number_of(struct script *s, const char *queue)
{
    struct consumption *k = NULL;
    HASH_FIND(hh, s->client->consumptions, queue, (unsigned)strlen(queue), k);
    return k ? k->number : 0;
}

void give_turn(struct script *s, const char *queue, enum turn_state state, uint64_t epoch)
{
    frame_add_turn(&s->out, span_str(queue), state, epoch, false, 0, number_of(s, queue));
    say(s);
}

void add_deliver(struct script *s, const char *queue, uint64_t epoch, uint64_t first, const char *words)
{
    struct open_body open = frame_begin_deliver(&s->out, span_str(queue), epoch, 30000, number_of(s, queue));
    size_t mark = frame_begin_batch(&s->out, first, first, 1, span_str("RECEIPT"));
    for (size_t size; (size = strcspn(words, " ")) > 0; words += size, words += strspn(words, " "))
        frame_add_event(&s->out, span_of(words, size));
    wire_end(&s->out, mark);
    frame_end(&s->out, open);
}

void deliver(struct script *s, const char *queue, uint64_t epoch, uint64_t first, const char *words)
{
    add_deliver(s, queue, epoch, first, words);
    say(s);
}

void settled(struct script *s, const char *queue, uint64_t epoch, uint64_t first, uint64_t count,
             enum settle_result result)
{
    struct open_body open = frame_begin_settled(&s->out, span_str(queue), epoch);
    frame_add_settled_run(&s->out, &(struct settled_run){ first, count, result });
    frame_end(&s->out, open);
    say(s);
}

/* ------------------------------------------------------------------ commands */

bool publish_as(struct script *s, char cookie, const char *queue, uint32_t wait_ms, const char *words)
{
    struct span events[64];
    uint32_t count = 0;
    enum reason why;
    for (size_t size; (size = strcspn(words, " ")) > 0; words += size, words += strspn(words, " ")) {
        assert_true(count < 64);
        events[count++] = span_of(words, size);
    }
    bool taken =
        client_publish(s->client, span_str(queue), events, count, wait_ms, script_cookie(cookie), s->now, &why);
    flush(s);
    return taken;
}

void publish(struct script *s, const char *queue, uint32_t wait_ms, const char *words)
{
    assert_true(publish_as(s, 'a', queue, wait_ms, words));
}

void consume(struct script *s, const char *queue)
{
    client_consume(s->client, span_str(queue));
    flush(s);
}

void leave(struct script *s, const char *queue)
{
    client_leave(s->client, span_str(queue));
    flush(s);
}

void credit(struct script *s, const char *queue, uint64_t wanted)
{
    client_credit(s->client, span_str(queue), wanted);
    flush(s);
}

void settle(struct script *s, const char *queue, uint64_t epoch, enum settle_kind kind, uint64_t first, uint64_t count)
{
    client_settle(s->client, span_str(queue), epoch, &(struct settle){ .kind = kind, .first = first, .count = count });
    flush(s);
}

void call(struct script *s, char cookie, enum call what, const char *queue, int64_t timeout_ms)
{
    client_call(s->client, &(struct request){ .call = what, .queue = queue }, script_cookie(cookie), timeout_ms,
                s->now);
}

/* ------------------------------------------------------------------ consuming */

struct script *active(void **state)
{
    struct script *s = *state;
    attach(s);
    consume(s, "orders");
    credit(s, "orders", 3);
    give_turn(s, "orders", TURN_ACTIVE, 7);
    trace(s);
    return s;
}
