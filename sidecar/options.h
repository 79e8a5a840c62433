/* The sidecar's settings; options.c has the table. */
#ifndef SLUICE_SIDECAR_OPTIONS_H
#define SLUICE_SIDECAR_OPTIONS_H

#include "base/settings.h"
#include "sidecar/api/subscription.h"

#include <stdint.h>

struct sidecar_options {
    char *broker, *inbox, *http, *ops, *probe, *token_file, *secret_key_file, *broker_key_file;
    char *app_name;
    bool app_operate, operations;
    struct setting_list origins, hosts, pinned, push_allow, pubsubs;
    struct declared_subscription *subscriptions; /* in the file's order; owned */
    int64_t publish_wait, publish_wait_max, take_wait_max, turn_idle, drain_limit, request_timeout, idle_timeout;
    uint64_t take_max, take_bytes, event_max, batch_max_events, batch_max_bytes, buffer, max_connections,
        metrics_queues;
    char *log_level, *log_format;
};

/* The table; a configuration file's subscriptions go to `options`. */
const struct settings *sidecar_settings(struct sidecar_options *options);
void sidecar_options_free(struct sidecar_options *o);
/* What the table cannot say, and the rest of what subscriptions leave out: addresses beyond loopback need a token, … Reads the token. *token is owned by the caller,
 * NULL when none is set. False with a sentence. */
bool sidecar_options_check(struct sidecar_options *o, char **token, struct error *e);
/* Can the keys be read that it names? What `sluice config check` does not ask: they are not where the file is looked at. */
bool sidecar_options_check_keys(const struct sidecar_options *o, struct error *e);
/* Does everybody who can reach that address sit on this machine? Unix sockets and loopback. */
bool address_is_local(const char *address);

#endif
