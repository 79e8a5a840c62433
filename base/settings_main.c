/* A program's start: flags made from the table, --help, --version, --check-config. */
#include "base/settings_priv.h"

#include "base/log.h"
#include "base/units.h"
#include "base/xalloc.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FLAG_HELP = 1000, FLAG_VERSION, FLAG_CONFIG, FLAG_CHECK, FLAG_ROWS };

struct start {
    const struct settings *settings;
    void *options;
    const char *program, *summary;
};

static _Noreturn void quit(const struct start *s, const char *what)
{
    fprintf(stderr, "%s: %s\n", s->program, what);
    exit(2);
}

static void flag_name(const char *key, char out[64])
{
    snprintf(out, 64, "%s", key);
    for (char *c = out; *c; c++)
        *c = *c == '.' || *c == '_' ? '-' : *c;
}

static void default_text(const struct setting *row, char out[64])
{
    char text[24];
    out[0] = '\0';
    if (row->type == SETTING_STRING && row->text) {
        snprintf(out, 64, " [%s]", row->text);
    } else if (row->type == SETTING_DURATION) {
        duration_format(row->number, text);
        snprintf(out, 64, " [%s]", text);
    } else if (row->type == SETTING_SIZE && row->number) {
        size_format((uint64_t)row->number, text);
        snprintf(out, 64, " [%s]", text);
    } else if (row->type == SETTING_NUMBER && row->number) {
        snprintf(out, 64, " [%lld]", (long long)row->number);
    } else if (row->type == SETTING_BOOL && row->number) {
        snprintf(out, 64, " [true; append =false to turn it off]");
    }
}

/* Lists the keys with a dot: flags do not show where the dot is. */
static void print_groups(const struct settings *s)
{
    const char *before = "Groups of the file:";
    for (size_t i = 0; i < s->count; i++) {
        const char *key = s->rows[i].key, *dot = strchr(key, '.');
        size_t group = dot ? (size_t)(dot - key) : 0;
        if (!dot)
            continue;
        bool same = i > 0 && strncmp(s->rows[i - 1].key, key, group + 1) == 0;
        if (same)
            printf(", %s", dot + 1);
        else
            printf("%s %.*s: {%s", before, (int)group, key, dot + 1);
        bool goes_on = i + 1 < s->count && strncmp(s->rows[i + 1].key, key, group + 1) == 0;
        before = ",";
        printf("%s", goes_on ? "" : "}");
    }
    printf("%s", *before == ',' ? ".\n" : "");
}

static void print_sections(const struct settings *s)
{
    for (size_t i = 0; i < s->section_count; i++)
        printf("%s %s:%s", i ? "," : "In the file only:", s->sections[i].key, i + 1 < s->section_count ? "" : ".\n");
}

static void print_help(const struct start *s)
{
    printf("usage: %s [--config FILE] [options]\n\n%s\n\noptions:\n", s->program, s->summary);
    for (size_t i = 0; i < s->settings->count; i++) {
        const struct setting *row = &s->settings->rows[i];
        char name[64], left[120], fallback[64];
        flag_name(row->key, name);
        snprintf(left, sizeof left, "--%s%s%s", name, row->type == SETTING_BOOL ? "" : " ",
                 row->type == SETTING_BOOL ? ""
                 : row->meta               ? row->meta
                                           : "VALUE");
        default_text(row, fallback);
        printf("  %-32s %s%s\n", left, row->help, fallback);
    }
    printf("  %-32s %s\n  %-32s %s\n  %-32s %s\n  %-32s %s\n", "--config FILE", "read settings from a YAML file",
           "--check-config", "check the settings and exit", "--version", "print the version and exit", "--help",
           "print this help and exit");
    printf(
        "\nEvery option is also a key of the YAML file (--a-b is a_b, or a: {b} if a is a group) and an environment\n"
        "variable (SLUICE_A_B). Flags override the environment, which overrides the file.\n");
    print_groups(s->settings);
    print_sections(s->settings);
}

static struct option *make_flags(const struct settings *s)
{
    struct option *flags = xcalloc(s->count + 5, sizeof *flags);
    for (size_t i = 0; i < s->count; i++) {
        char name[64];
        flag_name(s->rows[i].key, name);
        flags[i] =
            (struct option){ xstrdup(name), s->rows[i].type == SETTING_BOOL ? optional_argument : required_argument,
                             NULL, FLAG_ROWS + (int)i };
    }
    flags[s->count] = (struct option){ xstrdup("help"), no_argument, NULL, FLAG_HELP };
    flags[s->count + 1] = (struct option){ xstrdup("version"), no_argument, NULL, FLAG_VERSION };
    flags[s->count + 2] = (struct option){ xstrdup("config"), required_argument, NULL, FLAG_CONFIG };
    flags[s->count + 3] = (struct option){ xstrdup("check-config"), no_argument, NULL, FLAG_CHECK };
    return flags;
}

static void free_flags(struct option *flags)
{
    for (struct option *f = flags; f->name; f++)
        free((char *)(uintptr_t)f->name);
    free(flags);
}

/* getopt has reported the mistake; this suggests the flag that was probably meant. */
static _Noreturn void refuse_flag(const struct start *s, const struct option *flags, const char *given)
{
    const char *names[256], *closest = NULL;
    char wrong[64];
    size_t count = 0;
    for (; flags[count].name && count < sizeof names / sizeof *names; count++)
        names[count] = flags[count].name;
    bool unknown = optopt == 0 && strncmp(given, "--", 2) == 0;
    if (unknown) {
        snprintf(wrong, sizeof wrong, "%.*s", (int)strcspn(given + 2, "="), given + 2);
        closest = settings_closest(names, count, wrong);
    }
    if (closest)
        fprintf(stderr, "%s: did you mean '--%s'? Try --help\n", s->program, closest);
    else
        fprintf(stderr, "%s: try --help\n", s->program);
    exit(2);
}

/* First pass: --help, --version and --config must be known before any value is set. */
static const char *scan_flags(const struct start *s, int argc, char **argv, struct option *flags, bool *check)
{
    const char *config = getenv("SLUICE_CONFIG");
    int flag;
    optind = 1;
    while ((flag = getopt_long(argc, argv, "h", flags, NULL)) != -1) {
        if (flag == FLAG_HELP || flag == 'h') {
            print_help(s);
            free_flags(flags);
            exit(0);
        } else if (flag == FLAG_VERSION) {
            printf("%s %s\n", s->program, SLUICE_VERSION);
            free_flags(flags);
            exit(0);
        } else if (flag == FLAG_CONFIG) {
            config = optarg;
        } else if (flag == FLAG_CHECK) {
            *check = true;
        } else if (flag == '?') {
            refuse_flag(s, flags, argv[optind - 1]);
        }
    }
    if (optind < argc) {
        char what[300];
        snprintf(what, sizeof what, "unexpected argument '%.200s'; try --help", argv[optind]);
        quit(s, what);
    }
    return config;
}

static void apply_flags(const struct start *s, int argc, char **argv, struct option *flags)
{
    bool cleared[256] = { false };
    int flag;
    optind = 1;
    while ((flag = getopt_long(argc, argv, "h", flags, NULL)) != -1) {
        struct error e;
        if (flag < FLAG_ROWS)
            continue;
        size_t index = (size_t)(flag - FLAG_ROWS);
        const struct setting *row = &s->settings->rows[index];
        if (row->type == SETTING_STRINGS && index < 256 && !cleared[index]) {
            settings_list_clear(row, s->options);
            cleared[index] = true;
        }
        if (!settings_apply(row, s->options, optarg ? optarg : "true", &e))
            quit(s, e.text);
    }
}

/* Uses getopt, which accepts abbreviations: --conf FILE is --config FILE. */
const char *settings_config_path(const struct settings *s, int argc, char **argv)
{
    const char *config = getenv("SLUICE_CONFIG");
    struct option *flags = make_flags(s);
    int flag;
    optind = 1;
    while ((flag = getopt_long(argc, argv, "h", flags, NULL)) != -1)
        config = flag == FLAG_CONFIG ? optarg : config;
    free_flags(flags);
    return config;
}

bool settings_read_again(const struct settings *settings, void *options, int argc, char **argv, struct error *e)
{
    const struct start s = { settings, options, argv[0], "" };
    const char *config = settings_config_path(settings, argc, argv);
    settings_defaults(settings, options);
    if ((config && !settings_read_file(settings, options, config, e)) ||
        !settings_read_environment(settings, options, environ, e))
        return false;
    struct option *flags = make_flags(settings);
    apply_flags(&s, argc, argv, flags); /* cannot fail: they were accepted at the start */
    free_flags(flags);
    return true;
}

void settings_main(const struct settings *settings, void *options, const char *program, const char *summary, int argc,
                   char **argv)
{
    struct start s = { settings, options, program, summary };
    struct option *flags = make_flags(settings);
    struct error e;
    bool check = false;
    settings_defaults(settings, options);
    const char *config = scan_flags(&s, argc, argv, flags, &check);
    if (config && !settings_read_file(settings, options, config, &e))
        quit(&s, e.text);
    if (!settings_read_environment(settings, options, environ, &e))
        quit(&s, e.text);
    apply_flags(&s, argc, argv, flags);
    free_flags(flags);
    if (settings->check && !settings->check(options, &e))
        quit(&s, e.text);
    bool meant = settings_check_environment(settings, environ, &e);
    if (check) {
        if (meant)
            quit(&s, e.text);
        if (settings->warn)
            settings->warn(options);
        printf("%s: the settings are fine\n", program);
        exit(0);
    }
}
