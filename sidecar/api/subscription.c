#include "sidecar/api/subscription.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define TIMEOUT_MIN_MS 100
#define TIMEOUT_MAX_MS (INT64_C(12) * 3600 * 1000)
#define TIMEOUT_MS     25000

/* By enum subscription_key. */
static const char *const key_names[] = { "queue", "url", "concurrency", "timeout", "dialect", "handshake" };
static const char *const state_names[] = { "active",    "standby",  "handshaking", "refused", "unreachable",
                                           "throttled", "no_queue", "stopped",     "draining" };
static const char *const result_names[] = { "acked", "failed", "throttled", "gone", "dropped", "unreachable" };
static const char *const dialect_names[] = { "cloudevents", "dapr" };

const char *subscription_key_name(enum subscription_key key)
{
    return key_names[key];
}

const char *subscription_dialect_name(enum subscription_dialect dialect)
{
    return dialect_names[dialect];
}

const char *subscription_state_name(enum subscription_state state)
{
    return state_names[state];
}

const char *push_result_name(enum push_result result)
{
    return result_names[result];
}

/* ------------------------------------------------------------------ one key */

static const char *list_keys(char out[128])
{
    size_t used = 0;
    for (unsigned i = 0; i < SUBSCRIPTION_KEYS && used < 128; i++)
        used += (size_t)snprintf(out + used, 128 - used, "%s%s", i ? ", " : "", key_names[i]);
    return out;
}

bool subscription_find_key(struct span key, enum subscription_key *out, struct error *why)
{
    char wrong[64], known[128];
    for (unsigned i = 0; i < SUBSCRIPTION_KEYS; i++) {
        if (span_equal(key, span_str(key_names[i]))) {
            *out = i;
            return true;
        }
    }
    snprintf(wrong, sizeof wrong, "%.*s", (int)(key.size < 60 ? key.size : 60), (const char *)key.data);
    const char *near = settings_closest(key_names, SUBSCRIPTION_KEYS, wrong);
    return error_set(why, near ? "unknown key '%s'; did you mean '%s'?" : "unknown key '%s'; known here: %s", wrong,
                     near ? near : list_keys(known));
}

static bool put_concurrency(struct subscription_settings *s, int64_t value, struct error *why)
{
    if (value < 1 || value > (int64_t)SUBSCRIPTION_CONCURRENCY_MAX)
        return error_set(why, "'concurrency' must be between 1 and %u", SUBSCRIPTION_CONCURRENCY_MAX);
    s->concurrency = (uint32_t)value;
    s->set |= 1u << SUBSCRIPTION_CONCURRENCY;
    return true;
}

static bool parse_concurrency(struct subscription_settings *s, struct span value, struct error *why)
{
    int64_t number = 0;
    for (size_t i = 0; i < value.size && number <= (int64_t)SUBSCRIPTION_CONCURRENCY_MAX; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return error_set(why, "'concurrency' must be a whole number");
        number = number * 10 + (value.data[i] - '0');
    }
    return put_concurrency(s, number, why);
}

static bool parse_timeout(struct subscription_settings *s, struct span value, struct error *why)
{
    int64_t ms;
    if (!duration_parse(value, &ms))
        return error_set(why, "'timeout' must be a duration like 250ms, 25s or 2m");
    if (ms < TIMEOUT_MIN_MS || ms > TIMEOUT_MAX_MS)
        return error_set(why, "'timeout' must be between 100ms and 12h");
    s->timeout_ms = ms;
    s->set |= 1u << SUBSCRIPTION_TIMEOUT;
    return true;
}

static bool parse_queue(struct subscription_settings *s, struct span value, struct error *why)
{
    if (!name_valid(value))
        return error_set(why, "'queue' must be a queue's name: 1 to 128 letters, digits, '.', '_' and '-', and begin "
                              "with a letter or digit");
    snprintf(s->queue, sizeof s->queue, "%.*s", (int)value.size, (const char *)value.data);
    s->set |= 1u << SUBSCRIPTION_QUEUE;
    return true;
}

static bool parse_url(struct subscription_settings *s, struct span value, struct error *why)
{
    if (value.size == 0 || value.size > SUBSCRIPTION_URL_MAX)
        return error_set(why, "'url' must have 1 to %u characters", SUBSCRIPTION_URL_MAX);
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        if (c <= ' ' || c >= 0x7f || c == '#' || c == '\\')
            return error_set(why,
                             "'url' holds a character that it must not: write it percent-encoded, and without '#'");
    }
    snprintf(s->url, sizeof s->url, "%.*s", (int)value.size, (const char *)value.data);
    s->set |= 1u << SUBSCRIPTION_URL;
    return true;
}

static bool parse_handshake(struct subscription_settings *s, struct span value, struct error *why)
{
    s->handshake = span_equal(value, span_str("true"));
    s->set |= 1u << SUBSCRIPTION_HANDSHAKE;
    return s->handshake || span_equal(value, span_str("false")) || error_set(why, "'handshake' must be true or false");
}

static bool parse_dialect(struct subscription_settings *s, struct span value, struct error *why)
{
    s->set |= 1u << SUBSCRIPTION_DIALECT;
    s->dialect = span_equal(value, span_str("dapr")) ? DIALECT_DAPR : DIALECT_CLOUDEVENTS;
    return s->dialect == DIALECT_DAPR || span_equal(value, span_str("cloudevents")) ||
           error_set(why, "'dialect' must be cloudevents or dapr");
}

bool subscription_parse(struct subscription_settings *s, struct span key, struct span value, struct error *why)
{
    enum subscription_key which;
    if (!subscription_find_key(key, &which, why))
        return false;
    switch (which) {
    case SUBSCRIPTION_QUEUE: return parse_queue(s, value, why);
    case SUBSCRIPTION_URL: return parse_url(s, value, why);
    case SUBSCRIPTION_CONCURRENCY: return parse_concurrency(s, value, why);
    case SUBSCRIPTION_TIMEOUT: return parse_timeout(s, value, why);
    case SUBSCRIPTION_DIALECT: return parse_dialect(s, value, why);
    case SUBSCRIPTION_HANDSHAKE: return parse_handshake(s, value, why);
    case SUBSCRIPTION_KEYS: break;
    }
    return false;
}

bool subscription_put_number(struct subscription_settings *s, struct span key, int64_t value, struct error *why)
{
    enum subscription_key which;
    if (!subscription_find_key(key, &which, why))
        return false;
    if (which == SUBSCRIPTION_CONCURRENCY)
        return put_concurrency(s, value, why);
    return error_set(why, "'%s' must be %s", key_names[which],
                     which == SUBSCRIPTION_TIMEOUT     ? "a string, a duration like \"25s\""
                     : which == SUBSCRIPTION_HANDSHAKE ? "true or false"
                                                       : "a string");
}

bool subscription_put_bool(struct subscription_settings *s, struct span key, bool value, struct error *why)
{
    enum subscription_key which;
    if (!subscription_find_key(key, &which, why))
        return false;
    if (which != SUBSCRIPTION_HANDSHAKE)
        return error_set(why, "'%s' must be a %s, not true or false", key_names[which],
                         which == SUBSCRIPTION_CONCURRENCY ? "number" : "string");
    s->handshake = value;
    s->set |= 1u << SUBSCRIPTION_HANDSHAKE;
    return true;
}

void subscription_merge(struct subscription_settings *s, const struct subscription_settings *change)
{
    if (change->set & 1u << SUBSCRIPTION_QUEUE)
        memcpy(s->queue, change->queue, sizeof s->queue);
    if (change->set & 1u << SUBSCRIPTION_URL)
        memcpy(s->url, change->url, sizeof s->url);
    if (change->set & 1u << SUBSCRIPTION_CONCURRENCY)
        s->concurrency = change->concurrency;
    if (change->set & 1u << SUBSCRIPTION_TIMEOUT)
        s->timeout_ms = change->timeout_ms;
    if (change->set & 1u << SUBSCRIPTION_HANDSHAKE)
        s->handshake = change->handshake;
    if (change->set & 1u << SUBSCRIPTION_DIALECT)
        s->dialect = change->dialect;
    s->set |= change->set;
}

bool subscription_equal(const struct subscription_settings *a, const struct subscription_settings *b)
{
    return strcmp(a->queue, b->queue) == 0 && strcmp(a->url, b->url) == 0 && a->concurrency == b->concurrency &&
           a->timeout_ms == b->timeout_ms && a->handshake == b->handshake && a->dialect == b->dialect;
}

/* ------------------------------------------------------------------ the URL */

/* Splits HOST[:PORT] or [V6][:PORT]; false if it is neither. *host has no brackets. */
static bool split_authority(struct span authority, struct span *host, struct span *port)
{
    const uint8_t *at = authority.data, *end = at + authority.size, *after;
    bool v6 = authority.size && *at == '[';
    if (v6) {
        after = memchr(at, ']', authority.size);
        *host = span_of(at + 1, after ? (size_t)(after - at) - 1 : 0);
        after = after ? after + 1 : at;
    } else {
        after = authority.size ? memchr(at, ':', authority.size) : NULL;
        after = after ? after : end;
        *host = span_of(at, (size_t)(after - at));
    }
    if (host->size == 0 || (after != end && *after != ':'))
        return false;
    *port = after == end ? span_str("80") : span_of(after + 1, (size_t)(end - after) - 1);
    return true;
}

static bool port_is_valid(struct span port)
{
    char text[6];
    snprintf(text, sizeof text, "%.*s", (int)(port.size < 5 ? port.size : 5), (const char *)port.data);
    return port.size >= 1 && port.size <= 5 && strspn(text, "0123456789") == port.size && atol(text) >= 1 &&
           atol(text) <= 65535;
}

/* Has the host only characters of a name or an address, and none that an HTTP client might read differently? */
static bool host_is_plain(struct span host)
{
    static const char others[] = ".-_:";
    for (size_t i = 0; i < host.size; i++) {
        uint8_t c = host.data[i];
        if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') && !strchr(others, c))
            return false;
    }
    return host.size < 256;
}

/* 127.0.0.0/8, ::1, and localhost. */
static bool host_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(host, "localhost") == 0;
}

static bool is_allowed(const struct setting_list *allow, const char *host, struct span port)
{
    char both[300];
    snprintf(both, sizeof both, strchr(host, ':') ? "[%s]:%.*s" : "%s:%.*s", host, (int)port.size,
             (const char *)port.data);
    for (size_t i = 0; allow && i < allow->count; i++) {
        if (strcasecmp(allow->items[i], host) == 0 || strcasecmp(allow->items[i], both) == 0)
            return true;
    }
    return false;
}

static bool check_http(const char *rest, const struct setting_list *allow, struct error *why)
{
    struct span authority = span_of(rest, strcspn(rest, "/?")), host, port;
    char name[256];
    if (memchr(authority.data, '@', authority.size))
        return error_set(why, "'url' must not hold a user or password");
    if (!split_authority(authority, &host, &port) || !host_is_plain(host) || !port_is_valid(port))
        return error_set(why, "'url' must be http://HOST[:PORT]/PATH, or unix:/SOCKET:/PATH");
    snprintf(name, sizeof name, "%.*s", (int)host.size, (const char *)host.data);
    return host_is_loopback(name) || is_allowed(allow, name, port) ||
           error_set(why,
                     "'url' leads to %s, which is not this machine's loopback: list the host under push.allow in the "
                     "sidecar's configuration to push to it",
                     name);
}

static bool check_socket(const char *rest, struct error *why)
{
    size_t size = strcspn(rest, ":");
    if (size < 2 || size > 107 || *rest != '/')
        return error_set(why, "'url' must name the socket's path, of at most 107 characters: unix:/SOCKET:/PATH");
    return !rest[size] || rest[size + 1] == '/' || error_set(why, "what follows unix:/SOCKET: must begin with '/'");
}

static bool check_url(const char *url, const struct setting_list *allow, struct error *why)
{
    if (strncmp(url, "unix:", 5) == 0)
        return check_socket(url + 5, why);
    if (strncasecmp(url, "http://", 7) == 0)
        return check_http(url + 7, allow, why);
    if (strncasecmp(url, "https://", 8) == 0)
        return error_set(why, "'url' must begin with http:// or unix:/ (this version does not push by TLS)");
    return error_set(why, "'url' must be http://HOST[:PORT]/PATH, or unix:/SOCKET:/PATH");
}

bool subscription_complete(struct subscription_settings *s, const struct setting_list *allow, struct error *why)
{
    if (!(s->set & 1u << SUBSCRIPTION_QUEUE))
        return error_set(why, "'queue' is missing: the queue whose events are pushed");
    if (!(s->set & 1u << SUBSCRIPTION_URL))
        return error_set(why, "'url' is missing: where the events are pushed to");
    if (!(s->set & 1u << SUBSCRIPTION_CONCURRENCY))
        s->concurrency = 1;
    if (!(s->set & 1u << SUBSCRIPTION_TIMEOUT))
        s->timeout_ms = TIMEOUT_MS;
    if (s->handshake && s->dialect == DIALECT_DAPR)
        return error_set(why, "'handshake' is of the dialect cloudevents: dapr has none");
    return check_url(s->url, allow, why);
}

void subscription_target(const char *url, struct subscription_target *out)
{
    *out = (struct subscription_target){ 0 };
    if (strncmp(url, "unix:", 5) != 0) {
        snprintf(out->url, sizeof out->url, "%s", url);
        return;
    }
    size_t size = strcspn(url + 5, ":");
    const char *path = url[5 + size] ? url + 5 + size + 1 : "/";
    snprintf(out->socket, sizeof out->socket, "%.*s", (int)size, url + 5);
    snprintf(out->url, sizeof out->url, "http://localhost%s", path);
}
