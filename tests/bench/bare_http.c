/* The floor of HTTP: libmicrohttpd with external epoll answers every POST with a small 202 and does nothing else.
 * Prints {"ready":true,"http":"127.0.0.1:PORT"} and runs until it is killed. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static enum MHD_Result answer(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *size, void **slot)
{
    static char seen;
    static const char body[] = "{\"queue\":\"bench\",\"sequence\":1,\"id\":\"0\"}";
    (void)ctx, (void)url, (void)method, (void)version, (void)upload;
    if (!*slot) {
        *slot = &seen;
        return MHD_YES;
    }
    if (*size) {
        *size = 0;
        return MHD_YES;
    }
    struct MHD_Response *r = MHD_create_response_from_buffer(sizeof body - 1, (void *)body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_queue_response(connection, 202, r);
    MHD_destroy_response(r);
    return result;
}

int main(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1024) != 0)
        return 1;
    getsockname(fd, (struct sockaddr *)&at, &size);
    struct MHD_Daemon *d =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_END);
    if (!d)
        return 1;
    printf("{\"ready\":true,\"http\":\"127.0.0.1:%d\"}\n", ntohs(at.sin_port));
    fflush(stdout);
    int epoll_fd = MHD_get_daemon_info(d, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    struct epoll_event event = { .events = EPOLLIN };
    int outer = epoll_create1(0);
    epoll_ctl(outer, EPOLL_CTL_ADD, epoll_fd, &event);
    for (;;) {
        MHD_UNSIGNED_LONG_LONG ms = 1000;
        MHD_get_timeout(d, &ms);
        epoll_wait(outer, &event, 1, (int)(ms < 1000 ? ms : 1000));
        MHD_run(d);
    }
}
