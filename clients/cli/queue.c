/* sluice queue, drain and top: looking and operating, over HTTP. */
#include "clients/cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char usage[] = "usage: sluice queue list [--prefix TEXT] [--json]\n"
                            "       sluice queue show NAME [--json]\n"
                            "       sluice queue declare NAME [SETTING=VALUE...]    capacity=1000 lease=1m ...\n"
                            "       sluice queue peek NAME [--max N]\n"
                            "       sluice queue purge|pause|resume|close|open NAME\n"
                            "       sluice queue delete NAME [--force]\n";

static long long number(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void print_row(const json_t *q)
{
    const char *consumer = json_string_value(json_object_get(q, "consumer"));
    const json_t *rates = json_object_get(q, "rates");
    printf("%-32s %9lld %9lld %9lld %9.1f %9.1f  %s%s%s\n", json_string_value(json_object_get(q, "queue")),
           number(q, "ready"), number(q, "in_flight"), number(q, "capacity"),
           json_number_value(json_object_get(rates, "in")), json_number_value(json_object_get(rates, "out")),
           consumer ? consumer : "-", json_is_true(json_object_get(q, "paused")) ? " paused" : "",
           json_is_true(json_object_get(q, "closed")) ? " closed" : "");
}

static bool print_list(const char *prefix, bool as_json)
{
    char path[512], after[160] = "";
    if (!as_json)
        printf("%-32s %9s %9s %9s %9s %9s  %s\n", "QUEUE", "READY", "IN_FLIGHT", "CAPACITY", "IN/S", "OUT/S",
               "CONSUMER");
    do {
        snprintf(path, sizeof path, "/v1/queues?limit=1000&prefix=%s&after=%s", prefix, after);
        struct http_reply r = http_request("GET", false, path, NULL, NULL, 0);
        const char *name, *next = json_string_value(json_object_get(r.body, "next"));
        json_t *q;
        bool fine = http_fine(&r);
        json_object_foreach (json_object_get(r.body, "queues"), name, q) {
            if (as_json) {
                json_dumpf(q, stdout, JSON_COMPACT);
                putchar('\n');
            } else {
                print_row(q);
            }
        }
        snprintf(after, sizeof after, "%s", next ? next : "");
        http_reply_free(&r);
        if (!fine)
            return false;
    } while (*after);
    return true;
}

static int print_reply(struct http_reply *r, bool as_json)
{
    bool fine = http_fine(r);
    if (fine && r->body) {
        json_dumpf(r->body, stdout, as_json ? JSON_COMPACT : JSON_INDENT(2));
        putchar('\n');
    }
    http_reply_free(r);
    return fine ? CLI_OK : CLI_FAILED;
}

static json_t *setting_value(const char *text)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    if (*text && !*end)
        return json_integer(n);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(*text == 't');
    return json_string(text);
}

static int declare(const char *path, int count, char **settings)
{
    json_t *body = json_object();
    for (int i = 0; i < count; i++) {
        char *equals = strchr(settings[i], '=');
        if (!equals) {
            json_decref(body);
            return cli_usage("'%s' is no SETTING=VALUE", settings[i]);
        }
        *equals = '\0';
        json_object_set_new(body, settings[i], setting_value(equals + 1));
    }
    char *text = json_dumps(body, JSON_COMPACT);
    struct http_reply r = http_request("PUT", false, path, NULL, text, strlen(text));
    free(text);
    json_decref(body);
    return print_reply(&r, false);
}

struct queue_flags {
    const char *prefix, *max;
    bool json, force;
};

static int run_verb(const char *verb, const char *name, const struct queue_flags *f, int count, char **rest)
{
    char path[512];
    struct http_reply r;
    snprintf(path, sizeof path, "/v1/queues/%s", name);
    if (strcmp(verb, "declare") == 0)
        return declare(path, count, rest);
    if (strcmp(verb, "show") == 0) {
        r = http_request("GET", false, path, NULL, NULL, 0);
    } else if (strcmp(verb, "peek") == 0) {
        snprintf(path, sizeof path, "/v1/queues/%s/peek?max=%s", name, f->max);
        r = http_request("GET", false, path, NULL, NULL, 0);
    } else if (strcmp(verb, "delete") == 0) {
        snprintf(path, sizeof path, "/v1/queues/%s%s", name, f->force ? "?force=true" : "");
        r = http_request("DELETE", true, path, NULL, NULL, 0);
    } else {
        snprintf(path, sizeof path, "/v1/queues/%s/%s", name, verb);
        r = http_request("POST", true, path, NULL, NULL, 0);
    }
    return print_reply(&r, f->json);
}

static bool is_verb(const char *verb)
{
    static const char *const verbs[] = { "show",   "declare", "peek", "purge", "pause",
                                         "resume", "close",   "open", "delete" };
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i], verb) == 0)
            return true;
    }
    return false;
}

int cli_queue(int argc, char **argv)
{
    struct queue_flags f = { .prefix = "", .max = "10" };
    static const struct option flags[] = { { "prefix", 1, NULL, 'p' }, { "max", 1, NULL, 'm' },
                                           { "json", 0, NULL, 'j' },   { "force", 0, NULL, 'f' },
                                           { "help", 0, NULL, 'h' },   { 0 } };
    for (int c; (c = getopt_long(argc, argv, "h", flags, NULL)) != -1;) {
        if (c == 'h')
            return fputs(usage, stdout), CLI_OK;
        if (c == '?')
            return CLI_USAGE;
        f.prefix = c == 'p' ? optarg : f.prefix;
        f.max = c == 'm' ? optarg : f.max;
        f.json |= c == 'j';
        f.force |= c == 'f';
    }
    const char *verb = optind < argc ? argv[optind] : "list";
    if (strcmp(verb, "list") == 0)
        return print_list(f.prefix, f.json) ? CLI_OK : CLI_FAILED;
    if (!is_verb(verb))
        return cli_usage("'%s' is nothing a queue can do; 'sluice queue --help' lists it", verb);
    if (optind + 1 >= argc)
        return cli_usage("which queue? sluice queue %s NAME", verb);
    return run_verb(verb, argv[optind + 1], &f, argc - optind - 2, argv + optind + 2);
}

int cli_drain(int argc, char **argv)
{
    if (argc > 1)
        return fputs(
                   "usage: sluice drain\n\nTells the sidecar to finish what it holds and to take no more; returns when "
                   "it has.\n",
                   strcmp(argv[1], "--help") == 0 ? stdout : stderr),
               strcmp(argv[1], "--help") == 0 ? CLI_OK : CLI_USAGE;
    struct http_reply r = http_request("POST", true, "/v1/drain", NULL, NULL, 0);
    return print_reply(&r, true);
}

int cli_top(int argc, char **argv)
{
    bool once = argc > 1 && strcmp(argv[1], "--once") == 0;
    if (argc > 1 && !once)
        return fputs("usage: sluice top [--once]\n\nShows every queue, each second again.\n",
                     strcmp(argv[1], "--help") == 0 ? stdout : stderr),
               strcmp(argv[1], "--help") == 0 ? CLI_OK : CLI_USAGE;
    for (;;) {
        if (!once && isatty(1))
            fputs("\033[H\033[2J", stdout);
        if (!print_list("", false))
            return CLI_FAILED;
        fflush(stdout);
        if (once)
            return CLI_OK;
        nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
    }
}
