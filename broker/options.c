/* The table of the broker's settings, and the checks of what its values must fulfil together. */
#include "broker/options.h"
#include "broker/options_topics.h"

#include "base/curve.h"
#include "base/log.h"
#include "base/memory_limit.h"
#include "base/units.h"
#include "base/xalloc.h"
#include "broker/net/endpoints.h"
#include "broker/store/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AT(field) offsetof(struct broker_options, field)

static const struct setting rows[] = {
    { .key = "listen",
      .type = SETTING_STRING,
      .offset = AT(listen),
      .text = "tcp://127.0.0.1:7400",
      .help = "control endpoint, where clients attach: tcp://HOST:PORT (port 0: any free port) or ipc:///PATH",
      .meta = "ENDPOINT" },
    { .key = "ingress",
      .type = SETTING_STRING,
      .offset = AT(ingress),
      .help = "endpoint where clients push events; default: the port after listen's, or PATH.ingress",
      .meta = "ENDPOINT" },
    { .key = "data",
      .type = SETTING_STRING,
      .offset = AT(data),
      .help = "directory for the queues on disk; without it all queues are in memory",
      .meta = "DIR" },
    { .key = "sync",
      .type = SETTING_STRING,
      .offset = AT(sync),
      .text = "group",
      .help = "when a publish is confirmed: group (after the sync), interval or none (after the write)",
      .meta = "MODE" },
    { .key = "sync_interval",
      .type = SETTING_DURATION,
      .offset = AT(sync_interval),
      .number = 100,
      .min = 1,
      .max = 60000,
      .help = "how often the log is synced if sync is interval",
      .meta = "DURATION" },
    { .key = "disk_budget",
      .type = SETTING_SIZE,
      .offset = AT(disk_budget),
      .help = "maximum size of the log, at least five segments; default: 80 % of free space and its own size together, "
              "at start",
      .meta = "SIZE" },
    { .key = "segment_size",
      .type = SETTING_SIZE,
      .offset = AT(segment_size),
      .number = 32 << 20,
      .min = 16 << 20,
      .max = 1 << 30,
      .help = "size of one file of the log",
      .meta = "SIZE" },
    { .key = "insecure",
      .type = SETTING_BOOL,
      .offset = AT(insecure),
      .help = "allow listening beyond loopback without authentication" },
    { .key = "curve.secret_key_file",
      .type = SETTING_STRING,
      .offset = AT(secret_key_file),
      .help = "this broker's secret key; tcp clients then need keys as well; 'sluice keygen' creates one",
      .meta = "FILE" },
    { .key = "curve.clients",
      .type = SETTING_STRING,
      .offset = AT(clients),
      .help = "public keys of the clients to admit: a file with one key a line, or a directory of *.pub files",
      .meta = "PATH" },
    { .key = "auto_declare", .type = SETTING_BOOL, .offset = AT(auto_declare), .help = "declare a queue on first use" },
    { .key = "memory_budget",
      .type = SETTING_SIZE,
      .offset = AT(memory_budget),
      .help = "maximum memory for events; default: half of the memory limit",
      .meta = "SIZE" },
    { .key = "max_queues",
      .type = SETTING_NUMBER,
      .offset = AT(max_queues),
      .number = 20000,
      .min = 1,
      .max = 1000000,
      .help = "maximum number of queues, and of topics",
      .meta = "N" },
    { .key = "max_sessions",
      .type = SETTING_NUMBER,
      .offset = AT(max_sessions),
      .number = 10000,
      .min = 1,
      .max = 60000,
      .help = "maximum number of attached clients",
      .meta = "N" },
    { .key = "max_event",
      .type = SETTING_SIZE,
      .offset = AT(max_event),
      .number = 1048576,
      .min = 1024,
      .max = 4194304,
      .help = "maximum size of one event",
      .meta = "SIZE" },
    { .key = "heartbeat",
      .type = SETTING_DURATION,
      .offset = AT(heartbeat),
      .number = 3000,
      .min = 100,
      .max = 60000,
      .help = "on a quiet link, both sides send a heartbeat at least this often",
      .meta = "DURATION" },
    { .key = "session_timeout",
      .type = SETTING_DURATION,
      .offset = AT(session_timeout),
      .number = 10000,
      .min = 1000,
      .max = 600000,
      .help = "end a session whose client was silent for this long",
      .meta = "DURATION" },
    { .key = "one_thread",
      .type = SETTING_BOOL,
      .offset = AT(one_thread),
      .number = 1,
      .help = "one thread for sockets and queues while messages are small, instead of two" },
    { .key = "same_cpu",
      .type = SETTING_BOOL,
      .offset = AT(same_cpu),
      .number = 1,
      .help = "keep the broker's two threads on one CPU while they mostly wait" },
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

static struct declared_queue *queue_find_declared(const struct broker_options *o, struct span name)
{
    struct declared_queue *q;
    HASH_FIND(hh, o->queues, name.data, name.size, q);
    return q;
}

static struct declared_queue *queue_named(struct broker_options *o, struct span name)
{
    struct declared_queue *q = queue_find_declared(o, name);
    if (q)
        return q;
    q = xcalloc(1, sizeof *q);
    memcpy(q->name, name.data, name.size);
    HASH_ADD_STR(o->queues, name, q);
    return q;
}

/* `queues: {NAME: {SETTING: VALUE}}`. */
static bool read_queue(void *context, const char *const *keys, size_t count, const char *value, int line,
                       struct error *e)
{
    struct broker_options *o = context;
    (void)line;
    if (count && !name_valid(span_str(keys[0])))
        return error_set(e, "'%s' is not a valid queue name: use " NAME_RULE, keys[0]);
    if (count == 2)
        return queue_settings_parse(&queue_named(o, span_str(keys[0]))->settings, span_str(keys[1]), span_str(value),
                                    e);
    if (*value)
        return error_set(e, "a queue's settings are expected: 'NAME: {capacity: 1000}'");
    if (count) /* `orders:` or `orders: {}`: a queue with all defaults; `queues:` alone: no queue */
        queue_named(o, span_str(keys[0]));
    return true;
}

/* Can the key files be read? `sluice config check` does not check this: they may not be on the machine where it
 * runs. */
static bool check_keys(const struct broker_options *o, struct error *e)
{
    struct curve_keys own;
    struct curve_set clients = { 0 };
    bool fine = !o->secret_key_file ||
                (curve_read_secret(o->secret_key_file, &own, e) && curve_read_set(o->clients, &clients, e));
    curve_set_free(&clients);
    explicit_bzero(&own, sizeof own);
    return fine;
}

static bool check(void *options, struct error *e)
{
    return broker_options_check(options, e) && check_keys(options, e);
}

bool broker_options_has_queue(const void *options, const char *queue)
{
    return queue_find_declared(options, span_str(queue)) != NULL;
}

static void warn_of_missing_queues(const void *options);

const struct settings *broker_settings(struct broker_options *options)
{
    static struct setting_section sections[] = { { "queues", read_queue, NULL, 2 },
                                                 { "topics", options_read_topic, NULL, 4 } };
    static const struct settings settings = { rows,  sizeof rows / sizeof *rows, sections, 2,
                                              check, warn_of_missing_queues };
    sections[0].context = sections[1].context = options;
    options->queues = NULL;
    options->topics = NULL;
    return &settings;
}

void broker_options_free(struct broker_options *o)
{
    struct declared_queue *q, *next;
    HASH_ITER (hh, o->queues, q, next) {
        HASH_DEL(o->queues, q);
        free(q);
    }
    options_free_topics(o);
    const struct settings settings = { .rows = rows, .count = sizeof rows / sizeof *rows };
    settings_free(&settings, o);
}

/* The queue's dead-letter queue, if it is in the file; NULL otherwise. Only a running broker knows other queues'
 * settings. */
static struct declared_queue *dead_letter_of(const struct broker_options *o, const struct declared_queue *q)
{
    return *q->settings.dead_letter ? queue_find_declared(o, span_str(q->settings.dead_letter)) : NULL;
}

/* Follows the dead letters from each queue. A walk ends where an earlier walk has been, so each queue is visited
 * once. */
static bool check_dead_letters(const struct broker_options *o, struct error *e)
{
    unsigned walk = 0;
    for (struct declared_queue *q = o->queues; q; q = q->hh.next)
        q->walk = 0;
    for (struct declared_queue *q = o->queues; q; q = q->hh.next) {
        struct declared_queue *at = q, *last = q;
        for (walk++; at && !at->walk; at = dead_letter_of(o, at)) {
            at->walk = walk;
            last = at;
        }
        if (at && at->walk == walk)
            return error_set(e, "queues: dead letters would go in a circle: '%s' has dead_letter '%s'%s%s%s", at->name,
                             at->settings.dead_letter, last == at ? "" : ", and so on to '",
                             last == at ? "" : last->name, last == at ? "" : "', which has it back");
    }
    return true;
}

static bool check_durabilities(const struct broker_options *o, struct error *e)
{
    for (const struct declared_queue *q = o->queues; q; q = q->hh.next) {
        if ((q->settings.present & (1u << QUEUE_SETTING_durability)) && q->settings.durability == DURABILITY_DISK)
            return error_set(e, "queues: '%s' has durability disk, which needs a data directory: set data (--data DIR)",
                             q->name);
    }
    return true;
}

/* Without a data directory the file's queues are the only ones at start. */
static bool check_targets(const struct broker_options *o, bool auto_declare, struct error *e)
{
    for (const struct declared_queue *q = o->queues; q && !auto_declare; q = q->hh.next) {
        const char *target = q->settings.dead_letter;
        if (*target && !broker_options_has_queue(o, target))
            return error_set(e, "queues: '%s' has dead_letter '%s', which is not in the file; declare it under queues:",
                             q->name, target);
    }
    return options_check_targets_exist(o, broker_options_has_queue, o, "the file", e);
}

/* Only warns, because a missing queue may be in the data directory, which is not opened for this. */
static void warn_of_missing_queues(const void *options)
{
    const struct broker_options *o = options;
    struct error e;
    if (!check_targets(o, o->auto_declare, &e))
        fprintf(stderr, "sluice-broker: %s. Unless the data directory has it, the broker goes on without it\n", e.text);
}

/* Counts all of the file's queues and topics, including those that the data directory has already: the file must also
 * work with an empty directory, where all of them are made. What else the directory has is known only to a running
 * broker. */
static bool check_counts(const struct broker_options *o, uint64_t most, struct error *e)
{
    unsigned queues = HASH_COUNT(o->queues), topics = HASH_COUNT(o->topics);
    bool many_queues = queues > most;
    return (!many_queues && topics <= most) ||
           error_set(e,
                     "max_queues is %" PRIu64
                     ", but the file has %u %s: raise it, or declare fewer (those that the data "
                     "directory already has count as well)",
                     most, many_queues ? queues : topics, many_queues ? "queues" : "topics, which it limits as well");
}

bool broker_options_check_queues(const struct broker_options *o, const struct broker_options *rest, struct error *e)
{
    return check_counts(o, rest->max_queues, e) && check_dead_letters(o, e) &&
           (rest->data || (check_durabilities(o, e) && check_targets(o, rest->auto_declare, e)));
}

static bool check_disk(const struct broker_options *o, struct error *e)
{
    uint64_t least = log_least_budget(o->segment_size);
    if (strcmp(o->sync, "group") != 0 && strcmp(o->sync, "interval") != 0 && strcmp(o->sync, "none") != 0)
        return error_set(e, "sync must be group, interval or none, not '%s'", o->sync);
    return !o->disk_budget || o->disk_budget >= least ||
           error_set(e,
                     "disk_budget is %" PRIu64 " bytes, too small to accept events: with a segment_size of %" PRIu64
                     " bytes it must be at least %" PRIu64 " (%" PRIu64 "MiB); raise it, or lower segment_size",
                     o->disk_budget, o->segment_size, least, (least + (1 << 20) - 1) >> 20);
}

/* A client stops handing events over after six tenths of the session timeout without proof of being heard. Heartbeats
 * are such proof; with this bound nearly two of them fit into that time. */
static bool check_times(const struct broker_options *o, struct error *e)
{
    char heartbeat[24], timeout[24];
    if (o->heartbeat <= o->session_timeout / 3)
        return true;
    duration_format(o->heartbeat, heartbeat);
    duration_format(o->session_timeout, timeout);
    return error_set(
        e,
        "a heartbeat of %s is too long for a session_timeout of %s: sessions of healthy clients would end; set it to "
        "at most a third of session_timeout",
        heartbeat, timeout);
}

static bool check_network(const struct broker_options *o, struct error *e)
{
    if (!o->secret_key_file != !o->clients)
        return error_set(e, "'curve.secret_key_file' and 'curve.clients' go together: set both or none");
    const char *port = endpoint_port(o->listen);
    if (!o->ingress && endpoint_transport(o->listen) == TRANSPORT_TCP && port && strtoul(port, NULL, 10) == 65535)
        return error_set(
            e, "listen has the last port, 65535, and ingress would get the next one: set ingress, or choose another "
               "port");
    bool insecure = o->insecure || o->secret_key_file;
    if (!endpoint_check_listen(o->listen, insecure, e) ||
        (o->ingress && !endpoint_check_listen(o->ingress, insecure, e)))
        return false;
    if (o->ingress && endpoint_transport(o->listen) != endpoint_transport(o->ingress))
        return error_set(e, "listen and ingress must both be tcp, or both be ipc: the broker identifies a client by "
                            "its address or uid, which would differ");
    return !o->ingress || strcmp(o->listen, o->ingress) != 0 || strcmp(o->listen + strlen(o->listen) - 2, ":0") == 0 ||
           error_set(e, "listen and ingress need different addresses, but both are %s", o->listen);
}

/* So little is a forgotten unit: no event of the default max_event would ever be accepted. */
static bool check_memory(const struct broker_options *o, struct error *e)
{
    return !o->memory_budget || o->memory_budget >= 1 << 20 ||
           error_set(e, "memory_budget is %" PRIu64 " bytes, at least 1MiB is needed: give it a unit, like 256MiB",
                     o->memory_budget);
}

bool broker_options_check(const struct broker_options *o, struct error *e)
{
    return log_settings_check(o->log_level, o->log_format, e) && check_disk(o, e) && check_times(o, e) &&
           check_network(o, e) && check_memory(o, e) && broker_options_check_queues(o, o, e);
}

uint64_t broker_memory_budget(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t limit = memory_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    return (limit && limit < machine ? limit : machine) / 2;
}
