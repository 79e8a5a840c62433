/* A ZAP handler (ZeroMQ RFC 27): libzmq asks it at each handshake of a socket with a ZAP domain whether the peer may
 * connect. A context has at most one handler. Its owner answers in its own loop, and handshakes wait for that. One
 * thread owns it. */
#ifndef SLUICE_BASE_ZAP_H
#define SLUICE_BASE_ZAP_H

#include "base/error.h"

#include <stdint.h>

#define ZAP_KEY_SIZE 32

struct zap_request {
    char id[64];      /* of the request; echoed in the answer */
    char domain[64];  /* of the socket being connected to */
    char address[64]; /* the peer's: "10.0.0.7", or "localhost:UID:GID:PID" over ipc */
    bool has_key;     /* CURVE: `key` is the peer's public key, whose secret it has proven to hold */
    uint8_t key[ZAP_KEY_SIZE];
};

/* Binds the context's handler: a socket that the caller polls for reading and closes. NULL with a sentence on
 * failure. */
void *zap_open(void *zmq_context, struct error *e);
/* Receives the next request; false when there is none. Malformed requests are refused here. */
bool zap_receive(void *handler, struct zap_request *r);
/* Answers the request last received. `user_id` becomes the connection's "User-Id"; NULL refuses the connection. */
void zap_answer(void *handler, const struct zap_request *r, const char *user_id);

#endif
