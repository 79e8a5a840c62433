/* Checks that the table in options.c cannot express: on several settings together, or on the content of a value. */
#include "base/curve.h"
#include "base/endpoint.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "sidecar/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TOKEN_MAX 512

static bool check_subscriptions(struct sidecar_options *o, struct error *e)
{
    struct error inner;
    unsigned count = 0;
    if (o->subscriptions && !o->app_name)
        return error_set(e, "subscriptions belong to an application: give its name (app.name, or --app-name)");
    for (struct declared_subscription *s = o->subscriptions; s; s = s->next) {
        if (!subscription_complete(&s->settings, &o->push_allow, &inner))
            return error_set(e, "subscription '%s': %.380s", s->name, inner.text);
        if (++count > SUBSCRIPTIONS_MAX)
            return error_set(e, "a sidecar has at most %u subscriptions", SUBSCRIPTIONS_MAX);
    }
    return true;
}

bool address_is_local(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 || strncmp(address, "127.", 4) == 0 ||
           strncmp(address, "localhost:", 10) == 0 || strncmp(address, "[::1]:", 6) == 0;
}

/* HOST:PORT, [V6]:PORT or unix:PATH. The rest is found out when the address is bound. */
static bool check_address(const char *address, struct error *e)
{
    const char *colon = strrchr(address, ':');
    if (strncmp(address, "unix:", 5) == 0)
        return true;
    if (!colon || colon == address || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return error_set(e, "'%s' is not an address to listen on: write HOST:PORT, [V6]:PORT or unix:/PATH", address);
    return (strlen(colon + 1) <= 5 && atol(colon + 1) <= 65535) ||
           error_set(e, "'%s' is not an address to listen on: a port is at most 65535", address);
}

static bool read_token(const char *path, char **token, struct error *e)
{
    char text[TOKEN_MAX + 2] = "";
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(e, "cannot read token_file %s: %s", path, strerror(errno));
    size_t size = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[size] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    if (strlen(text) < 16 || strlen(text) > TOKEN_MAX)
        return error_set(e, "token_file %s must hold one line of 16 to %d characters", path, TOKEN_MAX);
    *token = xstrdup(text);
    return true;
}

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* An endpoint; or one whose port is chosen by the system (":*" or ":!"). */
static bool is_inbox(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');
    bool any_port = colon && (strcmp(colon, ":*") == 0 || strcmp(colon, ":!") == 0);
    return endpoint_check(endpoint, NULL) || (any_port && colon > endpoint + 6 && begins_with(endpoint, "tcp://"));
}

static bool check_endpoints(const struct sidecar_options *o, struct error *e)
{
    if (!endpoint_check(o->broker, NULL))
        return error_set(e, "'%s' is not a broker's address; write tcp://HOST:PORT or ipc:///PATH", o->broker);
    return !o->inbox || is_inbox(o->inbox) ||
           error_set(e, "'%s' is not an inbox address; write tcp://HOST:PORT or ipc:///PATH", o->inbox);
}

static bool check_addresses(const struct sidecar_options *o, const char *token, struct error *e)
{
    const char *const asked[] = { o->http, o->ops, o->probe };
    for (unsigned i = 0; i < 3; i++) {
        if (asked[i] && *asked[i] && !check_address(asked[i], e))
            return false;
        for (unsigned k = 0; k < i && asked[i] && *asked[i]; k++) {
            if (strcmp(asked[i], asked[k]) == 0 && strcmp(asked[i] + strlen(asked[i]) - 2, ":0") != 0)
                return error_set(e, "http, ops and probe need different addresses, but two of them are %s", asked[i]);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        if (!address_is_local(asked[i]) && !token)
            return error_set(e,
                             "%s is beyond loopback, where everybody could publish and consume: set token_file, or "
                             "listen on 127.0.0.1",
                             asked[i]);
    }
    return true;
}

/* Hosts have no scheme, origins have one. Refused here, because in any other form they would silently match nothing. */
static bool check_lists(const struct sidecar_options *o, struct error *e)
{
    const struct setting_list *const hosts[] = { &o->push_allow, &o->hosts };
    for (unsigned k = 0; k < 2; k++) {
        for (size_t i = 0; i < hosts[k]->count; i++) {
            if (!*hosts[k]->items[i] || strpbrk(hosts[k]->items[i], "/*@ "))
                return error_set(
                    e,
                    "'%s' has '%s', which is not a host: write HOST or HOST:PORT, without http:// and without a path",
                    k ? "allow.hosts" : "push.allow", hosts[k]->items[i]);
        }
    }
    for (size_t i = 0; i < o->origins.count; i++) {
        const char *origin = o->origins.items[i], *host = strstr(origin, "://");
        if (strcmp(origin, "null") != 0 && (!host || host == origin || !host[3] || strpbrk(host + 3, "/*@ ")))
            return error_set(e,
                             "'allow.origins' has '%s', which is not an origin: write http://HOST or http://HOST:PORT, "
                             "without a path",
                             origin);
    }
    return true;
}

bool sidecar_options_check_keys(const struct sidecar_options *o, struct error *e)
{
    struct curve_keys own;
    char broker[CURVE_KEY_SIZE];
    if (!o->secret_key_file || !begins_with(o->broker, "tcp://"))
        return true; /* CURVE is for tcp only: over ipc, the kernel identifies the peer */
    return curve_read_secret(o->secret_key_file, &own, e) && curve_read_public(o->broker_key_file, broker, e);
}

bool sidecar_options_check(struct sidecar_options *o, char **token, struct error *e)
{
    *token = NULL;
    if (!log_settings_check(o->log_level, o->log_format, e))
        return false;
    if (o->token_file && !read_token(o->token_file, token, e))
        return false;
    if (!o->secret_key_file != !o->broker_key_file)
        return error_set(e, "'curve.secret_key_file' and 'curve.broker_key_file' go together: set both or none");
    if (!check_endpoints(o, e) || !check_addresses(o, *token, e) || !check_lists(o, e))
        return false;
    if (o->app_name && !name_valid(span_str(o->app_name)))
        return error_set(e, "'app.name' must be " NAME_RULE ", not '%s'", o->app_name);
    return check_subscriptions(o, e);
}
