/* The checks before a body is read: is the request well-formed, may its sender send it, does the path exist. */
#include "sidecar/api/event_http.h"
#include "sidecar/api/origin.h"
#include "sidecar/api/respond.h"
#include "sidecar/api/routes.h"

#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#define HEADERS_MAX_SIZE (16u << 10)
/* Room for an event's attributes beside its data; JSON also writes bytes as base64, which limit_of accounts for. */
#define ENVELOPE_SIZE  (64u << 10)
#define OTHER_BODY_MAX (1u << 20)
#define DISCARD_MAX    (64u << 20)

/* ------------------------------------------------------------------ the sender */

/* Is it empty, or like ":8480"? */
static bool is_port(const uint8_t *at, const uint8_t *end)
{
    if (at < end && *at++ != ':')
        return false;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at == end;
}

/* The host of HOST[:PORT] or [V6][:PORT]; empty if it is neither, because others would read a different host from
 * something like localhost:x@evil.example. */
static struct span host_part(struct span host)
{
    bool v6 = host.size && host.data[0] == '[';
    const uint8_t *at = host.size ? memchr(host.data, v6 ? ']' : ':', host.size) : NULL, *end = host.data + host.size;
    if (v6)
        return span_of(host.data + 1, at && is_port(at + 1, end) ? (size_t)(at - host.data) - 1 : 0);
    return !at || is_port(at, end) ? span_of(host.data, at ? (size_t)(at - host.data) : host.size) : span_str("");
}

static bool is_ipv4(struct span name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] != '.' && (name.data[i] < '0' || name.data[i] > '9'))
            return false;
    }
    return true;
}

static bool host_is_loopback(struct span host)
{
    struct span name = host_part(host);
    if (header_name_is(name, "localhost") || header_name_is(name, "::1"))
        return true;
    return name.size > 4 && memcmp(name.data, "127.", 4) == 0 && is_ipv4(name);
}

static bool host_is_allowed(const struct api_config *c, struct span host)
{
    return host_is_loopback(host) || origin_is_listed(c->hosts, host) || origin_is_listed(c->hosts, host_part(host));
}

static bool token_matches(const char *token, struct span authorization)
{
    size_t size = strlen(token);
    return authorization.size == size + 7 && strncasecmp((const char *)authorization.data, "Bearer ", 7) == 0 &&
           sodium_memcmp(authorization.data + 7, token, size) == 0;
}

static bool check_sender(const struct api_config *c, const struct api_request *r, enum reason *why)
{
    struct span host = header_find(r, "Host"), origin = header_find(r, "Origin");
    if (r->listener == API_PROBE)
        return true;
    if (host.data && !host_is_allowed(c, host)) {
        *why = REASON_host;
        return false;
    }
    if (origin.data && !origin_is_allowed(c, origin, host)) {
        *why = REASON_origin;
        return false;
    }
    if (origin_is_preflight(r))
        return true; /* browsers send preflights without credentials */
    if (c->token_needed[r->listener] && (!c->token || !token_matches(c->token, header_find(r, "Authorization")))) {
        *why = REASON_unauthorized;
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------ the request */

static bool is_token(struct span name)
{
    static const char others[] = "!#$%&'*+.^_`|~";
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '-' && !(c >= '0' && c <= '9') &&
            !(c && strchr(others, c)))
            return false;
    }
    return name.size > 0;
}

/* Request smuggling: what libmicrohttpd accepts but a proxy in front might read differently (RFC 9112, 3.2 and 6.3).
 * Returns the detail of the refusal; NULL: all is well. */
static const char *find_smuggling(const struct api_request *r)
{
    struct span length = { 0 };
    unsigned hosts = 0, types = 0, codings = 0;
    for (size_t i = 0; i < r->header_count; i++) {
        struct span name = r->headers[i].name, value = r->headers[i].value;
        if (!is_token(name))
            return "a header name contains a space or another invalid character";
        hosts += header_name_is(name, "Host");
        types += header_name_is(name, "Content-Type");
        if (header_name_is(name, "Transfer-Encoding") && (codings++ || !header_name_is(value, "chunked")))
            return "Transfer-Encoding must be chunked, once";
        if (!header_name_is(name, "Content-Length"))
            continue;
        if (length.data && !span_equal(length, value))
            return "two different Content-Length headers";
        length = value;
    }
    if (hosts > 1)
        return "more than one Host header";
    if (types > 1)
        return "more than one Content-Type header";
    return codings && length.data ? "Content-Length and Transfer-Encoding exclude each other" : NULL;
}

static size_t headers_size(const struct api_request *r)
{
    size_t size = r->path.size + r->query.size;
    for (size_t i = 0; i < r->header_count; i++)
        size += r->headers[i].name.size + r->headers[i].value.size + 4;
    return size;
}

static bool is_batch(const struct api_request *r)
{
    struct span type = header_find(r, "Content-Type");
    return type.size >= 29 && strncasecmp((const char *)type.data, "application/cloudevents-batch", 29) == 0;
}

/* Is it a publish of a single event? On Dapr's path a batch is ordinary data. */
static bool is_single_event(const struct api_request *r, const struct api_route *route)
{
    return route->kind == API_PUBLISH_DAPR || (route->kind == API_PUBLISH && !is_batch(r));
}

static uint64_t limit_of(const struct api_config *c, const struct api_request *r, const struct api_route *route)
{
    if (is_single_event(r, route))
        return c->event_max / 3 * 4 + ENVELOPE_SIZE;
    return route->kind == API_PUBLISH ? c->batch_max_bytes : OTHER_BODY_MAX;
}

static uint64_t declared_length(const struct api_request *r)
{
    struct span text = header_find(r, "Content-Length");
    uint64_t length = 0;
    for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9' && length < UINT32_MAX; i++)
        length = length * 10 + (uint64_t)(text.data[i] - '0');
    return length;
}

/* A client that is still sending when the connection closes sees a broken pipe instead of the answer. So the body is
 * read and discarded first, unless it is very large or the client waits for permission to send it (Expect:
 * 100-continue). */
static bool answer_at_once(const struct api_request *r)
{
    return declared_length(r) > DISCARD_MAX || header_find(r, "Expect").data;
}

static enum api_answer refuse(enum reason why, const char *detail, struct arena *a, struct api_response *out)
{
    api_problem(why, detail, 0, a, out);
    return API_RESPONSE;
}

/* The detail names the host, because it may come from an absolute-form target and not from the Host header that the
 * title mentions. */
static enum api_answer refuse_sender(const struct api_request *r, enum reason why, struct arena *a,
                                     struct api_response *out)
{
    struct span host = header_find(r, "Host");
    char detail[160];
    snprintf(detail, sizeof detail, "the request is for host '%.*s'", (int)(host.size < 100 ? host.size : 100),
             host.size ? (const char *)host.data : "");
    return refuse(why, why == REASON_host ? detail : NULL, a, out);
}

/* What is wrong with the address; "": its title says it all. */
static void address_detail(const struct api_request *r, enum reason why, const char *allow, char *detail, size_t size)
{
    char beside[SIBLINGS_SIZE];
    const char *events = span_equal(r->method, span_str("POST")) ? routes_events(r->path) : NULL;
    detail[0] = '\0';
    if (why == REASON_method) {
        snprintf(detail, size, "this address answers %s%s%s", allow, events ? "; publish at " : "",
                 events ? events : "");
    } else if (r->listener != API_PROBE && routes_slash_too_many(r->path)) {
        snprintf(detail, size, "the address ends with a slash; leave it out");
    } else if (r->listener != API_PROBE) {
        routes_siblings(r->path, beside);
        if (beside[0])
            snprintf(detail, size, "the last part of the address is unknown; known here: %s", beside);
    }
}

static enum api_answer refuse_address(const struct api_request *r, enum reason why, const char *allow, struct arena *a,
                                      struct api_response *out)
{
    char detail[SIBLINGS_SIZE + 64];
    address_detail(r, why, allow, detail, sizeof detail);
    refuse(why, detail[0] ? detail : NULL, a, out);
    if (why == REASON_method)
        respond_header(out, a, "Allow", allow);
    return API_RESPONSE;
}

/* The path exists, but not on this listener. */
static enum api_answer refuse_listener(const struct api_config *c, const struct api_request *r, struct arena *a,
                                       struct api_response *out)
{
    char where[200] = "";
    if (r->listener == API_PROBE)
        return refuse(REASON_not_found, NULL, a, out);
    if (r->listener == API_OPERATIONS)
        return refuse(REASON_operating, "the request is a push to an application, and a push cannot operate anything",
                      a, out);
    if (c->operations)
        snprintf(where, sizeof where, "this is answered on the operations listener only, %s of this sidecar",
                 c->operations);
    return refuse(REASON_operating, where, a, out);
}

/* Is the route served on the listener that the request came to? A push (it has Sluice-Sequence) to the operations
 * listener counts as a request of the application: the application chooses the URLs of subscriptions, and could
 * otherwise have the sidecar call operations on its behalf, on loopback or on a socket that only the sidecar's user may
 * open. */
static bool is_listened_to(const struct api_config *c, const struct api_request *r, const struct api_route *route)
{
    bool operates = !(route->listeners & 1u << API_APPLICATION);
    bool pushed = operates && r->listener == API_OPERATIONS && header_find(r, "Sluice-Sequence").data;
    enum api_listener as = pushed ? API_APPLICATION : r->listener;
    return route->listeners & 1u << as || (c->operate && as == API_APPLICATION);
}

/* A preflight is allowed for every method that the path has. */
static enum api_answer answer_preflight(const struct api_request *r, struct arena *a, struct api_response *out)
{
    enum reason why = REASON_ok;
    struct span names[ROUTE_NAMES];
    char methods[ALLOW_SIZE] = "";
    routes_find(r->method, r->path, names, methods, &why);
    if (why != REASON_method)
        return refuse(why, NULL, a, out);
    origin_allow_preflight(r, methods, a, out);
    return API_RESPONSE;
}

/* Browsers send no Origin when a page loads an image or a script or uses fetch in no-cors mode. The page cannot read
 * the response, but a stream would take events all the same. Sec-Fetch-Site says whose page it is (W3C Fetch Metadata,
 * 2.3). */
static bool is_blind_fetch(const struct api_request *r)
{
    struct span site = header_find(r, "Sec-Fetch-Site");
    return site.size && !header_find(r, "Origin").data && !span_equal(site, span_str("same-origin")) &&
           !span_equal(site, span_str("none"));
}

/* A compressed body is refused: CloudEvents has no attribute that would tell consumers to decompress the data. */
static bool is_encoded(const struct api_request *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        struct span value = r->headers[i].value;
        if (header_name_is(r->headers[i].name, "Content-Encoding") && value.size && !header_name_is(value, "identity"))
            return true;
    }
    return false;
}

static enum api_answer check_length(const struct api_config *c, const struct api_request *r,
                                    const struct api_route *route, struct arena *a, uint64_t *body_limit,
                                    struct api_response *out)
{
    char sentence[96];
    *body_limit = limit_of(c, r, route);
    if (declared_length(r) <= *body_limit)
        return API_CONTINUE;
    if (is_single_event(r, route)) /* state event_max: the limit on the body is higher */
        snprintf(sentence, sizeof sentence, "an event may have at most %llu bytes here (the sidecar's event_max)",
                 (unsigned long long)c->event_max);
    else
        snprintf(sentence, sizeof sentence, "a %s may have at most %llu bytes here%s",
                 route->kind == API_PUBLISH ? "batch" : "body", (unsigned long long)*body_limit,
                 route->kind == API_PUBLISH ? " (the sidecar's batch.max_bytes); send several" : "");
    return refuse(REASON_too_large, sentence, a, out);
}

enum api_answer api_begin(const struct api_config *c, const struct api_request *r, struct arena *a,
                          uint64_t *body_limit, struct api_response *out, bool *close)
{
    enum reason why = REASON_ok;
    struct span names[ROUTE_NAMES];
    char allow[ALLOW_SIZE] = "";
    const char *smuggling = find_smuggling(r);
    *close = true;
    if (smuggling)
        return refuse(REASON_invalid, smuggling, a, out);
    if (headers_size(r) > HEADERS_MAX_SIZE)
        return refuse(REASON_headers_too_large, NULL, a, out);
    *close = answer_at_once(r);
    if (!check_sender(c, r, &why))
        return refuse_sender(r, why, a, out);
    if (origin_is_preflight(r))
        return answer_preflight(r, a, out);
    const struct api_route *route = routes_find(r->method, r->path, names, allow, &why);
    if (!route)
        return refuse_address(r, why, allow, a, out);
    if (!is_listened_to(c, r, route))
        return refuse_listener(c, r, a, out);
    if (route->kind == API_STREAM && is_blind_fetch(r))
        return refuse(REASON_origin,
                      "a page of another origin fetched the stream without an Origin header; use EventSource or fetch",
                      a, out);
    if (is_encoded(r))
        return refuse(REASON_media_type, "Content-Encoding is not understood here: send the body as it is", a, out);
    enum api_answer answer = check_length(c, r, route, a, body_limit, out);
    *close &= answer == API_RESPONSE;
    return answer;
}

bool api_is_publish(const struct api_request *r)
{
    struct span names[ROUTE_NAMES];
    char allow[ALLOW_SIZE];
    enum reason why;
    const struct api_route *route = routes_find(r->method, r->path, names, allow, &why);
    return route && (route->kind == API_PUBLISH || route->kind == API_PUBLISH_DAPR);
}
