/* libcurl's callbacks say which descriptors to watch and when to call it next. The descriptors are in an epoll of their
 * own, which is nested in the event loop's. */
#include "sidecar/push/transfer.h"

#include "base/clock.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define SPARE_MOST 16u
#define EVENTS     64
/* Flag beside a descriptor in epoll's data: an idle connection, kept for the next request. */
#define KEPT (UINT64_C(1) << 32)

struct sender {
    void (*done)(void *cookie, const struct sender_answer *answer);
    CURLM *multi; /* NULL while there are neither requests nor connections */
    bool begun;   /* curl_global_init was called */
    struct transfer *under_way, *spare;
    unsigned spare_count;
    mono_t due;
    mono_t idle_end; /* when idle connections are closed; MONO_NEVER: a request is under way */
    int epoll_fd;
};

/* ------------------------------------------------------------------ callbacks of libcurl */

/* An idle connection stays watched. Whatever arrives on it, a close or an unsolicited answer, does not belong to the
 * next request; but libcurl would send that request there and take the stale answer for its own. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *of_socket)
{
    struct sender *s = ctx;
    bool kept = what == CURL_POLL_REMOVE;
    struct epoll_event event = { .events = (what & CURL_POLL_IN || kept ? (uint32_t)EPOLLIN : 0) |
                                           (what & CURL_POLL_OUT && !kept ? (uint32_t)EPOLLOUT : 0),
                                 .data.u64 = (uint32_t)fd | (kept ? KEPT : 0) };
    (void)easy, (void)of_socket;
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 && !kept)
        return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -1 : 0;
    return 0;
}

/* Something arrived on an idle connection. Shuts it down and reads what it has: libcurl does not reuse a connection if
 * all that it finds there is its end. If the peer sends more than is read here, the next request on it fails, since it
 * is shut down. */
static void drop_kept(struct sender *s, const struct epoll_event *event)
{
    char rest[4096];
    int fd = (int)(uint32_t)event->data.u64;
    if (!(event->data.u64 & KEPT))
        return;
    shutdown(fd, SHUT_RDWR);
    for (unsigned i = 0; i < 16 && recv(fd, rest, sizeof rest, MSG_DONTWAIT) > 0; i++)
        continue;
    epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int on_timer(CURLM *multi, long ms, void *ctx)
{
    struct sender *s = ctx;
    (void)multi;
    s->due = ms < 0 ? MONO_NEVER : mono_add_ms(clock_now().mono, ms);
    return 0;
}

/* ------------------------------------------------------------------ one request */

static struct transfer *get(struct sender *s)
{
    struct transfer *x = s->spare;
    if (!x)
        return transfer_new();
    DL_DELETE(s->spare, x);
    s->spare_count--;
    return x;
}

static void put(struct sender *s, struct transfer *x)
{
    transfer_clear(x);
    if (s->spare_count < SPARE_MOST) {
        DL_PREPEND(s->spare, x);
        s->spare_count++;
        return;
    }
    transfer_free(x);
}

static bool start_libcurl(struct sender *s)
{
    if (s->multi)
        return true;
    s->begun = s->begun || curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK;
    s->multi = s->begun ? curl_multi_init() : NULL;
    return s->multi && !curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_socket) &&
           !curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s) &&
           !curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_timer) &&
           !curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s);
}

struct transfer *sender_start(struct sender *s, const struct sender_request *request, void *cookie)
{
    struct transfer *x = start_libcurl(s) ? get(s) : NULL;
    if (!x)
        return NULL;
    x->cookie = cookie;
    if (!transfer_set_up(x, request) || curl_multi_add_handle(s->multi, x->easy) != CURLM_OK) {
        put(s, x);
        return NULL;
    }
    DL_APPEND(s->under_way, x);
    s->idle_end = MONO_NEVER;
    return x;
}

static void take_out(struct sender *s, struct transfer *x)
{
    curl_multi_remove_handle(s->multi, x->easy);
    DL_DELETE(s->under_way, x);
    if (!s->under_way)
        s->idle_end = mono_add_ms(clock_now().mono, IDLE_SECONDS * 1000);
}

void sender_cancel(struct sender *s, struct transfer *x)
{
    take_out(s, x);
    put(s, x);
}

static void end(struct sender *s, struct transfer *x, CURLcode code)
{
    struct sender_answer answer = transfer_answer(x, code);
    take_out(s, x);
    s->done(x->cookie, &answer);
    put(s, x);
}

static bool end_all(struct sender *s)
{
    CURLMsg *message;
    int left;
    bool any = false;
    while ((message = curl_multi_info_read(s->multi, &left))) {
        struct transfer *x = NULL;
        CURLcode code = message->data.result; /* the message does not survive the handle's removal */
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        end(s, x, code);
        any = true;
    }
    return any;
}

/* ------------------------------------------------------------------ for the event loop */

int sender_fd(const struct sender *s)
{
    return s->epoll_fd;
}

mono_t sender_due(const struct sender *s)
{
    return mono_min(s->due, s->idle_end);
}

static int as_curl(uint32_t events)
{
    return (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
           (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
}

/* If libcurl is called a moment before its timeout, it does nothing and does not set the timer again, so ask for the
 * time. */
static void keep_time(struct sender *s)
{
    long ms = -1;
    if (s->due.ns == MONO_NEVER.ns && curl_multi_timeout(s->multi, &ms) == CURLM_OK && ms >= 0)
        on_timer(s->multi, ms, s);
}

/* libcurl closes an idle connection only when it looks for another one. Until then an application that serves one
 * connection at a time would be blocked. (Most servers close idle connections after five seconds.) */
static void close_connections(struct sender *s)
{
    if (s->multi)
        curl_multi_cleanup(s->multi);
    s->multi = NULL;
    s->due = s->idle_end = MONO_NEVER;
}

bool sender_run(struct sender *s, mono_t now)
{
    struct epoll_event events[EVENTS];
    int running;
    if (s->idle_end.ns <= now.ns)
        close_connections(s);
    if (!s->multi)
        return false;
    int count = epoll_wait(s->epoll_fd, events, EVENTS, 0);
    /* First, because libcurl may close these connections below and reuse their descriptor numbers. */
    for (int i = 0; i < count; i++)
        drop_kept(s, &events[i]);
    if (s->due.ns <= now.ns) {
        s->due = MONO_NEVER;
        curl_multi_socket_action(s->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        keep_time(s);
    }
    for (int i = 0; i < count; i++) {
        if (!(events[i].data.u64 & KEPT))
            curl_multi_socket_action(s->multi, (int)(uint32_t)events[i].data.u64, as_curl(events[i].events), &running);
    }
    return end_all(s);
}

struct sender *sender_open(void (*done)(void *cookie, const struct sender_answer *answer), struct error *e)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) {
        error_set(e, "cannot poll: %s", strerror(errno));
        return NULL;
    }
    struct sender *s = xcalloc(1, sizeof *s);
    *s = (struct sender){ .done = done, .due = MONO_NEVER, .idle_end = MONO_NEVER, .epoll_fd = fd };
    return s;
}

void sender_close(struct sender *s)
{
    if (!s)
        return;
    while (s->under_way)
        sender_cancel(s, s->under_way);
    while (s->spare) {
        struct transfer *x = s->spare;
        DL_DELETE(s->spare, x);
        transfer_free(x);
    }
    close_connections(s);
    if (s->begun)
        curl_global_cleanup();
    close(s->epoll_fd);
    free(s);
}
