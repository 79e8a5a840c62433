/* The sidecar as a whole: listeners, the session with the broker, and one event loop. Run by sluice-sidecar and `sluice
 * dev`. */
#ifndef SLUICE_SIDECAR_H
#define SLUICE_SIDECAR_H

#include "base/error.h"
#include "sidecar/api/api.h"
#include "sidecar/options.h"

struct sidecar;

/* Binds all listeners; needs no broker yet. `zmq`, `options` and `token` (may be NULL) are borrowed. NULL with a
 * message in *e. */
struct sidecar *sidecar_open(void *zmq, const struct sidecar_options *options, const char *token, struct error *e);
/* From here on sidecar_run may run the sidecar on its context's I/O thread, which has that number, while its caller
 * waits (base/io_thread.h, base/one_thread.h). */
void sidecar_allow_one_thread(struct sidecar *s, int io_thread);
/* Runs until stop_fd is readable. */
void sidecar_run(struct sidecar *s, int stop_fd);
/* Orderly shutdown: drains (for at most options.drain_limit, or until sidecar_run's stop_fd is readable once more),
 * stops accepting connections, and says goodbye to the broker. */
void sidecar_stop(struct sidecar *s);
/* Frees it, without a shutdown of its own; NULL is allowed. */
void sidecar_close(struct sidecar *s);
/* The address that the listener is bound to; NULL if it is not used. */
const char *sidecar_address(const struct sidecar *s, enum api_listener which);

#endif
