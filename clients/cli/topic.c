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
    { "prefix", 'p', CLI_TEXT, FIELD(prefix), "text", "only names that begin so" },
    { "names", 0, CLI_SWITCH, FIELD(names), NULL, "print the names only" },
    { "json", 0, CLI_SWITCH, FIELD(json), NULL, "print each topic as a JSON object on a line" },
};
static const struct cli_option put_table[] = {
    { "unrouted", 'u', CLI_TEXT, FIELD(unrouted), "what", "of what nothing matches: refuse, drop, or queue=NAME" },
    AS_JSON,
};
static const struct cli_option bind_table[] = {
    { "filter", 'f', CLI_TEXT, FIELD(filter), "json", "which events [all]" },
    AS_JSON,
};

struct verb;
typedef int verb_run(const struct topic_options *o, struct cli_args *a);
static verb_run list, show, put, bind, unbind, delete;

static const struct verb {
    const char *name;
    verb_run *run;
    int operands;
    struct cli_syntax syntax;
} verbs[] = {
#define VERB(verb, function, table, form, operands_, text_, notes_)                                                    \
    {                                                                                                                  \
        verb, function, operands_,                                                                                     \
        {                                                                                                              \
            .usage = "topic " verb " [<options>]" form, .text = text_, .options = table, .option_count = COUNT(table), \
            .http = true, .least = operands_, .notes = notes_                                                          \
        }                                                                                                              \
    }
    VERB("list", list, list_table, "", 0, "Lists the topics by name, with their queues.", NULL),
    VERB("show", show, json_table, " <topic>", 1, "Shows a topic: its queues, their filters, its counts.", NULL),
    VERB("put", put, put_table, " <topic>", 1, "Makes a topic, or says what becomes of events that nothing matches.",
         "  sluice topic put orders-all --unrouted queue=leftovers"),
    VERB("bind", bind, bind_table, " <topic> <queue>", 2, "Binds a queue to a topic, or gives it another filter.",
         "  sluice topic bind orders-all audit\n"
         "  sluice topic bind orders-all mail --filter '{\"exact\":{\"type\":\"order.placed\"}}'\n\n"
         "Operators: exact, prefix, suffix, all, any, not (CloudEvents Subscriptions)."),
    VERB("unbind", unbind, json_table, " <topic> <queue>", 2, "Undoes bind; what the queue holds stays.", NULL),
    VERB("delete", delete, json_table, " <topic>", 1, "Deletes a topic; its queues and what they hold stay.", NULL),
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
    printf("  %-24s %12lld matched   %s\n", queue, json_number_of(binding, "matched"), text ? text : "every event");
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
        printf("  %-24s %12s           what nothing matches\n", json_text_of(unrouted, "queue"), "");
    else
        printf("  what nothing matches: %s\n", json_string_value(unrouted));
}

static void print_listed(const struct topic_options *o, const json_t *t)
{
    if (o->names) {
        puts(json_text_of(t, "topic"));
    } else if (o->json) {
        json_dumpf(t, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else {
        print_topic(t);
    }
}

/* Prints the answer's own bytes, or as people read it. Takes over the reply. */
static int finish(struct http_reply *r, bool as_json)
{
    bool fine = http_fine(r);
    if (fine && as_json && r->text.size)
        fwrite(r->text.data, 1, r->text.size, stdout);
    else if (fine && !as_json)
        print_topic(http_json(r));
    http_reply_free(r);
    return fine ? CLI_OK : CLI_FAILED;
}

/* ------------------------------------------------------------------ verbs */

static int list(const struct topic_options *o, struct cli_args *a)
{
    struct buf path = { 0 };
    char after[160] = "";
    bool fine = true;
    (void)a;
    do {
        buf_clear(&path);
        buf_add_str(&path, "/v1/topics?limit=1000");
        if (*o->prefix)
            http_add_parameter(&path, "prefix", o->prefix);
        if (*after)
            http_add_parameter(&path, "after", after);
        buf_add_byte(&path, '\0');
        struct http_reply r = call("GET", false, &path, NULL);
        const char *name;
        json_t *t;
        fine = http_fine(&r);
        json_object_foreach ((json_t *)json_object_get(http_json(&r), "topics"), name, t)
            print_listed(o, t);
        snprintf(after, sizeof after, "%s", json_text_of(http_json(&r), "next"));
        http_reply_free(&r);
    } while (fine && *after);
    buf_free(&path);
    return fine ? CLI_OK : CLI_FAILED;
}

static int show(const struct topic_options *o, struct cli_args *a)
{
    struct buf path = { 0 };
    http_topic_path(&path, a->rest[0], "%s", "");
    struct http_reply r = call("GET", false, &path, NULL);
    buf_free(&path);
    return finish(&r, o->json);
}

static int put(const struct topic_options *o, struct cli_args *a)
{
    struct buf path = { 0 };
    json_t *body = json_object();
    if (o->unrouted && strncmp(o->unrouted, "queue=", 6) == 0)
        json_object_set_new(body, "unrouted", json_pack("{s:s}", "queue", o->unrouted + 6));
    else if (o->unrouted)
        json_object_set_new(body, "unrouted", json_string(o->unrouted));
    char *text = json_dumps(body, JSON_COMPACT);
    http_topic_path(&path, a->rest[0], "%s", "");
    struct http_reply r = call("PUT", false, &path, text);
    free(text);
    json_decref(body);
    buf_free(&path);
    return finish(&r, o->json);
}

static int bind(const struct topic_options *o, struct cli_args *a)
{
    struct buf path = { 0 };
    json_error_t where;
    json_t *filter = o->filter ? json_loads(o->filter, JSON_REJECT_DUPLICATES, &where) : NULL;
    if (o->filter && !filter)
        return cli_usage("--filter is no JSON: %s", where.text);
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
        return finish(&r, true);
    print_binding(a->rest[1], http_json(&r));
    http_reply_free(&r);
    return CLI_OK;
}

static int removed(const struct topic_options *o, struct http_reply *r, const char *done, const char *name)
{
    int code = finish(r, true);
    if (code == CLI_OK && o->json)
        printf("{\"%s\":true}\n", done);
    else if (code == CLI_OK)
        printf("%s %s\n", done, name);
    return code;
}

static int unbind(const struct topic_options *o, struct cli_args *a)
{
    struct buf path = { 0 };
    http_binding_path(&path, a->rest[0], a->rest[1]);
    struct http_reply r = call("DELETE", true, &path, NULL);
    buf_free(&path);
    return removed(o, &r, "unbound", a->rest[1]);
}

static int delete (const struct topic_options *o, struct cli_args *a)
{
    struct buf path = { 0 };
    http_topic_path(&path, a->rest[0], "%s", "");
    struct http_reply r = call("DELETE", true, &path, NULL);
    buf_free(&path);
    return removed(o, &r, "deleted", a->rest[0]);
}

/* ------------------------------------------------------------------ which verb */

static void print_help(FILE *out)
{
    fputs("usage: sluice topic <verb> [<options>] [<topic> [<queue>]]\n\n", out);
    for (size_t i = 0; i < COUNT(verbs); i++)
        fprintf(out, "   %-8s %s\n", verbs[i].name, verbs[i].syntax.text);
    fputs("\n'sluice topic <verb> --help' says more about one.\n", out);
}

int cli_topic(int argc, char **argv)
{
    const char *names[COUNT(verbs)];
    struct topic_options o = { .prefix = "" };
    if (argc < 2)
        return print_help(stderr), CLI_USAGE;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return print_help(stdout), CLI_OK;
    for (size_t i = 0; i < COUNT(verbs); i++) {
        names[i] = verbs[i].name;
        if (strcmp(argv[1], names[i]) != 0)
            continue;
        struct cli_args a = cli_parse(&verbs[i].syntax, &o, argc - 1, argv + 1);
        if (!a.go)
            return a.code;
        if (a.count > verbs[i].operands)
            return cli_usage("'%s' is one too many. See 'sluice topic %s --help'.", a.rest[verbs[i].operands], argv[1]);
        return verbs[i].run(&o, &a);
    }
    return cli_unknown("verb", argv[1], names, COUNT(verbs), "sluice topic --help");
}
