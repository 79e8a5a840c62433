/* sluice-broker: options, signals, wiring. The loop is in loop.c. */
#include "base/accept.h"
#include "base/io_thread.h"
#include "base/log.h"
#include "base/standard_fds.h"
#include "broker/loop.h"
#include "broker/offline.h"

#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

/* Large frames are allocated and freed all the time. With its default thresholds glibc would map and unmap each of
 * them, which costs page faults on every delivery. One arena keeps the idle process small; only the loop allocates
 * much. */
static void tune_malloc(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

/* A session takes four descriptors, so the usual soft limit would be reached at a few hundred sessions. */
static void raise_limits(void *context)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    accept_reserve_fds();
    zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 65535);
}

static void print_ready_line(const struct broker *b)
{
    json_t *line = json_pack("{s:b, s:s, s:s, s:i, s:s}", "ready", 1, "broker", broker_endpoint(b), "ingress",
                             broker_ingress(b), "pid", (int)getpid(), "version", SLUICE_VERSION);
    json_dumpf(line, stdout, JSON_COMPACT);
    json_decref(line);
    putchar('\n');
    fflush(stdout);
}

/* Warns of settings that changed in the file but are not reloaded, so that nobody believes they took effect. */
static void warn_of_restart_needed(const struct settings *settings, const struct broker_options *again,
                                   const struct broker_options *running)
{
    char keys[512];
    if (settings_differ(settings, again, running, keys, sizeof keys))
        log_write(LOG_WARN, "config", "changed, but takes effect only after a restart: %s", keys);
}

/* On SIGHUP: reloads the file's queues and topics, and the clients' keys. A file that a start would refuse changes no
 * queue and no topic. */
static void reload(struct broker *b, const struct broker_options *running, int argc, char **argv)
{
    struct broker_options again;
    struct error e;
    const struct settings *settings = broker_settings(&again);
    bool config = settings_config_path(settings, argc, argv) != NULL;
    bool whole = settings_read_again(settings, &again, argc, argv, &e) && broker_options_check(&again, &e);
    bool fine = whole && broker_options_check_queues(&again, running, &e);
    if (running->clients && broker_reload_clients(b))
        log_write(LOG_INFO, "config", "the keys to admit were reloaded");
    if (!config && !running->clients)
        log_write(LOG_WARN, "config",
                  "there is nothing to reload: neither a configuration file nor curve.clients was given");
    else if (config && fine)
        broker_reload_declarations(b, &again);
    else if (config)
        log_write(LOG_ERROR, "config", "the queues and topics stay as they were: %s%s", e.text,
                  whole ? "; a restart would accept the file as it is" : "");
    if (config && fine)
        warn_of_restart_needed(settings, &again, running);
    broker_options_free(&again);
}

/* True when the broker is to end. */
static bool take_signal(int fd, struct broker *b, const struct broker_options *running, int argc, char **argv)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info)
        return false;
    if (info.ssi_signo != SIGHUP) {
        log_stopping("broker", info.ssi_signo, info.ssi_pid);
        return true;
    }
    reload(b, running, argc, argv);
    return false;
}

/* Serves until a signal ends the broker. False: the disk failed. */
static bool serve(struct broker *b, const struct broker_options *options, int signal_fd, int argc, char **argv)
{
    bool fine;
    print_ready_line(b);
    do
        fine = broker_run(b, signal_fd);
    while (fine && !take_signal(signal_fd, b, options, argc, argv));
    if (fine)
        broker_stop(b);
    broker_close(b);
    return fine;
}

int main(int argc, char **argv)
{
    struct broker_options options;
    struct error e;
    standard_fds_reserve();
    tune_malloc();
    int offline = offline_main(argc, argv);
    if (offline >= 0)
        return offline;
    settings_main(broker_settings(&options), &options, "sluice-broker",
                  "Keeps bounded queues for the services and sidecars that attach to it.\n"
                  "While no broker uses the directory: --check DIR reads it and reports damage;\n"
                  "--repair DIR TO writes what is intact in DIR to a new directory TO.",
                  argc, argv);
    log_configure("sluice-broker", options.log_level, options.log_format);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    void *context = zmq_ctx_new();
    int io_thread = io_thread_number();
    zmq_ctx_set(context, ZMQ_THREAD_NAME_PREFIX, io_thread);
    raise_limits(context);
    struct broker *b = broker_open(context, &options, &e);
    bool fine = b != NULL;
    if (b && options.same_cpu)
        broker_share_cpu(b, io_thread);
    if (b && options.one_thread)
        broker_allow_one_thread(b, io_thread);
    if (b)
        fine = serve(b, &options, signal_fd, argc, argv);
    else
        fprintf(stderr, "sluice-broker: %s\n", e.text);
    zmq_ctx_term(context);
    close(signal_fd);
    broker_options_free(&options);
    return fine ? 0 : 1;
}
