/* sluice ping: control round trips to a broker. */
#include "base/clock.h"
#include "base/curve.h"
#include "base/units.h"
#include "clients/cli/cli.h"
#include "proto/control.h"
#include "sidecar/api/json_write.h"

#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define BETWEEN_MS 200

struct ping_options {
    unsigned long count;
    const char *wait, *key, *broker_key;
    bool json;
};

static const struct cli_option option_table[] = {
    { "count", 'n', CLI_COUNT, offsetof(struct ping_options, count), "n", "round trips [3]" },
    { "wait", 'w', CLI_DURATION, offsetof(struct ping_options, wait), "duration", "for each answer [5s]" },
    CLI_KEYS(offsetof(struct ping_options, key), offsetof(struct ping_options, broker_key)),
    { "json", 0, CLI_SWITCH, offsetof(struct ping_options, json), NULL, "print a JSON object a round trip" },
};
static const struct cli_syntax syntax = {
    .usage = "ping [<options>] [<broker>]",
    .text =
        "Makes control round trips to a broker: tcp://HOST:PORT or ipc:///PATH\n[SLUICE_BROKER, tcp://127.0.0.1:7400].",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
};

static bool is_answer(zmq_msg_t *m, const struct request *r, struct arena *arena, struct reply *reply)
{
    return reply_unpack(span_of(zmq_msg_data(m), zmq_msg_size(m)), arena, reply) && reply->result == RESULT_PONG &&
           memcmp(&reply->id, &r->id, sizeof r->id) == 0;
}

static bool round_trip(void *socket, struct reply *reply, struct arena *arena)
{
    struct request r = { .call = CALL_PING, .queue = "" };
    struct buf b = { 0 };
    zmq_msg_t m;
    bool fine = false;
    randombytes_buf(&r.id, sizeof r.id);
    request_pack(&r, &b);
    int sent = zmq_send(socket, b.data, b.size, 0);
    buf_free(&b);
    zmq_msg_init(&m);
    while (sent >= 0 && !fine && zmq_msg_recv(&m, socket, 0) >= 0)
        fine = is_answer(&m, &r, arena, reply); /* else a late answer to an earlier one */
    zmq_msg_close(&m);
    return fine;
}

static void print_pong(const char *broker, const struct reply *reply, double ms, bool json)
{
    unsigned long long uptime = reply->u.pong.uptime_ms / 1000;
    struct buf line = { 0 };
    if (!json) {
        printf("%s: version %s, up %llu s, %.3f ms\n", broker, reply->u.pong.version, uptime, ms);
        return;
    }
    buf_add_byte(&line, '{');
    json_add_text_member(&line, "broker", span_str(broker));
    json_add_text_member(&line, "version", span_str(reply->u.pong.version));
    buf_printf(&line, ",\"uptime_seconds\":%llu,\"ms\":%.3f}\n", uptime, ms);
    fwrite(line.data, 1, line.size, stdout);
    buf_free(&line);
}

static int ping_once(void *socket, const char *broker, const struct ping_options *o)
{
    struct arena arena;
    struct reply reply;
    int code = CLI_OK;
    arena_init(&arena, 64 << 10);
    mono_t start = clock_now().mono;
    if (!round_trip(socket, &reply, &arena))
        code = cli_fail("no broker answers at %s within %s%s", broker, o->wait,
                        o->key ? "" : "; is it up, and does it ask for keys (--key)?");
    else
        print_pong(broker, &reply, (double)(clock_now().mono.ns - start.ns) / 1e6, o->json);
    fflush(stdout);
    arena_free(&arena);
    return code;
}

static bool set_keys(void *socket, const struct ping_options *o, struct error *e)
{
    struct curve_keys own;
    char broker_key[CURVE_KEY_SIZE];
    if (!o->key && !o->broker_key)
        return true;
    if (!o->key || !o->broker_key)
        return error_set(e, "--key and --broker-key go together: give both or none");
    if (!curve_read_secret(o->key, &own, e) || !curve_read_public(o->broker_key, broker_key, e))
        return false;
    curve_join(socket, &own, broker_key);
    return true;
}

static int ping(const char *broker, const struct ping_options *o)
{
    int code = CLI_OK, zero = 0;
    int64_t wait_ms = 5000;
    struct error e;
    void *zmq = zmq_ctx_new(), *socket = zmq_socket(zmq, ZMQ_DEALER);
    duration_parse(span_str(o->wait), &wait_ms);
    int wait = wait_ms < 1 ? 1 : (int)wait_ms;
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait, sizeof wait);
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &wait, sizeof wait);
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    if (!set_keys(socket, o, &e))
        code = cli_fail("%s", e.text);
    else if (zmq_connect(socket, broker) != 0)
        code = cli_usage("'%s' is no endpoint: write tcp://HOST:PORT or ipc:///PATH", broker);
    for (unsigned long i = 0; i < o->count && code == CLI_OK; i++) {
        if (i && !cli_pause(BETWEEN_MS))
            break;
        code = ping_once(socket, broker, o);
    }
    zmq_close(socket);
    zmq_ctx_term(zmq);
    return code;
}

int cli_ping(int argc, char **argv)
{
    struct ping_options o = { .count = 3, .wait = "5s" };
    const char *broker = getenv("SLUICE_BROKER");
    struct cli_args a = cli_parse(&syntax, &o, argc, argv);
    if (!a.go)
        return a.code;
    if (a.count > 1)
        return cli_usage("one broker at a time: what is '%s'?", a.rest[1]);
    if (a.count && !cli_words_fine(1, a.rest))
        return CLI_USAGE;
    return ping(a.count ? a.rest[0] : broker && *broker ? broker : "tcp://127.0.0.1:7400", &o);
}
