/* Parses options with getopt_long from each command's table, prints help, and reports mistakes. */
#include "base/settings.h"
#include "base/units.h"
#include "base/utf8.h"
#include "clients/cli/cli.h"
#include "proto/queue_settings.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define OPTIONS_MAX 32
#define HELP_COLUMN 28
#define NAMES_MAX   (OPTIONS_MAX + 3) /* candidates for a suggestion: with --help, --url and --ops-url */

enum { ID_HELP = 1000, ID_URL, ID_OPS_URL };

static void print_option(char letter, const char *name, const char *meta, const char *help)
{
    char left[64];
    int size = snprintf(left, sizeof left, "    %c%c%s--%s%s%s%s", letter ? '-' : ' ', letter ? letter : ' ',
                        letter ? ", " : "  ", name, meta ? " <" : "", meta ? meta : "", meta ? ">" : "");
    if (size >= HELP_COLUMN)
        printf("%s\n%*s", left, HELP_COLUMN, "");
    else
        printf("%-*s", HELP_COLUMN, left);
    for (; *help; help++) {
        putchar(*help);
        if (*help == '\n')
            printf("%*s", HELP_COLUMN, "");
    }
    putchar('\n');
}

static void print_usage(const char *usage)
{
    printf("usage: sluice ");
    for (; *usage; usage++) {
        putchar(*usage);
        if (*usage == '\n')
            printf("   or: sluice ");
    }
    printf("\n\n");
}

static void print_help(const struct cli_syntax *s)
{
    print_usage(s->usage);
    printf("%s\n\n", s->text);
    for (size_t i = 0; i < s->option_count; i++)
        print_option(s->options[i].letter, s->options[i].name, s->options[i].meta, s->options[i].help);
    if (s->http) {
        print_option(0, "url", "url", "the sidecar's address, or unix:PATH\n[SLUICE_URL, http://127.0.0.1:8480]");
        print_option(0, "ops-url", "url",
                     "its operations listener [SLUICE_OPS_URL; --url if given;\nhttp://127.0.0.1:9480]");
    }
    print_option('h', "help", NULL, "show this help");
    if (s->notes)
        printf("\n%s\n", s->notes);
}

/* Do the words differ by two swapped neighbours? The likeliest typo in a short word, and too far for
 * settings_closest. */
static bool is_swapped(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a && *b && a[1] && a[0] == b[1] && a[1] == b[0] && strcmp(a + 2, b + 2) == 0;
}

/* Without dashes: all options have them, so they must not count as similarity. */
static const char *bare(const char *word)
{
    return word + strspn(word, "-");
}

int cli_unknown(const char *what, const char *word, const char *const *names, size_t count, const char *help)
{
    const char *bare_names[NAMES_MAX] = { NULL }, *near;
    assert(count <= NAMES_MAX);
    for (size_t i = 0; i < count; i++)
        bare_names[i] = bare(names[i]);
    near = settings_closest(bare_names, count, bare(word));
    for (size_t i = 0; i < count; i++)
        near = near == bare_names[i] || is_swapped(word, names[i]) ? names[i] : near;
    cli_usage("there is no %s '%s'. See '%s'.", what, word, help);
    if (near)
        fprintf(stderr, "\nDid you mean '%s'?\n", near);
    return CLI_USAGE;
}

/* The queue setting that --word was meant for; NULL: none. */
static const char *setting_meant(const char *word)
{
    char name[32];
    enum queue_setting which;
    snprintf(name, sizeof name, "%s", word + strspn(word, "-"));
    for (char *dash = name; (dash = strchr(dash, '-'));)
        *dash = '_';
    const struct queue_setting_info *info = queue_setting_find(span_str(name), &which);
    return info ? info->name : NULL;
}

static int unknown_option(const struct cli_syntax *s, const char *command, char *word)
{
    const char *names[NAMES_MAX] = { "--help", "--url", "--ops-url" };
    char help[64], texts[OPTIONS_MAX][40];
    size_t count = s->http ? 3 : 1;
    for (size_t i = 0; i < s->option_count; i++) {
        snprintf(texts[i], sizeof texts[i], "--%s", s->options[i].name);
        names[count++] = texts[i];
    }
    word[strcspn(word, "=")] = '\0';
    snprintf(help, sizeof help, "sluice help %s", command);
    const char *setting = strstr(s->usage, "<setting>=<value>") ? setting_meant(word) : NULL;
    if (setting)
        return cli_usage("'%s' is a setting, not an option: write %s=<value>. See '%s'.", word, setting, help);
    return cli_unknown("option", word, names, count, help);
}

static bool store(const struct cli_option *o, char *options, const char *value)
{
    int64_t ms;
    char *end;
    void *to = options + o->offset;
    switch (o->kind) {
    case CLI_SWITCH: *(bool *)to = true; return true;
    case CLI_TEXT: *(const char **)to = value; return true;
    case CLI_DURATION:
        *(const char **)to = value;
        if (duration_parse(span_str(value), &ms))
            return true;
        cli_usage("--%s: '%s' is not a duration; write it like 250ms, 2s or 1m, at most " DURATION_MOST, o->name,
                  value);
        return false;
    case CLI_COUNT:
        errno = 0;
        *(unsigned long *)to = strtoul(value, &end, 10);
        if (*value >= '0' && *value <= '9' && !*end && !errno && *(unsigned long *)to > 0)
            return true;
        cli_usage("--%s: '%s' must be a whole number above 0", o->name, value);
        return false;
    case CLI_LIST: break;
    }
    struct cli_list *list = to;
    if (list->count == sizeof list->items / sizeof *list->items)
        return cli_usage("--%s: at most %zu of them", o->name, list->count), false;
    list->items[list->count++] = value;
    return true;
}

/* Makes getopt's tables from ours. */
static void make_tables(const struct cli_syntax *s, struct option *longs, char *shorts)
{
    *shorts++ = ':'; /* distinguishes a missing value from an unknown option, and prints nothing */
    *shorts++ = 'h';
    *longs++ = (struct option){ "help", no_argument, NULL, ID_HELP };
    if (s->http) {
        *longs++ = (struct option){ "url", required_argument, NULL, ID_URL };
        *longs++ = (struct option){ "ops-url", required_argument, NULL, ID_OPS_URL };
    }
    for (size_t i = 0; i < s->option_count; i++) {
        const struct cli_option *o = &s->options[i];
        *longs++ =
            (struct option){ o->name, o->kind == CLI_SWITCH ? no_argument : required_argument, NULL, (int)i + 1 };
        if (!o->letter)
            continue;
        *shorts++ = o->letter;
        if (o->kind != CLI_SWITCH)
            *shorts++ = ':';
    }
    *longs = (struct option){ 0 };
    *shorts = '\0';
}

static const struct cli_option *find_option(const struct cli_syntax *s, int flag)
{
    for (size_t i = 0; i < s->option_count; i++) {
        if (flag == (int)i + 1 || (s->options[i].letter && flag == s->options[i].letter))
            return &s->options[i];
    }
    return NULL;
}

static struct cli_args stop(int code)
{
    return (struct cli_args){ .go = false, .code = code };
}

/* The size of the command's words in a usage: "queue declare" in "queue declare [<options>] <queue>". */
static int command_size(const char *usage)
{
    size_t size = 0;
    for (size_t i = 0; usage[i] && usage[i] != '[' && usage[i] != '<' && usage[i] != '(' && usage[i] != '\n'; i++)
        size = usage[i] == ' ' ? size : i + 1;
    return (int)size;
}

bool cli_words_valid(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!utf8_valid(span_str(argv[i])))
            return cli_usage("'%s' is not valid UTF-8", argv[i]), false;
    }
    return true;
}

struct cli_args cli_parse(const struct cli_syntax *s, void *options, int argc, char **argv)
{
    struct option longs[OPTIONS_MAX + 4];
    char shorts[2 * OPTIONS_MAX + 3], command[40];
    const char *url = NULL, *ops_url = NULL;
    snprintf(command, sizeof command, "%.*s", command_size(s->usage), s->usage);
    make_tables(s, longs, shorts);
    opterr = 0;
    optind = 0; /* start again: a command parses its verb's words separately */
    for (int f; (f = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        if (f == 'h' || f == ID_HELP)
            return print_help(s), stop(CLI_OK);
        if (f == ID_URL)
            url = optarg;
        else if (f == ID_OPS_URL)
            ops_url = optarg;
        else if (f == ':')
            return stop(cli_usage("%s needs a value. See 'sluice help %s'.", argv[optind - 1], command));
        else if (f == '?' && optopt && !strchr(shorts, optopt) && strncmp(argv[optind - 1], "--", 2) != 0)
            return stop(cli_usage("there is no option '-%c'. See 'sluice help %s'.", optopt, command));
        else if (f == '?' && optopt && strncmp(argv[optind - 1], "--", 2) == 0)
            return stop(cli_usage("%.*s takes no value. See 'sluice help %s'.", (int)strcspn(argv[optind - 1], "="),
                                  argv[optind - 1], command));
        else if (f == '?')
            return stop(unknown_option(s, command, argv[optind - 1]));
        else if (!store(find_option(s, f), options, optarg))
            return stop(CLI_USAGE);
    }
    if (!http_use(url, ops_url))
        return stop(CLI_USAGE);
    if (argc - optind < (int)s->least)
        return stop(cli_usage("an argument is missing: sluice %.*s", (int)strcspn(s->usage, "\n"), s->usage));
    return (struct cli_args){ .go = true, .count = argc - optind, .rest = argv + optind };
}
