/* sluice dev: a broker and a sidecar in one process. They talk over inproc, or over tcp when --broker asks for a broker
 * that other processes reach, too. */
#include "base/log.h"
#include "broker/loop.h"
#include "clients/cli/cli.h"
#include "sidecar/sidecar.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

static const char usage[] = "usage: sluice dev [options]\n\n"
                            "Runs everything in one process; queues are declared when they are first used.\n\n"
                            "  --http HOST:PORT          application listener [127.0.0.1:8480]\n"
                            "  --ops HOST:PORT           operations listener [127.0.0.1:9480]\n"
                            "  --broker tcp://HOST:PORT  let other processes attach to the broker, too\n"
                            "  --data DIR                where the broker keeps what must survive a restart\n";

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
        exit(1); /* the disk failed, and that was said: nothing more may be promised */
    broker_stop(d->running);
    return NULL;
}

static bool set(const struct settings *s, void *options, const char *key, const char *value, struct error *e)
{
    return !value || settings_set(s, options, key, value, e);
}

static bool configure(struct dev *d, const char *http, const char *ops, const char *broker, const char *data,
                      struct error *e)
{
    const struct settings *b = broker_settings(&d->broker), *s = sidecar_settings();
    settings_defaults(b, &d->broker);
    settings_defaults(s, &d->sidecar);
    return set(b, &d->broker, "listen", broker ? broker : "inproc://sluice", e) &&
           set(b, &d->broker, "auto_declare", "true", e) && set(b, &d->broker, "data", data, e) &&
           set(s, &d->sidecar, "http", http, e) && set(s, &d->sidecar, "ops", ops, e) &&
           set(s, &d->sidecar, "app.operate", "true", e) && set(s, &d->sidecar, "operations", "true", e) &&
           set(s, &d->sidecar, "app.name", "dev", e) && set(s, &d->sidecar, "drain_limit", "2s", e);
}

static void say_ready(const struct sidecar *s, const char *broker)
{
    json_t *line = json_pack("{s:b, s:s, s:s, s:s, s:i, s:s}", "ready", 1, "http", sidecar_address(s, API_APPLICATION),
                             "ops", sidecar_address(s, API_OPERATIONS), "broker", broker, "pid", (int)getpid(),
                             "version", SLUICE_VERSION);
    json_dumpf(line, stdout, JSON_COMPACT);
    json_decref(line);
    putchar('\n');
    fflush(stdout);
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

/* The sidecar runs here, the broker in a thread of its own. */
static bool run(struct dev *d, void *zmq, struct error *e)
{
    pthread_t thread;
    int signal_fd = open_signals();
    d->running = broker_open(zmq, &d->broker, e);
    if (!d->running)
        return false;
    d->stop_fd = eventfd(0, EFD_CLOEXEC);
    pthread_create(&thread, NULL, run_broker, d);
    settings_set(sidecar_settings(), &d->sidecar, "broker", broker_endpoint(d->running), NULL);
    struct sidecar *s = sidecar_open(zmq, &d->sidecar, NULL, e);
    if (s) {
        struct signalfd_siginfo info;
        say_ready(s, broker_endpoint(d->running));
        sidecar_run(s, signal_fd);
        if (read(signal_fd, &info, sizeof info) < 0)
            log_write(LOG_DEBUG, "dev", "stopped without a signal");
        sidecar_stop(s, signal_fd);
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
    const char *http = NULL, *ops = NULL, *broker = NULL, *data = NULL;
    static const struct option flags[] = { { "http", 1, NULL, 'a' },   { "ops", 1, NULL, 'o' },
                                           { "broker", 1, NULL, 'b' }, { "data", 1, NULL, 'd' },
                                           { "help", 0, NULL, 'h' },   { 0 } };
    for (int f; (f = getopt_long(argc, argv, "h", flags, NULL)) != -1;) {
        if (f == 'h')
            return fputs(usage, stdout), CLI_OK;
        if (f == '?')
            return CLI_USAGE;
        *(f == 'a' ? &http : f == 'o' ? &ops : f == 'b' ? &broker : &data) = optarg;
    }
    if (optind < argc)
        return cli_usage("dev takes no '%s'; see sluice dev --help", argv[optind]);
    void *zmq = zmq_ctx_new();
    char *token = NULL;
    bool fine =
        configure(&d, http, ops, broker, data, &e) && sidecar_options_check(&d.sidecar, &token, &e) && run(&d, zmq, &e);
    zmq_ctx_term(zmq);
    broker_options_free(&d.broker);
    settings_free(sidecar_settings(), &d.sidecar);
    return fine ? CLI_OK : cli_fail("%s", e.text);
}
