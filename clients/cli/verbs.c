/* Shared by commands with verbs, like `sluice topic`: selecting the verb, fetching the pages of a list, printing an
 * answer. */
#include "clients/cli/cli.h"

#include <assert.h>
#include <stdio.h>

#define VERBS_MAX 16u

static void print_help(const struct cli_verbs *v, FILE *out)
{
    fprintf(out, "usage: sluice %s <verb> [<options>] %s\n\n", v->command, v->operands);
    for (size_t i = 0; i < v->count; i++)
        fprintf(out, "   %-8s %s\n", v->items[i].name, v->items[i].syntax.text);
    fprintf(out, "\n'sluice %s <verb> --help' describes a verb.\n", v->command);
}

static int run(const struct cli_verbs *v, const struct cli_verb *verb, void *options, int argc, char **argv)
{
    struct cli_args a = cli_parse(&verb->syntax, options, argc, argv);
    if (!a.go)
        return a.code;
    if (a.count > (int)verb->syntax.least && !verb->more)
        return cli_usage("unexpected argument '%s'. See 'sluice %s %s --help'.", a.rest[verb->syntax.least], v->command,
                         verb->name);
    a.verb = verb->name;
    return verb->run(options, &a);
}

int cli_run_verb(const struct cli_verbs *v, void *options, int argc, char **argv)
{
    const char *names[VERBS_MAX];
    char help[64];
    assert(v->count <= VERBS_MAX);
    if (argc < 2)
        return print_help(v, stderr), CLI_USAGE;
    if (!cli_words_valid(argc, argv))
        return CLI_USAGE;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return print_help(v, stdout), CLI_OK;
    for (size_t i = 0; i < v->count; i++) {
        names[i] = v->items[i].name;
        if (strcmp(argv[1], names[i]) == 0)
            return run(v, &v->items[i], options, argc - 1, argv + 1);
    }
    snprintf(help, sizeof help, "sluice %s --help", v->command);
    return cli_unknown("verb", argv[1], names, v->count, help);
}

bool http_each(const char *kind, unsigned limit, const char *prefix, http_each_fn *each, void *context)
{
    struct buf path = { 0 };
    char after[160] = "";
    bool fine = true;
    do {
        buf_clear(&path);
        buf_printf(&path, "/v1/%s?limit=%u", kind, limit);
        if (*prefix)
            http_add_parameter(&path, "prefix", prefix);
        if (*after)
            http_add_parameter(&path, "after", after);
        buf_add_byte(&path, '\0');
        struct http_reply r =
            http_do(&(struct http_call){ .method = "GET", .abortable = true, .path = (char *)path.data });
        const char *name;
        json_t *one;
        fine = http_ok(&r);
        json_object_foreach ((json_t *)json_object_get(http_json(&r), kind), name, one)
            each(context, one);
        snprintf(after, sizeof after, "%s", json_text_of(http_json(&r), "next"));
        http_reply_free(&r);
    } while (fine && *after);
    buf_free(&path);
    return fine;
}

int http_finish(struct http_reply *r, bool as_json, void (*print)(const json_t *))
{
    bool fine = http_ok(r);
    if (fine && as_json && r->text.size)
        fwrite(r->text.data, 1, r->text.size, stdout);
    else if (fine && !as_json)
        print(http_json(r));
    http_reply_free(r);
    return fine ? CLI_OK : CLI_FAILED;
}

int http_finish_removal(struct http_reply *r, bool as_json, const char *done, const char *name)
{
    int code = http_finish(r, true, NULL);
    if (code == CLI_OK && as_json)
        printf("{\"%s\":true}\n", done);
    else if (code == CLI_OK)
        printf("%s %s\n", done, name);
    return code;
}

void cli_print_json_line(const json_t *one)
{
    json_dumpf(one, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
}
