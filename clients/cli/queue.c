/* sluice queue: inspects and operates queues over HTTP. */
#include "clients/cli/queue.h"

#include "proto/queue_settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct queue_options {
    const char *prefix, *state, *to, *filter, *reason;
    unsigned long max, from, rate;
    struct cli_list sequences;
    bool json, names, force, dead, dry_run, stop;
};

#define FIELD(name) offsetof(struct queue_options, name)
#define AS_JSON                                                                                                        \
    {                                                                                                                  \
        "json", 0, CLI_SWITCH, FIELD(json), NULL, "print JSON"                                                         \
    }
#define COUNT(x) (sizeof(x) / sizeof *(x))

static const struct cli_option json_table[] = { AS_JSON };
static const struct cli_option list_table[] = {
    { "prefix", 'p', CLI_TEXT, FIELD(prefix), "text", "only names with this prefix" },
    { "names", 0, CLI_SWITCH, FIELD(names), NULL, "print the names only" },
    { "json", 0, CLI_SWITCH, FIELD(json), NULL, "print one JSON object per line" },
};
static const struct cli_option peek_table[] = {
    { "max", 'm', CLI_COUNT, FIELD(max), "n", "most events [10]" },
    { "from", 0, CLI_COUNT, FIELD(from), "sequence", "first sequence to show" },
    { "state", 0, CLI_TEXT, FIELD(state), "state", "ready, in_flight, delayed or dead [ready]" },
    { "json", 0, CLI_SWITCH, FIELD(json), NULL, "print {\"events\":[...],\"next\"}" },
};
static const struct cli_option purge_table[] = {
    { "dead", 0, CLI_SWITCH, FIELD(dead), NULL, "purge the dead events instead" },
    AS_JSON,
};
static const struct cli_option redrive_table[] = {
    { "sequence", 's', CLI_LIST, FIELD(sequences), "n", "only this dead event; may be repeated [all]" },
    { "filter", 'f', CLI_TEXT, FIELD(filter), "json", "only events that match this filter" },
    { "reason", 0, CLI_TEXT, FIELD(reason), "why", "only events dead for this reason, as peek shows it" },
    { "to", 0, CLI_TEXT, FIELD(to), "queue", "move them to this queue [the queue itself]" },
    { "rate", 0, CLI_COUNT, FIELD(rate), "n",
      "redrive n a second in the background; 'show' tells how far\n[all at once]" },
    { "stop", 0, CLI_SWITCH, FIELD(stop), NULL, "stop the background redrive" },
    { "dry-run", 'n', CLI_SWITCH, FIELD(dry_run), NULL, "only count the events" },
    AS_JSON,
};
static const struct cli_option delete_table[] = {
    { "force", 'f', CLI_SWITCH, FIELD(force), NULL, "even if it holds events, is bound, or takes dead letters" },
    AS_JSON,
};

typedef int verb_run(const void *options, struct cli_args *a);
static verb_run list, show, ledger, declare, peek, explain, cancel, purge, redrive, operate, delete;

static const char declare_notes[] =
    "  sluice queue declare orders capacity=5000 capacity_bytes=64MiB lease=1m overflow=reject\n\n"
    "Settings: capacity, capacity_bytes, durability, overflow, lease, require_consumer, dedup_window, dedup_entries,\n"
    "max_deliveries, max_crashes, backoff, backoff_max, dead_capacity, dead_letter, ordered, partitions,\n"
    "dead_letter_dropped, dead_letter_expired, ttl, delay.";

static const struct cli_verb verbs[] = {
    CLI_VERB("queue", "list", list, list_table, "", 0,
             "Lists the queues by name, with their depth, rates and consumer.", NULL),
    CLI_VERB("queue", "show", show, json_table, " <queue>", 1,
             "Shows everything about a queue: settings, depth, rates, consumer, ledger.", NULL),
    CLI_VERB("queue", "ledger", ledger, json_table, " <queue>", 1,
             "Shows a queue's ledger: accepted = acked + dead-lettered + expired + purged + dropped + remaining.",
             NULL),
    { .name = "declare",
      .run = declare,
      .more = true,
      .syntax = { .usage = "queue declare [<options>] <queue> [<setting>=<value>...]",
                  .text = "Creates a queue, or changes its settings; settings not given keep their value.",
                  .options = json_table,
                  .option_count = COUNT(json_table),
                  .http = true,
                  .least = 1,
                  .notes = declare_notes } },
    CLI_VERB("queue", "peek", peek, peek_table, " <queue>", 1,
             "Shows events without taking them, and what went wrong with those that failed.", NULL),
    CLI_VERB("queue", "explain", explain, json_table, " <queue> <sequence>", 2,
             "Shows where an event is, and why it is not moving.", "  sluice queue explain orders 17"),
    CLI_VERB("queue", "cancel", cancel, json_table, " <queue> <sequence>", 2, "Removes a delayed event.",
             "  sluice queue peek reminders --state delayed\n"
             "  sluice queue cancel reminders 17"),
    CLI_VERB("queue", "purge", purge, purge_table, " <queue>", 1, "Removes all ready and delayed events.", NULL),
    CLI_VERB("queue", "redrive", redrive, redrive_table, " <queue>", 1,
             "Turns dead events into new ones at the queue's tail, as far as it has room.",
             "  sluice queue peek orders --state dead\n"
             "  sluice queue redrive orders --dry-run\n"
             "  sluice queue redrive orders --sequence 17 --sequence 23 --to orders-by-hand\n"
             "  sluice queue redrive orders --filter '{\"exact\": {\"type\": \"order.placed\"}}' --rate 50\n"
             "  sluice queue redrive orders --stop"),
    CLI_VERB("queue", "pause", operate, json_table, " <queue>", 1, "Stops delivery; publishing goes on.", NULL),
    CLI_VERB("queue", "resume", operate, json_table, " <queue>", 1, "Undoes pause.", NULL),
    CLI_VERB("queue", "close", operate, json_table, " <queue>", 1,
             "Stops publishing, so that the consumer can empty the queue.", NULL),
    CLI_VERB("queue", "open", operate, json_table, " <queue>", 1, "Undoes close.", NULL),
    CLI_VERB("queue", "delete", delete, delete_table, " <queue>", 1, "Deletes an empty queue; with --force, any queue.",
             NULL),
};

static struct http_reply call(const char *method, bool operations, const char *queue, const char *rest,
                              const char *data)
{
    struct buf path = { 0 };
    http_queue_path(&path, queue, "%s", rest);
    struct http_reply r = http_do(&(struct http_call){ .method = method,
                                                       .operations = operations,
                                                       .path = (char *)path.data,
                                                       .data = data,
                                                       .size = data ? strlen(data) : 0 });
    buf_free(&path);
    return r;
}

/* ------------------------------------------------------------------ verbs */

static void print_name(void *context, const json_t *q)
{
    (void)context;
    puts(json_text_of(q, "queue"));
}

static void print_json_line(void *context, const json_t *q)
{
    (void)context;
    cli_print_json_line(q);
}

static void print_table_line(void *context, const json_t *q)
{
    bool *headed = context;
    if (!*headed)
        queue_print_heading(0);
    *headed = true;
    queue_print_row(q, 0);
}

static int list(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    (void)a;
    bool headed = false;
    bool fine = http_each("queues", 1000, o->prefix,
                          o->json    ? print_json_line
                          : o->names ? print_name
                                     : print_table_line,
                          &headed);
    if (fine && !headed && !o->json && !o->names)
        cli_fail("there is no queue%s%s", *o->prefix ? " that begins with " : "", o->prefix);
    return fine ? CLI_OK : CLI_FAILED;
}

static int show(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    struct http_reply r = call("GET", false, a->rest[0], "", NULL);
    return http_finish(&r, o->json, queue_print_all);
}

static int ledger(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    struct http_reply r = call("GET", false, a->rest[0], "/ledger", NULL);
    return http_finish(&r, o->json, queue_print_ledger);
}

static int peek(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    struct buf rest = { 0 };
    buf_printf(&rest, "/peek?max=%lu", o->max);
    if (o->from)
        buf_printf(&rest, "&from=%lu", o->from);
    if (o->state)
        http_add_parameter(&rest, "state", o->state);
    buf_add_byte(&rest, '\0');
    struct http_reply r = call("GET", false, a->rest[0], (char *)rest.data, NULL);
    buf_free(&rest);
    return http_finish(&r, o->json, queue_print_events);
}

#define EVENT_PATH_SIZE 40u

/* The path of the event with that sequence, below its queue's. False with a message if it is not a sequence. */
static bool event_path(const char *given, char out[EVENT_PATH_SIZE])
{
    char *end;
    errno = 0;
    unsigned long long sequence = strtoull(given, &end, 10);
    if (*given < '1' || *given > '9' || *end || errno)
        return cli_usage("'%s' must be a whole number above 0, a sequence as peek shows it", given), false;
    snprintf(out, EVENT_PATH_SIZE, "/events/%llu", sequence);
    return true;
}

static int explain(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    char rest[EVENT_PATH_SIZE];
    if (!event_path(a->rest[1], rest))
        return CLI_USAGE;
    struct http_reply r = call("GET", false, a->rest[0], rest, NULL);
    return http_finish(&r, o->json, queue_print_explained);
}

static int cancel(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    char rest[EVENT_PATH_SIZE];
    if (!event_path(a->rest[1], rest))
        return CLI_USAGE;
    struct http_reply r = call("DELETE", false, a->rest[0], rest, NULL);
    int code = http_finish(&r, true, NULL);
    if (code == CLI_OK && o->json)
        puts("{\"cancelled\":true}");
    else if (code == CLI_OK)
        printf("cancelled #%s of %s\n", a->rest[1], a->rest[0]);
    return code;
}

/* A setting's value in JSON: a number or boolean where the setting has that type and the text fits. Any other text
 * stays a string, and the sidecar refuses a wrong one with the form it expects. */
static json_t *setting_value(const char *name, const char *text)
{
    enum queue_setting which;
    const struct queue_setting_info *info = queue_setting_find(span_str(name), &which);
    bool number = info && (info->type == QUEUE_SETTING_NUMBER || info->type == QUEUE_SETTING_SIZE);
    errno = 0;
    long long n = number ? strtoll(text, NULL, 10) : 0;
    if (number && *text && text[strspn(text, "0123456789")] == '\0' && errno == 0)
        return json_integer(n);
    if (info && info->type == QUEUE_SETTING_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
        return json_boolean(*text == 't');
    return json_string(text);
}

static void print_nothing(const json_t *answer)
{
    (void)answer;
}

static int declare(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    json_t *body = json_object();
    for (int i = 1; i < a->count; i++) {
        char *equals = strchr(a->rest[i], '=');
        if (!equals || equals == a->rest[i]) {
            json_decref(body);
            return cli_usage("'%s' is not <setting>=<value>. See 'sluice queue declare --help'.", a->rest[i]);
        }
        *equals = '\0';
        json_object_set_new(body, a->rest[i], setting_value(a->rest[i], equals + 1));
    }
    char *text = json_dumps(body, JSON_COMPACT);
    struct http_reply r = call("PUT", false, a->rest[0], "", text);
    free(text);
    json_decref(body);
    if (r.status >= 200 && r.status < 300 && !o->json)
        queue_print_declared(http_json(&r), r.status == 201, a->rest + 1, a->count - 1);
    return http_finish(&r, o->json, print_nothing);
}

static int purge(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    struct http_reply r = call("POST", true, a->rest[0], o->dead ? "/purge?state=dead" : "/purge", NULL);
    return http_finish(&r, o->json, queue_print_done);
}

/* False with a message if one is not a sequence. */
static bool add_sequences(json_t *body, const struct cli_list *given)
{
    json_t *list = json_array();
    json_object_set_new(body, "sequences", list);
    for (size_t i = 0; i < given->count; i++) {
        char *end;
        errno = 0;
        long long n = strtoll(given->items[i], &end, 10);
        if (*given->items[i] < '0' || *given->items[i] > '9' || *end || errno || n == 0)
            return cli_usage("--sequence: '%s' must be a whole number above 0, as peek shows it", given->items[i]),
                   false;
        json_array_append_new(list, json_integer(n));
    }
    return true;
}

/* False with a message if it is not JSON. */
static bool add_filter(json_t *body, const char *text)
{
    json_error_t where;
    json_t *filter = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (!filter)
        return cli_usage("--filter must be JSON, like '{\"exact\": {\"type\": \"order.placed\"}}': %s", where.text),
               false;
    json_object_set_new(body, "filter", filter);
    return true;
}

/* Says where a queue's dead letters are, if none is dead in the queue itself: in the queue that its dead_letter names;
 * or they are those of others, which are no dead events here. */
static void say_where_they_are(const char *queue)
{
    struct http_reply described = call("GET", false, queue, "", NULL);
    struct http_reply peeked = call("GET", false, queue, "/peek?max=1", NULL);
    const json_t *first = json_array_get(json_object_get(http_json(&peeked), "events"), 0);
    const char *from = json_text_of(json_object_get(first, "event"), "sluicedeadqueue");
    const char *to = json_text_of(http_json(&described), "dead_letter");
    bool none = described.status == 200 && json_number_of(http_json(&described), "dead") == 0;
    if (none && *to)
        cli_fail("no event of '%s' is dead: its dead letters go to '%s', where they are events to take", queue, to);
    else if (none && *from)
        cli_fail("no event of '%s' is dead: it holds dead letters of '%s', as events to take and to publish again, "
                 "under new ids",
                 queue, from);
    http_reply_free(&described);
    http_reply_free(&peeked);
}

static int finish_redrive(struct http_reply *r, const struct queue_options *o, const char *queue)
{
    const json_t *answer = http_json(r);
    bool found =
        json_number_of(answer, "redriven") || json_number_of(answer, "left") || json_number_of(answer, "would_redrive");
    bool nothing = r->status == 200 && !found && !o->stop;
    int code = http_finish(r, o->json, queue_print_done);
    if (nothing)
        say_where_they_are(queue);
    return code;
}

static int redrive(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    json_t *body = json_object();
    int code = CLI_USAGE;
    if (o->to)
        json_object_set_new(body, "to", json_string(o->to));
    if (o->dry_run)
        json_object_set_new(body, "dry_run", json_true());
    if (o->reason)
        json_object_set_new(body, "reason", json_string(o->reason));
    if (o->rate)
        json_object_set_new(body, "rate", json_integer((json_int_t)o->rate));
    if (o->stop)
        json_object_set_new(body, "stop", json_true());
    if (o->filter && !add_filter(body, o->filter))
        code = CLI_USAGE;
    else if (o->sequences.count == 0 || add_sequences(body, &o->sequences)) {
        char *text = json_dumps(body, JSON_COMPACT);
        struct http_reply r = call("POST", true, a->rest[0], "/redrive", text);
        free(text);
        code = finish_redrive(&r, o, a->rest[0]);
    }
    json_decref(body);
    return code;
}

static int operate(const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    char rest[32];
    snprintf(rest, sizeof rest, "/%s", a->verb);
    struct http_reply r = call("POST", true, a->rest[0], rest, NULL);
    return http_finish(&r, o->json, queue_print_done);
}

static int delete (const void *options, struct cli_args *a)
{
    const struct queue_options *o = options;
    struct http_reply r = call("DELETE", true, a->rest[0], o->force ? "?force=true" : "", NULL);
    return http_finish_removal(&r, o->json, "deleted", a->rest[0]);
}

int cli_queue(int argc, char **argv)
{
    static const struct cli_verbs all = { "queue", "[<queue>]", verbs, COUNT(verbs) };
    struct queue_options o = { .prefix = "", .max = 10 };
    return cli_run_verb(&all, &o, argc, argv);
}
