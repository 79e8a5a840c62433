/* sluice subscription: the subscriptions that an application's sidecars push to it, over HTTP. */
#include "clients/cli/cli.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct subscription_options {
    const char *queue, *to, *timeout, *dialect;
    unsigned long concurrency;
    bool handshake, no_handshake, json, names;
};

#define FIELD(name) offsetof(struct subscription_options, name)
#define AS_JSON                                                                                                        \
    {                                                                                                                  \
        "json", 0, CLI_SWITCH, FIELD(json), NULL, "print JSON"                                                         \
    }
#define COUNT(x) (sizeof(x) / sizeof *(x))

static const struct cli_option json_table[] = { AS_JSON };
static const struct cli_option list_table[] = {
    { "names", 0, CLI_SWITCH, FIELD(names), NULL, "print the names only" },
    { "json", 0, CLI_SWITCH, FIELD(json), NULL, "print one JSON object per line" },
};
static const struct cli_option put_table[] = {
    { "queue", 'q', CLI_TEXT, FIELD(queue), "queue", "the queue whose events are pushed" },
    { "to", 't', CLI_TEXT, FIELD(to), "url", "push to http://HOST[:PORT]/PATH or unix:/SOCKET:/PATH" },
    { "concurrency", 'c', CLI_COUNT, FIELD(concurrency), "n", "most concurrent pushes [1, which keeps the order]" },
    { "timeout", 0, CLI_DURATION, FIELD(timeout), "time", "how long the application may take [25s]" },
    { "dialect", 0, CLI_TEXT, FIELD(dialect), "name", "cloudevents or dapr [cloudevents]" },
    { "handshake", 0, CLI_SWITCH, FIELD(handshake), NULL, "ask first whether the application wants events" },
    { "no-handshake", 0, CLI_SWITCH, FIELD(no_handshake), NULL, "do not ask" },
    AS_JSON,
};

typedef int verb_run(const void *options, struct cli_args *a);
static verb_run list, show, put, delete;

static const struct cli_verb verbs[] = {
    CLI_VERB("subscription", "list", list, list_table, "", 0,
             "Lists the subscriptions of the sidecar's application by name.", NULL),
    CLI_VERB("subscription", "show", show, json_table, " <subscription>", 1,
             "Shows a subscription: settings, state, counts.", NULL),
    CLI_VERB("subscription", "put", put, put_table, " <subscription>", 1,
             "Creates a subscription, or changes the given settings of one.",
             "  sluice subscription put jobs-to-shop --queue jobs --to http://127.0.0.1:8080/events\n"
             "  sluice subscription put jobs-to-shop --concurrency 4\n\n"
             "The broker keeps it for the application: every sidecar with that app.name runs it."),
    CLI_VERB("subscription", "delete", delete, json_table, " <subscription>", 1,
             "Deletes a subscription; the queue keeps its events.", NULL),
};

static struct http_reply call_on(const char *method, const char *subscription, const char *data)
{
    struct buf path = { 0 };
    http_subscription_path(&path, subscription);
    struct http_reply r = http_do(&(struct http_call){
        .method = method, .path = (const char *)path.data, .data = data, .size = data ? strlen(data) : 0 });
    buf_free(&path);
    return r;
}

/* ------------------------------------------------------------------ printing */

static void print_results(const json_t *s)
{
    const char *name, *separator = "  ";
    json_t *count;
    json_object_foreach ((json_t *)json_object_get(s, "results"), name, count) {
        printf("%s%lld %s", separator, (long long)json_integer_value(count), name);
        separator = ", ";
    }
    if (json_number_of(s, "last_status"))
        printf("; last status %lld", json_number_of(s, "last_status"));
    if (*json_text_of(s, "last_error")) {
        fputs("; last error: ", stdout);
        cli_print_plain(span_str(json_text_of(s, "last_error")), 250);
    }
    putchar('\n');
}

static void print_subscription(const json_t *s)
{
    const char *detail = json_text_of(s, "detail");
    printf("%s: %s, %lld in flight%s", json_text_of(s, "subscription"), json_text_of(s, "state"),
           json_number_of(s, "in_flight"), *detail ? ": " : "");
    cli_print_plain(span_str(detail), 250);
    putchar('\n');
    printf("  %s to %s\n", json_text_of(s, "queue"), json_text_of(s, "url"));
    printf("  concurrency %lld, timeout %s, dialect %s%s, kept %s\n", json_number_of(s, "concurrency"),
           json_text_of(s, "timeout"), json_text_of(s, "dialect"),
           json_is_true(json_object_get(s, "handshake")) ? ", handshake" : "", json_text_of(s, "kept"));
    print_results(s);
}

static void print_row(const json_t *s, bool headed)
{
    const json_t *results = json_object_get(s, "results");
    if (!headed)
        printf("%-20s %-20s %-11s %9s %9s %9s  %s\n", "SUBSCRIPTION", "QUEUE", "STATE", "IN FLIGHT", "ACKED", "FAILED",
               "URL");
    printf("%-20s %-20s %-11s %9lld %9lld %9lld  %s\n", json_text_of(s, "subscription"), json_text_of(s, "queue"),
           json_text_of(s, "state"), json_number_of(s, "in_flight"), json_number_of(results, "acked"),
           json_number_of(results, "failed"), json_text_of(s, "url"));
}

struct listing {
    const struct subscription_options *options;
    bool headed;
};

static void print_listed(void *context, const json_t *one)
{
    struct listing *l = context;
    if (l->options->names)
        puts(json_text_of(one, "subscription"));
    else if (l->options->json)
        cli_print_json_line(one);
    else
        print_row(one, l->headed);
    l->headed = true;
}

/* ------------------------------------------------------------------ verbs */

static int list(const void *options, struct cli_args *a)
{
    struct listing l = { .options = options };
    (void)a;
    if (!http_each("subscriptions", 100, "", print_listed, &l))
        return CLI_FAILED;
    if (!l.headed && !l.options->names && !l.options->json)
        cli_fail("there is no subscription");
    return CLI_OK;
}

static int show(const void *options, struct cli_args *a)
{
    const struct subscription_options *o = options;
    struct http_reply r = call_on("GET", a->rest[0], NULL);
    return http_finish(&r, o->json, print_subscription);
}

static void add_text(json_t *body, const char *name, const char *text)
{
    if (text)
        json_object_set_new(body, name, json_string(text));
}

static int put(const void *options, struct cli_args *a)
{
    const struct subscription_options *o = options;
    if (o->handshake && o->no_handshake)
        return cli_usage("--handshake and --no-handshake contradict each other");
    json_t *body = json_object();
    add_text(body, "queue", o->queue);
    add_text(body, "url", o->to);
    add_text(body, "timeout", o->timeout);
    add_text(body, "dialect", o->dialect);
    if (o->concurrency)
        json_object_set_new(body, "concurrency", json_integer((json_int_t)o->concurrency));
    if (o->handshake || o->no_handshake)
        json_object_set_new(body, "handshake", json_boolean(o->handshake));
    char *text = json_dumps(body, JSON_COMPACT);
    struct http_reply r = call_on("PUT", a->rest[0], text);
    free(text);
    json_decref(body);
    return http_finish(&r, o->json, print_subscription);
}

static int delete (const void *options, struct cli_args *a)
{
    const struct subscription_options *o = options;
    struct http_reply r = call_on("DELETE", a->rest[0], NULL);
    return http_finish_removal(&r, o->json, "deleted", a->rest[0]);
}

int cli_subscription(int argc, char **argv)
{
    static const struct cli_verbs all = { "subscription", "[<subscription>]", verbs, COUNT(verbs) };
    struct subscription_options o = { 0 };
    return cli_run_verb(&all, &o, argc, argv);
}
