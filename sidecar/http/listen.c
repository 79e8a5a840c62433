#include "sidecar/http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static int refuse(int fd, const char *address, struct error *e)
{
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (why == EADDRINUSE)
        error_set(e, "%s is in use: another process listens there; stop it or choose another address", address);
    else
        error_set(e, "cannot listen on %s: %s", address, strerror(why));
    return -1;
}

/* Is the socket a leftover of a process that died? Nobody accepts connections on it then. */
static bool is_stale(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static int listen_unix(const char *address, char *bound, struct error *e)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    const char *path = address + strlen("unix:");
    if (*path != '/' || strlen(path) >= sizeof at.sun_path) {
        error_set(e, "'%s' must be unix:/PATH with an absolute path of at most %zu bytes", address,
                  sizeof at.sun_path - 1);
        return -1;
    }
    strcpy(at.sun_path, path);
    struct stat there;
    if (stat(path, &there) == 0 &&
        !S_ISSOCK(there.st_mode)) { /* connecting to a file fails like connecting to a dead socket */
        error_set(e, "%s exists and is not a socket; choose another path", path);
        return -1;
    }
    if (is_stale(&at))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || chmod(path, 0660) != 0 ||
        listen(fd, BACKLOG) != 0)
        return refuse(fd, address, e);
    snprintf(bound, LISTEN_ADDRESS_MAX, "%s", address);
    return fd;
}

static void name_bound(int fd, char *bound)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    char host[128] = "", port[16] = "";
    getsockname(fd, (struct sockaddr *)&at, &size);
    getnameinfo((struct sockaddr *)&at, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(bound, LISTEN_ADDRESS_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* Splits HOST:PORT; removes the brackets around an IPv6 host. */
static bool split(const char *address, char host[128], const char **port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || colon - address > 127)
        return false;
    size_t size = (size_t)(colon - address);
    if (address[0] == '[' && address[size - 1] == ']')
        snprintf(host, 128, "%.*s", (int)size - 2, address + 1);
    else
        snprintf(host, 128, "%.*s", (int)size, address);
    *port = colon + 1;
    return **port != '\0' && strspn(*port, "0123456789") == strlen(*port);
}

int listen_open(const char *address, char bound[LISTEN_ADDRESS_MAX], struct error *e)
{
    char host[128];
    const char *port;
    struct addrinfo *found = NULL, hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    if (strncmp(address, "unix:", 5) == 0)
        return listen_unix(address, bound, e);
    if (!split(address, host, &port)) {
        error_set(e, "'%s' is not an address to listen on: write HOST:PORT, [V6]:PORT or unix:/PATH", address);
        return -1;
    }
    int code = getaddrinfo(host, port, &hints, &found);
    if (code != 0) {
        error_set(e, "cannot listen on %s: %s", address, gai_strerror(code));
        return -1;
    }
    int yes = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    bool fine = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    int why = errno;
    freeaddrinfo(found);
    errno = why;
    if (!fine)
        return refuse(fd, address, e);
    name_bound(fd, bound);
    return fd;
}
