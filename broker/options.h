/* The broker's settings: one table for YAML, flags, environment and help. */
#ifndef SLUICE_BROKER_OPTIONS_H
#define SLUICE_BROKER_OPTIONS_H

#include "base/settings.h"
#include "proto/control_info.h"

#include <uthash.h>

struct declared_queue {
    char name[NAME_MAX_SIZE + 1];
    struct queue_settings settings;
    unsigned walk; /* the check's that came by last */
    UT_hash_handle hh;
};

struct declared_binding {
    char queue[NAME_MAX_SIZE + 1];
    struct buf filter; /* encoded; empty: every event */
    int line;          /* of the file */
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
    bool insecure, auto_declare, same_cpu;
    uint64_t memory_budget; /* 0: half of what the machine or its cgroup has */
    uint64_t max_queues, max_sessions, max_event;
    int64_t heartbeat, session_timeout;
    char *sync; /* group, interval or none */
    int64_t sync_interval;
    uint64_t disk_budget; /* 0: 80 % of what is free or the log's at start */
    uint64_t segment_size;
    char *log_level, *log_format;
    struct declared_queue *queues; /* by name; hh.next is the file's order */
    struct declared_topic *topics; /* likewise */
};

/* The table. Its `queues:` and `topics:` sections fill options->queues and ->topics; one table serves one options struct. */
const struct settings *broker_settings(struct broker_options *options);
/* What no key alone can say: whether they fit together. */
bool broker_options_check(const struct broker_options *options, struct error *e);
/* Of its queues and topics alone: whether they fit together, and what `rest` has (its data directory, auto_declare). */
bool broker_options_check_queues(const struct broker_options *options, const struct broker_options *rest,
                                 struct error *e);
/* Is that queue among the options' own (struct broker_options)? */
bool broker_options_has_queue(const void *options, const char *queue);
bool broker_options_has_topic(const struct broker_options *options, const char *topic);
void broker_options_free(struct broker_options *options);
/* Half of the cgroup's memory limit, or of the machine's memory. */
uint64_t broker_memory_budget(void);

#endif
