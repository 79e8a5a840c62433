/* Endpoints and peers as text. */
#include "broker/net/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool endpoint_is_exposed(const char *endpoint)
{
    if (endpoint_transport(endpoint) != TRANSPORT_TCP)
        return false;
    const char *host = endpoint + 6;
    return !starts_with(host, "127.") && !starts_with(host, "localhost:") && !starts_with(host, "[::1]:") &&
           !starts_with(host, "lo:");
}

bool endpoint_check_listen(const char *endpoint, bool insecure, struct error *e)
{
    if (!endpoint_check(endpoint, e))
        return false;
    return insecure || !endpoint_is_exposed(endpoint) ||
           error_set(e,
                     "%s is beyond loopback, and anybody who reaches it could publish, consume and delete: listen on "
                     "127.0.0.1, or give --insecure ('insecure: true' in the file) to accept that, and keep strangers "
                     "out with a NetworkPolicy",
                     endpoint);
}

void endpoint_ingress(const char *control, char *out, size_t size)
{
    const char *port = endpoint_port(control);
    if (endpoint_transport(control) != TRANSPORT_TCP || !port) {
        snprintf(out, size, "%s.ingress", control);
        return;
    }
    unsigned long number = strtoul(port, NULL, 10);
    snprintf(out, size, "%.*s%lu", (int)(port - control), control, number ? number + 1 : 0);
}

void endpoint_advertise(const char *bound, char *out, size_t size)
{
    const char *port = endpoint_port(bound);
    if (endpoint_transport(bound) == TRANSPORT_TCP && port)
        snprintf(out, size, "tcp://*:%s", port);
    else
        snprintf(out, size, "%s", bound);
}

enum transport peer_transport(const char *address)
{
    return starts_with(address, "localhost:") ? TRANSPORT_IPC : TRANSPORT_TCP;
}

/* An IPv4 address without the prefix that an IPv6 socket shows. */
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
