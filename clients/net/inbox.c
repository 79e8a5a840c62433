#include "clients/net/inbox.h"

#include "base/xalloc.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zmq.h>

/* libzmq releases an ipc or inproc name a moment after the close. */
#define BIND_TRIES    50
#define BIND_PAUSE_NS 10000000

bool address_is(const char *address, const char *scheme)
{
    return strncmp(address, scheme, strlen(scheme)) == 0;
}

/* A loopback address if the broker is reached by loopback; otherwise all interfaces. */
static const char *tcp_beside(const char *broker)
{
    if (address_is(broker, "tcp://[::1]:"))
        return "tcp://[::1]:0";
    bool loopback = address_is(broker, "tcp://127.") || address_is(broker, "tcp://localhost:");
    return loopback ? "tcp://127.0.0.1:0" : "tcp://*:0";
}

char *inbox_default(const char *broker)
{
    char *name = xmalloc(strlen(broker) + 64);
    uint8_t random[8];
    char hex[2 * sizeof random + 1];
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(hex, sizeof hex, random, sizeof random);
    if (address_is(broker, "ipc://"))
        sprintf(name, "%s.%s", broker, hex);
    else if (address_is(broker, "inproc://"))
        sprintf(name, "inproc://sluice-inbox-%s", hex);
    else
        strcpy(name, tcp_beside(broker));
    return name;
}

static bool bind_with_patience(void *socket, const char *endpoint)
{
    bool named = !address_is(endpoint, "tcp://");
    for (int i = 0; zmq_bind(socket, endpoint) != 0; i++) {
        if (!named || errno != EADDRINUSE || i == BIND_TRIES)
            return false;
        nanosleep(&(struct timespec){ .tv_nsec = BIND_PAUSE_NS }, NULL);
    }
    return true;
}

char *inbox_bind(void *socket, const char *endpoint, struct ipc_lock *lock, struct error *e)
{
    char bound[512];
    size_t size = sizeof bound;
    if (address_is(endpoint, "ipc://")) {
        const char *path = endpoint + strlen("ipc://");
        if (path[0] != '/')
            return error_set(e, "the inbox %s must be an absolute path: ipc:///DIR/NAME", endpoint), NULL;
        if (!ipc_lock_take(lock, path, e))
            return NULL;
    }
    if (!bind_with_patience(socket, endpoint))
        return error_set(e, "cannot bind the inbox %s: %s", endpoint, zmq_strerror(errno)), NULL;
    if (lock->path && chmod(lock->path, 0660) != 0)
        return error_set(e, "cannot give the broker's group access to %s: %s", lock->path, strerror(errno)), NULL;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size) != 0)
        return error_set(e, "cannot use the inbox %s: %s", endpoint, zmq_strerror(errno)), NULL;
    return xstrdup(bound);
}

char *inbox_advertised(const char *bound)
{
    if (!address_is(bound, "tcp://"))
        return xstrdup(bound);
    char *told = xmalloc(strlen(bound) + 16);
    sprintf(told, "tcp://*%s", strrchr(bound, ':'));
    return told;
}
