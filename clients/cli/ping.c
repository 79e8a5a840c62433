/* sluice ping: control round trips to a broker; and sluice config check. */
#include "base/clock.h"
#include "broker/options.h"
#include "clients/cli/cli.h"
#include "proto/control.h"
#include "sidecar/options.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define ANSWER_MS 5000

static bool round_trip(void *socket, struct reply *reply, struct arena *arena)
{
    struct request r = { .call = CALL_PING, .queue = "" };
    struct buf b = { 0 };
    zmq_msg_t m;
    randombytes_buf(&r.id, sizeof r.id);
    request_pack(&r, &b);
    zmq_send(socket, b.data, b.size, 0);
    buf_free(&b);
    zmq_msg_init(&m);
    bool fine = zmq_msg_recv(&m, socket, 0) >= 0 &&
                reply_unpack(span_of(zmq_msg_data(&m), zmq_msg_size(&m)), arena, reply) && reply->result == RESULT_PONG;
    zmq_msg_close(&m);
    return fine;
}

static int ping(const char *broker, unsigned long count)
{
    int code = CLI_OK, wait = ANSWER_MS, zero = 0;
    void *zmq = zmq_ctx_new(), *socket = zmq_socket(zmq, ZMQ_DEALER);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait, sizeof wait);
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    if (zmq_connect(socket, broker) != 0)
        code = cli_usage("'%s' is no endpoint: write tcp://HOST:PORT or ipc:///PATH", broker);
    for (unsigned long i = 0; i < count && code == CLI_OK; i++) {
        struct arena arena;
        struct reply reply;
        arena_init(&arena, 64 << 10);
        mono_t start = clock_now().mono;
        if (round_trip(socket, &reply, &arena))
            printf("%s: version %s, up %llu s, %.3f ms\n", broker, reply.u.pong.version,
                   (unsigned long long)reply.u.pong.uptime_ms / 1000, (double)(clock_now().mono.ns - start.ns) / 1e6);
        else
            code = cli_fail("no broker answers at %s", broker);
        arena_free(&arena);
    }
    zmq_close(socket);
    zmq_ctx_term(zmq);
    return code;
}

int cli_ping(int argc, char **argv)
{
    unsigned long count = 3;
    const char *broker = getenv("SLUICE_BROKER");
    static const struct option flags[] = { { "count", 1, NULL, 'c' }, { "help", 0, NULL, 'h' }, { 0 } };
    for (int f; (f = getopt_long(argc, argv, "h", flags, NULL)) != -1;) {
        if (f == 'h')
            return puts("usage: sluice ping [--count N] [BROKER]\n\nBROKER: tcp://HOST:PORT or ipc:///PATH "
                        "[SLUICE_BROKER, tcp://127.0.0.1:7400]"),
                   CLI_OK;
        if (f == '?')
            return CLI_USAGE;
        count = strtoul(optarg, NULL, 10);
    }
    return ping(optind < argc ? argv[optind] : broker ? broker : "tcp://127.0.0.1:7400", count);
}

static bool check(const char *kind, const char *file, struct error *e)
{
    struct broker_options b;
    struct sidecar_options s;
    char *token = NULL;
    bool broker = strcmp(kind, "broker") == 0, fine;
    const struct settings *settings = broker ? broker_settings(&b) : sidecar_settings();
    void *options = broker ? (void *)&b : (void *)&s;
    settings_defaults(settings, options);
    fine = settings_read_file(settings, options, file, e) && (broker || sidecar_options_check(&s, &token, e));
    free(token);
    if (broker)
        broker_options_free(&b);
    else
        settings_free(settings, options);
    return fine;
}

int cli_config(int argc, char **argv)
{
    struct error e;
    if (argc != 4 || strcmp(argv[1], "check") != 0 ||
        (strcmp(argv[2], "broker") != 0 && strcmp(argv[2], "sidecar") != 0)) {
        bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
        fputs("usage: sluice config check broker|sidecar FILE\n", help ? stdout : stderr);
        return help ? CLI_OK : CLI_USAGE;
    }
    if (!check(argv[2], argv[3], &e))
        return cli_fail("%s", e.text);
    printf("%s is fine\n", argv[3]);
    return CLI_OK;
}
