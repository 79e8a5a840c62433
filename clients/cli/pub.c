/* sluice pub: arguments, lines or files become events, published in order, a batch at a time. */
#include "clients/cli/pub.h"

#include "base/clock.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK         (256u << 10)
#define LINE_MAX_SIZE (16u << 20)
#define WAIT_PIECE_MS 2000 /* a signal is heard this soon while the queue is full */
#define RETRY_MS      200
#define ALL_DONE      (-1L)

#define FIELD(name)   offsetof(struct pub_options, name)
static const struct cli_option option_table[] = {
    { "ndjson", 0, CLI_SWITCH, FIELD(ndjson), NULL,
      "each line is a JSON value and becomes an event's data;\na CloudEvent is published as it is" },
    { "file", 'f', CLI_LIST, FIELD(files), "file", "the file's bytes are one event; - is the standard input" },
    { "type", 't', CLI_TEXT, FIELD(type), "type", "of the events [sluice.event]" },
    { "source", 's', CLI_TEXT, FIELD(source), "source", "[/sluice-cli]" },
    { "subject", 'S', CLI_TEXT, FIELD(subject), "subject", "of the events [none]" },
    { "id", 0, CLI_TEXT, FIELD(id), "id", "of a single event; made up without" },
    { "content-type", 'c', CLI_TEXT, FIELD(content_type), "type",
      "of the data [text/plain, application/json with --ndjson,\napplication/octet-stream when it is no text]" },
    { "attribute", 'a', CLI_LIST, FIELD(attributes), "name=value", "an extension attribute, as partitionkey=alice" },
    { "wait", 'w', CLI_DURATION, FIELD(wait), "duration",
      "how long to wait for room in a full queue, or for the broker;\n0s: try once [as long as it takes; once where "
      "overflow is reject]" },
    { "delay", 'd', CLI_DURATION, FIELD(delay), "duration", "not to be delivered for so long [at once]" },
    { "not-before", 0, CLI_TEXT, FIELD(not_before), "time", "not to be delivered before, as 2030-01-02T03:04:05Z" },
    { "ttl", 0, CLI_DURATION, FIELD(ttl), "duration",
      "expire so long after they were read here, by their attribute\nexpirytime [never]; a delay counts in" },
    { "topic", 0, CLI_SWITCH, FIELD(topic), NULL, "<queue> is a topic's name" },
    { "json", 0, CLI_SWITCH, FIELD(json), NULL, "print the result as JSON" },
};
static const struct cli_syntax syntax = {
    .usage = "pub [<options>] <queue> [<data>...]",
    .text =
        "Publishes each <data> as one event; without any, each line of the standard input that is not empty, as it\n"
        "comes. Prints how many were confirmed. The first that is refused ends it, so the order holds. An event that\n"
        "is made here has the attribute time: when it was read.",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .http = true,
    .least = 1,
    .notes = "  sluice pub orders 'hello world'\n"
             "  tail -f access.log | sluice pub access --type log.line\n"
             "  sluice pub orders --ndjson < events.ndjson\n"
             "  sluice pub reminders --delay 1h --ttl 2h 'in an hour'\n"
             "  sluice pub --topic orders-all 'hello world'\n"
             "  sluice pub images --file cat.png --content-type image/png",
};

/* ------------------------------------------------------------------ sending */

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
    char hold[80]; /* both are short: they were read */
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

/* What became of the first n events: those confirmed and unknown are counted, and the confirmed leave the batch. Returns
 * the status that the first other one got (0: no answer came), or ALL_DONE; *refused is what was said of it. */
static long take_outcomes(struct pub *p, struct http_reply *r, size_t n, const json_t **refused)
{
    const json_t *events = json_object_get(http_json(r), "events");
    size_t done = r->status == 202 ? n : 0, i = 0;
    *refused = http_json(r);
    if (r->status == 207) {
        while (done < n && !json_object_get(json_array_get(events, done), "reason"))
            done++;
        *refused = json_array_get(events, done);
        for (i = done; i < n; i++)
            p->unknown += json_number_of(json_array_get(events, i), "status") == 504;
    } else if (r->status == 504 || (r->status == 0 && r->sent)) {
        p->unknown += n;
    }
    long status = r->status == 207 ? (long)json_number_of(json_array_get(events, done), "status") : r->status;
    p->confirmed += done;
    drop_first(p, done);
    return done == n ? ALL_DONE : status;
}

/* Where overflow is reject nobody waits but who says so by --wait. */
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

/* What is full may have room later. */
static const char *advice(const struct pub *p, long status)
{
    if (status != 429 || cli_stopped())
        return "";
    return p->options.wait ? "; a longer --wait waits for room" : "; --wait tries again for so long";
}

static void stop_here(struct pub *p, struct http_reply *r, long status, const json_t *refused)
{
    const char *named = json_text_of(refused, "queue"), *reason = json_text_of(refused, "reason");
    unsigned long long position = p->events[0].position;
    progress_clear(&p->progress);
    p->failed = true;
    if (p->rejected)
        cli_fail("refused from %s %llu on: %s, and the overflow of '%s' is reject%s", p->unit, position, reason,
                 *named ? named : p->queue, advice(p, status));
    else if (r->status == 207)
        cli_fail("refused from %s %llu on: %s%s", p->unit, position, http_trouble_of(refused, status),
                 advice(p, status));
    else
        cli_fail("%s %llu: %s%s", p->unit, position, http_trouble(r), advice(p, status));
}

static void say_waiting(struct pub *p, long status, const json_t *refused)
{
    if (p->said_waiting)
        return;
    p->said_waiting = true;
    progress_clear(&p->progress);
    bool budget = strcmp(json_text_of(refused, "reason"), "budget") == 0;
    cli_fail(budget          ? "the broker's memory_budget is used up; '%s' waits for room%s"
             : status == 429 ? "'%s' is full; waiting for room%s"
             : status == 507 ? "the broker's disk has no room; '%s' waits for it%s"
                             : "the broker is away; '%s' waits for it%s",
             p->queue, p->options.wait ? "" : " (--wait limits this)");
}

/* Once: n events, or fewer. Returns false when it is over. */
static bool try_once(struct pub *p, size_t *n, mono_t since, int64_t limit_ms)
{
    int64_t left = limit_ms < 0 ? WAIT_PIECE_MS : limit_ms - mono_since_ms(clock_now().mono, since);
    const json_t *refused;
    struct http_reply r = post(p, *n, left < 0 ? 0 : left < WAIT_PIECE_MS ? left : WAIT_PIECE_MS);
    long status = take_outcomes(p, &r, *n, &refused);
    bool again = status == ALL_DONE;
    if ((status == 400 || status == 413) && *n > 1) {
        *n = 1; /* one of them is wrong: singly up to it */
        again = true;
    } else if ((status == 429 || status == 503 || status == 507) && left > 0 && !cli_stopped() &&
               waits(p, status, refused)) {
        say_waiting(p, status, refused);
        again = cli_pause(left < RETRY_MS ? left : RETRY_MS);
    } else if (!again) {
        stop_here(p, &r, status, refused);
    }
    http_reply_free(&r);
    return again;
}

static void flush(struct pub *p)
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
    if (p->failed)
        p->refused = p->count > p->unknown ? p->count - p->unknown : 0;
}

/* ------------------------------------------------------------------ reading */

static void add(struct pub *p, struct span data)
{
    if (!pub_event_add(p, data)) {
        flush(p); /* what came before it */
        p->failed = true;
    } else if (p->count == PUB_BATCH_EVENTS || p->batch.size >= PUB_BATCH_BYTES) {
        flush(p);
    }
}

static void add_line(struct pub *p, const uint8_t *line, size_t size)
{
    p->position++;
    if (size && line[size - 1] == '\r')
        size--;
    if (size)
        add(p, span_of(line, size));
}

/* The whole lines of `text`; returns how many bytes they were. */
static size_t add_lines(struct pub *p, struct span text)
{
    size_t at = 0;
    while (!p->failed) {
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        if (!end)
            break;
        add_line(p, text.data + at, (size_t)(end - text.data) - at);
        at = (size_t)(end - text.data) + 1;
    }
    return at;
}

/* Waits for input; false when a signal came instead. */
static bool wait_for_input(int fd)
{
    struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = cli_signal_fd(), .events = POLLIN } };
    poll(p, 2, -1);
    return !p[1].revents;
}

static bool more_is_ready(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, 0) > 0;
}

/* Lines are published as they come: a batch waits for company only while more input is there at once. */
static void read_lines(struct pub *p)
{
    struct buf text = { 0 };
    ssize_t got = 1;
    while (!p->failed && (more_is_ready(0) || (flush(p), !p->failed))) {
        if (!wait_for_input(0))
            break;
        got = read(0, buf_reserve(&text, CHUNK), CHUNK);
        if (got <= 0)
            break;
        text.size += (size_t)got;
        p->bytes_read += (uint64_t)got;
        size_t used = add_lines(p, buf_span(&text));
        memmove(text.data, text.data + used, text.size - used);
        text.size -= used;
        if (text.size > LINE_MAX_SIZE) {
            cli_fail("line %llu is longer than 16 MiB", (unsigned long long)p->position + 1);
            flush(p);
            p->failed = true;
        }
    }
    if (got < 0)
        p->failed = cli_fail("cannot read the standard input: %s", strerror(errno));
    if (got == 0 && text.size && !p->failed)
        add_line(p, text.data, text.size); /* the last one, without its end */
    buf_free(&text);
}

static bool read_whole(const char *name, struct buf *out)
{
    bool standard = strcmp(name, "-") == 0;
    int fd = standard ? 0 : open(name, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && out->size <= LINE_MAX_SIZE) {
        got = read(fd, buf_reserve(out, CHUNK), CHUNK);
        out->size += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        cli_fail("cannot read %s: %s", name, strerror(errno));
    else if (out->size > LINE_MAX_SIZE)
        cli_fail("%s is larger than 16 MiB", name);
    if (fd > 0)
        close(fd);
    return got == 0;
}

static void read_files(struct pub *p)
{
    p->unit = "file";
    p->position = 0;
    for (size_t i = 0; i < p->options.files.count && !p->failed; i++) {
        struct buf text = { 0 };
        p->position++;
        if (read_whole(p->options.files.items[i], &text))
            add(p, buf_span(&text));
        else
            p->failed = true;
        flush(p);
        buf_free(&text);
    }
}

static void begin_progress(struct pub *p)
{
    struct stat s;
    p->progress.on = isatty(2);
    p->progress.start = clock_now().mono;
    if (fstat(0, &s) == 0 && S_ISREG(s.st_mode))
        p->progress.total = (uint64_t)s.st_size;
    if (isatty(0))
        fprintf(stderr, "Each line you type is published; Ctrl-D ends.\n");
}

static void read_all(struct pub *p, int count, char **data)
{
    p->unit = "argument";
    for (int i = 0; i < count && !p->failed; i++) {
        p->position++;
        add(p, span_str(data[i]));
    }
    if (p->options.files.count) {
        flush(p);
        read_files(p);
    } else if (count == 0) {
        p->unit = "line";
        begin_progress(p);
        read_lines(p);
    }
    flush(p);
}

static int report(struct pub *p)
{
    progress_clear(&p->progress);
    unsigned long long confirmed = p->confirmed, refused = p->refused, unknown = p->unknown;
    if (p->options.json) {
        printf("{\"confirmed\":%llu,\"refused\":%llu,\"unknown\":%llu}\n", confirmed, refused, unknown);
    } else {
        printf("%llu confirmed", confirmed);
        if (refused)
            printf(", %llu refused", refused);
        if (unknown)
            printf(", %llu unknown: they may have been accepted", unknown);
        putchar('\n');
    }
    return cli_stopped() ? CLI_INTERRUPTED : p->failed ? CLI_FAILED : CLI_OK;
}

int cli_pub(int argc, char **argv)
{
    static struct pub p = { .options = { .type = "sluice.event", .source = "/sluice-cli" } };
    struct cli_args a = cli_parse(&syntax, &p.options, argc, argv);
    if (!a.go)
        return a.code;
    if (p.options.id && (size_t)(a.count - 1) + p.options.files.count != 1)
        return cli_usage("--id needs exactly one <data> or --file: every event has its own id");
    if (p.options.delay && p.options.not_before)
        return cli_usage("--delay and --not-before exclude each other; give one of them");
    p.queue = a.rest[0];
    if (!pub_event_begin(&p))
        return CLI_USAGE;
    cli_catch_signals();
    read_all(&p, a.count - 1, a.rest + 1);
    int code = report(&p);
    buf_free(&p.batch);
    buf_free(&p.head);
    buf_free(&p.tail);
    return code;
}
