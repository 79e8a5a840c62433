/* sluice topic: names that fan out to queues, over HTTP. */
#include "clients/cli/cli.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct topic_options {
    const char *prefix, *unrouted, *filter;
    bool json, names;
};

#define FIELD(name) offsetof(struct topic_options, name)
#define AS_JSON                                                                                                        \
    {                                                                                                                  \
        "json", 0, CLI_SWITCH, FIELD(json), NULL, "print JSON"                                                         \
    }
#define COUNT(x) (sizeof(x) / sizeof *(x))

static const struct cli_option json_table[] = { AS_JSON };
static const struct cli_option list_table[] = {
    { "prefix", 'p', CLI_TEXT, FIELD(prefix), "text", "only names with this prefix" },
    { "names", 0, CLI_SWITCH, FIELD(names), NULL, "print the names only" },
    { "json", 0, CLI_SWITCH, FIELD(json), NULL, "print each topic as a JSON object on a line" },
};
static const struct cli_option put_table[] = {
    { "unrouted", 'u', CLI_TEXT, FIELD(unrouted), "what",
      "for events that no binding matches: refuse, drop, or queue=NAME" },
    AS_JSON,
};
static const struct cli_option bind_table[] = {
    { "filter", 'f', CLI_TEXT, FIELD(filter), "json", "only events that match this filter [all]" },
    AS_JSON,
};

typedef int verb_run(const void *options, struct cli_args *a);
static verb_run list, show, put, bind, unbind, delete;

static const struct cli_verb verbs[] = {
    CLI_VERB("topic", "list", list, list_table, "", 0, "Lists the topics by name, with their queues.", NULL),
    CLI_VERB("topic", "show", show, json_table, " <topic>", 1, "Shows a topic: its queues, their filters, its counts.",
             NULL),
    CLI_VERB("topic", "put", put, put_table, " <topic>", 1,
             "Makes a topic, or says what becomes of events that nothing matches.",
             "  sluice topic put orders-all --unrouted queue=leftovers"),
    CLI_VERB("topic", "bind", bind, bind_table, " <topic> <queue>", 2,
             "Binds a queue to a topic, or gives it another filter.",
             "  sluice topic bind orders-all audit\n"
             "  sluice topic bind orders-all mail --filter '{\"exact\":{\"type\":\"order.placed\"}}'\n\n"
             "Operators: exact, prefix, suffix, all, any, not (CloudEvents Subscriptions)."),
    CLI_VERB("topic", "unbind", unbind, json_table, " <topic> <queue>", 2, "Undoes bind; the queue keeps its events.",
             NULL),
    CLI_VERB("topic", "delete", delete, json_table, " <topic>", 1, "Deletes a topic; its queues and their events stay.",
             NULL),
};

static struct http_reply call(const char *method, bool operations, const struct buf *path, const char *data)
{
    return http_do(&(struct http_call){ .method = method,
                                        .operations = operations,
                                        .path = (const char *)path->data,
                                        .data = data,
                                        .size = data ? strlen(data) : 0 });
}

/* ------------------------------------------------------------------ printing */

static void print_binding(const char *queue, const json_t *binding)
{
    const json_t *filter = json_object_get(binding, "filter");
    char *text = filter ? json_dumps(filter, JSON_COMPACT) : NULL;
    printf("  %-24s %12lld matched   ", queue, json_number_of(binding, "matched"));
    cli_print_plain(span_str(text ? text : "every event"), SIZE_MAX);
    putchar('\n');
    free(text);
}

static void print_topic(const json_t *t)
{
    const json_t *unrouted = json_object_get(t, "unrouted");
    const char *queue;
    json_t *binding;
    printf("%s: %lld accepted, %lld of them dropped, %lld refused, %lld waiting\n", json_text_of(t, "topic"),
           json_number_of(t, "accepted"), json_number_of(t, "dropped"), json_number_of(t, "refused"),
           json_number_of(t, "waiting_publishers"));
    json_object_foreach ((json_t *)json_object_get(t, "bindings"), queue, binding)
        print_binding(queue, binding);
    if (json_is_object(unrouted))
        printf("  %-24s %12s           unrouted events\n", json_text_of(unrouted, "queue"), "");
    else
        printf("  unrouted events: %s\n", json_string_value(unrouted));
}

struct listing {
    const struct topic_options *options;
    bool any;
};

static void print_listed(void *context, const json_t *one)
{
    struct listing *l = context;
    if (l->options->names)
        puts(json_text_of(one, "topic"));
    else if (l->options->json)
        cli_print_json_line(one);
    else
        print_topic(one);
    l->any = true;
}

/* ------------------------------------------------------------------ verbs */

static int list(const void *options, struct cli_args *a)
{
    const struct topic_options *o = options;
    struct listing l = { .options = o };
    (void)a;
    if (!http_each("topics", 1000, o->prefix, print_listed, &l))
        return CLI_FAILED;
    if (!l.any && !o->names && !o->json)
        cli_fail("there is no topic%s%s", *o->prefix ? " that begins with " : "", o->prefix);
    return CLI_OK;
}

static int show(const void *options, struct cli_args *a)
{
    const struct topic_options *o = options;
    struct buf path = { 0 };
    http_topic_path(&path, a->rest[0], "%s", "");
    struct http_reply r = call("GET", false, &path, NULL);
    buf_free(&path);
    return http_finish(&r, o->json, print_topic);
}

/* The JSON for --unrouted; NULL with a message if it is not valid. */
static json_t *unrouted_json(const char *given)
{
    if (strcmp(given, "refuse") == 0 || strcmp(given, "drop") == 0)
        return json_string(given);
    if (strncmp(given, "queue=", 6) == 0)
        return json_pack("{s:s}", "queue", given + 6);
    json_t *object = json_loads(given, JSON_REJECT_DUPLICATES, NULL); /* in the form of the HTTP API */
    if (json_is_object(object))
        return object;
    json_decref(object);
    cli_usage("--unrouted: '%s' must be refuse, drop or queue=NAME", given);
    return NULL;
}

static int put(const void *options, struct cli_args *a)
{
    const struct topic_options *o = options;
    struct buf path = { 0 };
    json_t *unrouted = o->unrouted ? unrouted_json(o->unrouted) : NULL;
    if (o->unrouted && !unrouted)
        return CLI_USAGE;
    json_t *body = json_object();
    if (unrouted)
        json_object_set_new(body, "unrouted", unrouted);
    char *text = json_dumps(body, JSON_COMPACT);
    http_topic_path(&path, a->rest[0], "%s", "");
    struct http_reply r = call("PUT", false, &path, text);
    free(text);
    json_decref(body);
    buf_free(&path);
    return http_finish(&r, o->json, print_topic);
}

static int bind(const void *options, struct cli_args *a)
{
    const struct topic_options *o = options;
    struct buf path = { 0 };
    json_error_t where;
    json_t *filter = o->filter ? json_loads(o->filter, JSON_REJECT_DUPLICATES, &where) : NULL;
    if (o->filter && !filter)
        return cli_usage("--filter is not JSON: %s", where.text);
    json_t *body = json_object();
    if (filter)
        json_object_set_new(body, "filter", filter);
    char *text = json_dumps(body, JSON_COMPACT);
    http_binding_path(&path, a->rest[0], a->rest[1]);
    struct http_reply r = call("PUT", false, &path, text);
    free(text);
    json_decref(body);
    buf_free(&path);
    if (o->json || r.status / 100 != 2)
        return http_finish(&r, true, NULL);
    print_binding(a->rest[1], http_json(&r));
    http_reply_free(&r);
    return CLI_OK;
}

static int unbind(const void *options, struct cli_args *a)
{
    const struct topic_options *o = options;
    struct buf path = { 0 };
    http_binding_path(&path, a->rest[0], a->rest[1]);
    struct http_reply r = call("DELETE", true, &path, NULL);
    buf_free(&path);
    return http_finish_removal(&r, o->json, "unbound", a->rest[1]);
}

static int delete (const void *options, struct cli_args *a)
{
    const struct topic_options *o = options;
    struct buf path = { 0 };
    http_topic_path(&path, a->rest[0], "%s", "");
    struct http_reply r = call("DELETE", true, &path, NULL);
    buf_free(&path);
    return http_finish_removal(&r, o->json, "deleted", a->rest[0]);
}

int cli_topic(int argc, char **argv)
{
    static const struct cli_verbs all = { "topic", "[<topic> [<queue>]]", verbs, COUNT(verbs) };
    struct topic_options o = { .prefix = "" };
    return cli_run_verb(&all, &o, argc, argv);
}
