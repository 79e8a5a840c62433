/* The sidecar's settings; options.c has the table. */
#ifndef SLUICE_SIDECAR_OPTIONS_H
#define SLUICE_SIDECAR_OPTIONS_H

#include "base/settings.h"

#include <stdint.h>

struct sidecar_options {
    char *broker, *inbox, *http, *ops, *probe, *token_file, *secret_key_file, *broker_key_file;
    char *app_name;
    bool app_operate, operations;
    struct setting_list origins, hosts, pinned;
    int64_t publish_wait, publish_wait_max, take_wait_max, turn_idle, drain_limit, request_timeout, idle_timeout;
    uint64_t take_max, take_bytes, event_max, batch_max_events, batch_max_bytes, buffer, max_connections,
        metrics_queues;
    char *log_level, *log_format;
};

const struct settings *sidecar_settings(void);
/* What the table cannot say: addresses beyond loopback need a token, … Reads the token. *token is owned by the caller,
 * NULL when none is set. False with a sentence. */
bool sidecar_options_check(const struct sidecar_options *o, char **token, struct error *e);
/* Does everybody who can reach that address sit on this machine? Unix sockets and loopback. */
bool address_is_local(const char *address);

#endif
