/* sluice pub: arguments, lines or NDJSON become events, in batches of JSON CloudEvents. */
#include "clients/cli/cli.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BATCH_EVENTS 500u
#define BATCH_BYTES  (1u << 20)
#define RETRY_MS     200

static const char usage[] =
    "usage: sluice pub QUEUE [options] [DATA...]\n\n"
    "Publishes each DATA as one event; without any, each line of the standard input. Prints how many were "
    "confirmed.\n\n"
    "  --ndjson          each line is a JSON value and becomes the event's data; a CloudEvent is taken as it is\n"
    "  --type TYPE       [sluice.event]\n"
    "  --source SOURCE   [/sluice-cli]\n"
    "  --subject SUBJECT\n"
    "  --wait DURATION   how long to wait for room each time; full queues are tried again until there is [5s]\n"
    "  --once            do not try again when the queue is full\n"
    "  --json            print the result as JSON\n";

struct pub {
    const char *queue, *type, *source, *subject, *wait;
    bool ndjson, once, json, progress;
    json_t *batch;
    size_t batch_bytes;
    unsigned long confirmed, refused;
    bool failed;
};

static void show_progress(const struct pub *p, bool end)
{
    if (p->progress)
        fprintf(stderr, "\r%lu confirmed%s", p->confirmed, end ? "\n" : "");
}

static bool is_event(const json_t *value)
{
    return json_is_string(json_object_get(value, "specversion")) && json_is_string(json_object_get(value, "id"));
}

static json_t *make_event(const struct pub *p, json_t *data, bool text)
{
    unsigned char random[16];
    char id[33];
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(id, sizeof id, random, sizeof random);
    json_t *e = json_pack("{s:s, s:s, s:s, s:s}", "specversion", "1.0", "id", id, "source", p->source, "type", p->type);
    if (p->subject)
        json_object_set_new(e, "subject", json_string(p->subject));
    json_object_set_new(e, "datacontenttype", json_string(text ? "text/plain" : "application/json"));
    json_object_set_new(e, "data", data);
    return e;
}

/* Drops what was decided; what was refused for want of room stays, in order. */
static bool take_results(struct pub *p, const struct http_reply *r, bool *full)
{
    const json_t *events = json_object_get(r->body, "events");
    size_t confirmed = 0;
    if (r->status == 202 && !events)
        confirmed = json_array_size(p->batch);
    while (confirmed < json_array_size(events) && json_object_get(json_array_get(events, confirmed), "sequence"))
        confirmed++;
    p->confirmed += confirmed;
    json_t *rest = json_array();
    for (size_t i = confirmed; i < json_array_size(p->batch); i++)
        json_array_append(rest, json_array_get(p->batch, i));
    json_decref(p->batch);
    p->batch = rest;
    *full =
        r->status == 429 ||
        (r->status == 207 && json_integer_value(json_object_get(json_array_get(events, confirmed), "status")) == 429);
    return json_array_size(rest) == 0 || *full;
}

static bool send_once(struct pub *p, bool *full)
{
    static const char *const headers[] = { "Content-Type: application/cloudevents-batch+json", NULL };
    char path[512];
    snprintf(path, sizeof path, "/v1/queues/%s/events?wait=%s", p->queue, p->wait);
    char *body = json_dumps(p->batch, JSON_COMPACT);
    struct http_reply r = http_request("POST", false, path, headers, body, strlen(body));
    free(body);
    bool fine = take_results(p, &r, full);
    if (!fine && r.status == 207)
        cli_fail("refused: %s", json_string_value(json_object_get(
                                    json_array_get(json_object_get(r.body, "events"), p->confirmed), "reason")));
    else if (!fine || (*full && p->once && r.status == 429))
        http_fine(&r);
    http_reply_free(&r);
    show_progress(p, false);
    return fine;
}

static void flush(struct pub *p)
{
    bool full = false;
    while (!p->failed && json_array_size(p->batch)) {
        if (!send_once(p, &full) || (full && p->once)) {
            p->failed = true;
            p->refused += json_array_size(p->batch);
        } else if (full) {
            nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
        }
    }
    json_array_clear(p->batch);
    p->batch_bytes = 0;
}

static void add(struct pub *p, const char *text, size_t size)
{
    json_t *value = p->ndjson ? json_loadb(text, size, JSON_DECODE_ANY, NULL) : json_stringn(text, size);
    if (!value) {
        p->failed = true;
        cli_fail(p->ndjson ? "'%.60s' is no JSON" : "'%.60s' is not UTF-8", text);
        return;
    }
    json_array_append_new(p->batch, is_event(value) ? value : make_event(p, value, !p->ndjson));
    p->batch_bytes += size + 200;
    if (json_array_size(p->batch) >= BATCH_EVENTS || p->batch_bytes >= BATCH_BYTES)
        flush(p);
}

static void add_lines(struct pub *p)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    while (!p->failed && (size = getline(&line, &capacity, stdin)) >= 0) {
        while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
            size--;
        if (size > 0)
            add(p, line, (size_t)size);
    }
    free(line);
}

int cli_pub(int argc, char **argv)
{
    struct pub p = { .type = "sluice.event", .source = "/sluice-cli", .wait = "5s" };
    static const struct option flags[] = {
        { "ndjson", 0, NULL, 'n' },  { "type", 1, NULL, 't' }, { "source", 1, NULL, 's' },
        { "subject", 1, NULL, 'u' }, { "wait", 1, NULL, 'w' }, { "once", 0, NULL, 'o' },
        { "json", 0, NULL, 'j' },    { "help", 0, NULL, 'h' }, { 0 }
    };
    for (int f; (f = getopt_long(argc, argv, "h", flags, NULL)) != -1;) {
        if (f == 'h')
            return fputs(usage, stdout), CLI_OK;
        if (f == '?')
            return CLI_USAGE;
        p.ndjson |= f == 'n';
        p.once |= f == 'o';
        p.json |= f == 'j';
        p.type = f == 't' ? optarg : p.type;
        p.source = f == 's' ? optarg : p.source;
        p.subject = f == 'u' ? optarg : p.subject;
        p.wait = f == 'w' ? optarg : p.wait;
    }
    if (optind == argc)
        return cli_usage("pub needs a queue: sluice pub QUEUE [DATA...]");
    p.queue = argv[optind++];
    p.batch = json_array();
    p.progress = isatty(2) && optind == argc;
    for (int i = optind; i < argc && !p.failed; i++)
        add(&p, argv[i], strlen(argv[i]));
    if (optind == argc)
        add_lines(&p);
    flush(&p);
    show_progress(&p, true);
    json_decref(p.batch);
    printf(p.json ? "{\"confirmed\":%lu,\"refused\":%lu}\n" : "%lu confirmed, %lu refused\n", p.confirmed, p.refused);
    return p.failed ? CLI_FAILED : CLI_OK;
}
