/* Who may connect, asked by libzmq at each handshake of a socket with a ZAP domain (ZeroMQ RFC 27). A context has at most
 * one handler; its owner answers from its own loop, and handshakes wait meanwhile. One thread owns it. */
#ifndef SLUICE_BASE_ZAP_H
#define SLUICE_BASE_ZAP_H

#include "base/error.h"

#include <stdint.h>

#define ZAP_KEY_SIZE 32

struct zap_request {
    char id[64];      /* of the request; echoed */
    char domain[64];  /* of the socket that asks */
    char address[64]; /* the other side's: "10.0.0.7", "localhost:UID:GID:PID" over ipc */
    bool has_key;     /* CURVE: `key` is the other side's, which it has proven */
    uint8_t key[ZAP_KEY_SIZE];
};

/* Binds the handler of that context: a socket to poll for reading and to close. NULL with a sentence. */
void *zap_open(void *zmq_context, struct error *e);
/* The next request; false when there is none. What is no request of that form is refused here. */
bool zap_receive(void *handler, struct zap_request *r);
/* Answers the request just received. `user_id` becomes the connection's "User-Id"; NULL refuses the connection. */
void zap_answer(void *handler, const struct zap_request *r, const char *user_id);

#endif
