/* sluice pub: publishes arguments, lines or files as events. */
#include "clients/cli/pub.h"

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

#define FIELD(name)   offsetof(struct pub_options, name)
static const struct cli_option option_table[] = {
    { "ndjson", 0, CLI_SWITCH, FIELD(ndjson), NULL,
      "each line is a JSON value, published as an event's data;\na CloudEvent is published as it is" },
    { "file", 'f', CLI_LIST, FIELD(files), "file", "publish the file's bytes as one event; - is standard input" },
    { "type", 't', CLI_TEXT, FIELD(type), "type", "event type [sluice.event]" },
    { "source", 's', CLI_TEXT, FIELD(source), "source", "event source [/sluice-cli]" },
    { "subject", 'S', CLI_TEXT, FIELD(subject), "subject", "event subject [none]" },
    { "id", 0, CLI_TEXT, FIELD(id), "id", "event id, for a single event [generated]" },
    { "content-type", 'c', CLI_TEXT, FIELD(content_type), "type",
      "of the data [text/plain, application/json with --ndjson,\napplication/octet-stream if it is not text]" },
    { "attribute", 'a', CLI_LIST, FIELD(attributes), "name=value", "an extension attribute, like partitionkey=alice" },
    { "wait", 'w', CLI_DURATION, FIELD(wait), "duration",
      "how long to wait for room in a full queue, or for the broker;\n0s: try once [as long as it takes; once where "
      "overflow is reject]" },
    { "delay", 'd', CLI_DURATION, FIELD(delay), "duration", "deliver only this long after acceptance [at once]" },
    { "not-before", 0, CLI_TEXT, FIELD(not_before), "time",
      "deliver only from this time on, like 2030-01-02T03:04:05Z" },
    { "ttl", 0, CLI_DURATION, FIELD(ttl), "duration",
      "expire this long after being read here, any delay included;\nsets the attribute expirytime [never]" },
    { "topic", 0, CLI_SWITCH, FIELD(topic), NULL, "<queue> must be a topic" },
    { "json", 0, CLI_SWITCH, FIELD(json), NULL, "print the result as JSON" },
};
static const struct cli_syntax syntax = {
    .usage = "pub [<options>] <queue> [<data>...]",
    .text = "Publishes each <data> as one event; without <data>, each non-empty line of standard input as it arrives.\n"
            "Prints how many were confirmed, and how many of them are duplicates, which the queue had already and\n"
            "did not store again. Stops at the first event that is refused, so that the order is kept.\n"
            "An event whose outcome is unknown is sent again with its id, so a queue with a dedup_window stores it\n"
            "once.\n"
            "Events made here have the attribute time: when they were read.",
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

/* ------------------------------------------------------------------ reading */

static void add(struct pub *p, struct span data)
{
    if (!pub_event_add(p, data)) {
        pub_flush(p); /* publish what came before it */
        p->failed = true;
    } else if (p->count == PUB_BATCH_EVENTS || p->batch.size >= PUB_BATCH_BYTES) {
        pub_flush(p);
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

/* Adds the complete lines of `text`; returns their size in bytes. */
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

/* Waits for input; false if a signal came first. */
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

/* Publishes lines as they arrive: a batch grows only while more input is available at once. */
static void read_lines(struct pub *p)
{
    struct buf text = { 0 };
    ssize_t got = 1;
    while (!p->failed && (more_is_ready(0) || (pub_flush(p), !p->failed))) {
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
            pub_flush(p);
            p->failed = true;
        }
    }
    if (got < 0)
        p->failed = cli_fail("cannot read the standard input: %s", strerror(errno));
    if (got == 0 && text.size && !p->failed)
        add_line(p, text.data, text.size); /* the last line, without a newline */
    buf_free(&text);
}

/* A pipe may have no writer yet: neither open nor read blocks, so that a signal can end the wait. */
static bool read_whole(const char *name, struct buf *out)
{
    bool standard = strcmp(name, "-") == 0;
    int fd = standard ? 0 : open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && out->size <= LINE_MAX_SIZE && wait_for_input(fd)) {
        got = read(fd, buf_reserve(out, CHUNK), CHUNK);
        out->size += got > 0 ? (size_t)got : 0;
        got = got < 0 && errno == EAGAIN ? 1 : got;
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
        pub_flush(p);
        buf_free(&text);
    }
}

static void begin_progress(struct pub *p)
{
    struct stat s;
    progress_begin(&p->progress, fstat(0, &s) == 0 && S_ISREG(s.st_mode) ? (uint64_t)s.st_size : 0);
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
        pub_flush(p);
        read_files(p);
    } else if (count == 0) {
        p->unit = "line";
        begin_progress(p);
        read_lines(p);
    }
    pub_flush(p);
}

static int report(struct pub *p)
{
    progress_end();
    unsigned long long confirmed = p->confirmed, refused = p->refused, unknown = p->unknown, duplicates = p->duplicates;
    if (p->options.json) {
        printf("{\"confirmed\":%llu,\"refused\":%llu,\"unknown\":%llu,\"duplicates\":%llu}\n", confirmed, refused,
               unknown, duplicates);
    } else {
        printf("%llu confirmed", confirmed);
        if (duplicates)
            printf(", %llu of them duplicates", duplicates);
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
