/* The broker's settings: one table for YAML, flags, environment and help. */
#ifndef SLUICE_BROKER_OPTIONS_H
#define SLUICE_BROKER_OPTIONS_H

#include "base/settings.h"
#include "proto/control_info.h"

#include <uthash.h>

struct declared_queue {
    char name[NAME_MAX_SIZE + 1];
    struct queue_settings settings;
    unsigned walk; /* private to the check for dead letters in a circle: the walk that visited it last */
    UT_hash_handle hh;
};

struct declared_binding {
    char queue[NAME_MAX_SIZE + 1];
    struct buf filter; /* encoded; empty: every event */
    int line;          /* in the file */
    struct declared_binding *next;
};

struct declared_topic {
    char name[NAME_MAX_SIZE + 1];
    enum unrouted unrouted;
    char catch_all[NAME_MAX_SIZE + 1];
    int catch_line;
    struct declared_binding *bindings;
    UT_hash_handle hh;
};

struct broker_options {
    char *listen, *ingress, *data;
    char *secret_key_file, *clients; /* CURVE; both or none */
    bool insecure, auto_declare, one_thread, same_cpu;
    uint64_t memory_budget; /* 0: half of what the machine or its cgroup has, whichever is less */
    uint64_t max_queues, max_sessions, max_event;
    int64_t heartbeat, session_timeout;
    char *sync; /* group, interval or none */
    int64_t sync_interval;
    uint64_t disk_budget; /* 0: at start, 80 % of what is free or in the data directory already */
    uint64_t segment_size;
    char *log_level, *log_format;
    struct declared_queue *queues; /* the file's, by name; hh.next follows the file's order */
    struct declared_topic *topics; /* likewise */
};

/* The table of settings. Its sections `queues:` and `topics:` fill options->queues and ->topics, so it serves one
 * options struct only: the one given last. */
const struct settings *broker_settings(struct broker_options *options);
/* Checks what no single key can tell: whether the settings fit together. False with an error. */
bool broker_options_check(const struct broker_options *options, struct error *e);
/* Checks only whether the queues and topics fit together, and fit `rest` (max_queues, data directory, auto_declare).
 * False with an error. */
bool broker_options_check_queues(const struct broker_options *options, const struct broker_options *rest,
                                 struct error *e);
/* Is that queue, or topic, in the file? `options` is a struct broker_options. */
bool broker_options_has_queue(const void *options, const char *queue);
bool broker_options_has_topic(const struct broker_options *options, const char *topic);
void broker_options_free(struct broker_options *options);
/* The default memory budget: half of the cgroup's memory limit or of the machine's memory, whichever is less. */
uint64_t broker_memory_budget(void);

#endif
