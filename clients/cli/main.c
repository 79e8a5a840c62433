/* sluice: the command line. pub, sub, top, queue, topic, subscription and drain speak HTTP to a sidecar, so they
 * work through a port-forward. */
#include "base/standard_fds.h"
#include "clients/cli/cli.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const struct command {
    const char *group, *name;
    cli_command *run;
    const char *help;
} commands[] = {
    { "start", "dev", cli_dev, "Run a broker and a sidecar in one process" },
    { "publish and consume", "pub", cli_pub, "Publish events: arguments, lines, files, CloudEvents" },
    { NULL, "sub", cli_sub, "Consume events: print them, or run a command for each" },
    { "look inside and operate", "top", cli_top, "Watch the queues" },
    { NULL, "queue", cli_queue,
      "List, show, ledger, declare, peek, explain, cancel, purge, redrive, pause, resume, close, open, delete" },
    { NULL, "topic", cli_topic, "List, show, put, bind, unbind, delete: names that fan out to queues" },
    { NULL, "subscription", cli_subscription, "List, show, put, delete: queues pushed to the application" },
    { NULL, "drain", cli_drain, "Drain a sidecar: it finishes what it holds; for preStop hooks" },
    { "check and measure", "ping", cli_ping, "Measure round trips to a broker" },
    { NULL, "bench", cli_bench, "Measure a broker: throughput and latency" },
    { NULL, "keygen", cli_keygen, "Generate a key pair for a broker or a client (CURVE)" },
    { NULL, "config", cli_config, "Check a configuration file" },
    { NULL, "completion", cli_completion, "Print the completion script of bash or zsh" },
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void print_help(FILE *out)
{
    fprintf(out, "usage: sluice [--version] [--help] [--url <url>] [--ops-url <url>] <command> [<args>]\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].group)
            fprintf(out, "\n%s\n", commands[i].group);
        fprintf(out, "   %-12s %s\n", commands[i].name, commands[i].help);
    }
    fprintf(out, "\n'sluice help <command>' describes a command.\n\n"
                 "The sidecar is at SLUICE_URL (http://127.0.0.1:8480), its operations listener at SLUICE_OPS_URL\n"
                 "(http://127.0.0.1:9480); SLUICE_TOKEN is sent if it is set. Exit status: 0 done, 1 refused or\n"
                 "failed, 2 wrong usage, 130 interrupted.\n");
}

static void (*before_message)(void);

void cli_before_message(void (*call)(void))
{
    before_message = call;
}

static int complain(int code, const char *format, va_list args)
{
    if (before_message)
        before_message();
    fflush(stdout); /* keep the order with what was printed before */
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

/* ------------------------------------------------------------------ signals */

static int signal_fd = -1;
static sigset_t signals_before;

void cli_catch_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, &signals_before);
    signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    signal(SIGPIPE, SIG_IGN);
}

int cli_signal_fd(void)
{
    return signal_fd;
}

bool cli_pause(int64_t ms)
{
    struct pollfd p = { .fd = signal_fd, .events = POLLIN };
    return poll(&p, 1, (int)ms) <= 0;
}

bool cli_stopped(void)
{
    return signal_fd >= 0 && !cli_pause(0);
}

void cli_restore_signals(void)
{
    sigprocmask(SIG_SETMASK, &signals_before, NULL);
    signal(SIGPIPE, SIG_DFL);
}

/* ------------------------------------------------------------------ which command */

static int run(int argc, char **argv)
{
    const char *names[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[0], names[i]) == 0)
            return commands[i].run(argc, argv);
    }
    return cli_unknown("command", argv[0], names, COMMANDS, "sluice help");
}

/* `sluice help queue show` is `sluice queue show --help`. */
static int help(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help(stdout), CLI_OK;
    char *words[] = { argv[1], argc > 2 ? argv[2] : "--help", "--help", NULL };
    return run(argc > 2 ? 3 : 2, words);
}

/* Output must not be lost silently: a full disk behind ">" is a failure. */
static int finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    return code ? code : cli_fail("cannot write to the standard output");
}

/* Parses "--url URL" or "--url=URL" at argv[*at], and advances *at behind it. */
static bool take_option(const char *name, int argc, char **argv, int *at, const char **value)
{
    size_t size = strlen(name);
    if (*at >= argc || strncmp(argv[*at], name, size) != 0 || (argv[*at][size] && argv[*at][size] != '='))
        return false;
    const char *word = argv[(*at)++];
    *value = word[size] ? word + size + 1 : *at < argc ? argv[(*at)++] : "";
    return true;
}

int main(int argc, char **argv)
{
    const char *url = NULL, *ops_url = NULL;
    int at = 1;
    standard_fds_reserve();
    while (take_option("--url", argc, argv, &at, &url) || take_option("--ops-url", argc, argv, &at, &ops_url))
        continue;
    if (!http_use(url, ops_url))
        return CLI_USAGE;
    if (at >= argc)
        return print_help(stderr), CLI_USAGE;
    if (strcmp(argv[at], "--version") == 0 || strcmp(argv[at], "version") == 0)
        return printf("sluice %s\n", SLUICE_VERSION), finish(CLI_OK);
    if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0 || strcmp(argv[at], "help") == 0)
        return finish(help(argc - at, argv + at));
    if (argv[at][0] == '-')
        return cli_usage("there is no option '%s' here. See 'sluice help'.", argv[at]);
    return finish(run(argc - at, argv + at));
}
