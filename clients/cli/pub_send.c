/* Publishes the batch of `sluice pub` in order, retrying until all of it is confirmed or an event is refused. What may
 * have been accepted without an answer is retried too: it has the same ids, so the queue's dedup window drops what is
 * there already. */
#include "base/clock.h"
#include "base/units.h"
#include "clients/cli/pub.h"

#include <string.h>

#define WAIT_PIECE_MS 2000 /* longest wait of one request, so that a signal is noticed while the queue is full */
#define RETRY_MS      200
#define ALL_DONE      (-1L)

static void drop_first(struct pub *p, size_t n)
{
    if (n == 0)
        return;
    size_t end = p->events[n - 1].end;
    if (n == p->count) {
        p->count = 0;
        buf_clear(&p->batch);
        return;
    }
    memmove(p->batch.data + 1, p->batch.data + end + 1, p->batch.size - end - 1);
    p->batch.size -= end;
    for (size_t i = n; i < p->count; i++) {
        p->events[i - n] = p->events[i];
        p->events[i - n].end -= end;
    }
    p->count -= n;
}

static struct http_reply post(const struct pub *p, size_t n, int64_t wait_ms)
{
    const struct pub_options *o = &p->options;
    char hold[80]; /* both are short: they were checked */
    const char *headers[] = { "Content-Type: application/cloudevents-batch+json", NULL, NULL };
    struct buf path = { 0 }, body = { 0 };
    if (o->delay || o->not_before) {
        snprintf(hold, sizeof hold, o->delay ? "Sluice-Delay: %s" : "Sluice-Not-Before: %s",
                 o->delay ? o->delay : o->not_before);
        headers[1] = hold;
    }
    (o->topic ? http_topic_path : http_queue_path)(&path, p->queue, "/events?wait=%lldms", (long long)wait_ms);
    buf_add(&body, p->batch.data, p->events[n - 1].end);
    buf_add_byte(&body, ']');
    struct http_reply r = http_do(&(struct http_call){
        .method = "POST", .path = (char *)path.data, .headers = headers, .data = body.data, .size = body.size });
    buf_free(&path);
    buf_free(&body);
    return r;
}

/* An event that was sent more than once is a duplicate of itself: only those of the first try count. */
static void count_duplicates(struct pub *p, const json_t *events, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p->duplicates += !p->events[i].unknown && json_object_get(json_array_get(events, i), "duplicate") != NULL;
}

/* Evaluates the answer for the first n events: marks the unknown ones, and counts the confirmed ones and removes them
 * from the batch. Returns the status of the first event not confirmed (0: no answer), or ALL_DONE. *refused: its
 * problem. */
static long take_outcomes(struct pub *p, struct http_reply *r, size_t n, const json_t **refused)
{
    const json_t *events = json_object_get(http_json(r), "events");
    size_t done = r->status == 202 ? n : 0;
    *refused = http_json(r);
    if (r->status == 207) {
        while (done < n && !json_object_get(json_array_get(events, done), "reason"))
            done++;
        *refused = json_array_get(events, done);
        for (size_t i = done; i < n; i++)
            p->events[i].unknown |= json_number_of(json_array_get(events, i), "status") == 504;
    } else if (r->status == 504 || (r->status == 0 && r->sent)) {
        for (size_t i = 0; i < n; i++)
            p->events[i].unknown = true;
    }
    long status = r->status == 207 ? (long)json_number_of(json_array_get(events, done), "status") : r->status;
    p->confirmed += done;
    count_duplicates(p, events, done);
    drop_first(p, done);
    return done == n ? ALL_DONE : status;
}

/* Should a refused publish be retried? With overflow reject only if --wait was given. */
static bool waits(struct pub *p, long status, const json_t *refused)
{
    const char *named = json_text_of(refused, "queue");
    if (p->options.wait || status != 429)
        return true;
    struct buf path = { 0 };
    http_queue_path(&path, *named ? named : p->queue, "%s", "");
    struct http_reply r = http_do(&(struct http_call){ .method = "GET", .abortable = true, .path = (char *)path.data });
    p->rejected = r.status == 200 && strcmp(json_text_of(http_json(&r), "overflow"), "reject") == 0;
    http_reply_free(&r);
    buf_free(&path);
    return !p->rejected;
}

/* Advice for a full queue, which may have room later, and for events that may have been accepted under ids made here:
 * another run would make others, so it could not send them again as the same events. */
static const char *advice(const struct pub *p, long status)
{
    if (status && p->events[0].unknown && !p->options.id && !p->options.ndjson)
        return "; it may have been accepted, under an id made by this command, and another run would make another: "
               "look first whether the queue has it (sluice queue peek)";
    if (status != 429 || cli_stopped())
        return "";
    return p->options.wait ? "; a longer --wait waits for room" : "; --wait DURATION keeps trying for that long";
}

static void stop_here(struct pub *p, struct http_reply *r, long status, const json_t *refused)
{
    const char *named = json_text_of(refused, "queue"), *reason = json_text_of(refused, "reason");
    unsigned long long position = p->events[0].position;
    p->failed = true;
    if (p->rejected)
        cli_fail("refused from %s %llu on: %s, and the overflow of '%s' is reject%s", p->unit, position, reason,
                 *named ? named : p->queue, advice(p, status));
    else if (r->status == 207)
        cli_fail("refused from %s %llu on: %s%s", p->unit, position, http_error_of(refused, status), advice(p, status));
    else
        cli_fail("%s %llu: %s%s", p->unit, position, http_error(r), advice(p, status));
}

static void say_waiting(struct pub *p, long status, const json_t *refused)
{
    if (p->said_waiting)
        return;
    p->said_waiting = true;
    bool budget = strcmp(json_text_of(refused, "reason"), "budget") == 0;
    cli_fail(budget          ? "the broker's memory_budget is used up; '%s' waits for room%s"
             : status == 429 ? "'%s' is full; waiting for room%s"
             : status == 507 ? "the broker's disk has no room; '%s' waits for it%s"
                             : "the broker is away; '%s' waits for it%s",
             p->queue, p->options.wait ? "" : " (--wait limits this)");
}

/* Tries once to publish n events. False: give up. */
static bool try_once(struct pub *p, size_t *n, mono_t since, int64_t limit_ms)
{
    int64_t left = limit_ms < 0 ? WAIT_PIECE_MS : limit_ms - mono_since_ms(clock_now().mono, since);
    const json_t *refused;
    struct http_reply r = post(p, *n, left < 0 ? 0 : left < WAIT_PIECE_MS ? left : WAIT_PIECE_MS);
    long status = take_outcomes(p, &r, *n, &refused);
    bool again = status == ALL_DONE;
    if ((status == 400 || status == 413) && *n > 1) {
        *n = 1; /* one of them is wrong: publish one by one up to it */
        again = true;
    } else if ((status == 429 || status == 503 || status == 504 || status == 507) && left > 0 && !cli_stopped() &&
               waits(p, status, refused)) {
        say_waiting(p, status, refused);
        again = cli_pause(left < RETRY_MS ? left : RETRY_MS);
    } else if (!again) {
        stop_here(p, &r, status, refused);
    }
    http_reply_free(&r);
    return again;
}

void pub_flush(struct pub *p)
{
    int64_t limit_ms = -1;
    size_t n = PUB_BATCH_EVENTS;
    mono_t since = clock_now().mono;
    if (p->options.wait)
        duration_parse(span_str(p->options.wait), &limit_ms);
    while (p->count && !p->failed) {
        size_t before = p->count;
        n = n < p->count ? n : p->count;
        if (!try_once(p, &n, since, limit_ms))
            p->failed = true;
        if (p->count < before) {
            since = clock_now().mono;
            p->said_waiting = false;
        }
        progress_show(&p->progress, p->confirmed, p->bytes_read);
    }
    p->unknown = 0;
    for (size_t i = 0; i < p->count; i++)
        p->unknown += p->events[i].unknown;
    p->refused = p->count - p->unknown; /* none of either is left unless it failed */
}
