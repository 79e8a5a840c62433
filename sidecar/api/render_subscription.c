/* Renders subscriptions. */
#include "sidecar/api/json_write.h"
#include "sidecar/api/respond.h"

#include <jansson.h>

static json_t *results_json(const struct subscription_info *i)
{
    json_t *o = json_object();
    for (unsigned r = 0; r < PUSH_RESULTS; r++)
        json_object_set_new(o, push_result_name(r), json_integer((json_int_t)i->results[r]));
    return o;
}

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *subscription_json(const struct subscription_info *i)
{
    char timeout[24];
    duration_format(i->settings->timeout_ms, timeout);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:b}", "subscription", i->name, "queue", i->settings->queue, "url",
                  i->settings->url, "dialect", subscription_dialect_name(i->settings->dialect), "concurrency",
                  (int)i->settings->concurrency, "timeout", timeout, "handshake", i->settings->handshake);
    json_object_set_new(o, "managed", i->managed ? json_string("config") : json_null());
    json_object_set_new(o, "kept", json_string(i->managed ? "by the sidecar's configuration file" : "by the broker"));
    json_object_set_new(o, "state", json_string(subscription_state_name(i->state)));
    json_object_set_new(o, "detail", text_or_null(i->detail));
    json_object_set_new(o, "retry_in_seconds",
                        i->retry_in_ms < 0 ? json_null() : json_real((double)i->retry_in_ms / 1000));
    json_object_set_new(o, "in_flight", json_integer(i->in_flight));
    json_object_set_new(o, "results", results_json(i));
    json_object_set_new(o, "last_status", i->last_status ? json_integer(i->last_status) : json_null());
    json_object_set_new(o, "last_error", text_or_null(i->last_error));
    return o;
}

static void render_document(int status, json_t *document, struct api_response *out)
{
    respond_begin_json(out, status);
    json_add_document(&out->body, document);
    buf_add_byte(&out->body, '\n');
}

void api_render_subscription(const struct subscription_info *i, bool created, struct api_response *out)
{
    render_document(created ? 201 : 200, subscription_json(i), out);
}

void api_render_subscriptions(const struct subscription_info *infos, size_t count, const char *next,
                              struct api_response *out)
{
    json_t *all = json_object(), *o = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(all, infos[i].name, subscription_json(&infos[i]));
    json_object_set_new(o, "subscriptions", all);
    json_object_set_new(o, "next", text_or_null(next));
    render_document(200, o, out);
}
