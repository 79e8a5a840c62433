/* sluice ping: control round trips to a broker. */
#include "base/clock.h"
#include "clients/cli/cli.h"
#include "clients/cli/control.h"
#include "sidecar/api/json_write.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

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

static int ping_once(struct control *control, const char *broker, const struct ping_options *o)
{
    struct request r = { .call = CALL_PING, .queue = "" };
    struct arena arena;
    struct reply reply;
    arena_init(&arena, 64 << 10);
    mono_t start = clock_now().mono;
    bool answered = control_ask(control, &r, &arena, &reply), pong = answered && reply.result == RESULT_PONG;
    if (answered && !pong)
        cli_fail("%s answers, but knows no ping: is it a sluice-broker's listen address?", broker);
    if (pong)
        print_pong(broker, &reply, (double)(clock_now().mono.ns - start.ns) / 1e6, o->json);
    fflush(stdout);
    arena_free(&arena);
    return pong ? CLI_OK : CLI_FAILED;
}

static int ping(const char *broker, const struct ping_options *o)
{
    int code;
    struct control *control = control_open(broker, o->key, o->broker_key, o->wait, &code);
    for (unsigned long i = 0; i < o->count && code == CLI_OK; i++) {
        if (i && !cli_pause(BETWEEN_MS))
            break;
        code = ping_once(control, broker, o);
    }
    control_close(control);
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
        return cli_usage("unexpected argument '%s': give one broker", a.rest[1]);
    if (a.count && !cli_words_valid(1, a.rest))
        return CLI_USAGE;
    return ping(a.count ? a.rest[0] : broker && *broker ? broker : "tcp://127.0.0.1:7400", &o);
}
