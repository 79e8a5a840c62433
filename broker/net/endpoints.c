#include "broker/net/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

enum transport endpoint_transport(const char *endpoint)
{
    if (starts_with(endpoint, "tcp://"))
        return TRANSPORT_TCP;
    if (starts_with(endpoint, "ipc://"))
        return TRANSPORT_IPC;
    return starts_with(endpoint, "inproc://") ? TRANSPORT_INPROC : TRANSPORT_UNKNOWN;
}

/* Where the port begins; NULL when the endpoint has none. */
static const char *port_of(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');
    return colon && colon > endpoint + 5 && colon[1] >= '0' && colon[1] <= '9' ? colon + 1 : NULL;
}

bool endpoint_is_exposed(const char *endpoint)
{
    if (endpoint_transport(endpoint) != TRANSPORT_TCP)
        return false;
    const char *host = endpoint + 6;
    return !starts_with(host, "127.") && !starts_with(host, "localhost:") && !starts_with(host, "[::1]:") &&
           !starts_with(host, "lo:");
}

bool endpoint_check(const char *endpoint, bool insecure, struct error *e)
{
    switch (endpoint_transport(endpoint)) {
    case TRANSPORT_TCP:
        if (!port_of(endpoint))
            return error_set(e, "'%s' has no port: write tcp://HOST:PORT", endpoint);
        if (strtoul(port_of(endpoint), NULL, 10) > 65535)
            return error_set(e, "the port of '%s' is too large: it is at most 65535", endpoint);
        if (endpoint_is_exposed(endpoint) && !insecure)
            return error_set(
                e,
                "%s is beyond loopback and anybody who reaches it may publish, consume and delete: set "
                "'insecure: true' to accept that (and keep strangers out by a NetworkPolicy), or listen on "
                "127.0.0.1",
                endpoint);
        return true;
    case TRANSPORT_IPC:
        return endpoint[6] == '/' || error_set(e, "'%s' needs an absolute path: ipc:///run/sluice/broker", endpoint);
    case TRANSPORT_INPROC: return true;
    case TRANSPORT_UNKNOWN: break;
    }
    return error_set(e, "'%s' is no endpoint: write tcp://HOST:PORT or ipc:///PATH", endpoint);
}

void endpoint_ingress(const char *control, char *out, size_t size)
{
    const char *port = port_of(control);
    if (endpoint_transport(control) != TRANSPORT_TCP || !port) {
        snprintf(out, size, "%s.ingress", control);
        return;
    }
    unsigned long number = strtoul(port, NULL, 10);
    snprintf(out, size, "%.*s%lu", (int)(port - control), control, number ? number + 1 : 0);
}

void endpoint_advertise(const char *bound, char *out, size_t size)
{
    const char *port = port_of(bound);
    if (endpoint_transport(bound) == TRANSPORT_TCP && port)
        snprintf(out, size, "tcp://*:%s", port);
    else
        snprintf(out, size, "%s", bound);
}

enum transport peer_transport(const char *address)
{
    return starts_with(address, "localhost:") ? TRANSPORT_IPC : TRANSPORT_TCP;
}

/* As IPv4 writes it, also where an IPv6 socket saw it. */
static const char *plain(const char *address)
{
    return starts_with(address, "::ffff:") ? address + 7 : address;
}

void peer_key_name(const char *key, const char *address, char *out, size_t size)
{
    snprintf(out, size, "key:%s@%s", key, plain(address));
}

bool peer_key(const char *peer, char key[41])
{
    if (!starts_with(peer, "key:") || strlen(peer) < 45 || peer[44] != '@')
        return false;
    memcpy(key, peer + 4, 40);
    key[40] = '\0';
    return true;
}

void peer_name(enum transport transport, const char *peer_address, char *out, size_t size)
{
    if (transport == TRANSPORT_INPROC) {
        snprintf(out, size, "inproc");
    } else if (transport == TRANSPORT_IPC) { /* localhost:UID:GID:PID, from the kernel */
        const char *uid = peer_address ? strchr(peer_address, ':') : NULL;
        if (uid)
            snprintf(out, size, "uid:%.*s", (int)strcspn(uid + 1, ":"), uid + 1);
        else
            snprintf(out, size, "ipc");
    } else {
        snprintf(out, size, "ip:%s", peer_address ? plain(peer_address) : "?");
    }
}
