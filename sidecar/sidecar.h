/* The sidecar as a whole: listeners, the session with the broker, and one loop. sluice-sidecar and `sluice dev` run it. */
#ifndef SLUICE_SIDECAR_H
#define SLUICE_SIDECAR_H

#include "base/error.h"
#include "sidecar/api/api.h"
#include "sidecar/options.h"

struct sidecar;

/* Binds everything; needs no broker yet. `zmq` is borrowed; `token` may be NULL. NULL with a sentence. */
struct sidecar *sidecar_open(void *zmq, const struct sidecar_options *options, const char *token, struct error *e);
/* Runs until stop_fd is readable. */
void sidecar_run(struct sidecar *s, int stop_fd);
/* Orderly end: no new connections, drains (at most options.drain_limit, or until stop_fd is readable once more), says
 * goodbye. */
void sidecar_stop(struct sidecar *s, int stop_fd);
void sidecar_close(struct sidecar *s);
/* Where it listens; NULL: not at all. */
const char *sidecar_address(const struct sidecar *s, enum api_listener which);

#endif
