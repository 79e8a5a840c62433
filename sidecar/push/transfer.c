/* If a request on a reused connection gets no byte back, libcurl sends it again by itself. But the application may have
 * seen it, so the prerequest callback aborts the second try: the broker then makes the next attempt, with the right
 * attempt number. */
#include "sidecar/push/transfer.h"

#include "base/xalloc.h"

#include <stdlib.h>
#include <strings.h>

#define CONNECT_MS  5000
#define BUFFER_SIZE 4096L

/* ------------------------------------------------------------------ what comes back */

static int on_request(void *ctx, char *peer, char *own, int peer_port, int own_port)
{
    struct transfer *x = ctx;
    (void)peer, (void)own, (void)peer_port, (void)own_port;
    return ++x->requests == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t on_body(char *data, size_t one, size_t size, void *ctx)
{
    struct transfer *x = ctx;
    (void)one;
    x->body_bytes += size;
    x->too_big |= x->body_bytes > (x->keep_body ? SENDER_KEPT_MAX : SENDER_ANSWER_MAX);
    if (!x->too_big && (x->keep_body || x->body.size < PUSH_EXCERPT_MAX))
        buf_add(&x->body, data, x->keep_body || size < PUSH_EXCERPT_MAX ? size : PUSH_EXCERPT_MAX);
    return x->too_big ? 0 : size;
}

/* Any transfer coding but chunked is refused: none was offered, and compressed, a few bytes could expand to very
 * many. */
static bool is_coded(struct span line)
{
    char coding[PUSH_HEADER_MAX];
    size_t size = PUSH_HEADER_MAX;
    push_header(line, "Transfer-Encoding", coding, &size);
    return size != PUSH_HEADER_MAX && (size != 7 || strncasecmp(coding, "chunked", 7) != 0);
}

static size_t on_header(char *data, size_t one, size_t size, void *ctx)
{
    struct transfer *x = ctx;
    struct span line = span_of(data, size);
    (void)one;
    x->header_bytes += size;
    x->too_big |= x->header_bytes > SENDER_HEADERS_MAX;
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) /* headers of an interim (1xx) answer do not count */
        x->retry_after_size = x->allowed_size = 0;
    push_header(line, "Retry-After", x->retry_after, &x->retry_after_size);
    push_header(line, "WebHook-Allowed-Origin", x->allowed, &x->allowed_size);
    x->coded |= is_coded(line);
    return x->too_big || x->coded ? 0 : size;
}

/* ------------------------------------------------------------------ a request */

/* The options that are the same for every request: no proxy, no redirects, HTTP only, no user name or password from
 * anywhere. QUICK_EXIT: if a request ends during its DNS lookup, libcurl must not wait for the resolver thread, which
 * would block the event loop. */
struct transfer *transfer_new(void)
{
    struct transfer *x = xcalloc(1, sizeof *x);
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

void transfer_free(struct transfer *x)
{
    curl_easy_cleanup(x->easy);
    free(x);
}

void transfer_clear(struct transfer *x)
{
    curl_slist_free_all(x->headers);
    x->headers = NULL;
    buf_free(&x->body);
}

/* Adds a line "name: value". libcurl sends a header with an empty value only if it is written "name;". */
static bool add_line(struct transfer *x, const char *line)
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

/* Suppresses two headers that libcurl would add by itself: Expect, for larger bodies, and a default Content-Type. */
static bool add_headers(struct transfer *x, const struct buf *headers)
{
    const char *at = (const char *)headers->data, *end = at + headers->size;
    bool typed = false, fine = add_line(x, "Expect:");
    for (; at < end; at += strlen(at) + 1) {
        typed |= strncasecmp(at, "Content-Type:", 13) == 0;
        fine = fine && add_line(x, at);
    }
    return fine && (typed || add_line(x, "Content-Type:"));
}

bool transfer_set_up(struct transfer *x, const struct sender_request *r)
{
    CURL *easy = x->easy;
    bool post = strcmp(r->method, "POST") == 0;
    const char *body = r->body.size ? (const char *)r->body.data : ""; /* NULL would be read from standard input */
    long connect_ms = r->limit_ms < CONNECT_MS ? (long)r->limit_ms : CONNECT_MS;
    x->requests = 0;
    x->header_bytes = x->body_bytes = x->retry_after_size = x->allowed_size = 0;
    x->too_big = x->coded = false;
    x->keep_body = r->keep_body;
    x->error[0] = '\0';
    return add_headers(x, r->headers) && !curl_easy_setopt(easy, CURLOPT_URL, r->target->url) &&
           !curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, *r->target->socket ? r->target->socket : NULL) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.size) &&
           /* after CURLOPT_POSTFIELDS, which makes a POST of any request */
           !curl_easy_setopt(easy, post ? CURLOPT_POST : CURLOPT_HTTPGET, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, post ? NULL : r->method) &&
           !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers) &&
           !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) &&
           !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)r->limit_ms);
}

/* ------------------------------------------------------------------ the result */

static enum push_end end_of(const struct transfer *x, CURLcode code)
{
    return code == CURLE_OK                   ? PUSH_ANSWERED
           : x->requests == 0                 ? PUSH_NOT_SENT
           : x->too_big                       ? PUSH_ANSWER_TOO_BIG
           : code == CURLE_OPERATION_TIMEDOUT ? PUSH_TIMED_OUT
                                              : PUSH_BROKEN;
}

static const char *error_of(const struct transfer *x, CURLcode code, enum push_end end)
{
    if (end == PUSH_ANSWER_TOO_BIG)
        return "the answer is too large to be read";
    if (x->coded)
        return "the answer has a Transfer-Encoding other than chunked";
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return "the connection ended before an answer came";
    if (code == CURLE_OUT_OF_MEMORY) /* libcurl's code, too, for headers beyond its own limit of 1 MiB */
        return "the event's attributes are too large for an HTTP request's headers";
    return x->error[0] ? x->error : curl_easy_strerror(code);
}

struct sender_answer transfer_answer(const struct transfer *x, CURLcode code)
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
    return answer;
}
