/* Endpoints as text: what listens where, and who a peer is. Pure. */
#ifndef SLUICE_BROKER_NET_ENDPOINTS_H
#define SLUICE_BROKER_NET_ENDPOINTS_H

#include "base/endpoint.h"

#include <stdbool.h>
#include <stddef.h>

/* May it be listened on? Beyond loopback only when `insecure`; false with a sentence. */
bool endpoint_check_listen(const char *endpoint, bool insecure, struct error *e);
/* True for tcp endpoints whose host is not loopback. */
bool endpoint_is_exposed(const char *endpoint);
/* The ingress that goes with a control endpoint: tcp's next port (0 stays 0), ipc's and inproc's NAME.ingress. */
void endpoint_ingress(const char *control, char *out, size_t size);
/* What Hello says of a bound ingress: tcp's host is left open for the client to fill in. */
void endpoint_advertise(const char *bound, char *out, size_t size);
/* Which transport an address that ZAP shows is of: "localhost:UID:GID:PID" is ipc's. */
enum transport peer_transport(const char *address);
/* "ip:127.0.0.1", "uid:1000", "ipc", "inproc" from the Peer-Address of a message (NULL when there is none). */
void peer_name(enum transport transport, const char *peer_address, char *out, size_t size);
/* "key:KEY@ADDRESS" of a CURVE peer. */
void peer_key_name(const char *key, const char *address, char *out, size_t size);
/* The key (40 characters) of such a name; false when it is none. */
bool peer_key(const char *peer, char key[41]);

#endif
