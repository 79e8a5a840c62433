/* sluice dev: a broker and a sidecar in one process. They communicate over inproc, or over the endpoint of --broker,
 * which other processes can reach too. */
#include "base/accept.h"
#include "base/log.h"
#include "broker/loop.h"
#include "clients/cli/cli.h"
#include "sidecar/sidecar.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

struct dev_options {
    const char *http, *ops, *token_file, *broker, *data;
    bool insecure;
};

#define FIELD(name) offsetof(struct dev_options, name)
static const struct cli_option option_table[] = {
    { "http", 0, CLI_TEXT, FIELD(http), "host:port", "application listener [127.0.0.1:8480]" },
    { "ops", 0, CLI_TEXT, FIELD(ops), "host:port", "operations listener [127.0.0.1:9480]" },
    { "token-file", 0, CLI_TEXT, FIELD(token_file), "file",
      "file with the bearer token that listeners beyond loopback\nrequire; sluice sends SLUICE_TOKEN" },
    { "broker", 0, CLI_TEXT, FIELD(broker), "tcp://host:port",
      "let other processes attach to the broker:\ntcp://127.0.0.1:7400, ipc:///PATH" },
    { "insecure", 0, CLI_SWITCH, FIELD(insecure), NULL,
      "allow addresses beyond loopback without authentication:\nwhoever reaches them may do everything" },
    { "data", 0, CLI_TEXT, FIELD(data), "dir", "where the broker keeps what must survive a restart" },
};
static const struct cli_syntax syntax = {
    .usage = "dev [<options>]",
    .text =
        "Runs a broker and a sidecar in one process. Queues are declared when they are first used. Prints a JSON line\n"
        "when it is ready, logs to standard error, and ends on Ctrl-C. Port 0 takes any free port.",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
};

struct dev {
    struct broker_options broker;
    struct sidecar_options sidecar;
    struct broker *running;
    int stop_fd;
};

static void *run_broker(void *arg)
{
    struct dev *d = arg;
    if (!broker_run(d->running, d->stop_fd))
        exit(1); /* the disk failed, with a log line: nothing may be confirmed any more */
    broker_stop(d->running);
    return NULL;
}

static bool set(const struct settings *s, void *options, const char *key, const char *value, struct error *e)
{
    return !value || settings_set(s, options, key, value, e);
}

static bool configure(struct dev *d, const struct dev_options *o, struct error *e)
{
    const struct settings *b = broker_settings(&d->broker), *s = sidecar_settings(&d->sidecar);
    settings_defaults(b, &d->broker);
    settings_defaults(s, &d->sidecar);
    return set(b, &d->broker, "listen", o->broker ? o->broker : "inproc://sluice", e) &&
           set(b, &d->broker, "insecure", o->insecure ? "true" : NULL, e) &&
           set(b, &d->broker, "auto_declare", "true", e) && set(b, &d->broker, "data", o->data, e) &&
           set(s, &d->sidecar, "http", o->http, e) && set(s, &d->sidecar, "ops", o->ops, e) &&
           set(s, &d->sidecar, "token_file", o->token_file, e) && set(s, &d->sidecar, "app.operate", "true", e) &&
           set(s, &d->sidecar, "operations", "true", e) && set(s, &d->sidecar, "app.name", "dev", e) &&
           set(s, &d->sidecar, "drain_limit", "2s", e);
}

static void print_ready_line(const struct sidecar *s, const char *broker)
{
    json_t *line = json_pack("{s:b, s:s, s:s, s:s, s:i, s:s}", "ready", 1, "http", sidecar_address(s, API_APPLICATION),
                             "ops", sidecar_address(s, API_OPERATIONS), "broker", broker, "pid", (int)getpid(),
                             "version", SLUICE_VERSION);
    json_dumpf(line, stdout, JSON_COMPACT);
    json_decref(line);
    putchar('\n');
    fflush(stdout);
    if (isatty(1))
        fprintf(stderr,
                "\nPublish and consume, in another terminal:\n\n"
                "  curl http://%s/v1/queues/orders/events -d hello\n"
                "  curl -X POST 'http://%s/v1/queues/orders/take'\n\nCtrl-C ends.\n\n",
                sidecar_address(s, API_APPLICATION), sidecar_address(s, API_APPLICATION));
}

static int open_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void stop_broker(struct dev *d, pthread_t thread)
{
    uint64_t one = 1;
    if (write(d->stop_fd, &one, sizeof one) == (ssize_t)sizeof one)
        pthread_join(thread, NULL);
    broker_close(d->running);
}

/* Runs the sidecar on this thread and the broker on a thread of its own. */
static bool run(struct dev *d, const char *token, void *zmq, struct error *e)
{
    pthread_t thread;
    int signal_fd = open_signals();
    d->running = broker_open(zmq, &d->broker, e);
    if (!d->running)
        return false;
    d->stop_fd = eventfd(0, EFD_CLOEXEC);
    pthread_create(&thread, NULL, run_broker, d);
    settings_set(sidecar_settings(&d->sidecar), &d->sidecar, "broker", broker_endpoint(d->running), NULL);
    struct sidecar *s = sidecar_open(zmq, &d->sidecar, token, e);
    if (s) {
        struct signalfd_siginfo info;
        print_ready_line(s, broker_endpoint(d->running));
        sidecar_run(s, signal_fd);
        if (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
            log_stopping("dev", info.ssi_signo, info.ssi_pid);
        sidecar_stop(s);
        sidecar_close(s);
    }
    stop_broker(d, thread);
    close(d->stop_fd);
    close(signal_fd);
    return s != NULL;
}

int cli_dev(int argc, char **argv)
{
    struct dev d = { .stop_fd = -1 };
    struct error e;
    struct dev_options o = { 0 };
    struct cli_args a = cli_parse(&syntax, &o, argc, argv);
    if (!a.go)
        return a.code;
    if (a.count)
        return cli_usage("unexpected argument '%s'. See 'sluice help dev'.", a.rest[0]);
    accept_reserve_fds();
    void *zmq = zmq_ctx_new();
    char *token = NULL;
    bool fine = configure(&d, &o, &e) && broker_options_check(&d.broker, &e) &&
                sidecar_options_check(&d.sidecar, &token, &e) && run(&d, token, zmq, &e);
    zmq_ctx_term(zmq);
    free(token);
    broker_options_free(&d.broker);
    sidecar_options_free(&d.sidecar);
    return fine ? CLI_OK : cli_fail("%s", e.text);
}
