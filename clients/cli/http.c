#include "clients/cli/cli.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS 5000L

static const char *given_url;
static CURL *easy;
static char trouble[CURL_ERROR_SIZE];

void http_use(const char *url)
{
    given_url = url;
}

static const char *base_url(bool operations)
{
    const char *url = given_url ? given_url : getenv(operations ? "SLUICE_OPS_URL" : "SLUICE_URL");
    return url && *url ? url : operations ? "http://127.0.0.1:9480" : "http://127.0.0.1:8480";
}

static size_t receive(char *data, size_t size, size_t count, void *to)
{
    buf_add(to, data, size * count);
    return size * count;
}

static void set_target(bool operations, const char *path)
{
    const char *url = base_url(operations);
    struct buf whole = { 0 };
    if (strncmp(url, "unix:", 5) == 0) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, url + 5);
        buf_add_str(&whole, "http://localhost");
    } else {
        buf_add_str(&whole, strncmp(url, "http", 4) == 0 ? "" : "http://");
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
    const char *token = getenv("SLUICE_TOKEN");
    if (token && *token) {
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

struct http_reply http_request(const char *method, bool operations, const char *path, const char *const *headers,
                               const void *body, size_t size)
{
    struct http_reply r = { 0 };
    if (!easy) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        easy = curl_easy_init();
    }
    curl_easy_reset(easy);
    set_target(operations, path);
    struct curl_slist *list = make_headers(headers);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, trouble);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &r.text);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    if (strcmp(method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body ? body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)size);
    }
    trouble[0] = '\0';
    CURLcode code = curl_easy_perform(easy);
    if (code == CURLE_OK)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &r.status);
    else if (!*trouble)
        snprintf(trouble, sizeof trouble, "%s", curl_easy_strerror(code));
    curl_slist_free_all(list);
    r.body = json_loadb((char *)r.text.data, r.text.size, JSON_DECODE_ANY, NULL);
    return r;
}

void http_reply_free(struct http_reply *r)
{
    json_decref(r->body);
    buf_free(&r->text);
}

bool http_fine(const struct http_reply *r)
{
    if (r->status >= 200 && r->status < 300)
        return true;
    if (r->status == 0) {
        cli_fail("no sidecar answers: %s (SLUICE_URL or --url says where it is)", trouble);
        return false;
    }
    const char *detail = json_string_value(json_object_get(r->body, "detail"));
    const char *title = json_string_value(json_object_get(r->body, "title"));
    cli_fail("%s%s%s (%ld)", detail ? detail : title ? title : "refused", "", "", r->status);
    return false;
}
