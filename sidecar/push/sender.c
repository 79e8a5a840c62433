/* libcurl tells which descriptors it waits for (into an epoll of its own, nested in the loop's) and by when it wants to be
 * called. A request that goes out on a connection kept open and gets no byte back is one that libcurl would send again by
 * itself: the application may have seen it, so the prerequest callback ends the second try, and the broker's next attempt
 * carries the right number. */
#include "sidecar/push/sender.h"

#include "base/clock.h"
#include "base/xalloc.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <utlist.h>

#define CONNECT_MS   5000
#define IDLE_SECONDS 1L
#define BUFFER_SIZE  4096L
#define SPARE_MOST   16u
#define EVENTS       64

struct sending {
    struct sending *prev, *next;
    CURL *easy;
    struct curl_slist *headers;
    void *cookie;
    unsigned requests; /* times that a request began to be sent */
    size_t header_bytes, body_bytes;
    bool too_big, coded, keep_body;
    struct buf body;
    size_t retry_after_size, allowed_size;
    char retry_after[PUSH_HEADER_MAX], allowed[PUSH_HEADER_MAX];
    char error[CURL_ERROR_SIZE];
};

struct sender {
    void (*done)(void *cookie, const struct sender_answer *answer);
    CURLM *multi; /* NULL while there are neither requests nor connections */
    bool begun;   /* libcurl is */
    struct sending *under_way, *spare;
    unsigned spare_count;
    mono_t due;
    mono_t idle_end; /* then what is open and not used again is closed; MONO_NEVER: something is under way */
    int epoll_fd;
};

/* ------------------------------------------------------------------ what libcurl wants of the loop */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *of_socket)
{
    struct sender *s = ctx;
    struct epoll_event event = { .events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                                           (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0),
                                 .data.fd = fd };
    (void)easy, (void)of_socket;
    if (what == CURL_POLL_REMOVE)
        epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    else if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0)
        return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -1 : 0;
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *ctx)
{
    struct sender *s = ctx;
    (void)multi;
    s->due = ms < 0 ? MONO_NEVER : mono_add_ms(clock_now().mono, ms);
    return 0;
}

/* ------------------------------------------------------------------ what comes back */

static int on_request(void *ctx, char *peer, char *own, int peer_port, int own_port)
{
    struct sending *x = ctx;
    (void)peer, (void)own, (void)peer_port, (void)own_port;
    return ++x->requests == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t on_body(char *data, size_t one, size_t size, void *ctx)
{
    struct sending *x = ctx;
    (void)one;
    x->body_bytes += size;
    x->too_big |= x->body_bytes > (x->keep_body ? SENDER_KEPT_MAX : SENDER_ANSWER_MAX);
    if (!x->too_big && (x->keep_body || x->body.size < PUSH_SAID_MAX))
        buf_add(&x->body, data, x->keep_body || size < PUSH_SAID_MAX ? size : PUSH_SAID_MAX);
    return x->too_big ? 0 : size;
}

/* Nobody offered to decode anything, and a few bytes could become very many: only chunks are understood. */
static bool is_coded(struct span line)
{
    char coding[PUSH_HEADER_MAX];
    size_t size = PUSH_HEADER_MAX;
    push_header(line, "Transfer-Encoding", coding, &size);
    return size != PUSH_HEADER_MAX && (size != 7 || strncasecmp(coding, "chunked", 7) != 0);
}

static size_t on_header(char *data, size_t one, size_t size, void *ctx)
{
    struct sending *x = ctx;
    struct span line = span_of(data, size);
    (void)one;
    x->header_bytes += size;
    x->too_big |= x->header_bytes > SENDER_HEADERS_MAX;
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) /* what an interim answer said is not the answer's */
        x->retry_after_size = x->allowed_size = 0;
    push_header(line, "Retry-After", x->retry_after, &x->retry_after_size);
    push_header(line, "WebHook-Allowed-Origin", x->allowed, &x->allowed_size);
    x->coded |= is_coded(line);
    return x->too_big || x->coded ? 0 : size;
}

/* ------------------------------------------------------------------ one request */

/* What is the same of every request. No proxy, no redirect, no other protocol, no name or secret from anywhere. QUICK_EXIT: one
 * that ends while its host is still looked for leaves that thread to itself, for to wait for it would be to stand still. */
static struct sending *make(void)
{
    struct sending *x = xcalloc(1, sizeof *x);
    CURL *easy = x->easy = curl_easy_init();
    bool fine =
        easy && !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") &&
        !curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
        !curl_easy_setopt(easy, CURLOPT_PROXY, "") && !curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
        !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) && !curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) &&
        !curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) &&
        !curl_easy_setopt(easy, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION) &&
        !curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_SIZE) &&
        !curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_SECONDS) &&
        !curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request) && !curl_easy_setopt(easy, CURLOPT_PREREQDATA, x) &&
        !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) && !curl_easy_setopt(easy, CURLOPT_WRITEDATA, x) &&
        !curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) && !curl_easy_setopt(easy, CURLOPT_HEADERDATA, x) &&
        !curl_easy_setopt(easy, CURLOPT_PRIVATE, x) && !curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
    if (fine)
        return x;
    curl_easy_cleanup(easy);
    free(x);
    return NULL;
}

static struct sending *get(struct sender *s)
{
    struct sending *x = s->spare;
    if (!x)
        return make();
    DL_DELETE(s->spare, x);
    s->spare_count--;
    return x;
}

static void put(struct sender *s, struct sending *x)
{
    curl_slist_free_all(x->headers);
    x->headers = NULL;
    buf_free(&x->body);
    if (s->spare_count < SPARE_MOST) {
        DL_PREPEND(s->spare, x);
        s->spare_count++;
        return;
    }
    curl_easy_cleanup(x->easy);
    free(x);
}

/* "name: value". Without a value libcurl would leave it out, unless it is written "name;". */
static bool add_line(struct sending *x, const char *line)
{
    size_t name = strlen(line) - 2;
    char *empty = strcmp(line + name, ": ") == 0 ? xstrdup(line) : NULL;
    if (empty)
        strcpy(empty + name, ";");
    struct curl_slist *all = curl_slist_append(x->headers, empty ? empty : line);
    free(empty);
    if (all)
        x->headers = all;
    return all != NULL;
}

/* Two headers are left out that libcurl would make up: a content type nobody named, and a question before a larger body. */
static bool add_headers(struct sending *x, const struct buf *headers)
{
    const char *at = (const char *)headers->data, *end = at + headers->size;
    bool typed = false, fine = add_line(x, "Expect:");
    for (; at < end; at += strlen(at) + 1) {
        typed |= strncasecmp(at, "Content-Type:", 13) == 0;
        fine = fine && add_line(x, at);
    }
    return fine && (typed || add_line(x, "Content-Type:"));
}

static bool set_up(struct sending *x, const struct sender_request *r)
{
    CURL *easy = x->easy;
    bool post = strcmp(r->method, "POST") == 0;
    const char *body = r->body.size ? (const char *)r->body.data : ""; /* NULL would be read from standard input */
    long connect_ms = r->limit_ms < CONNECT_MS ? (long)r->limit_ms : CONNECT_MS;
    return add_headers(x, r->headers) && !curl_easy_setopt(easy, CURLOPT_URL, r->target->url) &&
           !curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, *r->target->socket ? r->target->socket : NULL) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.size) &&
           /* behind the fields, which make a POST of any request */
           !curl_easy_setopt(easy, post ? CURLOPT_POST : CURLOPT_HTTPGET, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, post ? NULL : r->method) &&
           !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers) &&
           !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) &&
           !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)r->limit_ms);
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

struct sending *sender_start(struct sender *s, const struct sender_request *request, void *cookie)
{
    struct sending *x = start_libcurl(s) ? get(s) : NULL;
    if (!x)
        return NULL;
    x->cookie = cookie;
    x->requests = 0;
    x->header_bytes = x->body_bytes = x->retry_after_size = x->allowed_size = 0;
    x->too_big = x->coded = false;
    x->keep_body = request->keep_body;
    x->error[0] = '\0';
    if (!set_up(x, request) || curl_multi_add_handle(s->multi, x->easy) != CURLM_OK) {
        put(s, x);
        return NULL;
    }
    DL_APPEND(s->under_way, x);
    s->idle_end = MONO_NEVER;
    return x;
}

static void take_out(struct sender *s, struct sending *x)
{
    curl_multi_remove_handle(s->multi, x->easy);
    DL_DELETE(s->under_way, x);
    if (!s->under_way)
        s->idle_end = mono_add_ms(clock_now().mono, IDLE_SECONDS * 1000);
}

void sender_cancel(struct sender *s, struct sending *x)
{
    take_out(s, x);
    put(s, x);
}

/* ------------------------------------------------------------------ its end */

static enum push_end end_of(const struct sending *x, CURLcode code)
{
    return code == CURLE_OK                   ? PUSH_ANSWERED
           : x->requests == 0                 ? PUSH_NOT_SENT
           : x->too_big                       ? PUSH_ANSWER_TOO_BIG
           : code == CURLE_OPERATION_TIMEDOUT ? PUSH_TIMED_OUT
                                              : PUSH_BROKEN;
}

static const char *error_of(const struct sending *x, CURLcode code, enum push_end end)
{
    if (end == PUSH_ANSWER_TOO_BIG)
        return "the answer is too large to be read";
    if (x->coded)
        return "the answer has a Transfer-Encoding other than chunked";
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return "the connection ended before an answer came";
    if (code == CURLE_OUT_OF_MEMORY) /* as it calls what passes a bound of its own: a request's head of 1 MiB */
        return "the event's attributes are too large for an HTTP request's headers";
    return x->error[0] ? x->error : curl_easy_strerror(code);
}

static void end(struct sender *s, struct sending *x, CURLcode code)
{
    struct sender_answer answer = { .outcome.end = end_of(x, code) };
    long status = 0;
    if (code == CURLE_OK)
        curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    answer.outcome.status = (int)status;
    answer.outcome.error = code == CURLE_OK ? "" : error_of(x, code, answer.outcome.end);
    answer.outcome.body = buf_span(&x->body);
    answer.outcome.retry_after = span_of(x->retry_after, x->retry_after_size);
    answer.allowed_origin = span_of(x->allowed, x->allowed_size);
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
        struct sending *x = NULL;
        CURLcode code = message->data.result; /* the message does not survive the handle's removal */
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        end(s, x, code);
        any = true;
    }
    return any;
}

/* ------------------------------------------------------------------ the loop's part */

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

/* Called a moment too early, libcurl does nothing, and does not say its time again: it must be asked. */
static void keep_time(struct sender *s)
{
    long ms = -1;
    if (s->due.ns == MONO_NEVER.ns && curl_multi_timeout(s->multi, &ms) == CURLM_OK && ms >= 0)
        on_timer(s->multi, ms, s);
}

/* libcurl closes an idle connection only when it looks for another one: until then an application that serves one after the other
 * would stand still. Most servers close them after five seconds. */
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
    if (s->due.ns <= now.ns) {
        s->due = MONO_NEVER;
        curl_multi_socket_action(s->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        keep_time(s);
    }
    int count = epoll_wait(s->epoll_fd, events, EVENTS, 0);
    for (int i = 0; i < count; i++)
        curl_multi_socket_action(s->multi, events[i].data.fd, as_curl(events[i].events), &running);
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
        struct sending *x = s->spare;
        DL_DELETE(s->spare, x);
        curl_easy_cleanup(x->easy);
        free(x);
    }
    close_connections(s);
    if (s->begun)
        curl_global_cleanup();
    close(s->epoll_fd);
    free(s);
}
