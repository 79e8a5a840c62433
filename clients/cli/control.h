/* Calls to a broker's control socket without a session, for commands that speak to a broker instead of a sidecar. */
#ifndef SLUICE_CLI_CONTROL_H
#define SLUICE_CLI_CONTROL_H

#include "proto/control.h"

struct control;

/* Connects. `key`, `broker_key`: key files, both or neither (NULL). `wait`: a valid duration, the timeout of each
 * answer. *code: CLI_OK, or the exit status after a message. Close the result in either case. It has threads: do not
 * fork until then. */
struct control *control_open(const char *broker, const char *key, const char *broker_key, const char *wait, int *code);
/* NULL is allowed. */
void control_close(struct control *c);
/* Sends a request under a new id and waits for its reply, whose pointers live in the arena. False with a message if
 * none came. */
bool control_ask(struct control *c, struct request *r, struct arena *arena, struct reply *reply);

#endif
