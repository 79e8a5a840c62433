/* ZeroMQ's endpoints as text: tcp://HOST:PORT, ipc:///PATH, inproc://NAME. Pure. */
#ifndef SLUICE_BASE_ENDPOINT_H
#define SLUICE_BASE_ENDPOINT_H

#include "base/error.h"

enum transport { TRANSPORT_TCP, TRANSPORT_IPC, TRANSPORT_INPROC, TRANSPORT_UNKNOWN };

enum transport endpoint_transport(const char *endpoint);
/* Where the port begins, a number; NULL when the endpoint has none. */
const char *endpoint_port(const char *endpoint);
/* Checks an endpoint. libzmq reports a bad one only as "Invalid argument", and only when it is used. False with a
 * sentence. */
bool endpoint_check(const char *endpoint, struct error *e);

#endif
