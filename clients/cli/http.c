#include "base/clock.h"
#include "clients/cli/cli.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECT_MS 5000L
#define POLL_MS    1000
/* How long a call that is not abortable may go on after a signal, as its outcome matters: more than a sidecar needs. */
#define GRACE_MS 10000
/* A GET, which should be answered at once, is reported as still waiting after this time. */
#define SILENT_MS 5000

static const char *given_url, *given_ops_url;
static CURL *easy;
static CURLM *multi;
static char curl_error[CURL_ERROR_SIZE];
static struct buf sentence;
static const char *asked; /* the URL of the last call */

/* Refuses an empty URL, which comes from an unset variable: a call meant for one sidecar must not reach another. */
bool http_use(const char *url, const char *ops_url)
{
    if ((url && !*url) || (ops_url && !*ops_url))
        return cli_usage("--%s needs a value, like http://127.0.0.1:8480", url && !*url ? "url" : "ops-url"), false;
    given_url = url ? url : given_url;
    given_ops_url = ops_url ? ops_url : given_ops_url;
    return true;
}

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* A user who names one sidecar must never operate another: without an operations URL, operating calls go to the
 * named one. */
const char *http_url(bool operations)
{
    const char *url = given_url ? given_url : from_environment("SLUICE_URL");
    if (!operations)
        return url ? url : "http://127.0.0.1:8480";
    if (given_ops_url || (!given_url && from_environment("SLUICE_OPS_URL")))
        return given_ops_url ? given_ops_url : from_environment("SLUICE_OPS_URL");
    return url ? url : "http://127.0.0.1:9480";
}

static size_t receive(char *data, size_t size, size_t count, void *to)
{
    buf_add(to, data, size * count);
    return size * count;
}

static bool header_is(const char *line, size_t size, const char *name)
{
    return size > strlen(name) && strncasecmp(line, name, strlen(name)) == 0;
}

static size_t receive_header(char *line, size_t one, size_t size, void *to)
{
    struct http_reply *r = to;
    (void)one;
    if (header_is(line, size, "sluice-consumer: standby"))
        r->standby = true;
    if (header_is(line, size, "content-type: "))
        snprintf(r->type, sizeof r->type, "%.*s", (int)(size - 14), line + 14);
    return size;
}

static void set_target(bool operations, const char *path)
{
    const char *url = asked = http_url(operations);
    struct buf whole = { 0 };
    if (strncmp(url, "unix:", 5) == 0) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, url + 5);
        buf_add_str(&whole, "http://localhost");
    } else {
        buf_add_str(&whole, strstr(url, "://") ? "" : "http://");
        buf_add_str(&whole, url);
        while (whole.size && whole.data[whole.size - 1] == '/')
            whole.size--;
    }
    buf_add(&whole, path, strlen(path) + 1);
    curl_easy_setopt(easy, CURLOPT_URL, (char *)whole.data);
    buf_free(&whole);
}

static struct curl_slist *make_headers(const char *const *headers)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    const char *token = from_environment("SLUICE_TOKEN");
    if (token) {
        struct buf line = { 0 };
        buf_printf(&line, "Authorization: Bearer %s", token);
        buf_add_byte(&line, '\0');
        list = curl_slist_append(list, (char *)line.data);
        buf_free(&line);
    }
    for (; headers && *headers; headers++)
        list = curl_slist_append(list, *headers);
    return list;
}

static void set_up(const struct http_call *c, struct http_reply *r, struct curl_slist *headers)
{
    curl_easy_reset(easy);
    set_target(c->operations, c->path);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, c->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); /* ".." is not a valid name, but must not be resolved either */
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, curl_error);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &r->text);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, receive_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    if (strcmp(c->method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, c->data ? c->data : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->size);
    }
}

/* Must the call end because of a signal? *stopped: when one was first seen; MONO_NEVER before. */
static bool is_over(const struct http_call *c, mono_t *stopped)
{
    if (!cli_stopped())
        return false;
    mono_t now = clock_now().mono;
    *stopped = mono_min(*stopped, now);
    return c->abortable || mono_since_ms(now, *stopped) >= GRACE_MS;
}

/* Runs the call until it is done, or a signal ends it. */
static CURLcode perform(const struct http_call *c, struct http_reply *r)
{
    struct curl_waitfd stop = { .fd = cli_signal_fd(), .events = CURL_WAIT_POLLIN };
    bool watch = c->abortable && stop.fd >= 0;
    mono_t stopped = MONO_NEVER;
    mono_t begun = clock_now().mono;
    bool silent = strcmp(c->method, "GET") == 0;
    int running = 1, left;
    curl_multi_add_handle(multi, easy);
    while (curl_multi_perform(multi, &running) == CURLM_OK && running && !is_over(c, &stopped)) {
        curl_multi_poll(multi, &stop, watch ? 1 : 0, POLL_MS, NULL);
        if (silent && mono_since_ms(clock_now().mono, begun) >= SILENT_MS) {
            cli_fail("%s has not answered for %d s; still waiting", asked, SILENT_MS / 1000);
            silent = false;
        }
    }
    const CURLMsg *done = curl_multi_info_read(multi, &left);
    CURLcode code = done ? done->data.result : CURLE_ABORTED_BY_CALLBACK;
    r->aborted = !done && c->abortable;
    r->given_up = !done && !c->abortable && cli_stopped();
    curl_multi_remove_handle(multi, easy);
    return code;
}

static void say_os_error(void)
{
    long number = 0;
    if (curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number)
        snprintf(curl_error, sizeof curl_error, "%s", strerror((int)number));
}

struct http_reply http_do(const struct http_call *c)
{
    struct http_reply r = { 0 };
    if (!easy) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        easy = curl_easy_init();
        multi = curl_multi_init();
    }
    struct curl_slist *headers = make_headers(c->headers);
    set_up(c, &r, headers);
    curl_error[0] = '\0';
    CURLcode code = perform(c, &r);
    if (code == CURLE_OK)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &r.status);
    r.sent = code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST && code != CURLE_URL_MALFORMAT &&
             code != CURLE_UNSUPPORTED_PROTOCOL;
    if (code == CURLE_COULDNT_CONNECT && strncmp(asked, "unix:", 5) == 0)
        say_os_error(); /* libcurl's message is about a host and a port, which nobody gave */
    if (code != CURLE_OK && !*curl_error)
        snprintf(curl_error, sizeof curl_error, "%s", curl_easy_strerror(code));
    curl_slist_free_all(headers);
    return r;
}

void http_reply_free(struct http_reply *r)
{
    json_decref(r->body);
    buf_free(&r->text);
    *r = (struct http_reply){ 0 };
}

const json_t *http_json(struct http_reply *r)
{
    if (!r->body && r->text.size)
        r->body = json_loadb((char *)r->text.data, r->text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    return r->body;
}

bool http_away(const struct http_reply *r)
{
    return !r->aborted && (r->status == 0 || r->status == 503);
}

/* Replaces HTTP instructions in the API's messages by the commands for this program. */
static void add_detail(struct buf *out, const char *detail)
{
    static const char *const forms[][2] = { { "force=true", "--force" },
                                            { "PUT /v1/queues/", "sluice queue declare " },
                                            { "PUT /v1/topics/", "sluice topic put " },
                                            { "GET /v1/topics/", "sluice topic show " },
                                            { "publish at /v1/queues/{q}/events", "leave out --topic" },
                                            { "Authorization: Bearer TOKEN", "set SLUICE_TOKEN" },
                                            { "POST /v1/drain", "sluice drain" } };
    while (*detail) {
        const char *with = NULL;
        for (size_t i = 0; i < sizeof forms / sizeof *forms && !with; i++) {
            size_t size = strlen(forms[i][0]);
            if (strncmp(detail, forms[i][0], size) != 0)
                continue;
            with = forms[i][1];
            detail += size;
        }
        if (with)
            buf_add_str(out, with);
        else
            buf_add_byte(out, (uint8_t)*detail++);
    }
}

const char *http_error_of(const json_t *problem, long status)
{
    const char *detail = json_text_of(problem, "detail"), *title = json_text_of(problem, "title");
    buf_clear(&sentence);
    add_detail(&sentence, *detail ? detail : *title ? title : "refused");
    buf_printf(&sentence, " (%ld)", status);
    if (strcmp(json_text_of(problem, "reason"), "operating") == 0)
        buf_add_str(&sentence, "; SLUICE_OPS_URL or --ops-url says where that is");
    buf_add_byte(&sentence, '\0');
    return (const char *)sentence.data;
}

const char *http_error(struct http_reply *r)
{
    if (r->status && strncmp(r->type, "application/problem+json", 24) == 0)
        return http_error_of(http_json(r), r->status);
    buf_clear(&sentence);
    if (r->given_up) /* it was connected: connecting takes less than this, or fails */
        buf_printf(&sentence, "%s gave no answer within %d s of the interruption", asked, GRACE_MS / 1000);
    else if (r->status == 0)
        buf_printf(&sentence, "no sidecar answers at %s: %s (SLUICE_URL or --url says where it is)", asked, curl_error);
    else
        buf_printf(&sentence, "%s answers %ld, but not as a sidecar does: does SLUICE_URL or --url name one?", asked,
                   r->status);
    buf_add_byte(&sentence, '\0');
    return (const char *)sentence.data;
}

bool http_ok(struct http_reply *r)
{
    if (r->status >= 200 && r->status < 300)
        return true;
    if (!r->aborted)
        cli_fail("%s", http_error(r));
    return false;
}

static void add_encoded(struct buf *out, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if ((*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z') || strchr("-._~", *p)) {
            buf_add_byte(out, *p);
        } else {
            buf_add_byte(out, '%');
            buf_add_byte(out, (uint8_t)digits[*p >> 4]);
            buf_add_byte(out, (uint8_t)digits[*p & 15]);
        }
    }
}

void http_add_parameter(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "&%s=", name);
    add_encoded(out, value);
}

static void add_path(struct buf *out, const char *kind, const char *name, const char *format, va_list args)
{
    char rest[256];
    buf_clear(out);
    buf_add_str(out, kind);
    add_encoded(out, name);
    vsnprintf(rest, sizeof rest, format, args);
    buf_add(out, rest, strlen(rest) + 1);
}

void http_queue_path(struct buf *out, const char *queue, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_path(out, "/v1/queues/", queue, format, args);
    va_end(args);
}

void http_topic_path(struct buf *out, const char *topic, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_path(out, "/v1/topics/", topic, format, args);
    va_end(args);
}

void http_subscription_path(struct buf *out, const char *subscription)
{
    buf_clear(out);
    buf_add_str(out, "/v1/subscriptions/");
    add_encoded(out, subscription);
    buf_add_byte(out, '\0');
}

void http_binding_path(struct buf *out, const char *topic, const char *queue)
{
    buf_clear(out);
    buf_add_str(out, "/v1/topics/");
    add_encoded(out, topic);
    buf_add_str(out, "/bindings/");
    add_encoded(out, queue);
    buf_add_byte(out, '\0');
}
