#include "base/endpoint.h"

#include <stdlib.h>
#include <string.h>

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

enum transport endpoint_transport(const char *endpoint)
{
    if (begins_with(endpoint, "tcp://"))
        return TRANSPORT_TCP;
    if (begins_with(endpoint, "ipc://"))
        return TRANSPORT_IPC;
    return begins_with(endpoint, "inproc://") ? TRANSPORT_INPROC : TRANSPORT_UNKNOWN;
}

const char *endpoint_port(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');
    bool number = colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);
    return number && colon > endpoint + strlen("tcp://") ? colon + 1 : NULL;
}

static bool check_tcp(const char *endpoint, struct error *e)
{
    const char *port = endpoint_port(endpoint);
    if (begins_with(endpoint, "tcp://:"))
        return error_set(e, "'%s' has no host: write tcp://HOST:PORT", endpoint);
    if (!port)
        return error_set(e, "'%s' has no port: write tcp://HOST:PORT", endpoint);
    return strtoul(port, NULL, 10) <= 65535 ||
           error_set(e, "the port of '%s' is too large: it is at most 65535", endpoint);
}

bool endpoint_check(const char *endpoint, struct error *e)
{
    switch (endpoint_transport(endpoint)) {
    case TRANSPORT_TCP: return check_tcp(endpoint, e);
    case TRANSPORT_IPC:
        return endpoint[6] == '/' || error_set(e, "'%s' needs an absolute path: ipc:///run/sluice/broker", endpoint);
    case TRANSPORT_INPROC:
        if (endpoint[9])
            return true;
        break;
    case TRANSPORT_UNKNOWN: break;
    }
    return error_set(e, "'%s' is not an endpoint: write tcp://HOST:PORT or ipc:///PATH", endpoint);
}
