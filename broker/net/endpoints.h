/* Endpoints as text: what listens where, and who a peer is. Pure. */
#ifndef SLUICE_BROKER_NET_ENDPOINTS_H
#define SLUICE_BROKER_NET_ENDPOINTS_H

#include "base/endpoint.h"

#include <stdbool.h>
#include <stddef.h>

/* Checks an endpoint to listen on. False with an error: malformed, or reachable from beyond loopback without
 * `insecure`. */
bool endpoint_check_listen(const char *endpoint, bool insecure, struct error *e);
/* True for tcp endpoints whose host is not loopback. */
bool endpoint_is_exposed(const char *endpoint);
/* Writes the default ingress endpoint for a control endpoint: the next port over tcp (0 stays 0), NAME.ingress over
 * ipc and inproc. */
void endpoint_ingress(const char *control, char *out, size_t size);
/* Writes the ingress endpoint that Hello announces. Over tcp the host is "*": the client fills in the host that it
 * knows. */
void endpoint_advertise(const char *bound, char *out, size_t size);
/* The transport of an address from a ZAP request: "localhost:UID:GID:PID" is ipc, anything else tcp. */
enum transport peer_transport(const char *address);
/* Writes a peer's name, from the address that ZAP shows (NULL: none): "ip:127.0.0.1", "uid:1000", "ipc", "inproc". */
void peer_name(enum transport transport, const char *peer_address, char *out, size_t size);
/* Writes a CURVE peer's name: "key:KEY@ADDRESS". */
void peer_key_name(const char *key, const char *address, char *out, size_t size);
/* Copies the key (40 characters) out of such a name. False: `peer` is not one. */
bool peer_key(const char *peer, char key[41]);

#endif
