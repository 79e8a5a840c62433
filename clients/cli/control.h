/* Calls to a broker by its control socket, without a session: for the commands that speak to one and to no sidecar. */
#ifndef SLUICE_CLI_CONTROL_H
#define SLUICE_CLI_CONTROL_H

#include "proto/control.h"

struct control;

/* `key` and `broker_key` are files, both or none (NULL); `wait`, a duration that was checked, is for each answer. *code is CLI_OK,
 * or what went wrong was said. Close what comes back in any case; it has threads, so nothing may be forked meanwhile. */
struct control *control_open(const char *broker, const char *key, const char *broker_key, const char *wait, int *code);
/* NULL is allowed. */
void control_close(struct control *c);
/* Asks under a new id. False: no answer came, which was said. What the reply points to lives in the arena. */
bool control_ask(struct control *c, struct request *r, struct arena *arena, struct reply *reply);

#endif
