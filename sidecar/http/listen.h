/* Binding a listener: HOST:PORT, [V6]:PORT or unix:/PATH. Private to sidecar/http. */
#ifndef SLUICE_SIDECAR_HTTP_LISTEN_H
#define SLUICE_SIDECAR_HTTP_LISTEN_H

#include "base/error.h"

#define LISTEN_ADDRESS_MAX 256

/* The listening socket and, in `bound`, its real address; -1 with a sentence. */
int listen_open(const char *address, char bound[LISTEN_ADDRESS_MAX], struct error *e);

#endif
