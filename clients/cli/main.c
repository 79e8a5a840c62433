/* sluice: the command line. All but dev, bench, keygen and ping speak HTTP to a sidecar, so it works through a port-forward. */
#include "clients/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    cli_command *run;
    const char *help;
} commands[] = {
    { "dev", cli_dev, "run a broker and a sidecar in one process" },
    { "pub", cli_pub, "publish events" },
    { "sub", cli_sub, "consume events: print them, or run a command for each" },
    { "queue", cli_queue, "list, show, declare, peek, purge, pause, resume, close, open, delete" },
    { "drain", cli_drain, "let a sidecar finish what it holds; for preStop hooks" },
    { "ping", cli_ping, "make a round trip to a broker" },
    { "top", cli_top, "watch the queues" },
    { "bench", cli_bench, "measure a broker: throughput and latency" },
    { "keygen", cli_keygen, "make a pair of keys, for brokers and clients that ask for them" },
    { "config", cli_config, "check a configuration file" },
};

static void print_help(FILE *out)
{
    fprintf(out, "usage: sluice [--url URL] COMMAND [options]\n\ncommands:\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
    fprintf(out, "\n'sluice COMMAND --help' says more. SLUICE_URL (default http://127.0.0.1:8480) and SLUICE_OPS_URL\n"
                 "(default http://127.0.0.1:9480) say where the sidecar is; SLUICE_TOKEN is sent when it is set.\n");
}

static int complain(int code, const char *format, va_list args)
{
    fputs("sluice: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    return code;
}

int cli_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(0, format, args);
    va_end(args);
    return CLI_USAGE;
}

int cli_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(0, format, args);
    va_end(args);
    return CLI_FAILED;
}

int main(int argc, char **argv)
{
    int at = 1;
    if (argc > 2 && strcmp(argv[1], "--url") == 0) {
        http_use(argv[2]);
        at = 3;
    }
    if (at >= argc || strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0 || strcmp(argv[at], "help") == 0) {
        print_help(at >= argc ? stderr : stdout);
        return at >= argc ? CLI_USAGE : CLI_OK;
    }
    if (strcmp(argv[at], "--version") == 0) {
        printf("sluice %s\n", SLUICE_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, argv[at]) == 0)
            return commands[i].run(argc - at, argv + at);
    }
    return cli_usage("'%s' is no command; 'sluice --help' lists them", argv[at]);
}
