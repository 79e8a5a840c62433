/* The sidecar's settings; options.c has the table. */
#ifndef SLUICE_SIDECAR_OPTIONS_H
#define SLUICE_SIDECAR_OPTIONS_H

#include "base/settings.h"
#include "sidecar/api/subscription.h"

#include <stdint.h>

struct sidecar_options {
    char *broker, *inbox, *http, *ops, *probe, *token_file, *secret_key_file, *broker_key_file;
    char *app_name;
    bool app_operate, operations, one_thread;
    struct setting_list origins, hosts, pinned, push_allow, pubsubs;
    struct declared_subscription *subscriptions; /* in the file's order; owned */
    int64_t publish_wait, publish_wait_max, take_wait_max, turn_idle, drain_limit, request_timeout, idle_timeout;
    uint64_t take_max, take_bytes, event_max, batch_max_events, batch_max_bytes, buffer, max_connections,
        metrics_queues;
    char *log_level, *log_format;
};

/* The table of settings. Subscriptions in a configuration file are added to `options`. */
const struct settings *sidecar_settings(struct sidecar_options *options);
void sidecar_options_free(struct sidecar_options *o);
/* Checks what the table cannot express (such as: an address beyond loopback needs a token), completes the subscriptions
 * with defaults, and reads the token file. *token passes to the caller; NULL if none is set. False with a message in
 * *e. */
bool sidecar_options_check(struct sidecar_options *o, char **token, struct error *e);
/* Can the key files that `o` names be read? Not part of `sluice config check`, which may run on a machine without
 * them. */
bool sidecar_options_check_keys(const struct sidecar_options *o, struct error *e);
/* Can the address be reached from this machine only? True for unix sockets and loopback. */
bool address_is_local(const char *address);

#endif
