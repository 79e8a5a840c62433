/* sluice sub: takes events, prints them or runs a command for each, and acks what was done. */
#include "clients/cli/cli.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
    "usage: sluice sub QUEUE [options] [-- COMMAND...]\n\n"
    "Prints each event's data on a line, or runs COMMAND with the data on its standard input: exit status 0 acks the\n"
    "event, any other gives it back. SLUICE_ID, SLUICE_TYPE, SLUICE_SEQUENCE and SLUICE_ATTEMPT are in its "
    "environment.\n\n"
    "  --count N         end after N events\n"
    "  --max N           events a take [100; 1 with a command]\n"
    "  --wait DURATION   how long each take waits [30s]\n"
    "  --exit-empty      end when nothing came within --wait\n"
    "  --json            print whole events, one JSON object a line\n";

struct sub {
    const char *queue, *wait;
    unsigned long count, done;
    unsigned max;
    bool json, exit_empty;
    char **command;
};

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

static void print_event(const struct sub *s, const json_t *item)
{
    const json_t *event = json_object_get(item, "event"), *data = json_object_get(event, "data");
    if (s->json)
        json_dumpf(item, stdout, JSON_COMPACT);
    else if (json_is_string(data))
        fwrite(json_string_value(data), 1, json_string_length(data), stdout);
    else if (data)
        json_dumpf(data, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    else if (json_object_get(event, "data_base64"))
        fputs(json_string_value(json_object_get(event, "data_base64")), stdout);
    putchar('\n');
}

static void set_variable(const char *name, const json_t *value)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    setenv(name, json_is_string(value) ? json_string_value(value) : number, 1);
}

static bool run_command(const struct sub *s, const json_t *item)
{
    int pipes[2], status = 1;
    const json_t *event = json_object_get(item, "event"), *data = json_object_get(event, "data");
    if (pipe(pipes) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[0], 0);
        close(pipes[0]);
        close(pipes[1]);
        set_variable("SLUICE_ID", json_object_get(event, "id"));
        set_variable("SLUICE_TYPE", json_object_get(event, "type"));
        set_variable("SLUICE_SEQUENCE", json_object_get(item, "sequence"));
        set_variable("SLUICE_ATTEMPT", json_object_get(item, "attempt"));
        execvp(s->command[0], s->command);
        fprintf(stderr, "sluice: cannot run %s\n", s->command[0]);
        _exit(127);
    }
    close(pipes[0]);
    char *text = json_is_string(data) ? strdup(json_string_value(data)) : json_dumps(data, JSON_ENCODE_ANY);
    FILE *to = fdopen(pipes[1], "w");
    if (text && to)
        fputs(text, to);
    if (to)
        fclose(to);
    free(text);
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What is printed is acked only after it was written out. */
static bool settle(const struct sub *s, const json_t *ack, const json_t *nack)
{
    char path[256];
    if (fflush(stdout) != 0)
        return cli_fail("cannot write to the standard output; nothing more is acked"), false;
    snprintf(path, sizeof path, "/v1/queues/%s/acks", s->queue);
    json_t *body = json_pack("{s:O, s:O}", "ack", ack, "nack", nack);
    char *text = json_dumps(body, JSON_COMPACT);
    struct http_reply r = http_request("POST", false, path, NULL, text, strlen(text));
    bool fine = http_fine(&r);
    if (r.status == 207)
        cli_fail("some leases had ended before their ack: these events come again");
    http_reply_free(&r);
    json_decref(body);
    free(text);
    return fine;
}

static bool handle(struct sub *s, const json_t *events)
{
    json_t *ack = json_array(), *nack = json_array();
    const json_t *item;
    size_t i;
    json_array_foreach (events, i, item) {
        json_t *receipt = json_object_get(item, "receipt");
        bool fine = !s->command || run_command(s, item);
        if (!s->command)
            print_event(s, item);
        if (fine)
            json_array_append(ack, receipt);
        else
            json_array_append_new(nack, json_pack("{s:O, s:s}", "receipt", receipt, "delay", "1s"));
        s->done += fine;
    }
    bool settled = settle(s, ack, nack);
    json_decref(ack);
    json_decref(nack);
    return settled;
}

static int run(struct sub *s)
{
    int code = CLI_OK;
    while (!stopped && (s->count == 0 || s->done < s->count)) {
        char path[320];
        unsigned long left = s->count ? s->count - s->done : s->max;
        snprintf(path, sizeof path, "/v1/queues/%s/take?max=%lu&wait=%s", s->queue, left < s->max ? left : s->max,
                 s->wait);
        struct http_reply r = http_request("POST", false, path, NULL, NULL, 0);
        const json_t *events = json_object_get(r.body, "events");
        bool fine = http_fine(&r), empty = json_array_size(events) == 0;
        if (fine && !empty)
            fine = handle(s, events);
        http_reply_free(&r);
        if (!fine) {
            code = CLI_FAILED;
            break;
        }
        if (empty && s->exit_empty)
            break;
    }
    return code;
}

int cli_sub(int argc, char **argv)
{
    struct sub s = { .wait = "30s" };
    static const struct option flags[] = { { "count", 1, NULL, 'c' },
                                           { "max", 1, NULL, 'm' },
                                           { "wait", 1, NULL, 'w' },
                                           { "json", 0, NULL, 'j' },
                                           { "exit-empty", 0, NULL, 'e' },
                                           { "help", 0, NULL, 'h' },
                                           { 0 } };
    for (int f; (f = getopt_long(argc, argv, "h", flags, NULL)) != -1;) {
        if (f == 'h')
            return fputs(usage, stdout), CLI_OK;
        if (f == '?')
            return CLI_USAGE;
        s.count = f == 'c' ? strtoul(optarg, NULL, 10) : s.count;
        s.max = f == 'm' ? (unsigned)strtoul(optarg, NULL, 10) : s.max;
        s.wait = f == 'w' ? optarg : s.wait;
        s.json |= f == 'j';
        s.exit_empty |= f == 'e';
    }
    if (optind == argc)
        return cli_usage("sub needs a queue: sluice sub QUEUE [-- COMMAND...]");
    s.queue = argv[optind++];
    s.command = optind < argc ? argv + optind : NULL;
    s.max = s.max ? s.max : s.command ? 1 : 100;
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    return run(&s);
}
