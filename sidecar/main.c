/* sluice-sidecar: options, signals, wiring. The loop is in sidecar.c. */
#include "base/accept.h"
#include "base/io_thread.h"
#include "base/log.h"
#include "base/standard_fds.h"
#include "sidecar/sidecar.h"

#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

/* A sidecar must be small: a single malloc arena, and freed memory is returned to the system early. */
static void tune_malloc(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

static void raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    accept_reserve_fds();
}

static void add_address(json_t *line, const char *key, const char *address)
{
    if (address)
        json_object_set_new(line, key, json_string(address));
}

static void print_ready(const struct sidecar *s, const struct sidecar_options *o)
{
    json_t *line = json_pack("{s:b}", "ready", 1);
    add_address(line, "http", sidecar_address(s, API_APPLICATION));
    add_address(line, "ops", sidecar_address(s, API_OPERATIONS));
    add_address(line, "probe", sidecar_address(s, API_PROBE));
    add_address(line, "broker", o->broker);
    json_object_set_new(line, "pid", json_integer(getpid()));
    json_object_set_new(line, "version", json_string(SLUICE_VERSION));
    json_dumpf(line, stdout, JSON_COMPACT);
    json_decref(line);
    putchar('\n');
    fflush(stdout);
}

/* `hangup`: also SIGHUP. Not while the sidecar stops, because any signal then ends the drain, and SIGHUP must not. */
static int watch_signals(int fd, bool hangup)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (hangup)
        sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(fd, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Returns true to stop. SIGHUP has no effect; it is handled so that it does not end the process. */
static bool take_signal(int fd)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info)
        return false;
    if (info.ssi_signo != SIGHUP) {
        log_stopping("sidecar", info.ssi_signo, info.ssi_pid);
        return true;
    }
    log_write(LOG_INFO, "config", "SIGHUP changes nothing: every setting of the sidecar needs a restart");
    return false;
}

/* Runs until a signal ends it. */
static void serve(struct sidecar *s, const struct sidecar_options *options, int signal_fd)
{
    print_ready(s, options);
    do
        sidecar_run(s, signal_fd);
    while (!take_signal(signal_fd));
    watch_signals(signal_fd, false);
    sidecar_stop(s);
    sidecar_close(s);
}

int main(int argc, char **argv)
{
    struct sidecar_options options;
    struct error e;
    char *token = NULL;
    standard_fds_reserve();
    tune_malloc();
    settings_main(sidecar_settings(&options), &options, "sluice-sidecar",
                  "Gives the application beside it access to the queues of a Sluice broker over HTTP.", argc, argv);
    log_configure("sluice-sidecar", options.log_level, options.log_format);
    raise_limits();
    signal(SIGPIPE, SIG_IGN);
    int signal_fd = watch_signals(-1, true);
    void *zmq = zmq_ctx_new();
    int io_thread = io_thread_number();
    zmq_ctx_set(zmq, ZMQ_THREAD_NAME_PREFIX, io_thread);
    struct sidecar *s = sidecar_options_check(&options, &token, &e) ? sidecar_open(zmq, &options, token, &e) : NULL;
    bool started = s != NULL;
    if (started && options.one_thread)
        sidecar_allow_one_thread(s, io_thread);
    if (started)
        serve(s, &options, signal_fd);
    else
        fprintf(stderr, "sluice-sidecar: %s\n", e.text);
    zmq_ctx_term(zmq);
    close(signal_fd);
    free(token);
    sidecar_options_free(&options);
    return started ? 0 : 1;
}
