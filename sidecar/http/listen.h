/* Binding a listener: HOST:PORT, [V6]:PORT or unix:/PATH. Private to sidecar/http. */
#ifndef SLUICE_SIDECAR_HTTP_LISTEN_H
#define SLUICE_SIDECAR_HTTP_LISTEN_H

#include "base/error.h"

#define LISTEN_ADDRESS_MAX 256

/* Returns the listening socket and writes the address it is bound to; -1 with a message in *e. */
int listen_open(const char *address, char bound[LISTEN_ADDRESS_MAX], struct error *e);

#endif
