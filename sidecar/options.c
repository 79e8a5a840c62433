#include "sidecar/options.h"

#include "base/units.h"
#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>

#define AT(field) offsetof(struct sidecar_options, field)

static const struct setting rows[] = {
    { .key = "broker",
      .type = SETTING_STRING,
      .offset = AT(broker),
      .text = "tcp://127.0.0.1:7400",
      .help = "the broker's control endpoint: tcp://HOST:PORT or ipc:///PATH",
      .meta = "ENDPOINT" },
    { .key = "inbox",
      .type = SETTING_STRING,
      .offset = AT(inbox),
      .help = "where the broker connects to deliver: tcp://HOST:PORT or ipc:///PATH; default: any free port, or with "
              "ipc a path beside the broker",
      .meta = "ENDPOINT" },
    { .key = "http",
      .type = SETTING_STRING,
      .offset = AT(http),
      .text = "127.0.0.1:8480",
      .help = "application listener: HOST:PORT or unix:/PATH",
      .meta = "ADDRESS" },
    { .key = "ops",
      .type = SETTING_STRING,
      .offset = AT(ops),
      .text = "127.0.0.1:9480",
      .help = "operations listener: everything the application listener has, plus operating calls, metrics and probes",
      .meta = "ADDRESS" },
    { .key = "probe",
      .type = SETTING_STRING,
      .offset = AT(probe),
      .help = "probe listener: probes and /metrics only, without a token; default: off",
      .meta = "ADDRESS" },
    { .key = "token_file",
      .type = SETTING_STRING,
      .offset = AT(token_file),
      .help = "file with the bearer token that application and operations listeners beyond loopback require",
      .meta = "FILE" },
    { .key = "curve.secret_key_file",
      .type = SETTING_STRING,
      .offset = AT(secret_key_file),
      .help = "this sidecar's secret key, for a broker with keys; 'sluice keygen' creates one",
      .meta = "FILE" },
    { .key = "curve.broker_key_file",
      .type = SETTING_STRING,
      .offset = AT(broker_key_file),
      .help = "the broker's public key; required with curve.secret_key_file",
      .meta = "FILE" },
    { .key = "app.name",
      .type = SETTING_STRING,
      .offset = AT(app_name),
      .help = "the application's name: owns its subscriptions, and is the source of events made from plain bodies "
              "(default: sluice)",
      .meta = "NAME" },
    { .key = "app.operate",
      .type = SETTING_BOOL,
      .offset = AT(app_operate),
      .help = "answer operating calls on the application listener as well" },
    { .key = "operations",
      .type = SETTING_BOOL,
      .offset = AT(operations),
      .help = "export the metrics of the broker and its queues; for one sidecar per broker" },
    { .key = "one_thread",
      .type = SETTING_BOOL,
      .offset = AT(one_thread),
      .number = 1,
      .help = "one thread instead of two, while messages to and from the broker are small" },
    { .key = "allow.origins",
      .type = SETTING_STRINGS,
      .offset = AT(origins),
      .help = "web origins that may send requests",
      .meta = "ORIGIN" },
    { .key = "allow.hosts",
      .type = SETTING_STRINGS,
      .offset = AT(hosts),
      .help = "Host headers to accept in addition to loopback",
      .meta = "HOST" },
    { .key = "push.allow",
      .type = SETTING_STRINGS,
      .offset = AT(push_allow),
      .help = "hosts beyond loopback that subscriptions may push to",
      .meta = "HOST[:PORT]" },
    { .key = "dapr.pubsubs",
      .type = SETTING_STRINGS,
      .offset = AT(pubsubs),
      .help = "Dapr pub/sub component names that POST /v1.0/publish/NAME/TOPIC accepts (default: sluice)",
      .meta = "NAME" },
    { .key = "publish.wait",
      .type = SETTING_DURATION,
      .offset = AT(publish_wait),
      .number = 1000,
      .min = 0,
      .max = 3600000,
      .help = "how long a publish waits for room if the request does not say",
      .meta = "DURATION" },
    { .key = "publish.wait_max",
      .type = SETTING_DURATION,
      .offset = AT(publish_wait_max),
      .number = 60000,
      .min = 0,
      .max = 3600000,
      .help = "the longest wait that a publish may ask for",
      .meta = "DURATION" },
    { .key = "publish.buffer",
      .type = SETTING_SIZE,
      .offset = AT(buffer),
      .number = 16777216,
      .min = 65536,
      .max = INT64_C(17179869184),
      .help = "maximum bytes of publishes that are arriving or waiting for their answer",
      .meta = "SIZE" },
    { .key = "take.wait_max",
      .type = SETTING_DURATION,
      .offset = AT(take_wait_max),
      .number = 60000,
      .min = 0,
      .max = 3600000,
      .help = "the longest wait that a take may ask for",
      .meta = "DURATION" },
    { .key = "take.max",
      .type = SETTING_NUMBER,
      .offset = AT(take_max),
      .number = 1000,
      .min = 1,
      .max = 100000,
      .help = "maximum number of events in a take",
      .meta = "N" },
    { .key = "take.bytes",
      .type = SETTING_SIZE,
      .offset = AT(take_bytes),
      .number = 4194304,
      .min = 1024,
      .max = 268435456,
      .help = "a take ends at about this size",
      .meta = "SIZE" },
    { .key = "event_max",
      .type = SETTING_SIZE,
      .offset = AT(event_max),
      .number = 1048576,
      .min = 1024,
      .max = 4194304,
      .help = "maximum size of one event",
      .meta = "SIZE" },
    { .key = "batch.max_events",
      .type = SETTING_NUMBER,
      .offset = AT(batch_max_events),
      .number = 1000,
      .min = 1,
      .max = 10000,
      .help = "maximum number of events in a batch",
      .meta = "N" },
    { .key = "batch.max_bytes",
      .type = SETTING_SIZE,
      .offset = AT(batch_max_bytes),
      .number = 4194304,
      .min = 1024,
      .max = 67108864,
      .help = "maximum size of a batch",
      .meta = "SIZE" },
    { .key = "turn_idle",
      .type = SETTING_DURATION,
      .offset = AT(turn_idle),
      .number = 5000,
      .min = 0,
      .max = 3600000,
      .help = "stop consuming a queue that was unused for this long",
      .meta = "DURATION" },
    { .key = "drain_limit",
      .type = SETTING_DURATION,
      .offset = AT(drain_limit),
      .number = 20000,
      .min = 0,
      .max = 3600000,
      .help = "the longest a drain may take",
      .meta = "DURATION" },
    { .key = "request_timeout",
      .type = SETTING_DURATION,
      .offset = AT(request_timeout),
      .number = 30000,
      .min = 1000,
      .max = 3600000,
      .help = "time limit for a request to arrive, and for an answer to leave",
      .meta = "DURATION" },
    { .key = "idle_timeout",
      .type = SETTING_DURATION,
      .offset = AT(idle_timeout),
      .number = 60000,
      .min = 1000,
      .max = 3600000,
      .help = "close a connection that had no request for this long",
      .meta = "DURATION" },
    { .key = "max_connections",
      .type = SETTING_NUMBER,
      .offset = AT(max_connections),
      .number = 1024,
      .min = 1,
      .max = 60000,
      .help = "maximum number of connections per listener",
      .meta = "N" },
    { .key = "metrics.queues",
      .type = SETTING_NUMBER,
      .offset = AT(metrics_queues),
      .number = 100,
      .min = 0,
      .max = 100000,
      .help = "number of queues and topics with series of their own; the rest sum to 'other'",
      .meta = "N" },
    { .key = "metrics.pin",
      .type = SETTING_STRINGS,
      .offset = AT(pinned),
      .help = "names or patterns of queues and topics that always have series of their own",
      .meta = "PATTERN" },
    { .key = "log.level",
      .type = SETTING_STRING,
      .offset = AT(log_level),
      .text = "info",
      .help = "debug, info, warn or error",
      .meta = "LEVEL" },
    { .key = "log.format",
      .type = SETTING_STRING,
      .offset = AT(log_format),
      .text = "auto",
      .help = "json, text, or auto (text on a terminal, else json)",
      .meta = "FORMAT" },
};

static struct declared_subscription *subscription_named(struct sidecar_options *o, struct span name)
{
    struct declared_subscription **at = &o->subscriptions;
    for (; *at; at = &(*at)->next) {
        if (span_equal(span_str((*at)->name), name))
            return *at;
    }
    *at = xcalloc(1, sizeof **at);
    memcpy((*at)->name, name.data, name.size);
    return *at;
}

/* `subscriptions: {NAME: {KEY: VALUE}}`. */
static bool read_subscription(void *context, const char *const *keys, size_t count, const char *value, int line,
                              struct error *e)
{
    struct sidecar_options *o = context;
    (void)line;
    if (count && !name_valid(span_str(keys[0])))
        return error_set(e, "'%s' is not a valid subscription name: use " NAME_RULE, keys[0]);
    if (count == 2)
        return subscription_parse(&subscription_named(o, span_str(keys[0]))->settings, span_str(keys[1]),
                                  span_str(value), e);
    return (count == 0 && *value == '\0') || /* `subscriptions:` alone: none */
           error_set(e, "a subscription's keys are expected: 'NAME: {queue: orders, url: http://127.0.0.1:8080/}'");
}

static bool check(void *options, struct error *e)
{
    char *token;
    bool fine = sidecar_options_check(options, &token, e) && sidecar_options_check_keys(options, e);
    free(token);
    return fine;
}

const struct settings *sidecar_settings(struct sidecar_options *options)
{
    static struct setting_section section = { "subscriptions", read_subscription, NULL, 2 };
    static const struct settings settings = { rows, sizeof rows / sizeof *rows, &section, 1, check, NULL };
    section.context = options;
    options->subscriptions = NULL;
    return &settings;
}

void sidecar_options_free(struct sidecar_options *o)
{
    while (o->subscriptions) {
        struct declared_subscription *s = o->subscriptions;
        o->subscriptions = s->next;
        free(s);
    }
    const struct settings settings = { .rows = rows, .count = sizeof rows / sizeof *rows };
    settings_free(&settings, o);
}
