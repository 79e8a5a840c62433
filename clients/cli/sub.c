/* sluice sub: takes events, prints them or runs a command for each, and acks them. */
#include "clients/cli/sub.h"

#include "base/clock.h"
#include "base/units.h"
#include "base/xalloc.h"
#include "sidecar/api/json_write.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS     1000
#define EMPTY_MS     100 /* least time between two takes when the first returned nothing */
#define TAKE_DEFAULT 100
#define TAKE_MAX     1000
/* Escaped strings and base64 are decoded here; a take is about 4 MiB. */
#define ARENA_SIZE  (16u << 20)

#define FIELD(name) offsetof(struct sub_options, name)
static const struct cli_option option_table[] = {
    { "count", 'n', CLI_COUNT, FIELD(count), "n", "end after n events, successful or failed" },
    { "max", 'm', CLI_COUNT, FIELD(max), "n", "events per take [100; 1 with a command]" },
    { "wait", 'w', CLI_DURATION, FIELD(wait), "duration", "how long each take waits [30s]" },
    { "exit-empty", 'e', CLI_SWITCH, FIELD(exit_empty), NULL, "end when nothing arrives within --wait" },
    { "retry-delay", 0, CLI_DURATION, FIELD(retry_delay), "duration",
      "delay before an event whose command failed is redelivered\n[the queue's backoff]" },
    { "attributes", 'a', CLI_SWITCH, FIELD(attributes), NULL, "print a line of attributes before each event's data" },
    { "json", 0, CLI_SWITCH, FIELD(json), NULL,
      "print whole events, one JSON object per line:\n{\"receipt\",\"sequence\",\"attempt\",\"event\"}" },
};
static const struct cli_syntax syntax = {
    .usage = "sub [<options>] <queue> [-- <command> [<args>]]",
    .text =
        "Prints each event's data on a line, or runs <command> for each event with the data on its standard input. "
        "Exit\n"
        "status 0 acks the event; any other status is a failure, and after max_deliveries failures the event is dead.\n"
        "SLUICE_QUEUE, SLUICE_ID, SLUICE_SOURCE, SLUICE_TYPE, SLUICE_SUBJECT, SLUICE_CONTENT_TYPE, SLUICE_SEQUENCE\n"
        "and SLUICE_ATTEMPT are in its environment. The lease is extended while it runs. Ctrl-C ends; events not\n"
        "handled yet go back to the queue.",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .http = true,
    .least = 1,
    .notes = "  sluice sub orders\n"
             "  sluice sub orders -- ./handle-order --verbose\n"
             "  sluice sub orders --exit-empty --wait 1s --json | jq .event.data",
};

/* ------------------------------------------------------------------ settling */

/* Posts settlements. If the broker cannot be reached they are lost, with a message, and the events will be
 * redelivered; sub goes on, because it outlives restarts of the broker. */
static bool post_acks(struct sub *s, const struct buf *body, bool *ended)
{
    struct buf path = { 0 };
    http_queue_path(&path, s->queue, "/acks");
    struct http_reply r = http_do(
        &(struct http_call){ .method = "POST", .path = (char *)path.data, .data = body->data, .size = body->size });
    bool fine = http_ok(&r) || http_away(&r) || r.status == 504;
    *ended = r.status == 207;
    http_reply_free(&r);
    buf_free(&path);
    return fine;
}

static void add_receipts(struct buf *body, const char *name, const struct sub_item *items, size_t count)
{
    json_add_name(body, span_str(name));
    buf_add_byte(body, '[');
    for (size_t i = 0; i < count; i++) {
        buf_add_str(body, i ? "," : "");
        json_add_string(body, items[i].receipt);
    }
    buf_add_byte(body, ']');
}

static void add_failed(struct buf *body, const struct sub *s, const struct sub_item *items, size_t count)
{
    json_add_name(body, span_str("nack"));
    buf_add_byte(body, '[');
    for (size_t i = 0; i < count; i++) {
        buf_add_str(body, i ? ",{" : "{");
        json_add_text_member(body, "receipt", items[i].receipt);
        if (s->options.retry_delay)
            json_add_text_member(body, "delay", span_str(s->options.retry_delay));
        json_add_text_member(body, "error", span_str(s->failure));
        buf_add_byte(body, '}');
    }
    buf_add_byte(body, ']');
}

/* Settles `count` items: acks the first `handled` if `done`, else nacks them. The others are released at once
 * without counting as failed; so are interrupted ones. */
static bool settle(struct sub *s, const struct sub_item *items, bool done, size_t handled, size_t count)
{
    struct buf body = { 0 };
    bool ended;
    size_t acked = done ? handled : 0, failed = done || cli_stopped() ? 0 : handled, settled = acked + failed;
    buf_add_byte(&body, '{');
    add_receipts(&body, "ack", items, acked);
    add_failed(&body, s, items, failed);
    add_receipts(&body, "release", items + settled, count - settled);
    buf_add_byte(&body, '}');
    bool fine = post_acks(s, &body, &ended);
    if (ended)
        cli_fail("some leases had ended before their ack: these events will be redelivered");
    buf_free(&body);
    return fine;
}

/* Extends the leases of the event being handled and of those waiting here. */
static void extend(struct sub *s)
{
    struct buf body = { 0 };
    bool ended;
    buf_add_str(&body, "{\"extend\":[");
    for (size_t i = s->at; i < s->count; i++) {
        buf_add_str(&body, i > s->at ? ",{" : "{");
        json_add_text_member(&body, "receipt", s->items[i].receipt);
        buf_printf(&body, ",\"by\":\"%lldms\"}", (long long)s->lease_ms);
    }
    buf_add_str(&body, "]}");
    post_acks(s, &body, &ended);
    buf_free(&body);
    s->extended = clock_now().mono;
}

/* ------------------------------------------------------------------ handling */

/* Runs the command for one event and settles it at once, so that its lease does not end while the next one is
 * handled. False if settling failed. */
static bool handle_by_command(struct sub *s, size_t at)
{
    bool done;
    if (s->lease_ms && mono_since_ms(clock_now().mono, s->extended) > s->lease_ms / 3)
        extend(s);
    done = sub_run_command(s, &s->items[at], extend);
    s->handled += done || !cli_stopped();
    return settle(s, s->items + at, done, 1, 1);
}

/* Acks printed events only after the output was written. If it fails, no one knows what its reader got. */
static bool print_all(struct sub *s)
{
    bool broken;
    size_t printed = sub_print(s, s->items, s->count, &broken);
    if (broken)
        cli_fail("cannot write to the standard output; nothing more is acked");
    printed = broken ? 0 : printed;
    s->handled += printed;
    return settle(s, s->items, true, printed, s->count) && !broken;
}

/* Handles a take's events. True: go on. */
static bool handle(struct sub *s, const struct sub_item *items, size_t count)
{
    bool fine = true;
    s->items = items;
    s->count = count;
    s->extended = clock_now().mono;
    if (!s->command)
        return print_all(s);
    for (s->at = 0; s->at < count && fine && !cli_stopped(); s->at++)
        fine = handle_by_command(s, s->at);
    if (s->at < count)
        fine = settle(s, items + s->at, false, 0, count - s->at) && fine;
    return fine;
}

/* ------------------------------------------------------------------ taking */

/* What is left of --wait, counted from the last arrival; at least 0. */
static int64_t wait_left(const struct sub *s)
{
    int64_t left = s->wait_ms - mono_since_ms(clock_now().mono, s->came);
    return left > 0 ? left : 0;
}

static struct http_reply take(const struct sub *s, unsigned long max)
{
    struct buf path = { 0 };
    int64_t wait_ms = s->options.exit_empty ? wait_left(s) : s->wait_ms;
    http_queue_path(&path, s->queue, "/take?max=%lu&wait=%lldms", max, (long long)wait_ms);
    struct http_reply r =
        http_do(&(struct http_call){ .method = "POST", .abortable = true, .path = (char *)path.data });
    buf_free(&path);
    return r;
}

/* Once a take has succeeded, waits while the broker or sidecar cannot be reached: sub outlives their restarts. */
static bool wait_out(struct sub *s, struct http_reply *r)
{
    if (!s->worked || !http_away(r))
        return false;
    if (!s->said_away)
        cli_fail("%s; trying again until it is back", http_error(r));
    s->said_away = true;
    return cli_pause(RETRY_MS);
}

static void note_turn(struct sub *s, const struct http_reply *r)
{
    s->worked = true;
    s->said_away = false;
    if (r->standby && !s->said_standby)
        cli_fail("another session consumes '%s'; standing by", s->queue);
    s->said_standby = r->standby;
}

static bool is_topic(const char *name)
{
    struct buf path = { 0 };
    http_topic_path(&path, name, "%s", "");
    struct http_reply r = http_do(&(struct http_call){ .method = "GET", .abortable = true, .path = (char *)path.data });
    bool is = r.status == 200;
    http_reply_free(&r);
    buf_free(&path);
    return is;
}

/* Pauses after a take that returned empty at once. */
static void rest(mono_t asked)
{
    int64_t took = mono_since_ms(clock_now().mono, asked);
    if (took < EMPTY_MS)
        cli_pause(EMPTY_MS - took);
}

/* Reports why nothing more is taken; returns the exit status. */
static int end_of(const struct sub *s, struct http_reply *r)
{
    if (cli_stopped())
        return CLI_OK;
    if (r->status == 404 && is_topic(s->queue))
        return cli_fail("'%s' is a topic; consume a queue that is bound to it ('sluice topic show %s' shows them)",
                        s->queue, s->queue);
    return http_ok(r) ? CLI_OK : CLI_FAILED;
}

static int take_and_handle(struct sub *s, struct sub_item *items, bool *go)
{
    struct arena arena;
    unsigned long left = s->options.count ? s->options.count - s->handled : s->options.max;
    mono_t asked = clock_now().mono;
    struct http_reply r = take(s, left < s->options.max ? left : s->options.max);
    int code = CLI_OK;
    arena_init(&arena, ARENA_SIZE);
    if (r.status == 200) {
        int count = sub_read_items(buf_span(&r.text), &arena, items, s->options.max);
        note_turn(s, &r);
        if (count < 0)
            code =
                cli_fail("%s answers, but not as a sidecar does: does SLUICE_URL or --url name one?", http_url(false));
        else if (count > 0)
            code = handle(s, items, (size_t)count) ? CLI_OK : CLI_FAILED;
        if (count > 0)
            s->came = clock_now().mono;
        *go = code == CLI_OK && /* a sidecar may wait less than asked (take.wait_max) */
              (count > 0 || !s->options.exit_empty || wait_left(s));
        if (*go && count == 0)
            rest(asked);
    } else if (!r.aborted && !wait_out(s, &r)) {
        code = end_of(s, &r);
        *go = false;
    }
    arena_free(&arena);
    http_reply_free(&r);
    return code;
}

/* Asks for the queue's lease. If the broker cannot be reached, or the queue is paused, this is the place to say so: the
 * take that follows waits for it silently. */
static void ask_for_the_lease(struct sub *s)
{
    struct buf path = { 0 };
    http_queue_path(&path, s->queue, "%s", "");
    struct http_reply r = http_do(&(struct http_call){ .method = "GET", .abortable = true, .path = (char *)path.data });
    if (r.status == 200 && !duration_parse(span_str(json_text_of(http_json(&r), "lease")), &s->lease_ms))
        s->lease_ms = 0;
    if (json_is_true(json_object_get(http_json(&r), "paused")))
        cli_fail("'%s' is paused: nothing is delivered until it is resumed (sluice queue resume %s)", s->queue,
                 s->queue);
    if (r.status == 503 && s->wait_ms)
        cli_fail("%s; waiting for it", http_error(&r));
    http_reply_free(&r);
    buf_free(&path);
}

static int run(struct sub *s)
{
    int code = CLI_OK;
    bool go = true;
    struct sub_item *items = xcalloc(s->options.max, sizeof *items);
    ask_for_the_lease(s);
    s->came = clock_now().mono;
    while (go && !cli_stopped() && (!s->options.count || s->handled < s->options.count))
        code = take_and_handle(s, items, &go);
    free(items);
    if (code == CLI_OK && cli_stopped() && s->options.count)
        return CLI_INTERRUPTED; /* fewer than asked for */
    return code;
}

int cli_sub(int argc, char **argv)
{
    struct sub s = { .options = { .wait = "30s" } };
    struct cli_args a = cli_parse(&syntax, &s.options, argc, argv);
    if (!a.go)
        return a.code;
    duration_parse(span_str(s.options.wait), &s.wait_ms);
    s.queue = a.rest[0];
    s.command = a.count > 1 ? a.rest + 1 : NULL;
    s.options.max = s.options.max ? s.options.max : s.command ? 1 : TAKE_DEFAULT;
    s.options.max = s.options.max < TAKE_MAX ? s.options.max : TAKE_MAX;
    if (s.command && !sub_can_run(s.command[0]))
        return CLI_FAILED;
    sub_find_inherited(&s);
    cli_catch_signals();
    return run(&s);
}
